//! Known answers, computed with Python's hashlib, zlib, mmh3 and xxhash, some of them published by the vendors.

use std::path::Path;

use serde::Deserialize;

use super::{CompiledHash, bucket};
use crate::wire::HashName;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    hash: HashName,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    salt: String,
    unit: String,
    seed: u32,
    buckets: u32,
    bucket: u32,
    /// Where the vendor itself says so.
    #[serde(default, rename = "published")]
    _published: Option<String>,
}

#[test]
fn every_hash_gives_its_known_answers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/hash");
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        let vectors: Vectors = serde_json::from_str(&text).unwrap();
        assert!(vectors.cases.len() >= 10, "{}", file.display());
        for case in &vectors.cases {
            let by = CompiledHash::new(vectors.hash, &case.salt, case.seed, case.buckets);
            assert_eq!(
                bucket(&by, &case.unit),
                case.bucket,
                "{}: {:?} of {:?}",
                file.display(),
                case.unit,
                case.salt
            );
        }
        seen.push(vectors.hash);
    }
    for name in ALL {
        assert!(seen.contains(&name), "{name:?} has no vectors");
    }
}

const ALL: [HashName; 16] = [
    HashName::Xxh3,
    HashName::Unleash,
    HashName::LaunchDarkly,
    HashName::ConfigCat,
    HashName::Eppo,
    HashName::Flagsmith,
    HashName::GrowthBook1,
    HashName::GrowthBook2,
    HashName::Split,
    HashName::Flagd,
    HashName::Flipt,
    HashName::FeatureProbe,
    HashName::Statsig,
    HashName::PostHog,
    HashName::DevCycle,
    HashName::Confidence,
];

#[test]
fn no_hash_leaves_its_range_or_allocates() {
    for name in ALL {
        for buckets in [0, 1, 2, 1_000, u32::MAX] {
            let by = CompiledHash::new(name, "salt", 3, buckets);
            let measured = allocation_counter::measure(|| {
                for unit in ["", "u", "a longer unit, of more than sixteen bytes"] {
                    assert!(bucket(&by, unit) <= buckets.saturating_sub(1), "{name:?} {buckets}");
                }
            });
            assert_eq!(measured.count_total, 0, "{name:?} allocated");
        }
    }
}
