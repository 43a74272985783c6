//! The log as people ask it: who changed what, of which flag, for which tenant, and what was it before.
//!
//! There is no index of the log. A question looks at a bounded number of entries, newest first, and its cursor
//! says how far it looked; who wants all asks until there is no cursor.

mod chain;
mod diff;
mod touch;

use flagforge_flags::keys::{FlagKey, TenantKey};
use flagforge_flags::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::{Actor, Caller, Role};
use crate::error::Error;
use crate::link::Link;
use crate::log::LogEntry;
use crate::place::{LOG_PREFIX, LogId};
use crate::read::PageOf;
use crate::search::Order;
use crate::store::{self, Listing, Stored};

pub use chain::Chain;
pub use diff::{Difference, ItemDiff};

/// Which entries. All that is asked must hold.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub flag: Option<FlagKey>,
    pub tenant: Option<TenantKey>,
    /// A key's id, or the name of a part of the platform.
    pub actor: Option<String>,
    /// The change's type, say `set-enabled`.
    pub change: Option<String>,
    pub request_id: Option<String>,
    /// At this instant or later.
    pub since: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
}

impl AuditFilter {
    fn wants(&self, entry: &LogEntry) -> bool {
        let asked = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        asked(&self.request_id, &entry.request_id)
            && asked(&self.change, entry.change_name())
            && asked(&self.actor, entry.by.id())
            && self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
            && self.flag.as_ref().is_none_or(|flag| entry.touches_flag(flag))
            && self.tenant.as_ref().is_none_or(|tenant| entry.touches_tenant(tenant))
    }
}

/// An entry in short.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Audited {
    pub number: u64,
    pub at: Timestamp,
    pub by: Actor,
    /// The change's type, say `set-enabled`.
    pub change: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    pub request_id: String,
    /// What was written, by kind and key: `STATE#checkout`.
    pub items: Vec<String>,
    /// The tenants whom it touched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantKey>,
}

impl Audited {
    fn of(entry: &LogEntry) -> Self {
        Self {
            number: entry.number,
            at: entry.at,
            by: entry.by.clone(),
            change: entry.change_name().to_owned(),
            reason: entry.reason.clone(),
            links: entry.links.clone(),
            request_id: entry.request_id.clone(),
            items: entry.images.iter().map(|image| image.sk.clone()).collect(),
            tenants: entry.tenants(),
        }
    }
}

/// An entry with what was before and after.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    #[serde(flatten)]
    pub entry: Audited,
    pub differences: Vec<ItemDiff>,
    /// The same for people: a line for each difference.
    pub text: String,
}

impl Platform {
    /// Entries of a log, newest first.
    pub async fn audit(
        &self,
        caller: &Caller,
        log: &LogId,
        filter: &AuditFilter,
        page: &PageOf,
    ) -> Result<Listing<Audited>, Error> {
        let found = self.audited(caller, log, filter, page).await?;
        let short = |entry: Stored<LogEntry>| Stored {
            value: Audited::of(&entry.value),
            version: entry.version,
        };
        Ok(Listing { items: found.items.into_iter().map(short).collect(), next: found.next })
    }

    /// As [`Platform::audit`], the entries whole: for export.
    pub async fn audited(
        &self,
        caller: &Caller,
        log: &LogId,
        filter: &AuditFilter,
        page: &PageOf,
    ) -> Result<Listing<LogEntry>, Error> {
        self.may_read_log(caller, log).await?;
        let wanted = |entries: &[Stored<LogEntry>]| {
            entries.iter().map(|entry| filter.wants(&entry.value)).collect()
        };
        let mut found =
            self.sift(&log.partition(), LOG_PREFIX, page, Order::Descending, wanted).await?;
        self.show(log, found.items.iter_mut().map(|entry| &mut entry.value)).await?;
        Ok(found)
    }

    /// What the log says of one tenant, and of no other: items of others are left out of entries that touch several.
    pub async fn audit_of_tenant(
        &self,
        caller: &Caller,
        log: &LogId,
        tenant: &TenantKey,
        page: &PageOf,
    ) -> Result<Listing<Audited>, Error> {
        let filter = AuditFilter { tenant: Some(tenant.clone()), ..AuditFilter::default() };
        let mut found = self.audited(caller, log, &filter, page).await?;
        let short = |entry: &mut Stored<LogEntry>| {
            entry.value.keep_tenant(tenant);
            Stored { value: Audited::of(&entry.value), version: entry.version }
        };
        Ok(Listing { items: found.items.iter_mut().map(short).collect(), next: found.next })
    }

    /// One entry with what was before and after.
    pub async fn explain_entry(
        &self,
        caller: &Caller,
        log: &LogId,
        number: u64,
    ) -> Result<Stored<Explained>, Error> {
        self.may_read_log(caller, log).await?;
        let entry: Stored<LogEntry> =
            store::standing(self.table(), &log.entry(number), "entry").await?;
        let mut after = entry.value;
        self.show(log, std::iter::once(&mut after)).await?;
        let mut differences = Vec::new();
        for image in &after.images {
            let before = self.before(log, image.over, &image.sk).await?;
            differences.push(ItemDiff::new(&image.sk, before.as_ref(), image.body.as_ref()));
        }
        let text = diff::text(&differences);
        let value = Explained { entry: Audited::of(&after), differences, text };
        Ok(Stored { value, version: entry.version })
    }

    /// An item as the entry that wrote it last left it. All versions of an item are in one log.
    async fn before(
        &self,
        log: &LogId,
        over: u64,
        sk: &str,
    ) -> Result<Option<serde_json::Value>, Error> {
        if over == store::ABSENT {
            return Ok(None);
        }
        let entry: Option<Stored<LogEntry>> = store::read(self.table(), &log.entry(over)).await?;
        let Some(mut entry) = entry.map(|entry| entry.value) else { return Ok(None) };
        self.show(log, std::iter::once(&mut entry)).await?;
        Ok(entry.images.into_iter().find(|image| image.sk == sk).and_then(|image| image.body))
    }

    pub(crate) async fn may_read_log(&self, caller: &Caller, log: &LogId) -> Result<(), Error> {
        match &log.env {
            // The organization's log holds what concerns every environment.
            None => {
                caller.may_everywhere(&log.org, Role::Reader)?;
                self.organization(caller, &log.org).await.map(drop)
            }
            Some(env) => self.environment(caller, &log.org, env).await.map(drop),
        }
    }
}
