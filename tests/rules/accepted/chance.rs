//! Seeded chance, and what it does to JSON.

use serde_json::{Value as Json, json};

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One place in it becomes another thing.
    pub(crate) fn mutate(&mut self, json: &mut Json) {
        let inside = match json {
            Json::Array(items) => items.len(),
            Json::Object(members) => members.len(),
            _ => 0,
        };
        if inside == 0 || self.one_in(8) {
            *json = self.other();
            return;
        }
        let place = self.below(inside);
        match json {
            Json::Array(items) if self.one_in(6) => drop(items.remove(place)),
            Json::Array(items) if self.one_in(6) => items.push(items[place].clone()),
            Json::Array(items) => self.mutate(&mut items[place]),
            Json::Object(members) => {
                let name = members.keys().nth(place).unwrap().clone();
                self.mutate(&mut members[&name]);
            }
            _ => {}
        }
    }

    fn other(&mut self) -> Json {
        let texts = [
            "",
            "on",
            "off",
            "third",
            "user.key",
            "tenant.plan",
            "element",
            "now",
            "1.2.3",
            "beta",
            "10.0.0.0/8",
            "2026-01-01",
            "always",
            "callerDefault",
            "equals",
            "before",
            "regex",
            "in-network",
            "semver-less",
            "team",
            "company",
            "🚀",
        ];
        let text = texts[self.below(texts.len())];
        match self.below(9) {
            0 => Json::Null,
            1 => json!(self.one_in(2)),
            2 => json!(self.below(200_000)),
            3 => json!(1.5),
            4 => json!([]),
            5 => json!([text, 7, null]),
            6 => (0..self.below(40)).fold(json!("always"), |inner, _| json!({"not": inner})),
            7 => json!("x".repeat(self.below(2_000))),
            _ => json!(text),
        }
    }
}
