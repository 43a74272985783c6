//! `flagforge-relay`: the data plane as a server of its own.
//!
//! `FLAGFORGE_CONNECTION` (or the first argument) says where manifests come from and which roots are
//! believed, and with `ring=canary` that changes which are tried out count here; `FLAGFORGE_LISTEN` (or the second) where to listen; `FLAGFORGE_CACHE_DIR` keeps last good manifests;
//! `FLAGFORGE_REQUESTS_PER_SECOND_OF_A_KEY` and `…_OF_A_TENANT` bound what one of them may ask;
//! `FLAGFORGE_CONTROL_PLANE` is the management API that is told how far this relay and the SDKs behind it are, with the
//! connection's key or `FLAGFORGE_CONTROL_PLANE_KEY`; `FLAGFORGE_OPERATION_LISTEN` is an address for `/readyz` and `/metrics`, which
//! nobody else should reach; `FLAGFORGE_BEGIN_WITH` names environments, `demo/prod,demo/dev`, that are loaded at once besides the
//! connection's own, and without which it does not call itself ready; with the feature `https`, `FLAGFORGE_TLS_CERTIFICATE` and
//! `FLAGFORGE_TLS_KEY` are files in PEM, which are read again when they are replaced.

use std::sync::Arc;

use anyhow::Context;
use flagforge::connection::Source;
use flagforge::propagation::{ControlPlane, Reporter};
use flagforge::{Connection, origin};
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::{AccessKey, KeyKind};
use flagforge_relay::{Config, Limits, Lock, Relay, Ring, app, operation, serve};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

const CERTIFICATE: &str = "FLAGFORGE_TLS_CERTIFICATE";
const KEY: &str = "FLAGFORGE_TLS_KEY";

#[tokio::main(flavor = "multi_thread")]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();
    // The one that is compiled in; nobody chose another before.
    #[cfg(feature = "https")]
    let _ = rustls::crypto::ring::default_provider().install_default();
    let connection =
        setting(1, "FLAGFORGE_CONNECTION").context("FLAGFORGE_CONNECTION is not set")?;
    let listen = setting(2, "FLAGFORGE_LISTEN").unwrap_or_else(|| "127.0.0.1:8081".to_owned());

    let connection = Connection::parse(&connection).context("FLAGFORGE_CONNECTION")?;
    if let Source::Http { key, .. } = connection.source() {
        let advice = "FLAGFORGE_CONNECTION: a relay needs a key of kind `relay` (flagforge key create --kind relay)";
        anyhow::ensure!(
            key.kind() == KeyKind::Relay,
            "{advice}; this is one of kind `{}`",
            key.kind()
        );
    }
    let mut config = Config::new(connection.roots().to_vec());
    config.ring = if connection.is_canary() { Ring::Canary } else { Ring::All };
    config.cache_dir = std::env::var_os("FLAGFORGE_CACHE_DIR").map(Into::into);
    for (name, rate) in [
        ("FLAGFORGE_REQUESTS_PER_SECOND_OF_A_KEY", &mut config.requests_per_second_of_a_key),
        ("FLAGFORGE_REQUESTS_PER_SECOND_OF_A_TENANT", &mut config.requests_per_second_of_a_tenant),
    ] {
        if let Ok(text) = std::env::var(name) {
            let set: std::num::NonZeroU32 =
                text.parse().with_context(|| format!("{name}={text}: not a number from 1"))?;
            *rate = set.get();
        }
    }
    config.reports_to = control_plane(&connection)?;
    config.begin_with = begin_with(&connection)?;
    let relay = Relay::new(origin::open(&connection)?, config);
    if let Ok(address) = std::env::var("FLAGFORGE_OPERATION_LISTEN") {
        let listener = bind(&address).await?;
        tracing::info!(address = %listener.local_addr()?, "telling how it goes");
        // It answers until the very end, so that whoever looks sees that it drains.
        let operation = operation(Arc::clone(&relay));
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
    let listener = bind(&listen).await?;
    let lock = lock()?;
    tracing::info!(address = %listener.local_addr()?, tls = lock.is_shut(), "relaying");
    serve(listener, app(relay), Limits::default(), lock, until).await;
    Ok(())
}

/// The certificate to show, where one is named.
#[cfg(feature = "https")]
fn lock() -> anyhow::Result<Lock> {
    let [certificate, key] = [CERTIFICATE, KEY].map(std::env::var_os);
    let (Some(certificate), Some(key)) = (&certificate, &key) else {
        anyhow::ensure!(
            certificate.is_none() && key.is_none(),
            "{CERTIFICATE} and {KEY} go together"
        );
        return Ok(Lock::default());
    };
    let tls = flagforge_relay::Tls::read(certificate.as_ref(), key.as_ref())?;
    tokio::spawn(Arc::clone(&tls).follow());
    Ok(Lock::of(tls))
}

#[cfg(not(feature = "https"))]
fn lock() -> anyhow::Result<Lock> {
    for name in [CERTIFICATE, KEY] {
        anyhow::ensure!(
            std::env::var_os(name).is_none(),
            "{name}: this relay is built without the feature `https`"
        );
    }
    Ok(Lock::default())
}

async fn bind(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))
}

/// The environments that are loaded at once: the connection's own, and those that are named.
fn begin_with(connection: &Connection) -> anyhow::Result<Vec<(OrgKey, EnvKey)>> {
    const NAME: &str = "FLAGFORGE_BEGIN_WITH";
    let mut all: Vec<(OrgKey, EnvKey)> =
        connection.environment().into_iter().map(|(org, env)| (org.clone(), env.clone())).collect();
    let named = std::env::var(NAME).unwrap_or_default();
    for place in named.split(',').map(str::trim).filter(|place| !place.is_empty()) {
        let (org, env) = place
            .split_once('/')
            .with_context(|| format!("{NAME}: `{place}` is not <organization>/<environment>"))?;
        let fault = || format!("{NAME}: `{place}`");
        all.push((
            OrgKey::new(org).map_err(|e| anyhow::anyhow!("{e}")).with_context(fault)?,
            EnvKey::new(env).map_err(|e| anyhow::anyhow!("{e}")).with_context(fault)?,
        ));
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// Waits for Ctrl-C or SIGTERM.
async fn signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

/// Who is told how far SDKs are, besides the origin.
fn control_plane(connection: &Connection) -> anyhow::Result<Option<Arc<dyn Reporter>>> {
    let Ok(base) = std::env::var("FLAGFORGE_CONTROL_PLANE") else { return Ok(None) };
    let key = match (std::env::var("FLAGFORGE_CONTROL_PLANE_KEY"), connection.source()) {
        (Ok(key), _) => AccessKey::parse(&key).context("FLAGFORGE_CONTROL_PLANE_KEY")?,
        (Err(_), Source::Http { key, .. }) => key.clone(),
        (Err(_), _) => anyhow::bail!("FLAGFORGE_CONTROL_PLANE_KEY is not set"),
    };
    Ok(Some(Arc::new(ControlPlane::new(&base, &key)?)))
}

fn setting(place: usize, name: &str) -> Option<String> {
    std::env::args().nth(place).or_else(|| std::env::var(name).ok())
}
