//! `EventStream`: that a provider is connected, and which flags changed.
//!
//! Some providers open it without any metadata, and are of no use until it says that they are connected. So whoever shows no
//! key is told that, and not a word of any environment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use flagforge_flags::keys::TenantKey;
use flagforge_flags::{Flag, KeyKind, Snapshot};
use futures_util::stream;
use serde_json::{Map, Value as Json};
use tokio::time::{Instant, sleep_until};

use super::call::Told;
use super::caller::{has_key, headers_of};
use super::follow::{Followed, Life};
use super::message::{Event, Nothing};
use super::structs::structure;
use crate::problem::Refused;
use crate::relay::Relay;

/// `EventStream`
pub(super) async fn stream(
    relay: Arc<Relay>,
    headers: HeaderMap,
    _: Nothing,
) -> Result<Told<Event>, Refused> {
    let headers = headers_of(headers)?;
    let (followed, taken) = if has_key(&headers) {
        let followed = Followed::of(&relay, &headers).await?;
        let taken = followed.seat(&relay)?;
        (Some(followed), taken)
    } else {
        (None, relay.strangers.take_of_nobody()?)
    };
    let life = Life::of(&relay, taken);
    let telling =
        Telling { followed, life, heartbeat: relay.config.heartbeat, greeted: false, over: false };
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
    followed: Option<Followed>,
    life: Life,
    heartbeat: Duration,
    greeted: bool,
    over: bool,
}

impl Telling {
    async fn next(&mut self) -> Result<Event, tonic::Status> {
        if !self.greeted {
            self.greeted = true;
            return Ok(event("provider_ready", Map::new()));
        }
        let silent_until = Instant::now() + self.heartbeat;
        let followed = &mut self.followed;
        let turned = self.life.during(async {
            match followed {
                Some(followed) => followed.changed(silent_until).await,
                None => {
                    sleep_until(silent_until).await;
                    Ok(None)
                }
            }
        });
        Ok(match turned.await? {
            Some(flags) => {
                let flags = flags.into_iter().map(|key| (key, Json::Object(Map::new())));
                let data = Map::from_iter([("flags".to_owned(), Json::Object(flags.collect()))]);
                event("configuration_change", data)
            }
            None => event("keep_alive", Map::new()),
        })
    }
}

impl Followed {
    /// The keys of the flags that may answer otherwise than before.
    async fn changed(&mut self, until: Instant) -> Result<Option<BTreeSet<String>>, Refused> {
        while let Some(before) = self.turned(until).await? {
            let client = self.asker().is_some_and(|asker| asker.kind == KeyKind::Client);
            let (before, now) = (before.manifest.snapshot(), self.shelf().manifest.snapshot());
            let changed = changed(before, now, self.tenant.as_ref(), client);
            if !changed.is_empty() {
                return Ok(Some(changed));
            }
        }
        Ok(None)
    }
}

fn changed(
    before: &Snapshot,
    now: &Snapshot,
    tenant: Option<&TenantKey>,
    client: bool,
) -> BTreeSet<String> {
    let segments = |snapshot: &Snapshot| -> BTreeSet<(String, Option<u64>)> {
        let all = snapshot.segments();
        all.map(|(key, it)| (key.to_owned(), it.ok().map(|it| it.version()))).collect()
    };
    let all = segments(before) != segments(now) || facts(before, tenant) != facts(now, tenant);
    let version = |snapshot: &Snapshot, key: &str| {
        snapshot.flag(key).map(|flag| flag.ok().map(|flag| (flag.version(), flag.client_visible())))
    };
    let mut changed: BTreeSet<String> = (before.flags().chain(now.flags()))
        .filter(|(key, _)| all || version(before, key) != version(now, key))
        .map(|(key, _)| key.to_owned())
        .collect();
    let overridden = (overrides(before, tenant), overrides(now, tenant));
    changed.extend(overridden.0.symmetric_difference(&overridden.1).map(|(key, _)| key.clone()));
    // Neither that there is a flag is said to clients that may not see it, nor that there was one.
    let visible = |snapshot: &Snapshot, key: &str| {
        snapshot.flag(key).and_then(Result::ok).is_some_and(Flag::client_visible)
    };
    changed.retain(|key| !client || visible(before, key) || visible(now, key));
    changed
}

/// What rules may ask of the tenant.
fn facts<'s>(
    snapshot: &'s Snapshot,
    tenant: Option<&TenantKey>,
) -> Option<(&'s Map<String, Json>, Vec<&'s str>)> {
    let tenant = snapshot.tenant(tenant?.as_str())?.ok()?;
    Some((tenant.attributes(), tenant.groups().iter().map(|group| group.as_str()).collect()))
}

fn overrides(snapshot: &Snapshot, tenant: Option<&TenantKey>) -> BTreeSet<(String, String)> {
    let tenant = tenant.and_then(|tenant| snapshot.tenant(tenant.as_str())?.ok());
    let overrides = tenant.into_iter().flat_map(flagforge_flags::Tenant::overrides);
    overrides.map(|(flag, variant)| (flag.to_string(), variant.to_string())).collect()
}

fn event(kind: &str, data: Map<String, Json>) -> Event {
    Event { kind: kind.to_owned(), data: Some(structure(data)) }
}
