//! `flagforge serve`: the composition root of the whole product on one machine's hands.

mod events;
mod greeting;
mod in_force;
mod keys;
mod news;
#[cfg(test)]
mod tests;
mod told;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::{Router, middleware};
use flagforge::origin::FolderOrigin;
use flagforge_embedded::{Embedded, Works};
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_platform::{HttpOutbound, Platform, bootstrap};
use flagforge_relay::{Config, Relay};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};

use crate::args::Serve;
use crate::inside::Inside;
use crate::page::{Door, Page};
use crate::{demo, page, sample};
use greeting::Greeting;
use in_force::InForce;
use keys::Keys;

/// The environments that a home organization begins with.
const ENVIRONMENTS: [(&str, &str); 3] =
    [("dev", "Development"), ("staging", "Staging"), ("prod", "Production")];
/// The environment that the printed connection string is for.
const PRINTED_ENVIRONMENT: &str = "prod";
/// How long answers under way get to end after a signal. Streams never end by themselves.
const FAREWELL: Duration = Duration::from_secs(1);
/// News that an open page may fall behind before it is told to look at everything.
const MAX_NEWS_BEHIND: usize = 64;

/// Runs until a signal ends it.
pub(crate) async fn run(args: &Serve) -> anyhow::Result<()> {
    let home = Home::of(args)?;
    // The port first: it is the likeliest to be taken, and nothing has been touched yet.
    let listener = listen(args.listen).await?;
    let address = listener.local_addr().context("asking for the address")?;
    let operation = match args.operation_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let embedded = Embedded::open(&home.folder)?;
    let sink = events::sink(&args.events).await?;
    let mut house = furnish(&home, embedded, address.port()).await?;
    let loopback = args.allow_loopback;
    let outbound =
        if loopback { HttpOutbound::with_loopback() } else { HttpOutbound::public_only() };
    house.platform.fetch_with(Arc::new(outbound));
    house.platform.believe_issuers(args.issuers.clone())?;

    if let Some(sink) = sink {
        house.works.tell_events(&house.platform, sink);
    }

    let base = format!("http://{}", reachable(address));
    let greeting = Greeting {
        base: &base,
        home: &home,
        first_start: house.keys.is_new,
        admin_key: &house.keys.admin,
        connection: &house.keys.connection(&base, &home.org, PRINTED_ENVIRONMENT),
        once: &house.page.door.one_time_secret()?,
        open_to_others: !address.ip().is_loopback(),
    };
    let app = flagforge_platform::cors(house.app(), &args.cors_origins)?;
    if let Some(listener) = operation {
        let operation = flagforge_relay::operation(Arc::clone(&house.relay));
        tokio::spawn(async move { axum::serve(listener, operation).await });
    }
    let relay = Arc::clone(&house.relay);
    let server = tokio::spawn(async move {
        let until = async move {
            signal().await.unwrap_or_else(|error| tracing::error!(%error, "no signals"));
            relay.close();
        };
        axum::serve(listener, app).with_graceful_shutdown(until).await
    });
    greeting.print();
    if let Some(said) = house.said {
        let connection = greeting.connection.to_owned();
        tokio::spawn(async move {
            if let Err(error) = sample::speak(&connection, &demo::TENANTS, said).await {
                tracing::error!(error = format!("{error:#}"), "the sample service did not start");
            }
        });
    }
    tokio::select! {
        ended = server => ended.context("the server broke off")?.context("serving"),
        () = async { drop(signal().await); tokio::time::sleep(FAREWELL).await } => Ok(()),
    }
}

/// What `serve` is asked to be at home in.
struct Home {
    org: OrgKey,
    name: &'static str,
    folder: PathBuf,
    is_demo: bool,
}

impl Home {
    fn of(args: &Serve) -> anyhow::Result<Self> {
        let (org, name, folder) =
            if args.demo { ("demo", "Demo", "demo-data") } else { ("default", "Default", "data") };
        let folder = args.data.clone().unwrap_or_else(|| PathBuf::from(folder));
        Ok(Self { org: OrgKey::new(org)?, name, folder, is_demo: args.demo })
    }
}

/// Everything that runs, before anyone is let in.
struct House {
    platform: Platform,
    relay: Arc<Relay>,
    keys: Keys,
    page: Arc<Page>,
    /// Where the sample service's sayings go, in the demo.
    said: Option<watch::Sender<Vec<sample::Saying>>>,
    /// Publishes as long as the house stands.
    works: Works,
}

impl House {
    /// Everything that is served, on one address.
    fn app(&self) -> Router {
        let in_force = InForce { platform: self.platform.clone(), news: self.page.news.clone() };
        let management = flagforge_platform::app(self.platform.clone())
            .layer(middleware::from_fn_with_state(in_force, in_force::wait));
        page::app(self.page.clone(), management).merge(flagforge_relay::app(self.relay.clone()))
    }
}

async fn furnish(home: &Home, embedded: Embedded, port: u16) -> anyhow::Result<House> {
    let trust = embedded.ensure_trust().await?;
    let timer = embedded.timer.clone();
    let objects = embedded.object_folder().context("the hands have no folder of objects")?;
    let platform = embedded.platform();
    let envs = ENVIRONMENTS.map(|(key, name)| EnvKey::new(key).map(|key| (key, name)));
    let envs = envs.into_iter().collect::<Result<Vec<_>, _>>()?;
    keys::check_home(&home.folder, &home.org)?;
    let first = bootstrap::home(&platform, &home.org, home.name, &envs).await?;
    let printed = EnvKey::new(PRINTED_ENVIRONMENT)?;
    let keys = Keys::ensure(home, &platform, first, &printed, trust.root).await?;
    let api = Inside::new(flagforge_platform::app(platform.clone()), keys.admin.expose());
    if home.is_demo {
        demo::fill(&home.folder, home.org.as_str(), &api)
            .await
            .context("making the demo's data")?;
    }

    let mut config = Config::new(vec![trust.root]);
    config.reports_to = Some(told::told(&platform));
    let relay = Relay::new(Arc::new(FolderOrigin::new(&objects)), config);
    let news = broadcast::Sender::new(MAX_NEWS_BEHIND);
    tokio::spawn(news::tell(relay.clone(), embedded.bus.subscribe(), news.clone()));
    let works = Works::start(&platform, Arc::new(embedded)).await;

    let door = Arc::new(Door::new(home.org.as_str(), port, api, timer));
    door.tidy().await?;
    let (said, says) = watch::channel(Vec::new());
    let page = Page {
        org: home.org.to_string(),
        door,
        data: Inside::new(flagforge_relay::app(relay.clone()), keys.page.expose()),
        news,
        says: home.is_demo.then_some(says),
    };
    let said = home.is_demo.then_some(said);
    Ok(House { platform, relay, keys, page: Arc::new(page), said, works })
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program listens there, maybe another flagforge; stop it or choose another \
                 address, say --listen 127.0.0.1:8081"
            }
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need rights that this process has not; choose a higher one with --listen"
            }
            std::io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address; use --listen 127.0.0.1:8080, or 0.0.0.0 for all it has"
            }
            _ => "choose another address with --listen",
        };
        anyhow::Error::new(error).context(format!("cannot listen on {address}: {advice}"))
    })
}

/// An address that a client on this machine can call.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    reachable
}

/// Waits for Ctrl-C or SIGTERM.
async fn signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
