//! A platform without listeners, and a few words to talk to it.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_embedded::Embedded;
use flagforge_flags::Revision;
use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{
    ChunkRef, Digest, Listing, Root, RootClaims, Scope, ScopeId, Trust, verify_root,
};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagClass, ValueType};
use flagforge_platform::input::DefinitionInput;
use flagforge_platform::log::LogEntry;
use flagforge_platform::ports::{
    Fetched, Item, ItemKey, OneTable, Page, Query, Table, TableError, Write,
};
use flagforge_platform::read::PageOf;
use flagforge_platform::{Caller, Change, LogId, Outcome, Platform, Request, bootstrap};

/// An instant that no test comes to.
pub(crate) const FAR: Timestamp = Timestamp::from_seconds(10_000_000_000);

pub(crate) fn org() -> OrgKey {
    OrgKey::new("home").unwrap()
}

pub(crate) fn env(key: &str) -> EnvKey {
    EnvKey::new(key).unwrap()
}

pub(crate) fn flag(key: &str) -> FlagKey {
    FlagKey::new(key).unwrap()
}

pub(crate) fn caller() -> Caller {
    Caller::system("test")
}

/// A platform on these hands, seeing the table through `table`.
pub(crate) fn platform(hands: &Embedded, table: Arc<dyn Table>) -> Platform {
    let (objects, signer) = (hands.objects.clone(), hands.signer.clone());
    let table = Arc::new(OneTable(table));
    Platform::new(table, objects, signer, hands.bus.clone(), hands.timer.clone(), None)
}

/// Hands in memory with the organization `home`, its environments `dev` and `prod`, and the flag `f`.
pub(crate) async fn furnished() -> (Embedded, Platform, Trust) {
    furnished_on(Embedded::memory().unwrap()).await
}

/// The same on these hands.
pub(crate) async fn furnished_on(hands: Embedded) -> (Embedded, Platform, Trust) {
    let trust = hands.ensure_trust().await.unwrap().trust;
    let platform = platform(&hands, hands.table.clone());
    let envs = [(env("dev"), "Dev"), (env("prod"), "Prod")];
    bootstrap::home(&platform, &org(), "Home", &envs).await.unwrap();
    define(&platform, "f").await;
    (hands, platform, trust)
}

pub(crate) async fn commit(platform: &Platform, change: Change) -> u64 {
    match platform.commit(&caller(), &Request::of(change, "test")).await.unwrap() {
        Outcome::Committed(committed) => committed.number,
        Outcome::ChangeRequested(id) => panic!("{id} waits for approval"),
    }
}

pub(crate) async fn define(platform: &Platform, key: &str) {
    let definition = DefinitionInput::of(FlagClass::Release, ValueType::Boolean);
    let uid = format!("uid-of-{key}");
    commit(platform, Change::PutFlag { org: org(), flag: flag(key), uid, definition }).await;
}

pub(crate) fn enable(key: &str, enabled: bool) -> Change {
    Change::SetEnabled { org: org(), env: env("prod"), flag: flag(key), enabled }
}

pub(crate) fn tenant(key: &str) -> Change {
    Change::PutTenant {
        org: org(),
        tenant: TenantKey::new(key).unwrap(),
        uid: format!("uid-of-{key}"),
        name: key.to_owned(),
        attributes: serde_json::Map::new(),
        synthetic: false,
    }
}

/// All entries of a log.
pub(crate) async fn log(platform: &Platform, env: Option<EnvKey>) -> Vec<LogEntry> {
    let log = LogId { org: org(), env };
    let mut entries = Vec::new();
    let mut page = PageOf { limit: Some(500), ..PageOf::default() };
    loop {
        let listing = platform.log(&caller(), &log, &page).await.unwrap();
        entries.extend(listing.items.into_iter().map(|stored| stored.value));
        match listing.next {
            None => return entries,
            next => page.cursor = next,
        }
    }
}

/// What the logs hold, as a revision.
pub(crate) async fn heads(platform: &Platform) -> Revision {
    let org = log(platform, None).await.len() as u64;
    let env = log(platform, Some(env("prod"))).await.len() as u64;
    Revision { org, env }
}

/// The claims of the root that stands, verified.
pub(crate) async fn root(hands: &Embedded, trust: &Trust, scope: Scope) -> RootClaims {
    let id = ScopeId { org: org(), env: env("prod"), scope };
    verified(hands, trust, &id).await.claims().clone()
}

/// The chunks of the root that stands.
pub(crate) async fn chunks(hands: &Embedded, trust: &Trust, scope: Scope) -> Vec<ChunkRef> {
    let id = ScopeId { org: org(), env: env("prod"), scope };
    let root = verified(hands, trust, &id).await;
    listed(hands, &root).await.0.chunks().cloned().collect()
}

pub(crate) async fn verified(hands: &Embedded, trust: &Trust, id: &ScopeId) -> Root {
    let text = object(hands, &id.root_name()).await;
    verify_root(&text, trust, id, None, hands.timer.now()).unwrap()
}

/// All that a root lists, with the bytes of its indexes and chunks, read from the store.
pub(crate) async fn listed(hands: &Embedded, root: &Root) -> (Listing, HashMap<Digest, Bytes>) {
    let mut bytes = HashMap::new();
    let org = &root.claims().org;
    for index in Listing::lacking(root, None) {
        bytes.insert(index.sha256, object(hands, &format!("{org}/chunks/{}", index.sha256)).await);
    }
    let listing = Listing::of(root, &mut |digest| bytes.get(digest), None).unwrap();
    for chunk in listing.chunks() {
        bytes.insert(chunk.sha256, object(hands, &format!("{org}/chunks/{}", chunk.sha256)).await);
    }
    (listing, bytes)
}

async fn object(hands: &Embedded, name: &str) -> Bytes {
    match hands.objects.get(name, None).await.unwrap() {
        Fetched::Found { bytes, .. } => bytes,
        other => panic!("{name}: {other:?}"),
    }
}

/// A table whose items a publisher sees otherwise than they are.
pub(crate) struct Rewritten<F> {
    pub(crate) table: Arc<dyn Table>,
    pub(crate) rewrite: F,
}

impl<F> std::fmt::Debug for Rewritten<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rewritten")
    }
}

#[async_trait]
impl<F: Fn(Item) -> Item + Send + Sync> Table for Rewritten<F> {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, TableError> {
        Ok(self.table.get(key).await?.map(&self.rewrite))
    }

    async fn query(&self, query: &Query) -> Result<Page, TableError> {
        let Page { items, next } = self.table.query(query).await?;
        Ok(Page { items: items.into_iter().map(&self.rewrite).collect(), next })
    }

    async fn transact(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), TableError> {
        self.table.transact(writes, token).await
    }
}
