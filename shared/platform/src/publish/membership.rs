//! Who is in the groups that have a condition. Decided here, so that evaluation only looks a list up, and only
//! for tenants that changed, so that publishing costs what changed.

use std::collections::BTreeMap;

use flagforge_flags::hold_for;
use flagforge_flags::keys::{GroupKey, TenantKey};
use flagforge_flags::wire::ConditionWire;

use super::owed::Owed;
use super::view::Records;
use crate::record::{Group, Tenant};

/// The decisions made so far, and whose are owed.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    decided: BTreeMap<TenantKey, Vec<GroupKey>>,
    owed: Owed,
}

impl Memberships {
    pub(super) fn tenant_changed(&mut self, tenant: &str) {
        self.owed.add(tenant);
    }

    pub(super) fn conditions_changed(&mut self) {
        self.owed.add_all();
    }

    /// Decides what is owed. Answers the tenants whose groups are others now, besides those that changed themselves.
    pub(super) fn settle(
        &mut self,
        groups: &Records<Group>,
        tenants: &Records<Tenant>,
    ) -> Vec<TenantKey> {
        let conditions: Vec<(GroupKey, ConditionWire)> = groups
            .values()
            .filter_map(|group| Some((group.value.key.clone(), group.value.when.clone()?)))
            .collect();
        let facts = |tenant: &Tenant| (tenant.key.clone(), tenant.attributes.clone());
        match self.owed.take() {
            Owed::All => {
                let all = tenants.values().map(|tenant| facts(&tenant.value));
                let decided = if conditions.is_empty() {
                    BTreeMap::new()
                } else {
                    hold_for(&conditions, all)
                };
                let before = std::mem::replace(&mut self.decided, decided);
                let either = before.keys().chain(self.decided.keys());
                let moved = either.filter(|key| before.get(*key) != self.decided.get(*key));
                moved.cloned().collect()
            }
            Owed::These(owed) => {
                let standing: Vec<&Tenant> =
                    owed.iter().filter_map(|key| Some(&tenants.get(key)?.value)).collect();
                for tenant in &standing {
                    self.decided.remove(&tenant.key);
                }
                self.decided.extend(hold_for(&conditions, standing.into_iter().map(facts)));
                Vec::new()
            }
        }
    }

    /// The groups by whose conditions a tenant is in them.
    pub(super) fn of(&self, tenant: &TenantKey) -> &[GroupKey] {
        self.decided.get(tenant).map_or(&[], Vec::as_slice)
    }
}
