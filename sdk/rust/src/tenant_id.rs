//! A tenant's name that travels: in a message, a job, a column of a table.

use std::fmt;
use std::str::FromStr;

use flagforge_flags::keys::{EnvKey, KeyError, OrgKey, TenantKey};
use flagforge_flags::manifest::ScopeId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which tenant, of which organization and environment: `demo/prod/acme`. It serializes as that text, and is
/// parsed when it is read back; [`Client::tenant_of`](crate::Client::tenant_of) makes a tenant of it again, in that
/// environment and no other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId {
    org: OrgKey,
    env: EnvKey,
    tenant: TenantKey,
}

impl TenantId {
    pub(crate) fn new(scope: &ScopeId, tenant: TenantKey) -> Self {
        Self { org: scope.org.clone(), env: scope.env.clone(), tenant }
    }

    /// The organization.
    pub const fn org(&self) -> &OrgKey {
        &self.org
    }

    /// The environment.
    pub const fn env(&self) -> &EnvKey {
        &self.env
    }

    /// The tenant's key.
    pub const fn tenant(&self) -> &TenantKey {
        &self.tenant
    }

    /// The tenant's key, if the tenant is of this scope's organization and environment.
    pub(crate) fn within(&self, scope: &ScopeId) -> Result<TenantKey, Elsewhere> {
        if self.org == scope.org && self.env == scope.env {
            return Ok(self.tenant.clone());
        }
        let (org, env) = (scope.org.clone(), scope.env.clone());
        Err(Elsewhere { id: self.clone(), org, env })
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.org, self.env, self.tenant)
    }
}

/// Why a text is not a tenant's id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TenantIdError {
    /// Not three parts.
    #[error("a tenant's id is <organization>/<environment>/<tenant>")]
    Shape,
    /// One of the parts is no key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl FromStr for TenantId {
    type Err = TenantIdError;

    fn from_str(text: &str) -> Result<Self, TenantIdError> {
        // No key holds a slash, so there is one way to cut.
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().ok_or(TenantIdError::Shape);
        let (org, env, tenant) = (part()?, part()?, part()?);
        let (org, env) = (OrgKey::new(org)?, EnvKey::new(env)?);
        Ok(Self { org, env, tenant: TenantKey::new(tenant)? })
    }
}

impl TryFrom<String> for TenantId {
    type Error = TenantIdError;

    fn try_from(text: String) -> Result<Self, TenantIdError> {
        text.parse()
    }
}

impl From<TenantId> for String {
    fn from(id: TenantId) -> Self {
        id.to_string()
    }
}

/// A tenant of another environment than the client's: a job or message has gone astray.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the tenant {id} was handed to a client of {org}/{env}")]
pub struct Elsewhere {
    /// Whose it is.
    pub id: TenantId,
    /// The client's organization.
    pub org: OrgKey,
    /// The client's environment.
    pub env: EnvKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_travels_as_text_and_is_parsed_when_it_is_back() {
        let id: TenantId = "demo/prod/Größte GmbH".parse().unwrap();
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, "\"demo/prod/Größte GmbH\"");
        assert_eq!(serde_json::from_str::<TenantId>(&json).unwrap(), id);
        let parts = (id.org().as_str(), id.env().as_str(), id.tenant().as_str());
        assert_eq!(parts, ("demo", "prod", "Größte GmbH"));
        for shape in ["", "acme", "demo/acme"] {
            assert_eq!(shape.parse::<TenantId>(), Err(TenantIdError::Shape), "{shape}");
        }
        for key in ["demo/prod/", "//", "demo/prod/a/b", "Demo/prod/acme", "demo/prod/ acme"] {
            assert!(matches!(key.parse::<TenantId>(), Err(TenantIdError::Key(_))), "{key}");
            assert!(serde_json::from_str::<TenantId>(&format!("{key:?}")).is_err());
        }
    }
}
