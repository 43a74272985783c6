//! The writer: one thread that carries out every transaction that waits in one commit.
//!
//! redb has one writer at a time, and a commit is an fsync. Without grouping, callers that come together would wait for
//! each other's fsync in a row; with it they share one.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use flagforge_platform::ports::{FeedRecord, TableError, Timer, Write};
use tokio::sync::{mpsc, oneshot};

use super::apply::{Applied, Tables};
use super::store::{Store, StoreError};
use super::unavailable;
use crate::feed::FeedHub;

/// Transactions that wait for the writer before their callers do. With bodies of at most
/// 3.5 MB each, the queue holds at most 112 MB, and in practice a few kilobytes.
const MAX_WAITING: usize = 32;
/// Transactions in one commit: bounds how long the first of them waits for the others.
const MAX_GROUP: usize = 32;

#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Job {
    writes: Vec<Write>,
    token: Option<String>,
    answer: oneshot::Sender<Result<(), TableError>>,
}

impl Writer {
    pub(super) fn start(
        store: Arc<Store>,
        feed: Arc<FeedHub>,
        timer: Arc<dyn Timer>,
    ) -> Result<Self, StoreError> {
        let (jobs, waiting) = mpsc::channel(MAX_WAITING);
        let thread = thread::Builder::new()
            .name("flagforge-table".to_owned())
            .spawn(move || run(&store, &feed, &*timer, waiting))
            .map_err(|source| StoreError::Thread(Arc::new(source)))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// The transaction's outcome once it is on disk; `None` when the thread is gone.
    pub(super) async fn transact(
        &self,
        writes: Vec<Write>,
        token: Option<String>,
    ) -> Option<Result<(), TableError>> {
        let (answer, outcome) = oneshot::channel();
        self.jobs.as_ref()?.send(Job { writes, token, answer }).await.ok()?;
        outcome.await.ok()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Closing the queue ends the thread; waiting for it frees the file for the next to open it.
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the table's writer thread had panicked");
        }
    }
}

fn run(store: &Store, feed: &FeedHub, timer: &dyn Timer, mut waiting: mpsc::Receiver<Job>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut jobs = vec![first];
        while jobs.len() < MAX_GROUP
            && let Ok(job) = waiting.try_recv()
        {
            jobs.push(job);
        }
        serve(store, feed, timer, jobs);
    }
}

fn serve(store: &Store, feed: &FeedHub, timer: &dyn Timer, jobs: Vec<Job>) {
    let mut answers = Vec::with_capacity(jobs.len());
    let mut work = Vec::with_capacity(jobs.len());
    for Job { writes, token, answer } in jobs {
        answers.push(answer);
        work.push((writes, token));
    }
    let outcomes: Vec<Result<(), TableError>> = match commit(store, timer, work) {
        Ok(Committed { outcomes, batches }) => {
            batches.iter().for_each(|records| feed.publish(records));
            outcomes
        }
        Err(source) => {
            let fault = store.write_fault(source);
            tracing::error!(error = &fault as &dyn std::error::Error, "a commit failed");
            answers.iter().map(|_| Err(unavailable(fault.clone()))).collect()
        }
    };
    for (answer, outcome) in answers.into_iter().zip(outcomes) {
        // A caller that went away meanwhile does not mind.
        let _ = answer.send(outcome);
    }
}

struct Committed {
    outcomes: Vec<Result<(), TableError>>,
    /// The feed's records, one batch for each transaction.
    batches: Vec<Vec<FeedRecord>>,
}

fn commit(
    store: &Store,
    timer: &dyn Timer,
    work: Vec<(Vec<Write>, Option<String>)>,
) -> Result<Committed, redb::Error> {
    let now = timer.now();
    let mut committed = Committed { outcomes: Vec::new(), batches: Vec::new() };
    // redb's default durability is what the table promises: a commit returns after the fsync.
    let transaction = store.db.begin_write()?;
    let mut is_written = false;
    {
        let mut tables = Tables::open(&transaction)?;
        for (writes, token) in work {
            committed.outcomes.push(match tables.apply(writes, token.as_deref(), now)? {
                Applied::Nothing => Ok(()),
                Applied::Refused(error) => Err(error),
                Applied::Written(records) => {
                    is_written = true;
                    committed.batches.push(records);
                    Ok(())
                }
            });
        }
        if is_written {
            committed.batches.push(tables.drop_expired(now)?);
        }
    }
    if is_written {
        transaction.commit()?
    } else {
        transaction.abort()?
    }
    Ok(committed)
}
