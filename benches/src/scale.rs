//! What grows with the manifest, and what must not.

use crate::engine::{Engine, asking, asking_once, verify};
use crate::ours::Ours;
use crate::timing::{Effort, Figure, Runner, race};
use crate::world::{FEW_LISTED, FLAGS, ONE_RULE, User, World};

/// What one size costs.
pub(crate) struct Scaled {
    pub(crate) count: usize,
    pub(crate) of_what: &'static str,
    pub(crate) inside: Figure,
    pub(crate) one_shot: Figure,
}

fn worlds() -> Vec<(usize, &'static str, World)> {
    let base = World::new(FLAGS, FEW_LISTED);
    let tenants = [10, 1_000, 100_000];
    let tenants = tenants.map(|count| (count, "tenants", World { tenants: count, ..base.clone() }));
    let flags = [10, 1_000, 10_000].map(|count| (count, "flags", World::new(count, FEW_LISTED)));
    let segments = [10, 1_000];
    let segments =
        segments.map(|count| (count, "segments", World { segments: count, ..base.clone() }));
    tenants.into_iter().chain(flags).chain(segments).collect()
}

/// W2 inside one `Flags`, and as a one shot, at every size; all sizes in turn.
pub(crate) fn rows(effort: Effort) -> Vec<Scaled> {
    let worlds = worlds();
    let engines: Vec<Ours> = worlds.iter().map(|(_, _, world)| Ours::new(world)).collect();
    for (ours, (_, _, world)) in engines.iter().zip(&worlds) {
        verify(ours, world);
    }
    let users = [User::matching("u-7")];
    let inside: Vec<Runner<'_>> =
        engines.iter().map(|ours| asking(ours, &users, ONE_RULE)).collect();
    let inside = race(effort, inside);
    let one_shot: Vec<Runner<'_>> =
        engines.iter().map(|ours| asking_once(ours, &users[0], ONE_RULE)).collect();
    let one_shot = race(effort, one_shot);
    let figures = worlds.into_iter().zip(inside).zip(one_shot);
    figures
        .map(|(((count, of_what, _), inside), one_shot)| Scaled {
            count,
            of_what,
            inside,
            one_shot,
        })
        .collect()
}
