//! Erasing what names an actor: beside the log, and in the record that stands.

use flagforge_flags::keys::OrgKey;
use serde_json::Value as Json;

use super::Plan;
use crate::error::Error;
use crate::personal::{ERASED, NAMING, Texts};
use crate::place;
use crate::ports::{Condition, ItemKey, Table, Write};
use crate::store::{self, Stored};

pub(super) async fn draw(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    actor: &str,
) -> Result<(), Error> {
    let mut found = false;
    for (kind, fields) in NAMING {
        let sk = format!("{kind}#{actor}");
        let beside = place::texts(org, &sk);
        let texts: Option<Stored<Texts>> = store::read(table, &beside).await?;
        if let Some(texts) = texts {
            found = true;
            let condition = Condition::Version(texts.version);
            plan.writes.push(Write::Delete { key: beside, condition });
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
