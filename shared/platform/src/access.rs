//! Access keys: making them, and turning one into a [`Caller`].

use flagforge_flags::access_key::AccessKey;
use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{Digest, KeyKind};
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::{Actor, Caller, Role};
use crate::error::Error;
use crate::fresh;
use crate::place;
use crate::record::{KeyFacts, KeyRecord};
use crate::store::{self, Stored};

/// The platform's operator as an installation on AWS configures it: a key that no table holds.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The id part of its key, `ff_mgmt_<id>_<secret>`.
    pub id: String,
    pub secret_sha256: Digest,
}

/// What a new key shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeySpec {
    #[schema(value_type = String, example = "server")]
    pub kind: KeyKind,
    #[serde(default)]
    pub name: String,
    /// What a `mgmt` key may do. Default: reader.
    #[serde(default = "reader")]
    pub role: Role,
    /// The only environments it works in; absent: all.
    #[serde(default)]
    pub envs: Option<Vec<EnvKey>>,
    /// The only tenant it speaks for. Required for `client` keys.
    #[serde(default)]
    pub tenant: Option<TenantKey>,
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// Also the platform's operator; only an operator's key can make one.
    #[serde(default)]
    pub operator: bool,
}

fn reader() -> Role {
    Role::Reader
}

impl KeySpec {
    /// A server key for one environment.
    pub fn server(name: &str, env: EnvKey) -> Self {
        Self {
            kind: KeyKind::Server,
            name: name.to_owned(),
            role: Role::Reader,
            envs: Some(vec![env]),
            tenant: None,
            expires: None,
            operator: false,
        }
    }

    /// A management key for all environments.
    pub fn management(name: &str, role: Role) -> Self {
        let kind = KeyKind::Management;
        Self {
            kind,
            name: name.to_owned(),
            role,
            envs: None,
            tenant: None,
            expires: None,
            operator: false,
        }
    }
}

/// A new key: its record, and the key itself, which is shown this once.
#[derive(Debug, Clone)]
pub struct IssuedKey {
    pub record: KeyRecord,
    pub key: AccessKey,
}

impl Platform {
    /// Makes a key that is not yet anywhere: `Change::CreateKey` with its record puts it in force.
    pub(crate) fn forge_key(
        &self,
        parent: &Caller,
        org: &OrgKey,
        spec: KeySpec,
    ) -> Result<IssuedKey, Error> {
        if spec.kind == KeyKind::Client && spec.tenant.is_none() {
            return Err(Error::invalid("tenant", "a client key speaks for one tenant; name it"));
        }
        if spec.operator && spec.kind != KeyKind::Management {
            return Err(Error::invalid("operator", "only a `mgmt` key can be an operator's"));
        }
        if spec.expires.is_some_and(|expires| expires <= self.timer().now()) {
            return Err(Error::invalid("expires", "is in the past"));
        }
        let only_env = match spec.envs.as_deref() {
            Some([env]) => Some(env.clone()),
            Some([]) => {
                return Err(Error::invalid(
                    "envs",
                    "an empty list opens nothing; leave it out for all",
                ));
            }
            _ => None,
        };
        let key =
            AccessKey::new(spec.kind, org.clone(), only_env, &fresh::id()?, &fresh::secret()?)
                .map_err(|error| Error::internal("a generated key was not a key", error))?;
        let parent = match &parent.actor {
            Actor::Key { id } => Some(id.clone()),
            Actor::Operator { .. } | Actor::System { .. } => None,
        };
        let facts = KeyFacts {
            id: key.id().to_owned(),
            kind: spec.kind,
            name: spec.name,
            role: spec.role,
            envs: spec.envs,
            tenant: spec.tenant,
            expires: spec.expires,
            operator: spec.operator,
            parent,
            created: self.timer().now(),
        };
        let record = KeyRecord { facts, secret_sha256: key.secret_digest() };
        Ok(IssuedKey { record, key })
    }

    /// Turns a key into the caller it stands for. Every failure is the same to a stranger.
    pub(crate) async fn authenticate(&self, presented: &str) -> Result<Caller, Error> {
        let key = AccessKey::parse(presented).map_err(|_| Error::Unauthenticated)?;
        if let Some(operator) = self.operator().filter(|operator| operator.id == key.id()) {
            if !operator.secret_sha256.same(&key.secret_digest()) {
                return Err(Error::Unauthenticated);
            }
            let actor = Actor::Operator { id: operator.id.clone() };
            return Ok(Caller { actor, org: None, role: Role::Admin, envs: None, operator: true });
        }
        let org = key.org();
        let found: Option<Stored<KeyRecord>> =
            store::read(self.table(), &place::access_key(org, key.id())).await?;
        let KeyRecord { facts, secret_sha256 } = found.ok_or(Error::Unauthenticated)?.value;
        if !secret_sha256.same(&key.secret_digest()) || facts.kind != key.kind() {
            return Err(Error::Unauthenticated);
        }
        if facts.expires.is_some_and(|expires| expires <= self.timer().now()) {
            return Err(Error::Unauthenticated);
        }
        if facts.kind != KeyKind::Management {
            return Err(Error::WrongKeyKind { kind: facts.kind.as_str() });
        }
        Ok(Caller {
            actor: Actor::Key { id: facts.id },
            org: Some(org.clone()),
            role: facts.role,
            envs: facts.envs,
            operator: facts.operator,
        })
    }
}
