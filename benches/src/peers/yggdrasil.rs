//! `unleash-yggdrasil`: `is_enabled`, which answers a bare boolean without a reason. Attributes are texts there, so
//! numbers and versions are parsed at every question. Prerequisites may have none of their own: a chain is written
//! as one flag that needs all of its ancestors.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::OnceLock;

use serde_json::{Value as Json, json};
use unleash_yggdrasil::{ClientFeatures, Context, EngineState, UpdateMessage};

use crate::engine::Engine;
use crate::world::{Feature, Is, Shape, Test, User, World};

/// The one segment.
const LIST: i32 = 1;

pub(crate) struct Yggdrasil {
    engine: EngineState,
    names: OnceLock<Vec<String>>,
}

fn strategy(test: &Test) -> Json {
    let constraint = match &test.is {
        Is::OneOf(values) => json!({"operator": "IN", "values": values}),
        Is::VersionAbove(version) => json!({"operator": "SEMVER_GT", "value": version}),
        Is::Above(bound) => json!({"operator": "NUM_GT", "value": bound.to_string()}),
    };
    let mut constraint = constraint;
    constraint["contextName"] = json!(test.attribute);
    json!({"name": "default", "constraints": [constraint]})
}

fn ancestors(world: &World, shape: &Shape) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut shape = shape;
    while let Shape::Needs(parent) = shape {
        found.push(*parent);
        shape = world.shape(parent).unwrap();
    }
    found
}

fn feature(world: &World, feature: &Feature) -> Json {
    let strategies = match &feature.shape {
        Shape::On | Shape::Off | Shape::Needs(_) => json!([{"name": "default"}]),
        Shape::Rules(tests) => tests.iter().map(strategy).collect(),
        Shape::Half => json!([{"name": "flexibleRollout", "parameters":
            {"rollout": "50", "stickiness": "userId", "groupId": feature.key}}]),
        Shape::Listed => json!([{"name": "default", "segments": [LIST]}]),
    };
    // What somebody needs must need nothing.
    let needed = |other: &Feature| matches!(other.shape, Shape::Needs(key) if key == feature.key);
    let needs = match world.features.iter().any(needed) {
        true => Vec::new(),
        false => ancestors(world, &feature.shape),
    };
    let dependencies: Vec<Json> = needs.iter().map(|key| json!({"feature": key})).collect();
    let enabled = !matches!(feature.shape, Shape::Off);
    json!({"name": feature.key, "type": "release", "project": "default", "enabled": enabled,
        "strategies": strategies, "dependencies": dependencies})
}

impl Engine for Yggdrasil {
    const NAME: &'static str = "yggdrasil";
    type Wire = Vec<u8>;
    type Question = &'static str;
    type Asker<'e> = Context;

    fn wire(world: &World) -> Vec<u8> {
        let features: Vec<Json> = world.features.iter().map(|one| feature(world, one)).collect();
        let list = json!({"id": LIST, "constraints": [
            {"contextName": "userId", "operator": "IN", "values": world.listed}]});
        serde_json::to_vec(&json!({"version": 2, "features": features, "segments": [list]}))
            .unwrap()
    }

    fn wire_bytes(wire: &Vec<u8>) -> usize {
        wire.len()
    }

    fn load(wire: &Vec<u8>) -> Self {
        let features: ClientFeatures = serde_json::from_slice(wire).unwrap();
        let engine = EngineState::default();
        let warnings = engine.take_state(UpdateMessage::FullResponse(features));
        assert!(warnings.is_none(), "{warnings:?}");
        Self { engine, names: OnceLock::new() }
    }

    fn can(_: &Shape) -> bool {
        true
    }

    fn question(key: &'static str) -> &'static str {
        key
    }

    fn asker<'e>(&'e self, user: &'e User) -> Context {
        let properties = HashMap::from([
            ("country".into(), user.country.into()),
            ("plan".into(), user.plan.into()),
            ("version".into(), user.version.into()),
            ("age".into(), user.age.to_string()),
            ("score".into(), user.score.to_string()),
            ("beta".into(), user.beta.to_string()),
        ]);
        let user_id = Some(user.key.clone());
        Context { user_id, properties: Some(properties), ..Context::default() }
    }

    fn ask(&self, asker: &Context, question: &&'static str) -> bool {
        self.engine.is_enabled(question, asker, &None)
    }

    fn ask_all(&self, asker: &Context) -> usize {
        let on = |name: &&String| black_box(self.engine.is_enabled(name, asker, &None));
        let known =
            || self.engine.list_known_toggles().into_iter().map(|toggle| toggle.name).collect();
        self.names.get_or_init(known).iter().filter(on).count()
    }
}
