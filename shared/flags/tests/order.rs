//! Walks the README's order of evaluation: a flag for which every row would apply is answered by the first, and row
//! by row, as each is taken away, by the next.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagWire, TenantWire};
use flagforge_flags::{Context, Revision, Snapshot, View, evaluate, explain};
use serde_json::{Value as Json, json};

/// The rows of the README's table: number, reasons and finer words.
fn documented() -> Vec<(usize, String, String)> {
    let readme = include_str!("../README.md");
    let (_, section) = readme.split_once("## The order of evaluation").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, number, _, _, reason, finer, _] = cells.as_slice() else { return None };
        Some((number.parse().ok()?, (*reason).into(), (*finer).into()))
    };
    section.lines().filter_map(row).collect()
}

/// A flag for which every row from `row` on applies, and none before. Every row has a variant of its own.
fn flag(row: usize, class: &str) -> Json {
    let applies = |this: usize, yes: Json, no: Json| if row <= this { yes } else { no };
    let key = applies(1, json!("another"), json!("f"));
    let variants: Vec<Json> = ["off", "stale", "tenant", "group", "target", "rule", "fallthrough"]
        .map(|key| json!({"key": key, "value": true}))
        .to_vec();
    json!({
        "key": key, "version": 1, "class": class, "type": "boolean", "variants": variants,
        "state": {
            "enabled": applies(2, json!(false), json!(true)),
            "off": {"variant": "off"},
            "stale": {"afterSeconds": applies(3, json!(10), json!(1_000)), "then": {"serve": {"variant": "stale"}}},
            "prerequisites": applies(4, json!([{"flag": "absent", "is": "enabled"}]), json!([])),
            "groupOverrides": applies(6, json!([{"group": "g", "variant": "group"}]), json!([])),
            "targets": applies(7, json!([{"variant": "target", "keys": ["u"]}]), json!([])),
            "rules": applies(8, json!([{"id": "r", "when": "always", "serve": {"variant": "rule"}}]), json!([])),
            "fallthrough": {"variant": "fallthrough"},
        }
    })
}

/// Variant, reason and finer word of the flag `f` when every row from `row` on applies.
fn answered(row: usize, class: &str) -> (Option<String>, String, String) {
    let wire: FlagWire = serde_json::from_value(flag(row, class)).unwrap();
    let overrides = if row <= 5 { json!({"f": "tenant"}) } else { json!({}) };
    let tenant: TenantWire =
        serde_json::from_value(json!({"uid": "1", "groups": ["g"], "overrides": overrides}))
            .unwrap();
    let acme = TenantKey::new("acme").unwrap();
    let (org, env) = (OrgKey::new("demo").unwrap(), EnvKey::new("prod").unwrap());
    let scope = ScopeId { org, env, scope: Scope::Environment };
    let snapshot =
        Snapshot::from_parts(scope, Revision { org: 1, env: 1 }, [wire], [(acme.clone(), tenant)]);
    let view = View { snapshot: &snapshot, confirmed: Timestamp::from_seconds(0) };
    let (context, now) = (Context::for_tenant(acme).user("u"), Timestamp::from_seconds(100));
    let answer = evaluate(view, "f", None, &context, now);
    let explained = explain(view, "f", &context, now);
    assert_eq!(
        (explained.reason, explained.fine_reason),
        (answer.reason.as_str(), answer.fine.as_str())
    );
    let words = (answer.reason.as_str().to_owned(), answer.fine.as_str().to_owned());
    (answer.variant.map(str::to_owned), words.0, words.1)
}

#[test]
fn each_row_comes_before_those_below_it() {
    let documented = documented();
    assert_eq!(documented.iter().map(|row| row.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let variants = [
        None,
        Some("off"),
        Some("stale"),
        Some("off"),
        Some("tenant"),
        Some("group"),
        Some("target"),
        Some("rule"),
        Some("fallthrough"),
    ];
    for ((row, reasons, finer), variant) in documented.iter().zip(variants) {
        let (answered, reason, fine) = answered(*row, "release");
        assert_eq!(answered.as_deref(), variant, "row {row}");
        assert!(reasons.contains(&format!("`{reason}`")), "row {row}: {reason}");
        let named = finer.contains(&format!("`{fine}`")) || (*row == 1 && fine == "FLAG_NOT_FOUND");
        assert!(named, "row {row}: {fine}");
    }
}

#[test]
fn a_migration_is_moved_by_none_of_the_rows_2_to_4() {
    for row in 2..=4 {
        let (variant, reason, fine) = answered(row, "migration");
        assert_eq!(variant.as_deref(), Some("tenant"), "row {row}: {reason} {fine}");
    }
}
