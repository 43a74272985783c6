//! A chunk that is used again in the very moment in which a sweep removes it: at any call of the sweep, and wherever its
//! publisher is by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_embedded::{Embedded, ManualTimer};
use flagforge_flags::manifest::{Digest, Scope, ScopeId, Trust};
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{
    ETag, Fetched, ListedObject, ObjectError, Objects, OneTable, PutIf,
};
use flagforge_platform::{LEFT_ALONE, Platform, handle};
use serde_json::{Value as Json, json};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::kit::{FAR, commit, env, furnished_on, listed, org, verified};

const MOMENT: Duration = Duration::from_millis(1);
/// Roots of one publication: of the environment, relays and canaries.
const ROOTS: usize = 3;

/// What the sweep waits for before its calls, and between asking and removing within one.
#[derive(Debug)]
struct Steps {
    seen: AtomicUsize,
    /// The step at which the publisher puts its chunks, the one at which it puts its roots, and the one at which the
    /// sweep dies.
    puts: usize,
    roots: usize,
    dies: usize,
    /// Lets the publisher begin, and its roots pass; answered when it came so far.
    begin: Notify,
    begun: Notify,
    pass: Semaphore,
    passed: Notify,
    died: Notify,
}

impl Steps {
    async fn step(&self) {
        let number = self.seen.fetch_add(1, Ordering::SeqCst);
        if number == self.puts {
            self.begin.notify_one();
            self.begun.notified().await;
        }
        if number == self.roots {
            self.pass.add_permits(ROOTS);
            self.passed.notified().await;
        }
        if number >= self.dies {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// The store as the sweep has it: it asks first, and removes then.
#[derive(Debug)]
struct Sweeping(Arc<Steps>, Arc<dyn Objects>);

#[async_trait]
impl Objects for Sweeping {
    async fn get(&self, name: &str, held: Option<&ETag>) -> Result<Fetched, ObjectError> {
        self.0.step().await;
        self.1.get(name, held).await
    }
    async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        content_type: &str,
        condition: PutIf,
    ) -> Result<ETag, ObjectError> {
        self.0.step().await;
        self.1.put(name, bytes, content_type, condition).await
    }
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, ObjectError> {
        self.0.step().await;
        self.1.list(prefix, after).await
    }
    async fn delete(&self, name: &str, before: Timestamp) -> Result<bool, ObjectError> {
        self.0.step().await;
        let (folder, _) = name.rsplit_once('/').unwrap();
        let there = self.1.list(&format!("{folder}/"), None).await?;
        if !there.iter().any(|object| object.name == name && object.put < before) {
            return Ok(false);
        }
        self.0.step().await;
        self.1.delete(name, FAR).await
    }
}

/// The store as the publisher has it: its roots wait until they may pass.
#[derive(Debug)]
struct Publishing(Arc<Steps>, Arc<dyn Objects>);

#[async_trait]
impl Objects for Publishing {
    async fn get(&self, name: &str, held: Option<&ETag>) -> Result<Fetched, ObjectError> {
        self.1.get(name, held).await
    }
    async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        content_type: &str,
        condition: PutIf,
    ) -> Result<ETag, ObjectError> {
        if name.starts_with("home/prod/") && !name.contains("/history/") {
            self.0.begun.notify_one();
            self.0.pass.acquire().await.unwrap().forget();
        }
        self.1.put(name, bytes, content_type, condition).await
    }
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, ObjectError> {
        self.1.list(prefix, after).await
    }
    async fn delete(&self, name: &str, before: Timestamp) -> Result<bool, ObjectError> {
        self.1.delete(name, before).await
    }
}

struct World {
    hands: Embedded,
    writer: Platform,
    timer: ManualTimer,
    trust: Trust,
    steps: Arc<Steps>,
}

impl World {
    /// Chunks are loose that the publisher will use again, were seen so once, and are due.
    async fn new(puts: usize, roots: usize, dies: usize) -> Self {
        let timer = ManualTimer::at(Timestamp::from_seconds(1_800_000_000));
        let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
        let (hands, writer, trust) = furnished_on(hands).await;
        let steps = Steps {
            seen: AtomicUsize::new(0),
            puts,
            roots,
            dies,
            begin: Notify::new(),
            begun: Notify::new(),
            pass: Semaphore::new(0),
            passed: Notify::new(),
            died: Notify::new(),
        };
        let world = Self { hands, writer, timer, trust, steps: Arc::new(steps) };
        world.furnish("gold").await;
        world.key("dev").await;
        handle::resign(&world.writer).await.unwrap();
        world.furnish("free").await;
        world.key("prod").await;
        handle::resign(&world.writer).await.unwrap();
        world.timer.advance(LEFT_ALONE + MOMENT);
        handle::sweep(&world.writer, FAR).await.unwrap();
        world.timer.advance(LEFT_ALONE + MOMENT);
        world
    }

    async fn make(&self, change: Json) {
        commit(&self.writer, serde_json::from_value(change).unwrap()).await;
    }

    async fn key(&self, env: &str) {
        let key = json!({"id": format!("home.{env}"), "kind": "server", "name": env, "role": "reader", "envs": [env], "created": Timestamp::from_seconds(0), "secretSha256": Digest::of(b"s")});
        self.make(json!({"change": "create-key", "org": "home", "key": key})).await;
    }

    async fn furnish(&self, plan: &str) {
        self.make(json!({"change": "put-tenant", "org": "home", "tenant": "acme", "uid": "u", "name": "Acme", "attributes": {"plan": plan}})).await;
    }

    fn on(&self, objects: Arc<dyn Objects>) -> Platform {
        let (signer, bus) = (self.hands.signer.clone(), self.hands.bus.clone());
        let table = Arc::new(OneTable(self.hands.table.clone()));
        Platform::new(table, objects, signer, bus, self.hands.timer.clone(), None)
    }

    /// Once it may begin it publishes what uses the chunk again.
    fn publisher(&self) -> JoinHandle<()> {
        let objects = self.hands.objects.clone();
        let publisher = self.on(Arc::new(Publishing(self.steps.clone(), objects)));
        let steps = self.steps.clone();
        tokio::spawn(async move {
            steps.begin.notified().await;
            handle::resign(&publisher).await.unwrap();
            steps.passed.notify_one();
        })
    }

    async fn sweep(&self) {
        let sweeper = self.on(Arc::new(Sweeping(self.steps.clone(), self.hands.objects.clone())));
        tokio::select! {
            swept = handle::sweep(&sweeper, FAR) => swept.unwrap(),
            () = self.steps.died.notified() => {}
        }
    }

    /// Runs both to their ends, and answers how many steps the sweep made.
    async fn race(&self) -> usize {
        // A chunk of all roots, and one of the first only.
        self.furnish("gold").await;
        self.make(json!({"change": "revoke-key", "org": "home", "id": "home.prod"})).await;
        let publisher = self.publisher();
        self.sweep().await;
        self.steps.begin.notify_one();
        self.steps.pass.add_permits(ROOTS);
        publisher.await.unwrap();
        self.steps.seen.load(Ordering::SeqCst)
    }

    async fn is_whole(&self) {
        for scope in [Scope::Environment, Scope::Relay, Scope::Canary] {
            let id = ScopeId { org: org(), env: env("prod"), scope };
            listed(&self.hands, &verified(&self.hands, &self.trust, &id).await).await;
        }
    }
}

const NEVER: usize = usize::MAX;

#[tokio::test]
async fn a_chunk_that_is_used_again_while_it_is_removed_is_there() {
    let steps = World::new(NEVER, NEVER, NEVER).await.race().await;
    assert!(steps > 15, "only {steps}");
    for puts in 0..steps {
        for roots in (puts..steps).take(4).chain([NEVER]) {
            let world = World::new(puts, roots, NEVER).await;
            world.race().await;
            world.is_whole().await;
        }
    }
}

#[tokio::test]
async fn what_a_sweep_that_died_took_with_it_comes_back_with_the_next() {
    let steps = World::new(NEVER, NEVER, NEVER).await.race().await;
    for puts in 0..steps {
        for dies in puts..=steps {
            let world = World::new(puts, puts, dies).await;
            world.race().await;
            world.timer.advance(LEFT_ALONE + MOMENT);
            handle::sweep(&world.on(world.hands.objects.clone()), FAR).await.unwrap();
            world.is_whole().await;
        }
    }
}

#[tokio::test]
async fn copies_of_what_was_removed_go_after_an_hour() {
    let world = World::new(NEVER, NEVER, NEVER).await;
    let copies =
        || async { world.hands.objects.list("home/chunks/removed/", None).await.unwrap().len() };
    handle::sweep(&world.writer, FAR).await.unwrap();
    assert_eq!(copies().await, 2);
    world.timer.advance(LEFT_ALONE);
    handle::sweep(&world.writer, FAR).await.unwrap();
    assert_eq!(copies().await, 2, "not yet an hour ago");
    world.timer.advance(MOMENT);
    handle::sweep(&world.writer, FAR).await.unwrap();
    assert_eq!(copies().await, 0);
}
