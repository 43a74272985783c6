//! What cannot be beaten: a program that was written by hand for these flags and nothing else. An atomic load of the
//! configuration, one look-up by the key's xxh3, one comparison. It explains nothing and types nothing.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use arc_swap::ArcSwap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::engine::Engine;
use crate::world::{Is, Shape, Test, User, World, parts};

/// One xxh3 of what is hashed, in one go.
#[derive(Default)]
pub(crate) struct OneXxh3(u64);

impl Hasher for OneXxh3 {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    // What ends a text in a hash of several parts; here there is one part.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

type State = BuildHasherDefault<OneXxh3>;

pub(crate) struct Floor {
    program: ArcSwap<Program>,
}

struct Program {
    flags: HashMap<&'static str, Decision, State>,
    listed: HashSet<Box<str>, State>,
}

enum Decision {
    On,
    Off,
    Rules(Box<[Rule]>),
    Half { seed: u64 },
    Listed,
    Needs(&'static str),
}

enum Rule {
    Country(&'static [&'static str]),
    Plan(&'static [&'static str]),
    VersionAbove([u32; 3]),
    AgeAbove(f64),
    ScoreAbove(f64),
}

pub(crate) struct Known<'u> {
    user: &'u User,
    version: [u32; 3],
}

impl Program {
    fn holds(&self, key: &str, asker: &Known<'_>) -> bool {
        let Some(decision) = self.flags.get(key) else { return false };
        self.decide(decision, asker)
    }

    fn decide(&self, decision: &Decision, asker: &Known<'_>) -> bool {
        match decision {
            Decision::On => true,
            Decision::Off => false,
            Decision::Rules(rules) => rules.iter().any(|rule| rule.holds(asker)),
            Decision::Half { seed } => {
                xxh3_64_with_seed(asker.user.key.as_bytes(), *seed) < u64::MAX / 2
            }
            Decision::Listed => self.listed.contains(asker.user.key.as_str()),
            Decision::Needs(parent) => self.holds(parent, asker),
        }
    }
}

impl Rule {
    fn of(test: &Test) -> Self {
        match (test.attribute, &test.is) {
            ("country", Is::OneOf(values)) => Self::Country(values),
            (_, Is::OneOf(values)) => Self::Plan(values),
            (_, Is::VersionAbove(bound)) => Self::VersionAbove(parts(bound)),
            ("age", Is::Above(bound)) => Self::AgeAbove(*bound),
            (_, Is::Above(bound)) => Self::ScoreAbove(*bound),
        }
    }

    fn holds(&self, asker: &Known<'_>) -> bool {
        match self {
            Self::Country(values) => values.contains(&asker.user.country),
            Self::Plan(values) => values.contains(&asker.user.plan),
            Self::VersionAbove(bound) => asker.version > *bound,
            Self::AgeAbove(bound) => f64::from(asker.user.age) > *bound,
            Self::ScoreAbove(bound) => asker.user.score > *bound,
        }
    }
}

impl Engine for Floor {
    const NAME: &'static str = "floor";
    type Wire = World;
    type Question = &'static str;
    type Asker<'e> = Known<'e>;

    fn wire(world: &World) -> World {
        world.clone()
    }

    fn wire_bytes(_: &World) -> usize {
        0
    }

    fn load(world: &World) -> Self {
        let decision = |shape: &Shape, key: &str| match shape {
            Shape::On => Decision::On,
            Shape::Off => Decision::Off,
            Shape::Rules(tests) => Decision::Rules(tests.iter().map(Rule::of).collect()),
            Shape::Half => Decision::Half { seed: xxh3_64(key.as_bytes()) },
            Shape::Listed => Decision::Listed,
            Shape::Needs(parent) => Decision::Needs(parent),
        };
        let features = world.features.iter();
        let flags =
            features.map(|feature| (feature.key, decision(&feature.shape, feature.key))).collect();
        let listed = world.listed.iter().map(|key| key.as_str().into()).collect();
        Self { program: ArcSwap::from_pointee(Program { flags, listed }) }
    }

    fn can(_: &Shape) -> bool {
        true
    }

    fn question(key: &'static str) -> &'static str {
        key
    }

    fn asker<'e>(&'e self, user: &'e User) -> Known<'e> {
        Known { user, version: parts(user.version) }
    }

    fn ask(&self, asker: &Known<'_>, question: &&'static str) -> bool {
        self.program.load().holds(question, asker)
    }

    fn ask_all(&self, asker: &Known<'_>) -> usize {
        let program = self.program.load();
        program.flags.values().filter(|decision| program.decide(decision, asker)).count()
    }
}
