//! `eppo_core`: `get_assignment`, which answers the value without its details (those cost it about as much again), at
//! an instant that is given. It has no prerequisites. Several conditions for one answer are rules of one allocation.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, OnceLock};

use eppo_core::eval::get_assignment;
use eppo_core::timestamp::Timestamp;
use eppo_core::ufc::{AssignmentValue, UniversalFlagConfig};
use eppo_core::{Attributes, Configuration, SdkMetadata, Str};
use serde_json::{Value as Json, json};

use crate::engine::Engine;
use crate::world::{Feature, Is, Shape, Test, User, World};

const SHARDS: u32 = 10_000;

pub(crate) struct Eppo {
    configuration: Configuration,
    keys: OnceLock<Vec<Str>>,
    now: Timestamp,
}

fn condition(test: &Test) -> Json {
    let (operator, value) = match &test.is {
        Is::OneOf(values) => ("ONE_OF", json!(values)),
        Is::VersionAbove(version) => ("GT", json!(version)),
        Is::Above(bound) => ("GT", json!(bound)),
    };
    json!({"conditions": [{"attribute": test.attribute, "operator": operator, "value": value}]})
}

fn allocation(key: &str, rules: &[Json], splits: &Json) -> Json {
    json!({"key": key, "rules": rules, "splits": splits, "doLog": false})
}

fn flag(feature: &Feature, listed: &[String]) -> Json {
    let all = |variation: &str| json!([{"shards": [], "variationKey": variation}]);
    let matched = |rules: &[Json]| {
        json!([allocation("rules", rules, &all("on")), allocation("rest", &[], &all("off"))])
    };
    let part = |start: u32, end: u32, variation: &str| {
        let shard = json!({"salt": feature.key, "ranges": [{"start": start, "end": end}]});
        json!({"shards": [shard], "variationKey": variation})
    };
    let allocations = match &feature.shape {
        Shape::On | Shape::Off | Shape::Needs(_) => json!([allocation("all", &[], &all("on"))]),
        Shape::Rules(tests) => matched(&tests.iter().map(condition).collect::<Vec<_>>()),
        Shape::Half => {
            let splits = json!([part(0, SHARDS / 2, "on"), part(SHARDS / 2, SHARDS, "off")]);
            json!([allocation("half", &[], &splits)])
        }
        Shape::Listed => matched(&[
            json!({"conditions": [{"attribute": "id", "operator": "ONE_OF", "value": listed}]}),
        ]),
    };
    json!({
        "key": feature.key, "enabled": !matches!(feature.shape, Shape::Off),
        "variationType": "BOOLEAN", "totalShards": SHARDS, "allocations": allocations,
        "variations": {"on": {"key": "on", "value": true}, "off": {"key": "off", "value": false}}
    })
}

impl Eppo {
    fn assigned(&self, key: &str, (subject, attributes): &(Str, Arc<Attributes>)) -> bool {
        let configuration = Some(&self.configuration);
        let assignment = get_assignment(configuration, key, subject, attributes, None, self.now);
        let assigned = black_box(&assignment).as_ref().ok().and_then(Option::as_ref);
        matches!(assigned.map(|found| &found.value), Some(AssignmentValue::Boolean(true)))
    }
}

impl Engine for Eppo {
    const NAME: &'static str = "eppo";
    type Wire = Vec<u8>;
    type Question = &'static str;
    type Asker<'e> = (Str, Arc<Attributes>);

    fn wire(world: &World) -> Vec<u8> {
        let can = world.features.iter().filter(|feature| Self::can(&feature.shape));
        let flags: serde_json::Map<String, Json> =
            can.map(|feature| (feature.key.into(), flag(feature, &world.listed))).collect();
        let document = json!({"createdAt": "2026-11-20T00:00:00Z", "format": "SERVER",
            "environment": {"name": "prod"}, "flags": flags, "bandits": {}});
        serde_json::to_vec(&document).unwrap()
    }

    fn wire_bytes(wire: &Vec<u8>) -> usize {
        wire.len()
    }

    fn load(wire: &Vec<u8>) -> Self {
        let sdk = SdkMetadata { name: "benches", version: "1" };
        let flags = UniversalFlagConfig::from_json(sdk, wire.clone()).unwrap();
        let configuration = Configuration::from_server_response(flags, None);
        Self { configuration, keys: OnceLock::new(), now: std::time::SystemTime::now().into() }
    }

    fn can(shape: &Shape) -> bool {
        !matches!(shape, Shape::Needs(_))
    }

    fn question(key: &'static str) -> &'static str {
        key
    }

    fn asker<'e>(&'e self, user: &'e User) -> Self::Asker<'e> {
        let attributes = HashMap::from([
            ("country".into(), user.country.into()),
            ("plan".into(), user.plan.into()),
            ("version".into(), user.version.into()),
            ("age".into(), f64::from(user.age).into()),
            ("score".into(), user.score.into()),
            ("beta".into(), user.beta.into()),
        ]);
        (user.key.as_str().into(), Arc::new(attributes))
    }

    fn ask(&self, asker: &Self::Asker<'_>, question: &&'static str) -> bool {
        self.assigned(question, asker)
    }

    fn ask_all(&self, asker: &Self::Asker<'_>) -> usize {
        let keys = self.keys.get_or_init(|| self.configuration.flag_keys().cloned().collect());
        keys.iter().filter(|key| self.assigned(key, asker)).count()
    }
}
