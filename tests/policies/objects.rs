//! Who may read, put and remove which objects: every role, every kind of object, every action.

use std::collections::BTreeMap;

use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_tests::Rendered;
use flagforge_tests::iam::{Ask, Policy, Principal, like};
use serde_json::json;

/// A kind of object, and the roles that may read, put and remove one.
type Rule =
    (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

const RULES: &[Rule] = &[
    ("trust.json", &["api", "connect", "evaluate", "evaluate-org", "snapshot"], &["api"], &[]),
    ("trust/1.json", &["api", "connect", "evaluate", "evaluate-org", "snapshot"], &["api"], &[]),
    (
        "acme/prod/environment.jws",
        &["api", "connect", "evaluate", "evaluate-org", "snapshot"],
        &["snapshot"],
        &[],
    ),
    (
        "acme/prod/canary.jws",
        &["api", "connect", "evaluate", "evaluate-org", "snapshot"],
        &["snapshot"],
        &[],
    ),
    (
        "acme/prod/relay.jws",
        &["api", "connect", "evaluate", "evaluate-org", "snapshot"],
        &["snapshot"],
        &[],
    ),
    (
        "acme/prod/tenants/0a.jws",
        &["api", "connect", "evaluate", "evaluate-org", "snapshot"],
        &["snapshot"],
        &["snapshot"],
    ),
    (
        "acme/prod/history/1-1.jws",
        &["api", "connect", "evaluate", "evaluate-org", "snapshot"],
        &["snapshot"],
        &["snapshot"],
    ),
    (
        "acme/chunks/0a",
        &["api", "connect", "evaluate", "evaluate-org", "snapshot"],
        &["snapshot"],
        &["snapshot"],
    ),
    ("acme/lists/0a", &["api", "snapshot", "timer"], &["api", "timer"], &["api", "timer"]),
    ("acme/imports/0a/part", &["api", "timer"], &["api", "timer"], &["api", "timer"]),
    ("acme/source/run", &["api", "timer"], &["api", "timer"], &[]),
    ("acme/webhooks/0a", &["api", "webhooks"], &["api", "webhooks"], &[]),
    ("anything-else", &[], &[], &[]),
];

const CDN: &str = "https://d111111abcdef8.cloudfront.net";

/// The bucket, as the publisher's policy names it.
fn bucket(rendered: &Rendered) -> String {
    let statements = rendered.0["roles"]["snapshot"]["policy"]["Statement"].as_array().unwrap();
    let listing = statements.iter().find(|statement| statement["Action"] == "s3:ListBucket");
    listing.unwrap()["Resource"].as_str().unwrap().to_owned()
}

#[test]
fn each_kind_of_object_has_its_readers_and_writers() {
    let rendered = Rendered::read().unwrap();
    let bucket = bucket(&rendered);
    for role in rendered.roles() {
        let identity = vec![rendered.policy(&role).unwrap()];
        let principal = Principal { identity, session: None };
        for (object, readers, writers, removers) in RULES {
            let resource = &format!("{bucket}/{object}");
            let actions = [
                ("s3:GetObject", readers),
                ("s3:PutObject", writers),
                ("s3:DeleteObject", removers),
            ];
            for (action, allowed) in actions {
                let may = principal.may(&Ask { action, resource, context: BTreeMap::new() });
                assert_eq!(may, allowed.contains(&role.as_str()), "{role} {action} {object}");
            }
        }
    }
}

/// What a grant of a scope reads, of all that there is.
#[test]
fn a_grant_reads_its_own_scope_and_nothing_else() {
    let rendered = Rendered::read().unwrap();
    let bucket = bucket(&rendered);
    let scope = |scope: Scope| ScopeId {
        org: OrgKey::new("acme").unwrap(),
        env: EnvKey::new("prod").unwrap(),
        scope,
    };
    let tenant = |key: &str| scope(Scope::Tenant(TenantKey::new(key).unwrap()));
    let (environment, relay) = (scope(Scope::Environment), scope(Scope::Relay));
    let canary = scope(Scope::Canary);
    let (mine, other) = (tenant("mine"), tenant("other"));
    let elsewhere = ScopeId { org: OrgKey::new("acme-two").unwrap(), ..environment.clone() };
    let staging = ScopeId { env: EnvKey::new("staging").unwrap(), ..environment.clone() };
    let roots = [&environment, &relay, &canary, &mine, &other, &elsewhere, &staging]
        .map(ScopeId::root_name);
    let objects: Vec<(String, bool)> = roots
        .into_iter()
        .map(|root| (root, false))
        .chain([("trust.json", true), ("trust/7.json", true), ("acme/chunks/0a", true)].map(own))
        .chain([("acme-two/chunks/0a", false), ("acme/lists/0a", false)].map(own))
        .collect();
    for (granted, reads) in [
        (&environment, vec![&environment, &canary]),
        (&canary, vec![&canary]),
        (&relay, vec![&relay, &environment, &canary]),
        (&mine, vec![&mine]),
    ] {
        let reads: Vec<String> = reads.into_iter().map(ScopeId::root_name).collect();
        let session = Policy::parse(&rendered.reading(&bucket, granted).unwrap()).unwrap();
        let identity = vec![rendered.policy("evaluate-org").unwrap()];
        let principal = Principal { identity, session: Some(session) };
        for (object, shared) in &objects {
            let resource = &format!("{bucket}/{object}");
            for action in ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"] {
                let may = principal.may(&Ask { action, resource, context: BTreeMap::new() });
                let should = action == "s3:GetObject" && (*shared || reads.contains(object));
                assert_eq!(may, should, "{granted}: {action} {object}");
            }
        }
        // A distribution is shown the same in its own words, and takes what is after a name for a part of it.
        let passes = rendered.passes(CDN, granted).unwrap();
        let answers = |name: &str| {
            let resource = |pass: &serde_json::Value| {
                let statement = &pass["Statement"][0];
                assert_eq!(statement["Condition"]["DateLessThan"]["AWS:EpochTime"], 1_800_000_000);
                statement["Resource"].as_str().unwrap().to_owned()
            };
            passes.iter().any(|pass| like(&resource(pass), &format!("{CDN}/{name}")))
        };
        for (object, shared) in &objects {
            assert_eq!(answers(object), *shared || reads.contains(object), "{granted}: {object}");
        }
        for (root, _) in objects.iter().filter(|(name, _)| name.ends_with(".jws")) {
            assert!(!answers(&format!("{root}?.json")) && !answers(&format!("x/{root}")), "{root}");
        }
        let ask = Ask { action: "s3:ListBucket", resource: &bucket, context: BTreeMap::new() };
        assert!(!principal.may(&ask), "names of chunks are nobody's to list");
    }
}

/// Whoever signs for the distribution reaches no more with it than with credentials.
#[test]
fn the_distribution_reads_what_sessions_of_grants_read() {
    let rendered = Rendered::read().unwrap();
    let bucket = bucket(&rendered);
    let distribution = rendered.0["distribution"].as_str().unwrap().to_owned();
    let mut policy = rendered.0["bucketPolicy"].clone();
    for statement in policy["Statement"].as_array_mut().unwrap() {
        let to = statement.as_object_mut().unwrap().remove("Principal").unwrap();
        assert_eq!(to, json!({"Service": "cloudfront.amazonaws.com"}));
    }
    let policy = Policy::parse(&policy).unwrap();
    for (object, readers, ..) in RULES {
        let resource = &format!("{bucket}/{object}");
        for action in ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"] {
            for (from, known) in [(distribution.clone(), true), (format!("{distribution}0"), false)]
            {
                let context = BTreeMap::from([("aws:SourceArn", vec![from])]);
                let may = policy.allows(&Ask { action, resource, context });
                let reads = action == "s3:GetObject" && readers.contains(&"evaluate-org");
                assert_eq!(may, known && reads, "{action} {object}");
            }
        }
    }
}

fn own((name, shared): (&str, bool)) -> (String, bool) {
    (name.to_owned(), shared)
}
