//! Who has got which revision: what SDKs and relays say of themselves, noted beside the items as an observation that
//! changes nothing. No log, manifest or decision reads it, it names no tenant and no user, and it is forgotten in an hour.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flagforge_flags::Revision;
use flagforge_flags::keys::{EnvKey, OrgKey, ReporterId};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::propagation::{
    FORGOTTEN_AFTER, MAX_REPORTERS, MAX_REPORTS, REPORT_EVERY, Report, SILENT_AFTER,
};
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::{Caller, Permission};
use crate::error::Error;
use crate::input::bounded;
use crate::log::Head;
use crate::place::{self, LogId};
use crate::ports::{Condition, Item, Write};
use crate::read::PageOf;
use crate::record::Environment;
use crate::store::{self, Stored};

/// At most one write a reporter in this time and process: half of what honest reporters wait, so that none of theirs is lost.
const HEARD_EVERY: Duration = Duration::from_secs(REPORT_EVERY.as_secs() / 2);
/// Reporters that one process remembers, of all environments; 150 bytes each, 7.5 MB. When it is full it forgets all,
/// which costs a listing an environment.
const MAX_REMEMBERED: usize = 50_000;

/// What a process said, and when it was heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Note {
    #[serde(flatten)]
    report: Report,
    heard: Timestamp,
}

impl Note {
    fn is_forgotten(&self, now: Timestamp) -> bool {
        now.since(self.heard) >= FORGOTTEN_AFTER
    }
}

/// A process that reads an environment's flags, as it last said of itself.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reported {
    #[serde(flatten)]
    report: Report,
    /// When that was heard.
    heard: Timestamp,
    /// Whether it has not got the revision that is asked for.
    behind: bool,
    /// Whether it was not heard for eleven minutes: it ended, or is cut off. It counts no more.
    silent: bool,
}

/// A revision, and when its newest change was committed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Committed {
    #[schema(value_type = String, example = "17.41")]
    revision: Revision,
    at: Timestamp,
}

/// What readers can get.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PublishedRoot {
    #[schema(value_type = String, example = "17.41")]
    revision: Revision,
    /// When its newest change was committed.
    at: Timestamp,
    /// When its root was signed, which is done anew now and then.
    issued: Timestamp,
}

/// How many reporters there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
struct ReporterCounts {
    /// Those who are heard.
    heard: usize,
    /// Those of them who have not got the revision.
    behind: usize,
    /// Those who were heard in the last hour, and are not any more.
    silent: usize,
}

/// From a commit until it was applied, of those who are heard, each with its newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Lag {
    p50_millis: u64,
    p99_millis: u64,
}

/// How far an environment's configuration has come.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Where the logs stand.
    committed: Committed,
    /// Absent before the first publication.
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<PublishedRoot>,
    /// The revision that reporters are held against: the one asked for, else the published.
    #[schema(value_type = String, example = "17.41")]
    revision: Revision,
    reporters: ReporterCounts,
    /// Absent where nobody has applied a change yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<Lag>,
    items: Vec<Reported>,
    /// Give it as `cursor` to get the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

type Remembered = HashMap<(OrgKey, EnvKey), HashMap<ReporterId, Timestamp>>;

/// When this process last noted whom.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Remembered>);

impl Heard {
    /// Those whose report is worth writing, and whether all of them are known to be noted already.
    fn due(&self, place: &(OrgKey, EnvKey), reports: Vec<Report>, now: Timestamp) -> Due {
        let remembered = self.remembered();
        let known = remembered.get(place);
        let last = |report: &Report| known.and_then(|known| known.get(&report.reporter)).copied();
        let due = |report: &Report| last(report).is_none_or(|at| now >= at.plus(HEARD_EVERY));
        let reports: Vec<Report> = reports.into_iter().filter(due).collect();
        let all_known = reports.iter().all(|report| last(report).is_some());
        Due { reports, all_known }
    }

    fn note<'r>(
        &self,
        place: &(OrgKey, EnvKey),
        notes: impl Iterator<Item = (&'r ReporterId, Timestamp)>,
        gone: &[ReporterId],
    ) {
        let mut remembered = self.remembered();
        if remembered.values().map(HashMap::len).sum::<usize>() >= MAX_REMEMBERED {
            remembered.clear();
        }
        let known = remembered.entry(place.clone()).or_default();
        for (reporter, at) in notes {
            known.insert(reporter.clone(), at);
        }
        known.retain(|reporter, _| !gone.contains(reporter));
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Due {
    reports: Vec<Report>,
    all_known: bool,
}

impl Platform {
    /// Notes what processes say of themselves, at most once in [`HEARD_EVERY`] of each. Of more than [`MAX_REPORTERS`]
    /// those go who were heard longest ago.
    pub async fn hear(
        &self,
        caller: &Caller,
        org: &OrgKey,
        env: &EnvKey,
        reports: Vec<Report>,
    ) -> Result<(), Error> {
        caller.may_report(org, env)?;
        bounded("reports", "reports", MAX_REPORTS, reports.len())?;
        let mut named = HashSet::new();
        if let Some(twice) = reports.iter().find(|report| !named.insert(&report.reporter)) {
            let message = format!("`{}` is in it twice", twice.reporter);
            return Err(Error::invalid("reports", message));
        }
        let acting = self.acting_for(org);
        let _: Stored<Environment> =
            store::standing(acting.table(), &place::environment(org, env), "environment").await?;
        let (here, now) = ((org.clone(), env.clone()), self.timer().now());
        let Due { reports, all_known } = self.heard().due(&here, reports, now);
        if reports.is_empty() {
            return Ok(());
        }
        let gone = if all_known { Vec::new() } else { acting.crowded_out(&here, &reports).await? };
        let mut writes = Vec::with_capacity(reports.len() + gone.len());
        for report in &reports {
            let key = place::heard(org, env, &report.reporter);
            let note = Note { report: report.clone(), heard: now };
            let body = serde_json::to_string(&note)
                .map_err(|error| Error::internal("a report did not serialize", error))?;
            let expires_at_seconds = Some(now.plus(FORGOTTEN_AFTER).as_seconds());
            let item = Item { key, version: 1, body, expires_at_seconds };
            writes.push(Write::Put { item, condition: Condition::Any });
        }
        let removed = gone.iter().map(|reporter| place::heard(org, env, reporter));
        writes.extend(removed.map(|key| Write::Delete { key, condition: Condition::Any }));
        acting.table().transact(writes, None).await?;
        let noted = reports.iter().map(|report| (&report.reporter, now));
        self.heard().note(&here, noted, &gone);
        Ok(())
    }

    /// Who has to go for these reports: who is to be forgotten anyway, and at the limit who was heard longest ago; no more
    /// than there are reports.
    async fn crowded_out(
        &self,
        here: &(OrgKey, EnvKey),
        reports: &[Report],
    ) -> Result<Vec<ReporterId>, Error> {
        let now = self.timer().now();
        let mut notes = self.notes(here).await?;
        self.heard().note(here, notes.iter().map(|n| (&n.report.reporter, n.heard)), &[]);
        let coming: HashSet<&ReporterId> = reports.iter().map(|report| &report.reporter).collect();
        notes.retain(|note| !coming.contains(&note.report.reporter));
        notes.sort_by_key(|note| note.heard);
        let over = (notes.len() + reports.len()).saturating_sub(MAX_REPORTERS);
        let goes = |(place, note): &(usize, &Note)| *place < over || note.is_forgotten(now);
        let gone = notes.iter().enumerate().filter(goes).take(reports.len());
        Ok(gone.map(|(_, note)| note.report.reporter.clone()).collect())
    }

    async fn notes(&self, (org, env): &(OrgKey, EnvKey)) -> Result<Vec<Note>, Error> {
        let found: Vec<Stored<Note>> =
            store::all(self.table(), &place::heard_pk(org, env), "REPORTER#").await?;
        Ok(found.into_iter().map(|stored| stored.value).collect())
    }

    /// How far an environment's configuration has come, held against a revision: all who are heard, or only those who are
    /// `behind` it.
    pub async fn propagation(
        &self,
        caller: &Caller,
        (org, env): (&OrgKey, &EnvKey),
        revision: Option<Revision>,
        behind: bool,
        page: &PageOf,
    ) -> Result<Progress, Error> {
        caller.can_in(org, env, Permission::Read)?;
        self.environment(caller, org, env).await?;
        let limit = page.limit()? as usize;
        let committed = self.committed(org, env).await?;
        let published = self.published(org, env).await?;
        let standing = published.as_ref().map_or(committed.revision, |root| root.revision);
        let revision = revision.unwrap_or(standing);
        let now = self.timer().now();
        let mut notes = self.notes(&(org.clone(), env.clone())).await?;
        notes.retain(|note| !note.is_forgotten(now));
        let all: Vec<Reported> =
            notes.into_iter().map(|note| Reported::of(note, revision, now)).collect();
        let (reporters, lag) = (ReporterCounts::of(&all), Lag::of(&all));
        // In the order of the table, which is that of their ids.
        let after = |item: &Reported| match &page.cursor {
            None => true,
            Some(cursor) => item.report.reporter.as_str() > cursor.as_str(),
        };
        let wanted = |item: &Reported| after(item) && (!behind || item.counts_as_behind());
        let mut items: Vec<Reported> = all.into_iter().filter(wanted).collect();
        let next = (items.len() > limit).then(|| items[limit - 1].report.reporter.to_string());
        items.truncate(limit);
        Ok(Progress { committed, published, revision, reporters, lag, items, next })
    }

    async fn committed(&self, org: &OrgKey, env: &EnvKey) -> Result<Committed, Error> {
        let head = |env: Option<EnvKey>| {
            let log = LogId { org: org.clone(), env };
            async move { store::read::<Head>(self.table(), &log.head()).await }
        };
        let of_org = head(None).await?.map(|head| head.value).unwrap_or_default();
        let of_env = head(Some(env.clone())).await?.map(|head| head.value).unwrap_or_default();
        let revision = Revision { org: of_org.number, env: of_env.number };
        Ok(Committed { revision, at: of_org.at.max(of_env.at) })
    }

    /// The root that stands, as far as it can be believed.
    async fn published(&self, org: &OrgKey, env: &EnvKey) -> Result<Option<PublishedRoot>, Error> {
        let id = ScopeId { org: org.clone(), env: env.clone(), scope: Scope::Environment };
        Ok(self.root_in_force(&id).await?.map(|root| {
            let claims = root.claims();
            let (revision, at, issued) = (claims.revision, claims.committed, claims.issued);
            PublishedRoot { revision, at, issued }
        }))
    }
}

impl Reported {
    fn of(note: Note, revision: Revision, now: Timestamp) -> Self {
        let Note { report, heard } = note;
        let behind = report.revision.is_none_or(|applied| !applied.includes(revision));
        Self { report, heard, behind, silent: now.since(heard) >= SILENT_AFTER }
    }

    fn counts_as_behind(&self) -> bool {
        self.behind && !self.silent
    }
}

impl ReporterCounts {
    fn of(all: &[Reported]) -> Self {
        let silent = all.iter().filter(|reported| reported.silent).count();
        let behind = all.iter().filter(|reported| reported.counts_as_behind()).count();
        Self { heard: all.len() - silent, behind, silent }
    }
}

impl Lag {
    fn of(all: &[Reported]) -> Option<Self> {
        let heard = all.iter().filter(|reported| !reported.silent);
        let mut millis: Vec<u64> = heard.filter_map(|one| one.report.lag_millis).collect();
        millis.sort_unstable();
        // The nearest rank: the smallest that so many in a hundred do not pass.
        let rank = |percent: usize| millis.get((millis.len() * percent).div_ceil(100).max(1) - 1);
        Some(Self { p50_millis: *rank(50)?, p99_millis: *rank(99)? })
    }
}
