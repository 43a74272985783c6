//! What a manifest is for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Digest;
use crate::keys::{EnvKey, OrgKey, TenantKey};

/// Who a manifest is written for. Text: `environment`, `relay`, `canary` or `tenant:<key>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// Services of the organization: every flag and tenant of one environment.
    Environment,
    /// Relays: the same, and the keys that may ask.
    Relay,
    /// Services that get a change before the others do: as the environment, with what is tried out there.
    Canary,
    /// One tenant, and nothing of any other.
    Tenant(TenantKey),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("environment"),
            Self::Relay => f.write_str("relay"),
            Self::Canary => f.write_str("canary"),
            Self::Tenant(tenant) => write!(f, "tenant:{tenant}"),
        }
    }
}

/// A text that is not a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a scope is `environment`, `relay`, `canary` or `tenant:<tenant key>`")]
pub struct ScopeError;

impl FromStr for Scope {
    type Err = ScopeError;
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        match text {
            "environment" => Ok(Self::Environment),
            "relay" => Ok(Self::Relay),
            "canary" => Ok(Self::Canary),
            _ => {
                let tenant = text.strip_prefix("tenant:").ok_or(ScopeError)?;
                TenantKey::new(tenant).map(Self::Tenant).map_err(|_| ScopeError)
            }
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;
    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

/// A scope of one environment of one organization: the full name of a manifest, and part of every
/// cache key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ScopeId {
    /// The organization.
    pub org: OrgKey,
    /// Its environment.
    pub env: EnvKey,
    /// Who the manifest is for.
    pub scope: Scope,
}

impl ScopeId {
    /// The name under which the scope's root stands in a folder or bucket. A tenant's key may have characters, and a
    /// length, that names of objects may not: its digest stands for it.
    pub fn root_name(&self) -> String {
        let Self { org, env, scope } = self;
        match scope {
            Scope::Environment | Scope::Relay | Scope::Canary => format!("{org}/{env}/{scope}.jws"),
            Scope::Tenant(tenant) => {
                format!("{org}/{env}/tenants/{}.jws", Digest::of(tenant.as_str().as_bytes()))
            }
        }
    }
}

impl fmt::Display for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.org, self.env, self.scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in ["environment", "relay", "canary", "tenant:acme", "tenant:a:b"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        for bad in ["", "Environment", "tenant:", "tenant:a/b", "tenant", "env"] {
            assert_eq!(bad.parse::<Scope>(), Err(ScopeError), "{bad}");
        }
    }
}
