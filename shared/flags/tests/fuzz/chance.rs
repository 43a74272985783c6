//! Seeded chance, a budget of time, and what changes an input.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

/// SplitMix64.
pub(crate) struct Chance(u64);

impl Chance {
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

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// Up to `most` of them, joined.
    pub(crate) fn soup(&mut self, words: &[&str], most: usize) -> String {
        (0..self.below(most + 1)).map(|_| self.pick(words)).collect()
    }

    /// A few bytes changed, taken out, doubled or put in.
    pub(crate) fn mutate(&mut self, text: &str, words: &[&str]) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(9)).min(bytes.len());
            match self.below(5) {
                0 => drop(bytes.drain(at..end)),
                1 => drop(bytes.splice(at..at, self.pick(words).bytes())),
                2 => {
                    let piece = bytes[at..end].to_vec();
                    drop(bytes.splice(at..at, piece));
                }
                3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                _ => bytes.insert(at, u8::try_from(self.below(256)).unwrap()),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// One place in it is another thing.
    pub(crate) fn mutate_json(&mut self, json: &mut Json) {
        let inside = match json {
            Json::Array(items) => items.len(),
            Json::Object(members) => members.len(),
            _ => 0,
        };
        if inside == 0 || self.one_in(6) {
            *json = self.hostile();
            return;
        }
        let place = self.below(inside);
        match json {
            Json::Array(items) if self.one_in(8) => drop(items.remove(place)),
            Json::Array(items) if self.one_in(8) => items.push(items[place].clone()),
            Json::Array(items) => self.mutate_json(&mut items[place]),
            Json::Object(members) => {
                let name = members.keys().nth(place).unwrap().clone();
                if self.one_in(12) {
                    let value = members.remove(&name).unwrap();
                    members.insert(self.soup(&["x", "ü", ".", "variant", "all"], 3), value);
                } else {
                    self.mutate_json(&mut members[&name]);
                }
            }
            _ => (),
        }
    }

    fn hostile(&mut self) -> Json {
        let number = i64::from_ne_bytes(self.next().to_ne_bytes());
        let texts = [
            "",
            " ",
            "on",
            "off",
            "user.key",
            "tenant.plan",
            "element",
            "now",
            "1.2.3",
            "(?=x)",
            "a{999999}",
            "10.0.0.0/33",
            "9999-12-31",
            "always",
            "off",
            "callerDefault",
            "equals",
            "before",
            "in-network",
            "semver-less",
            "regex",
            "\u{0}",
            "🚀",
        ];
        match self.below(12) {
            0 => Json::Null,
            1 => json!(self.one_in(2)),
            2 => json!(number),
            3 => json!(number >> 40),
            4 => json!(f64::from_bits(self.next())),
            5 => json!([]),
            6 => json!({}),
            7 => json!([null, self.pick(&texts), number]),
            8 => (0..self.below(40)).fold(json!("always"), |inner, _| json!({"not": inner})),
            9 => json!("x".repeat(self.below(2_000))),
            10 => json!({self.pick(&texts): self.pick(&texts)}),
            _ => json!(self.pick(&texts)),
        }
    }
}

/// Says which input it was when a test fails with it.
struct Witness<'i, I: Debug> {
    input: &'i I,
    round: u64,
}

impl<I: Debug> Drop for Witness<'_, I> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("round {}: {:?}", self.round, self.input);
        }
    }
}

/// Makes inputs and tries them; an attempt says whether its input got past the first door, and at least one
/// in a hundred has to. It goes on for `FLAGFORGE_FUZZ_SECONDS` (1) of its own processor time, from the seed `FLAGFORGE_FUZZ_SEED` (1).
#[expect(
    clippy::disallowed_methods,
    reason = "how long a test goes on is not the heart's business"
)]
pub(crate) fn run<I: Debug>(make: impl Fn(&mut Chance) -> I, attempt: impl Fn(&I) -> bool) {
    let setting = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let budget = Duration::from_secs(setting("FLAGFORGE_FUZZ_SECONDS").unwrap_or(1));
    let mut chance = Chance(setting("FLAGFORGE_FUZZ_SEED").unwrap_or(1));
    let (start, mut round, mut deep) = (Instant::now(), 0, 0);
    // The first rounds are for a machine that is too slow for any; asking for the time costs as much as a round.
    while round < 50 || round % 50 != 0 || spent(start) < budget {
        let input = make(&mut chance);
        let witness = Witness { input: &input, round };
        deep += u64::from(attempt(witness.input));
        round += 1;
    }
    println!("{deep} of {round} inputs got in");
    assert!(deep * 100 >= round, "only {deep} of {round} inputs got in");
}

/// What the thread has had of a processor since `start`: a machine with other things to do must not make a long
/// search a short one. Where the system does not say, the time that has passed.
fn spent(start: Instant) -> Duration {
    let scheduled = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = scheduled.and_then(|text| text.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| start.elapsed(), Duration::from_nanos)
}
