//! Reasons are free text, in which somebody may be named. Entries have seals in their place; the reasons of each entry
//! and their salt stand beside the log in a record of its own, so that each can be erased by itself.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::{ERASED, SEAL, Texts};
use crate::Platform;
use crate::error::Error;
use crate::log::LogEntry;
use crate::place::{self, LogId};
use crate::plan::Plan;
use crate::ports::Query;
use crate::store::{ABSENT, decode};

/// Entries without a reason that are read over, where reading on is cheaper than asking anew.
const MAX_GAP: u64 = 16;

/// Where records of a kind have reasons.
fn pointers(sk: &str) -> &'static [&'static str] {
    match sk.split('#').next().unwrap_or_default() {
        "KILL" | "OVERRIDE" => &["/reason"],
        "DELETED-FLAG" | "DELETED-SEGMENT" => &["/deleted/reason"],
        "SCHEDULE" | "SCHEDULE-ENDED" => &["/reason", "/change/reason"],
        _ => &[],
    }
}

/// Calls with each reason of a record.
pub(crate) fn each_in_record(sk: &str, body: &mut Json, mut with: impl FnMut(&mut String)) {
    for pointer in pointers(sk) {
        match body.pointer_mut(pointer) {
            Some(Json::String(reason)) if !reason.is_empty() => with(reason),
            _ => {}
        }
    }
}

/// Calls with each reason of an entry.
pub(crate) fn each_in_entry(entry: &mut LogEntry, mut with: impl FnMut(&mut String)) {
    entry.reason.iter_mut().for_each(&mut with);
    for image in &mut entry.images {
        if let Some(body) = &mut image.body {
            each_in_record(&image.sk, body, &mut with);
        }
    }
}

/// Puts seals into the images of a plan and answers that of the change's own reason; the texts go beside the log.
pub(crate) fn seal_reasons(
    plan: &mut Plan,
    log: &LogId,
    reason: Option<&String>,
) -> Result<Option<String>, Error> {
    let mut texts = Texts::new()?;
    let sealed = reason.map(|reason| texts.seal(reason));
    for image in &mut plan.images {
        if let Some(body) = &mut image.body {
            each_in_record(&image.sk, body, |reason| {
                if reason != ERASED {
                    *reason = texts.seal(reason);
                }
            });
        }
    }
    if !texts.texts.is_empty() {
        plan.put_beside(place::reasons(log, plan.number), ABSENT, &texts)?;
    }
    Ok(sealed)
}

impl Platform {
    /// Puts reasons in place of their seals, for readers. What was written without a seal is as it was.
    pub(crate) async fn unseal_reasons(
        &self,
        log: &LogId,
        entries: &mut [&mut LogEntry],
    ) -> Result<(), Error> {
        let mut sealed = Vec::new();
        for entry in entries.iter_mut() {
            let number = entry.number;
            each_in_entry(entry, |reason| {
                if reason.starts_with(SEAL) {
                    sealed.push(number);
                }
            });
        }
        sealed.sort_unstable();
        sealed.dedup();
        let kept = self.reasons_of(log, &sealed).await?;
        for entry in entries.iter_mut() {
            let texts = kept.get(&entry.number);
            each_in_entry(entry, |reason| {
                if reason.starts_with(SEAL) {
                    let found = texts.and_then(|texts| texts.texts.get(reason));
                    *reason = found.map_or(ERASED, String::as_str).to_owned();
                }
            });
        }
        Ok(())
    }

    /// What is kept of these entries' reasons. Numbers go up; those close together are read at once.
    async fn reasons_of(&self, log: &LogId, numbers: &[u64]) -> Result<HashMap<u64, Texts>, Error> {
        let mut kept = HashMap::new();
        for run in numbers.chunk_by(|one, next| next - one <= MAX_GAP) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let (from, until) = (place::reasons(log, *first), place::reasons(log, last + 1));
            let mut query = Query::prefix(from.pk, "");
            (query.from, query.until) = (from.sk, until.sk);
            loop {
                let page = self.table().query(&query).await?;
                for item in &page.items {
                    kept.insert(item.version, decode(item)?.value);
                }
                match page.next {
                    None => break,
                    next => query.page = next,
                }
            }
        }
        Ok(kept)
    }
}
