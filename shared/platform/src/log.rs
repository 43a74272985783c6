//! The log: audit, outbox and the publisher's input at once (DESIGN §6).

use flagforge_flags::manifest::Digest;
use flagforge_flags::propagation::Propagation;
use flagforge_flags::rate::Bucket;
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use crate::caller::Actor;
use crate::limits::Counts;
use crate::link::Link;
use crate::store::ABSENT;

/// One entry of a log. Numbers are contiguous from 1, never reused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    pub number: u64,
    /// Names this commit: how an ambiguous answer of the table is settled.
    pub id: String,
    pub at: Timestamp,
    pub by: Actor,
    /// The [`crate::Change`], with its type under `change`.
    #[schema(value_type = Object)]
    pub change: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    pub request_id: String,
    /// How soon it has to be everywhere.
    #[serde(default, skip_serializing_if = "is_near_real_time")]
    pub propagation: Propagation,
    /// Every item the change wrote, as it was afterwards.
    pub images: Vec<Image>,
    /// SHA-256 of the previous entry's stored text; of the empty text for the first.
    #[schema(value_type = String)]
    pub previous: Digest,
}

impl LogEntry {
    /// Takes out what keys' secrets are held against: readers of the log have no use for it.
    pub(crate) fn hide_secrets(&mut self) {
        let made = ["key", "admin"];
        let keys = self.images.iter_mut().filter(|image| image.sk.starts_with("KEY#"));
        let keys = keys.filter_map(|image| image.body.as_mut());
        keys.for_each(hide);
        if let Some(of_change) = self.change.as_object_mut() {
            of_change.remove("secretSha256");
        }
        for name in made {
            self.change.get_mut(name).into_iter().for_each(hide);
        }
    }
}

fn hide(key: &mut Json) {
    let Some(fields) = key.as_object_mut() else { return };
    fields.remove("secretSha256");
    fields.remove("previous");
}

/// An item after a change; no body is a tombstone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    pub pk: String,
    pub sk: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub body: Option<Json>,
    /// The entry of the same log that wrote the item before; 0 when nothing stood there.
    #[serde(default, skip_serializing_if = "is_new")]
    pub over: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_near_real_time(propagation: &Propagation) -> bool {
    *propagation == Propagation::NearRealTime
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_new(over: &u64) -> bool {
    *over == ABSENT
}

/// Where a log stands. Every commit to the log replaces it on condition of its version, which is its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Head {
    pub(crate) number: u64,
    pub(crate) at: Timestamp,
    /// SHA-256 of the newest entry's stored text.
    pub(crate) digest: Digest,
    /// How many things there are in the log's partition; exact, because every change of them writes this.
    #[serde(default, skip_serializing_if = "Counts::is_empty")]
    pub(crate) counts: Counts,
    /// What is left of the rate of writes; exact for the same reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bucket: Option<Bucket>,
}

impl Default for Head {
    /// The head of a log without entries.
    fn default() -> Self {
        Self {
            number: 0,
            at: Timestamp::default(),
            digest: Digest::of(b""),
            counts: Counts::default(),
            bucket: None,
        }
    }
}
