//! What tells environments apart.

use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::{Scope, ScopeId};

/// The full name of an environment, and part of every cache key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct EnvId {
    pub(crate) org: OrgKey,
    pub(crate) env: EnvKey,
}

impl EnvId {
    pub(crate) fn of(scope: &ScopeId) -> Self {
        Self { org: scope.org.clone(), env: scope.env.clone() }
    }

    pub(crate) fn scope(&self, scope: Scope) -> ScopeId {
        ScopeId { org: self.org.clone(), env: self.env.clone(), scope }
    }
}
