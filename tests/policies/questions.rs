//! The questions, and what is to be found of the answers.

use std::collections::BTreeMap;

use flagforge_tests::iam::{Ask, Policy, Principal};
use flagforge_tests::{Reach, Rendered};
use serde_json::Value as Json;

use crate::ask::{self, Asked, Chance, Who};
use crate::{mutations, rules};

/// Questions of a run. Each is a role, a session or none, an action, a resource, and partitions.
const TUPLES: usize = 40_000;
const SEEDS: u64 = 3;
/// For a mutation half will do: each is asked for some times.
const TUPLES_OF_A_MUTATION: usize = 20_000;

/// The documents that are asked.
#[derive(Debug, Clone)]
pub(crate) struct Documents {
    pub(crate) rendered: Rendered,
    /// The policy of a session within `acme`, and of one of its operator; made by the functions' own code.
    pub(crate) own: Json,
    pub(crate) operated: Json,
}

impl Documents {
    fn read() -> Self {
        let rendered = Rendered::read().unwrap();
        let org = flagforge_flags::keys::OrgKey::new(ask::ORG).unwrap();
        let own = rendered.session(&Reach::Organization(org.clone())).unwrap();
        let operated = rendered.session(&Reach::Operated(org)).unwrap();
        Self { rendered, own, operated }
    }

    fn principals(&self) -> Vec<(Who, Principal)> {
        let parse = |document: &Json| Policy::parse(document).unwrap();
        let mut all = Vec::new();
        for role in self.rendered.roles() {
            let identity = vec![self.rendered.policy(&role).unwrap()];
            let mut add = |who: Who, session: Option<&Json>| {
                all.push((
                    who,
                    Principal { identity: identity.clone(), session: session.map(parse) },
                ));
            };
            add(Who::Role(role.clone()), None);
            if role.ends_with("-org") {
                if role == "connect-org" {
                    // Its sessions are on its own table.
                    let org = flagforge_flags::keys::OrgKey::new(ask::ORG).unwrap();
                    let connections = self.rendered.connections_arn();
                    let own = self.rendered.session_on(connections, &Reach::Organization(org));
                    add(Who::InSession(role.clone()), Some(&own.unwrap()));
                    continue;
                }
                add(Who::InSession(role.clone()), Some(&self.own));
                add(Who::Operating(role.clone()), Some(&self.operated));
            }
        }
        // A session's policy must narrow by itself, not only because its role does.
        for (who, policy) in [(Who::Session, &self.own), (Who::Operation, &self.operated)] {
            all.push((who, Principal { identity: vec![parse(policy)], session: None }));
        }
        all
    }
}

/// What was answered otherwise than the rules say.
#[derive(Debug, Default)]
struct Found {
    allowed: usize,
    refused: usize,
    unexpected_allows: Vec<String>,
    unexpected_refusals: Vec<String>,
}

fn run(documents: &Documents, seed: u64, tuples: usize) -> Found {
    let principals = documents.principals();
    let mut chance = Chance::new(seed);
    let mut found = Found::default();
    for _ in 0..tuples {
        let (who, principal) = chance.one(&principals);
        let asked = Asked::draw(&mut chance, &documents.rendered);
        let ask = Ask { action: asked.action, resource: &asked.resource, context: asked.context() };
        let expected = rules::may(who, &asked, &documents.rendered);
        let says = principal.may(&ask);
        *(if says { &mut found.allowed } else { &mut found.refused }) += 1;
        match (says, expected) {
            (true, false) => found.unexpected_allows.push(format!("{who:?} {asked:?}")),
            (false, true) => found.unexpected_refusals.push(format!("{who:?} {asked:?}")),
            _ => {}
        }
    }
    found
}

#[test]
fn nobody_may_more_or_less_than_the_rules_say() {
    let documents = Documents::read();
    for seed in 1..=SEEDS {
        let found = run(&documents, seed, TUPLES);
        assert_eq!(found.unexpected_allows, [""; 0], "seed {seed}");
        assert_eq!(found.unexpected_refusals, [""; 0], "seed {seed}");
        // A run that asks only for what nobody may would prove nothing.
        assert!(found.allowed > TUPLES / 60, "{} of {TUPLES} allowed", found.allowed);
        assert!(found.refused > TUPLES / 2, "{} of {TUPLES} refused", found.refused);
        println!(
            "seed {seed}: {} allowed, {} refused, none unexpected",
            found.allowed, found.refused
        );
    }
}

#[test]
fn every_role_has_its_rules() {
    let rendered = Rendered::read().unwrap();
    let mut roles = rendered.roles();
    roles.sort();
    assert_eq!(roles, rules::ROLES, "a role without rules is held to none");
}

#[test]
fn every_widened_or_narrowed_policy_is_found() {
    for mutation in mutations::ALL {
        let mut documents = Documents::read();
        (mutation.change)(&mut documents);
        let found = run(&documents, 7, TUPLES_OF_A_MUTATION);
        let seen = match mutation.widens {
            true => found.unexpected_allows.len(),
            false => found.unexpected_refusals.len(),
        };
        assert!(seen > 0, "nobody noticed: {}", mutation.what);
        println!("{seen:>5} of {TUPLES_OF_A_MUTATION}: {}", mutation.what);
    }
}

/// A session's role is assumed by its function's role, and by nobody else; a function's by Lambda.
#[test]
fn a_role_is_assumed_by_its_function_only() {
    let rendered = Rendered::read().unwrap();
    for role in rendered.roles() {
        let trust = rendered.0["roles"][&role]["trust"].clone();
        let statements = trust["Statement"].as_array().unwrap();
        assert_eq!(statements.len(), 1, "{trust}");
        let principal = match role.strip_suffix("-org") {
            Some(function) => serde_json::json!({"AWS": rendered.role_arn(function)}),
            None => serde_json::json!({"Service": "lambda.amazonaws.com"}),
        };
        assert_eq!(statements[0]["Principal"], principal, "{role}");
        assert_eq!(statements[0]["Action"], "sts:AssumeRole", "{role}");
        assert_eq!(statements[0]["Effect"], "Allow", "{role}");
    }
}

/// Whoever may publish on a topic can ring or tell what is not so.
#[test]
fn a_topic_has_one_publisher() {
    let rendered = Rendered::read().unwrap();
    let (region_and_account, name) = rendered.table_arn().split_once(":table/").unwrap();
    let place = region_and_account.replace(":dynamodb:", ":sns:");
    for (topic, publisher) in
        [("changes", "fanout"), ("roots", "snapshot"), ("events", "webhooks"), ("other", "")]
    {
        let resource = &format!("{place}:{name}-{topic}");
        for role in rendered.roles() {
            let identity = vec![rendered.policy(&role).unwrap()];
            let principal = Principal { identity, session: None };
            for action in ["sns:Publish", "sns:Subscribe", "sns:SetTopicAttributes"] {
                let may = principal.may(&Ask { action, resource, context: BTreeMap::new() });
                let expected = role == publisher && action == "sns:Publish";
                assert_eq!(may, expected, "{role} {action} {topic}");
            }
        }
    }
}

/// Whoever signs with the online key could publish, and whoever signs with the other could read everything.
#[test]
fn each_key_has_one_signer() {
    let rendered = Rendered::read().unwrap();
    let (region_and_account, _) = rendered.table_arn().split_once(":table/").unwrap();
    let place = region_and_account.replace(":dynamodb:", ":kms:");
    // As they are numbered where the policies are written: the online key, the key of passes, and one of neither.
    for (number, signer) in ["snapshot", "evaluate", ""].into_iter().enumerate() {
        let resource = &format!("{place}:key/00000000-0000-0000-0000-00000000000{number}");
        for role in rendered.roles() {
            let identity = vec![rendered.policy(&role).unwrap()];
            let principal = Principal { identity, session: None };
            for action in
                ["kms:Sign", "kms:CreateGrant", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"]
            {
                let may = principal.may(&Ask { action, resource, context: BTreeMap::new() });
                assert_eq!(may, role == signer && action == "kms:Sign", "{role} {action} {number}");
            }
        }
    }
}
