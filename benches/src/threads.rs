//! Two threads against one: what is shared and written shows here.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::ours::Ours;
use crate::timing::{median, processor_time};
use crate::world::{ONE_RULE, User, World};

const RUNS: usize = 5;
/// Calls between two looks at the clock.
const BATCH: u32 = 1_000;

/// How much more two threads do than one, medians of five runs.
pub(crate) struct Ratio {
    pub(crate) what: &'static str,
    /// By the clock on the wall; it wants two idle cores.
    pub(crate) wall: f64,
    /// By the processor time that each had: what a shared write costs shows here on a busy machine too.
    pub(crate) processor: f64,
}

/// Inside one `Flags` of each thread, and as one shots. The threads share the client.
pub(crate) fn ratios(run: Duration) -> [Ratio; 2] {
    let ours = Ours::new(&World::new(1_000, 10));
    let user = User::matching("u-7");
    let inside = |barrier: &Barrier| {
        let (asker, question) = (ours.asker(&user), Ours::question(ONE_RULE));
        rate(run, barrier, || ours.ask(black_box(&asker), black_box(&question)))
    };
    let one_shot = |barrier: &Barrier| {
        let question = Ours::question(ONE_RULE);
        rate(run, barrier, || ours.one_shot(black_box(&user), black_box(&question)))
    };
    [ratio("inside one `Flags` (W2)", &inside), ratio("one shot (W2)", &one_shot)]
}

/// Calls a second.
#[derive(Clone, Copy)]
struct Rate {
    wall: f64,
    processor: f64,
}

fn ratio(what: &'static str, work: &(impl Fn(&Barrier) -> Rate + Sync)) -> Ratio {
    let runs: Vec<[Rate; 2]> = (0..RUNS).map(|_| [together(1, work), together(2, work)]).collect();
    let of = |rate: fn(&Rate) -> f64| {
        median(runs.iter().map(|[one, two]| rate(two) / rate(one)).collect())
    };
    Ratio { what, wall: of(|rate| rate.wall), processor: of(|rate| rate.processor) }
}

/// What so many threads do together.
fn together(threads: usize, work: &(impl Fn(&Barrier) -> Rate + Sync)) -> Rate {
    let barrier = Barrier::new(threads);
    let rates: Vec<Rate> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&barrier))).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let sum = |of: fn(&Rate) -> f64| rates.iter().map(of).sum();
    Rate { wall: sum(|rate| rate.wall), processor: sum(|rate| rate.processor) }
}

/// What this thread does, from when all are there.
fn rate(run: Duration, barrier: &Barrier, mut call: impl FnMut() -> bool) -> Rate {
    barrier.wait();
    let (start, processor) = (Instant::now(), processor_time());
    let mut calls = 0_u64;
    while start.elapsed() < run {
        for _ in 0..BATCH {
            black_box(call());
        }
        calls += u64::from(BATCH);
    }
    let a_second = |spent: Duration| calls as f64 / spent.as_secs_f64();
    Rate { wall: a_second(start.elapsed()), processor: a_second(processor_time() - processor) }
}
