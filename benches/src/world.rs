//! What every engine is asked, in words of no engine: flags, users, and the right answers.

/// The flags that the workloads ask for. All are boolean; fillers of a mixed kind stand around them.
pub(crate) const PLAIN: &str = "w1-plain";
pub(crate) const ONE_RULE: &str = "w2-one-rule";
pub(crate) const TEN_RULES: &str = "w3-ten-rules";
pub(crate) const HALF: &str = "w4-half";
pub(crate) const LISTED: &str = "w5-listed";
pub(crate) const CHAIN: [&str; 4] =
    ["w6-chain", "w6-chain-parent", "w6-chain-grandparent", "w6-chain-root"];

/// The flags of a snapshot unless said otherwise.
pub(crate) const FLAGS: usize = 1_000;
/// The users in the list unless said otherwise.
pub(crate) const LISTED_USERS: usize = 10_000;
/// The same where the list is not what is measured.
pub(crate) const FEW_LISTED: usize = 10;

/// A configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) features: Vec<Feature>,
    /// Keys of the users for whom [`Shape::Listed`] is on.
    pub(crate) listed: Vec<String>,
    /// Tenants of the directory besides the one that asks; only ours has one.
    pub(crate) tenants: usize,
    /// Segments that nobody asks for.
    pub(crate) segments: usize,
}

/// A flag. Keys are leaked: code names its flags in constants.
#[derive(Debug, Clone)]
pub(crate) struct Feature {
    pub(crate) key: &'static str,
    pub(crate) shape: Shape,
}

/// For whom a flag is on.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    On,
    Off,
    /// For whom some test holds; each is a rule of its own.
    Rules(Vec<Test>),
    /// For half of all users, by a hash of their key.
    Half,
    /// For those of the list.
    Listed,
    /// For whom another flag is on.
    Needs(&'static str),
}

#[derive(Debug, Clone)]
pub(crate) struct Test {
    pub(crate) attribute: &'static str,
    pub(crate) is: Is,
}

#[derive(Debug, Clone)]
pub(crate) enum Is {
    OneOf(&'static [&'static str]),
    VersionAbove(&'static str),
    Above(f64),
}

/// Who asks: a key and six attributes.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) key: String,
    pub(crate) country: &'static str,
    pub(crate) plan: &'static str,
    pub(crate) version: &'static str,
    pub(crate) age: i32,
    pub(crate) score: f64,
    pub(crate) beta: bool,
}

impl User {
    /// One for whom [`ONE_RULE`] and the last of [`TEN_RULES`] hold.
    pub(crate) fn matching(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            country: "DE",
            plan: "silver",
            version: "2.3.1",
            age: 30,
            score: 0.25,
            beta: true,
        }
    }

    /// One for whom none holds.
    pub(crate) fn other(key: impl Into<String>) -> Self {
        Self { country: "JP", plan: "free", version: "1.0.0", age: 20, ..Self::matching(key) }
    }

    fn text(&self, attribute: &str) -> &'static str {
        match attribute {
            "country" => self.country,
            "plan" => self.plan,
            "version" => self.version,
            _ => panic!("no text attribute is called {attribute}"),
        }
    }

    fn number(&self, attribute: &str) -> f64 {
        match attribute {
            "age" => f64::from(self.age),
            "score" => self.score,
            _ => panic!("no number is called {attribute}"),
        }
    }
}

impl Test {
    const fn one_of(attribute: &'static str, values: &'static [&'static str]) -> Self {
        Self { attribute, is: Is::OneOf(values) }
    }

    const fn version_above(version: &'static str) -> Self {
        Self { attribute: "version", is: Is::VersionAbove(version) }
    }

    const fn above(attribute: &'static str, bound: f64) -> Self {
        Self { attribute, is: Is::Above(bound) }
    }

    fn holds(&self, user: &User) -> bool {
        match self.is {
            Is::OneOf(values) => values.contains(&user.text(self.attribute)),
            Is::VersionAbove(bound) => parts(user.text(self.attribute)) > parts(bound),
            Is::Above(bound) => user.number(self.attribute) > bound,
        }
    }
}

/// The three numbers of a version.
pub(crate) fn parts(version: &str) -> [u32; 3] {
    let mut parts = version.split('.').map(|part| part.parse().unwrap());
    std::array::from_fn(|_| parts.next().unwrap())
}

impl World {
    /// The workloads' flags among fillers, `flags` in all, with `listed` users in the list.
    pub(crate) fn new(flags: usize, listed: usize) -> Self {
        let mut features = asked();
        let fillers = (0..flags.saturating_sub(features.len())).map(filler);
        features.extend(fillers);
        Self { features, listed: (0..listed).map(listed_user).collect(), tenants: 10, segments: 0 }
    }

    pub(crate) fn shape(&self, key: &str) -> Option<&Shape> {
        self.features.iter().find(|feature| feature.key == key).map(|feature| &feature.shape)
    }

    /// The right answer, where there is one: which half a user falls in is each engine's own.
    pub(crate) fn right(&self, shape: &Shape, user: &User) -> Option<bool> {
        match shape {
            Shape::On => Some(true),
            Shape::Off => Some(false),
            Shape::Rules(tests) => Some(tests.iter().any(|test| test.holds(user))),
            Shape::Half => None,
            Shape::Listed => Some(self.listed.contains(&user.key)),
            Shape::Needs(parent) => self.right(self.shape(parent).unwrap(), user),
        }
    }
}

/// The keys of the list's users. They do not sort as they were made, as real ones do not.
pub(crate) fn listed_user(number: usize) -> String {
    format!("u-{:08x}", (number as u32).wrapping_mul(0x9E37_79B1))
}

fn asked() -> Vec<Feature> {
    let [chain, parent, grandparent, root] = CHAIN;
    let one_rule = vec![Test::one_of("country", &["AT", "CH", "DE"])];
    let ten_rules = vec![
        Test::one_of("country", &["FR", "IT", "ES"]),
        Test::version_above("9.0.0"),
        Test::above("age", 90.0),
        Test::one_of("plan", &["gold", "platinum"]),
        Test::version_above("5.1.0"),
        Test::above("score", 0.9),
        Test::one_of("country", &["US", "CA"]),
        Test::version_above("3.0.0"),
        Test::above("age", 65.0),
        Test::one_of("plan", &["bronze", "silver"]),
    ];
    [
        (PLAIN, Shape::On),
        (ONE_RULE, Shape::Rules(one_rule)),
        (TEN_RULES, Shape::Rules(ten_rules)),
        (HALF, Shape::Half),
        (LISTED, Shape::Listed),
        (chain, Shape::Needs(parent)),
        (parent, Shape::Needs(grandparent)),
        (grandparent, Shape::Needs(root)),
        (root, Shape::On),
    ]
    .into_iter()
    .map(|(key, shape)| Feature { key, shape })
    .collect()
}

/// Of ten fillers three are on for everybody, one is off, three have one rule, one has three, two split.
fn filler(number: usize) -> Feature {
    let shape = match number % 10 {
        0..=2 => Shape::On,
        3 => Shape::Off,
        4 => Shape::Rules(vec![Test::one_of("plan", &["gold", "silver"])]),
        5 => Shape::Rules(vec![Test::version_above("2.0.0")]),
        6 => Shape::Rules(vec![Test::above("age", 40.0)]),
        7 => Shape::Rules(vec![
            Test::one_of("country", &["US", "CA"]),
            Test::version_above("3.0.0"),
            Test::above("score", 0.1),
        ]),
        _ => Shape::Half,
    };
    Feature { key: format!("filler-{number:05}").leak(), shape }
}
