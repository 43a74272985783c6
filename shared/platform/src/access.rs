//! Access keys: making them, and turning one into a [`Caller`].

use std::sync::Arc;

use flagforge_flags::access_key::AccessKey;
use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{Digest, KeyKind};
use flagforge_flags::rate::{Buckets, Empty, Rate, Refusals};
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::{Actor, Caller, Grant, PermissionSet, Role, RoleName};
use crate::error::Error;
use crate::fresh;
use crate::limits::{KEY_REQUESTS_PER_SECOND, REQUEST_BURST_SECONDS};
use crate::people::{self, Asking};
use crate::place;
use crate::ports::Table;
use crate::record::{KeyFacts, KeyRecord, Organization, RoleRecord};
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
    /// What a `mgmt` key may do: `reader`, `approver`, `maintainer`, `admin`, or a role of the organization's own.
    /// Default: reader.
    #[serde(default = "reader")]
    #[schema(value_type = String, example = "maintainer")]
    pub role: RoleName,
    /// The only environments it works in; absent: all.
    #[serde(default)]
    pub envs: Option<Vec<EnvKey>>,
    /// The only domains whose flags a `mgmt` key changes; absent: all, and flags of no domain. It reads all the same.
    #[serde(default)]
    pub domains: Option<Vec<String>>,
    /// The only tenant it speaks for. Required for `client` keys.
    #[serde(default)]
    pub tenant: Option<TenantKey>,
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// Also the platform's operator; only an operator's key can make one.
    #[serde(default)]
    pub operator: bool,
}

fn reader() -> RoleName {
    Role::Reader.into()
}

impl KeySpec {
    /// A server key for one environment.
    pub fn server(name: &str, env: EnvKey) -> Self {
        Self {
            kind: KeyKind::Server,
            name: name.to_owned(),
            role: reader(),
            envs: Some(vec![env]),
            domains: None,
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
            role: role.into(),
            envs: None,
            domains: None,
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

impl KeySpec {
    /// What is wrong with the form of it, whoever asks.
    fn check(&self, now: Timestamp) -> Result<(), Error> {
        let management = self.kind == KeyKind::Management;
        if self.kind == KeyKind::Client && self.tenant.is_none() {
            return Err(Error::invalid("tenant", "a client key speaks for one tenant; name it"));
        }
        if management && self.tenant.is_some() {
            return Err(Error::invalid("tenant", "a `mgmt` key speaks for no tenant"));
        }
        if self.operator && !management {
            return Err(Error::invalid("operator", "only a `mgmt` key can be an operator's"));
        }
        if self.domains.is_some() && !management {
            return Err(Error::invalid("domains", "only a `mgmt` key changes flags"));
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(Error::invalid("expires", "is in the past"));
        }
        if self.envs.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::invalid("envs", EMPTY_LIST));
        }
        if self.domains.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::invalid("domains", EMPTY_LIST));
        }
        Ok(())
    }
}

const EMPTY_LIST: &str = "an empty list opens nothing; leave it out for all";

impl KeyFacts {
    /// What a key of these facts may do, given what its role allows.
    pub(crate) fn grant(&self, permissions: PermissionSet) -> Grant {
        Grant { permissions, envs: self.envs.clone(), domains: self.domains.clone() }
    }

    /// Whether its own time is over. Its ancestors have theirs.
    fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl Platform {
    /// Makes a key that is not yet anywhere: `Change::CreateKey` with its record puts it in force.
    pub(crate) fn forge_key(
        &self,
        parent: &Caller,
        org: &OrgKey,
        spec: KeySpec,
    ) -> Result<IssuedKey, Error> {
        spec.check(self.timer().now())?;
        let only_env = match spec.envs.as_deref() {
            Some([env]) => Some(env.clone()),
            _ => None,
        };
        let key =
            AccessKey::new(spec.kind, org.clone(), only_env, &fresh::id()?, &fresh::secret()?)
                .map_err(|error| Error::internal("a generated key was not a key", error))?;
        let facts = KeyFacts {
            id: key.id().to_owned(),
            kind: spec.kind,
            name: spec.name,
            role: spec.role,
            envs: spec.envs,
            domains: spec.domains,
            tenant: spec.tenant,
            expires: spec.expires,
            operator: spec.operator,
            parent: parent.family.last().cloned(),
            ancestors: parent.family.clone(),
            created: self.timer().now(),
            rotated: None,
            previous_until: None,
        };
        let record = KeyRecord { facts, secret_sha256: key.secret_digest(), previous: None };
        Ok(IssuedKey { record, key })
    }

    /// A new secret for a key that stands: `Change::RotateKey` with its digest puts it in force.
    pub(crate) fn forge_secret(&self, facts: &KeyFacts, org: &OrgKey) -> Result<AccessKey, Error> {
        let env = match facts.envs.as_deref() {
            Some([env]) => Some(env.clone()),
            _ => None,
        };
        let random_id = facts.id.rsplit('.').next().unwrap_or_default();
        AccessKey::new(facts.kind, org.clone(), env, random_id, &fresh::secret()?)
            .map_err(|error| Error::internal("a rotated key was not a key", error))
    }

    /// Turns a key, or the token of a person who asks for something, into the caller it stands for. Every failure
    /// is the same to a stranger.
    pub(crate) async fn authenticate(
        &self,
        presented: &str,
        asking: Asking<'_>,
    ) -> Result<Caller, Error> {
        if people::is_token(presented) {
            return self.authenticate_person(presented, asking).await;
        }
        let key = AccessKey::parse(presented).map_err(|_| Error::Unauthenticated)?;
        // By its digest, so that nobody uses up the rate of a key whose secret they do not have.
        let presented = Digest::of(presented.as_bytes());
        let left = self.rates().key(presented, self.timer().now())?;
        if let Some(operator) = self.operator().filter(|operator| operator.id == key.id()) {
            if !operator.secret_sha256.same(&key.secret_digest()) {
                return Err(Error::Unauthenticated);
            }
            return Ok(Caller::operator(operator.id.clone()));
        }
        let org = key.org();
        let record = self.key_in_force(org, key.id()).await?;
        let right = record.accepts(&key.secret_digest(), self.timer().now());
        let facts = record.facts;
        if !right || facts.kind != key.kind() {
            return Err(Error::Unauthenticated);
        }
        let permissions = self.permissions_of(org, &facts).await?;
        // A tenant's own service follows numbers of its own.
        let serves =
            matches!(facts.kind, KeyKind::Server | KeyKind::Relay) && facts.tenant.is_none();
        let permissions = match facts.kind {
            KeyKind::Management => permissions,
            // It holds no permission: being a service is all that it is.
            _ if serves && asking.reports => PermissionSet::default(),
            kind => return Err(Error::WrongKeyKind { kind: kind.as_str() }),
        };
        // A service's reports say themselves when they were heard.
        if !serves {
            self.acting_for(org).note_use(org, &facts.id).await;
        }
        let home = self.home(org).await?;
        let left = left.min(self.rates().org(&home, presented, self.timer().now())?);
        Ok(Caller { requests_left: left, serves, ..of_key(facts, permissions, home) })
    }

    /// The platform as it acts for a caller: for their own organization, whichever they ask about. An operator has none
    /// and stays at the door, and so does a person who is nobody's, unless they accept an invitation.
    pub(crate) fn acting_for_caller(&self, caller: &Caller, asking: Asking<'_>) -> Self {
        match caller.org.as_ref().or(asking.org.filter(|_| asking.accepts)) {
            Some(org) => self.acting_for(org),
            None => self.clone(),
        }
    }

    /// The caller that an actor of the log is today, and what it may do now: for what it asked for earlier.
    pub(crate) async fn caller_again(&self, actor: &Actor, org: &OrgKey) -> Result<Caller, Error> {
        match actor {
            Actor::Key { id } => {
                let facts = self.key_in_force(org, id).await?.facts;
                let permissions = self.permissions_of(org, &facts).await?;
                Ok(of_key(facts, permissions, self.home(org).await?))
            }
            Actor::System { .. } => {
                Ok(Caller { actor: actor.clone(), ..Caller::system("scheduler") })
            }
            Actor::Person { id, .. } => self.person_again(id, org).await,
            // An operator belongs to no organization.
            Actor::Operator { .. } => Err(Error::Unauthenticated),
        }
    }

    /// The organization that a caller belongs to. One that is suspended lets nobody in.
    pub(crate) async fn home(&self, org: &OrgKey) -> Result<Arc<Organization>, Error> {
        let found: Option<Stored<Organization>> =
            store::read(self.table(), &place::organization(org)).await?;
        let home = found.ok_or(Error::Unauthenticated)?.value;
        if home.suspended.is_some() { Err(Error::Suspended) } else { Ok(Arc::new(home)) }
    }

    async fn key_in_force(&self, org: &OrgKey, id: &str) -> Result<KeyRecord, Error> {
        let found: Option<Stored<KeyRecord>> =
            store::read(self.table(), &place::access_key(org, id)).await?;
        let found = found.ok_or(Error::Unauthenticated)?.value;
        if found.facts.is_over(self.timer().now()) {
            Err(Error::Unauthenticated)
        } else {
            Ok(found)
        }
    }

    /// What a key allows now. Each key above it is read: one that was revoked or is over ends all below it at
    /// once, however many they are, and a role that was narrowed above narrows below.
    async fn permissions_of(&self, org: &OrgKey, facts: &KeyFacts) -> Result<PermissionSet, Error> {
        let mut permissions = role_permissions(self.table(), org, &facts.role).await?;
        for id in &facts.ancestors {
            let above = self.key_in_force(org, id).await?.facts;
            if above.role != facts.role {
                let bound = role_permissions(self.table(), org, &above.role).await?;
                permissions = permissions.intersection(&bound);
            }
        }
        Ok(permissions)
    }
}

/// The caller that a key in force is.
fn of_key(facts: KeyFacts, permissions: PermissionSet, home: Arc<Organization>) -> Caller {
    let grants = vec![facts.grant(permissions)];
    let mut family = facts.ancestors;
    family.push(facts.id.clone());
    Caller {
        actor: Actor::Key { id: facts.id },
        org: Some(home.key.clone()),
        grants,
        operator: facts.operator,
        home: Some(home),
        requests_left: u64::MAX,
        serves: false,
        family,
        person: None,
    }
}

const REQUESTS_OF_ORGANIZATION: &str = "requests of this organization";

/// The rates of requests, in this process.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    keys: Buckets<Digest>,
    orgs: Buckets<OrgKey>,
    /// By the digest of what was presented: keys and tokens that were accepted, and whose organization asks too often.
    refused: Refusals<Digest>,
}

impl Rates {
    /// Before anything is read: what a key asks too often costs nobody anything.
    pub(crate) fn key(&self, presented: Digest, now: Timestamp) -> Result<u64, Error> {
        let rate =
            Rate { per_second: KEY_REQUESTS_PER_SECOND, burst_seconds: REQUEST_BURST_SECONDS };
        self.refused
            .check(&presented, now)
            .map_err(|empty| too_many(REQUESTS_OF_ORGANIZATION, empty))?;
        self.keys
            .take(presented, rate, now)
            .map_err(|empty| too_many("requests of this key", empty))
    }

    pub(crate) fn org(
        &self,
        home: &Organization,
        presented: Digest,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let per_second = home.limits.requests_per_second();
        let rate = Rate { per_second, burst_seconds: REQUEST_BURST_SECONDS };
        let taken = self.orgs.take(home.key.clone(), rate, now);
        taken.map_err(|empty| {
            self.refused.note(presented, empty);
            too_many(REQUESTS_OF_ORGANIZATION, empty)
        })
    }
}

pub(crate) fn too_many(what: &'static str, empty: Empty) -> Error {
    Error::RateLimited { what, retry_after_seconds: empty.retry_after_seconds }
}

/// What a role allows. One that is gone allows nothing.
pub(crate) async fn role_permissions(
    table: &dyn Table,
    org: &OrgKey,
    role: &RoleName,
) -> Result<PermissionSet, Error> {
    match role {
        RoleName::BuiltIn(role) => Ok(role.permissions()),
        RoleName::Custom(key) => {
            let found: Option<Stored<RoleRecord>> =
                store::read(table, &place::role(org, key)).await?;
            Ok(found.map(|found| found.value.permissions).unwrap_or_default())
        }
    }
}
