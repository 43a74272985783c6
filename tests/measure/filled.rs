//! An organization of a size, for those who measure at it: flags defined through `commit`, tenants by an import.

use anyhow::{Context as _, bail};
use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, TenantKey};
use flagforge_platform::import::{Import, ImportFormat, ImportState, NewImport, OnError};
use flagforge_platform::{Caller, Change, Outcome, Platform, Request};
use serde_json::{Value as Json, json};

/// Under the limit of a part.
const PART_BYTES: usize = 3 * 1024 * 1024;

pub(crate) fn org() -> anyhow::Result<OrgKey> {
    Ok(OrgKey::new("scale")?)
}

pub(crate) fn env() -> anyhow::Result<EnvKey> {
    Ok(EnvKey::new("prod")?)
}

pub(crate) fn flag(number: usize) -> anyhow::Result<FlagKey> {
    Ok(FlagKey::new(&format!("flag-{number:05}"))?)
}

pub(crate) fn tenant(number: usize) -> anyhow::Result<TenantKey> {
    Ok(TenantKey::new(&format!("tenant-{number:06}"))?)
}

pub(crate) fn caller() -> Caller {
    Caller::system("scale")
}

pub(crate) async fn commit(platform: &Platform, change: Change) -> anyhow::Result<Json> {
    let request = Request { reason: Some("measured".to_owned()), ..Request::of(change, "scale") };
    match platform.commit(&caller(), &request).await? {
        Outcome::Committed(committed) => Ok(committed.body.unwrap_or_default()),
        Outcome::ChangeRequested(id) => bail!("{id} waits for approval"),
    }
}

/// Boolean flags of the class release, from the number of the first on.
pub(crate) async fn flags(platform: &Platform, count: usize) -> anyhow::Result<()> {
    for number in 0..count {
        let definition = json!({"class": "release", "type": "boolean"});
        let change = Change::PutFlag {
            org: org()?,
            flag: flag(number)?,
            uid: format!("uid-of-flag-{number}"),
            definition: serde_json::from_value(definition)?,
        };
        commit(platform, change).await?;
    }
    Ok(())
}

pub(crate) async fn tenants(platform: &Platform, count: usize) -> anyhow::Result<()> {
    let request = |change| Request::of(change, "scale");
    let (who, org) = (caller(), org()?);
    let (format, on_error) = (ImportFormat::Ndjson, OnError::Nothing);
    let new = NewImport { format, on_error, dry_run: false };
    let (_, outcome) = platform.begin_import(&who, &org, new, request).await?;
    let Outcome::Committed(committed) = outcome else { bail!("not committed") };
    let id = serde_json::from_value::<Import>(committed.body.context("no import")?)?.id;
    let mut file = String::new();
    for number in 0..count {
        let attributes = json!({"plan": "free", "seats": number % 500, "region": "eu"});
        let line = json!({"key": tenant(number)?, "attributes": attributes});
        file.push_str(&format!("{line}\n"));
    }
    let mut parts = 0;
    for part in file.into_bytes().chunks(PART_BYTES) {
        let bytes = bytes::Bytes::copy_from_slice(part);
        platform.put_import_part(&who, &org, &id, parts, bytes).await?;
        parts += 1;
    }
    let mut import = platform.start_import(&who, &org, &id, parts, &request).await?;
    while import.value.state == ImportState::Applying {
        import = platform.continue_import(&who, &org, &id, &request).await?;
    }
    Ok(())
}
