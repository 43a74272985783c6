//! Collecting what is left behind: flags and segments whose time to come back is over, what belonged to flags, tenants
//! and groups that are gone, old imports, and lists that nobody names. All of it is void already: collecting it moves
//! no answer. Idempotency records go by themselves, with their day.

mod objects;
mod records;

use std::time::Duration;

use flagforge_flags::keys::{EnvKey, FlagKey, GroupKey, OrgKey, TenantKey};
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::{Caller, Permission};
use crate::change::Change;
use crate::commit::Request;
use crate::deleted::Deleted;
use crate::error::Error;
use crate::place;
use crate::record::{Definition, Environment, SegmentRecord};
use crate::store::{self, Stored};

/// How long a list or file that nobody names is left alone: whoever put it, or read its name a moment ago, is long done.
pub const LEFT_ALONE: Duration = Duration::from_secs(3_600);
/// How long an import stays with its report, from when it was made.
pub const IMPORT_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How long one call collects before it answers: half of API Gateway's 29 s.
const SLICE: Duration = Duration::from_secs(14);

/// A record that may be left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "left", rename_all = "kebab-case")]
pub enum Left {
    State { flag: FlagKey },
    Override { flag: FlagKey, tenant: TenantKey },
    Member { group: GroupKey, tenant: TenantKey },
    Import { id: String },
    Schedule { id: String },
}

/// Whether anything is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What would be collected is counted.
    DryRun,
    ForGood,
}

/// What was collected, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Collection {
    /// Nothing was done; this is what would be.
    pub dry_run: bool,
    /// All was looked at. If not, ask again.
    pub complete: bool,
    /// Deleted flags whose time is over.
    #[schema(value_type = Vec<String>)]
    pub flags: Vec<FlagKey>,
    /// Deleted segments whose time is over, say `prod/beta`.
    pub segments: Vec<String>,
    /// States of flags that are gone.
    pub states: u64,
    /// Overrides of flags and tenants that are gone.
    pub overrides: u64,
    /// Memberships of groups and tenants that are gone.
    pub members: u64,
    /// Imports of 30 days ago and before.
    pub imports: u64,
    /// Schedules that came to their end 30 days ago and before.
    pub schedules: u64,
    /// Stored parts of segments' lists that nothing names.
    pub lists: u64,
    /// Files of imports that are gone.
    pub import_files: u64,
}

/// How each change of a collection is asked for.
pub(crate) type Requests<'r> = &'r (dyn Fn(Change) -> Request + Send + Sync);

/// One run through an organization.
struct Run<'r> {
    platform: &'r Platform,
    caller: &'r Caller,
    org: &'r OrgKey,
    request: Requests<'r>,
    mode: Mode,
    began: Timestamp,
    found: Collection,
}

impl Platform {
    /// Collects what is left behind in an organization, as far as a slice of time goes, or counts it.
    pub(crate) async fn collect(
        &self,
        caller: &Caller,
        org: &OrgKey,
        mode: Mode,
        request: Requests<'_>,
    ) -> Result<Collection, Error> {
        caller.can_everywhere(org, Permission::Purge)?;
        self.organization(caller, org).await?;
        let began = self.timer().now();
        let found = Collection { dry_run: mode == Mode::DryRun, ..Collection::default() };
        let mut run = Run { platform: self, caller, org, request, mode, began, found };
        run.found.complete = run.all().await?;
        Ok(run.found)
    }
}

impl Run<'_> {
    /// Answers whether it came to the end.
    async fn all(&mut self) -> Result<bool, Error> {
        let pk = place::org_pk(self.org);
        let table = self.platform.table();
        let envs: Vec<Stored<Environment>> = store::all(table, &pk, "ENV#").await?;
        let envs: Vec<EnvKey> = envs.into_iter().map(|stored| stored.value.key).collect();
        self.flags().await?;
        for env in &envs {
            self.segments(env).await?;
        }
        if !self.records(&envs).await? {
            return Ok(false);
        }
        self.objects(&envs).await
    }

    async fn flags(&mut self) -> Result<(), Error> {
        let (table, pk) = (self.platform.table(), place::org_pk(self.org));
        let kept: Vec<Stored<Deleted<Definition>>> =
            store::all(table, &pk, "DELETED-FLAG#").await?;
        for kept in kept.into_iter().map(|stored| stored.value) {
            let (org, flag) = (self.org.clone(), kept.what.key);
            let is_over = kept.deleted.until <= self.began;
            if is_over && self.done(Change::PurgeFlag { org, flag: flag.clone() }).await? {
                self.found.flags.push(flag);
            }
        }
        Ok(())
    }

    async fn segments(&mut self, env: &EnvKey) -> Result<(), Error> {
        let (table, pk) = (self.platform.table(), place::env_pk(self.org, env));
        let kept: Vec<Stored<Deleted<SegmentRecord>>> =
            store::all(table, &pk, "DELETED-SEGMENT#").await?;
        for kept in kept.into_iter().map(|stored| stored.value) {
            let (org, env, segment) = (self.org.clone(), env.clone(), kept.what.key);
            let name = format!("{env}/{segment}");
            let is_over = kept.deleted.until <= self.began;
            if is_over && self.done(Change::PurgeSegment { org, env, segment }).await? {
                self.found.segments.push(name);
            }
        }
        Ok(())
    }

    /// Makes a change, or only says that it would; answers whether it counts.
    async fn done(&self, change: Change) -> Result<bool, Error> {
        if self.mode == Mode::DryRun {
            return Ok(true);
        }
        match self.platform.commit(self.caller, &(self.request)(change)).await {
            Ok(_) => Ok(true),
            // Somebody was faster, or something else that was deleted still asks for it.
            Err(Error::NotFound { .. } | Error::InUse { .. } | Error::Kept { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn is_over(&self) -> bool {
        self.platform.timer().now().since(self.began) >= SLICE
    }
}
