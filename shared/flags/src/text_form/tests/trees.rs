//! Trees of every kind, with odd names and odd operands.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value as Json;

use crate::keys::{FlagKey, GroupKey, SegmentKey, VariantKey};
use crate::wire::{
    Comparison, ConditionWire, ElementsWire, FlagIsWire, FlagTestWire, HashName, MissingUnit,
    OperatorName, RolloutWire, TestWire, UnitWire,
};

pub(super) const OPERATORS: [OperatorName; 37] = [
    OperatorName::Equals,
    OperatorName::OneOf,
    OperatorName::DeepEquals,
    OperatorName::Contains,
    OperatorName::StartsWith,
    OperatorName::EndsWith,
    OperatorName::Regex,
    OperatorName::TextLess,
    OperatorName::TextLessOrEqual,
    OperatorName::TextGreater,
    OperatorName::TextGreaterOrEqual,
    OperatorName::Less,
    OperatorName::LessOrEqual,
    OperatorName::Greater,
    OperatorName::GreaterOrEqual,
    OperatorName::Modulo,
    OperatorName::SemverEquals,
    OperatorName::SemverLess,
    OperatorName::SemverLessOrEqual,
    OperatorName::SemverGreater,
    OperatorName::SemverGreaterOrEqual,
    OperatorName::LenientSemverEquals,
    OperatorName::LenientSemverLess,
    OperatorName::LenientSemverLessOrEqual,
    OperatorName::LenientSemverGreater,
    OperatorName::LenientSemverGreaterOrEqual,
    OperatorName::Before,
    OperatorName::After,
    OperatorName::InNetwork,
    OperatorName::Exists,
    OperatorName::IsNull,
    OperatorName::IsType,
    OperatorName::SizeEquals,
    OperatorName::SizeLess,
    OperatorName::SizeGreater,
    OperatorName::HashEquals,
    OperatorName::HashPrefix,
];

fn path() -> impl Strategy<Value = String> {
    let odd = ["in", "if", "now", "element", "é", "", "a b", "has", "contains", "x\\y", "\""];
    let name = prop_oneof![3 => "[a-z_][a-zA-Z0-9_]{0,6}", 1 => select(odd.to_vec()).prop_map(str::to_owned),
        1 => any::<String>()];
    vec(name, 1..4).prop_map(|names| names.join("."))
}

fn value() -> impl Strategy<Value = Json> {
    let text = prop_oneof![
        "[a-z]{0,5}".prop_map(Json::from),
        any::<String>().prop_map(Json::from),
        select(vec!["now", "\\d", "\\\"", "1.2.3", "\u{7f}", "\r\n\t\u{8}", "//", "'"])
            .prop_map(Json::from),
    ];
    let leaf = prop_oneof![
        4 => text,
        2 => any::<i64>().prop_map(Json::from),
        1 => any::<u64>().prop_map(Json::from),
        2 => any::<f64>().prop_map(Json::from),
        1 => any::<bool>().prop_map(Json::from),
        1 => Just(Json::Null),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map(any::<String>(), inner, 0..3)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

fn test() -> impl Strategy<Value = ConditionWire> {
    let compare = select(vec![Comparison::Typed, Comparison::Text, Comparison::Number]);
    (
        path(),
        select(OPERATORS.to_vec()),
        prop_oneof![4 => vec(value(), 1), 1 => vec(value(), 0..4)],
        any::<[bool; 3]>(),
        compare,
        option::weighted(0.2, any::<String>()),
    )
        .prop_map(
            |(attribute, operator, values, [negate, if_missing, ignore_case], compare, salt)| {
                ConditionWire::Test(TestWire {
                    attribute,
                    operator,
                    values,
                    negate,
                    if_missing,
                    ignore_case,
                    compare,
                    salt,
                })
            },
        )
}

fn rollout() -> impl Strategy<Value = ConditionWire> {
    let hashes = vec![HashName::Xxh3, HashName::Unleash, HashName::GrowthBook2, HashName::PostHog];
    let buckets = select(vec![100_000, 100, 0, u32::MAX]);
    (
        (path(), any::<String>(), select(hashes), select(vec![0, 1, u32::MAX]), buckets),
        vec(path(), 0..3),
        any::<bool>(),
        select(vec![0, 5]),
        prop_oneof![0..=100_001_u32, any::<u32>()],
    )
        .prop_map(|((unit, salt, hash, seed, buckets), fallbacks, zero, from, until)| {
            let missing = if zero { MissingUnit::BucketZero } else { MissingUnit::NoMatch };
            let by = UnitWire { unit, fallbacks, missing, salt, hash, seed, buckets };
            ConditionWire::Rollout(RolloutWire { by, from, until })
        })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,8}",
        select(vec!["With spaces", "🚀", "a:b@c+d~e", "Ünï", "it's"]).prop_map(str::to_owned)
    ]
}

fn flag() -> impl Strategy<Value = ConditionWire> {
    let variants = vec(key().prop_map(|key| VariantKey::new(&key).unwrap()), 0..3);
    let is = prop_oneof![
        variants.prop_map(FlagIsWire::Variants),
        Just(FlagIsWire::Off),
        Just(FlagIsWire::Enabled),
    ];
    (key(), is).prop_map(|(key, is)| {
        ConditionWire::Flag(FlagTestWire { flag: FlagKey::new(&key).unwrap(), is })
    })
}

pub(super) fn condition() -> impl Strategy<Value = ConditionWire> {
    let leaf = prop_oneof![
        6 => test(),
        1 => rollout(),
        1 => flag(),
        1 => key().prop_map(|key| ConditionWire::InSegment(SegmentKey::new(&key).unwrap())),
        1 => key().prop_map(|key| ConditionWire::InGroup(GroupKey::new(&key).unwrap())),
        1 => Just(ConditionWire::Always),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        let elements = || {
            (path(), inner.clone())
                .prop_map(|(attribute, when)| ElementsWire { attribute, when: Box::new(when) })
        };
        prop_oneof![
            3 => vec(inner.clone(), 0..4).prop_map(ConditionWire::All),
            3 => vec(inner.clone(), 0..4).prop_map(ConditionWire::Any),
            2 => inner.clone().prop_map(|part| ConditionWire::Not(Box::new(part))),
            1 => elements().prop_map(ConditionWire::AnyElement),
            1 => elements().prop_map(ConditionWire::AllElements),
        ]
    })
}
