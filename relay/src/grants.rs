//! Leave to read the bucket itself, or the distribution in front of it: a key is exchanged for what reads its own scope (DESIGN §8).

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flagforge::origin::{Grant, GrantKind};
use flagforge_flags::KeyKind;
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::time::Timestamp;
use serde::Deserialize;
use tokio::sync::Mutex;
use tracing::warn;

use crate::clock;
use crate::data::{Place, Relayed, admitted, nothing, respond};
use crate::problem::{Refused, answer, private};

/// Grants that are kept: some 4 KB each. Beyond it all are forgotten, and asked for again.
const MAX_KEPT: usize = 4_096;
/// A grant is given to several of its scope while it has this much of its life left, so that a fleet which starts at
/// once costs one credential.
const SHARED_WHILE_LEFT: (u32, u32) = (3, 4);

/// Who gives leave to read a scope's objects, and nothing else: on AWS it is STS, or a key that CloudFront trusts.
#[async_trait]
pub trait Grants: Send + Sync + Debug {
    /// A new grant of this kind, `None` where there is none to be had. It reads the root of this scope, chunks and trust
    /// documents; for [`Scope::Relay`](flagforge_flags::manifest::Scope::Relay) the environment's root too. Bounded in time.
    async fn grant(
        &self,
        scope: &ScopeId,
        kind: GrantKind,
    ) -> Result<Option<Grant>, Box<dyn Error + Send + Sync>>;
}

/// The grants of this process.
#[derive(Debug)]
pub(crate) struct Granted {
    by: Arc<dyn Grants>,
    kept: Mutex<HashMap<(ScopeId, GrantKind), (Grant, Timestamp)>>,
}

impl Granted {
    pub(crate) fn new(by: Arc<dyn Grants>) -> Self {
        Self { by, kept: Mutex::default() }
    }

    /// A grant for a scope; `None` where there is none of this kind, and for a key that ends before it would: nothing outlives
    /// what it was given for.
    pub(crate) async fn of(
        &self,
        scope: ScopeId,
        kind: GrantKind,
        key_ends: Option<Timestamp>,
    ) -> Result<Option<Grant>, Refused> {
        // One at a time asks: those who wait are given the same.
        let mut kept = self.kept.lock().await;
        let now = clock::now();
        let of = (scope, kind);
        let grant = match kept.get(&of) {
            Some((grant, until)) if now < *until => grant.clone(),
            _ => {
                let given = self.by.grant(&of.0, kind).await.map_err(|error| {
                    warn!(scope = %of.0, error = flagforge::chain(&*error), "nothing was granted");
                    Refused::Unavailable("nothing can be granted just now")
                })?;
                let Some(grant) = given else { return Ok(None) };
                if kept.len() >= MAX_KEPT {
                    kept.clear();
                }
                let (left, parts) = SHARED_WHILE_LEFT;
                let shared: Duration = grant.expires.since(now) / parts * (parts - left);
                kept.insert(of, (grant.clone(), now.plus(shared)));
                grant
            }
        };
        Ok(Some(grant).filter(|grant| key_ends.is_none_or(|ends| grant.expires <= ends)))
    }
}

/// What is asked for: without a word it is what there was before there were kinds.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    kind: Option<String>,
}

/// `POST /data/v1/{org}/{env}/grant`: 204 where nothing is granted, and this relay is to be read.
pub(crate) async fn grant(
    State(relay): Relayed,
    place: Place<(String, String)>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    respond(async {
        let Path((org, env)) = place.map_err(|_| nothing())?;
        let Query(wanted) = wanted.map_err(|error| Refused::Invalid(error.body_text()))?;
        let asker = admitted(&relay, &headers, &org, &env).await?;
        let scope = match asker.kind {
            _ if asker.names_tenant(&headers) => Scope::Tenant(asker.tenant(&headers, None)?),
            KeyKind::Relay => Scope::Relay,
            KeyKind::Server | KeyKind::Client | KeyKind::Management => Scope::Environment,
        };
        let scope = asker.environment.id.scope(scope);
        // A kind that only a newer relay knows is one that this one does not give.
        let kind = wanted.kind.as_deref().map_or(Some(GrantKind::default()), GrantKind::parse);
        let grant = match (&relay.granted, kind) {
            (Some(granted), Some(kind)) => granted.of(scope, kind, asker.ends).await?,
            _ => None,
        };
        let mut response = match grant {
            Some(grant) => answer(&grant),
            None => private(StatusCode::NO_CONTENT.into_response()),
        };
        // Credentials are nobody else's to keep.
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(CACHE_CONTROL, no_store);
        Ok(response)
    })
    .await
}
