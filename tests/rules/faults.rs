//! The real handlers in bad weather: table, bucket, signer and bus that fail, also after they did what was asked; a bus and
//! a stream that delay, repeat and shuffle; ticks of the clock that are lost, late or doubled, and a clock that is set
//! back; and processes that are killed at any call. Whatever comes, nothing acknowledged is lost and nothing is done twice,
//! no log has a gap, a reader is never refused and never goes back, and when the weather clears everybody is where the logs are.

mod weather;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flagforge::Loader;
use flagforge_embedded::{Embedded, Feed, FeedEvent, ManualTimer};
use flagforge_flags::manifest::{Scope, ScopeId, Trust};
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{OneTable, SystemTimer, Table, Timer as _};
use flagforge_platform::read::PageOf;
use flagforge_platform::webhooks::WebhookInput;
use flagforge_platform::{
    Caller, Change, Error, Outcome, Platform, Request, ScheduleInput, ScheduleState, handle,
};
use flagforge_tests::ObjectsOrigin;
use serde_json::json;
use tokio::time::timeout;

use crate::incremental::change;
use crate::killed::{Hasty, Life};
use crate::kit::{self, caller, enable, env, furnished_on, org, root};
use weather::{Endpoint, Frail, Message, Tick, Weather};

/// Processes that are killed, unless `FLAGFORGE_KILLS` says another number.
const KILLS: usize = 200;
/// Calls that a process lives for at most.
const LONGEST_LIFE: usize = 150;
/// Simulated time between two steps at most. All of it stays within the ten minutes by which a reader's clock, which is the
/// machine's, may be behind the publisher's.
const STEP_MILLIS: usize = 25;

struct World {
    hands: Embedded,
    timer: ManualTimer,
    trust: Trust,
    weather: Arc<Weather>,
    endpoint: Endpoint,
    stream: Feed,
    sdk: Loader,
    /// The requests that were acknowledged.
    acknowledged: BTreeSet<String>,
}

impl World {
    fn born(&self, last: Option<(usize, bool)>) -> (Platform, Arc<Life>) {
        let life = Arc::new(Life::until(last));
        fn frail<H: ?Sized>(life: &Arc<Life>, weather: &Arc<Weather>, hand: Arc<H>) -> Frail<H> {
            Frail { life: life.clone(), weather: weather.clone(), hand }
        }
        let table: Arc<dyn Table> = self.hands.table.clone();
        let table = Arc::new(frail(&life, &self.weather, table));
        let objects = Arc::new(frail(&life, &self.weather, self.hands.objects.clone()));
        let signer = Arc::new(frail(&life, &self.weather, self.hands.signer.clone()));
        let bus = Arc::new(frail(&life, &self.weather, self.weather.clone()));
        let timer = Arc::new(Hasty(self.timer.clone()));
        let tables = Arc::new(OneTable(table));
        let process = Platform::new(tables, objects, signer, bus, timer, None);
        process.deliver_webhooks();
        process.fire_schedules();
        (process, life)
    }

    /// What the table's stream says goes on its way. It loses nothing.
    async fn listen(&mut self) {
        // What was committed is there at once, or nothing is.
        while let Ok(Some(event)) = timeout(Duration::ZERO, self.stream.next()).await {
            match event {
                FeedEvent::Records(records) => self.weather.send(Message::Stream(records)),
                FeedEvent::Lagged { .. } => panic!("the test reads too seldom"),
            }
        }
    }

    /// One thing that a process does.
    async fn step(&mut self, process: &Platform, life: &Life, number: usize) {
        let weather = self.weather.clone();
        match weather.below(6) {
            0 => self.commit(process, life, number).await,
            1 => {
                let tick = [Tick::Fire, Tick::Resign, Tick::Webhooks][weather.below(3)];
                // One in four is lost.
                if weather.below(4) > 0 {
                    weather.send(Message::Tick(tick));
                }
            }
            _ => {
                if let Some(message) = weather.arrives() {
                    self.deliver(process, life, message).await;
                }
            }
        }
        self.listen().await;
    }

    /// What is not answered well comes again; only the clock's does not.
    async fn deliver(&self, process: &Platform, life: &Life, message: Message) {
        let handled = life.lived(self.handle(process, message.clone())).await;
        let well = handled.is_some_and(|handled| handled.is_ok());
        if !well && !matches!(message, Message::Tick(_)) {
            self.weather.pending.lock().unwrap().push(message);
        }
    }

    async fn handle(&self, process: &Platform, message: Message) -> Result<(), Error> {
        let until = self.timer.now().plus(handle::TELL_WITHIN);
        let clock = Caller::system("scheduler");
        match message {
            Message::Stream(records) => handle::fanout(process, &records).await,
            Message::Publish(notice) => handle::snapshot(process, &notice).await,
            Message::Tell => handle::webhooks_until(process, &self.endpoint, &org(), until).await,
            Message::Tick(Tick::Fire) => handle::fire(process, &clock, self.timer.now()).await,
            Message::Tick(Tick::Resign) => handle::resign(process).await,
            Message::Tick(Tick::Webhooks) => {
                handle::all_webhooks(process, &self.endpoint, until).await
            }
        }
    }

    async fn commit(&mut self, process: &Platform, life: &Life, number: usize) {
        let id = format!("step-{number}");
        let request = |change| {
            let reason = Some("by chance".to_owned());
            Request { reason, ..Request::of(change, &id) }
        };
        let outcome = if self.weather.below(8) == 0 {
            let at = self.timer.now().plus(Duration::from_millis(500));
            let input = json!({"at": at, "do": {"kill": {"flag": "f"}}});
            let input: ScheduleInput = serde_json::from_value(input).unwrap();
            let caller = caller();
            let scheduled = process.schedule(&caller, (org(), env("prod")), input, request);
            life.lived(scheduled).await.map(|made| made.map(|(_, outcome)| outcome))
        } else {
            let change = self.change(number);
            life.lived(async { process.commit(&caller(), &request(change)).await }).await
        };
        if let Some(Ok(Outcome::Committed(_))) = outcome {
            self.acknowledged.insert(id);
        }
    }

    fn change(&self, number: usize) -> Change {
        if self.weather.below(3) == 0 {
            return enable("f", self.weather.below(2) == 0);
        }
        let json = change(&mut self.weather.chance.lock().unwrap(), 10 * number);
        serde_json::from_value(json).unwrap()
    }

    /// A reader is never refused, and finds everything that a root names.
    async fn read(&mut self) {
        let before = self.sdk.held().map(|held| held.root().unwrap().position());
        self.sdk.refresh().await.unwrap();
        let now = self.sdk.held().unwrap().root().unwrap().position();
        assert!(before.is_none_or(|before| before.allows(&now)), "{before:?} {now:?}");
    }

    /// The requests in both logs, each as often as it is there. There is no gap.
    async fn logged(&self, platform: &Platform) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for of in [None, Some(env("prod"))] {
            for (place, entry) in kit::log(platform, of).await.into_iter().enumerate() {
                assert_eq!(entry.number, place as u64 + 1, "a gap");
                *found.entry(entry.request_id).or_default() += 1;
            }
        }
        found
    }

    /// The weather clears: what is on its way arrives, and everything is where the logs are.
    async fn clear_up(&mut self) {
        self.weather.is_bad.store(false, Ordering::SeqCst);
        let (process, life) = self.born(None);
        loop {
            self.listen().await;
            let Some(message) = self.weather.arrives() else { break };
            self.deliver(&process, &life, message).await;
        }
        let calm = kit::platform(&self.hands, self.hands.table.clone());
        let logged = self.logged(&calm).await;
        for id in &self.acknowledged {
            assert_eq!(logged.get(id), Some(&1), "{id} was acknowledged");
        }
        let twice = logged.iter().find(|(id, times)| id.starts_with("step-") && **times > 1);
        assert_eq!(twice, None);
        // Without any clock: the notices alone brought it there.
        let heads = kit::heads(&calm).await;
        let stands = root(&self.hands, &self.trust, Scope::Environment).await;
        assert_eq!(stands.revision, heads);
        self.read().await;
        assert_eq!(self.sdk.held().unwrap().snapshot().revision(), heads);
        // Who reads the table anew would publish the same.
        handle::resign(&calm).await.unwrap();
        let anew = root(&self.hands, &self.trust, Scope::Environment).await;
        assert_eq!((anew.chunks, anew.indexes), (stands.chunks, stands.indexes));
    }

    /// What was due was done once, and whoever wanted to hear of it has.
    async fn catch_up(&mut self) {
        let calm = kit::platform(&self.hands, self.hands.table.clone());
        calm.deliver_webhooks();
        calm.fire_schedules();
        self.timer.advance(Duration::from_secs(60));
        handle::fire(&calm, &Caller::system("scheduler"), self.timer.now()).await.unwrap();
        let page = PageOf { limit: Some(500), ..PageOf::default() };
        let place = (&org(), &env("prod"));
        let waiting = calm.schedules(&caller(), place, false, &page).await.unwrap();
        assert_eq!(waiting.items.len(), 0, "what is due is done");
        let ended = calm.schedules(&caller(), place, true, &page).await.unwrap();
        let fired = ended.items.iter().filter_map(|item| match item.value.state {
            ScheduleState::Fired { number, .. } => Some(number),
            _ => None,
        });
        let fired: Vec<u64> = fired.collect();
        let different: BTreeSet<&u64> = fired.iter().collect();
        assert!(
            !fired.is_empty() && different.len() == fired.len(),
            "each made an entry of its own"
        );
        for _ in 0..40 {
            self.timer.advance(Duration::from_secs(3_600));
            let until = self.timer.now().plus(handle::TELL_WITHIN);
            handle::all_webhooks(&calm, &self.endpoint, until).await.unwrap();
        }
        let entries = kit::log(&calm, Some(env("prod"))).await;
        let heard = self.endpoint.heard.lock().unwrap();
        for entry in entries {
            let event = format!("home/prod:{}:0", entry.number);
            let told = entry.change["change"] != "set-enabled" || heard.contains(&event);
            assert!(told, "{event} was never told");
        }
    }
}

async fn furnish(seed: u64) -> World {
    // The machine's time, because an SDK holds roots against it.
    let timer = ManualTimer::at(SystemTimer.now());
    let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
    let (hands, first, trust) = furnished_on(hands).await;
    first.deliver_webhooks();
    let input: WebhookInput = serde_json::from_value(json!({"url": "https://a.example"})).unwrap();
    let request = |change| Request::of(change, "test");
    first.create_webhook(&caller(), &org(), input, request).await.unwrap();
    handle::resign(&first).await.unwrap();
    let weather = Weather::new(seed);
    let endpoint = Endpoint { weather: weather.clone(), heard: Mutex::default() };
    let id = ScopeId { org: org(), env: env("prod"), scope: Scope::Environment };
    let origin = Arc::new(ObjectsOrigin(hands.objects.clone()));
    let pinned = trust.claims().roots.iter().map(|root| root.thumbprint()).collect();
    let sdk = Loader::new(origin, id, pinned, None);
    let (stream, acknowledged) = (hands.table.feed(), BTreeSet::new());
    World { hands, timer, trust, weather, endpoint, stream, sdk, acknowledged }
}

#[tokio::test]
async fn whatever_fails_comes_late_twice_or_in_another_order_the_end_is_the_same() {
    let kills = std::env::var("FLAGFORGE_KILLS").map_or(KILLS, |n| n.parse().unwrap());
    let (mut killed, mut struck, mut seed) = (0, 0, 0);
    let mut places = BTreeSet::new();
    // Worlds of some fifty kills each: an end is looked at often, and simulated time stays short.
    while killed < kills {
        seed += 1;
        let mut world = furnish(seed).await;
        let mut number = 0;
        for _ in 0..50 {
            let last = world.weather.below(LONGEST_LIFE);
            let takes_effect = world.weather.below(2) == 0;
            let (process, life) = world.born(Some((last, takes_effect)));
            while life.is_alive() {
                number += 1;
                world.step(&process, &life, number).await;
                world.timer.advance(Duration::from_millis(world.weather.below(STEP_MILLIS) as u64));
                if world.weather.below(100) == 0 {
                    // A clock that is corrected.
                    let now = world.timer.now().as_millis();
                    world.timer.set(Timestamp::from_millis(now - 40));
                }
            }
            places.insert(last);
            killed += 1;
            world.read().await;
        }
        world.clear_up().await;
        world.catch_up().await;
        struck += world.weather.struck.load(Ordering::SeqCst);
    }
    // The test is worth what it met.
    assert!(places.len() > 40 && struck > kills, "{} places, {struck} faults", places.len());
}
