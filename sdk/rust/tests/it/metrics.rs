//! Metrics, by a recorder that keeps them.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flagforge::{Client, Flag, Status};
use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder};
use metrics::{SharedString, Unit};
use serde_json::json;

use crate::kit::{Publisher, boolean, directory, edited, flag};

type Values = Arc<Mutex<BTreeMap<String, f64>>>;

#[derive(Default)]
struct Kept(Values);

struct One(String, Values);

impl CounterFn for One {
    fn increment(&self, by: u64) {
        *self.1.lock().unwrap().entry(self.0.clone()).or_default() += by as f64;
    }

    fn absolute(&self, _: u64) {}
}

impl GaugeFn for One {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}

    fn set(&self, value: f64) {
        self.1.lock().unwrap().insert(self.0.clone(), value);
    }
}

impl Kept {
    /// `name label=value …` without what is the same everywhere.
    fn one(&self, key: &Key) -> Arc<One> {
        let mut text = key.name().to_owned();
        let labels: BTreeMap<_, _> = key.labels().map(|l| (l.key(), l.value())).collect();
        assert_eq!(labels["feature_flag.provider.name"], "flagforge");
        assert_eq!(labels["feature_flag.set.id"], "demo/prod");
        for (key, value) in labels.iter().filter(|(key, _)| {
            !matches!(**key, "feature_flag.provider.name" | "feature_flag.set.id")
        }) {
            text = format!("{text} {key}={value}");
        }
        Arc::new(One(text, Arc::clone(&self.0)))
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn how_the_client_fares_is_told() {
    let kept = Kept::default();
    let values = Arc::clone(&kept.0);
    let value = |name: &str| values.lock().unwrap().get(name).copied();
    // For this thread, on which the client's tasks run too.
    let _guard = metrics::set_default_local_recorder(&kept);

    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    let old = edited("old", "boolean", true, false, |wire| {
        wire["state"]["stale"] = json!({"afterSeconds": 0, "then": "lastKnown"});
    });
    let flags = [boolean("new-dashboard"), flag("theme", "string", "dark", "light"), old];
    publisher.publish(&flags, &[directory("acme", &[])]);
    let client = Client::connect(&publisher.connection())
        .poll_every(Duration::from_millis(10))
        .metrics()
        .await
        .unwrap();
    let acme = client.tenant("acme").unwrap();
    acme.flags().get(&Flag::new("new-dashboard", false));
    let told: Vec<String> = values.lock().unwrap().keys().cloned().collect();
    let expected = [
        "flagforge.client.age",
        "flagforge.client.held",
        "flagforge.client.refreshes flagforge.outcome=changed",
        "flagforge.client.revision flagforge.log=env",
        "flagforge.client.revision flagforge.log=org",
    ];
    assert_eq!(told, expected, "a good answer is no fallback");

    acme.flags().get(&Flag::new("missing", 7));
    acme.flags().get(&Flag::new("theme", true));
    let fallback = "flagforge.client.fallbacks";
    let missing = "error.type=flag_not_found feature_flag.key=missing flagforge.fallback=default";
    assert_eq!(value(&format!("{fallback} {missing}")), Some(1.0));
    let other = "error.type=type_mismatch feature_flag.key=theme flagforge.fallback=default";
    assert_eq!(value(&format!("{fallback} {other}")), Some(1.0));
    assert_eq!(value("flagforge.client.mismatches feature_flag.key=theme"), Some(1.0));

    let count = |outcome| value(&format!("flagforge.client.refreshes flagforge.outcome={outcome}"));
    while count("confirmed").is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    publisher.write("demo/prod/environment.jws", b"not a manifest");
    while client.status() == Status::Ready {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    acme.flags().get(&Flag::new("new-dashboard", false));
    let last = "feature_flag.key=new-dashboard flagforge.fallback=last_known_good";
    assert_eq!(value(&format!("{fallback} {last}")), Some(1.0));
    acme.flags().get(&Flag::new("old", true));
    let stale = "feature_flag.key=old flagforge.fallback=stale";
    assert_eq!(value(&format!("{fallback} {stale}")), Some(1.0));
    fs::remove_dir_all(publisher.folder.join("demo/prod")).unwrap();
    while count("failed").is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(count("refused") >= Some(1.0));
    assert_eq!(value("flagforge.client.revision flagforge.log=env"), Some(1.0));
    assert!(value("flagforge.client.age") > Some(0.0));
}
