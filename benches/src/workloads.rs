//! W1 to W7 and the one shot: every engine, side by side.

use crate::engine::{Engine, asking, asking_all, asking_once, verify};
use crate::floor::Floor;
use crate::ours::Ours;
use crate::peers::eppo::Eppo;
use crate::peers::growthbook::Growthbook;
use crate::peers::launchdarkly::LaunchDarkly;
use crate::peers::yggdrasil::Yggdrasil;
use crate::table::{Reach, Row};
use crate::timing::{Effort, Runner, race};
use crate::world::{
    CHAIN, FEW_LISTED, FLAGS, HALF, LISTED, LISTED_USERS, ONE_RULE, PLAIN, TEN_RULES, User, World,
    listed_user,
};

/// Users who ask in turn where the answer depends on who asks.
const USERS: usize = 64;
/// The same for a list too long for the nearer caches.
const MANY_USERS: usize = 1_024;
/// The longest list.
const MANY_LISTED: usize = 1_000_000;

/// Every engine with one configuration.
pub(crate) struct Engines {
    pub(crate) floor: Floor,
    pub(crate) ours: Ours,
    pub(crate) yggdrasil: Yggdrasil,
    pub(crate) launchdarkly: LaunchDarkly,
    pub(crate) eppo: Eppo,
    pub(crate) growthbook: Growthbook,
}

impl Engines {
    pub(crate) fn new(world: &World) -> Self {
        Self {
            floor: Engine::new(world),
            ours: Engine::new(world),
            yggdrasil: Engine::new(world),
            launchdarkly: Engine::new(world),
            eppo: Engine::new(world),
            growthbook: Engine::new(world),
        }
    }

    /// Stops the program when any engine answers wrongly.
    pub(crate) fn verify(&self, world: &World) {
        verify(&self.floor, world);
        verify(&self.ours, world);
        verify(&self.yggdrasil, world);
        verify(&self.launchdarkly, world);
        verify(&self.eppo, world);
        verify(&self.growthbook, world);
    }

    fn asking<'e>(
        &'e self,
        world: &World,
        users: &'e [User],
        key: &'static str,
    ) -> Vec<Runner<'e>> {
        let shape = world.shape(key).unwrap();
        let mut all = vec![
            asking(&self.floor, users, key),
            asking(&self.ours, users, key),
            asking(&self.yggdrasil, users, key),
            asking(&self.launchdarkly, users, key),
            asking(&self.growthbook, users, key),
        ];
        if Eppo::can(shape) {
            all.push(asking(&self.eppo, users, key));
        }
        all
    }

    fn asking_once<'e>(&'e self, user: &'e User, key: &'static str) -> Vec<Runner<'e>> {
        vec![
            asking_once(&self.ours, user, key),
            asking_once(&self.yggdrasil, user, key),
            asking_once(&self.launchdarkly, user, key),
            asking_once(&self.eppo, user, key),
            asking_once(&self.growthbook, user, key),
        ]
    }

    fn asking_all<'e>(&'e self, user: &'e User) -> Vec<Runner<'e>> {
        vec![
            asking_all(&self.floor, user),
            asking_all(&self.ours, user),
            asking_all(&self.yggdrasil, user),
            asking_all(&self.launchdarkly, user),
            asking_all(&self.eppo, user),
            asking_all(&self.growthbook, user),
        ]
    }
}

fn in_the_list(users: usize, listed: usize) -> Vec<User> {
    (0..users).map(|number| User::matching(listed_user(number * (listed / users)))).collect()
}

fn not_in_the_list(users: usize) -> Vec<User> {
    (0..users).map(|number| User::matching(format!("v-{number:08x}"))).collect()
}

/// One row of the table of evaluations.
struct Workload {
    name: &'static str,
    reach: Reach,
    key: &'static str,
    users: Vec<User>,
}

fn workloads() -> Vec<Workload> {
    let one = || vec![User::matching("u-7")];
    let many = || (0..USERS).map(|number| User::matching(format!("user-{number}"))).collect();
    let of = |name, (nanoseconds, floor), key, users| Workload {
        name,
        reach: Reach { nanoseconds, floor: Some(floor) },
        key,
        users,
    };
    vec![
        of("W1 no rules, on", (12.0, 15.0), PLAIN, one()),
        of("W2 one attribute rule", (20.0, 17.0), ONE_RULE, one()),
        of("W3 ten rules, the last matches", (60.0, 28.0), TEN_RULES, one()),
        of("W4 50/50 split by user", (22.0, 15.0), HALF, many()),
        of("W5 user in a list of 10,000", (28.0, 20.0), LISTED, in_the_list(USERS, LISTED_USERS)),
        of("W5 user not in it", (28.0, 20.0), LISTED, not_in_the_list(USERS)),
        of("W6 three prerequisites deep", (40.0, 32.0), CHAIN[0], one()),
    ]
}

/// The rows whose name begins as one of `wanted` does; all of them when none is named.
pub(crate) fn rows(effort: Effort, wanted: &dyn Fn(&str) -> bool) -> Vec<Row> {
    let world = World::new(FLAGS, LISTED_USERS);
    let engines = Engines::new(&world);
    engines.verify(&world);
    let mut rows = Vec::new();
    for Workload { name, reach, key, users } in workloads() {
        if wanted(name) {
            let figures = race(effort, engines.asking(&world, &users, key));
            rows.push(Row { name, reach: Some(reach), figures });
        }
    }
    rows.extend(all_flags_row(effort, wanted));
    let user = User::matching("u-7");
    let name = "one shot: pin, clock, tenant, six attributes, one answer (W1)";
    if wanted(name) {
        let figures = race(effort, engines.asking_once(&user, PLAIN));
        rows.push(Row { name, reach: Some(Reach { nanoseconds: 130.0, floor: None }), figures });
    }
    let name = "one shot, and the tenant's handle before it";
    if wanted(name) {
        let question = Ours::question(PLAIN);
        let ours = || engines.ours.with_a_new_handle(&user, &question);
        rows.push(Row {
            name,
            reach: None,
            figures: race(effort, vec![Runner::new(Ours::NAME, ours)]),
        });
    }
    rows
}

/// W7. With a short list: one flag of the thousand must not be what an engine is measured by.
fn all_flags_row(effort: Effort, wanted: &dyn Fn(&str) -> bool) -> Option<Row> {
    let name = "W7 all of 1,000 mixed flags for one context";
    if !wanted(name) {
        return None;
    }
    let world = World::new(FLAGS, FEW_LISTED);
    let engines = Engines::new(&world);
    engines.verify(&world);
    let user = User::matching("u-7");
    let figures = race(effort, engines.asking_all(&user));
    Some(Row { name, reach: Some(Reach { nanoseconds: 12_000.0, floor: Some(7_700.0) }), figures })
}

/// W5 again, with the longest list, for those whom such a list does not stop.
pub(crate) fn long_list_rows(effort: Effort, wanted: &dyn Fn(&str) -> bool) -> Vec<Row> {
    let names = ["W5 user in a list of 1,000,000", "W5 user not in a list of 1,000,000"];
    if !names.iter().any(|name| wanted(name)) {
        return Vec::new();
    }
    let world = World::new(FLAGS, MANY_LISTED);
    let (floor, ours, yggdrasil) = (Floor::new(&world), Ours::new(&world), Yggdrasil::new(&world));
    verify(&floor, &world);
    verify(&ours, &world);
    verify(&yggdrasil, &world);
    let users = [in_the_list(MANY_USERS, MANY_LISTED), not_in_the_list(MANY_USERS)];
    let rows = names.into_iter().zip(&users).filter(|(name, _)| wanted(name));
    rows.map(|(name, users)| {
        let runners = vec![
            asking(&floor, users, LISTED),
            asking(&ours, users, LISTED),
            asking(&yggdrasil, users, LISTED),
        ];
        Row {
            name,
            reach: Some(Reach { nanoseconds: 100.0, floor: None }),
            figures: race(effort, runners),
        }
    })
    .collect()
}
