//! What may be done: permissions, the sets that roles are, and the roles that everybody has.

use std::collections::BTreeSet;
use std::fmt;

use flagforge_flags::keys::{KeyError, RoleKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that may be done. Where it may be done is said by the [`crate::caller::Grant`] that holds it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// Reads everything but secrets and the list of keys. In every set: an answer to a change shows the thing.
    Read,
    /// Defines, changes and deletes flags.
    WriteFlags,
    /// Changes what flags do in an environment.
    WriteStates,
    /// Turns flags off. Apart from [`Self::WriteStates`], so that a pager may be given this alone.
    Kill,
    /// Sets and clears overrides for tenants and groups.
    WriteOverrides,
    /// Changes segments.
    WriteSegments,
    /// Changes tenants, groups and their members.
    WriteDirectory,
    /// Creates, changes and deletes environments.
    WriteEnvironments,
    /// Makes, lists, rotates and revokes keys, each no stronger than itself.
    ManageKeys,
    /// Manages roles, people and invitations, none stronger than itself.
    ManageMembers,
    /// Changes the organization's settings: how people sign in, where events go.
    ManageSettings,
    /// Approves other people's changes.
    Approve,
    /// Ends for good what was deleted, before it is collected.
    Purge,
}

impl Permission {
    /// Every permission, for those who enumerate.
    pub const ALL: [Self; 13] = [
        Self::Read,
        Self::WriteFlags,
        Self::WriteStates,
        Self::Kill,
        Self::WriteOverrides,
        Self::WriteSegments,
        Self::WriteDirectory,
        Self::WriteEnvironments,
        Self::ManageKeys,
        Self::ManageMembers,
        Self::ManageSettings,
        Self::Approve,
        Self::Purge,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::WriteFlags => "write-flags",
            Self::WriteStates => "write-states",
            Self::Kill => "kill",
            Self::WriteOverrides => "write-overrides",
            Self::WriteSegments => "write-segments",
            Self::WriteDirectory => "write-directory",
            Self::WriteEnvironments => "write-environments",
            Self::ManageKeys => "manage-keys",
            Self::ManageMembers => "manage-members",
            Self::ManageSettings => "manage-settings",
            Self::Approve => "approve",
            Self::Purge => "purge",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a role allows. "Weaker than" is being a subset, a partial order: neither of two sets need be weaker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct PermissionSet(BTreeSet<Permission>);

impl PermissionSet {
    pub fn of(permissions: &[Permission]) -> Self {
        Self(permissions.iter().copied().collect())
    }

    pub fn all() -> Self {
        Self::of(&Permission::ALL)
    }

    pub fn has(&self, permission: Permission) -> bool {
        self.0.contains(&permission)
    }

    pub fn iter(&self) -> impl Iterator<Item = Permission> {
        self.0.iter().copied()
    }

    /// What both allow.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    /// The set with [`Permission::Read`] in it.
    pub(crate) fn with_read(mut self) -> Self {
        self.0.insert(Permission::Read);
        self
    }
}

/// A role that every organization has. Each is a set of permissions and nothing else; they are not ranked,
/// but for what their sets say: an approver is no weaker than a maintainer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads everything but the list of keys.
    Reader,
    /// Reads, and approves other people's changes.
    Approver,
    /// Changes flags, states, overrides, segments, tenants and groups.
    Maintainer,
    /// Everything in its organization.
    Admin,
}

impl Role {
    /// Every role there is without being made.
    pub const ALL: [Self; 4] = [Self::Reader, Self::Approver, Self::Maintainer, Self::Admin];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Approver => "approver",
            Self::Maintainer => "maintainer",
            Self::Admin => "admin",
        }
    }

    pub fn permissions(self) -> PermissionSet {
        use Permission as P;
        match self {
            Self::Reader => PermissionSet::of(&[P::Read]),
            Self::Approver => PermissionSet::of(&[P::Read, P::Approve]),
            Self::Maintainer => PermissionSet::of(&[
                P::Read,
                P::WriteFlags,
                P::WriteStates,
                P::Kill,
                P::WriteOverrides,
                P::WriteSegments,
                P::WriteDirectory,
            ]),
            Self::Admin => PermissionSet::all(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A role by its name: one that every organization has, or one that this one made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RoleName {
    BuiltIn(Role),
    Custom(RoleKey),
}

impl RoleName {
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        match Role::ALL.into_iter().find(|role| role.as_str() == text) {
            Some(role) => Ok(Self::BuiltIn(role)),
            None => RoleKey::new(text).map(Self::Custom),
        }
    }
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        Self::BuiltIn(role)
    }
}

impl TryFrom<String> for RoleName {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::parse(&text)
    }
}

impl From<RoleName> for String {
    fn from(name: RoleName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(role) => f.write_str(role.as_str()),
            Self::Custom(key) => f.write_str(key.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_on_the_wire_are_the_words_of_the_code() {
        for permission in Permission::ALL {
            let word = serde_json::to_value(permission).unwrap();
            assert_eq!(word, permission.as_str());
        }
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
            assert_eq!(RoleName::parse(role.as_str()).unwrap(), RoleName::BuiltIn(role));
        }
        assert!(matches!(RoleName::parse("on-call").unwrap(), RoleName::Custom(_)));
        assert!(RoleName::parse("On call").is_err());
    }

    #[test]
    fn every_role_reads_and_an_approver_changes_nothing() {
        for role in Role::ALL {
            assert!(role.permissions().has(Permission::Read));
        }
        let both = Role::Approver.permissions().intersection(&Role::Maintainer.permissions());
        assert_eq!(both, Role::Reader.permissions());
    }
}
