//! A check that one's own code keeps tenants apart.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value as Json, json};
use thiserror::Error;

use super::marker::{self, MAX_TENANTS};
use super::{Fixed, FixedError};
use crate::client::Client;
use crate::flag::{Flag, FlagType};
use crate::tenant::Tenant;

/// Leaks that are kept word for word; all are counted.
const KEPT_LEAKS: usize = 20;
/// Bytes of an output that a leak shows.
const SHOWN_BYTES: usize = 400;

/// Runs one's own code for many tenants at the same time, each of which is answered values that name it, while what
/// they are answered is swapped all the time, and looks for another tenant's values in what the code made of them. It
/// finds a cache without the tenant in its key, a global, a pool that hands out what another request left.
///
/// ```
/// use flagforge::testing::{Isolation, Marked};
/// use flagforge::{Flag, Tenant};
///
/// const THEME: Flag<&str> = Flag::new("theme", "plain");
///
/// async fn page(tenant: Tenant) -> String {
///     format!("<body class={}>", tenant.flags().get(&THEME))
/// }
///
/// # #[tokio::main(flavor = "multi_thread", worker_threads = 2)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let isolation = Isolation::new([Marked::new(&THEME)], |fixed| fixed.flag("checkout.express", true))?;
/// isolation.run(page).await.verdict()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Isolation {
    client: Client,
    marked: Vec<Marked>,
    rest: fn(Fixed) -> Fixed,
    tenants: usize,
    tasks: usize,
    rounds: usize,
}

/// A flag that answers each tenant a value that names it.
#[derive(Debug, Clone, Copy)]
pub struct Marked {
    key: &'static str,
    value: fn(usize, u64) -> Json,
}

/// The types that have a value for each tenant. Of `true` and `false` there are too few.
pub trait Markable: FlagType {
    #[doc(hidden)]
    fn mark(tenant: usize, generation: u64) -> Json;
}

impl Markable for &'static str {
    fn mark(tenant: usize, generation: u64) -> Json {
        marker::text(tenant, generation).into()
    }
}

impl Markable for i64 {
    fn mark(tenant: usize, generation: u64) -> Json {
        marker::number(tenant, generation).into()
    }
}

impl Markable for &'static Json {
    fn mark(tenant: usize, generation: u64) -> Json {
        json!({"marker": marker::text(tenant, generation)})
    }
}

impl Marked {
    /// Marks a flag that the code under test asks for.
    pub const fn new<T: Markable>(flag: &Flag<T>) -> Self {
        Self { key: flag.key(), value: T::mark }
    }
}

impl Isolation {
    /// A check with these flags marked, and whatever else the code needs answered the same for everybody: `rest` is
    /// called for each swap.
    pub fn new(
        marked: impl IntoIterator<Item = Marked>,
        rest: fn(Fixed) -> Fixed,
    ) -> Result<Self, FixedError> {
        let (marked, tenants) = (marked.into_iter().collect(), 16);
        let client = Fixed::new().client()?;
        let isolation = Self { client, marked, rest, tenants, tasks: 64, rounds: 200 };
        isolation.swap(0)?;
        Ok(isolation)
    }

    /// The client that is checked with, for code that wants one: a server's layer, a pool.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// How many tenants there are; 16 unless said otherwise, at least 2 and at most 10,000.
    pub fn tenants(mut self, tenants: usize) -> Self {
        self.tenants = tenants.clamp(2, MAX_TENANTS);
        self
    }

    /// How many tasks run the code at the same time, and how often each; 64 and 200 unless said otherwise.
    pub const fn load(mut self, tasks: usize, rounds: usize) -> Self {
        (self.tasks, self.rounds) = (tasks, rounds);
        self
    }

    /// The tenant's key, of each of them.
    fn tenant_key(tenant: usize) -> String {
        format!("tenant-{tenant}")
    }

    fn swap(&self, generation: u64) -> Result<(), FixedError> {
        let mut fixed = (self.rest)(Fixed::new());
        for tenant in 0..self.tenants {
            fixed = fixed.tenant(&Self::tenant_key(tenant), |mut described| {
                for Marked { key, value } in &self.marked {
                    described = described.flag(key, value(tenant, generation));
                }
                described
            });
        }
        fixed.replace(&self.client)
    }

    /// Runs the code and looks at what it answers. It wants a runtime of several threads: on one, code that never
    /// waits is never interrupted.
    pub async fn run<F, O>(self, code: F) -> IsolationReport
    where
        F: Fn(Tenant) -> O + Send + Sync + 'static,
        O: Future<Output = String> + Send + 'static,
    {
        // For as many tenants as there are by now. What could be made once can be made again.
        let _ = self.swap(0);
        let (this, code) = (Arc::new(self), Arc::new(code));
        let done = Arc::new(AtomicBool::new(false));
        let swaps = Arc::new(AtomicU64::new(0));
        let swapping =
            tokio::spawn(keep_swapping(Arc::clone(&this), Arc::clone(&done), Arc::clone(&swaps)));
        let tasks: Vec<_> = (0..this.tasks)
            .map(|task| tokio::spawn(task_of(Arc::clone(&this), Arc::clone(&code), task)))
            .collect();
        let mut report = IsolationReport::default();
        for task in tasks {
            match task.await {
                Ok(part) => report.add(part),
                Err(_) => report.panics += 1,
            }
        }
        done.store(true, Ordering::Relaxed);
        let _ = swapping.await;
        report.swaps = swaps.load(Ordering::Relaxed);
        report
    }
}

async fn keep_swapping(isolation: Arc<Isolation>, done: Arc<AtomicBool>, swaps: Arc<AtomicU64>) {
    for generation in 1.. {
        if done.load(Ordering::Relaxed) || isolation.swap(generation).is_err() {
            return;
        }
        swaps.store(generation, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}

async fn task_of<F, O>(isolation: Arc<Isolation>, code: Arc<F>, task: usize) -> IsolationReport
where
    F: Fn(Tenant) -> O + Send + Sync + 'static,
    O: Future<Output = String> + Send + 'static,
{
    let mut report = IsolationReport::default();
    for round in 0..isolation.rounds {
        // Neighbouring tasks are different tenants, and each task is all of them in turn.
        let own = (task + round) % isolation.tenants;
        let Ok(tenant) = isolation.client.tenant(Isolation::tenant_key(own)) else { continue };
        let output = code(tenant).await;
        report.look(own, &output);
        // So that tasks interleave even where the code never waits.
        tokio::task::yield_now().await;
    }
    report
}

/// What a check came to.
#[derive(Debug, Default, Clone)]
pub struct IsolationReport {
    /// How often the code ran.
    pub runs: u64,
    /// How often what it was answered was swapped meanwhile.
    pub swaps: u64,
    /// Marked values of the right tenant that were found.
    pub own: u64,
    /// Runs in whose output there was no marked value.
    pub unmarked: u64,
    /// Marked values of another tenant that were found.
    pub leaked: u64,
    /// The first of them.
    pub leaks: Vec<Leak>,
    /// Tasks that the code's panic ended.
    pub panics: u64,
}

/// What one tenant was told of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// Whom the code ran for.
    pub tenant: String,
    /// Whose value it answered.
    pub other: String,
    /// The beginning of what it answered.
    pub output: String,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was told of {}: {}", self.tenant, self.other, self.output)
    }
}

/// Why code does not pass.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotIsolated {
    /// It answered one tenant with another's values.
    #[error("{count} values of other tenants were found; {first}")]
    Leaked {
        /// How many were found.
        count: u64,
        /// The first.
        first: Leak,
    },
    /// It panicked.
    #[error("the code under test panicked in {0} tasks")]
    Panicked(u64),
    /// No output had a marked value, so nothing was shown.
    #[error("no output had a marked value: mark a flag whose value shows in what the code answers")]
    NothingMarked,
}

impl IsolationReport {
    /// Whether the code passes. One that shows no marked value does not: nothing was seen of it.
    pub fn verdict(&self) -> Result<(), NotIsolated> {
        if let Some(first) = self.leaks.first() {
            return Err(NotIsolated::Leaked { count: self.leaked, first: first.clone() });
        }
        match (self.panics, self.own) {
            (0, 0) => Err(NotIsolated::NothingMarked),
            (0, _) => Ok(()),
            (panics, _) => Err(NotIsolated::Panicked(panics)),
        }
    }

    fn look(&mut self, own: usize, output: &str) {
        self.runs += 1;
        let mut found = false;
        for other in marker::tenants(output) {
            found = true;
            if other == own {
                self.own += 1;
                continue;
            }
            self.leaked += 1;
            if self.leaks.len() < KEPT_LEAKS {
                let (tenant, other) = (Isolation::tenant_key(own), Isolation::tenant_key(other));
                let end = output.floor_char_boundary(SHOWN_BYTES);
                let output = output.get(..end).unwrap_or_default().to_owned();
                self.leaks.push(Leak { tenant, other, output });
            }
        }
        self.unmarked += u64::from(!found);
    }

    fn add(&mut self, part: Self) {
        self.runs += part.runs;
        self.own += part.own;
        self.unmarked += part.unmarked;
        self.leaked += part.leaked;
        self.panics += part.panics;
        self.leaks.extend(part.leaks);
        self.leaks.truncate(KEPT_LEAKS);
    }
}
