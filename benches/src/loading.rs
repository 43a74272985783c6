//! From bytes to ready: time, and the bytes that it takes.

use crate::engine::Engine;
use crate::memory::counted;
use crate::ours::Ours;
use crate::peers::eppo::Eppo;
use crate::peers::growthbook::Growthbook;
use crate::peers::launchdarkly::LaunchDarkly;
use crate::peers::yggdrasil::Yggdrasil;
use crate::timing::{Runner, race_long};
use crate::world::{FEW_LISTED, World};

const MANY_FLAGS: usize = 10_000;

/// What loading took.
pub(crate) struct Loaded {
    pub(crate) engine: &'static str,
    pub(crate) wire_bytes: usize,
    pub(crate) milliseconds: f64,
    pub(crate) peak_bytes: i64,
    pub(crate) retained_bytes: i64,
}

struct Bytes {
    wire: usize,
    peak: i64,
    retained: i64,
}

fn bytes<E: Engine>(wire: &E::Wire) -> Bytes {
    let (engine, allocated) = counted(|| E::load(wire));
    drop(engine);
    Bytes { wire: E::wire_bytes(wire), peak: allocated.peak, retained: allocated.retained }
}

fn loading<E: Engine>(wire: &E::Wire) -> Runner<'_> {
    Runner::long(E::NAME, || E::load(wire))
}

/// Every engine loads 10,000 mixed flags, in turn.
pub(crate) fn rows(samples: usize) -> Vec<Loaded> {
    let world = World::new(MANY_FLAGS, FEW_LISTED);
    let (ours, launchdarkly) = (Ours::wire(&world), LaunchDarkly::wire(&world));
    let (yggdrasil, eppo) = (Yggdrasil::wire(&world), Eppo::wire(&world));
    let growthbook = Growthbook::wire(&world);
    let memory = [
        bytes::<Ours>(&ours),
        bytes::<LaunchDarkly>(&launchdarkly),
        bytes::<Yggdrasil>(&yggdrasil),
        bytes::<Eppo>(&eppo),
        bytes::<Growthbook>(&growthbook),
    ];
    let runners = vec![
        loading::<Ours>(&ours),
        loading::<LaunchDarkly>(&launchdarkly),
        loading::<Yggdrasil>(&yggdrasil),
        loading::<Eppo>(&eppo),
        loading::<Growthbook>(&growthbook),
    ];
    let figures = race_long(samples, runners).into_iter().zip(memory);
    figures
        .map(|(figure, bytes)| Loaded {
            engine: figure.engine,
            wire_bytes: bytes.wire,
            milliseconds: figure.nanoseconds / 1e6,
            peak_bytes: bytes.peak,
            retained_bytes: bytes.retained,
        })
        .collect()
}

/// What a list of a million ids retains in each engine, by id: a world with it less one without.
pub(crate) fn bytes_per_id() -> Vec<(&'static str, f64)> {
    const IDS: usize = 1_000_000;
    fn of<E: Engine>(with: &World, without: &World) -> (&'static str, f64) {
        let retained = |world| bytes::<E>(&E::wire(world)).retained;
        (E::NAME, (retained(with) - retained(without)) as f64 / IDS as f64)
    }
    let (with, without) = (World::new(10, IDS), World::new(10, 0));
    vec![
        of::<Ours>(&with, &without),
        of::<LaunchDarkly>(&with, &without),
        of::<Yggdrasil>(&with, &without),
        of::<Eppo>(&with, &without),
        of::<Growthbook>(&with, &without),
    ]
}
