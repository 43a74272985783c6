//! OFREP's bulk evaluation: every flag that the asker may see, in one answer that knows whether it is another.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::IF_NONE_MATCH;
use axum::response::Response;
use flagforge_flags::keys::TenantKey;
use flagforge_flags::time::Timestamp;
use flagforge_flags::{EvalError, KeyKind, Pinned, Snapshot};
use serde::Deserialize;
use tokio::time::{sleep, timeout};
use xxhash_rust::xxh3::xxh3_128;

use crate::asker::Asker;
use crate::browser::shown;
use crate::clock;
use crate::config::Freshness;
use crate::data::holds;
use crate::environment::Environment;
use crate::leave::Leave;
use crate::ofrep::{context, whole};
use crate::position::Position;
use crate::problem::{Refused, tagged};
use crate::refetch::event_streams;
use crate::relay::Relay;
use crate::sheet::{Seen, Sheet, json};

const JSON: &str = "application/json";
/// It is the asker's alone, and asked again each time.
const CACHE: &str = "private, no-cache";
/// How long whoever was told of a newer configuration by another relay waits for it here. Clients give up after 5 to 10
/// seconds.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(2);
/// By how much the clock of a relay that told of an instant may be ahead of this one's.
const SKEW: Duration = Duration::from_secs(10);

/// What a client was told by the event that made it ask. OFREP's `flagConfigLastModified` says no more than the tag that
/// comes with it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    flag_config_etag: Option<String>,
}

type Asked = Result<Query<Told>, QueryRejection>;

/// `POST /ofrep/v1/evaluate/flags`, where there are streams.
pub(crate) async fn evaluate_flags_and_stream(
    State(relay): State<Arc<Relay>>,
    told: Asked,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let streams = relay.config.max_streams > 0;
    let evaluated = evaluated(&relay, told, &headers, body, streams).await;
    shown(evaluated.unwrap_or_else(|refused| refused.ofrep_of_all()))
}

/// `POST /ofrep/v1/evaluate/flags`, where there are none.
pub(crate) async fn evaluate_flags(
    State(relay): State<Arc<Relay>>,
    told: Asked,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let evaluated = evaluated(&relay, told, &headers, body, false).await;
    shown(evaluated.unwrap_or_else(|refused| refused.ofrep_of_all()))
}

async fn evaluated(
    relay: &Relay,
    told: Asked,
    headers: &HeaderMap,
    body: Body,
    streams: bool,
) -> Result<Response, Refused> {
    let mut asker = Asker::of(relay, headers, None).await?;
    let context = context(&asker, headers, &whole(body).await?)?;
    if context.describes_tenant() {
        return Err(Refused::Invalid(EvalError::TenantInContext.to_string()));
    }
    let tenant = context.tenant().cloned();
    // What is no position of ours is somebody else's tag, and says nothing here.
    let told = told.ok().and_then(|Query(told)| Position::parse(&told.flag_config_etag?));
    let mut now = clock::now();
    if let Some(told) = told {
        if !covers(&asker.environment, told) {
            catch_up(relay, &asker, told).await?;
            asker = asker.again()?;
            now = clock::now();
        }
        now = now.max(told.since.min(now.plus(SKEW)));
    }
    let leave = tenant.as_ref().filter(|_| streams).map(|tenant| (tenant, asker.leave(tenant)));
    let pinned = asker.shelf.manifest.view().pin(context, now);
    Ok(answered(&asker, &pinned, leave, headers, now))
}

fn answered(
    asker: &Asker,
    pinned: &Pinned<'_, &Snapshot>,
    leave: Option<(&TenantKey, Leave)>,
    headers: &HeaderMap,
    now: Timestamp,
) -> Response {
    let seen = if asker.kind == KeyKind::Client { Seen::ClientVisible } else { Seen::All };
    let sheet = asker.shelf.sheet();
    let scope = scope(asker, pinned, sheet, seen, leave.as_ref().map(|(_, leave)| leave));
    // Who holds this answer already is told so before any of it is written.
    if headers.contains_key(IF_NONE_MATCH) {
        let tag = tag(scope.clone(), &sheet.decisions(seen, pinned));
        if holds(headers, &tag) {
            return tagged("", JSON, &tag, CACHE, true);
        }
    }
    let mut text = br#"{"flags":"#.to_vec();
    let decisions = sheet.write(seen, pinned, &mut text);
    let tag = tag(scope, &decisions);
    metadata(pinned, &mut text);
    if let Some((tenant, leave)) = leave {
        let (position, _) = Position::of(&asker.shelf, &asker.environment.id, tenant, now);
        text.extend(br#","eventStreams":"#);
        json(&mut text, &event_streams(&leave, position));
    }
    text.push(b'}');
    tagged(text, JSON, &tag, CACHE, false)
}

/// What the tag covers besides the answers: whose they are, what they are made of, and what else is in the body. The leave
/// to listen is in it too: whoever held an answer for so long that its leave is over needs another one.
fn scope(
    asker: &Asker,
    pinned: &Pinned<'_, &Snapshot>,
    sheet: &Sheet,
    seen: Seen,
    leave: Option<&Leave>,
) -> Vec<u8> {
    let id = &asker.environment.id;
    let tenant = pinned.context().tenant().map_or("", |tenant| tenant.as_str());
    let mut scope = Vec::with_capacity(1_024);
    for key in [id.org.as_str(), id.env.as_str(), tenant] {
        scope.extend(key.as_bytes());
        // In no key.
        scope.push(0xff);
    }
    let (epoch, revision) = (pinned.snapshot().root().epoch, pinned.revision());
    for number in [epoch, revision.org, revision.env] {
        scope.extend(number.to_le_bytes());
    }
    scope.extend([u8::from(seen == Seen::All), u8::from(pinned.tenant_known())]);
    scope.extend(sheet.digest().to_le_bytes());
    let until = leave.map_or(0, |leave| leave.expires().as_millis());
    scope.extend(until.to_le_bytes());
    scope
}

fn tag(mut scope: Vec<u8>, decisions: &[u8]) -> String {
    scope.extend(decisions);
    format!("\"{:032x}\"", xxh3_128(&scope))
}

/// What is said of all answers. Their age is not in the tag: it is another each second.
fn metadata(pinned: &Pinned<'_, &Snapshot>, text: &mut Vec<u8>) {
    text.extend(br#","metadata":{"revision":"#);
    json(text, &pinned.revision());
    text.extend(br#","tenantKnown":"#);
    json(text, &pinned.tenant_known());
    text.extend(br#","ageSeconds":"#);
    json(text, &pinned.age().as_secs());
    text.push(b'}');
}

fn covers(environment: &Environment, told: Position) -> bool {
    let shelf = environment.shelf();
    let root = shelf.manifest.snapshot().root();
    let since = Timestamp::default();
    Position { epoch: root.epoch, revision: root.revision, since }.covers(told)
}

/// Waits until what the client was told of is here. Older answers would be taken for new ones, and kept.
async fn catch_up(relay: &Relay, asker: &Asker, told: Position) -> Result<(), Refused> {
    let environment = &asker.environment;
    let _place = asker.wait(relay)?;
    // Before the first look, so that nothing is missed.
    let mut turns = environment.turns();
    let here = async {
        while !covers(environment, told) {
            if relay.config.freshness == Freshness::Background {
                environment.ring();
                tokio::select! {
                    _ = turns.changed() => {}
                    () = sleep(CATCH_UP_WITHIN / 4) => {}
                }
            } else {
                environment.refresh().await;
                sleep(CATCH_UP_WITHIN / 8).await;
            }
        }
    };
    let in_time = timeout(CATCH_UP_WITHIN, here).await;
    in_time.map_err(|_| Refused::Unavailable("what the event told of has not come here yet"))
}
