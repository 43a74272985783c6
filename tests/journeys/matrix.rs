//! The isolation matrix: every route of the description × every sort of caller × everywhere an id can be
//! swapped. What is not yours is a 404 whose body and headers are those of a thing that does not exist.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::isolation::{Route, body_for, routes};
use super::rows::{ROWS, Weakest};
use super::staff::Staff;

use crate::{Answer, Api, Org, Stack};

use Weakest::{Maintainer, Operator, Reader, Service};

/// What no caller of another organization ever sends, and so must never see.
const SECRET: &str = "canary-secret";
/// Attempts of the seeded sample in one process, and on the emulated cloud, where each takes fifty times as long.
const EVERYDAY_ATTEMPTS: usize = 3_000;
const CLOUD_ATTEMPTS: usize = 100;
const SEED: u64 = 4;

/// An organization full of secrets, one that attacks it, and everybody who may try.
struct Stage {
    victim: Org,
    stranger: Org,
    /// The keys of whoever has no business there, by what they are.
    attackers: Vec<(Attacker, Option<String>)>,
    /// Admins of the victim's `dev`, who have no business in `prod`.
    of_dev: Vec<Api>,
    /// Their tokens count as long as it answers.
    _staff: Option<Staff>,
    stack: Stack,
    routes: Vec<Route>,
    /// What was seen of the victim's: a cursor, an ETag, an idempotency key.
    cursor: String,
    etag: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attacker {
    /// No key, a forged, an expired or a revoked one: 401, whatever is asked.
    Unknown,
    /// A key of the data plane: 403, whatever is asked.
    WrongKind,
    /// Somebody of another organization.
    Stranger,
    /// A person of another organization, whom nobody vouches for anywhere else: 401 there.
    Foreigner,
    /// The operator of the installation.
    Operator,
}

const IDEMPOTENCY_KEY: &str = "the-victims-own";

async fn furnish(org: &Org, secret: &str) -> anyhow::Result<()> {
    let on = json!({"class": "release", "type": "boolean", "description": secret});
    let used = [("idempotency-key", IDEMPOTENCY_KEY)];
    let flag = org.path("flags/known-flag");
    org.api.call(Method::PUT, &flag, &used, Some(on.to_string())).await?.expect(201)?;
    org.flip("known-flag", true).await?;
    let put = |path: &str, body: Json| {
        let (api, path) = (org.api.clone(), org.path(path));
        async move { api.put(&path, &body).await?.expect(201) }
    };
    let attributes = json!({"name": secret, "attributes": {"plan": secret}});
    put("tenants/known-tenant", attributes).await?;
    put("groups/known-group", json!({"description": secret})).await?;
    put("groups/known-group/members/known-tenant", json!({})).await?;
    put("roles/known-role", json!({"description": secret, "permissions": []})).await?;
    put("environments/prod/segments/known-segment", json!({"description": secret})).await?;
    let over = "environments/prod/flags/known-flag/overrides/known-tenant";
    put(over, json!({"variant": "on"})).await?;
    let named = json!({"key": "known-env", "name": secret});
    org.api.post(&org.path("environments"), &named).await?.expect(201)?;
    org.issue(&json!({"kind": "server", "name": secret})).await?;
    Ok(())
}

impl Stage {
    async fn set(stack: &Stack) -> anyhow::Result<Self> {
        let (victim, stranger) = (stack.found("victim").await?, stack.found("thief").await?);
        furnish(&victim, SECRET).await?;
        furnish(&stranger, "own").await?;
        let soon = json!({"kind": "mgmt", "role": "admin", "expires": in_a_moment()?});
        let (expired, _) = victim.issue(&soon).await?;
        let (revoked, id) = victim.issue(&json!({"kind": "mgmt", "role": "admin"})).await?;
        victim.api.delete(&victim.path(&format!("keys/{id}"))).await?.expect(204)?;
        let mut attackers = vec![
            (Attacker::Unknown, None),
            (Attacker::Unknown, Some(format!("{}x", victim.admin_key))),
            (Attacker::Unknown, Some(expired)),
            (Attacker::Unknown, Some(revoked)),
            (Attacker::Operator, Some(stack.operator_key.clone())),
            (Attacker::Stranger, Some(stranger.admin_key.clone())),
        ];
        for kind in ["server", "relay"] {
            let (key, _) = victim.issue(&json!({"kind": kind})).await?;
            attackers.push((Attacker::WrongKind, Some(key)));
        }
        let client = json!({"kind": "client", "tenant": "known-tenant", "envs": ["prod"]});
        attackers.push((Attacker::WrongKind, Some(victim.issue(&client).await?.0)));
        for role in ["reader", "approver", "maintainer"] {
            let (key, _) = stranger.issue(&json!({"kind": "mgmt", "role": role})).await?;
            attackers.push((Attacker::Stranger, Some(key)));
        }
        let of_dev = json!({"kind": "mgmt", "role": "admin", "envs": ["dev"]});
        let mut of_dev = vec![stack.api(Some(&victim.issue(&of_dev).await?.0))];
        let staff = Staff::of(stack).await?;
        if let Some(staff) = &staff {
            staff.work_for(&victim).await?;
            staff.work_for(&stranger).await?;
            let worthless = staff.worthless(&victim).await?.into_iter();
            attackers.extend(worthless.map(|token| (Attacker::Unknown, Some(token))));
            for role in ["reader", "approver", "maintainer", "admin"] {
                attackers.push((Attacker::Foreigner, Some(staff.token(&stranger, role)?)));
            }
            of_dev.push(stack.api(Some(&staff.token(&victim, "dev")?)));
            of_dev.push(staff.of_dev_by_name(stack, &victim).await?);
        }
        // A key's first use is noted in the list of keys, which must not change from here on.
        for of_dev in &of_dev {
            of_dev.get(&victim.path("environments")).await?.expect(200)?;
        }
        let page = victim.api.get(&victim.path("tenants?limit=1")).await?.expect(200)?;
        let cursor = page.body["next"].as_str().context("no cursor")?.to_owned();
        let flag = victim.api.get(&victim.path("flags/known-flag")).await?.expect(200)?;
        let etag = flag.header("etag").to_owned();
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        let (routes, stack) = (routes(stack).await?, stack.clone());
        let _staff = staff;
        Ok(Self { victim, stranger, attackers, of_dev, _staff, stack, routes, cursor, etag })
    }

    fn api(&self, key: Option<&String>) -> Api {
        self.stack.api(key.map(String::as_str))
    }
}

fn in_a_moment() -> anyhow::Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let moment = i64::try_from(now.as_millis())? + 1_000;
    Ok(serde_json::to_value(flagforge_flags::time::Timestamp::from_millis(moment))?
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

/// What the thing of a path parameter is called, in whichever organization.
fn known(path: &str, org: &str, env: &str, chance: &mut Chance) -> String {
    let list = chance.one_of(&["included", "excluded"]);
    path.replace("{org}", org)
        .replace("{env}", env)
        .replace("{flag}", chance.one_of(&["known-flag", "known-flag", "nothing"]))
        .replace("{tenant}", chance.one_of(&["known-tenant", "acme", "nothing"]))
        .replace("{group}", chance.one_of(&["known-group", "known-group", "nothing"]))
        .replace("{segment}", chance.one_of(&["known-segment", "known-segment", "nothing"]))
        .replace("{role}", chance.one_of(&["known-role", "nothing"]))
        .replace("{person}", "someones-id")
        .replace("{invitation}", "someones-invitation")
        .replace("{list}", list)
        .replace("{number}", chance.one_of(&["1", "2", "999999"]))
        .replace("{part}", "0")
        .replace("{scope}", chance.one_of(&["environment", "nothing"]))
        .replace("{webhook}", "someones-webhook")
        .replace("{import}", "someones-import")
        .replace("{schedule}", "someones-schedule")
        .replace("{id}", chance.one_of(&["someones-key", "demo.abcdefghijkm"]))
        .replace("{issuer}", chance.one_of(&["known-issuer", "nothing"]))
}

/// SplitMix64: the same seed makes the same attempts.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let mixed = mixed ^ (mixed >> 31);
        usize::try_from(mixed % bound as u64).unwrap_or(0)
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

/// What is sent besides the path: somebody else's things wherever the API reads one.
struct Sent {
    query: &'static str,
    cursor: bool,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
}

impl Sent {
    fn draw(route: &Route, stage: &Stage, chance: &mut Chance) -> Self {
        let mut headers = Vec::new();
        if chance.below(3) == 0 {
            headers.push(("if-match", stage.etag.clone()));
        }
        if chance.below(3) == 0 {
            headers.push(("idempotency-key", IDEMPOTENCY_KEY.to_owned()));
        }
        if chance.below(3) == 0 {
            headers.push(("flagforge-tenant", "known-tenant".to_owned()));
            headers.push(("flagforge-environment", "prod".to_owned()));
        }
        let reads = route.method == Method::GET;
        let query = if reads { chance.one_of(&["", "?limit=1", "?flag=known-flag"]) } else { "" };
        let cursor = reads && query.is_empty() && chance.below(3) == 0;
        let lines = "{\"key\": \"known-tenant\", \"attributes\": {\"plan\": \"stolen\"}}\n";
        let body = match (chance.below(4), route.path.contains("/imports")) {
            (0, true) => Some(lines.to_owned()),
            (0, false) if !reads => Some(
                json!({"tenant": "known-tenant", "key": "known-env", "variant": "on"}).to_string(),
            ),
            _ => body_for(route),
        };
        Self { query, cursor, headers, body }
    }

    /// Sends it; who is told to wait, waits.
    async fn to(
        &self,
        api: &Api,
        route: &Route,
        path: &str,
        stage: &Stage,
    ) -> anyhow::Result<Answer> {
        let cursor = if self.cursor { format!("?cursor={}", stage.cursor) } else { String::new() };
        let path = format!("{path}{}{cursor}", self.query);
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        loop {
            let answer = api.call(route.method.clone(), &path, &headers, self.body.clone()).await?;
            if answer.status != 429 {
                return Ok(answer);
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}

/// One attempt: something that is somebody else's is asked for, and must not be had.
async fn attempt(stage: &Stage, chance: &mut Chance) -> anyhow::Result<String> {
    let route = &stage.routes[chance.below(stage.routes.len())];
    let sent = Sent::draw(route, stage, chance);
    let (victim, env) = (stage.victim.key.as_str(), chance.one_of(&["prod", "known-env"]));
    let ids = Chance(chance.below(usize::MAX) as u64);
    let path = |org: &str, env: &str| known(&route.path, org, env, &mut Chance(ids.0));
    let absent = "z".repeat(victim.len());
    if chance.below(8) == 0 && route.path.contains("{env}") {
        let of_dev = &stage.of_dev[chance.below(stage.of_dev.len())];
        let there = sent.to(of_dev, route, &path(victim, "prod"), stage).await?;
        let not_there = sent.to(of_dev, route, &path(victim, "zzzz"), stage).await?;
        same_nothing(route, NOTHING, &there, &not_there).context("an admin of dev, in prod")?;
        return Ok(route.name());
    }
    let (attacker, key) = &stage.attackers[chance.below(stage.attackers.len())];
    let api = stage.api(key.as_ref());
    let operators = row(route)? == Operator;
    if *attacker == Attacker::Operator && operators {
        // What it may do there is its own, and shows nothing of the organization's: its own journey says so.
        return Ok(route.name());
    }
    if *attacker == Attacker::WrongKind && row(route)? == Service {
        // Here it is the right kind, and its own journey says what it may not do.
        return Ok(route.name());
    }
    let has_own = matches!(attacker, Attacker::Stranger | Attacker::Foreigner);
    let own = has_own && chance.below(3) == 0 && !operators;
    let asked = path(if own { &stage.stranger.key } else { victim }, env);
    let there = sent.to(&api, route, &asked, stage).await?;
    ensure!(!there.body.to_string().contains(SECRET), "{route:?} leaks: {}", there.body);
    ensure!(there.status.as_u16() < 500, "{route:?}: {} {}", there.status, there.body);
    if own {
        return Ok(route.name());
    }
    let not_there = sent.to(&api, route, &path(&absent, env), stage).await?;
    let allowed: &[u16] = match attacker {
        Attacker::Unknown | Attacker::Foreigner => &[401],
        Attacker::WrongKind => &[403],
        Attacker::Stranger | Attacker::Operator => NOTHING,
    };
    same_nothing(route, allowed, &there, &not_there).with_context(|| format!("{attacker:?}"))?;
    Ok(route.name())
}

/// What asking for somebody else's thing may come to: it is not there, or the request would not do anywhere.
const NOTHING: &[u16] = &[404, 400, 405, 413, 415];

/// Two answers that tell nothing apart.
fn same_nothing(
    route: &Route,
    allowed: &[u16],
    there: &Answer,
    not_there: &Answer,
) -> anyhow::Result<()> {
    let status = there.status.as_u16();
    ensure!(allowed.contains(&status), "{route:?}: {status} {}", there.body);
    let (there, not_there) =
        (super::isolation::comparable(there), super::isolation::comparable(not_there));
    ensure!(there == not_there, "{route:?} tells them apart: {there:?} {not_there:?}");
    Ok(())
}

pub(super) fn row(route: &Route) -> anyhow::Result<Weakest> {
    let found = ROWS
        .iter()
        .find(|(method, path, _)| route.method.as_str() == *method && route.path == *path);
    found.map(|(_, _, weakest)| *weakest).with_context(|| {
        format!("{route:?} has no row in tests/journeys/rows.rs: say who may pass")
    })
}

/// Makes so many attempts by seed, and looks whether the victim is as it was. Answers how many each route got.
pub async fn attack(
    stack: &Stack,
    seed: u64,
    attempts: usize,
) -> anyhow::Result<BTreeMap<String, usize>> {
    let stage = Stage::set(stack).await?;
    let before = super::isolation::fingerprint(&stage.victim).await?;
    let mut chance = Chance(seed);
    let mut tried = BTreeMap::new();
    for number in 0..attempts {
        let from = chance.0;
        let route = attempt(&stage, &mut chance)
            .await
            .with_context(|| format!("attempt {number} of seed {seed}, from {from}"))?;
        *tried.entry(route).or_default() += 1;
    }
    let after = super::isolation::fingerprint(&stage.victim).await?;
    ensure!(before == after, "somebody changed what is not theirs");
    Ok(tried)
}

pub async fn nobody_gets_at_what_is_somebody_elses(stack: &Stack) -> anyhow::Result<()> {
    let in_process = matches!(stack.delivery, crate::Delivery::Http);
    let attempts = if in_process { EVERYDAY_ATTEMPTS } else { CLOUD_ATTEMPTS };
    attack(stack, SEED, attempts).await.map(drop)
}

pub async fn every_route_lets_pass_whom_its_row_names(stack: &Stack) -> anyhow::Result<()> {
    let routes = routes(stack).await?;
    let described: BTreeSet<(String, String)> =
        routes.iter().map(|route| (route.method.to_string(), route.path.clone())).collect();
    for (method, path, _) in ROWS {
        let there = described.contains(&((*method).to_owned(), (*path).to_owned()));
        ensure!(there, "{method} {path} has a row in tests/journeys/rows.rs and is no route");
    }
    let org = stack.found("staffed").await?;
    furnish(&org, SECRET).await?;
    let mut wrong = Vec::new();
    let people = Staff::of(stack).await?;
    if let Some(people) = &people {
        people.work_for(&org).await?;
    }
    let mut staff = Vec::new();
    for (role, rank) in [("reader", Reader), ("approver", Reader), ("maintainer", Maintainer)] {
        let key = org.issue(&json!({"kind": "mgmt", "role": role})).await?.0;
        staff.push((role, rank, key, false));
        if let Some(people) = &people {
            staff.push((role, rank, people.token(&org, role)?, true));
        }
    }
    for (role, rank, key, is_token) in staff {
        let api = stack.api(Some(&key));
        for route in &routes {
            let weakest = row(route)?;
            let path = known(&route.path, &org.key, "prod", &mut Chance(0));
            let answer = api.call(route.method.clone(), &path, &[], body_for(route)).await?;
            let status = answer.status.as_u16();
            // It is an organization that believes an issuer: where none is named, nobody vouches.
            let vouched = !is_token || route.path.starts_with("/v1/orgs/{org}");
            let right = match weakest {
                _ if !vouched => status == 401,
                Operator => status == 404,
                weakest if weakest > rank => status == 403,
                _ => status < 500 && status != 401 && status != 403,
            };
            if !right {
                let (method, path) = (&route.method, &route.path);
                wrong.push(format!("{method} {path} answers a {role} {status}: {}", answer.body));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
