//! What grows with the manifest, and what must not.

use crate::engine::{Engine, asking, asking_once, verify};
use crate::ours::Ours;
use crate::timing::{Effort, Figure, Runner, race};
use crate::world::{ONE_RULE, User, World};

/// What one size costs.
pub(crate) struct Scaled {
    pub(crate) size: String,
    pub(crate) inside: Figure,
    pub(crate) one_shot: Figure,
}

fn worlds() -> Vec<(String, World)> {
    let base = World::new(1_000, 10);
    let tenants = [10, 1_000, 100_000]
        .map(|tenants| (format!("{tenants} tenants"), World { tenants, ..base.clone() }));
    let flags = [10, 1_000, 10_000].map(|flags| (format!("{flags} flags"), World::new(flags, 10)));
    let segments = [10, 1_000]
        .map(|segments| (format!("{segments} segments"), World { segments, ..base.clone() }));
    tenants.into_iter().chain(flags).chain(segments).collect()
}

/// W2 inside one `Flags`, and as a one shot, at every size; all sizes in turn.
pub(crate) fn rows(effort: Effort) -> Vec<Scaled> {
    let worlds = worlds();
    let engines: Vec<Ours> = worlds.iter().map(|(_, world)| Ours::new(world)).collect();
    for (ours, (_, world)) in engines.iter().zip(&worlds) {
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
    figures.map(|(((size, _), inside), one_shot)| Scaled { size, inside, one_shot }).collect()
}
