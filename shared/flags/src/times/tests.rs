//! Whenever an answer becomes another with time alone, the instant is one that was foretold.

use serde_json::{Value as Json, json};

use super::*;
use crate::context::Context;
use crate::evaluate::{View, evaluate};
use crate::keys::{EnvKey, OrgKey, TenantKey};
use crate::manifest::{Scope, ScopeId};
use crate::revision::Revision;
use crate::wire::{FlagWire, TenantWire};

const TICKS: Ticks = Ticks { every: Duration::from_millis(50), late: Duration::from_millis(7) };
/// 2026-11-20T09:30:00Z.
const START: i64 = 1_795_167_000_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START + millis)
}

fn ramp(start: i64, end: i64, steps: Option<u32>) -> Json {
    let mut ramp = json!({
        "unit": "user.key", "salt": "s", "hash": "xxh3", "buckets": 100_000,
        "variant": "on", "rest": "off", "from": 0, "until": 100_000,
        "start": at(start), "end": at(end),
    });
    if let Some(steps) = steps {
        ramp["steps"] = json!(steps);
    }
    json!({ "ramp": ramp })
}

fn snapshot(state: &Json) -> Snapshot {
    let mut flag = json!({
        "key": "f", "version": 1, "class": "release", "type": "boolean",
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "state": {
            "enabled": true, "off": {"variant": "off"}, "rules": [],
            "fallthrough": {"variant": "off"},
        },
    });
    for (name, value) in state.as_object().unwrap() {
        flag["state"][name] = value.clone();
    }
    let tenant = json!({
        "uid": "u", "groups": ["beta"],
        "overrides": {"g": {"variant": "on", "expires": at(333)}},
    });
    let flag: FlagWire = serde_json::from_value(flag).unwrap();
    let mut other = flag.clone();
    other.key = crate::keys::FlagKey::new("g").unwrap();
    let tenant: TenantWire = serde_json::from_value(tenant).unwrap();
    let (org, env) = (OrgKey::new("demo").unwrap(), EnvKey::new("prod").unwrap());
    let scope = ScopeId { org, env, scope: Scope::Environment };
    let tenants = [(TenantKey::new("acme").unwrap(), tenant)];
    Snapshot::from_parts(scope, Revision { org: 1, env: 1 }, [flag, other], tenants)
}

/// Looks at every millisecond from -100 to 1,500 and answers at how many of them an answer became another. `coarse`:
/// what moves without steps is allowed to be told a tick later.
fn check(state: &Json, coarse: bool) -> usize {
    let snapshot = snapshot(state);
    let (times, confirmed) = (Times::of(&snapshot), at(-100));
    let tenant = snapshot.tenant("acme").unwrap().unwrap();
    let acme = TenantKey::new("acme").unwrap();
    let users: Vec<String> = (0..40).map(|user| format!("u-{user}")).collect();
    let answers = |now| -> Vec<_> {
        let view = View { snapshot: &snapshot, confirmed };
        let answer = |user: &String, flag: &str| {
            let context = Context::for_tenant(&acme).user(user.as_str()).attr("born", START + 700);
            let answer = evaluate(view, flag, None, &context, now);
            (answer.variant.map(str::to_owned), answer.reason)
        };
        users.iter().flat_map(|user| [answer(user, "f"), answer(user, "g")]).collect()
    };
    let (mut before, mut changes) = (answers(at(-100)), 0);
    for millis in -99..1_500 {
        let now = at(millis);
        let (then, foretold) = (
            times.around(Some(tenant), confirmed, TICKS, at(millis - 1)),
            times.around(Some(tenant), confirmed, TICKS, now),
        );
        let told = then.next == Some(now);
        assert_eq!(told, foretold.last == Some(now), "{millis}: {then:?} {foretold:?}");
        assert!(foretold.next.is_none_or(|next| next > now));
        let answers = answers(now);
        if answers != before {
            assert!(told || coarse, "{millis} of {state}: {then:?}");
            let soon = then.next.map(|next| next.since(now));
            assert!(soon.is_some_and(|soon| soon <= TICKS.every), "{millis}: {then:?}");
            changes += 1;
        }
        before = answers;
    }
    changes
}

#[test]
fn steps_expiries_and_ages_are_foretold_to_the_millisecond() {
    for steps in [1, 3, 7, 10] {
        // The override of `g` ends in each of them.
        let stepped = json!({"fallthrough": ramp(0, 1_000, Some(steps))});
        assert!(check(&stepped, false) > 1, "{steps}");
    }
    let group = json!({"groupOverrides": [
        {"group": "beta", "variant": "on", "expires": at(77)},
    ]});
    assert_eq!(check(&group, false), 2);
    let stale = json!({"stale": {"afterSeconds": 1, "then": {"serve": {"variant": "on"}}}});
    assert_eq!(check(&stale, false), 2);
    assert_eq!(check(&json!({}), false), 1, "the tenant's own override");
}

#[test]
fn what_moves_without_steps_is_told_within_a_tick() {
    let rising = json!({"fallthrough": ramp(0, 1_000, None)});
    assert!(check(&rising, true) > 10);
    let fine = json!({"fallthrough": ramp(0, 1_000, Some(500))});
    assert!(check(&fine, true) > 10);
    let now = json!({"rules": [{
        "id": "r", "serve": {"variant": "on"},
        "when": {"test": {"attribute": "user.born", "operator": "before", "values": ["now"]}},
    }]});
    assert_eq!(check(&now, true), 2);
}

#[test]
fn nothing_is_foretold_where_nothing_comes() {
    let snapshot = snapshot(&json!({}));
    let around = Times::of(&snapshot).around(None, at(0), TICKS, at(5));
    assert_eq!(around, Around::default());
}
