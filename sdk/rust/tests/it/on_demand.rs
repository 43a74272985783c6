//! Clients that hold a part of the tenant directory.

mod model;
mod places;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge::origin::{Fetched, FolderOrigin, Origin, OriginError};
use flagforge::{Client, Connect, Directory, EvalError, Flag, FlagError, LoadTenantError, Status};
use flagforge_flags::keys::TenantKey;
use flagforge_flags::manifest::{Digest, Named, ScopeId, encode_tenants, tenant_shard};
use flagforge_flags::wire::{FlagWire, TenantWire};
use futures_util::FutureExt;
use serde_json::json;

use crate::kit::{Publisher, boolean, directory, edited};

const NAME: Flag<&str> = Flag::new("name", "-");
const SHARDS: u32 = 16;
const SOON: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

/// A flag that tells each tenant its own name and number, by way of its override.
fn named(tenants: usize) -> FlagWire {
    edited("name", "string", "", "", |wire| {
        let variant = |n: usize| json!({"key": format!("v{n}"), "value": format!("{n}")});
        wire["variants"] = (0..tenants).map(variant).collect();
        wire["state"]["off"] = json!("callerDefault");
        wire["state"]["fallthrough"] = json!("callerDefault");
    })
}

/// A tenant whose answer is this variant.
fn told(key: &str, variant: usize) -> (TenantKey, TenantWire) {
    let (key, mut wire) = directory(key, &["name"]);
    for entry in wire.overrides.values_mut() {
        *entry = serde_json::from_value(json!(format!("v{variant}"))).unwrap();
    }
    (key, wire)
}

/// One tenant in each of the first shards, by shard.
fn one_of_each(count: u32) -> Vec<String> {
    let mut found = BTreeMap::new();
    for name in (0..).map(|n| format!("t-{n}")) {
        found.entry(tenant_shard(&name, SHARDS)).or_insert(name);
        if found.len() == SHARDS as usize {
            break;
        }
    }
    found.into_values().take(count as usize).collect()
}

/// A folder that counts the chunks it hands over, and may go dark or hold its answers back.
#[derive(Debug)]
pub(crate) struct Watched {
    folder: FolderOrigin,
    dark: AtomicBool,
    pub(crate) holds_back: AtomicBool,
    chunks: Mutex<Vec<Digest>>,
}

impl Watched {
    pub(crate) fn over(folder: &Path) -> Arc<Self> {
        let folder = FolderOrigin::new(folder);
        let (dark, holds_back) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { folder, dark, holds_back, chunks: Mutex::default() })
    }

    pub(crate) fn go_dark(&self, dark: bool) {
        self.dark.store(dark, Ordering::SeqCst);
    }

    fn taken(&self) -> Vec<Digest> {
        std::mem::take(&mut self.chunks.lock().unwrap())
    }

    fn light(&self) -> Result<(), OriginError> {
        match self.dark.load(Ordering::SeqCst) {
            true => Err(OriginError::Refused { status: 503, what: "anything".into() }),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Origin for Watched {
    async fn trust(&self, scope: &ScopeId, n: Option<u64>) -> Result<Option<Bytes>, OriginError> {
        self.light()?;
        self.folder.trust(scope, n).await
    }

    async fn root(&self, scope: &ScopeId, held: Option<&str>) -> Result<Fetched, OriginError> {
        self.light()?;
        let answer = self.folder.root(scope, held).await;
        while self.holds_back.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        answer
    }

    async fn chunk(&self, scope: &ScopeId, named: Named) -> Result<Option<Bytes>, OriginError> {
        self.light()?;
        self.chunks.lock().unwrap().push(named.sha256);
        self.folder.chunk(scope, named).await
    }
}

struct Place {
    publisher: Publisher,
    origin: Arc<Watched>,
    tenants: Vec<(TenantKey, TenantWire)>,
    _folder: tempfile::TempDir,
}

impl Place {
    /// These tenants, each told its place in the list.
    fn of(names: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = Publisher::new(folder.path());
        publisher.shards = SHARDS;
        let origin = Watched::over(folder.path());
        let tenants = names.iter().enumerate().map(|(place, name)| told(name, place)).collect();
        let mut place = Self { publisher, origin, tenants, _folder: folder };
        place.publish();
        place
    }

    fn publish(&mut self) {
        self.publisher.publish(&[named(100), boolean("new-dashboard")], &self.tenants);
    }

    /// The bytes of the chunk that a tenant is in.
    fn bytes_of(&self, name: &str) -> u64 {
        let shard = tenant_shard(name, SHARDS);
        let here = self.tenants.iter().filter(|(k, _)| tenant_shard(k.as_str(), SHARDS) == shard);
        encode_tenants(here.map(|(key, wire)| (key, wire))).len() as u64
    }

    fn connect(&self, directory: Directory) -> Connect {
        let (scope, pins) = (self.publisher.environment(), self.publisher.pinned());
        Client::over(Arc::clone(&self.origin) as Arc<dyn Origin>, scope, pins)
            .poll_every(POLL)
            .directory(directory)
    }
}

fn within(bytes: u64) -> Directory {
    Directory::OnDemand { tenants: 1_000, bytes, ttl: Duration::from_secs(3_600) }
}

/// What a tenant is told; `None` where it is not loaded, and then every flag says so.
fn asked(client: &Client, name: &str) -> Option<String> {
    let tenant = client.tenant(name).unwrap();
    let flags = tenant.flags();
    let details = flags.details(&NAME);
    let Some(error) = details.error else { return Some(details.value.to_owned()) };
    assert_eq!(error, FlagError::Evaluation(EvalError::TenantNotLoaded));
    assert_eq!(
        (error.code(), details.fine.unwrap().as_str()),
        ("PROVIDER_NOT_READY", "TENANT_NOT_LOADED")
    );
    assert!(!flags.basis().tenant_known && details.value == "-");
    assert!(flags.details(&Flag::new("new-dashboard", true)).error.is_some());
    None
}

fn loaded(client: &Client, names: &[String]) -> Vec<usize> {
    (0..names.len()).filter(|&n| asked(client, &names[n]).is_some()).collect()
}

#[tokio::test]
async fn a_tenant_is_not_loaded_until_it_is_asked_for() {
    let names = one_of_each(6);
    let place = Place::of(&names);
    let client = place.connect(Directory::on_demand()).await.unwrap();
    assert_eq!(client.status(), Status::Ready);
    assert_eq!(loaded(&client, &names), Vec::<usize>::new());
    assert_eq!(place.origin.taken().len(), SHARDS as usize, "flags, and no tenants");
    let third = client.load_tenant(&names[3]).await.unwrap();
    assert_eq!(third.flags().get(&NAME), "3");
    assert_eq!(loaded(&client, &names), [3]);
    assert_eq!(place.origin.taken().len(), 1);
    client.load_tenant(&names[3]).await.unwrap();
    assert_eq!(place.origin.taken().len(), 0, "it is there already");
    // One that the directory does not know is known to be unknown.
    let stranger = client.load_tenant("stranger").await.unwrap();
    let flags = stranger.flags();
    assert!(flags.details(&NAME).error.is_none() && !flags.basis().tenant_known);
    assert!(matches!(client.load_tenant("a/b").await, Err(LoadTenantError::Key(_))));
    // Nor does asking on nobody's behalf need any tenant.
    let nobody = client.untenanted("a test");
    assert!(nobody.flags().details(&Flag::new("new-dashboard", true)).error.is_none());
}

#[tokio::test]
async fn of_a_new_root_only_what_changed_is_fetched_and_before_it_is_used() {
    let names = one_of_each(6);
    let mut place = Place::of(&names);
    let client = place.connect(Directory::on_demand()).await.unwrap();
    for name in &names[..3] {
        client.load_tenant(name).await.unwrap();
    }
    place.origin.taken();
    // One that is held and one that is not are changed.
    place.tenants[1] = told(&names[1], 91);
    place.tenants[5] = told(&names[5], 95);
    let before = client.tenant(&names[1]).unwrap();
    let before = before.flags();
    place.publish();
    assert!(client.wait_for("1.2".parse().unwrap()).within(SOON).await);
    let told: Vec<_> = names.iter().map(|name| asked(&client, name)).collect();
    let expected = [Some("0"), Some("91"), Some("2"), None, None, None];
    assert_eq!(told, expected.map(|text| text.map(str::to_owned)));
    assert_eq!(before.get(&NAME), "1", "a request is of one revision");
    assert_eq!(place.origin.taken().len(), 1);
    assert_eq!(client.load_tenant(&names[5]).await.unwrap().flags().get(&NAME), "95");
}

#[tokio::test]
async fn who_was_asked_for_longest_ago_makes_place() {
    let names = one_of_each(6);
    let place = Place::of(&names);
    let three: u64 = names[..3].iter().map(|name| place.bytes_of(name)).sum();
    let client = place.connect(within(three)).await.unwrap();
    for name in [0, 1, 2, 0, 3] {
        client.load_tenant(&names[name]).await.unwrap();
    }
    assert_eq!(loaded(&client, &names), [0, 2, 3]);
    let few = Directory::OnDemand { tenants: 2, bytes: u64::MAX, ttl: SOON };
    let client = place.connect(few).await.unwrap();
    for name in [0, 1, 2] {
        client.load_tenant(&names[name]).await.unwrap();
    }
    assert_eq!(loaded(&client, &names), [1, 2], "by their number as well");
}

#[tokio::test]
async fn a_chunk_at_the_limit_and_one_byte_past_it() {
    let names = one_of_each(1);
    let place = Place::of(&names);
    let bytes = place.bytes_of(&names[0]);
    let client = place.connect(within(bytes)).await.unwrap();
    assert!(client.load_tenant(&names[0]).await.is_ok());
    let client = place.connect(within(bytes - 1)).await.unwrap();
    let refused = client.load_tenant(&names[0]).await.err();
    assert_eq!(refused, Some(LoadTenantError::TooLarge { bytes, limit: bytes - 1 }));
    assert_eq!(asked(&client, &names[0]), None);
}

#[tokio::test]
async fn in_the_dark_nobody_is_let_go_and_nobody_new_is_loaded() {
    let names = one_of_each(4);
    let place = Place::of(&names);
    let two: u64 = names[..2].iter().map(|name| place.bytes_of(name)).sum();
    let ttl = Duration::from_millis(300);
    let client = place.connect(Directory::OnDemand { tenants: 2, bytes: two, ttl }).await.unwrap();
    client.load_tenant(&names[0]).await.unwrap();
    client.load_tenant(&names[1]).await.unwrap();
    place.origin.go_dark(true);
    tokio::time::sleep(2 * ttl).await;
    assert_eq!(client.status(), Status::LastKnownGood);
    let refused = client.load_tenant(&names[2]).await.err();
    assert!(
        matches!(&refused, Some(LoadTenantError::Unloadable(why)) if why.contains("503")),
        "{refused:?}"
    );
    assert_eq!(loaded(&client, &names), [0, 1], "for want of another");
    assert!(client.age().unwrap() >= ttl);
    client.load_tenant(&names[1]).await.unwrap();
    place.origin.go_dark(false);
    while loaded(&client, &names) != [1] {
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(client.load_tenant(&names[2]).await.unwrap().flags().get(&NAME), "2");
}

#[tokio::test]
async fn waiting_ends_with_the_time_and_with_the_client() {
    let names = one_of_each(2);
    let place = Place::of(&names);
    place.origin.go_dark(true);
    let start = Duration::from_millis(50);
    let client = place.connect(Directory::on_demand()).start_within(start).await.unwrap();
    assert_eq!(
        client.load_tenant(&names[0]).within(start).await.err(),
        Some(LoadTenantError::Late)
    );
    let (other, name) = (client.clone(), names[0].clone());
    let waiting = tokio::spawn(async move { other.load_tenant(name).within(SOON).await.err() });
    tokio::time::sleep(start).await;
    client.close().await;
    assert_eq!(waiting.await.unwrap(), Some(LoadTenantError::Closed));

    // Whoever holds every tenant waits for the manifest only.
    place.origin.go_dark(false);
    let client = place.connect(Directory::Whole).start_within(Duration::ZERO).await.unwrap();
    assert_eq!(client.load_tenant(&names[1]).await.unwrap().flags().get(&NAME), "1");
}

#[test]
fn what_is_fixed_has_every_tenant_and_needs_no_runtime() {
    let scope = json!({"org": "demo", "env": "test", "scope": "environment"});
    let scope = serde_json::from_value(scope).unwrap();
    let snapshot =
        flagforge::Snapshot::from_parts(scope, "7.8".parse().unwrap(), [named(3)], [told("a", 2)]);
    let client = Client::fixed(snapshot);
    let tenant = client.load_tenant("a").within(SOON).now_or_never().unwrap().unwrap();
    assert_eq!(tenant.flags().get(&NAME), "2");
}

#[tokio::test]
async fn asking_for_one_that_is_not_loaded_allocates_nothing() {
    let names = one_of_each(1);
    let place = Place::of(&names);
    let client = place.connect(Directory::on_demand()).await.unwrap();
    let tenant = client.tenant(&names[0]).unwrap();
    drop(tenant.flags());
    let counted = allocation_counter::measure(|| {
        let flags = tenant.user("u").flags();
        assert!(flags.details(&NAME).error.is_some());
        assert_eq!(flags.get(&NAME), "-");
    });
    assert_eq!(counted.count_total, 0);
}
