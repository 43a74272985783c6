//! Who asks: the access key in the request, held against the keys in the relay scope's manifest. Nothing
//! of the control plane is needed for it.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use flagforge_flags::keys::{EnvKey, TenantKey};
use flagforge_flags::manifest::{Digest, KeyWire};
use flagforge_flags::time::Timestamp;
use flagforge_flags::{AccessKey, KeyKind};

use crate::clock;
use crate::env_id::EnvId;
use crate::environment::Environment;
use crate::leave::Leave;
use crate::problem::Refused;
use crate::rates::Rates;
use crate::relay::{NoEnvironment, Relay};
use crate::seats::Seat;
use crate::shelf::Shelf;

const ENVIRONMENT: &str = "FlagForge-Environment";
const TENANT: &str = "FlagForge-Tenant";

/// A request whose key is known. Only [`Asker::of`] makes one, and only through one is anything of an
/// environment reached.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) kind: KeyKind,
    pub(crate) environment: Arc<Environment>,
    /// What is handed out, as it was when the key was looked up.
    pub(crate) shelf: Arc<Shelf>,
    bound_tenant: Option<TenantKey>,
    /// When the key ends, where it does.
    pub(crate) ends: Option<Timestamp>,
    key: AccessKey,
    rates: Arc<Rates>,
}

impl Asker {
    /// Authenticates a request. `env` is the environment that the path names; without it the key's own
    /// or the header's counts.
    ///
    /// An unknown organization, environment or key, a wrong secret, an expired key, a management key and no
    /// key at all are the same refusal. Each request counts as the key's, whatever becomes of it.
    pub(crate) async fn of(
        relay: &Relay,
        headers: &HeaderMap,
        env: Option<&EnvKey>,
    ) -> Result<Self, Refused> {
        let key = credential(headers).ok_or(Refused::Unauthenticated)?;
        let env = match env {
            Some(env) => env.clone(),
            None => environment_of(&key, headers)?,
        };
        let id = EnvId { org: key.org().clone(), env };
        let environment = match relay.environment(id).await {
            Ok(environment) => environment,
            Err(NoEnvironment::Unknown) => return Err(Refused::Unauthenticated),
            Err(NoEnvironment::Unavailable) => {
                return Err(Refused::Unavailable("this environment cannot be loaded just now"));
            }
        };
        let (shelf, known) = recognized(&environment, &key)?;
        #[cfg(feature = "otel")]
        crate::traces::place(&environment.id);
        relay.rates.key(&environment.id, key.id())?;
        let bound_tenant = bound_tenant(&environment, &known)?;
        let (kind, ends, rates) = (key.kind(), known.expires, Arc::clone(&relay.rates));
        Ok(Self { kind, environment, shelf, bound_tenant, ends, key, rates })
    }

    /// The same request after a while, held against what is known by then. It counts once.
    pub(crate) fn again(self) -> Result<Self, Refused> {
        let (shelf, known) = recognized(&self.environment, &self.key)?;
        let bound_tenant = bound_tenant(&self.environment, &known)?;
        Ok(Self { shelf, bound_tenant, ..self })
    }

    /// The tenant on whose behalf flags are asked: the key's, the header's or the context's, which may
    /// not contradict one another. The request counts as that tenant's.
    pub(crate) fn tenant(
        &self,
        headers: &HeaderMap,
        in_context: Option<&str>,
    ) -> Result<TenantKey, Refused> {
        let mut tenant = self.bound_tenant.clone();
        let named = headers.get_all(TENANT).iter().map(|value| (TENANT, value.as_bytes()));
        let in_context = in_context.map(|text| ("the context's `tenant`", text.as_bytes()));
        for (place, bytes) in named.chain(in_context) {
            let named = std::str::from_utf8(bytes)
                .map_err(|_| Refused::Invalid(format!("{place} is not UTF-8")))?;
            let named = TenantKey::new(named)
                .map_err(|fault| Refused::Invalid(format!("{place}: {fault}")))?;
            match &tenant {
                None => tenant = Some(named),
                Some(tenant) if *tenant == named => {}
                Some(tenant) => {
                    let detail = format!(
                        "{place} says `{named}`, but this request is for `{tenant}` by its key or another header"
                    );
                    return Err(Refused::Invalid(detail));
                }
            }
        }
        let tenant = tenant.ok_or_else(|| {
            let detail = format!("name the tenant: header {TENANT}, or `tenant` in the context");
            Refused::Invalid(detail)
        })?;
        self.rates.tenant(&self.environment.id, &tenant)?;
        Ok(tenant)
    }

    /// Leave to listen to what changes for a tenant, for clients that can send no header.
    pub(crate) fn leave(&self, tenant: &TenantKey) -> Leave {
        let Environment { id, .. } = &*self.environment;
        Leave::new(id, tenant, self.key.id(), self.key.secret_digest(), clock::now())
    }

    /// What the key is called.
    pub(crate) fn key_id(&self) -> &str {
        self.key.id()
    }

    /// A place among the streams of its key.
    pub(crate) fn stream(&self, relay: &Relay) -> Result<Seat, Refused> {
        relay.streams.take(&self.environment.id, self.key.id())
    }

    /// A place among the answers to its key that are held back.
    pub(crate) fn wait(&self, relay: &Relay) -> Result<Seat, Refused> {
        relay.waits.take(&self.environment.id, self.key.id())
    }

    /// Refuses a key that is bound to a tenant: what is of the whole environment is not for it.
    pub(crate) fn speaks_for_all(&self) -> Result<(), Refused> {
        match &self.bound_tenant {
            None => Ok(()),
            Some(_) => Err(Refused::Forbidden(
                "the key is bound to a tenant, whose own manifest is at `tenant`: add tenant=<key> to the connection string",
            )),
        }
    }

    /// Whether the request is for one tenant, by its key or a header.
    pub(crate) fn names_tenant(&self, headers: &HeaderMap) -> bool {
        self.bound_tenant.is_some() || headers.contains_key(TENANT)
    }

    /// Refuses keys of other kinds than those given.
    pub(crate) fn needs(&self, kinds: &[KeyKind], why: &'static str) -> Result<(), Refused> {
        if kinds.contains(&self.kind) { Ok(()) } else { Err(Refused::Forbidden(why)) }
    }
}

/// What is handed out now, and what it says of a key.
fn recognized(
    environment: &Environment,
    key: &AccessKey,
) -> Result<(Arc<Shelf>, KeyWire), Refused> {
    let shelf = environment.shelf();
    let known = shelf.keys.snapshot().key(key.id()).and_then(Result::ok);
    let known = verified(key, known).ok_or(Refused::Unauthenticated)?.clone();
    Ok((shelf, known))
}

/// The tenant that a key is bound to, if it may ask for the environment.
pub(crate) fn bound_tenant(
    environment: &Environment,
    known: &KeyWire,
) -> Result<Option<TenantKey>, Refused> {
    let elsewhere = |envs: &Vec<EnvKey>| !envs.contains(&environment.id.env);
    if known.envs.as_ref().is_some_and(elsewhere) {
        return Err(Refused::Forbidden("the key is not for this environment"));
    }
    Ok(known.tenant.clone())
}

/// The key in `Authorization: Bearer` or `X-API-Key`.
fn credential(headers: &HeaderMap) -> Option<AccessKey> {
    let text = match headers.get(AUTHORIZATION) {
        Some(value) => {
            let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_start())?
        }
        None => headers.get("X-API-Key")?.to_str().ok()?,
    };
    AccessKey::parse(text).ok()
}

/// The environment that the key is bound to, or that the header names; both may not contradict.
fn environment_of(key: &AccessKey, headers: &HeaderMap) -> Result<EnvKey, Refused> {
    let mut env = key.env().cloned();
    for value in headers.get_all(ENVIRONMENT) {
        let named = value.to_str().ok().and_then(|text| EnvKey::new(text).ok());
        let named = named.ok_or_else(|| {
            Refused::Invalid(format!("{ENVIRONMENT} does not name an environment"))
        })?;
        match &env {
            None => env = Some(named),
            Some(env) if *env == named => {}
            Some(env) => {
                let detail =
                    format!("{ENVIRONMENT} says `{named}`, but this request is for `{env}`");
                return Err(Refused::Invalid(detail));
            }
        }
    }
    let missing = || format!("the key spans environments: name one in the header {ENVIRONMENT}");
    env.ok_or_else(|| Refused::Invalid(missing()))
}

/// The entry, if the key's secret is its own and its time is not over. The comparison takes the same time
/// wherever two digests differ, and is made for an unknown id too.
fn verified<'k>(key: &AccessKey, entry: Option<&'k KeyWire>) -> Option<&'k KeyWire> {
    let (presented, now) = (key.secret_digest(), clock::now());
    let same = match entry {
        Some(entry) => entry.accepts(&presented, now),
        None => presented.same(&Digest::of(b"")),
    };
    let entry = entry?;
    let in_time = entry.expires.is_none_or(|expires| now < expires);
    let right_kind = entry.kind == key.kind();
    (same && in_time && right_kind).then_some(entry)
}
