//! What a client answers.

use std::time::Duration;

use flagforge::{Client, Flag, Json, Reason, Snapshot, Status, TenantId};
use flagforge_flags::keys::TenantKey;
use serde_json::json;

use crate::kit::{Publisher, boolean, directory, edited, flag, tenant};

const DASHBOARD: Flag<bool> = Flag::new("new-dashboard", false);
const THEME: Flag<&str> = Flag::new("theme", "plain");
const SEATS: Flag<i64> = Flag::new("seats", 5);
const RATE: Flag<f64> = Flag::new("rate", 0.5);
const LIMITS: Flag<&Json> = Flag::new("limits", &Json::Null);

fn published() -> (tempfile::TempDir, Publisher) {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    let by_country = edited("new-dashboard", "boolean", json!(true), json!(false), |wire| {
        wire["state"]["rules"] = json!([{
            "id": "germany",
            "when": {"test": {"attribute": "user.country", "operator": "equals", "values": ["DE"]}},
            "serve": {"variant": "on"},
        }]);
    });
    let flags = [
        by_country,
        flag("theme", "string", json!("dark"), json!("light")),
        flag("seats", "integer", json!(100), json!(1)),
        flag("rate", "number", json!(1.0), json!(0.25)),
        flag("limits", "object", json!({"rows": 7}), json!({})),
        edited("own-default", "boolean", json!(true), json!(false), |wire| {
            wire["state"]["fallthrough"] = json!("callerDefault");
        }),
    ];
    let on = ["new-dashboard", "theme", "seats", "rate", "limits"];
    publisher.publish(&flags, &[directory("acme", &on), directory("globex", &[])]);
    (folder, publisher)
}

#[tokio::test]
async fn two_tenants_one_flag_different_answers() {
    let (_folder, publisher) = published();
    let client = Client::connect(&publisher.connection()).await.unwrap();
    assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
    assert_eq!(client.revision().unwrap().to_string(), "1.1");

    let acme = client.tenant("acme").unwrap();
    let globex = client.tenant("globex").unwrap();
    assert!(acme.user("u-7").flags().get(&DASHBOARD));
    assert!(!globex.user("u-7").flags().get(&DASHBOARD));
    assert!(globex.user("u-7").attr("country", "DE").flags().get(&DASHBOARD));

    let flags = acme.flags();
    assert_eq!((flags.get(&THEME), flags.get(&SEATS)), ("dark", 100));
    assert_eq!((flags.get(&RATE), flags.get(&LIMITS)), (1.0, &json!({"rows": 7})));
    let flags = globex.flags();
    assert_eq!((flags.get(&THEME), flags.get(&SEATS), flags.get(&RATE)), ("light", 1, 0.25));
}

#[tokio::test]
async fn details_say_how_the_value_came_about() {
    let (_folder, publisher) = published();
    let client = Client::connect(&publisher.connection()).await.unwrap();
    let globex = client.tenant("globex").unwrap();
    let flags = globex.user("u-7").attr("country", "DE").entity("device", "d-1").flags();

    let details = flags.details(&DASHBOARD);
    assert_eq!((details.value, details.reason), (true, Reason::TargetingMatch));
    assert_eq!(
        (details.variant, details.rule, details.version),
        (Some("on"), Some("germany"), Some(3))
    );
    assert_eq!(details.basis.revision.unwrap().to_string(), "1.1");
    assert!(details.basis.age.unwrap() < Duration::from_secs(5) && details.basis.tenant_known);
    assert_eq!(details.fine.unwrap().as_str(), "RULE");

    let missing = flags.details(&Flag::new("no-such-flag", 9_i64));
    assert_eq!((missing.value, missing.error.unwrap().code()), (9, "FLAG_NOT_FOUND"));
    let mistyped = flags.details(&Flag::new("theme", true));
    assert_eq!((mistyped.value, mistyped.error.unwrap().code()), (true, "TYPE_MISMATCH"));
    let own = flags.details(&Flag::new("own-default", true));
    assert_eq!((own.value, own.variant, own.error), (true, None, None));

    let stranger = client.tenant("who-is-this").unwrap();
    let stranger = stranger.flags();
    assert!(!stranger.details(&THEME).basis.tenant_known);
    assert_eq!(stranger.get(&THEME), "light");
    let why = flags.explain("new-dashboard").unwrap().to_string();
    assert!(why.contains("germany"), "{why}");
}

#[tokio::test]
async fn nobody_asks_for_a_tenants_flag_without_the_tenant() {
    let (_folder, mut publisher) = published();
    let reads_tenant = edited("by-plan", "boolean", json!(true), json!(false), |wire| {
        wire["state"]["rules"] = json!([{
            "id": "gold",
            "when": {"test": {"attribute": "tenant.plan", "operator": "equals", "values": ["gold"]}},
            "serve": {"variant": "on"},
        }]);
    });
    publisher.publish(&[reads_tenant, boolean("pool")], &[]);
    let client = Client::connect(&publisher.connection()).await.unwrap();
    let nobody = client.untenanted("the size of the connection pool");
    let flags = nobody.flags();
    let refused = flags.details(&Flag::new("by-plan", true));
    assert_eq!((refused.value, refused.error.unwrap().code()), (true, "INVALID_CONTEXT"));
    assert!(!flags.get(&Flag::new("pool", true)));
    let acme = client.tenant("acme").unwrap();
    let lied = acme.user("u").entity("tenant", "globex").flags();
    let pool = Flag::new("pool", true);
    assert_eq!(lied.details(&pool).error.unwrap().code(), "INVALID_CONTEXT");
    assert!(client.tenant("a/b").is_err());
}

#[test]
fn a_fixed_client_needs_no_runtime_and_tenants_travel() {
    let scope =
        serde_json::from_value(json!({"org": "demo", "env": "test", "scope": "environment"}));
    let (key, wire) = directory("acme", &["new-dashboard"]);
    let revision = "7.8".parse().unwrap();
    let flags = [boolean("new-dashboard")];
    let snapshot = Snapshot::from_parts(scope.unwrap(), revision, flags, [(key, wire)]);
    let client = Client::fixed(snapshot);
    assert_eq!((client.status(), client.age()), (Status::Ready, Some(Duration::ZERO)));

    let acme = client.tenant("acme").unwrap();
    let message = serde_json::to_string(&acme.id()).unwrap();
    assert_eq!(message, "\"demo/test/acme\"");
    let worker = std::thread::spawn(move || {
        let id: TenantId = serde_json::from_str(&message).unwrap();
        let tenant = client.tenant_of(&id).unwrap();
        tenant.flags().get(&DASHBOARD)
    });
    assert!(worker.join().unwrap());
    assert!(acme.flags().get(&DASHBOARD));
}

#[test]
fn a_job_that_went_astray_is_refused() {
    let client_of = |org: &str, env: &str| {
        let scope = serde_json::from_value(json!({"org": org, "env": env, "scope": "environment"}));
        Client::fixed(Snapshot::from_parts(scope.unwrap(), "1.1".parse().unwrap(), [], []))
    };
    let job = client_of("demo", "prod").tenant("acme").unwrap().id();
    assert_eq!(client_of("demo", "prod").tenant_of(&job).unwrap().key().as_str(), "acme");
    for (org, env) in [("demo", "dev"), ("rival", "prod")] {
        let refused = client_of(org, env).tenant_of(&job).unwrap_err().to_string();
        assert_eq!(
            refused,
            format!("the tenant demo/prod/acme was handed to a client of {org}/{env}")
        );
    }
}

#[test]
fn asking_allocates_nothing() {
    let scope =
        serde_json::from_value(json!({"org": "demo", "env": "test", "scope": "environment"}));
    let (key, wire): (TenantKey, _) = directory("acme", &["new-dashboard"]);
    let theme = flag("theme", "string", json!("dark"), json!("light"));
    let flags = [boolean("new-dashboard"), theme];
    let revision = "7.8".parse().unwrap();
    let client =
        Client::fixed(Snapshot::from_parts(scope.unwrap(), revision, flags, [(key, wire)]));
    let acme = client.tenant(tenant("acme")).unwrap();
    // The first request of a thread makes what pins a manifest for it.
    drop(acme.flags());
    let counted = allocation_counter::measure(|| {
        let asking = acme.user("u-7").attr("country", "DE").attr("plan", "gold").attr("age", 42);
        let asking = asking.attr("beta", true).attr("score", 0.5).attr("version", "2.3.1");
        let flags = asking.entity("device", "d-1").flags();
        assert!(flags.get(&DASHBOARD));
        assert_eq!(flags.get(&THEME), "light");
        assert_eq!(flags.details(&THEME).variant, Some("off"));
        assert_eq!(flags.get(&Flag::new("no-such-flag", 1.5)), 1.5);
        assert_eq!(flags.all().count(), 2);
    });
    assert_eq!(counted.count_total, 0);
}
