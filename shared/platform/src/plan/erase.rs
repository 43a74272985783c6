//! Erasing what names an actor: beside the log, and in the record that stands.

use flagforge_flags::keys::OrgKey;
use serde_json::Value as Json;

use super::{Plan, people};
use crate::caller::Caller;
use crate::commit::Precondition;
use crate::error::Error;
use crate::log::LogEntry;
use crate::personal::{self, ERASED, IdOf, Identity, NAMING, SEAL, Texts};
use crate::place::{self, LogId};
use crate::ports::{Condition, ItemKey, Table, Write};
use crate::record::Override;
use crate::store::{self, Stored};

pub(super) async fn draw(
    table: &dyn Table,
    caller: &Caller,
    plan: &mut Plan,
    org: &OrgKey,
    actor: &str,
) -> Result<(), Error> {
    let mut found = erase_person(table, caller, plan, org, actor).await?;
    for (kind, fields) in NAMING {
        let sk = format!("{kind}#{actor}");
        let beside = place::texts(org, &sk);
        let texts: Option<Stored<Texts>> = store::read(table, &beside).await?;
        if let Some(texts) = texts {
            found = true;
            forget(plan, beside, texts.version);
        }
        let place = ItemKey::new(place::org_pk(org), sk);
        let stands: Option<Stored<Json>> = store::read(table, &place).await?;
        if let Some(Stored { value: mut record, version }) = stands {
            found = true;
            for field in fields {
                if let Some(text) = record.get_mut(*field) {
                    *text = ERASED.into();
                }
            }
            plan.put(place, version, &record)?;
        }
    }
    if found { Ok(()) } else { Err(Error::NotFound { what: "actor" }) }
}

/// Forgets whom a person's id stands for, and takes away what they may by name: that record names them, and whoever
/// may not remove them may not erase them. Answers whether there is such a person.
async fn erase_person(
    table: &dyn Table,
    caller: &Caller,
    plan: &mut Plan,
    org: &OrgKey,
    id: &str,
) -> Result<bool, Error> {
    let mut found = false;
    let member: Option<Stored<Json>> = store::read(table, &place::person(org, id)).await?;
    if member.is_some() {
        found = true;
        people::remove(table, caller, plan, (org, id), Precondition::None).await?;
    }
    let place = place::identity(org, id);
    let identity: Option<Stored<Identity>> = store::read(table, &place).await?;
    if let Some(identity) = identity {
        found = true;
        forget(plan, place, identity.version);
        let place = place::claims(org, id);
        let claims: Option<Stored<Json>> = store::read(table, &place).await?;
        if let Some(claims) = claims {
            forget(plan, place, claims.version);
        }
        let place = place::id_of(org, &identity.value);
        let noted: Option<Stored<IdOf>> = store::read(table, &place).await?;
        if let Some(noted) = noted.filter(|noted| noted.value.id == id) {
            forget(plan, place, noted.version);
        }
    }
    Ok(found)
}

/// Forgets the reasons of an entry, also in what still stands as that entry wrote it.
pub(super) async fn draw_reason(
    table: &dyn Table,
    plan: &mut Plan,
    log: &LogId,
    number: u64,
) -> Result<(), Error> {
    let entry: Stored<LogEntry> = store::standing(table, &log.entry(number), "entry").await?;
    let mut entry = entry.value;
    let place = place::reasons(log, number);
    let texts: Option<Stored<Texts>> = store::read(table, &place).await?;
    let Some(texts) = texts else {
        let mut was_written = false;
        personal::each_in_entry(&mut entry, |reason| was_written |= !reason.starts_with(SEAL));
        let message = "is of an entry from before reasons were kept apart; it cannot be erased";
        return Err(match was_written {
            true => Error::invalid("reason", message),
            false => Error::NotFound { what: "reason" },
        });
    };
    forget(plan, place, texts.version);
    for image in entry.images {
        let key = ItemKey::new(image.pk, image.sk);
        let stands: Option<Stored<Json>> = store::read(table, &key).await?;
        let Some(mut stands) = stands.filter(|stands| stands.version == number) else { continue };
        let mut has_reason = false;
        personal::each_in_record(&key.sk, &mut stands.value, |reason| {
            has_reason = true;
            ERASED.clone_into(reason);
        });
        match (has_reason, &log.env) {
            (true, Some(env)) if key.sk.starts_with("OVERRIDE#") => {
                let record: Override = serde_json::from_value(stands.value)
                    .map_err(|error| Error::internal("a stored record could not be read", error))?;
                plan.put_override((&log.org, env), stands.version, &record)?;
            }
            (true, _) => plan.put(key, stands.version, &stands.value)?,
            (false, _) => {}
        }
    }
    Ok(())
}

/// Removes what stands beside the log, and leaves no trace in it.
fn forget(plan: &mut Plan, key: ItemKey, version: u64) {
    plan.writes.push(Write::Delete { key, condition: Condition::Version(version) });
}
