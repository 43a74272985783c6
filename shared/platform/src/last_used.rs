//! When a key was last used, roughly: the one thing that is written without a commit, because it is an
//! observation about the organization and changes nothing in it. No log, manifest or decision reads it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flagforge_flags::keys::OrgKey;
use flagforge_flags::time::Timestamp;

use crate::Platform;
use crate::place;
use crate::ports::{Condition, Item, TableError, Write};
use crate::record::KeyUse;
use crate::store::{self, Stored};

/// At most one write a key in this time, however many processes see it: 1,000 keys cost 24,000 writes a day.
pub const LAST_USED_EVERY: Duration = Duration::from_secs(3_600);
/// Keys that one process remembers having noted; 100 bytes each, a megabyte. When it is full it forgets all,
/// which costs a read a key.
const MAX_REMEMBERED: usize = 10_000;
/// An observation that nobody renewed for 400 days goes: what is not seen for a year and a month is unused.
const FORGOTTEN_AFTER_SECONDS: i64 = 400 * 86_400;

/// What this process noted lately.
#[derive(Debug, Default)]
pub(crate) struct Noted(Mutex<HashMap<String, Timestamp>>);

impl Noted {
    /// Whether a use at `now` is worth looking at the table.
    fn is_due(&self, id: &str, now: Timestamp) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.get(id).is_some_and(|at| now < at.plus(LAST_USED_EVERY)) {
            return false;
        }
        if noted.len() >= MAX_REMEMBERED {
            noted.clear();
        }
        noted.insert(id.to_owned(), now);
        true
    }
}

impl Platform {
    /// Notes that a key was used, at most once in [`LAST_USED_EVERY`]. A note that fails is lost: requests do
    /// not fail for it.
    pub(crate) async fn note_use(&self, org: &OrgKey, id: &str) {
        let now = self.timer().now();
        if !self.noted().is_due(id, now) {
            return;
        }
        if let Err(error) = self.write_use(org, id, now).await {
            tracing::debug!(%error, "the use of a key was not noted");
        }
    }

    async fn write_use(&self, org: &OrgKey, id: &str, now: Timestamp) -> Result<(), TableError> {
        let key = place::key_use(org, id);
        let stands = self.table().get(&key).await?;
        let held = stands.as_ref().and_then(|item| store::decode::<KeyUse>(item).ok());
        if held.is_some_and(|held| now < held.value.at.plus(LAST_USED_EVERY)) {
            return Ok(());
        }
        let body = serde_json::json!({"at": now}).to_string();
        let version = stands.as_ref().map_or(0, |item| item.version) + 1;
        let expires_at_seconds = Some(now.as_seconds() + FORGOTTEN_AFTER_SECONDS);
        let condition = stands.map_or(Condition::Absent, |item| Condition::Version(item.version));
        let item = Item { key, version, body, expires_at_seconds };
        self.table().transact(vec![Write::Put { item, condition }], None).await
    }

    /// When each key of an organization was last seen at the management API, by id.
    pub(crate) async fn uses(
        &self,
        org: &OrgKey,
    ) -> Result<HashMap<String, Timestamp>, crate::Error> {
        let mut found = HashMap::new();
        let mut query = crate::ports::Query::prefix(place::use_pk(org), "KEY#");
        loop {
            let page = self.table().query(&query).await?;
            for item in &page.items {
                let used: Stored<KeyUse> = store::decode(item)?;
                let id = item.key.sk.trim_start_matches("KEY#").to_owned();
                found.insert(id, used.value.at);
            }
            match page.next {
                None => return Ok(found),
                next => query.page = next,
            }
        }
    }
}
