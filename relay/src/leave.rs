//! Leave to listen, in an address: `EventSource` sends no headers, so whoever asked for all flags is given an
//! address that says whose changes it tells, for how long, and that somebody with the key has asked for it.
//!
//! It is signed with the digest of the key's secret, which every relay of the environment holds: each of them takes
//! what another one gave, none has to be told a secret, and a key that is revoked or rotated takes its leaves along.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use flagforge_flags::KeyKind;
use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{Digest, KeyWire};
use flagforge_flags::time::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use xxhash_rust::xxh3::xxh3_64;

use crate::asker::bound_tenant;
use crate::clock;
use crate::env_id::EnvId;
use crate::environment::Environment;
use crate::problem::Refused;
use crate::relay::{NoEnvironment, Relay};
use crate::seats::Seat;
use crate::shelf::Shelf;

/// A leave is good for at least this long and for twice as long at most. Within one such time the same asker is given
/// the same one, so that a client which asks again keeps its stream.
const GOOD_FOR: Duration = Duration::from_secs(15 * 60);
/// What clocks of relays may differ by.
const SKEW: Duration = Duration::from_secs(60);
/// Bytes of the signature that travel: nobody guesses 128 bits.
const SIGNATURE_BYTES: usize = 16;
/// What is signed begins so, and nothing else that such a digest signs.
const PURPOSE: &[u8] = b"flagforge ofrep stream\n";

/// Whose leave it is, and until when.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claims(OrgKey, EnvKey, TenantKey, String, i64);

/// A leave that is signed when it travels, which most answers let none. `Debug` hides it.
#[derive(Clone)]
pub(crate) struct Leave {
    claims: Claims,
    secret: Digest,
}

impl fmt::Debug for Leave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leave(until {})", self.expires())
    }
}

impl Leave {
    /// Leave for a tenant, by a key whose secret has this digest.
    pub(crate) fn new(
        id: &EnvId,
        tenant: &TenantKey,
        key: &str,
        secret: Digest,
        now: Timestamp,
    ) -> Self {
        let mut claims = Claims(id.org.clone(), id.env.clone(), tenant.clone(), key.to_owned(), 0);
        // Not all of them end at once.
        let whole = i64::try_from(GOOD_FOR.as_secs()).unwrap_or(i64::MAX);
        let early = xxh3_64(claims.json().as_bytes()) % GOOD_FOR.as_secs();
        let early = i64::try_from(early).unwrap_or_default();
        claims.4 = ((now.as_seconds() + early).div_euclid(whole) + 2) * whole - early;
        Self { claims, secret }
    }

    /// For an address: of characters that need no escaping.
    pub(crate) fn expose(&self) -> String {
        let json = self.claims.json();
        let signature = signature(&self.secret, &json).map(|mac| mac.finalize().into_bytes());
        let signature =
            signature.map(|whole| Base64UrlUnpadded::encode_string(&whole[..SIGNATURE_BYTES]));
        let json = Base64UrlUnpadded::encode_string(json.as_bytes());
        format!("{json}.{}", signature.unwrap_or_default())
    }

    pub(crate) const fn expires(&self) -> Timestamp {
        Timestamp::from_seconds(self.claims.4)
    }
}

/// Somebody who listens with leave.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) environment: Arc<Environment>,
    pub(crate) tenant: TenantKey,
    key: String,
    json: String,
    signature: Vec<u8>,
}

impl Listener {
    /// A place among the streams of its key.
    pub(crate) fn seat(&self, relay: &Relay) -> Result<Seat, Refused> {
        relay.streams.take(&self.environment.id, &self.key)
    }

    /// Whoever shows a leave that is good. Whatever is wrong with one is the same refusal.
    pub(crate) async fn of(relay: &Relay, text: &str) -> Result<Self, Refused> {
        let (json, signature) = opened(text).ok_or(Refused::Unauthenticated)?;
        let claims: Claims = serde_json::from_str(&json).map_err(|_| Refused::Unauthenticated)?;
        let (now, Claims(org, env, tenant, key, expires)) = (clock::now(), claims);
        let latest = now.plus(2 * GOOD_FOR).plus(SKEW);
        if !(now..=latest).contains(&Timestamp::from_seconds(expires)) {
            return Err(Refused::Unauthenticated);
        }
        let environment = match relay.environment(EnvId { org, env }).await {
            Ok(environment) => environment,
            Err(NoEnvironment::Unknown) => return Err(Refused::Unauthenticated),
            Err(NoEnvironment::Unavailable) => {
                return Err(Refused::Unavailable("this environment cannot be loaded just now"));
            }
        };
        let listener = Self { environment, tenant, key, json, signature };
        listener.stands(&listener.environment.shelf(), now)?;
        relay.rates.key(&listener.environment.id, &listener.key)?;
        relay.rates.tenant(&listener.environment.id, &listener.tenant)?;
        Ok(listener)
    }

    /// Holds the leave against the keys of now, and answers when its key ends. Whoever was let in is held against the
    /// keys to come, too; that the leave itself is over by then is no reason to end a stream.
    pub(crate) fn stands(
        &self,
        shelf: &Shelf,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Refused> {
        let known = shelf.keys.snapshot().key(&self.key).and_then(Result::ok);
        let known = known.filter(|known| known.kind != KeyKind::Management);
        let known = known.filter(|known| known.expires.is_none_or(|expires| now < expires));
        let known = known.filter(|known| self.is_signed_with(known, now));
        let known = known.ok_or(Refused::Unauthenticated)?;
        let bound = bound_tenant(&self.environment, known)?;
        if bound.is_some_and(|bound| bound != self.tenant) {
            return Err(Refused::Unauthenticated);
        }
        Ok(known.expires)
    }

    fn is_signed_with(&self, known: &KeyWire, now: Timestamp) -> bool {
        let previous = known.previous.as_ref().filter(|previous| now < previous.until);
        let previous = previous.map(|previous| &previous.secret_sha256);
        [Some(&known.secret_sha256), previous].into_iter().flatten().any(|secret| {
            let mac = signature(secret, &self.json);
            mac.is_some_and(|mac| mac.verify_truncated_left(&self.signature).is_ok())
        })
    }
}

impl Claims {
    fn json(&self) -> String {
        // Texts and a number always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn opened(text: &str) -> Option<(String, Vec<u8>)> {
    let (json, signature) = text.split_once('.')?;
    let json = String::from_utf8(Base64UrlUnpadded::decode_vec(json).ok()?).ok()?;
    let signature = Base64UrlUnpadded::decode_vec(signature).ok()?;
    (signature.len() == SIGNATURE_BYTES).then_some((json, signature))
}

/// `None` never happens: HMAC takes keys of every length.
fn signature(secret: &Digest, json: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(PURPOSE);
    mac.update(json.as_bytes());
    Some(mac)
}
