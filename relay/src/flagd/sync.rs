//! The sync service, for providers that evaluate by themselves: one tenant's flags as definitions, and again whenever they
//! are others.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use flagforge_flags::KeyKind;
use flagforge_flags::keys::TenantKey;
use futures_util::stream;
use tokio::time::Instant;

use super::call::Told;
use super::caller::{headers_of, with_selector};
use super::export::{Export, Exports, Valid};
use super::follow::{Followed, Life};
use super::message::{Flags, Select};
use crate::asker::Asker;
use crate::clock;
use crate::problem::Refused;
use crate::relay::Relay;
use crate::sheet::Seen;

/// The longest that a stream sleeps: clocks may be set, and what it waits for may come sooner by that.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// `FetchAllFlags`
pub(super) async fn fetch(
    relay: Arc<Relay>,
    headers: HeaderMap,
    asked: Select,
) -> Result<Flags, Refused> {
    let headers = headers_of(with_selector(headers, &asked.selector)?)?;
    let asker = Asker::of(&relay, &headers, None).await?;
    if !asker.names_tenant(&headers) {
        return Err(no_tenant());
    }
    let tenant = asker.tenant(&headers, None)?;
    let export = Exports::of(&asker.shelf, &tenant, seen(&asker), clock::now());
    Ok(Flags { flag_configuration: export.text.clone() })
}

/// `SyncFlags`
pub(super) async fn stream(
    relay: Arc<Relay>,
    headers: HeaderMap,
    asked: Select,
) -> Result<Told<Flags>, Refused> {
    let headers = headers_of(with_selector(headers, &asked.selector)?)?;
    let followed = Followed::of(&relay, &headers).await?;
    let tenant = followed.tenant.clone().ok_or_else(no_tenant)?;
    let life = Life::of(&relay, followed.seat(&relay)?);
    let telling = Telling { followed, tenant, life, told: None, over: false };
    Ok(Box::pin(stream::unfold(telling, |mut telling| async {
        if telling.over {
            return None;
        }
        let told = telling.next().await;
        telling.over = told.is_err();
        Some((told, telling))
    })))
}

struct Telling {
    followed: Followed,
    tenant: TenantKey,
    life: Life,
    /// What was told last, by its digest.
    told: Option<u128>,
    over: bool,
}

impl Telling {
    async fn next(&mut self) -> Result<Flags, tonic::Status> {
        let Self { followed, tenant, life, told, .. } = self;
        let export = life.during(another(followed, tenant, *told)).await?;
        *told = Some(export.digest);
        Ok(Flags { flag_configuration: export.text.clone() })
    }
}

/// Waits until the definitions are others than those that were told.
async fn another(
    followed: &mut Followed,
    tenant: &TenantKey,
    told: Option<u128>,
) -> Result<Arc<Export>, Refused> {
    let mut looked: Option<Valid> = None;
    loop {
        let now = clock::now();
        let turned = followed.look()?.is_some();
        let seen = followed.asker().map_or(Seen::ClientVisible, seen);
        let shelf = followed.shelf();
        // A look at the origin that found nothing wakes every stream, and costs this much.
        let stands = looked.filter(|valid| !turned && valid.stands(&shelf.manifest, now));
        let valid = match stands {
            Some(valid) => valid,
            None => {
                let export = Exports::of(shelf, tenant, seen, now);
                if told != Some(export.digest) {
                    return Ok(export);
                }
                export.valid
            }
        };
        looked = Some(valid);
        let wait = valid.until.map_or(LOOK_EVERY, |until| until.since(now).min(LOOK_EVERY));
        followed.stirred(Instant::now() + wait).await?;
    }
}

fn seen(asker: &Asker) -> Seen {
    if asker.kind == KeyKind::Client { Seen::ClientVisible } else { Seen::All }
}

fn no_tenant() -> Refused {
    let detail =
        "name the tenant: tenant=<tenant> in the selector, or the metadata flagforge-tenant";
    Refused::Invalid(detail.to_owned())
}
