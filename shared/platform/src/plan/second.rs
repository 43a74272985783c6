//! Second orders: the same records under another key, written in the transaction that writes the first, so that
//! both ways of listing are a range. The log has the first order only; the second follows from it.

use flagforge_flags::keys::{EnvKey, OrgKey};

use super::Plan;
use crate::error::Error;
use crate::place;
use crate::ports::{Condition, Item, ItemKey, Write};
use crate::record::{Member, Override};

impl Plan {
    /// Writes an override in both orders, over the version that was read.
    pub(super) fn put_override(
        &mut self,
        (org, env): (&OrgKey, &EnvKey),
        over: u64,
        record: &Override,
    ) -> Result<(), Error> {
        let (flag, tenant) = (&record.flag, &record.tenant);
        self.put(place::tenant_override(org, env, flag, tenant), over, record)?;
        self.put_second(place::override_of_tenant(org, env, tenant, flag))
    }

    /// Removes an override from both orders.
    pub(super) fn delete_override(
        &mut self,
        (org, env): (&OrgKey, &EnvKey),
        over: u64,
        record: &Override,
    ) {
        let (flag, tenant) = (&record.flag, &record.tenant);
        self.delete(place::tenant_override(org, env, flag, tenant), over);
        self.delete_second(place::override_of_tenant(org, env, tenant, flag));
    }

    /// Writes a membership in both orders.
    pub(super) fn put_member(
        &mut self,
        org: &OrgKey,
        over: u64,
        record: &Member,
    ) -> Result<(), Error> {
        self.put(place::member(org, &record.group, &record.tenant), over, record)?;
        self.put_second(place::membership_of_tenant(org, &record.tenant, &record.group))
    }

    /// Removes a membership from both orders.
    pub(super) fn delete_member(&mut self, org: &OrgKey, over: u64, record: &Member) {
        self.delete(place::member(org, &record.group, &record.tenant), over);
        self.delete_second(place::membership_of_tenant(org, &record.tenant, &record.group));
    }

    /// The body that was put last, again under `key`. It asks for nothing: the first order's condition does.
    fn put_second(&mut self, key: ItemKey) -> Result<(), Error> {
        let Some(Write::Put { item, .. }) = self.writes.last() else {
            let context = "a second order follows a first";
            return Err(Error::Internal { context, source: None });
        };
        let item = Item { key, ..item.clone() };
        self.writes.push(Write::Put { item, condition: Condition::Any });
        Ok(())
    }

    fn delete_second(&mut self, key: ItemKey) {
        self.writes.push(Write::Delete { key, condition: Condition::Any });
    }
}
