//! Where an organization's tenants come from: its customer database, asked over HTTP from time to time. What it says is
//! applied as an import; what it says no more is told, and removed only where that was asked for.

mod pages;
mod pull;
mod turn;

use flagforge_flags::keys::{OrgKey, TenantKey};
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BadLine, OnError};
use crate::caller::{Actor, Caller, Permission};
use crate::change::Change;
use crate::commit::{Outcome, Request};
use crate::error::Error;
use crate::input::bounded;
use crate::store::{self, Stored};
use crate::webhooks::check_url;
use crate::{Platform, place};

pub use pages::{MAX_SOURCE_BYTES, MAX_SOURCE_PAGE_BYTES, MAX_SOURCE_PAGES};

/// Seconds between two runs: at least a minute, at most a week, an hour where nobody said otherwise.
pub const MIN_SOURCE_SECONDS: u32 = 60;
pub const MAX_SOURCE_SECONDS: u32 = 7 * 86_400;
/// Bytes of what the source is shown: a token as long as those of people.
pub const MAX_BEARER_BYTES: usize = 10 * 1_024;

/// A source as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantSource {
    /// `https`; plain `http` only on this machine, where the installation allows it.
    pub url: String,
    #[serde(default)]
    pub format: SourceFormat,
    /// Seconds between two runs: 3,600 when not said, 60 to 604,800.
    #[serde(default = "an_hour")]
    pub every_seconds: u32,
    #[serde(default)]
    pub on_error: OnError,
    /// What becomes of tenants that came from the source and are in it no more.
    #[serde(default)]
    pub missing: Missing,
    /// When more of the tenants that came from the source are missing than so many of a hundred, nothing is believed: 10
    /// when not said.
    #[serde(default = "ten")]
    pub max_missing_percent: u8,
    #[serde(default)]
    pub paused: bool,
}

fn an_hour() -> u32 {
    3_600
}

fn ten() -> u8 {
    10
}

/// How a source answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SourceFormat {
    /// A tenant a line, as imports take them. A last line `{"next": "…"}` says that there is more at `?cursor=…`.
    #[default]
    Ndjson,
    /// `{"tenants": […], "next": "…"}`, the next page at `?cursor=…`.
    Pages,
}

/// What becomes of tenants that are in the source no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// The report names them, and they stay.
    #[default]
    Report,
    /// They are deleted, with what was special about them.
    Remove,
}

/// What a source is shown, hidden from `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Bearer(pub(crate) String);

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(…)")
    }
}

/// A source as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceRecord {
    #[serde(flatten)]
    pub source: TenantSource,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bearer: Option<Bearer>,
}

/// A source, and what its last run came to.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceSeen {
    #[serde(flatten)]
    pub source: TenantSource,
    /// Whether it is shown a bearer token, which nobody reads again.
    pub has_bearer: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<SourceRun>,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceRun {
    pub started: Timestamp,
    pub ended: Timestamp,
    pub by: Actor,
    pub outcome: SourceOutcome,
    /// Why it was refused or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Tenants that the source named, on good and bad lines.
    pub lines: u64,
    /// Bad lines, and the first hundred of them.
    pub bad: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad_lines: Vec<BadLine>,
    /// The import that applied what was new or different, if anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<String>,
    pub created: u64,
    pub changed: u64,
    /// Tenants that came from the source and are in it no more, and the first thousand of them.
    pub missing: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub missing_tenants: Vec<TenantKey>,
    /// Of these, those that this run removed.
    pub removed: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SourceOutcome {
    /// The tenants are as the source says.
    Applied,
    /// What the source says is not believed, and nothing was applied.
    Refused,
    /// The source did not answer, or not all of it could be applied; the next run goes on.
    Failed,
}

impl SourceSeen {
    pub(crate) fn of(record: &SourceRecord, last_run: Option<SourceRun>) -> Self {
        let has_bearer = record.bearer.is_some();
        Self { source: record.source.clone(), has_bearer, last_run }
    }
}

impl TenantSource {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_url(&self.url)?;
        if self.url.contains('#') {
            return Err(Error::invalid("url", "a fragment is sent to nobody"));
        }
        if self.every_seconds < MIN_SOURCE_SECONDS {
            let message = format!("must be {MIN_SOURCE_SECONDS} at least");
            return Err(Error::invalid("everySeconds", message));
        }
        let (limit, actual) = (MAX_SOURCE_SECONDS as usize, self.every_seconds as usize);
        bounded("everySeconds", "seconds", limit, actual)?;
        bounded("maxMissingPercent", "percent", 100, self.max_missing_percent.into())
    }
}

impl Platform {
    pub async fn tenant_source(
        &self,
        caller: &Caller,
        org: &OrgKey,
    ) -> Result<Stored<SourceSeen>, Error> {
        caller.can_everywhere(org, Permission::ManageSettings)?;
        let Stored { value, version } = self.source_record(org).await?;
        let mut last_run = self.last_run(org).await?;
        self.name_people(org, last_run.iter_mut().map(|run| &mut run.by)).await?;
        Ok(Stored { value: SourceSeen::of(&value, last_run), version })
    }

    async fn source_record(&self, org: &OrgKey) -> Result<Stored<SourceRecord>, Error> {
        store::standing(self.table(), &place::tenant_source(org), "source").await
    }

    /// Sets where tenants come from. A bearer token that is not said stays as it is; an empty one goes.
    pub async fn put_tenant_source(
        &self,
        caller: &Caller,
        org: &OrgKey,
        (source, bearer): (TenantSource, Option<String>),
        request: impl FnOnce(Change) -> Request,
    ) -> Result<Outcome, Error> {
        caller.can_everywhere(org, Permission::ManageSettings)?;
        caller.can_everywhere(org, Permission::WriteDirectory)?;
        source.check()?;
        if self.fetch().is_none() {
            return Err(Error::invalid("url", "this installation asks nobody"));
        }
        let stands: Option<Stored<SourceRecord>> =
            store::read(self.table(), &place::tenant_source(org)).await?;
        let is_new = stands.is_none();
        let bearer = match bearer {
            None => stands.and_then(|stands| stands.value.bearer),
            Some(none) if none.is_empty() => None,
            Some(bearer) => {
                bounded("bearer", "bytes", MAX_BEARER_BYTES, bearer.len())?;
                if !bearer.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(Error::invalid("bearer", "must be ASCII without spaces"));
                }
                Some(Bearer(bearer))
            }
        };
        if is_new {
            self.forget_source(org).await?;
        }
        let record = SourceRecord { source, bearer };
        self.commit(caller, &request(Change::PutTenantSource { org: org.clone(), record })).await
    }

    /// Asks no source any more, and forgets what the last one said: another is no continuation of it.
    pub async fn delete_tenant_source(
        &self,
        caller: &Caller,
        org: &OrgKey,
        request: impl FnOnce(Change) -> Request,
    ) -> Result<Outcome, Error> {
        let change = Change::DeleteTenantSource { org: org.clone() };
        let outcome = self.commit(caller, &request(change)).await?;
        self.forget_source(org).await?;
        Ok(outcome)
    }
}
