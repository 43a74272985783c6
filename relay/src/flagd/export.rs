//! The flags of an environment as flagd's definitions, for one tenant. A definition has no rules: flagd's providers hash splits
//! each in its own way, and compare otherwise than our conditions do. So those flags are exported that answer everybody of
//! the tenant alike, with that answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flagforge::loader::Manifest;
use flagforge_flags::keys::TenantKey;
use flagforge_flags::time::Timestamp;
use flagforge_flags::{Alike, Answer, Flag, Reason, Ticks, Value};
use serde::Serialize;
use serde_json::Value as Json;
use tracing::debug;
use xxhash_rust::xxh3::xxh3_128;

use crate::sheet::Seen;
use crate::shelf::Shelf;

/// Texts that are kept of one configuration, for the tenants that asked last: 100 KB each at 1,000 flags. Streams of one
/// tenant wake at the same time and share one.
const KEPT: usize = 32;
/// How often answers are looked at that move with time and not in steps.
const TICKS: Ticks = Ticks { every: Duration::from_secs(1), late: Duration::ZERO };
/// Such ticks where nothing moves so: none that matters.
const NO_TICKS: Ticks = Ticks { every: Duration::from_secs(1 << 32), late: Duration::ZERO };

/// The flags as one text.
#[derive(Debug)]
pub(super) struct Export {
    pub(super) text: String,
    /// Differs where the text does.
    pub(super) digest: u128,
    pub(super) valid: Valid,
}

/// How long an export stands, while the configuration does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Valid {
    from: Timestamp,
    pub(super) until: Option<Timestamp>,
    /// When the configuration was confirmed, where that matters.
    confirmed: Option<Timestamp>,
}

impl Valid {
    pub(super) fn stands(&self, manifest: &Manifest, now: Timestamp) -> bool {
        self.from <= now
            && self.until.is_none_or(|until| now < until)
            && self.confirmed.is_none_or(|confirmed| confirmed == manifest.confirmed())
    }
}

/// The last exports of one configuration.
#[derive(Debug, Default)]
pub(crate) struct Exports(Mutex<VecDeque<(TenantKey, Seen, Arc<Export>)>>);

impl Exports {
    pub(super) fn of(shelf: &Shelf, tenant: &TenantKey, seen: Seen, now: Timestamp) -> Arc<Export> {
        let Self(kept) = &*shelf.exports;
        let kept = || kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is = |of: &(TenantKey, Seen, Arc<Export>)| of.0 == *tenant && of.1 == seen;
        let found = kept().iter().find(|it| is(it)).map(|(_, _, export)| Arc::clone(export));
        if let Some(found) = found.filter(|export| export.valid.stands(&shelf.manifest, now)) {
            return found;
        }
        let export = Arc::new(Export::of(shelf, tenant, seen, now));
        let mut kept = kept();
        kept.retain(|it| !is(it));
        kept.truncate(KEPT - 1);
        kept.push_front((tenant.clone(), seen, Arc::clone(&export)));
        export
    }
}

impl Export {
    fn of(shelf: &Shelf, tenant: &TenantKey, seen: Seen, now: Timestamp) -> Self {
        let (manifest, times) = (&shelf.manifest, shelf.sheet().times());
        let snapshot = manifest.snapshot();
        let everybody = manifest.view().everybody(tenant, now);
        let (mut flags, mut left_out, mut moves) = (BTreeMap::new(), Vec::new(), false);
        for (key, place) in snapshot.places() {
            let flag = snapshot.flag_in(place).and_then(|(_, flag)| flag.ok());
            let flag = flag.filter(|flag| seen == Seen::All || flag.client_visible());
            let Some((flag, said)) = flag.zip(everybody.ask(place)) else { continue };
            moves |= said.moves;
            match Definition::of(flag, &said) {
                Some(definition) => drop(flags.insert(key, definition)),
                None => left_out.push(key),
            }
        }
        if !left_out.is_empty() {
            let scope = snapshot.scope();
            debug!(%scope, %tenant, ?left_out, "flags that flagd's providers cannot evaluate");
        }
        // Texts, numbers and values always serialize.
        let text = serde_json::to_string(&Document { flags }).unwrap_or_default();
        let entry = snapshot.tenant(tenant.as_str()).and_then(Result::ok);
        let ticks = if moves { TICKS } else { NO_TICKS };
        let confirmed = times.hang_on_age().then(|| manifest.confirmed());
        let until = times.around(entry, manifest.confirmed(), ticks, now).next;
        let digest = xxh3_128(text.as_bytes());
        Self { text, digest, valid: Valid { from: now, until, confirmed } }
    }
}

/// What flagd's published schema `flags.json` describes.
#[derive(Serialize)]
struct Document<'s> {
    flags: BTreeMap<&'s str, Definition<'s>>,
}

/// A flag without targeting: its default variant is everybody's. Providers refuse a whole document for a member that they do
/// not know.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Definition<'s> {
    /// Of a disabled flag providers would answer nothing but their caller's default; here it has the variant that it is off with.
    state: &'static str,
    /// The one that is answered. Others may be meant for other tenants.
    variants: BTreeMap<&'s str, &'s Value>,
    /// None: the caller's own default.
    default_variant: Option<&'s str>,
    metadata: Metadata<'s>,
}

/// As much of OFREP's metadata as does not change while the answer stands.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'s> {
    flag_version: u64,
    fine_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'s str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl<'s> Definition<'s> {
    /// `None` where it cannot be said: it hangs on who asks, is an error, or a list, for which flagd has no type.
    fn of(flag: &'s Flag, said: &Alike<'s>) -> Option<Self> {
        let answer: Answer<'s> = said.answer.filter(|answer| answer.error.is_none())?;
        // A flag has to have a variant.
        let own = || flag.variants().first().map(|it| (it.key().as_str(), it.value()));
        let (name, value) = answer.variant.zip(answer.value).or_else(own)?;
        if matches!(value, Value::Object(Json::Array(_))) {
            return None;
        }
        let metadata = Metadata {
            flag_version: flag.version(),
            fine_reason: answer.fine.as_str(),
            rule: answer.rule,
            stale: answer.reason == Reason::Stale,
        };
        Some(Self {
            state: "ENABLED",
            variants: BTreeMap::from([(name, value)]),
            default_variant: answer.variant.filter(|_| answer.value.is_some()),
            metadata,
        })
    }
}
