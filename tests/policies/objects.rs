//! Who may read, put and remove which objects: every role, every kind of object, every action.

use std::collections::BTreeMap;

use flagforge_tests::Rendered;
use flagforge_tests::iam::{Ask, Principal};

/// A kind of object, and the roles that may read, put and remove one.
type Rule =
    (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

const RULES: &[Rule] = &[
    ("trust.json", &["api", "evaluate", "snapshot"], &["api"], &[]),
    ("trust/1.json", &["api", "evaluate", "snapshot"], &["api"], &[]),
    ("acme/prod/environment.jws", &["api", "evaluate", "snapshot"], &["snapshot"], &[]),
    ("acme/prod/relay.jws", &["api", "evaluate", "snapshot"], &["snapshot"], &[]),
    ("acme/prod/tenants/0a.jws", &["api", "evaluate", "snapshot"], &["snapshot"], &["snapshot"]),
    ("acme/prod/history/1-1.jws", &["api", "evaluate", "snapshot"], &["snapshot"], &["snapshot"]),
    ("acme/chunks/0a", &["api", "evaluate", "snapshot"], &["snapshot"], &["snapshot"]),
    ("acme/lists/0a", &["api", "snapshot", "timer"], &["api", "timer"], &["api", "timer"]),
    ("acme/imports/0a/part", &["api", "timer"], &["api", "timer"], &["api", "timer"]),
    ("acme/source/run", &["api", "timer"], &["api", "timer"], &[]),
    ("acme/webhooks/0a", &["api", "webhooks"], &["api", "webhooks"], &[]),
    ("anything-else", &[], &[], &[]),
];

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
