//! Webhooks: what is signed, what is tried again, what is given up and what is sent again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_embedded::{Embedded, ManualTimer};
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{Outbound, OutboundError, Timer as _};
use flagforge_platform::webhooks::{RETRY_AFTER, WebhookInput};
use flagforge_platform::{Change, Outcome, Platform, Request, bootstrap, handle};
use flagforge_tests::Heard;
use serde_json::{Value as Json, json};

use crate::kit::{caller, commit, define, enable, env, org, platform, tenant};

/// An endpoint's other side: answers what it is told to, and 200 after that.
#[derive(Debug, Default)]
struct Recorder {
    answers: Mutex<VecDeque<u16>>,
    sent: Mutex<Vec<Heard>>,
}

impl Recorder {
    fn answer(&self, status: u16, times: usize) {
        self.answers.lock().unwrap().extend(std::iter::repeat_n(status, times));
    }

    fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }
}

#[async_trait]
impl Outbound for Recorder {
    async fn post(
        &self,
        _: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<u16, OutboundError> {
        let header = |wanted: &str| {
            headers.iter().find(|(name, _)| *name == wanted).map(|(_, v)| v.clone()).unwrap()
        };
        let signatures = header("webhook-signature").split(' ').map(str::to_owned).collect();
        let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
        self.sent.lock().unwrap().push(Heard { id, timestamp, signatures, body });
        Ok(self.answers.lock().unwrap().pop_front().unwrap_or(200))
    }
}

struct Stage {
    timer: ManualTimer,
    platform: Platform,
    recorder: Recorder,
    id: String,
    secret: String,
}

async fn staged(input: Json) -> Stage {
    let timer = ManualTimer::at(Timestamp::from_seconds(1_800_000_000));
    let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
    let platform = platform(&hands, hands.table.clone());
    let envs = [(env("prod"), "Prod")];
    bootstrap::home(&platform, &org(), "Home", &envs).await.unwrap();
    define(&platform, "f").await;
    let input: WebhookInput = serde_json::from_value(input).unwrap();
    let request = |change| Request::of(change, "test");
    // Where nobody would deliver, nobody is promised anything.
    let early = platform.create_webhook(&caller(), &org(), input.clone(), request).await;
    assert!(early.unwrap_err().to_string().contains("delivers none"));
    platform.deliver_webhooks();
    let (outcome, secret) =
        platform.create_webhook(&caller(), &org(), input, request).await.unwrap();
    let Outcome::Committed(committed) = outcome else { panic!("not committed") };
    let id = committed.body.unwrap()["id"].as_str().unwrap().to_owned();
    Stage { timer, platform, recorder: Recorder::default(), id, secret }
}

impl Stage {
    /// All that is sent when everything due is told.
    async fn told(&self) -> Vec<Heard> {
        while handle::webhooks(&self.platform, &self.recorder, &org()).await.unwrap() {}
        self.recorder.take()
    }
}

#[tokio::test]
async fn what_happens_after_an_endpoint_was_made_is_told_once_and_signed() {
    let stage = staged(json!({"url": "https://a.example"})).await;
    assert_eq!(stage.told().await.len(), 0, "what was before is not told");
    commit(&stage.platform, tenant("acme")).await;
    commit(&stage.platform, enable("f", true)).await;
    commit(&stage.platform, enable("f", false)).await;
    let sent = stage.told().await;
    let told: Vec<String> = sent.iter().map(|sent| sent.told().unwrap()).collect();
    assert_eq!(told, ["tenant.created acme", "flag.enabled f", "flag.killed f"]);
    assert!(sent.iter().all(|sent| sent.is_signed_with(&stage.secret).unwrap()));
    assert!(!sent[0].is_signed_with("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
    let event = sent[2].event().unwrap();
    assert_eq!((&event["specversion"], &event["id"]), (&json!("1.0"), &json!("home/prod:2:0")));
    assert_eq!(event["source"], format!("/orgs/{}/environments/prod", org()));
    assert_eq!(sent[2].id, "home/prod:2:0");
    assert_eq!(stage.told().await.len(), 0, "nothing is told twice");
}

#[tokio::test]
async fn an_event_says_why_until_that_is_erased() {
    let stage = staged(json!({"url": "https://a.example"})).await;
    let reason = Some("Ann asked for it".to_owned());
    let request = Request { reason, ..Request::of(enable("f", true), "test") };
    stage.platform.commit(&caller(), &request).await.unwrap();
    assert_eq!(stage.told().await[0].event().unwrap()["data"]["reason"], "Ann asked for it");
    let number = 1;
    commit(&stage.platform, Change::EraseReason { org: org(), env: Some(env("prod")), number })
        .await;
    assert_eq!(stage.told().await.len(), 0, "nothing happened that anybody hears of");
    stage.platform.replay_event(&caller(), &org(), &stage.id, "home/prod:1:0").await.unwrap();
    assert_eq!(stage.told().await[0].event().unwrap()["data"]["reason"], "erased");
}

#[tokio::test]
async fn filters_leave_out_what_was_not_asked_for() {
    let asked = json!({"url": "https://a.example", "types": ["flag.killed", "tenant.*"], "environments": ["prod"], "flags": ["f"]});
    let stage = staged(asked).await;
    define(&stage.platform, "g").await;
    commit(&stage.platform, tenant("acme")).await;
    for flag in ["f", "g"] {
        commit(&stage.platform, enable(flag, true)).await;
        commit(&stage.platform, enable(flag, false)).await;
    }
    let told: Vec<String> = stage.told().await.iter().map(|sent| sent.told().unwrap()).collect();
    assert_eq!(told, ["flag.killed f"]);
}

#[tokio::test]
async fn what_fails_is_tried_again_and_given_up_and_can_be_sent_again() {
    let stage = staged(json!({"url": "https://a.example"})).await;
    stage.recorder.answer(503, RETRY_AFTER.len() + 1);
    commit(&stage.platform, enable("f", true)).await;
    let first = stage.told().await;
    assert_eq!(first.len(), 1);
    for wait in RETRY_AFTER {
        stage.timer.advance(wait - Duration::from_secs(1));
        assert_eq!(stage.told().await.len(), 0, "too early by a second of {wait:?}");
        stage.timer.advance(Duration::from_secs(1));
        let again = stage.told().await;
        assert_eq!((again.len(), &again[0].id), (1, &first[0].id), "after {wait:?}");
        assert!(again[0].is_signed_with(&stage.secret).unwrap());
    }
    stage.timer.advance(Duration::from_secs(365 * 24 * 3_600));
    assert_eq!(stage.told().await.len(), 0, "it is dead");
    let dead = stage.platform.dead_letters(&caller(), &org(), &stage.id).await.unwrap();
    assert_eq!((dead.len(), dead[0].tries), (1, RETRY_AFTER.len() + 1));
    assert_eq!(dead[0].why, "it answered 503");
    let event = dead[0].event.clone();
    stage.platform.replay_event(&caller(), &org(), &stage.id, &event).await.unwrap();
    assert_eq!(stage.told().await[0].id, event);
    let dead = stage.platform.dead_letters(&caller(), &org(), &stage.id).await.unwrap();
    assert!(dead.is_empty());
    let unknown = stage.platform.replay_event(&caller(), &org(), &stage.id, "other/prod:1:0").await;
    assert!(unknown.is_err());
}

#[tokio::test]
async fn everything_since_an_instant_is_sent_again() {
    let stage = staged(json!({"url": "https://a.example", "types": ["flag.*"]})).await;
    for on in [true, false, true] {
        commit(&stage.platform, enable("f", on)).await;
        stage.timer.advance(Duration::from_secs(60));
    }
    let first: Vec<String> = stage.told().await.into_iter().map(|sent| sent.id).collect();
    assert_eq!(first.len(), 3);
    let since = Timestamp::from_seconds(1_800_000_000 + 60);
    stage.platform.replay_since(&caller(), &org(), &stage.id, since).await.unwrap();
    let again: Vec<String> = stage.told().await.into_iter().map(|sent| sent.id).collect();
    assert_eq!(again, first[1..]);
}

#[tokio::test]
async fn a_new_secret_signs_beside_the_old_for_a_day_and_neither_is_in_the_log() {
    let stage = staged(json!({"url": "https://a.example"})).await;
    let request = |change| Request::of(change, "test");
    let (_, new) =
        stage.platform.rotate_webhook(&caller(), &org(), &stage.id, request).await.unwrap();
    commit(&stage.platform, enable("f", true)).await;
    let sent = stage.told().await;
    assert!(
        sent[0].is_signed_with(&new).unwrap() && sent[0].is_signed_with(&stage.secret).unwrap()
    );
    stage.timer.advance(Duration::from_secs(24 * 3_600));
    commit(&stage.platform, enable("f", false)).await;
    let sent = stage.told().await;
    assert!(
        sent[0].is_signed_with(&new).unwrap() && !sent[0].is_signed_with(&stage.secret).unwrap()
    );
    let log = serde_json::to_string(&crate::kit::log(&stage.platform, None).await).unwrap();
    for secret in [&new, &stage.secret] {
        assert!(!log.contains(secret.trim_start_matches("whsec_")), "a secret is in the log");
    }
    let change = Change::DeleteWebhook { org: org(), id: stage.id.clone() };
    commit(&stage.platform, change).await;
    commit(&stage.platform, enable("f", true)).await;
    assert_eq!(stage.told().await.len(), 0);
    assert!(stage.timer.now() > Timestamp::from_seconds(1_800_000_000));
}
