//! Hearing of changes to one flag.

use std::time::Duration;

use flagforge::{Client, Ended, Flag, Snapshot, Subscription};
use flagforge_flags::keys::TenantKey;
use flagforge_flags::wire::{FlagWire, TenantWire};
use serde_json::json;

use crate::kit::{Publisher, boolean, directory, edited};

const ONE: Flag<bool> = Flag::new("one", false);
const TWO: Flag<bool> = Flag::new("two", false);
const PLAN: Flag<bool> = Flag::new("plan", false);
const SOON: Duration = Duration::from_secs(5);

struct Place {
    publisher: Publisher,
    client: Client,
    _folder: tempfile::TempDir,
}

fn by_plan() -> FlagWire {
    edited("plan", "boolean", true, false, |wire| {
        wire["state"]["rules"] = json!([{
            "id": "gold",
            "when": {"test": {"attribute": "tenant.plan", "operator": "equals", "values": ["gold"]}},
            "serve": {"variant": "on"},
        }]);
    })
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = Publisher::new(folder.path());
        // One shard of each, so that every change touches what every flag stands in.
        publisher.shards = 1;
        publisher.publish(&[boolean("one"), boolean("two"), by_plan()], &tenants(&[], &[]));
        let client = Client::connect(&publisher.connection())
            .poll_every(Duration::from_millis(10))
            .await
            .unwrap();
        Self { publisher, client, _folder: folder }
    }

    async fn publish(&mut self, flags: &[FlagWire], tenants: &[(TenantKey, TenantWire)]) {
        self.publisher.publish(flags, tenants);
        assert!(self.client.wait_for(self.publisher.revision).within(SOON).await);
    }
}

fn tenants(acme: &[&str], globex: &[&str]) -> Vec<(TenantKey, TenantWire)> {
    vec![directory("acme", acme), directory("globex", globex)]
}

/// Whether there is something to tell now. All that it needs has happened by then.
async fn told(subscription: &mut Subscription) -> bool {
    let now = tokio::time::timeout(Duration::from_millis(1), subscription.changed()).await;
    matches!(now, Ok(Ok(())))
}

#[tokio::test]
async fn only_what_an_answer_is_made_from_is_told() {
    let mut place = Place::new().await;
    let (acme, globex) =
        (place.client.tenant("acme").unwrap(), place.client.tenant("globex").unwrap());
    let mut one = acme.subscribe(&ONE);
    let mut two = acme.subscribe(&TWO);
    let mut plan = acme.subscribe(&PLAN);
    let mut other = globex.subscribe(&ONE);
    let mut nobody = place.client.untenanted("a test").subscribe(&ONE);
    assert_eq!(one.key(), "one");
    let mut all = async || {
        let acme = [told(&mut one).await, told(&mut two).await, told(&mut plan).await];
        (acme, told(&mut other).await, told(&mut nobody).await)
    };
    assert_eq!(all().await, ([false; 3], false, false), "nothing has changed yet");

    let off = edited("one", "boolean", true, false, |wire| wire["state"]["enabled"] = json!(false));
    let flags = [off.clone(), boolean("two"), by_plan()];
    place.publish(&flags, &tenants(&[], &[])).await;
    assert_eq!(all().await, ([true, false, false], true, true), "a kill");
    assert_eq!(all().await, ([false; 3], false, false), "is told once");

    place.publish(&flags, &tenants(&["two"], &[])).await;
    assert_eq!(all().await, ([false, true, false], false, false), "an override of acme's");
    place.publish(&flags, &tenants(&["two"], &["one"])).await;
    assert_eq!(all().await, ([false; 3], true, false), "one of globex's");

    let mut directory = tenants(&["two"], &["one"]);
    directory[0].1.attributes.insert("plan".into(), json!("gold"));
    place.publish(&flags, &directory).await;
    assert_eq!(all().await, ([false, false, true], false, false), "acme's plan");
    assert!(acme.flags().get(&PLAN));

    place.publish(&[off, by_plan()], &directory).await;
    assert_eq!(all().await, ([false, true, false], false, false), "a flag that is gone");
}

#[tokio::test]
async fn what_is_told_last_is_the_newest_however_slow_the_listener() {
    const NUMBER: Flag<i64> = Flag::new("number", -1);
    const LAST: u64 = 40;
    let mut place = Place::new().await;
    let acme = place.client.tenant("acme").unwrap();
    let mut subscription = acme.subscribe(&NUMBER);
    let listener = tokio::spawn(async move {
        let mut heard = Vec::new();
        while heard.last() != Some(&i64::try_from(LAST).unwrap()) {
            tokio::time::timeout(SOON, subscription.changed()).await.unwrap().unwrap();
            heard.push(acme.flags().get(&NUMBER));
            tokio::time::sleep(Duration::from_millis(heard.len() as u64 % 7)).await;
        }
        heard
    });
    for number in 1..=LAST {
        let flag = edited("number", "integer", number, 0, |wire| {
            wire["state"]["fallthrough"] = json!({"variant": "on"});
        });
        place.publisher.publish(&[flag], &[]);
        tokio::time::sleep(Duration::from_millis(number % 5)).await;
    }
    let heard = listener.await.unwrap();
    assert!(heard.is_sorted(), "{heard:?}");
}

#[tokio::test]
async fn the_end_is_told_after_the_last_change() {
    let mut place = Place::new().await;
    let mut subscription = place.client.tenant("acme").unwrap().subscribe(&ONE);
    place.publish(&[], &[]).await;
    assert!(place.client.close().await);
    assert_eq!(subscription.changed().await, Ok(()));
    assert_eq!(subscription.changed().await, Err(Ended));
    assert_eq!(subscription.changed().await, Err(Ended));

    let scope = json!({"org": "demo", "env": "test", "scope": "environment"});
    let scope = serde_json::from_value(scope).unwrap();
    let fixed = Client::fixed(Snapshot::from_parts(scope, "1.1".parse().unwrap(), [], []));
    assert_eq!(fixed.tenant("acme").unwrap().subscribe(&ONE).changed().await, Err(Ended));
}
