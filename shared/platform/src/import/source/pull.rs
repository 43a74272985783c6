//! One run of a source: read it, hold it against what stands, apply the difference, tell what came of it.

use std::collections::{BTreeMap, BTreeSet};

use flagforge_flags::keys::{OrgKey, TenantKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Missing, SourceOutcome, SourceRecord, SourceRun};
use crate::caller::{Caller, Permission};
use crate::change::Change;
use crate::error::Error;
use crate::import::lines::{self, Row};
use crate::import::work::Requests;
use crate::import::{ImportFormat, ImportState, MAX_IMPORT_PART_BYTES, NewImport, OnError};
use crate::ports::{Fetched, PutIf};
use crate::record::Tenant;
use crate::store::{self, Stored};
use crate::{Platform, place};

/// Bad lines and missing tenants that a report names.
const REPORTED_LINES: usize = 100;
const REPORTED_TENANTS: usize = 1_000;

/// Why a run stopped before its end.
enum Stopped {
    Refused(String),
    Failed(String),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Platform {
    /// Asks the source now, and applies what it says. `accept_shrinkage` believes it also when much is missing.
    pub async fn pull_tenants(
        &self,
        caller: &Caller,
        org: &OrgKey,
        accept_shrinkage: bool,
        request: Requests<'_>,
    ) -> Result<SourceRun, Error> {
        caller.can_everywhere(org, Permission::WriteDirectory)?;
        let record = self.source_record(org).await?.value;
        let now = self.timer().now();
        let mut run = SourceRun {
            started: now,
            ended: now,
            by: caller.actor.clone(),
            outcome: SourceOutcome::Applied,
            why: None,
            lines: 0,
            bad: 0,
            bad_lines: Vec::new(),
            import: None,
            created: 0,
            changed: 0,
            missing: 0,
            missing_tenants: Vec::new(),
            removed: 0,
        };
        let done = self.pull(caller, org, &record, accept_shrinkage, request, &mut run).await;
        (run.outcome, run.why) = match done {
            Ok(()) => (SourceOutcome::Applied, None),
            Err(Stopped::Refused(why)) => (SourceOutcome::Refused, Some(why)),
            Err(Stopped::Failed(why)) => (SourceOutcome::Failed, Some(why)),
        };
        run.ended = self.timer().now();
        self.keep_source(org, "run", &run).await?;
        Ok(run)
    }

    async fn pull(
        &self,
        caller: &Caller,
        org: &OrgKey,
        record: &SourceRecord,
        accept_shrinkage: bool,
        request: Requests<'_>,
        run: &mut SourceRun,
    ) -> Result<(), Stopped> {
        let text = self.read_source(record).await.map_err(Stopped::Failed)?;
        let schema = self.tenant_schema(caller, org).await?.value;
        let read = lines::read(ImportFormat::Ndjson, &text, &schema)?;
        (run.lines, run.bad) = (read.lines, read.bad.len() as u64);
        run.bad_lines = read.bad.into_iter().take(REPORTED_LINES).collect();
        if run.bad > 0 && record.source.on_error == OnError::Nothing {
            return Err(Stopped::Refused(
                "lines are bad, and nothing was to be applied then".into(),
            ));
        }
        let stands = self.all_tenants(org).await?;
        let named: BTreeSet<TenantKey> = read.good.iter().map(|row| row.key.clone()).collect();
        let known: BTreeSet<TenantKey> =
            self.kept_source(org, "tenants").await?.unwrap_or_default();
        // Whose line is bad is not missing. While some are, nobody is.
        let gone =
            |key: &&TenantKey| run.bad == 0 && !named.contains(*key) && stands.contains_key(*key);
        let missing: BTreeSet<TenantKey> = known.iter().filter(gone).cloned().collect();
        run.missing = missing.len() as u64;
        run.missing_tenants = missing.iter().take(REPORTED_TENANTS).cloned().collect();
        let bound = usize::from(record.source.max_missing_percent) * known.len();
        let many = missing.len() > 1 && missing.len() * 100 > bound;
        if !accept_shrinkage && (many || (named.is_empty() && !known.is_empty())) {
            let (missing, of) = (missing.len(), known.len());
            let why = format!("{missing} of the {of} tenants that came from it are missing");
            return Err(Stopped::Refused(why));
        }
        self.apply_source(caller, org, different(read.good, &stands)?, request, run).await?;
        let mut knows: BTreeSet<TenantKey> = named;
        for tenant in missing {
            if record.source.missing == Missing::Report {
                knows.insert(tenant);
                continue;
            }
            let change = Change::DeleteTenant { org: org.clone(), tenant };
            match self.commit(caller, &request(change)).await {
                // Somebody else removed it meanwhile.
                Ok(_) | Err(Error::NotFound { .. }) => run.removed += 1,
                Err(error) => return Err(error.into()),
            }
        }
        if run.bad > 0 {
            knows.extend(known);
        }
        Ok(self.keep_source(org, "tenants", &knows).await?)
    }

    async fn all_tenants(&self, org: &OrgKey) -> Result<BTreeMap<TenantKey, Tenant>, Error> {
        let all: Vec<Stored<Tenant>> =
            store::all(self.table(), &place::org_pk(org), "TENANT#").await?;
        Ok(all.into_iter().map(|stored| (stored.value.key.clone(), stored.value)).collect())
    }

    /// Applies lines as an import. None: nothing is written at all.
    async fn apply_source(
        &self,
        caller: &Caller,
        org: &OrgKey,
        lines: String,
        request: Requests<'_>,
        run: &mut SourceRun,
    ) -> Result<(), Stopped> {
        if lines.is_empty() {
            return Ok(());
        }
        let (format, on_error) = (ImportFormat::Ndjson, OnError::ApplyGood);
        let new = NewImport { format, on_error, dry_run: false };
        let (begun, _) = self.begin_import(caller, org, new, request).await?;
        let Change::PutImport { import, .. } = begun else {
            return Err(Stopped::Failed("an import did not begin as one".into()));
        };
        let id = import.id;
        run.import = Some(id.clone());
        let bytes = bytes::Bytes::from(lines);
        let mut parts = 0;
        for from in (0..bytes.len()).step_by(MAX_IMPORT_PART_BYTES) {
            let part = bytes.slice(from..bytes.len().min(from + MAX_IMPORT_PART_BYTES));
            self.put_import_part(caller, org, &id, parts, part).await?;
            parts += 1;
        }
        let mut import = self.start_import(caller, org, &id, parts, request).await?.value;
        while import.state == ImportState::Applying {
            import = self.continue_import(caller, org, &id, request).await?.value;
        }
        (run.created, run.changed) = (import.tenants_created, import.tenants_changed);
        Ok(())
    }

    /// What the last run came to.
    pub(super) async fn last_run(&self, org: &OrgKey) -> Result<Option<SourceRun>, Error> {
        self.kept_source(org, "run").await
    }

    async fn kept_source<T: DeserializeOwned>(
        &self,
        org: &OrgKey,
        what: &str,
    ) -> Result<Option<T>, Error> {
        match self.objects().get(&object(org, what), None).await? {
            Fetched::Found { bytes, .. } => serde_json::from_slice(&bytes).map_err(|error| {
                Error::internal("what is kept of a source could not be read", error)
            }),
            Fetched::NotModified | Fetched::Absent => Ok(None),
        }
    }

    /// Forgets what the last run came to, and which tenants came from the source. A run that ends after the source was
    /// deleted writes them again; whoever sets another forgets them then.
    pub(super) async fn forget_source(&self, org: &OrgKey) -> Result<(), Error> {
        for what in ["run", "tenants"] {
            if !matches!(self.objects().get(&object(org, what), None).await?, Fetched::Absent) {
                self.keep_source(org, what, &None::<()>).await?;
            }
        }
        Ok(())
    }

    async fn keep_source<T: Serialize>(
        &self,
        org: &OrgKey,
        what: &str,
        value: &T,
    ) -> Result<(), Error> {
        let text = serde_json::to_vec(value)
            .map_err(|error| Error::internal("a run did not serialize", error))?;
        let name = object(org, what);
        self.objects().put(&name, text.into(), "application/json", PutIf::Any).await?;
        Ok(())
    }
}

/// The rows that are not as what stands, as lines.
fn different(rows: Vec<Row>, stands: &BTreeMap<TenantKey, Tenant>) -> Result<String, Error> {
    let mut lines = String::new();
    for row in rows {
        let mut tenant: Tenant = serde_json::from_str(&row.tenant)
            .map_err(|error| Error::internal("a line could not be read again", error))?;
        if let Some(held) = stands.get(&row.key) {
            tenant.uid.clone_from(&held.uid);
            if tenant == *held {
                continue;
            }
        }
        let Tenant { key, name, attributes, synthetic, .. } = tenant;
        let line =
            json!({"key": key, "name": name, "attributes": attributes, "synthetic": synthetic});
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    Ok(lines)
}

pub(super) fn object(org: &OrgKey, what: &str) -> String {
    format!("{org}/source/{what}.json")
}
