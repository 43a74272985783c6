//! Whoever listens somewhere else: over a connection that is held open by others, as API Gateway holds those of WebSocket.
//! Who may listen, and what there is to hear, is decided here, from the same keys and roots as everything else.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::response::Response;
use flagforge::origin::Announcement;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::time::Timestamp;

use crate::asker::{Asker, bound_tenant};
use crate::clock;
use crate::data::{NOT_A_SERVICE, SERVICES};
use crate::env_id::EnvId;
use crate::environment::Environment;
use crate::problem::Refused;
use crate::relay::Relay;
use crate::scoped::{asked_for_by, place_of};

/// Somebody who may hear of the roots of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Whose roots.
    pub scope: ScopeId,
    /// The id of the key that was shown.
    pub key: String,
    /// When that key ends, where it does.
    pub ends: Option<Timestamp>,
    /// The root that there is now.
    pub newest: Option<Announcement>,
}

/// What there is to hear of an environment, and who may hear it, as of one look at the origin.
#[derive(Debug)]
pub struct News<'r> {
    relay: &'r Relay,
    environment: Arc<Environment>,
}

impl Relay {
    /// Lets somebody listen to the scope whose manifest they may read: their tenant's, the one that a header names, or the
    /// environment's. The error is what a request is answered that is refused.
    pub async fn admit(&self, headers: &HeaderMap) -> Result<Admitted, Response> {
        self.admitted(headers).await.map_err(|refused| refused.problem())
    }

    async fn admitted(&self, headers: &HeaderMap) -> Result<Admitted, Refused> {
        let asker = Asker::of(self, headers, None).await?;
        asker.needs(SERVICES, NOT_A_SERVICE)?;
        let scope = match asker.names_tenant(headers) {
            true => place_of(self, &asker, headers)?.scope().clone(),
            false => asker.environment.id.scope(Scope::Environment),
        };
        let (key, ends) = (asker.key_id().to_owned(), asker.ends);
        let news = News { relay: self, environment: asker.environment };
        let newest = news.newest(&scope.scope).await;
        Ok(Admitted { scope, key, ends, newest })
    }

    /// Asks the origin what there is of an environment; `None` where it cannot be had, or is not there.
    pub async fn news(&self, org: &OrgKey, env: &EnvKey) -> Option<News<'_>> {
        let id = EnvId { org: org.clone(), env: env.clone() };
        let environment = self.environment(id).await.ok()?;
        environment.refresh().await;
        Some(News { relay: self, environment })
    }
}

impl News<'_> {
    /// The newest root of a scope; `None` where there is none.
    pub async fn newest(&self, scope: &Scope) -> Option<Announcement> {
        let environment = &*self.environment;
        if *scope == Scope::Environment {
            return environment.news().borrow().as_ref().map(|news| news.announcement.clone());
        }
        let round = *environment.rounds().borrow();
        let current = asked_for_by(self.relay, environment, scope).in_round(round).await?;
        Some(current.news.announcement.clone())
    }

    /// Whether whoever was let in with this key may still hear of the scope: it may be revoked since, or be over.
    pub fn may_hear(&self, scope: &Scope, key: &str) -> bool {
        let shelf = self.environment.shelf();
        let known = shelf.keys.snapshot().key(key).and_then(Result::ok);
        let known = known.filter(|known| SERVICES.contains(&known.kind));
        let now = clock::now();
        let known = known.filter(|known| known.expires.is_none_or(|expires| now < expires));
        let bound = known.map(|known| bound_tenant(&self.environment, known));
        match (bound, scope) {
            (Some(Ok(None)), _) => true,
            (Some(Ok(Some(bound))), Scope::Tenant(tenant)) => bound == *tenant,
            _ => false,
        }
    }
}
