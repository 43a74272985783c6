//! The bundled sample service: a program that uses the SDK as a customer's service would, over HTTP, and
//! says something for each tenant. It knows nothing of the server that it may share a process with.

use std::time::Duration;

use anyhow::Context as _;
use flagforge::{Client, Flag, Tenant};
use serde::Serialize;
use tokio::sync::watch;

const DASHBOARD: Flag<bool> = Flag::new("new-dashboard", false);
const BUTTON: Flag<&'static str> = Flag::new("checkout-button", "Buy now");
const EXPORTS: Flag<i64> = Flag::new("export-workers", 1);
const STORAGE: Flag<&'static str> = Flag::new("orders-storage", "LEGACY_ONLY");

/// A shopper who is always there, so that the percentage split has somebody to place.
const SHOPPER: &str = "u-2";
/// How often the service looks at its flags, as one that is asked ten times a second would.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a start waits for the server.
const START_WITHIN: Duration = Duration::from_secs(5);

/// What the service says for one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Saying {
    pub(crate) tenant: String,
    pub(crate) says: String,
    /// The revision of the configuration that it says it from; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<String>,
}

/// Runs the service as long as somebody listens to what it says.
pub(crate) async fn speak<T: AsRef<str>>(
    connection: &str,
    tenants: &[T],
    said: watch::Sender<Vec<Saying>>,
) -> anyhow::Result<()> {
    let client = Client::connect(connection).start_within(START_WITHIN).await?;
    let tenants = tenants.iter().map(|key| client.tenant(key).context("naming a tenant"));
    let tenants = tenants.collect::<anyhow::Result<Vec<Tenant>>>()?;
    while !said.is_closed() {
        let now: Vec<Saying> = tenants.iter().map(say).collect();
        said.send_if_modified(|before| {
            let is_news = *before != now;
            *before = now;
            is_news
        });
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

fn say(tenant: &Tenant) -> Saying {
    let flags = tenant.user(SHOPPER).attr("country", "DE").flags();
    let dashboard =
        if flags.get(&DASHBOARD) { "the new dashboard" } else { "the classic dashboard" };
    let says = format!(
        "Showing {dashboard}. The last button reads “{}”. Running {} exports at a time. Orders are at {}.",
        flags.get(&BUTTON),
        flags.get(&EXPORTS),
        flags.get(&STORAGE),
    );
    let revision = flags.revision().map(|revision| revision.to_string());
    Saying { tenant: tenant.key().to_string(), says, revision }
}

/// `flagforge sample`: the same service as a process of its own. Prints what is new until Ctrl-C.
pub(crate) async fn run(connection: &str, tenants: &[String]) -> anyhow::Result<()> {
    let (said, mut heard) = watch::channel(Vec::new());
    tokio::select! {
        done = speak(connection, tenants, said) => done,
        () = repeat(&mut heard) => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted.context("waiting for Ctrl-C"),
    }
}

async fn repeat(heard: &mut watch::Receiver<Vec<Saying>>) {
    let mut before: Vec<Saying> = Vec::new();
    while heard.changed().await.is_ok() {
        let now = heard.borrow_and_update().clone();
        let is_old = |new: &Saying| {
            before.iter().any(|old| (&old.tenant, &old.says) == (&new.tenant, &new.says))
        };
        for saying in now.iter().filter(|saying| !is_old(saying)) {
            let revision = saying.revision.as_deref().unwrap_or("no revision");
            crate::args::say(&format!("[{revision}] {}: {}", saying.tenant, saying.says));
        }
        before = now;
    }
}
