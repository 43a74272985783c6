//! What the platform accepted never answers an error by its own fault. Flags and segments of the vectors, changed
//! by chance, and tangles that ask for one another are committed, published, loaded and asked.

pub(crate) mod chance;
mod made;

use flagforge_embedded::Embedded;
use flagforge_flags::keys::{SegmentKey, TenantKey};
use flagforge_flags::manifest::{self, Scope, ScopeId, Trust};
use flagforge_flags::{Context, EvalError, Snapshot, View, evaluate};
use flagforge_platform::{Change, Error, Platform, Request, handle};
use serde_json::{Value as Json, json};

use crate::kit::{caller, env, flag, furnished, listed, org, verified};
use chance::Chance;

/// Rounds of a day, and tries of changes in one.
const ROUNDS: u64 = 16;
const CHANGES: usize = 60;
/// Contexts that every flag is asked with.
const CONTEXTS: usize = 25;

/// Errors that a context causes, or an author who asked for one.
fn is_the_contexts(error: &EvalError<'_>) -> bool {
    matches!(
        error,
        EvalError::TargetingKeyMissing
            | EvalError::TenantRequired
            | EvalError::TenantInContext
            | EvalError::AttributeTooLong
            | EvalError::Outcome(_)
    )
}

/// Whether a change was taken. What is refused must be the sender's fault.
async fn taken(platform: &Platform, change: Change) -> bool {
    match platform.commit(&caller(), &Request::of(change, "test")).await {
        Ok(_) => true,
        Err(
            Error::Invalid { .. }
            | Error::BadText { .. }
            | Error::OverLimit { .. }
            | Error::InUse { .. }
            | Error::Kept { .. }
            | Error::NotFound { .. },
        ) => false,
        Err(error) => panic!("{error}"),
    }
}

/// The snapshot that a reader has, of what stands published.
async fn loaded(hands: &Embedded, trust: &Trust) -> Snapshot {
    let id = ScopeId { org: org(), env: env("prod"), scope: Scope::Environment };
    let root = verified(hands, trust, &id).await;
    let (_, chunks) = listed(hands, &root).await;
    manifest::load(root, &mut |digest| chunks.get(digest), None).unwrap()
}

fn context(chance: &mut Chance) -> Context<'static> {
    let mut context = match chance.below(4) {
        0 => Context::untenanted(),
        1 => Context::for_tenant(TenantKey::new("unknown").unwrap()),
        _ => Context::for_tenant(TenantKey::new("acme").unwrap()),
    };
    if !chance.one_in(4) {
        context = context.user(format!("u-{}", chance.below(20)));
    }
    let mut attributes = json!({"country": "DE", "age": 17, "plan": "gold", "x": [1, "a", null], "y": {"z": 1.5}, "tags": ["a", "b"]});
    for _ in 0..chance.below(3) {
        chance.mutate(&mut attributes);
    }
    for (name, value) in attributes.as_object().into_iter().flatten() {
        context = context.attr(name.as_str(), value.clone());
    }
    context
}

/// Asks every flag that stands, and answers how many answers there were.
fn ask_all(snapshot: &Snapshot, chance: &mut Chance, hands: &Embedded, seed: u64) -> usize {
    let (now, mut answers) = (hands.timer.now(), 0);
    let view = View { snapshot, confirmed: now };
    let keys: Vec<String> = snapshot.flags().map(|(key, _)| key.to_owned()).collect();
    for _ in 0..CONTEXTS {
        let context = context(chance);
        for key in &keys {
            let answer = evaluate(view, key, None, &context, now);
            if let Some(error) = answer.error.filter(|error| !is_the_contexts(error)) {
                panic!("seed {seed}: `{key}` answers {}", error.details());
            }
            answers += 1;
        }
    }
    answers
}

async fn directory(platform: &Platform) {
    let tenant = Change::PutTenant {
        org: org(),
        tenant: TenantKey::new("acme").unwrap(),
        uid: "uid-of-acme".to_owned(),
        synthetic: false,
        name: String::new(),
        attributes: json!({"plan": "gold", "seats": 12}).as_object().cloned().unwrap(),
    };
    assert!(taken(platform, tenant).await);
}

fn put_segment(wire: &Json) -> Option<Change> {
    let segment = SegmentKey::new(wire["key"].as_str()?).ok()?;
    let definition =
        json!({"entity": wire.get("entity").unwrap_or(&json!("user")), "when": wire.get("when")});
    let definition = serde_json::from_value(definition).ok()?;
    let (excluded, included) = (None, None);
    let salt = "salt".to_owned();
    Some(Change::PutSegment {
        org: org(),
        env: env("prod"),
        segment,
        salt,
        definition,
        excluded,
        included,
    })
}

fn put_flag(wire: &Json) -> Option<Change> {
    let key = flag_key(wire)?;
    let mut definition = wire.as_object()?.clone();
    definition
        .retain(|name, _| matches!(name.as_str(), "class" | "type" | "variants" | "clientVisible"));
    // What classes ask of their authors has nothing to do with answers.
    definition.insert("expiresAt".to_owned(), json!("2099-12-31T00:00:00Z"));
    definition.insert("retirement".to_owned(), json!([{"settledDays": 30}]));
    definition.insert("stale".to_owned(), json!({"afterSeconds": 3_600, "then": "lastKnown"}));
    let definition = serde_json::from_value(Json::Object(definition)).ok()?;
    Some(Change::PutFlag { org: org(), uid: format!("uid-of-{key}"), flag: key, definition })
}

fn put_state(wire: &Json) -> Option<Change> {
    let state = serde_json::from_value(wire.get("state")?.clone()).ok()?;
    Some(Change::PutState { org: org(), env: env("prod"), flag: flag_key(wire)?, state })
}

fn flag_key(wire: &Json) -> Option<flagforge_flags::keys::FlagKey> {
    flagforge_flags::keys::FlagKey::new(wire["key"].as_str()?).ok()
}

#[tokio::test]
async fn flags_of_the_vectors_and_what_chance_makes_of_them() {
    let corpus = made::corpus();
    let (mut accepted, mut refused, mut answers) = (0, 0, 0);
    for seed in 0..ROUNDS {
        let mut chance = Chance::new(seed);
        let (hands, platform, trust) = furnished().await;
        directory(&platform).await;
        let mut changes = Vec::new();
        for _ in 0..CHANGES / 6 {
            let (flags, segments) = &corpus[chance.below(corpus.len())];
            for (wires, is_flag) in [(segments, false), (flags, true)] {
                for wire in wires.iter().take(3) {
                    let mut wire = wire.clone();
                    let key = wire["key"].clone();
                    for _ in 0..chance.below(3) {
                        chance.mutate(&mut wire);
                    }
                    if wire.is_object() {
                        wire["key"] = key;
                    }
                    if is_flag {
                        changes.extend([put_flag(&wire), put_state(&wire)]);
                    } else {
                        changes.push(put_segment(&wire));
                    }
                }
            }
        }
        for change in changes.into_iter().flatten() {
            let was_taken = taken(&platform, change).await;
            (accepted, refused) =
                (accepted + u32::from(was_taken), refused + u32::from(!was_taken));
        }
        handle::resign(&platform).await.unwrap();
        answers += ask_all(&loaded(&hands, &trust).await, &mut chance, &hands, seed);
    }
    assert!(accepted > 200 && refused > 50, "{accepted} were accepted and {refused} refused");
    assert!(answers > 5_000, "only {answers} answers");
}

#[tokio::test]
async fn flags_and_segments_that_ask_for_one_another() {
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..ROUNDS {
        let mut chance = Chance::new(1_000 + seed);
        let (hands, platform, trust) = furnished().await;
        directory(&platform).await;
        for number in 0..made::TANGLED {
            let change = put_flag(&made::tangled_flag(&mut chance, number)).unwrap();
            assert!(taken(&platform, change).await);
        }
        for _ in 0..CHANGES {
            let number = chance.below(made::TANGLED);
            let change = match chance.below(8) {
                0..=4 => put_state(&made::tangled_flag(&mut chance, number)),
                5 | 6 => put_segment(&made::tangled_segment(&mut chance)),
                _ => comes_or_goes(&mut chance, number),
            };
            let was_taken = taken(&platform, change.unwrap()).await;
            (accepted, refused) =
                (accepted + u32::from(was_taken), refused + u32::from(!was_taken));
        }
        handle::resign(&platform).await.unwrap();
        ask_all(&loaded(&hands, &trust).await, &mut chance, &hands, seed);
    }
    assert!(accepted > 300 && refused > 300, "{accepted} were accepted and {refused} refused");
}

fn comes_or_goes(chance: &mut Chance, number: usize) -> Option<Change> {
    let flag = || flag(&made::name(number));
    let kind = chance.below(6);
    let segment = SegmentKey::new(&made::segment(chance.below(4))).unwrap();
    match kind {
        0 => Some(Change::DeleteFlag { org: org(), flag: flag() }),
        1 => Some(Change::DeleteSegment { org: org(), env: env("prod"), segment }),
        2 | 3 => Some(Change::RestoreFlag { org: org(), flag: flag() }),
        4 => Some(Change::RestoreSegment { org: org(), env: env("prod"), segment }),
        _ => put_flag(&made::tangled_flag(chance, number)),
    }
}

/// Chains at the depth that evaluation takes, and one past it, whichever end grows.
#[tokio::test]
async fn a_chain_may_be_as_deep_as_evaluation_goes() {
    let most = flagforge_flags::compile::MAX_PREREQUISITE_DEPTH;
    let (hands, platform, trust) = furnished().await;
    for number in 0..=most + 1 {
        let change = put_flag(&made::link(number, None)).unwrap();
        assert!(taken(&platform, change).await);
    }
    // From the middle outwards, so that both those who ask and those who are asked get deeper.
    let middle = most / 2;
    for number in (1..middle).chain((middle..=most).rev()) {
        let change = put_state(&made::link(number, Some(number - 1))).unwrap();
        assert!(taken(&platform, change).await, "link {number}");
    }
    let over = put_state(&made::link(most + 1, Some(most))).unwrap();
    assert!(!taken(&platform, over).await, "a chain of {} links", most + 1);
    // The other end: the last of the chain begins to ask.
    let below = put_state(&made::link(0, Some(most + 1))).unwrap();
    assert!(!taken(&platform, below).await, "the end of the chain asks on");
    handle::resign(&platform).await.unwrap();
    ask_all(&loaded(&hands, &trust).await, &mut Chance::new(7), &hands, 7);
}
