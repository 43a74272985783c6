//! What is special about a tenant: its overrides over environments, and the groups it is in.

use std::collections::HashMap;

use flagforge_flags::hold_for;
use flagforge_flags::keys::{EnvKey, FlagKey, GroupKey, OrgKey, TenantKey};
use flagforge_flags::wire::ConditionWire;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::Caller;
use crate::error::Error;
use crate::place;
use crate::read::PageOf;
use crate::record::{Definition, Group, Member, Override, Tenant};
use crate::store::{self, Listing, Stored};

/// An override of a tenant, and where it holds.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Special {
    pub environment: EnvKey,
    #[serde(flatten)]
    pub over: Override,
}

/// A group that a tenant is in, and by what.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Membership {
    pub group: GroupKey,
    /// By the group's condition, or else by its list.
    pub by_condition: bool,
}

impl Platform {
    /// The overrides of a tenant that count in one environment, by flag.
    pub async fn overrides_of(
        &self,
        caller: &Caller,
        (org, env): (&OrgKey, &EnvKey),
        tenant: &TenantKey,
        page: &PageOf,
    ) -> Result<Listing<Special>, Error> {
        self.environment(caller, org, env).await?;
        let uid = self.tenant(caller, org, tenant).await?.value.uid;
        self.special(org, env, tenant, &uid, page).await
    }

    /// The overrides of a tenant that count, environment by environment.
    pub async fn overrides_everywhere(
        &self,
        caller: &Caller,
        org: &OrgKey,
        tenant: &TenantKey,
        page: &PageOf,
    ) -> Result<Listing<Special>, Error> {
        let environments = self.environments(caller, org).await?;
        let uid = self.tenant(caller, org, tenant).await?.value.uid;
        // The cursor is an environment and a cursor in it; no key holds a slash.
        let cursor = page.cursor.as_deref().unwrap_or_default();
        let (from, mut inner) = match cursor.split_once('/') {
            Some((env, inner)) => (env, Some(inner.to_owned()).filter(|inner| !inner.is_empty())),
            None => ("", None),
        };
        let (limit, mut items) = (page.limit()?, Vec::new());
        let envs = environments.into_iter().map(|env| env.value.key);
        for env in envs.filter(|env| env.as_str() >= from) {
            let room = limit.saturating_sub(items.len() as u32);
            if room == 0 {
                return Ok(Listing { items, next: Some(format!("{env}/")) });
            }
            let cursor = inner.take().filter(|_| env.as_str() == from);
            let part = PageOf { limit: Some(room), cursor, search: page.search.clone() };
            let found = self.special(org, &env, tenant, &uid, &part).await?;
            items.extend(found.items);
            if let Some(next) = found.next {
                return Ok(Listing { items, next: Some(format!("{env}/{next}")) });
            }
        }
        Ok(Listing { items, next: None })
    }

    async fn special(
        &self,
        org: &OrgKey,
        env: &EnvKey,
        tenant: &TenantKey,
        uid: &str,
        page: &PageOf,
    ) -> Result<Listing<Special>, Error> {
        let prefix = format!("OVERRIDE#{tenant}#");
        let found: Listing<Override> =
            self.page(&place::by_tenant_pk(org, env), &prefix, page).await?;
        let mut flags: HashMap<FlagKey, Option<String>> = HashMap::new();
        let mut items = Vec::with_capacity(found.items.len());
        for Stored { value: over, version } in found.items {
            if !flags.contains_key(&over.flag) {
                let standing: Option<Stored<Definition>> =
                    store::read(self.table(), &place::flag(org, &over.flag)).await?;
                flags.insert(over.flag.clone(), standing.map(|standing| standing.value.uid));
            }
            let current = flags.get(&over.flag).and_then(Option::as_ref) == Some(&over.flag_uid);
            if current && over.tenant_uid == uid {
                let over = over.seen_at(self.timer().now());
                items.push(Stored { value: Special { environment: env.clone(), over }, version });
            }
        }
        Ok(Listing { items, next: found.next })
    }

    /// The groups that a tenant is in, by list or by condition. Groups are few, so it is one list.
    pub async fn groups_of(
        &self,
        caller: &Caller,
        org: &OrgKey,
        tenant: &TenantKey,
    ) -> Result<Vec<Stored<Membership>>, Error> {
        let tenant = self.tenant(caller, org, tenant).await?.value;
        self.memberships(org, &tenant).await
    }

    pub(crate) async fn memberships(
        &self,
        org: &OrgKey,
        tenant: &Tenant,
    ) -> Result<Vec<Stored<Membership>>, Error> {
        let groups: Vec<Stored<Group>> =
            store::all(self.table(), &place::org_pk(org), "GROUP#").await?;
        let prefix = format!("MEMBER#{}#", tenant.key);
        let listed: Vec<Stored<Member>> =
            store::all(self.table(), &place::memberships_pk(org), &prefix).await?;
        let conditions: Vec<(GroupKey, ConditionWire)> = groups
            .iter()
            .filter_map(|group| Some((group.value.key.clone(), group.value.when.clone()?)))
            .collect();
        let held = hold_for(&conditions, [(tenant.key.clone(), tenant.attributes.clone())]);
        let held = held.get(&tenant.key).map_or(&[][..], Vec::as_slice);
        let is_in = |group: &Group| match group.when {
            Some(_) => held.contains(&group.key),
            None => listed.iter().any(|member| {
                let member = &member.value;
                member.group_uid == group.uid && member.tenant_uid == tenant.uid
            }),
        };
        let membership = |group: &Stored<Group>| Stored {
            value: Membership {
                group: group.value.key.clone(),
                by_condition: group.value.when.is_some(),
            },
            version: group.version,
        };
        Ok(groups.iter().filter(|group| is_in(&group.value)).map(membership).collect())
    }
}
