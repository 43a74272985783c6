//! A relay as a server of its own, from its start to its end.

use std::sync::Arc;

use anyhow::Context as _;
use flagforge::origin;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::operation::operation;
use crate::relay::Relay;
use crate::router::app;
use crate::server::{Limits, serve};
use crate::settings::Settings;
use crate::tuning::{SetLog, TuningFile};

/// Runs a relay until a signal ends it, and logs to the standard error.
pub async fn run(settings: &Settings) -> anyhow::Result<()> {
    let set_log = log(&settings.log)?;
    #[cfg(feature = "otel")]
    let traces = crate::traces::Traces::begin()?;
    let connection = settings.connection()?;
    let (lock, profiling) = (settings.lock()?, settings.profiling()?);
    let relay = Relay::new(origin::open(&connection)?, settings.config(&connection)?);
    settings.listen(&relay)?;
    if let Some(path) = &settings.config {
        let file = TuningFile::read(path, &relay, &settings.log, set_log);
        tokio::spawn(file.context("FLAGFORGE_RELAY_CONFIG")?.follow());
    }
    if let Some(address) = &settings.operation_listen {
        let listener = bind(address).await?;
        tracing::info!(address = %listener.local_addr()?, "telling how it goes");
        // It answers until the very end, so that whoever looks sees that it drains.
        let operation = operation(Arc::clone(&relay)).merge(profiling);
        tokio::spawn(async move { axum::serve(listener, operation).await });
    }
    let beginning = Arc::clone(&relay);
    tokio::spawn(async move { beginning.start().await });
    let ending = Arc::clone(&relay);
    let until = async move {
        signal().await.unwrap_or_else(|error| tracing::error!(%error, "no signals"));
        // Streams and long polls would keep the server for half an hour.
        ending.close();
    };
    let listener = bind(&settings.listen).await?;
    tracing::info!(address = %listener.local_addr()?, tls = lock.is_shut(), "relaying");
    serve(listener, app(relay), Limits::default(), lock, until).await;
    #[cfg(feature = "otel")]
    if let Some(traces) = traces {
        traces.end().await;
    }
    Ok(())
}

/// Begins to log, and answers how to log otherwise.
fn log(filter: &str) -> anyhow::Result<SetLog> {
    let filter = EnvFilter::try_new(filter).context("FLAGFORGE_LOG")?;
    let logs = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    let logs = logs.with_filter_reloading();
    let handle = logs.reload_handle();
    logs.init();
    Ok(Box::new(move |filter| {
        // The subscriber lives as long as the program.
        let set = EnvFilter::try_new(filter).map(|filter| handle.reload(filter));
        if !matches!(set, Ok(Ok(()))) {
            tracing::error!(filter, "the filter of logs stays");
        }
    }))
}

async fn bind(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))
}

/// Waits for Ctrl-C or SIGTERM.
async fn signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
