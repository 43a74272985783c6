//! The keys of issuers, as this process knows them: asked for when needed, kept while an issuer is silent, asked for again
//! when a token names one that is not among them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flagforge_flags::time::Timestamp;
use serde::Deserialize;

use super::signature::KeySet;
use super::token::Refused;
use crate::Platform;
use crate::ports::Ask;
use crate::webhooks::check_url;

/// How long keys are used before they are asked for again: a key that an issuer withdrew signs no longer than this.
pub const KEYS_FRESH: Duration = Duration::from_secs(600);
/// How long keys are used while the issuer does not answer. An outage of a day locks nobody out; after that a withdrawn
/// key could be among them for too long.
pub const KEYS_KEPT: Duration = Duration::from_secs(24 * 3_600);
/// How often an issuer is asked at most because a token names a key that is not known, and how often one that failed is
/// asked again. Tokens cost nothing to make up.
pub const ASK_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How long one of an issuer's documents may take, of the seconds that a person waits.
const WITHIN: Duration = Duration::from_secs(5);
/// Bytes of a discovery document; large ones have 10 KB.
const MAX_DISCOVERY_BYTES: usize = 64 * 1_024;
/// Bytes of a key set: a hundred RSA keys with their certificates.
const MAX_KEY_SET_BYTES: usize = 512 * 1_024;
/// Issuers whose keys one process keeps, 50 KB each; when there are more it forgets all and asks again.
const MAX_KNOWN: usize = 1_000;

/// What OpenID Connect Discovery 1.0 says an issuer says of itself, as little as is needed.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// What is known of one issuer.
#[derive(Debug, Clone, Default)]
struct Held {
    keys: Option<Arc<KeySet>>,
    /// When the keys were had.
    had: Option<Timestamp>,
    /// When it was asked last, with or without an answer.
    asked: Option<Timestamp>,
    /// When it was asked last because a key was missing.
    missed: Option<Timestamp>,
}

fn within(since: Option<Timestamp>, bound: Duration, now: Timestamp) -> bool {
    since.is_some_and(|since| now.since(since) < bound)
}

impl Held {
    /// The keys, if they may still be used.
    fn usable(&self, now: Timestamp) -> Option<&Arc<KeySet>> {
        self.keys.as_ref().filter(|_| within(self.had, KEYS_KEPT, now))
    }

    /// The keys, if there is no reason to ask for them.
    fn settled(&self, id: Option<&str>, now: Timestamp) -> Option<Arc<KeySet>> {
        let keys = self.usable(now)?;
        let fresh = within(self.had, KEYS_FRESH, now) || within(self.asked, ASK_AGAIN_AFTER, now);
        let there = keys.has(id) || within(self.missed, ASK_AGAIN_AFTER, now);
        (fresh && there).then(|| keys.clone())
    }
}

#[derive(Debug, Default)]
struct Slot {
    held: Mutex<Held>,
    /// One asks, and who needs the answer waits.
    turn: tokio::sync::Mutex<()>,
}

impl Slot {
    fn held(&self) -> Held {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The issuers whose keys this process has, by address. Keys are public, so organizations share them.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<String, Arc<Slot>>>);

impl Known {
    fn slot(&self, url: &str) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_KNOWN && !slots.contains_key(url) {
            slots.clear();
        }
        slots.entry(url.to_owned()).or_default().clone()
    }
}

impl Platform {
    /// The keys of an issuer, for a token that names this one of them.
    pub(super) async fn issuer_keys(
        &self,
        url: &str,
        id: Option<&str>,
    ) -> Result<Arc<KeySet>, Refused> {
        let slot = self.known_issuers().slot(url);
        if let Some(keys) = slot.held().settled(id, self.timer().now()) {
            return Ok(keys);
        }
        let turn = match slot.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                let held = slot.held();
                // Somebody is asking. Who can go on with what there is does.
                if let Some(keys) = held.usable(self.timer().now()).filter(|keys| keys.has(id)) {
                    return Ok(keys.clone());
                }
                slot.turn.lock().await
            }
        };
        let now = self.timer().now();
        let held = slot.held();
        if let Some(keys) = held.settled(id, now) {
            return Ok(keys);
        }
        let missing = held.usable(now).is_some_and(|keys| !keys.has(id));
        if !missing && within(held.asked, ASK_AGAIN_AFTER, now) {
            return Err(Refused::Unreachable("it did not answer a moment ago".to_owned()));
        }
        slot.hold(|held| {
            held.asked = Some(now);
            held.missed = if missing { Some(now) } else { held.missed };
        });
        let asked = self.ask_issuer(url).await;
        drop(turn);
        match asked {
            Ok(keys) => {
                let keys = Arc::new(keys);
                slot.hold(|held| (held.keys, held.had) = (Some(keys.clone()), Some(now)));
                Ok(keys)
            }
            Err(why) => {
                tracing::warn!(issuer = url, why, "an issuer's keys were not had");
                held.usable(now).cloned().ok_or(Refused::Unreachable(why))
            }
        }
    }

    /// Asks an issuer for its keys, by way of what it says of itself.
    pub(super) async fn ask_issuer(&self, url: &str) -> Result<KeySet, String> {
        let about = format!("{}/.well-known/openid-configuration", url.trim_end_matches('/'));
        let about = self.document(&about, MAX_DISCOVERY_BYTES).await?;
        let about: Discovery = serde_json::from_slice(&about)
            .map_err(|error| format!("its discovery document is none: {error}"))?;
        if about.issuer != url {
            return Err(format!("it calls itself `{}`", about.issuer));
        }
        check_url(&about.jwks_uri).map_err(|error| format!("the address of its keys: {error}"))?;
        KeySet::parse(&self.document(&about.jwks_uri, MAX_KEY_SET_BYTES).await?)
    }

    async fn document(&self, url: &str, max_bytes: usize) -> Result<bytes::Bytes, String> {
        let fetch = self.fetch().ok_or("this installation asks nobody")?;
        let ask = Ask { url, bearer: None, within: WITHIN, max_bytes };
        match fetch.get(&ask).await {
            Ok(got) if got.status == 200 => Ok(got.body),
            Ok(got) => Err(format!("{url} answered {}", got.status)),
            Err(error) => Err(format!("{url}: {error}")),
        }
    }
}
