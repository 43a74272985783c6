//! People who sign in with an issuer: a real one, whose tokens are held to the letter.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flagforge_embedded::{Embedded, ManualTimer};
use flagforge_flags::time::Timestamp;
use flagforge_platform::people::{ASK_AGAIN_AFTER, KEYS_FRESH, KEYS_KEPT, LEEWAY_SECONDS};
use flagforge_platform::ports::{Table, Timer as _};
use flagforge_platform::{HttpOutbound, Platform, bootstrap};
use flagforge_tests::{Answer, Api};
use reqwest::Method;
use serde_json::{Value as Json, json};
use std::sync::Arc;

use crate::issuer::Issuer;
use crate::kit::{env, org, platform};

pub(crate) const HOME: &str = "/v1/orgs/home";
const SECOND: Duration = Duration::from_secs(1);

/// An organization `home` that believes a real issuer.
pub(crate) struct Office {
    pub(crate) issuer: Issuer,
    pub(crate) platform: Platform,
    /// To look at from outside.
    pub(crate) table: Arc<dyn Table>,
    pub(crate) timer: ManualTimer,
    pub(crate) admin: Api,
}

impl Office {
    pub(crate) async fn open() -> Option<Self> {
        let issuer = Issuer::start().unwrap()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let timer = ManualTimer::at(Timestamp::from_millis(now.as_millis().try_into().unwrap()));
        let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
        let platform = platform(&hands, hands.table.clone());
        platform.fetch_with(Arc::new(HttpOutbound::with_loopback()));
        let envs = [(env("dev"), "Dev"), (env("prod"), "Prod")];
        let admin = bootstrap::home(&platform, &org(), "Home", &envs).await.unwrap().unwrap();
        let base = served(platform.clone()).await;
        let admin = Api::new(&base, Some(&admin.key.expose()));
        let table = hands.table.clone();
        let office = Self { issuer, platform, table, timer, admin };
        office.believe(&json!({})).await.expect(201).unwrap();
        Some(office)
    }

    /// Believes the issuer, but for what is said otherwise.
    pub(crate) async fn believe(&self, but: &Json) -> Answer {
        let mut issuer = json!({
            "url": self.issuer.url,
            "audiences": ["flagforge", "flagforge-ps", "flagforge-es", "urn:flagforge:api"],
            "roles": [
                {"claim": "groups", "value": "flag-admins", "role": "admin"},
                {"claim": "/realm/roles", "value": "dev-lead", "role": "maintainer", "envs": ["dev"]},
                {"claim": "client_id", "value": "flagforge", "role": "reader"},
            ],
        });
        for (name, value) in but.as_object().unwrap() {
            issuer[name] = value.clone();
        }
        let held = [("if-match", "*")];
        let place = &at("issuers/company");
        let stands = self.admin.get(place).await.unwrap().status == 200;
        let held = if stands { &held[..] } else { &[] };
        self.admin.call(Method::PUT, place, held, Some(issuer.to_string())).await.unwrap()
    }

    pub(crate) fn with(&self, token: &str) -> Api {
        self.admin.with_key(Some(token))
    }

    pub(crate) async fn status(&self, token: &str) -> u16 {
        self.with(token).get(HOME).await.unwrap().status.as_u16()
    }

    async fn ann(&self) -> String {
        self.issuer.token("ann", "flagforge").await
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.timer.advance(by);
    }
}

pub(crate) async fn served(platform: Platform) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, flagforge_platform::app(platform)).await });
    base
}

/// A place in the organization.
pub(crate) fn at(rest: &str) -> String {
    format!("{HOME}/{rest}")
}

/// A claim that is a time, of a token that nobody verifies here.
fn time_of(token: &str, claim: &str) -> Timestamp {
    Timestamp::from_seconds(claims(token)[claim].as_i64().unwrap())
}

fn claims(token: &str) -> Json {
    serde_json::from_slice(&from_base64url(token.split('.').nth(1).unwrap())).unwrap()
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn from_base64url(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        bits = (bits << 6) | LETTERS.iter().position(|l| *l == letter).unwrap() as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

fn to_base64url(bytes: &[u8]) -> String {
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let word = part.iter().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
        let word = word << (8 * (3 - part.len()));
        text.extend(
            (0..=part.len()).map(|at| char::from(LETTERS[(word >> (18 - 6 * at)) as usize & 63])),
        );
    }
    text
}

/// The token with another header.
fn with_header(token: &str, header: &Json) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", to_base64url(header.to_string().as_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_may_what_their_claims_say_and_the_log_names_them() {
    let Some(office) = Office::open().await else { return };
    let ann = office.with(&office.ann().await);
    ann.put(&at("tenants/acme"), &json!({})).await.unwrap().expect(201).unwrap();
    let flag = json!({"class": "release", "type": "boolean"});
    ann.put(&at("flags/f"), &flag).await.unwrap().expect(201).unwrap();
    let log = ann.get(&at("log?limit=500")).await.unwrap().expect(200).unwrap();
    let by = &log.body["items"].as_array().unwrap().last().unwrap()["by"];
    assert_eq!((&by["actor"], &by["subject"]), (&json!("person"), &json!("ann")), "{by}");
    assert_eq!(by["issuer"], json!(office.issuer.url));
    let asked = format!("{HOME}/audit?actor={}", by["id"].as_str().unwrap());
    let found = ann.get(&asked).await.unwrap().expect(200).unwrap();
    assert_eq!(found.body["items"].as_array().unwrap().len(), 2);

    let bob = office.with(&office.issuer.token("bob", "flagforge-ps").await);
    let enable = |env: &str| format!("{HOME}/environments/{env}/flags/f/enable");
    bob.post(&enable("dev"), &Json::Null).await.unwrap().expect(201).unwrap();
    bob.post(&enable("prod"), &Json::Null).await.unwrap().expect(404).unwrap();
    bob.get(&at("issuers")).await.unwrap().expect(403).unwrap();
    let es = office.issuer.token("ann", "flagforge-es").await;
    let machine = office.issuer.machine_token().await;
    assert_eq!((office.status(&es).await, office.status(&machine).await), (200, 200));
    // Whom nothing is said of finds what everybody finds who is unknown, here and anywhere.
    let carl = office.with(&office.issuer.token("carl", "flagforge").await);
    let here = carl.get(HOME).await.unwrap().expect(401).unwrap();
    let nowhere = carl.get("/v1/orgs/none").await.unwrap().expect(401).unwrap();
    let nobody = office.admin.with_key(None).get(HOME).await.unwrap();
    assert_eq!((&here.body, &here.body), (&nowhere.body, &nobody.body));
    // What an issuer says holds for the organization that believes it.
    assert_eq!(ann.get("/v1/orgs/none").await.unwrap().body, nowhere.body);
    assert_eq!(ann.get("/v1/orgs").await.unwrap().body, nowhere.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_counts_for_its_audience_its_algorithms_and_its_time() {
    let Some(office) = Office::open().await else { return };
    let ann = office.ann().await;
    assert_eq!(office.status(&ann).await, 200);
    assert_eq!(office.status(&office.issuer.token("ann", "elsewhere").await).await, 401);
    let id = claims(&ann);
    assert_eq!(id["aud"], "flagforge");
    let header = |alg: &str| with_header(&ann, &json!({"alg": alg, "typ": "JWT"}));
    for alg in ["none", "HS256", "ES256", "RS384", "PS256", "rs256"] {
        assert_eq!(office.status(&header(alg)).await, 401, "{alg}");
    }
    let unsigned = format!("{}.", header("none").rsplit_once('.').unwrap().0);
    let changed =
        ann.replacen(ann.split('.').nth(1).unwrap(), &to_base64url(id.to_string().as_bytes()), 1);
    let cut = &ann[..ann.len() - 8];
    for forged in
        [unsigned.as_str(), &changed, cut, "eyJ", "eyJ.eyJ.", &format!("eyJ{}", "x".repeat(10_240))]
    {
        assert_eq!(office.status(forged).await, 401, "{forged}");
    }
    office.believe(&json!({"algorithms": ["ES256"]})).await.expect(200).unwrap();
    assert_eq!(office.status(&ann).await, 401);
    office.believe(&json!({})).await.expect(200).unwrap();

    // The last instant that counts, and the first that does not.
    let leeway = Duration::from_secs(LEEWAY_SECONDS.into());
    let millisecond = Duration::from_millis(1);
    let end = time_of(&ann, "exp").plus(leeway);
    office.timer.set(Timestamp::from_millis(end.as_millis() - 1));
    assert_eq!(office.status(&ann).await, 200);
    office.advance(millisecond);
    assert_eq!(office.status(&ann).await, 401);
    let early = Timestamp::from_millis(time_of(&ann, "iat").as_millis() - 60_000);
    office.timer.set(early);
    assert_eq!(office.status(&ann).await, 200);
    office.timer.set(Timestamp::from_millis(early.as_millis() - 1));
    assert_eq!(office.status(&ann).await, 401);
    office.believe(&json!({"leewaySeconds": 300})).await.expect(200).unwrap();
    assert_eq!(office.status(&ann).await, 200);
    office.believe(&json!({"leewaySeconds": 301})).await.expect(400).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_rotated_kept_through_an_outage_and_not_asked_for_at_will() {
    let Some(office) = Office::open().await else { return };
    let before = office.ann().await;
    assert_eq!(office.status(&before).await, 200);
    let asked = office.issuer.times_asked().await;
    assert_eq!(office.status(&before).await, 200);
    assert_eq!(office.issuer.times_asked().await, asked, "keys are kept");
    // A key that is not known is asked for once, at once, and then not again for a while.
    office.issuer.rotate().await;
    let after = office.ann().await;
    assert_eq!(office.status(&after).await, 200);
    assert_eq!(office.status(&before).await, 401);
    assert_eq!(office.issuer.times_asked().await, asked + 1);
    for number in 0..20 {
        let made_up = json!({"alg": "RS256", "typ": "JWT", "kid": format!("k{number}")});
        assert_eq!(office.status(&with_header(&after, &made_up)).await, 401);
    }
    assert_eq!(office.issuer.times_asked().await, asked + 1);
    office.issuer.rotate().await;
    let third = office.ann().await;
    assert_eq!(office.status(&third).await, 401);
    office.advance(ASK_AGAIN_AFTER);
    assert_eq!(office.status(&third).await, 200);

    // Silence: the last keys count for their time, and no longer.
    office.issuer.be_silent(true).await;
    let had = office.timer.now();
    office.advance(KEYS_FRESH);
    assert_eq!(office.status(&third).await, 200);
    office.timer.set(had.plus(KEYS_KEPT - SECOND));
    assert_eq!(office.status(&third).await, 200);
    office.timer.set(had.plus(KEYS_KEPT));
    assert_eq!(office.status(&third).await, 401);
    office.issuer.be_silent(false).await;
    office.advance(ASK_AGAIN_AFTER);
    assert_eq!(office.status(&third).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_is_asked_before_it_is_believed_and_gives_no_more_than_who_names_it() {
    let Some(office) = Office::open().await else { return };
    let field = |answer: Answer| answer.expect(400).unwrap().body["field"].clone();
    let other = format!("{}/", office.issuer.url);
    for url in ["http://127.0.0.1:1", "http://10.0.0.1", "https://169.254.169.254", &other] {
        assert_eq!(field(office.believe(&json!({"url": url})).await), "url", "{url}");
    }
    assert_eq!(field(office.believe(&json!({"audiences": []})).await), "audiences");
    let role = |role: Json| json!({"roles": [role]});
    let unknown = role(json!({"claim": "groups", "value": "x", "role": "nobody"}));
    assert_eq!(field(office.believe(&unknown).await), "roles[0].role");
    let unknown =
        role(json!({"claim": "groups", "value": "x", "role": "reader", "envs": ["moon"]}));
    assert_eq!(field(office.believe(&unknown).await), "roles[0].envs");

    // Who may set settings and no more makes nobody an admin.
    let role = json!({"permissions": ["manage-settings"]});
    office.admin.put(&at("roles/setter"), &role).await.unwrap().expect(201).unwrap();
    let key = json!({"kind": "mgmt", "role": "setter"});
    let made = office.admin.post(&at("keys"), &key).await.unwrap().expect(201).unwrap();
    let setter = office.with(made.body["key"].as_str().unwrap());
    let issuer = |role: &str| {
        json!({"url": office.issuer.url, "audiences": ["elsewhere"],
            "roles": [{"claim": "sub", "value": "carl", "role": role}]})
    };
    let place = &at("issuers/own");
    setter.put(place, &issuer("admin")).await.unwrap().expect(403).unwrap();
    setter.delete(&at("issuers/company")).await.unwrap().expect(403).unwrap();
    setter.put(place, &issuer("setter")).await.unwrap().expect(201).unwrap();
    let carl = office.issuer.token("carl", "elsewhere").await;
    assert_eq!(office.status(&carl).await, 200);
    let used = office.admin.delete(&at("roles/setter")).await.unwrap();
    assert_eq!(used.expect(409).unwrap().problem(), "in-use");
    setter.delete(place).await.unwrap().expect(204).unwrap();
    assert_eq!(office.status(&carl).await, 401);
}
