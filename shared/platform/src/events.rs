//! Change events with the domain's names, as CloudEvents 1.0. They are told from log entries, so there is none without
//! its change and no change without its event, and telling them again gives the same ids. They hold keys and no
//! values: who hears of a change asks the API for what it may see.

use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;

use crate::log::{Image, LogEntry};
use crate::place::LogId;

/// A change, told to those outside (CloudEvents 1.0, JSON format).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    pub specversion: String,
    /// `<log>:<entry>:<which of its events>`, the same each time that it is told.
    #[schema(example = "demo/prod:41:0")]
    pub id: String,
    /// `/orgs/<org>` or `/orgs/<org>/environments/<env>`.
    pub source: String,
    #[serde(rename = "type")]
    #[schema(example = "flag.killed")]
    pub kind: String,
    /// The key of what changed.
    pub subject: String,
    pub time: Timestamp,
    pub datacontenttype: String,
    /// Keys, who, and why.
    #[schema(value_type = Object)]
    pub data: Map<String, Json>,
}

/// Where an event is found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventPlace {
    pub(crate) log: LogId,
    pub(crate) number: u64,
    pub(crate) index: usize,
}

impl EventPlace {
    pub(crate) fn id(&self) -> String {
        format!("{}:{}:{}", self.log, self.number, self.index)
    }
}

/// The events of an entry, in the order of what it wrote.
pub(crate) fn of_entry(log: &LogId, entry: &LogEntry) -> Vec<Event> {
    let told = entry.images.iter().filter_map(|image| {
        let (kind, subject) = named(entry.change_name(), image)?;
        Some((kind, subject, keys(image)))
    });
    told.enumerate()
        .map(|(index, (kind, subject, mut data))| {
            let place = EventPlace { log: log.clone(), number: entry.number, index };
            let mut say = |name: &str, value: Json| drop(data.insert(name.to_owned(), value));
            say("organization", log.org.to_string().into());
            if let Some(env) = &log.env {
                say("environment", env.to_string().into());
            }
            say("change", entry.change_name().into());
            say("number", entry.number.into());
            say("actor", entry.by.id().into());
            say("requestId", entry.request_id.clone().into());
            if let Some(reason) = &entry.reason {
                say("reason", reason.clone().into());
            }
            Event {
                specversion: "1.0".to_owned(),
                id: place.id(),
                source: match &log.env {
                    None => format!("/orgs/{}", log.org),
                    Some(env) => format!("/orgs/{}/environments/{env}", log.org),
                },
                kind: kind.to_owned(),
                subject,
                time: entry.at,
                datacontenttype: "application/json".to_owned(),
                data,
            }
        })
        .collect()
}

/// The domain's name for what a change did to an item; `None` for items that nobody outside need hear of.
fn named(change: &str, image: &Image) -> Option<(&'static str, String)> {
    let (is_new, is_gone) = (image.over == 0, image.body.is_none());
    let of = |new, changed, gone| match (is_new, is_gone) {
        (_, true) => gone,
        (true, false) => new,
        (false, false) => changed,
    };
    let (kind, rest) = image.sk.split_once('#').unwrap_or((&image.sk, ""));
    let name = match (kind, change) {
        // It was void already.
        (_, "collect") => return None,
        // It is as it was, but for a text that no event tells.
        (_, "erase-reason") => return None,
        ("ORG", _) if !image.pk.starts_with('~') => {
            of("organization.created", "organization.changed", "organization.deleted")
        }
        ("ENV", _) => of("environment.created", "environment.changed", "environment.deleted"),
        ("TENANT", _) => of("tenant.created", "tenant.changed", "tenant.deleted"),
        ("TENANT-SCHEMA", _) => "tenant-schema.changed",
        ("GROUP", _) => of("group.defined", "group.changed", "group.deleted"),
        ("MEMBER", _) => of("group.member-added", "group.member-added", "group.member-removed"),
        ("FLAG", "restore-flag") => "flag.restored",
        ("FLAG", _) => of("flag.defined", "flag.changed", "flag.deleted"),
        ("STATE", "set-enabled") if is_enabled(image) => "flag.enabled",
        ("STATE", "set-enabled") => "flag.killed",
        ("STATE", "set-weights") => "flag.weights-changed",
        ("STATE", _) => of("flag.rules-changed", "flag.rules-changed", "flag.state-deleted"),
        ("OVERRIDE", _) => {
            of("tenant.override-set", "tenant.override-set", "tenant.override-cleared")
        }
        ("KILL", _) => of("kill-switch.pulled", "kill-switch.pulled", "kill-switch.ended"),
        ("MANIFEST", "accept-shrinkage") => "manifest.shrinkage-accepted",
        ("MANIFEST", "restore-manifest") => "manifest.restored",
        ("MANIFEST", "release-manifest") => "manifest.released",
        ("SEGMENT", "restore-segment") => "segment.restored",
        ("DELETED-FLAG", "purge-flag") => "flag.purged",
        ("DELETED-SEGMENT", "purge-segment") => "segment.purged",
        ("SCHEDULE", _) if is_gone => return None,
        ("SCHEDULE", _) => "schedule.made",
        ("SCHEDULE-ENDED", "cancel-schedule") => "schedule.cancelled",
        ("SCHEDULE-ENDED", "fail-schedule") => "schedule.failed",
        ("SCHEDULE-ENDED", _) => "schedule.fired",
        ("SEGMENT", _) => of("segment.defined", "segment.changed", "segment.deleted"),
        ("KEY", _) => of("key.created", "key.changed", "key.revoked"),
        ("ISSUER", _) => of("issuer.defined", "issuer.changed", "issuer.deleted"),
        ("PERSON", _) => of("person.added", "person.changed", "person.removed"),
        ("INVITE", _) => of("person.invited", "person.invited", "person.invitation-ended"),
        ("ROLE", _) => of("role.defined", "role.changed", "role.deleted"),
        _ => return None,
    };
    Some((name, rest.replace('#', "/")))
}

fn is_enabled(image: &Image) -> bool {
    let state = image.body.as_ref().and_then(|body| body.get("state"));
    state.and_then(|state| state.get("enabled")).and_then(Json::as_bool).unwrap_or_default()
}

/// The keys that a place holds, by what they are.
fn keys(image: &Image) -> Map<String, Json> {
    // A domain or a tag may hold anything, also what divides keys.
    if let Some(scope) = image.sk.strip_prefix("KILL#") {
        let of_group = scope.strip_prefix("group:").and_then(|rest| rest.split_once('#'));
        let group = of_group.map(|(group, _)| ("group".to_owned(), group.into()));
        let scope = of_group.map_or(scope, |(_, scope)| scope);
        return group.into_iter().chain([("scope".to_owned(), scope.into())]).collect();
    }
    let mut parts = image.sk.split('#');
    let names: &[&str] = match parts.next().unwrap_or_default() {
        "TENANT" => &["tenant"],
        "GROUP" => &["group"],
        "MEMBER" => &["group", "tenant"],
        "FLAG" | "DELETED-FLAG" | "STATE" => &["flag"],
        "OVERRIDE" => &["flag", "tenant"],
        "SEGMENT" | "DELETED-SEGMENT" => &["segment"],
        "SCHEDULE" | "SCHEDULE-ENDED" => &["schedule"],
        "KEY" => &["key"],
        _ => &[],
    };
    names.iter().zip(parts).map(|(name, key)| ((*name).to_owned(), key.into())).collect()
}
