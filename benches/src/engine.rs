//! What is asked of an engine, and the proof that it answers rightly before anything is timed.

use std::hint::black_box;

use crate::timing::Runner;
use crate::world::{Shape, User, World};

/// An engine with a configuration in it.
pub(crate) trait Engine: Sized {
    const NAME: &'static str;

    /// The configuration as its bytes come to the engine.
    type Wire;
    /// How code names a flag.
    type Question;
    /// A user as the engine wants them described: built before anything is timed.
    type Asker<'e>
    where
        Self: 'e;

    fn wire(world: &World) -> Self::Wire;
    fn wire_bytes(wire: &Self::Wire) -> usize;
    fn load(wire: &Self::Wire) -> Self;

    /// Whether it can say such a thing at all.
    fn can(shape: &Shape) -> bool;

    fn question(key: &'static str) -> Self::Question;
    fn asker<'e>(&'e self, user: &'e User) -> Self::Asker<'e>;
    /// One answer. Whatever the engine tells of it is made, not only whether the flag is on.
    fn ask(&self, asker: &Self::Asker<'_>, question: &Self::Question) -> bool;
    /// All answers of one user; how many flags are on.
    fn ask_all(&self, asker: &Self::Asker<'_>) -> usize;
    /// From the bare values of a request to one answer.
    fn one_shot(&self, user: &User, question: &Self::Question) -> bool {
        self.ask(&self.asker(user), question)
    }

    fn new(world: &World) -> Self {
        Self::load(&Self::wire(world))
    }
}

/// Users whose answers are checked besides those who are timed.
const CHECKED_USERS: usize = 2_000;

/// Cheap pins of one thread (`arc-swap`'s).
const PINS: usize = 8;

/// Asks everything there is to ask, of users of both kinds, and compares with the right answers.
pub(crate) fn verify<E: Engine>(engine: &E, world: &World) {
    let users = [
        User::matching("u-1"),
        User::other("u-2"),
        User::matching(world.listed.first().map_or("nobody", |key| key)),
        User::other(world.listed.last().map_or("nobody", |key| key)),
        User::matching("u-00000001-not-listed"),
    ];
    for user in &users {
        let asker = engine.asker(user);
        let mut on = 0;
        for feature in world.features.iter().filter(|feature| E::can(&feature.shape)) {
            let (name, key, question) = (E::NAME, feature.key, E::question(feature.key));
            let answer = engine.ask(&asker, &question);
            on += usize::from(answer);
            if let Some(right) = world.right(&feature.shape, user) {
                assert_eq!(answer, right, "{name}: {key} for {user:?}");
            }
            assert_eq!(engine.one_shot(user, &question), answer, "{name}: {key}, one shot");
        }
        if world.features.iter().all(|feature| E::can(&feature.shape)) {
            assert_eq!(engine.ask_all(&asker), on, "{}: all flags for {user:?}", E::NAME);
        }
    }
    if world.shape(crate::world::HALF).is_some() {
        halves::<E>(engine);
    }
}

/// A split gives half of all users one answer and half the other, and each user always the same.
fn halves<E: Engine>(engine: &E) {
    let question = E::question(crate::world::HALF);
    let users: Vec<User> =
        (0..CHECKED_USERS).map(|number| User::matching(format!("user-{number}"))).collect();
    let answers = || {
        let answers = users.iter().map(|user| engine.ask(&engine.asker(user), &question));
        answers.collect::<Vec<bool>>()
    };
    let (first, second) = (answers(), answers());
    assert_eq!(first, second, "{}: a user's half changed", E::NAME);
    let on = first.iter().filter(|on| **on).count();
    // Of 2,000 fair coins 1,000 ± 22 fall on one side; six times that is no accident.
    assert!(on.abs_diff(CHECKED_USERS / 2) < 134, "{}: {on} of {CHECKED_USERS}", E::NAME);
}

/// One flag, asked by each of `users` in turn, inside what was prepared for each.
pub(crate) fn asking<'e, E: Engine>(
    engine: &'e E,
    users: &'e [User],
    key: &'static str,
) -> Runner<'e> {
    // What pins a configuration does so cheaply for the first few of a thread, and then a little dearer. Whoever
    // holds many here must not take that from the peers who pin at every question: so the first are given back.
    let first: Vec<E::Asker<'e>> =
        users.iter().cycle().take(PINS).map(|user| engine.asker(user)).collect();
    let askers: Vec<E::Asker<'e>> = users.iter().map(|user| engine.asker(user)).collect();
    drop(first);
    let question = E::question(key);
    let mut next = 0;
    Runner::new(E::NAME, move || {
        next = if next + 1 < askers.len() { next + 1 } else { 0 };
        engine.ask(black_box(&askers[next]), black_box(&question))
    })
}

/// One flag, asked from the bare values of a request.
pub(crate) fn asking_once<'e, E: Engine>(
    engine: &'e E,
    user: &'e User,
    key: &'static str,
) -> Runner<'e> {
    let question = E::question(key);
    Runner::new(E::NAME, move || engine.one_shot(black_box(user), black_box(&question)))
}

/// Every flag, asked by one user.
pub(crate) fn asking_all<'e, E: Engine>(engine: &'e E, user: &'e User) -> Runner<'e> {
    let asker = engine.asker(user);
    Runner::new(E::NAME, move || engine.ask_all(black_box(&asker)))
}
