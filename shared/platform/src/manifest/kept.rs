//! The roots that are kept: the last of each hour, for a month.

use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::{EntryCounts, RootClaims};
use flagforge_flags::time::Timestamp;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::Caller;
use crate::error::Error;
use crate::ports::Fetched;
use crate::publish::{claims_of, history_of};
use crate::read::PageOf;
use crate::store::{Listing, Stored};

/// Roots that are read at a time: each waits for a disk or for S3.
const READS_AT_ONCE: usize = 16;

/// A root that is kept.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptRoot {
    /// `<issued>-<serial>`: its name below `<org>/<env>/history/`, without `.jws`.
    pub name: String,
    pub issued: Timestamp,
    pub serial: u64,
    /// Absent: the root is damaged, and nothing can be read of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "17.41")]
    pub revision: Option<String>,
    /// Absent: its publisher did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<EntryCounts>,
}

/// What the name of a kept root says of it; `None` for another object.
pub(super) fn of_name(name: &str) -> Option<KeptRoot> {
    let (issued, serial) = name.split_once('-')?;
    let issued = Timestamp::from_millis(issued.parse().ok()?);
    let (name, serial) = (name.to_owned(), serial.parse().ok()?);
    Some(KeptRoot { name, issued, serial, revision: None, counts: None })
}

/// A kept root and what it says of itself.
pub(super) fn told(name: &str, claims: &RootClaims) -> Result<KeptRoot, Error> {
    let mut root = of_name(name).ok_or(Error::NotFound { what: "root that is kept" })?;
    root.revision = Some(claims.revision.to_string());
    root.counts = claims.counts;
    Ok(root)
}

impl Platform {
    /// The roots that are kept of an environment, the newest first.
    pub async fn kept_roots(
        &self,
        caller: &Caller,
        (org, env): (&OrgKey, &EnvKey),
        page: &PageOf,
    ) -> Result<Listing<KeptRoot>, Error> {
        self.environment(caller, org, env).await?;
        let limit = page.limit()? as usize;
        let folder = history_of(org, env);
        // 720 at most, whose names are in the order of time.
        let all = self.all_listed(&folder).await?;
        let name =
            |object: &str| object.strip_prefix(&folder)?.strip_suffix(".jws").and_then(of_name);
        let before =
            |root: &KeptRoot| page.cursor.as_deref().is_none_or(|it| root.name.as_str() < it);
        let mut found: Vec<KeptRoot> = all.iter().filter_map(|object| name(&object.name)).collect();
        found.retain(before);
        found.reverse();
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|last| last.name.clone());
        let reads = found.into_iter().map(|root| self.read_kept(&folder, root));
        let roots: Vec<KeptRoot> =
            stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
        let items = roots.into_iter().map(|root| Stored { version: root.serial, value: root });
        Ok(Listing { items: items.collect(), next })
    }

    async fn read_kept(&self, folder: &str, root: KeptRoot) -> Result<KeptRoot, Error> {
        let name = format!("{folder}{}.jws", root.name);
        if let Fetched::Found { bytes, .. } = self.objects().get(&name, None).await?
            && let Some(claims) = claims_of(&bytes)
        {
            return told(&root.name, &claims);
        }
        Ok(root)
    }
}
