//! The whole platform in one process, on hands in memory, behind one listener on loopback.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use flagforge_embedded::{Embedded, Works};
use flagforge_flags::access_key::{AccessKey, KeyKind};
use flagforge_flags::keys::OrgKey;
use flagforge_platform::ports::{Notice, OneTable, Table, Tables};
use flagforge_platform::{HttpOutbound, Operator, Platform};
use flagforge_relay::{Config, Relay};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use crate::origin::ObjectsOrigin;
use crate::stack::{CONSOLE, Delivery, Stack};

/// A platform at work. Dropping it stops everything.
#[derive(Debug)]
pub struct World {
    pub stack: Stack,
    pub platform: Platform,
    pub hands: Arc<Embedded>,
    tasks: JoinSet<()>,
    _works: Works,
}

impl World {
    /// A new platform in memory.
    pub async fn start() -> anyhow::Result<Self> {
        let hands = Embedded::memory()?;
        let table = hands.table.clone();
        Self::on(hands, table).await
    }

    /// A platform on these hands, whose rules see the table through `table` (a wrapper with faults, say).
    pub async fn on(hands: Embedded, table: Arc<dyn Table>) -> anyhow::Result<Self> {
        Self::within(hands, Arc::new(OneTable(table))).await
    }

    /// A platform on these hands, with one table or several.
    pub async fn within(hands: Embedded, tables: Arc<dyn Tables>) -> anyhow::Result<Self> {
        let secret = "operator-of-the-test-world-and-nothing-else";
        let home = OrgKey::new("operator")?;
        let key = AccessKey::new(KeyKind::Management, home, None, "world", secret)?;
        let operator = Operator { id: key.id().to_owned(), secret_sha256: key.secret_digest() };
        let trust = hands.ensure_trust().await?;
        let platform = Platform::new(
            tables,
            hands.objects.clone(),
            hands.signer.clone(),
            hands.bus.clone(),
            hands.timer.clone(),
            Some(operator),
        );
        platform.fetch_with(Arc::new(HttpOutbound::with_loopback()));
        let hands = Arc::new(hands);
        let works = Works::start(&platform, hands.clone()).await;
        let origin = Arc::new(ObjectsOrigin(hands.objects.clone()));
        let relay = Relay::new(origin, Config::new(vec![trust.root]));
        let mut tasks = JoinSet::new();
        tasks.spawn(announce(hands.bus.subscribe(), relay.clone()));
        let app: Router =
            flagforge_platform::app(platform.clone()).merge(flagforge_relay::app(relay));
        let app = flagforge_platform::cors(app, &[CONSOLE.to_owned()])?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("binding")?;
        let url = format!("http://{}", listener.local_addr()?);
        tasks.spawn(async move {
            // Ends with the world.
            let _ = axum::serve(listener, app).await;
        });
        let stack = Stack {
            url,
            operator_key: key.expose(),
            roots: vec![trust.root.to_string()],
            delivery: Delivery::Http,
            patience: Duration::from_secs(10),
            notified: None,
            push_url: None,
        };
        Ok(Self { stack, platform, hands, tasks, _works: works })
    }

    /// Stops the listener and everything else, as a crash of the process would look from outside.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn announce(mut notices: tokio::sync::broadcast::Receiver<Notice>, relay: Arc<Relay>) {
    loop {
        match notices.recv().await {
            Ok(Notice::Published { org, env, .. }) => relay.notify(&org, &env).await,
            // Its poll heals what was missed.
            Ok(Notice::Changed { .. }) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
