//! What CloudFront does with signed requests, after its developer guide ("Create a signed URL using a custom policy"), over a
//! folder of objects. It shares no code with what signs: the policy is read as JSON, the signature by the curve's own crate.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64ct::{Base64, Encoding as _};
use flagforge::origin::{Grant, Leave, Pass};
use flagforge_flags::manifest::{Digest, ScopeId};
use flagforge_flags::time::Timestamp;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use serde_json::Value as Json;

use crate::kit::now;

/// The very files that the function makes passes of; their crate would bring the AWS SDK into these tests.
#[allow(dead_code, reason = "credentials have a policy there too")]
#[path = "../../../../shared/aws/src/grants/policy.rs"]
mod policy;
#[path = "../../../../shared/aws/src/grants/pass.rs"]
mod query;

const KEY_PAIR: &str = "K2JCJMDEHXQW5F";

/// Passes of a scope, as the function gives them; here the key is not in KMS.
pub(crate) fn passes(address: &str, scope: &ScopeId, ends: Timestamp) -> Grant {
    let pass = |names: String| {
        let policy = policy::pass_policy(address, &names, ends);
        Pass { names, query: signed(&policy) }
    };
    let passes = policy::readable(scope).into_iter().map(pass).collect();
    Grant { leave: Leave::Distribution { address: address.to_owned(), passes }, expires: ends }
}

/// The query that shows this policy.
pub(crate) fn signed(policy: &str) -> String {
    let signature: DerSignature = key().sign(policy.as_bytes());
    query::pass_query(policy, signature.as_bytes(), KEY_PAIR)
}

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

/// A distribution.
#[derive(Debug)]
pub(crate) struct Edge {
    folder: PathBuf,
    address: Mutex<String>,
    trusted: VerifyingKey,
    /// Seconds that its clock is ahead.
    pub(crate) ahead: AtomicU64,
    pub(crate) served: AtomicUsize,
    /// Why requests were refused.
    pub(crate) refused: Mutex<Vec<String>>,
}

impl Edge {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            address: Mutex::default(),
            trusted: *key().verifying_key(),
            ahead: AtomicU64::new(0),
            served: AtomicUsize::new(0),
            refused: Mutex::default(),
        }
    }

    /// Where requests come to.
    pub(crate) fn stands_at(&self, address: &str) {
        *self.address.lock().unwrap() = address.to_owned();
    }

    /// Its clock.
    pub(crate) fn now(&self) -> Timestamp {
        now().plus(Duration::from_secs(self.ahead.load(Ordering::SeqCst)))
    }

    pub(crate) fn answer(&self, uri: &Uri, headers: &HeaderMap) -> Response {
        if let Err(why) = self.admit(uri) {
            self.refused.lock().unwrap().push(format!("{}: {why}", uri.path()));
            return (StatusCode::FORBIDDEN, format!("<Code>{why}</Code>")).into_response();
        }
        self.served.fetch_add(1, Ordering::SeqCst);
        // The bucket's names are no paths: dots in them lead nowhere. What is not there it does not tell from what is
        // forbidden, as who may not list is answered.
        let dotted = uri.path().split('/').any(|part| part.starts_with('.'));
        let found = fs::read(self.folder.join(uri.path().trim_start_matches('/')));
        let (false, Ok(bytes)) = (dotted, found) else {
            return (StatusCode::FORBIDDEN, "<Code>AccessDenied</Code>").into_response();
        };
        let etag = format!("\"{}\"", &Digest::of(&bytes).to_string()[..32]);
        if headers.get("if-none-match").is_some_and(|held| *held == *etag) {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        ([("etag", etag)], bytes).into_response()
    }

    fn admit(&self, uri: &Uri) -> Result<(), &'static str> {
        let mut rest = Vec::new();
        let [mut policy, mut signature, mut key_pair, mut hash] = [None; 4];
        for part in uri.query().unwrap_or_default().split('&') {
            match part.split_once('=') {
                Some(("Policy", value)) => policy = Some(value),
                Some(("Signature", value)) => signature = Some(value),
                Some(("Key-Pair-Id", value)) => key_pair = Some(value),
                Some(("Hash-Algorithm", value)) => hash = Some(value),
                _ => rest.push(part),
            }
        }
        let (Some(policy), Some(signature)) = (policy, signature) else { return Err("MissingKey") };
        if key_pair != Some(KEY_PAIR) {
            return Err("unknown key");
        }
        // Without the word it is SHA-1, which is none of ours.
        if hash != Some("SHA256") {
            return Err("another hash");
        }
        let policy = decoded(policy).ok_or("malformed policy")?;
        let signature = decoded(signature).ok_or("malformed signature")?;
        let signature = DerSignature::from_bytes(&signature).map_err(|_| "malformed signature")?;
        self.trusted.verify(&policy, &signature).map_err(|_| "wrong signature")?;
        let policy: Json = serde_json::from_slice(&policy).map_err(|_| "malformed policy")?;
        let statement = match policy["Statement"].as_array().map(Vec::as_slice) {
            Some([statement]) => statement,
            _ => return Err("not one statement"),
        };
        let ends = statement["Condition"]["DateLessThan"]["AWS:EpochTime"].as_i64();
        if self.now().as_seconds() >= ends.ok_or("no end")? {
            return Err("expired");
        }
        // Without a resource a policy is for all that there is: whoever signs must not leave it out.
        let resource = statement["Resource"].as_str().unwrap_or("*");
        let query = if rest == [""] || rest.is_empty() {
            String::new()
        } else {
            format!("?{}", rest.join("&"))
        };
        let asked = format!("{}{}{query}", self.address.lock().unwrap(), uri.path());
        matches(resource.as_bytes(), asked.as_bytes()).then_some(()).ok_or("another resource")
    }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    if text.contains(['+', '/', '=']) {
        return None;
    }
    Base64::decode_vec(&text.replace('-', "+").replace('_', "=").replace('~', "/")).ok()
}

/// `*` is for any characters, `?` for one; `/` and `?` among them.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([b'*', pattern @ ..], _) => (0..=text.len()).any(|at| matches(pattern, &text[at..])),
        ([b'?', pattern @ ..], [_, text @ ..]) => matches(pattern, text),
        ([one, pattern @ ..], [other, text @ ..]) => one == other && matches(pattern, text),
        ([], []) => true,
        _ => false,
    }
}
