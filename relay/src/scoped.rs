//! Roots that are read when somebody asks for them: one tenant's, and the canaries'.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use flagforge_flags::manifest::Scope;
use futures_util::StreamExt;
use tokio::time::sleep;
use tokio_stream::wrappers::WatchStream;

use crate::asked_for::{AskedRoot, Current};
use crate::asker::Asker;
use crate::config::Freshness;
use crate::data::{Place, Relayed, admitted, dressed_root, holds, nothing, respond, streamed};
use crate::environment::Environment;
use crate::news::Asked;
use crate::prefer::preferred_wait;
use crate::problem::Refused;
use crate::relay::Relay;

/// `GET /data/v1/{org}/{env}/tenant`: the manifest of one tenant, the key's own or the header's.
pub(crate) async fn tenant_root(
    State(relay): Relayed,
    place: Place<(String, String)>,
    headers: HeaderMap,
) -> Response {
    respond(async {
        let Path((org, env)) = place.map_err(|_| nothing())?;
        let asker = admitted(&relay, &headers, &org, &env).await?;
        let place = place_of(&relay, &asker, &headers)?;
        root_asked_for(&relay, &headers, asker, place).await
    })
    .await
}

/// `GET /data/v1/{org}/{env}/canary`: the environment with what is tried out there.
pub(crate) async fn canary_root(
    State(relay): Relayed,
    place: Place<(String, String)>,
    headers: HeaderMap,
) -> Response {
    respond(async {
        let Path((org, env)) = place.map_err(|_| nothing())?;
        let asker = admitted(&relay, &headers, &org, &env).await?;
        asker.speaks_for_all()?;
        let place = asked_for(&relay, &asker, &Scope::Canary);
        root_asked_for(&relay, &headers, asker, place).await
    })
    .await
}

/// As [`root`](crate::data), of one tenant or the canaries.
async fn root_asked_for(
    relay: &Relay,
    headers: &HeaderMap,
    asker: Asker,
    place: Arc<AskedRoot>,
) -> Result<Response, Refused> {
    let mut rounds = asker.environment.rounds();
    let mut round = *rounds.borrow_and_update();
    let mut current = place.in_round(round).await;
    let wait = preferred_wait(headers);
    let wait = wait.filter(|_| relay.config.freshness == Freshness::Background);
    let held = |current: &Option<Arc<Current>>| {
        current.as_ref().is_some_and(|current| holds(headers, &current.document.etag))
    };
    if let Some(wait) = wait.filter(|wait| !wait.is_zero() && held(&current)) {
        let _place = asker.wait(relay)?;
        let another = async {
            while held(&current) && rounds.changed().await.is_ok() {
                round = *rounds.borrow_and_update();
                current = place.in_round(round).await;
            }
        };
        tokio::select! {
            () = another => {}
            () = sleep(wait) => {}
            () = relay.closed() => {}
        }
        // A key that was revoked meanwhile gets nothing any more.
        asker.again()?;
    }
    let Current { document, .. } = &*current.ok_or(Refused::NotFound("root"))?;
    Ok(dressed_root(document, headers, wait))
}

/// `GET /data/v1/{org}/{env}/tenant/stream`: as `stream`, of one tenant's roots and nobody else's.
pub(crate) async fn tenant_stream(
    State(relay): Relayed,
    place: Place<(String, String)>,
    pushed: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    respond(async {
        let Path((org, env)) = place.map_err(|_| nothing())?;
        let asker = admitted(&relay, &headers, &org, &env).await?;
        let place = place_of(&relay, &asker, &headers)?;
        let pushed = Asked::of(pushed)?;
        let taken = asker.stream(&relay)?;
        let rounds = WatchStream::new(asker.environment.rounds());
        let mut told = None;
        let news = rounds.then(move |round| {
            let place = Arc::clone(&place);
            async move { place.in_round(round).await }
        });
        let news = news.filter_map(move |current| {
            let current = current.map(|current| Arc::clone(&current.news));
            let new = current.filter(|news| told.as_ref() != Some(&news.announcement));
            if let Some(news) = &new {
                told = Some(news.announcement.clone());
            }
            std::future::ready(new)
        });
        Ok(streamed(&relay, taken, news, pushed))
    })
    .await
}

/// Where the root of the tenant is held on whose behalf somebody asks.
pub(crate) fn place_of(
    relay: &Relay,
    asker: &Asker,
    headers: &HeaderMap,
) -> Result<Arc<AskedRoot>, Refused> {
    let tenant = asker.tenant(headers, None)?;
    // Who may ask for any tenant may not make the relay ask its origin for what nobody has heard of.
    let known = asker.shelf.manifest.snapshot().tenant(tenant.as_str()).is_some();
    if !known {
        return Err(Refused::NotFound("tenant"));
    }
    Ok(asked_for(relay, asker, &Scope::Tenant(tenant)))
}

pub(crate) fn asked_for(relay: &Relay, asker: &Asker, scope: &Scope) -> Arc<AskedRoot> {
    asked_for_by(relay, &asker.environment, scope)
}

pub(crate) fn asked_for_by(
    relay: &Relay,
    environment: &Environment,
    scope: &Scope,
) -> Arc<AskedRoot> {
    let Environment { id, asked_for, .. } = environment;
    asked_for.of(id, scope, &relay.origin, &relay.config.pinned)
}
