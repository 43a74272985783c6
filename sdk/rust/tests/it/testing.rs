//! The test kit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use flagforge::testing::{Fixed, FixedError, Isolation, Marked, NotIsolated};
use flagforge::{Client, Flag, Hook, Json, Question, Refused, Status, Tenant};
use serde_json::json;

use crate::kit::Publisher;

const CHECKOUT: Flag<bool> = Flag::new("checkout.express", false);
const THEME: Flag<&str> = Flag::new("theme", "plain");
const SEATS: Flag<i64> = Flag::new("seats", 5);
const RATE: Flag<f64> = Flag::new("rate", 0.5);
const LIMITS: Flag<&Json> = Flag::new("limits", &Json::Null);

fn definition(edit: impl FnOnce(&mut Json)) -> Json {
    let mut flag = json!({
        "key": "theme", "version": 7, "class": "release", "type": "string",
        "variants": [{"key": "dark", "value": "dark"}, {"key": "light", "value": "light"}],
        "state": {
            "enabled": true, "off": {"variant": "light"}, "fallthrough": {"variant": "light"},
            "rules": [{"id": "beta", "when": {"inSegment": "beta"}, "serve": {"variant": "dark"}}],
        },
    });
    edit(&mut flag);
    flag
}

#[test]
fn forced_values_of_every_type_for_everybody_and_for_one() {
    let client = Fixed::new()
        .flag("checkout.express", true)
        .flag("seats", 100)
        .flag("rate", 0.25)
        .flag("limits", json!({"rows": 7}))
        .tenant("acme", |acme| {
            acme.flag("checkout.express", false).flag("rate", 2).flag("theme", "dark")
        })
        .tenant("globex", |globex| globex.flag("seats", 1))
        .client()
        .unwrap();
    assert_eq!(
        (client.status(), client.revision().unwrap().to_string().as_str()),
        (Status::Ready, "1.1")
    );
    let all = |tenant: &str| {
        let tenant = client.tenant(tenant).unwrap();
        let flags = tenant.flags();
        let theme = flags.get(&THEME).to_owned();
        (
            flags.get(&CHECKOUT),
            flags.get(&SEATS),
            flags.get(&RATE),
            theme,
            flags.get(&LIMITS).clone(),
        )
    };
    let rows = json!({"rows": 7});
    assert_eq!(all("acme"), (false, 100, 2.0, "dark".into(), rows.clone()));
    assert_eq!(all("globex"), (true, 1, 0.25, "plain".into(), rows.clone()));
    assert_eq!(all("stranger"), (true, 100, 0.25, "plain".into(), rows));
    assert!(client.untenanted("a test").flags().get(&CHECKOUT));
}

#[test]
fn whole_definitions_segments_and_the_directory() {
    let client = Fixed::new()
        .define(definition(|_| {}))
        .segment(
            json!({"key": "beta", "version": 1, "entity": "user", "when": {"inGroup": "early"}}),
        )
        .tenant("acme", |acme| acme.group("early").attribute("plan", "gold"))
        .tenant("globex", |globex| globex.variant("theme", "dark"))
        .environment("demo", "prod")
        .revision("3.4".parse().unwrap())
        .client()
        .unwrap();
    for (tenant, theme) in [("acme", "dark"), ("globex", "dark"), ("other", "light")] {
        assert_eq!(client.tenant(tenant).unwrap().user("u").flags().get(&THEME), theme, "{tenant}");
    }
    assert_eq!(client.tenant("acme").unwrap().id().to_string(), "demo/prod/acme");
    assert_eq!(client.revision().unwrap().to_string(), "3.4");
}

#[test]
fn what_does_not_fit_is_said() {
    let error = |fixed: Fixed| fixed.client().unwrap_err();
    assert!(matches!(error(Fixed::new().tenant("a/b", |it| it)), FixedError::Key(_)));
    assert!(matches!(error(Fixed::new().flag("a/b", true)), FixedError::Shape(..)));
    assert!(matches!(error(Fixed::new().flag("a", Json::Null)), FixedError::Types(_)));
    let mixed = Fixed::new().flag("a", true).tenant("acme", |acme| acme.flag("a", 7));
    assert!(matches!(error(mixed), FixedError::Types(_)));
    let both = Fixed::new().define(definition(|_| {})).flag("theme", "dark");
    assert!(matches!(error(both), FixedError::Both(_)));
    let gone = definition(|flag| flag["state"]["off"] = json!({"variant": "gone"}));
    let said = error(Fixed::new().define(gone));
    assert_eq!(said.to_string(), "the definition of `theme` is malformed");
    assert!(matches!(error(Fixed::new().define(json!({"key": "x"}))), FixedError::Shape(..)));
    assert!(matches!(error(Fixed::new().segment(json!({}))), FixedError::Shape(..)));
    assert!(matches!(error(Fixed::new().environment("Demo", "x")), FixedError::Shape(..)));
}

#[tokio::test]
async fn a_fixed_client_can_be_told_otherwise_and_no_other_can() {
    let client = Fixed::new().flag("checkout.express", true).client().unwrap();
    let acme = client.tenant("acme").unwrap();
    let mut subscription = acme.subscribe(&CHECKOUT);
    let held = acme.flags();
    Fixed::new().flag("checkout.express", false).replace(&client).unwrap();
    assert!(held.get(&CHECKOUT) && !acme.flags().get(&CHECKOUT));
    assert_eq!(subscription.changed().await, Ok(()));

    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    publisher.publish(&[], &[]);
    let real = Client::connect(&publisher.connection()).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(Fixed::new().replace(&real), Err(FixedError::Follows)));
        real.close().await;
    }
}

#[test]
fn hooks_hear_of_a_fixed_clients_answers() {
    struct Count(Arc<Mutex<u32>>);
    impl Hook for Count {
        fn before(&self, _: &Question<'_>) -> Result<(), Refused> {
            *self.0.lock().unwrap() += 1;
            Ok(())
        }
    }
    let count = Arc::new(Mutex::new(0));
    let client = Fixed::new().flag("seats", 9).hook(Count(count.clone())).client().unwrap();
    assert_eq!(client.tenant("acme").unwrap().flags().get(&SEATS), 9);
    assert_eq!(*count.lock().unwrap(), 1);
}

fn isolation() -> Isolation {
    let marked = [Marked::new(&THEME), Marked::new(&SEATS), Marked::new(&LIMITS)];
    let rest = |fixed: Fixed| fixed.flag("checkout.express", true);
    Isolation::new(marked, rest).unwrap().tenants(8).load(32, 100)
}

async fn honest(tenant: Tenant) -> String {
    let flags = tenant.user("u").flags();
    assert!(flags.get(&CHECKOUT));
    tokio::task::yield_now().await;
    format!("{} <b>{}</b> {}", flags.get(&SEATS), flags.get(&THEME), flags.get(&LIMITS))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_keeps_tenants_apart_passes() {
    let report = isolation().run(honest).await;
    assert_eq!(report.verdict(), Ok(()));
    assert_eq!((report.runs, report.own, report.unmarked), (3_200, 9_600, 0));
    assert!(report.swaps > 10, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_mixes_them_up_is_found_out() {
    // A cache whose key lacks the tenant.
    let cache: Arc<Mutex<HashMap<&str, String>>> = Arc::default();
    let cached = move |tenant: Tenant| {
        let cache = cache.clone();
        async move {
            let theme = || tenant.flags().get(&THEME).to_owned();
            cache.lock().unwrap().entry("theme").or_insert_with(theme).clone()
        }
    };
    let report = isolation().run(cached).await;
    let Err(NotIsolated::Leaked { count, first }) = report.verdict() else { panic!("{report:?}") };
    assert!(count > 2_000 && first.tenant != first.other, "{first}");
    assert_eq!(report.leaks.len(), 20);

    // A global that another task writes while this one waits.
    let current: Arc<Mutex<Option<Tenant>>> = Arc::default();
    let ambient = move |tenant: Tenant| {
        *current.lock().unwrap() = Some(tenant);
        let current = current.clone();
        async move {
            tokio::task::yield_now().await;
            let tenant = current.lock().unwrap().clone().unwrap();
            let seats = tenant.flags().get(&SEATS);
            format!("{{\"seats\":{seats}}}")
        }
    };
    let report = isolation().run(ambient).await;
    assert!(matches!(report.verdict(), Err(NotIsolated::Leaked { .. })), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_shows_nothing_does_not_pass() {
    let report = isolation().run(async |_| "ok".to_owned()).await;
    assert_eq!(report.verdict(), Err(NotIsolated::NothingMarked));
    assert_eq!(report.unmarked, report.runs);
    let report = isolation().load(3, 1).run(async |_| panic!("as a test may")).await;
    assert_eq!(report.verdict(), Err(NotIsolated::Panicked(3)));
}
