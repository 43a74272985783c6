//! The function over a folder of manifests, a table in memory, and connections that do what a test says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flagforge::origin::FolderOrigin;
use flagforge_aws::Untold;
use flagforge_aws::events::socket::{SocketAnswer, SocketEvent};
use flagforge_flags::KeyKind;
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{
    Condition, Item, ItemKey, OneTable, Page, PageToken, Query, Table, TableError, Write,
};
use flagforge_relay::{Config, Relay};
use serde_json::{Value as Json, json};

use super::kit::{Publisher, boolean, directory};
use crate::connections::Connections;
use crate::handle::Connect;
use crate::line::Line;

#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) items: Mutex<BTreeMap<ItemKey, Item>>,
    /// Whether it is away.
    pub(crate) away: Mutex<bool>,
    /// Most items of a page.
    pub(crate) page: Mutex<usize>,
}

impl Memory {
    fn there(&self) -> Result<(), TableError> {
        let away = *self.away.lock().unwrap();
        if away { Err(TableError::Unavailable("away".into())) } else { Ok(()) }
    }

    /// The sort keys of `demo/prod` that begin so, and how many connections are known by their ids.
    pub(crate) fn listed(&self, prefix: &str) -> Vec<String> {
        let items = self.items.lock().unwrap();
        let mine = items.keys().filter(|key| key.pk == "demo#env#prod");
        mine.map(|key| key.sk.clone()).filter(|sk| sk.starts_with(prefix)).collect()
    }

    pub(crate) fn by_id(&self) -> Vec<String> {
        let items = self.items.lock().unwrap();
        items.keys().filter_map(|key| key.pk.strip_prefix("~#").map(str::to_owned)).collect()
    }

    /// Makes what is there so much older.
    pub(crate) fn age(&self, by: Duration) {
        for item in self.items.lock().unwrap().values_mut() {
            let mut body: Json = serde_json::from_str(&item.body).unwrap();
            if let Some(since) = body.get_mut("since") {
                let then: Timestamp = serde_json::from_value(since.clone()).unwrap();
                let earlier = then.as_millis() - i64::try_from(by.as_millis()).unwrap();
                *since = json!(Timestamp::from_millis(earlier));
                item.body = body.to_string();
            }
            let seconds = i64::try_from(by.as_secs()).unwrap();
            item.expires_at_seconds = item.expires_at_seconds.map(|at| at - seconds);
        }
    }
}

#[async_trait]
impl Table for Memory {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, TableError> {
        self.there()?;
        Ok(self.items.lock().unwrap().get(key).cloned())
    }

    async fn query(&self, query: &Query) -> Result<Page, TableError> {
        self.there()?;
        let limit = *self.page.lock().unwrap();
        let after = query.page.as_ref().map(|PageToken(sk)| sk.clone());
        let items = self.items.lock().unwrap();
        let mut found = items.values().filter(|item| {
            let sk = &item.key.sk;
            item.key.pk == query.pk
                && (&query.from..&query.until).contains(&sk)
                && after.as_ref().is_none_or(|after| sk > after)
        });
        let page: Vec<Item> = found.by_ref().take(limit).cloned().collect();
        let more = found.next().is_some();
        let next = page.last().filter(|_| more).map(|item| PageToken(item.key.sk.clone()));
        Ok(Page { items: page, next })
    }

    async fn transact(&self, writes: Vec<Write>, _: Option<&str>) -> Result<(), TableError> {
        self.there()?;
        let mut items = self.items.lock().unwrap();
        let holds = |write: &Write| match write.condition() {
            Condition::Any => true,
            Condition::Absent => !items.contains_key(write.key()),
            other => unreachable!("{other:?}"),
        };
        if !writes.iter().all(holds) {
            return Err(TableError::Conflict { failed: vec![0] });
        }
        for write in writes {
            match write {
                Write::Put { item, .. } => drop(items.insert(item.key.clone(), item)),
                Write::Delete { key, .. } => drop(items.remove(&key)),
                Write::Check { .. } => {}
            }
        }
        Ok(())
    }
}

/// Connections that hear, unless they are gone or broken.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) said: Mutex<Vec<(String, Json)>>,
    pub(crate) ended: Mutex<BTreeSet<String>>,
    pub(crate) gone: Mutex<BTreeSet<String>>,
    pub(crate) broken: Mutex<BTreeSet<String>>,
    /// How many are told at this instant, and how many were at most.
    pub(crate) at_once: Mutex<(usize, usize)>,
}

impl Lines {
    /// Who heard something since the last look, and what, by name.
    pub(crate) fn heard(&self) -> Vec<(String, Json)> {
        let mut said = std::mem::take(&mut *self.said.lock().unwrap());
        said.sort_by(|a, b| a.0.cmp(&b.0));
        said
    }

    pub(crate) fn who_heard(&self) -> Vec<String> {
        self.heard().into_iter().map(|(id, _)| id).collect()
    }
}

#[async_trait]
impl Line for Lines {
    async fn say(&self, id: &str, text: &str) -> Result<(), Untold> {
        {
            let mut at_once = self.at_once.lock().unwrap();
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        self.at_once.lock().unwrap().0 -= 1;
        if self.gone.lock().unwrap().contains(id) {
            return Err(Untold::Gone);
        }
        if self.broken.lock().unwrap().contains(id) {
            return Err(Untold::Failed("broken".into()));
        }
        let said = serde_json::from_str(text).unwrap();
        self.said.lock().unwrap().push((id.to_owned(), said));
        Ok(())
    }

    async fn end(&self, id: &str) -> Result<(), Untold> {
        self.ended.lock().unwrap().insert(id.to_owned());
        Ok(())
    }
}

pub(crate) struct World {
    pub(crate) publisher: Publisher,
    pub(crate) connect: Connect,
    pub(crate) table: Arc<Memory>,
    pub(crate) lines: Arc<Lines>,
    /// A server's key for all tenants.
    pub(crate) server: String,
    /// One that is bound to acme, and one to globex.
    pub(crate) acme: String,
    pub(crate) globex: String,
    _folder: tempfile::TempDir,
}

impl World {
    /// `demo/prod`, with manifests of its own for acme and globex.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = Publisher::new(folder.path());
        let server = publisher.key(KeyKind::Server, "k1", |_| {});
        let bound = |tenant: &str| Some(super::kit::tenant(tenant));
        let acme = publisher.key(KeyKind::Server, "k2", |key| key.tenant = bound("acme"));
        let globex = publisher.key(KeyKind::Server, "k3", |key| key.tenant = bound("globex"));
        publisher.publish_trust(&[]);
        let mut config = Config::for_function(publisher.pinned());
        config.poll = Duration::ZERO;
        let relay = Relay::new(Arc::new(FolderOrigin::new(&publisher.folder)), config);
        let table = Arc::new(Memory { page: Mutex::new(1_000), ..Memory::default() });
        let connections = Connections::new(Arc::new(OneTable(Arc::clone(&table) as _)));
        let lines = Arc::new(Lines::default());
        let connect = Connect { relay, connections, line: Arc::clone(&lines) as _ };
        let mut world =
            Self { publisher, connect, table, lines, server, acme, globex, _folder: folder };
        world.publish(&[("acme", 1), ("globex", 1)]);
        world
    }

    /// Publishes the environment, and the manifests of these tenants at these numbers of their own.
    pub(crate) fn publish(&mut self, tenants: &[(&str, u64)]) {
        let flags = [boolean("checkout")];
        let everybody = [directory("acme", &["checkout"]), directory("globex", &[])];
        self.publisher.publish(&flags, &everybody);
        for (tenant, number) in tenants {
            let one = everybody.iter().find(|(key, _)| key.as_str() == *tenant).unwrap();
            self.publisher.publish_tenant(*number, &flags, one);
        }
    }

    pub(crate) async fn handle(&self, event: Json) -> SocketAnswer {
        let event: SocketEvent = serde_json::from_value(event).unwrap();
        self.connect.handle(event).await.unwrap()
    }

    /// Somebody asks for a connection: the status.
    pub(crate) async fn connects(&self, id: &str, headers: Json) -> u16 {
        let event = json!({
            "requestContext": {"eventType": "CONNECT", "connectionId": id}, "headers": headers,
        });
        self.handle(event).await.status_code
    }

    /// The same with a key, in prod.
    pub(crate) async fn connects_with(&self, id: &str, key: &str) -> u16 {
        self.connects(id, bearer(key)).await
    }

    pub(crate) async fn says(&self, id: &str) -> SocketAnswer {
        let context = json!({"eventType": "MESSAGE", "connectionId": id});
        self.handle(json!({"requestContext": context, "body": "{\"action\":\"ping\"}"})).await
    }

    pub(crate) async fn leaves(&self, id: &str) -> u16 {
        let context = json!({"eventType": "DISCONNECT", "connectionId": id});
        self.handle(json!({"requestContext": context})).await.status_code
    }

    /// SNS says that the environment has new roots.
    pub(crate) fn announced() -> SocketEvent {
        let message =
            json!({"notice": "published", "org": "demo", "env": "prod", "revision": "1.2"});
        let event = json!({"Records": [{"Sns": {"Message": message.to_string()}}]});
        serde_json::from_value(event).unwrap()
    }

    pub(crate) async fn announce(&self) {
        let answer = self.connect.handle(Self::announced()).await.unwrap();
        assert_eq!(answer.status_code, 200);
    }
}

pub(crate) fn bearer(key: &str) -> Json {
    json!({"Authorization": format!("Bearer {key}"), "FlagForge-Environment": "prod"})
}
