//! What was deleted and can come back: out of manifests and lists at once, and kept until it is purged.
//!
//! A deleted thing stands at a place of its own with all that it was, its uid included. What hangs on it (states,
//! overrides) stays where it is, void while the uid is at no place of a standing thing, and is in force again when it is.

use std::time::Duration;

use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::{Actor, Caller};
use crate::error::Error;
use crate::place;
use crate::read::PageOf;
use crate::record::{Definition, SegmentRecord};
use crate::search::Searched;
use crate::segments::Segment;
use crate::store::{Listing, Stored};

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Days that what was deleted can be restored, where the operator set nothing else.
pub const KEPT_DAYS: u32 = 30;
/// Days at most: what nobody missed for a year is not missed.
pub const MAX_KEPT_DAYS: u32 = 366;

pub(crate) fn days(count: u32) -> Duration {
    DAY.saturating_mul(count)
}

/// A deleted thing, and all about its deletion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deleted<T> {
    /// As it was.
    pub what: T,
    pub deleted: Deletion,
}

/// When, by whom and why something was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    pub at: Timestamp,
    pub by: Actor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// From this instant on it may be purged, and is when leftovers are collected.
    pub until: Timestamp,
}

impl<T> Deleted<T> {
    /// Refuses to end it before its time.
    pub(crate) fn check_over(
        &self,
        now: Timestamp,
        what: &'static str,
        key: &str,
    ) -> Result<(), Error> {
        if now >= self.deleted.until { Ok(()) } else { Err(self.kept(what, key)) }
    }

    /// That the key is taken.
    pub(crate) fn kept(&self, what: &'static str, key: &str) -> Error {
        Error::Kept { what, key: key.to_owned(), until: self.deleted.until }
    }
}

impl Platform {
    /// Flags that can be restored.
    pub async fn deleted_flags(
        &self,
        caller: &Caller,
        org: &OrgKey,
        page: &PageOf,
    ) -> Result<Listing<Deleted<Definition>>, Error> {
        self.organization(caller, org).await?;
        self.deleted(org, &place::org_pk(org), "DELETED-FLAG#", page).await
    }

    async fn deleted<T: DeserializeOwned + Searched + Send>(
        &self,
        org: &OrgKey,
        pk: &str,
        prefix: &str,
        page: &PageOf,
    ) -> Result<Listing<Deleted<T>>, Error> {
        let mut found: Listing<Deleted<T>> = self.page(pk, prefix, page).await?;
        let by = found.items.iter_mut().map(|kept| &mut kept.value.deleted.by);
        self.name_people(org, by).await?;
        Ok(found)
    }

    /// Segments of an environment that can be restored.
    pub async fn deleted_segments(
        &self,
        caller: &Caller,
        org: &OrgKey,
        env: &EnvKey,
        page: &PageOf,
    ) -> Result<Listing<Deleted<Segment>>, Error> {
        self.environment(caller, org, env).await?;
        let found: Listing<Deleted<SegmentRecord>> =
            self.deleted(org, &place::env_pk(org, env), "DELETED-SEGMENT#", page).await?;
        let seen = |s: Stored<Deleted<SegmentRecord>>| {
            let Deleted { what, deleted } = s.value;
            Stored { value: Deleted { what: Segment::of(&what), deleted }, version: s.version }
        };
        Ok(Listing { items: found.items.into_iter().map(seen).collect(), next: found.next })
    }
}
