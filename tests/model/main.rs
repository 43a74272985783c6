//! Publication as a model that is explored whole: two publishers, a reader, crashes, and a network that repeats and
//! shuffles. What holds is said once; five defects are built in on purpose, and each has to be found.
//!
//! The steps are those of `publish_scope` in the platform and of the SDK's loader: look at the log, look at the root that
//! stands, put chunks, put the root if it still stands; read a root, hold it against what was seen, load its chunks.

use stateright::{Checker, Expectation, Model, Property};

/// Commits to the log.
const COMMITS: u8 = 3;
/// Crashes of publishers.
const CRASHES: u8 = 2;

/// A root: what it holds, and its place among roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Root {
    revision: u8,
    serial: u8,
}

/// How far a publisher is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    /// It has read the log up to here.
    Rendered(u8),
    /// And saw which root stands.
    Saw(u8, Option<Root>),
    /// And put the chunks.
    Put(u8, Option<Root>),
    /// It published, and no bell rings any more: one of the defects.
    Content,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    log: u8,
    crashes: u8,
    /// Which revisions' chunks are in the store.
    chunks: [bool; COMMITS as usize + 1],
    root: Option<Root>,
    /// Every root that ever stood: the network may hand over any of them, at any time, again.
    stood: Vec<Root>,
    publishers: [Phase; 2],
    /// What the reader applied last, and what it took from it.
    reader: Option<Root>,
    /// Something happened that no state shows afterwards.
    broken: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Commit,
    Publish(usize),
    Crash(usize),
    Deliver(usize),
}

/// What is wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    RootBeforeChunks,
    PutWithoutCondition,
    ReaderForgets,
    LoserDoesNotReadAgain,
    NobodyLooksAgain,
}

struct Publication {
    defect: Option<Defect>,
}

impl Publication {
    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    /// One step of a publisher; `None` where there is nothing to do.
    fn publish(&self, state: &mut State, publisher: usize) -> Option<()> {
        let phase = state.publishers[publisher];
        state.publishers[publisher] = match phase {
            // By a bell or the clock, which come again until the root holds the log.
            Phase::Idle if state.root.is_none_or(|root| root.revision < state.log) => {
                Phase::Rendered(state.log)
            }
            Phase::Idle | Phase::Content => return None,
            Phase::Rendered(revision) => self.look(state, revision),
            Phase::Saw(revision, seen) if self.has(Defect::RootBeforeChunks) => {
                match Self::put_root(state, revision, seen, false) {
                    true => Phase::Put(revision, seen),
                    false => Phase::Rendered(revision),
                }
            }
            Phase::Saw(revision, seen) => {
                state.chunks[revision as usize] = true;
                Phase::Put(revision, seen)
            }
            Phase::Put(revision, _) if self.has(Defect::RootBeforeChunks) => {
                state.chunks[revision as usize] = true;
                Phase::Idle
            }
            Phase::Put(revision, seen) => {
                let any = self.has(Defect::PutWithoutCondition);
                match Self::put_root(state, revision, seen, any) {
                    true if self.has(Defect::NobodyLooksAgain) => Phase::Content,
                    true => Phase::Idle,
                    false => Phase::Rendered(revision),
                }
            }
        };
        Some(())
    }

    fn look(&self, state: &State, rendered: u8) -> Phase {
        let ahead = state.root.is_some_and(|root| root.revision > rendered);
        let revision = match ahead {
            true if !self.has(Defect::LoserDoesNotReadAgain) => state.log,
            _ => rendered,
        };
        match state.root {
            Some(root) if root.revision == revision => Phase::Idle,
            seen => Phase::Saw(revision, seen),
        }
    }

    fn put_root(state: &mut State, revision: u8, seen: Option<Root>, any: bool) -> bool {
        if state.root != seen && !any {
            return false;
        }
        let serial = seen.map_or(1, |root| root.serial + 1);
        let root = Root { revision, serial };
        if state.root.is_some_and(|stood| stood.revision > revision) {
            state.broken = Some("a root went back");
        }
        if state.root.is_some_and(|stood| stood.serial >= serial) {
            state.broken = Some("a serial was used twice");
        }
        state.root = Some(root);
        if !state.stood.contains(&root) {
            state.stood.push(root);
        }
        true
    }

    fn deliver(&self, state: &mut State, root: Root) -> Option<()> {
        let seen = state.reader;
        let allowed = seen.is_none_or(|seen| {
            root.serial >= seen.serial && root.revision >= seen.revision && root != seen
        });
        let forgets = self.has(Defect::ReaderForgets) && seen != Some(root);
        if !(allowed || forgets) || !state.chunks[root.revision as usize] {
            return None;
        }
        if seen.is_some_and(|seen| root.revision < seen.revision) {
            state.broken = Some("a reader went back");
        }
        state.reader = Some(root);
        Some(())
    }
}

impl Model for Publication {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            log: 0,
            crashes: 0,
            chunks: [false; COMMITS as usize + 1],
            root: None,
            stood: Vec::new(),
            publishers: [Phase::Idle; 2],
            reader: None,
            broken: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        actions.push(Step::Commit);
        for publisher in 0..2 {
            actions.extend([Step::Publish(publisher), Step::Crash(publisher)]);
        }
        actions.extend((0..state.stood.len()).map(Step::Deliver));
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Commit if state.log < COMMITS => state.log += 1,
            Step::Crash(publisher)
                if state.crashes < CRASHES && state.publishers[publisher] != Phase::Idle =>
            {
                state.crashes += 1;
                state.publishers[publisher] = Phase::Idle;
            }
            Step::Commit | Step::Crash(_) => return None,
            Step::Publish(publisher) => self.publish(&mut state, publisher)?,
            Step::Deliver(index) => {
                let root = *state.stood.get(index)?;
                self.deliver(&mut state, root)?;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a root that stands is whole", |_, state: &State| {
                state.root.is_none_or(|root| state.chunks[root.revision as usize])
            }),
            Property::always("nothing is published that was not committed", |_, state: &State| {
                state.root.is_none_or(|root| root.revision <= state.log)
            }),
            Property::always("nothing goes back", |_, state: &State| state.broken.is_none()),
            Property::eventually("the reader comes to the log's end", |_, state: &State| {
                state.log == COMMITS && state.reader.is_some_and(|root| root.revision == COMMITS)
            }),
            Property::sometimes("a loser reads again", |_, state: &State| {
                let ahead = |rendered: u8| state.root.is_some_and(|root| root.revision > rendered);
                state
                    .publishers
                    .iter()
                    .any(|phase| matches!(phase, Phase::Rendered(r) if ahead(*r)))
            }),
        ]
    }
}

/// The names of the properties that do not hold, and how many states were looked at.
fn broken(defect: Option<Defect>) -> (Vec<&'static str>, usize) {
    let checker = Publication { defect }.checker().threads(2).spawn_bfs().join();
    let names = checker
        .discoveries()
        .into_keys()
        .filter(|name| {
            let property = checker.model().properties().into_iter().find(|p| p.name == *name);
            property.is_some_and(|property| property.expectation != Expectation::Sometimes)
        })
        .collect();
    (names, checker.unique_state_count())
}

#[test]
fn two_publishers_and_a_reader_keep_every_promise() {
    let (broken, states) = broken(None);
    assert_eq!(broken, [""; 0]);
    // The model is worth what it tried.
    assert!(states > 10_000, "{states} states only");
    let checker = Publication { defect: None }.checker().spawn_bfs().join();
    assert!(checker.discovery("a loser reads again").is_some(), "no race was tried");
}

#[test]
fn each_defect_is_found() {
    for (defect, breaks) in [
        (Defect::RootBeforeChunks, "a root that stands is whole"),
        (Defect::PutWithoutCondition, "nothing goes back"),
        (Defect::ReaderForgets, "nothing goes back"),
        (Defect::LoserDoesNotReadAgain, "nothing goes back"),
        (Defect::NobodyLooksAgain, "the reader comes to the log's end"),
    ] {
        let (broken, _) = broken(Some(defect));
        assert!(broken.contains(&breaks), "{defect:?} breaks {broken:?}, not `{breaks}`");
    }
}
