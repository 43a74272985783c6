//! Announcements by SNS over HTTPS: what is believed, and what comes of it.

mod signer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::http::StatusCode;
use flagforge_relay::{Sns, Url, Web, WebError, app};
use serde_json::{Value as Json, json};
use tokio::time::{sleep, timeout};

use crate::kit::Publisher;
use crate::world::{Reply, call, publish, relay};
use signer::{CERTIFICATE, Signer, TOPIC};

/// What nothing takes that does as it should.
const LONG: Duration = Duration::from_secs(20);
const CONFIRM: &str = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription\
    &TopicArn=arn:aws:sns:eu-central-1:111122223333:flagforge-roots&Token=2336412f37";

/// AWS, as far as it is asked.
#[derive(Debug, Default)]
struct Aws {
    certificates: Mutex<HashMap<String, Vec<u8>>>,
    /// Every address that was asked for a certificate.
    asked: Mutex<Vec<String>>,
    confirmed: Mutex<Vec<String>>,
}

#[async_trait]
impl Web for Aws {
    async fn certificate(&self, address: &Url) -> Result<Vec<u8>, WebError> {
        self.asked.lock().unwrap().push(address.to_string());
        let held = self.certificates.lock().unwrap().get(address.as_str()).cloned();
        held.ok_or_else(|| WebError("SNS answered 404".into()))
    }

    async fn confirm(&self, address: &Url) -> Result<(), WebError> {
        self.confirmed.lock().unwrap().push(address.to_string());
        Ok(())
    }
}

struct Told {
    aws: Arc<Aws>,
    signer: Signer,
    publisher: Publisher,
    server: String,
    app: Router,
    _folder: tempfile::TempDir,
}

impl Told {
    fn new() -> Self {
        let (aws, signer) = (Arc::new(Aws::default()), Signer::new(0));
        aws.certificates.lock().unwrap().insert(CERTIFICATE.into(), signer.certificate(2020, 2100));
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = Publisher::new(folder.path());
        let server = publisher.key(flagforge_flags::KeyKind::Server, "k1", |_| {});
        publish(&mut publisher, "dark");
        let sns = Sns::new(vec![TOPIC.parse().unwrap()], Arc::clone(&aws) as _);
        let app = app(relay(&publisher, |config| config.sns = Some(sns)));
        Self { aws, signer, publisher, server, app, _folder: folder }
    }

    async fn post(&self, body: &str) -> Reply {
        call(&self.app, "POST", "/notify/sns", &[("x-amz-sns-topic-arn", TOPIC)], body.to_owned())
            .await
    }

    /// Posts a message; the status, and what was said.
    async fn tell(&self, message: &Json) -> (StatusCode, String) {
        let reply = self.post(&message.to_string()).await;
        (reply.status, String::from_utf8(reply.bytes).unwrap())
    }

    async fn refused(&self, message: &Json, why: &str) {
        let (status, said) = self.tell(message).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
        assert!(said.contains(why), "{why}: {said}");
    }

    async fn theme(&self) -> Json {
        let path = "/ofrep/v1/evaluate/flags/theme";
        let headers = [
            ("x-api-key", self.server.as_str()),
            ("flagforge-environment", "prod"),
            ("flagforge-tenant", "acme"),
        ];
        let reply = call(&self.app, "POST", path, &headers, r#"{"context": {}}"#).await;
        reply.json()["value"].clone()
    }

    async fn becomes(&self, theme: &str) {
        let seen = async {
            while self.theme().await != theme {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LONG, seen).await.unwrap();
    }

    fn asked(&self) -> usize {
        self.aws.asked.lock().unwrap().len()
    }
}

#[tokio::test]
async fn a_message_that_is_signed_rings_whichever_digest_and_again_does_no_harm() {
    let mut told = Told::new();
    assert_eq!(told.theme().await, "dark");
    let mut last = Json::Null;
    for (version, theme) in [("1", "blue"), ("2", "green")] {
        publish(&mut told.publisher, theme);
        sleep(Duration::from_millis(50)).await;
        assert_ne!(told.theme().await, theme, "it polls once an hour");
        let message = told.signer.message(version, |_| {});
        assert_eq!(told.tell(&message).await, (StatusCode::NO_CONTENT, String::new()));
        told.becomes(theme).await;
        last = message;
    }
    for _ in 0..3 {
        assert_eq!(told.tell(&last).await.0, StatusCode::NO_CONTENT, "once more");
        assert_eq!(told.theme().await, "green");
    }
    let with_subject = told.signer.message("2", |message| message["Subject"] = "roots".into());
    assert_eq!(told.tell(&with_subject).await.0, StatusCode::NO_CONTENT);
    assert_eq!(told.asked(), 1, "the certificate is remembered");
}

#[tokio::test]
async fn what_is_forged_is_refused() {
    let told = Told::new();
    let another = Signer::new(1);
    for version in ["1", "2"] {
        let others = "its signature is another's";
        told.refused(&another.message(version, |_| {}), others).await;
        let good = told.signer.message(version, |_| {});
        for (field, value) in [
            ("Message", r#"{"notice":"published","org":"demo","env":"dev"}"#),
            ("MessageId", "another"),
            ("Subject", "one that was not signed"),
            ("SignatureVersion", if version == "1" { "2" } else { "1" }),
            ("Type", "UnsubscribeConfirmation"),
            ("Signature", ""),
        ] {
            let mut forged = good.clone();
            forged[field] = value.into();
            told.refused(&forged, others).await;
        }
        let mut forged = good;
        forged["Signature"] = "not base64!".into();
        told.refused(&forged, "Signature is not base64").await;
    }
    let mut other = told.signer.message("2", |_| {});
    other["SignatureVersion"] = "3".into();
    told.refused(&other, "not a message of SNS").await;
}

#[tokio::test]
async fn nobody_is_asked_for_what_anybody_can_see_to_be_wrong() {
    let told = Told::new();
    let with = |edit: &dyn Fn(&mut Json)| told.signer.message("2", |message| edit(message));
    let other =
        |message: &mut Json| message["TopicArn"] = TOPIC.replace("flagforge", "other").into();
    told.refused(&with(&other), "no topic that is believed").await;
    for address in [
        CERTIFICATE.replace("https", "http"),
        CERTIFICATE.replace("amazonaws.com", "amazonaws.com.evil.example"),
        CERTIFICATE.replace("eu-central-1", "us-east-1"),
        "https://169.254.169.254/SimpleNotificationService-1.pem".to_owned(),
    ] {
        let message = with(&|message| message["SigningCertURL"] = address.clone().into());
        told.refused(&message, "SigningCertURL is no address of the topic's SNS").await;
    }
    let old = with(&|message| message["Timestamp"] = "2026-01-01T00:00:00.000Z".into());
    told.refused(&old, "Timestamp is over an hour off").await;
    let raw = json!({"notice": "published", "org": "demo", "env": "prod"});
    told.refused(&raw, "delivery is raw").await;
    assert_eq!(told.asked(), 0);
}

#[tokio::test]
async fn a_certificate_counts_in_its_time_only() {
    for (from, until) in [(2020, 2021), (2090, 2100)] {
        let told = Told::new();
        let pem = told.signer.certificate(from, until);
        told.aws.certificates.lock().unwrap().insert(CERTIFICATE.into(), pem);
        let message = told.signer.message("2", |_| {});
        told.refused(&message, "its certificate is not valid now").await;
    }
    let told = Told::new();
    told.aws.certificates.lock().unwrap().insert(CERTIFICATE.into(), b"no certificate".to_vec());
    let (status, said) = told.tell(&told.signer.message("2", |_| {})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{said}");
}

#[tokio::test]
async fn a_subscription_is_confirmed_where_it_was_asked_for_and_nowhere_else() {
    let told = Told::new();
    let message = |kind: &str, address: &str| {
        told.signer.message("1", |message| {
            message["Type"] = kind.into();
            message["Token"] = "2336412f37".into();
            message["SubscribeURL"] = address.into();
            message["Message"] = "You have chosen to subscribe to the topic".into();
        })
    };
    let confirmed = || told.aws.confirmed.lock().unwrap().clone();
    let elsewhere = CONFIRM.replace("sns.eu-central-1.amazonaws.com", "evil.example");
    told.refused(&message("SubscriptionConfirmation", &elsewhere), "SubscribeURL").await;
    let other = CONFIRM.replace("flagforge-roots", "other");
    told.refused(&message("SubscriptionConfirmation", &other), "SubscribeURL").await;
    let ended = message("UnsubscribeConfirmation", CONFIRM);
    assert_eq!(told.tell(&ended).await.0, StatusCode::NO_CONTENT);
    let mut forged = message("SubscriptionConfirmation", CONFIRM);
    forged["Token"] = "another".into();
    told.refused(&forged, "its signature is another's").await;
    assert_eq!(confirmed(), Vec::<String>::new());
    let good = message("SubscriptionConfirmation", CONFIRM);
    assert_eq!(told.tell(&good).await.0, StatusCode::NO_CONTENT);
    assert_eq!(confirmed(), [CONFIRM]);
}

#[tokio::test]
async fn names_of_certificates_that_are_invented_ask_aws_a_few_times_only() {
    let told = Told::new();
    let good = told.signer.message("2", |_| {});
    assert_eq!(told.tell(&good).await.0, StatusCode::NO_CONTENT);
    for number in 0..50 {
        let mut message = good.clone();
        message["SigningCertURL"] = CERTIFICATE.replace("9c64", &format!("{number:04}")).into();
        assert_eq!(told.tell(&message).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(told.asked() <= 8, "five at once and one a second: {}", told.asked());
    assert_eq!(told.tell(&good).await.0, StatusCode::NO_CONTENT, "who is known waits for nobody");
}

#[tokio::test]
async fn bodies_and_rates_are_bounded_and_who_believes_no_topic_has_no_such_address() {
    let told = Told::new();
    let limit = 256 * 1024;
    let mut padded = told.signer.message("2", |_| {});
    let missing = limit - padded.to_string().len();
    let address = padded["UnsubscribeURL"].as_str().unwrap().to_owned();
    padded["UnsubscribeURL"] = format!("{address}{}", "x".repeat(missing)).into();
    assert_eq!(padded.to_string().len(), limit);
    assert_eq!(told.tell(&padded).await.0, StatusCode::NO_CONTENT);
    assert_eq!(told.post(&format!("{padded} ")).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let mut statuses = Vec::new();
    for _ in 0..1_000 {
        statuses.push(told.post("{}").await.status);
    }
    let refused =
        statuses.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count();
    assert!(
        refused > 0 && statuses[..490].iter().all(|s| *s == StatusCode::BAD_REQUEST),
        "{refused}"
    );

    let without = app(relay(&told.publisher, |_| {}));
    let reply = call(&without, "POST", "/notify/sns", &[], "{}").await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
}
