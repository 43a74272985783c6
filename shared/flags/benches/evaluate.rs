//! What an evaluation costs, beside the floor: finding a key in a `HashMap`, which no evaluation can beat.
//! Run with `cargo bench -p flagforge-flags`.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use flagforge_flags::keys::{EnvKey, KeyError, OrgKey, TenantKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagWire, TenantWire};
use flagforge_flags::{Context, Revision, Snapshot, View, compile_json, evaluate};
use serde_json::{Value as Json, json};

/// Flags of one environment at design load.
const FLAGS: usize = 10_000;

fn flag(key: &str, rules: &Json, fallthrough: &Json) -> Json {
    json!({
        "key": key, "version": 1, "class": "release", "type": "boolean",
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "state": {"enabled": true, "off": {"variant": "off"}, "rules": rules, "fallthrough": fallthrough}
    })
}

fn snapshot() -> Result<Snapshot, KeyError> {
    let plain = json!({"variant": "on"});
    let split = json!({"split": {
        "unit": "user.key", "salt": "s", "hash": "xxh3", "buckets": 100_000,
        "ranges": [{"from": 0, "until": 10_000, "variant": "on"},
                   {"from": 10_000, "until": 100_000, "variant": "off"}]}});
    let rules: Vec<Json> = (0..10)
        .map(|i| {
            json!({"id": format!("r{i}"), "serve": {"variant": "on"}, "when": {"all": [
                {"test": {"attribute": "user.country", "operator": "one-of", "values": ["FR", "IT", "ES"]}},
                {"test": {"attribute": "tenant.plan", "operator": "equals", "values": ["gold"]}}]}})
        })
        .collect();
    let mut flags: Vec<Json> =
        (0..FLAGS).map(|i| flag(&format!("flag-{i}"), &json!([]), &plain)).collect();
    flags.push(flag("split", &json!([]), &split));
    flags.push(flag("rules", &json!(rules), &plain));
    let flags: Vec<FlagWire> = serde_json::from_value(flags.into()).unwrap_or_default();
    let tenant = TenantWire { uid: "1".into(), ..TenantWire::default() };
    let tenants = [(TenantKey::new("acme")?, tenant)];
    let scope =
        ScopeId { org: OrgKey::new("demo")?, env: EnvKey::new("prod")?, scope: Scope::Environment };
    Ok(Snapshot::from_parts(scope, Revision { org: 1, env: 1 }, flags, tenants))
}

fn main() -> Result<(), KeyError> {
    let floor: HashMap<String, bool> = (0..FLAGS).map(|i| (format!("flag-{i}"), true)).collect();
    measure("floor: HashMap::get of 10,000", || floor.get(black_box("flag-4711")).copied());
    let snapshot = snapshot()?;
    let view = View { snapshot: &snapshot, confirmed: Timestamp::default() };
    let now = Timestamp::from_seconds(3);
    let context = Context::for_tenant(TenantKey::new("acme")?);
    let context = context.user("u-1").attr("country", "DE");
    for (name, key) in [
        ("plain flag of 10,000", "flag-4711"),
        ("percentage split", "split"),
        ("ten rules of two tests, none matching", "rules"),
        ("unknown flag", "absent"),
    ] {
        measure(name, || evaluate(view, black_box(key), None, black_box(&context), now));
    }
    let json = flag("f", &json!([]), &json!({"variant": "on"})).to_string();
    measure("compile a small flag", || compile_json("f", black_box(&json)));
    Ok(())
}

/// Prints the best of many rounds: what disturbs a round only ever adds to it.
#[expect(clippy::print_stdout, reason = "a bench prints what it measured")]
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock that the heart may not")]
fn measure<T>(name: &str, mut work: impl FnMut() -> T) {
    const ROUNDS: u32 = 200;
    const CALLS: u32 = 5_000;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(work());
        }
        best = best.min(start.elapsed());
    }
    println!("{:>8.1} ns  {name}", best.as_secs_f64() * 1e9 / f64::from(CALLS));
}
