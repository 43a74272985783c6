//! `launchdarkly-server-sdk-evaluation`: `evaluate`, which answers with the reason and borrows the value. The flag that
//! is asked for is borrowed from the map; what the evaluator itself looks up (prerequisites, segments) it gets by
//! value, because its `Store` says so.

use std::collections::HashMap;
use std::hint::black_box;

use launchdarkly_server_sdk_evaluation::{
    Context, ContextBuilder, Flag, FlagValue, Segment, Store, evaluate,
};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::engine::Engine;
use crate::world::{Feature, Is, Shape, Test, User, World};

const LIST: &str = "list";

/// What LaunchDarkly's streams carry.
#[derive(Deserialize)]
pub(crate) struct LaunchDarkly {
    flags: HashMap<String, Flag>,
    segments: HashMap<String, Segment>,
}

impl Store for LaunchDarkly {
    fn flag(&self, key: &str) -> Option<Flag> {
        self.flags.get(key).cloned()
    }

    fn segment(&self, key: &str) -> Option<Segment> {
        self.segments.get(key).cloned()
    }
}

fn clause(test: &Test) -> Json {
    let (op, values) = match &test.is {
        Is::OneOf(values) => ("in", json!(values)),
        Is::VersionAbove(version) => ("semVerGreaterThan", json!([version])),
        Is::Above(bound) => ("greaterThan", json!([bound])),
    };
    json!({"contextKind": "user", "attribute": test.attribute, "op": op, "values": values, "negate": false})
}

fn rule(number: usize, clause: &Json) -> Json {
    json!({"id": format!("rule-{number}"), "clauses": [clause], "variation": 0, "trackEvents": false})
}

fn flag(feature: &Feature) -> Json {
    let listed = json!({"contextKind": "user", "attribute": "", "op": "segmentMatch", "values": [LIST], "negate": false});
    let off = json!({"variation": 1});
    let on = json!({"variation": 0});
    let half = json!({"rollout": {"kind": "rollout", "contextKind": "user", "variations": [
        {"variation": 0, "weight": 50_000}, {"variation": 1, "weight": 50_000}]}});
    let (rules, fallthrough): (Vec<Json>, _) = match &feature.shape {
        Shape::On | Shape::Off | Shape::Needs(_) => (vec![], on),
        Shape::Rules(tests) => {
            (tests.iter().enumerate().map(|(at, test)| rule(at, &clause(test))).collect(), off)
        }
        Shape::Half => (vec![], half),
        Shape::Listed => (vec![rule(0, &listed)], off),
    };
    let prerequisites = match &feature.shape {
        Shape::Needs(parent) => json!([{"key": parent, "variation": 0}]),
        _ => json!([]),
    };
    json!({
        "key": feature.key, "version": 1, "on": !matches!(feature.shape, Shape::Off),
        "targets": [], "contextTargets": [], "rules": rules, "prerequisites": prerequisites,
        "fallthrough": fallthrough, "offVariation": 1, "variations": [true, false],
        "clientSide": false, "salt": feature.key, "trackEvents": false,
        "trackEventsFallthrough": false, "debugEventsUntilDate": null
    })
}

impl Engine for LaunchDarkly {
    const NAME: &'static str = "LaunchDarkly";
    type Wire = Vec<u8>;
    type Question = &'static str;
    type Asker<'e> = Context;

    fn wire(world: &World) -> Vec<u8> {
        let flags: serde_json::Map<String, Json> =
            world.features.iter().map(|feature| (feature.key.into(), flag(feature))).collect();
        let list = json!({"key": LIST, "version": 1, "included": world.listed, "excluded": [], "rules": [], "salt": "s"});
        serde_json::to_vec(&json!({"flags": flags, "segments": {LIST: list}})).unwrap()
    }

    fn wire_bytes(wire: &Vec<u8>) -> usize {
        wire.len()
    }

    fn load(wire: &Vec<u8>) -> Self {
        serde_json::from_slice(wire).unwrap()
    }

    fn can(_: &Shape) -> bool {
        true
    }

    fn question(key: &'static str) -> &'static str {
        key
    }

    fn asker<'e>(&'e self, user: &'e User) -> Context {
        ContextBuilder::new(user.key.as_str())
            .set_string("country", user.country)
            .set_string("plan", user.plan)
            .set_string("version", user.version)
            .set_float("age", f64::from(user.age))
            .set_float("score", user.score)
            .set_bool("beta", user.beta)
            .build()
            .unwrap()
    }

    fn ask(&self, asker: &Context, question: &&'static str) -> bool {
        let Some(flag) = self.flags.get(*question) else { return false };
        let detail = evaluate(self, flag, asker, None);
        matches!(black_box(&detail).value, Some(FlagValue::Bool(true)))
    }

    fn ask_all(&self, asker: &Context) -> usize {
        let on = |flag: &&Flag| {
            let detail = evaluate(self, flag, asker, None);
            matches!(black_box(&detail).value, Some(FlagValue::Bool(true)))
        };
        self.flags.values().filter(on).count()
    }
}
