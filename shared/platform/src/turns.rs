//! Turns: writers of one log in this process stand in line, first come first served, instead of racing for
//! its head. Processes still race each other, which the conditions of the transaction settle.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::error::Error;
use crate::place::LogId;

/// Writers that may stand in line for one log. At a hundred commits a second the last waits twenty seconds,
/// within API Gateway's 29; who comes later is told to come back.
pub const MAX_WAITING: usize = 2_000;
/// Lines that are kept when nobody stands in them: 300 bytes each.
const MAX_IDLE_LINES: usize = 1_024;

#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<LogId, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for a turn at a log. The turn ends when the guard is dropped.
    pub(crate) async fn wait(&self, log: &LogId) -> Result<OwnedMutexGuard<()>, Error> {
        let line = self.line(log)?;
        Ok(line.lock_owned().await)
    }

    fn line(&self, log: &LogId) -> Result<Arc<tokio::sync::Mutex<()>>, Error> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() > MAX_IDLE_LINES {
            lines.retain(|_, line| Arc::strong_count(line) > 1);
        }
        let line = lines.entry(log.clone()).or_default().clone();
        // One count is the map's and one is ours.
        if Arc::strong_count(&line) > MAX_WAITING + 2 {
            return Err(Error::busy("too many writers stand in line"));
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flagforge_flags::keys::OrgKey;

    fn log(org: &str) -> LogId {
        LogId { org: OrgKey::new(org).unwrap(), env: None }
    }

    #[tokio::test]
    async fn a_line_has_an_end_and_others_are_not_held_up() {
        let turns = Arc::new(Turns::default());
        let first = turns.wait(&log("a")).await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..MAX_WAITING {
            let turns = turns.clone();
            waiting.spawn(async move { turns.wait(&log("a")).await.map(drop).is_ok() });
        }
        // The map's, the first's, and one of each who waits.
        while Arc::strong_count(&turns.0.lock().unwrap()[&log("a")]) < MAX_WAITING + 2 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(turns.wait(&log("a")).await, Err(Error::Busy { .. })));
        assert!(turns.wait(&log("b")).await.is_ok());
        drop(first);
        while let Some(passed) = waiting.join_next().await {
            assert!(passed.unwrap());
        }
        assert!(turns.wait(&log("a")).await.is_ok());
    }

    #[tokio::test]
    async fn lines_that_nobody_stands_in_are_forgotten() {
        let turns = Turns::default();
        for number in 0..3 * MAX_IDLE_LINES {
            drop(turns.wait(&log(&format!("o{number}"))).await.unwrap());
        }
        assert!(turns.0.lock().unwrap().len() <= MAX_IDLE_LINES + 1);
    }
}
