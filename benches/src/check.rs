//! What must hold whatever the machine: answers are right, and none of ours allocates.

use std::process::ExitCode;

use crate::engine::Engine;
use crate::engine::{asking, asking_all, asking_once, verify};
use crate::ours::Ours;
use crate::timing::Runner;
use crate::workloads::Engines;
use crate::world::{
    CHAIN, FLAGS, HALF, LISTED, LISTED_USERS, ONE_RULE, PLAIN, TEN_RULES, User, World, listed_user,
};

/// Stops at a wrong answer; fails when something allocated, after saying all that did.
pub(crate) fn run() -> ExitCode {
    let world = World::new(FLAGS, LISTED_USERS);
    let engines = Engines::new(&world);
    engines.verify(&world);
    println!("every engine answers rightly");
    let allocating = allocating(&engines.ours);
    for (what, allocations) in &allocating {
        println!("{what}: {allocations} allocations a call");
    }
    let large = World { tenants: 1_000, segments: 100, ..World::new(FLAGS, 1) };
    verify(&Ours::new(&large), &large);
    if allocating.is_empty() {
        println!("no evaluation of ours allocates");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn allocating(ours: &Ours) -> Vec<(String, f64)> {
    let users =
        [User::matching("u-7"), User::other("u-8"), User::matching(listed_user(LISTED_USERS / 2))];
    let mut found = Vec::new();
    let mut note = |what: String, mut runner: Runner<'_>| {
        let allocations = runner.allocations();
        if allocations > 0.0 {
            found.push((what, allocations));
        }
    };
    for key in [PLAIN, ONE_RULE, TEN_RULES, HALF, LISTED, CHAIN[0], "absent"] {
        for user in &users {
            let users = std::slice::from_ref(user);
            note(format!("{key} for {}", user.key), asking(ours, users, key));
            note(format!("one shot of {key} for {}", user.key), asking_once(ours, user, key));
        }
    }
    for user in &users {
        note(format!("all flags for {}", user.key), asking_all(ours, user));
    }
    found
}
