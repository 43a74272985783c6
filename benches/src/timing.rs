//! Medians of interleaved samples, in the processor time of this thread: on a busy machine the hours on the wall say
//! what others did.

use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::memory::counted;

/// The processor time that this thread has had.
pub(crate) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Neither is ever negative: it counts from the thread's start.
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Samples of each engine.
    pub(crate) samples: usize,
    /// The least time of a sample: a thousand times what reading the clock costs, and shorter than a time slice.
    pub(crate) sample: Duration,
}

impl Effort {
    pub(crate) const FULL: Self = Self { samples: 41, sample: Duration::from_millis(2) };
    pub(crate) const QUICK: Self = Self { samples: 9, sample: Duration::from_millis(1) };
}

/// Calls over which allocations are counted.
const COUNTED_CALLS: u32 = 200;

/// Something that can be done so many times and says how long that took.
pub(crate) struct Runner<'e> {
    pub(crate) engine: &'static str,
    run: Box<dyn FnMut(u32) -> Duration + 'e>,
}

impl<'e> Runner<'e> {
    /// The loop is in here, around the one call, so that no call is made through a pointer.
    pub(crate) fn new<T>(engine: &'static str, mut call: impl FnMut() -> T + 'e) -> Self {
        let run = move |calls| {
            let start = processor_time();
            for _ in 0..calls {
                black_box(call());
            }
            processor_time() - start
        };
        Self { engine, run: Box::new(run) }
    }

    /// As [`Runner::new`], for what is long and has to be cleared away untimed.
    pub(crate) fn long<T>(engine: &'static str, mut call: impl FnMut() -> T + 'e) -> Self {
        let run = move |calls| {
            let mut spent = Duration::ZERO;
            for _ in 0..calls {
                let start = processor_time();
                let made = black_box(call());
                spent += processor_time() - start;
                drop(made);
            }
            spent
        };
        Self { engine, run: Box::new(run) }
    }

    pub(crate) fn allocations(&mut self) -> f64 {
        (self.run)(COUNTED_CALLS);
        let ((), allocated) = counted(|| {
            (self.run)(COUNTED_CALLS);
        });
        allocated.calls as f64 / f64::from(COUNTED_CALLS)
    }
}

/// What one engine took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) engine: &'static str,
    /// Nanoseconds a call, the median of the samples.
    pub(crate) nanoseconds: f64,
    /// Allocations a call; `None` where they were not counted.
    pub(crate) allocations: Option<f64>,
}

/// Times the runners against each other: a sample of each in turn, so that what disturbs the machine disturbs all.
pub(crate) fn race(effort: Effort, mut runners: Vec<Runner<'_>>) -> Vec<Figure> {
    let allocations: Vec<f64> = runners.iter_mut().map(Runner::allocations).collect();
    let calls: Vec<u32> =
        runners.iter_mut().map(|runner| calls_for(runner, effort.sample)).collect();
    let medians = interleaved(effort.samples, &mut runners, &calls);
    let figures = runners.iter().zip(medians).zip(allocations);
    figures
        .map(|((runner, nanoseconds), allocations)| Figure {
            engine: runner.engine,
            nanoseconds,
            allocations: Some(allocations),
        })
        .collect()
}

/// The same for what takes long: each sample is one call.
pub(crate) fn race_long(samples: usize, mut runners: Vec<Runner<'_>>) -> Vec<Figure> {
    let calls = vec![1; runners.len()];
    for runner in &mut runners {
        (runner.run)(1);
    }
    let medians = interleaved(samples, &mut runners, &calls);
    let figures = runners.iter().zip(medians);
    figures
        .map(|(runner, nanoseconds)| Figure {
            engine: runner.engine,
            nanoseconds,
            allocations: None,
        })
        .collect()
}

/// The calls that fill a sample. Finding them warms caches and branch predictors too.
fn calls_for(runner: &mut Runner<'_>, sample: Duration) -> u32 {
    let mut calls = 1;
    loop {
        if (runner.run)(calls) >= sample {
            return calls;
        }
        calls *= 2;
    }
}

fn interleaved(samples: usize, runners: &mut [Runner<'_>], calls: &[u32]) -> Vec<f64> {
    let mut taken: Vec<Vec<f64>> = vec![Vec::with_capacity(samples); runners.len()];
    for _ in 0..samples {
        for ((runner, calls), taken) in runners.iter_mut().zip(calls).zip(&mut taken) {
            let spent = (runner.run)(*calls);
            taken.push(spent.as_secs_f64() * 1e9 / f64::from(*calls));
        }
    }
    taken.into_iter().map(median).collect()
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
