//! A table that fails on purpose: the world's faults, by seed, over any table.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flagforge_platform::ports::{
    Item, ItemKey, Page, Query, Table, TableError, Timer, Write, check_transaction,
};
use thiserror::Error;

use crate::chance::Chance;

/// How often each fault strikes, in thousandths of the calls it can strike. The default is never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// The call waits for up to [`longest_delay`](Self::longest_delay) first. Any call.
    pub delay_per_mille: u16,
    /// The longest wait.
    pub longest_delay: Duration,
    /// The call is `Unavailable` and did nothing. Any call.
    pub fail_before_per_mille: u16,
    /// The transaction is carried out, and the answer is `Unavailable` all the same: its caller cannot tell this
    /// from the fault before. Transactions that the table itself refuses keep their own answer.
    pub fail_after_per_mille: u16,
    /// The transaction is `Contended` and did nothing.
    pub contended_per_mille: u16,
}

impl FaultPlan {
    /// Every call fails and does nothing: the table is down.
    pub fn down() -> Self {
        Self { fail_before_per_mille: 1_000, ..Self::default() }
    }
}

/// How often each fault struck: a test that means to meet a fault checks that it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultCounts {
    pub delayed: u64,
    pub failed_before: u64,
    pub failed_after: u64,
    pub contended: u64,
}

/// The source of the `Unavailable` that this table answers.
#[derive(Debug, Error)]
#[error("a fault was injected on purpose")]
pub struct InjectedFault;

/// A table over a table. Chance is drawn in the order of calls, so a test that makes its calls one after the
/// other meets the same faults with the same seed.
#[derive(Debug)]
pub struct FaultTable {
    inner: Arc<dyn Table>,
    timer: Arc<dyn Timer>,
    state: Mutex<FaultState>,
}

#[derive(Debug)]
struct FaultState {
    chance: Chance,
    plan: FaultPlan,
    counts: FaultCounts,
}

/// What was drawn for one call.
enum Fate {
    Through,
    FailBefore,
    FailAfter,
    Contended,
}

impl FaultTable {
    pub fn new(inner: Arc<dyn Table>, timer: Arc<dyn Timer>, seed: u64, plan: FaultPlan) -> Self {
        let state = FaultState { chance: Chance::new(seed), plan, counts: FaultCounts::default() };
        Self { inner, timer, state: Mutex::new(state) }
    }

    /// From now on this plan; the story of the seed goes on where it was.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.with(|state| state.plan = plan);
    }

    /// What struck so far.
    pub fn counts(&self) -> FaultCounts {
        self.with(|state| state.counts)
    }

    fn with<T>(&self, act: impl FnOnce(&mut FaultState) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn meet(&self, is_transaction: bool) -> Fate {
        let (delay, fate) = self.with(|state| state.draw(is_transaction));
        if let Some(delay) = delay {
            self.timer.sleep(delay).await;
        }
        fate
    }
}

impl FaultState {
    fn draw(&mut self, is_transaction: bool) -> (Option<Duration>, Fate) {
        let FaultPlan { longest_delay, .. } = self.plan;
        let delay = self.chance.happens(self.plan.delay_per_mille).then(|| {
            self.counts.delayed += 1;
            let millis = u64::try_from(longest_delay.as_millis()).unwrap_or(u64::MAX);
            Duration::from_millis(self.chance.up_to(millis))
        });
        let fate = if self.chance.happens(self.plan.fail_before_per_mille) {
            self.counts.failed_before += 1;
            Fate::FailBefore
        } else if is_transaction && self.chance.happens(self.plan.contended_per_mille) {
            self.counts.contended += 1;
            Fate::Contended
        } else if is_transaction && self.chance.happens(self.plan.fail_after_per_mille) {
            Fate::FailAfter
        } else {
            Fate::Through
        };
        (delay, fate)
    }
}

fn unavailable() -> TableError {
    TableError::Unavailable(Box::new(InjectedFault))
}

#[async_trait]
impl Table for FaultTable {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, TableError> {
        match self.meet(false).await {
            Fate::FailBefore => Err(unavailable()),
            Fate::Through | Fate::FailAfter | Fate::Contended => self.inner.get(key).await,
        }
    }

    async fn query(&self, query: &Query) -> Result<Page, TableError> {
        match self.meet(false).await {
            Fate::FailBefore => Err(unavailable()),
            Fate::Through | Fate::FailAfter | Fate::Contended => self.inner.query(query).await,
        }
    }

    async fn transact(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), TableError> {
        // A transaction that no table would take is refused for what it is, whatever the weather.
        check_transaction(&writes)?;
        match self.meet(true).await {
            Fate::FailBefore => Err(unavailable()),
            Fate::Contended => Err(TableError::Contended),
            Fate::Through => self.inner.transact(writes, token).await,
            Fate::FailAfter => {
                self.inner.transact(writes, token).await?;
                self.with(|state| state.counts.failed_after += 1);
                Err(unavailable())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flagforge_platform::ports::SystemTimer;

    use crate::EmbeddedTable;
    use flagforge_platform::ports::Condition;

    fn put(sk: &str) -> Vec<Write> {
        let key = ItemKey::new("org#", sk);
        let item = Item { key, version: 1, body: "{}".to_owned(), expires_at_seconds: None };
        vec![Write::Put { item, condition: Condition::Absent }]
    }

    fn faulty(seed: u64, plan: FaultPlan) -> (Arc<dyn Table>, FaultTable) {
        let timer: Arc<dyn Timer> = Arc::new(SystemTimer);
        let inner: Arc<dyn Table> = Arc::new(EmbeddedTable::memory(timer.clone()).unwrap());
        (inner.clone(), FaultTable::new(inner, timer, seed, plan))
    }

    async fn stands(table: &dyn Table, sk: &str) -> bool {
        table.get(&ItemKey::new("org#", sk)).await.unwrap().is_some()
    }

    #[tokio::test]
    async fn each_fault_does_what_it_says() {
        let (inner, table) = faulty(1, FaultPlan::down());
        assert!(matches!(table.transact(put("a"), None).await, Err(TableError::Unavailable(_))));
        assert!(table.get(&ItemKey::new("org#", "a")).await.is_err());
        assert!(table.query(&Query::prefix("org#", "")).await.is_err());
        assert!(!stands(&*inner, "a").await);

        table.set_plan(FaultPlan { fail_after_per_mille: 1_000, ..FaultPlan::default() });
        assert!(matches!(table.transact(put("a"), None).await, Err(TableError::Unavailable(_))));
        assert!(stands(&*inner, "a").await);
        let again = table.transact(put("a"), None).await;
        assert!(matches!(again, Err(TableError::Conflict { .. })), "{again:?}");

        table.set_plan(FaultPlan { contended_per_mille: 1_000, ..FaultPlan::default() });
        assert!(matches!(table.transact(put("b"), None).await, Err(TableError::Contended)));
        assert!(!stands(&*inner, "b").await);

        table.set_plan(FaultPlan {
            delay_per_mille: 1_000,
            longest_delay: Duration::from_millis(2),
            ..FaultPlan::default()
        });
        table.transact(put("b"), None).await.unwrap();
        let expected = FaultCounts { delayed: 1, failed_before: 3, failed_after: 1, contended: 1 };
        assert_eq!(table.counts(), expected);
    }

    #[tokio::test]
    async fn the_same_seed_meets_the_same_faults() {
        let plan = FaultPlan {
            fail_before_per_mille: 200,
            fail_after_per_mille: 200,
            contended_per_mille: 200,
            ..FaultPlan::default()
        };
        let mut stories = Vec::new();
        for seed in [5, 5, 6] {
            let (_, table) = faulty(seed, plan);
            let mut story = String::new();
            for number in 0..40 {
                let outcome = table.transact(put(&number.to_string()), None).await;
                story.push(if outcome.is_ok() { '.' } else { 'x' });
            }
            stories.push(story);
        }
        assert_eq!(stories[0], stories[1]);
        assert_ne!(stories[0], stories[2]);
    }
}
