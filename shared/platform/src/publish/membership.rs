//! Who is in the groups that have a condition. Decided here, so that evaluation only looks a list up, and only
//! for tenants that changed, so that publishing costs what changed.

use std::collections::{BTreeMap, BTreeSet};

use flagforge_flags::hold_for;
use flagforge_flags::keys::{GroupKey, TenantKey};
use flagforge_flags::wire::ConditionWire;

use super::view::Records;
use crate::record::{Group, Tenant};

/// The decisions made so far, and what they are owed to.
#[derive(Debug)]
pub(super) struct Memberships {
    decided: BTreeMap<TenantKey, Vec<GroupKey>>,
    owed: Owed,
}

#[derive(Debug)]
enum Owed {
    /// The tenants at these sort keys.
    Tenants(BTreeSet<String>),
    /// Every tenant: a group changed, or nothing was decided yet.
    All,
}

impl Default for Memberships {
    fn default() -> Self {
        Self { decided: BTreeMap::new(), owed: Owed::All }
    }
}

impl Memberships {
    pub(super) fn tenant_changed(&mut self, sk: &str) {
        if let Owed::Tenants(owed) = &mut self.owed {
            owed.insert(sk.to_owned());
        }
    }

    pub(super) fn group_changed(&mut self) {
        self.owed = Owed::All;
    }

    /// Decides what is owed.
    pub(super) fn settle(&mut self, groups: &Records<Group>, tenants: &Records<Tenant>) {
        let owed = std::mem::replace(&mut self.owed, Owed::Tenants(BTreeSet::new()));
        let conditions: Vec<(GroupKey, ConditionWire)> = groups
            .values()
            .filter_map(|group| Some((group.value.key.clone(), group.value.when.clone()?)))
            .collect();
        let facts = |tenant: &Tenant| (tenant.key.clone(), tenant.attributes.clone());
        match owed {
            Owed::All if conditions.is_empty() => self.decided.clear(),
            Owed::All => {
                let all = tenants.values().map(|tenant| facts(&tenant.value));
                self.decided = hold_for(&conditions, all);
            }
            Owed::Tenants(owed) => {
                let standing: Vec<&Tenant> =
                    owed.iter().filter_map(|sk| Some(&tenants.get(sk)?.value)).collect();
                for tenant in &standing {
                    self.decided.remove(&tenant.key);
                }
                self.decided.extend(hold_for(&conditions, standing.into_iter().map(facts)));
            }
        }
    }

    /// The groups by whose conditions a tenant is in them.
    pub(super) fn of(&self, tenant: &TenantKey) -> &[GroupKey] {
        self.decided.get(tenant).map_or(&[], Vec::as_slice)
    }
}
