//! `growthbook-rust`: `GrowthBook::check`, which answers with the source. Its client's `is_on` copies the whole
//! configuration for every answer before it calls this.

use std::collections::HashMap;
use std::hint::black_box;

use growthbook_rust::dto::GrowthBookFeature;
use growthbook_rust::growthbook::GrowthBook;
use growthbook_rust::model_public::{GrowthBookAttribute, GrowthBookAttributeValue, SavedGroup};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::engine::Engine;
use crate::world::{Feature, Is, Shape, Test, User, World};

const LIST: &str = "list";

pub(crate) struct Growthbook(GrowthBook);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    features: HashMap<String, GrowthBookFeature>,
    saved_groups: HashMap<String, Json>,
}

fn rule(test: &Test) -> Json {
    let wanted = match &test.is {
        Is::OneOf(values) => json!({"$in": values}),
        Is::VersionAbove(version) => json!({"$vgt": version}),
        Is::Above(bound) => json!({"$gt": bound}),
    };
    json!({"condition": {test.attribute: wanted}, "force": true})
}

fn feature(feature: &Feature) -> Json {
    match &feature.shape {
        Shape::On => json!({"defaultValue": true}),
        Shape::Off => json!({"defaultValue": false}),
        Shape::Rules(tests) => {
            json!({"defaultValue": false, "rules": tests.iter().map(rule).collect::<Vec<_>>()})
        }
        Shape::Half => json!({"defaultValue": false,
            "rules": [{"force": true, "coverage": 0.5, "hashAttribute": "id", "hashVersion": 2}]}),
        Shape::Listed => json!({"defaultValue": false,
            "rules": [{"condition": {"id": {"$inGroup": LIST}}, "force": true}]}),
        Shape::Needs(parent) => json!({"defaultValue": true, "rules": [
            {"parentConditions": [{"id": parent, "condition": {"value": true}, "gate": true}]}]}),
    }
}

impl Engine for Growthbook {
    const NAME: &'static str = "growthbook";
    type Wire = Vec<u8>;
    type Question = &'static str;
    type Asker<'e> = Option<Vec<GrowthBookAttribute>>;

    fn wire(world: &World) -> Vec<u8> {
        let features: serde_json::Map<String, Json> =
            world.features.iter().map(|one| (one.key.into(), feature(one))).collect();
        let groups = json!({LIST: world.listed});
        serde_json::to_vec(&json!({"features": features, "savedGroups": groups})).unwrap()
    }

    fn wire_bytes(wire: &Vec<u8>) -> usize {
        wire.len()
    }

    fn load(wire: &Vec<u8>) -> Self {
        let document: Document = serde_json::from_slice(wire).unwrap();
        let groups = document.saved_groups.iter();
        Self(GrowthBook {
            forced_variations: None,
            features: document.features,
            attributes: None,
            sticky_bucket_service: None,
            saved_groups: groups
                .map(|(key, group)| (key.clone(), SavedGroup::from(group)))
                .collect(),
        })
    }

    fn can(_: &Shape) -> bool {
        true
    }

    fn question(key: &'static str) -> &'static str {
        key
    }

    fn asker<'e>(&'e self, user: &'e User) -> Self::Asker<'e> {
        use GrowthBookAttributeValue::{Bool, Float, Int, String};
        let attributes = [
            ("id", String(user.key.clone())),
            ("country", String(user.country.into())),
            ("plan", String(user.plan.into())),
            ("version", String(user.version.into())),
            ("age", Int(user.age.into())),
            ("score", Float(user.score)),
            ("beta", Bool(user.beta)),
        ];
        let named = |(name, value): (&str, _)| GrowthBookAttribute::new(name.into(), value);
        Some(attributes.into_iter().map(named).collect())
    }

    fn ask(&self, asker: &Self::Asker<'_>, question: &&'static str) -> bool {
        black_box(&self.0.check(question, asker)).on
    }

    fn ask_all(&self, asker: &Self::Asker<'_>) -> usize {
        let on = |name: &&std::string::String| black_box(&self.0.check(name, asker)).on;
        self.0.features.keys().filter(on).count()
    }
}
