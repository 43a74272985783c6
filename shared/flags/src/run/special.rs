//! What a flag has for single tenants, groups and users.

use super::{Decision, Run, name};
use crate::answer::{EvalError, FineReason};
use crate::budget::Failed;
use crate::flag::Flag;
use crate::manifest::key_hash;
use crate::tenant::Tenant;
use crate::trace::{Event, Visitor};

impl<'s, V: Visitor> Run<'_, '_, 's, V> {
    /// Whether a kill switch turns the flag off for a group of the tenant. Who has no tenant is in no group.
    #[cold]
    pub(super) fn killed(&mut self, flag: &'s Flag) -> Result<bool, Failed> {
        let tenant = match self.asked.entry(self.snapshot) {
            None => return Ok(false),
            Some(Ok(tenant)) => tenant,
            Some(Err(error)) => return Err(self.fail(error)),
        };
        for group in &flag.killed_groups {
            let member = tenant.is_in(group);
            self.visitor.visit(Event::GroupKill { group: group.as_str(), member });
            if member {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Rows 5 and 6: the tenant's own override, then those of its groups in the flag's order.
    #[inline(never)]
    pub(super) fn overridden(
        &mut self,
        flag: &'s Flag,
        tenant: &Tenant,
    ) -> Result<Option<Decision>, Failed> {
        let own = match tenant.has_overrides() {
            true => tenant.override_of(key_hash(flag.key.as_str()), flag.key.as_str()),
            false => None,
        };
        let expired = own.and_then(|own| own.expires()).is_some_and(|at| at <= self.asked.now());
        let variant = own.map(|own| own.variant().as_str());
        self.visitor.visit(Event::TenantOverride { variant, expired });
        if let Some(variant) = variant.filter(|_| !expired) {
            return match flag.variant_named(variant) {
                Some(variant) => Ok(Some(Decision::of(variant, FineReason::TenantOverride))),
                None => Err(self.fail(EvalError::OverrideUnknownVariant)),
            };
        }
        for entry in &flag.group_overrides {
            let member = tenant.is_in(&entry.group);
            let expired = entry.expires.is_some_and(|at| at <= self.asked.now());
            let (group, variant) = (entry.group.as_str(), name(flag, entry.variant));
            self.visitor.visit(Event::GroupOverride { group, variant, member, expired });
            if member && !expired {
                return Ok(Some(Decision::of(entry.variant, FineReason::GroupOverride)));
            }
        }
        Ok(None)
    }

    /// Row 7: individual targets, the first list that has the key.
    #[inline(never)]
    pub(super) fn targeted(&mut self, flag: &'s Flag) -> Option<Decision> {
        for target in &flag.targets {
            let key = self.subject().key_of(&target.entity);
            let held = key.is_some_and(|key| target.has(key));
            let variant = name(flag, target.variant);
            self.visitor.visit(Event::Target { key, variant, held });
            if held {
                return Some(Decision::of(target.variant, FineReason::Target));
            }
        }
        None
    }
}
