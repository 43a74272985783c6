//! Reads, each asking the caller first.

use flagforge_flags::keys::{EnvKey, FlagKey, GroupKey, OrgKey, RoleKey, TenantKey};

use crate::Platform;
use crate::caller::{Caller, Permission, Role};
use crate::error::Error;
use crate::kills::{self, KillSwitch, Killed};
use crate::log::LogEntry;
use crate::place::{self, LOG_PREFIX, LogId};
use crate::plan::keys_in_force;
use crate::record::{
    Definition, Environment, Group, KeyFacts, Organization, Override, RoleRecord, StateRecord,
    Tenant,
};
use crate::schema::TenantSchema;
use crate::search::{FlagFilter, Search};
use crate::states::FlagState;
use crate::store::{self, ABSENT, Listing, Stored};

/// Items of a page when the caller names no limit.
pub(crate) const DEFAULT_PAGE: u32 = 100;
/// Items of a page at most; 500 records of 2 KiB are 1 MB, what DynamoDB reads at once.
pub(crate) const MAX_PAGE: u32 = 500;

/// Which page of a listing.
#[derive(Debug, Clone, Default)]
pub struct PageOf {
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// Only what has this text, upper and lower case the same.
    pub search: Option<String>,
}

impl PageOf {
    pub(crate) fn search(&self) -> Result<Option<Search>, Error> {
        self.search.as_deref().map(Search::parse).transpose()
    }

    pub(crate) fn limit(&self) -> Result<u32, Error> {
        match self.limit {
            None => Ok(DEFAULT_PAGE),
            Some(limit @ 1..=MAX_PAGE) => Ok(limit),
            Some(_) => Err(Error::invalid("limit", format!("must be 1 to {MAX_PAGE}"))),
        }
    }
}

impl Platform {
    /// Every organization of the installation, for its operator.
    pub async fn organizations(
        &self,
        caller: &Caller,
        page: &PageOf,
    ) -> Result<Listing<Organization>, Error> {
        caller.may_operate()?;
        self.at_the_door().page(place::DIRECTORY_PK, "ORG#", page).await
    }

    pub async fn organization(
        &self,
        caller: &Caller,
        org: &OrgKey,
    ) -> Result<Stored<Organization>, Error> {
        caller.may(org, Role::Reader)?;
        store::standing(self.table(), &place::organization(org), "organization").await
    }

    /// The environments that the caller may see.
    pub async fn environments(
        &self,
        caller: &Caller,
        org: &OrgKey,
    ) -> Result<Vec<Stored<Environment>>, Error> {
        self.organization(caller, org).await?;
        let mut found: Vec<Stored<Environment>> =
            store::all(self.table(), &place::org_pk(org), "ENV#").await?;
        found.retain(|env| caller.may_in(org, &env.value.key, Role::Reader).is_ok());
        Ok(found)
    }

    pub async fn environment(
        &self,
        caller: &Caller,
        org: &OrgKey,
        env: &EnvKey,
    ) -> Result<Stored<Environment>, Error> {
        caller.may_in(org, env, Role::Reader)?;
        store::standing(self.table(), &place::environment(org, env), "environment").await
    }

    pub async fn tenant(
        &self,
        caller: &Caller,
        org: &OrgKey,
        tenant: &TenantKey,
    ) -> Result<Stored<Tenant>, Error> {
        caller.may(org, Role::Reader)?;
        store::standing(self.table(), &place::tenant(org, tenant), "tenant").await
    }

    /// What tenants' attributes may be. An empty one, which takes anything, until one is set.
    pub async fn tenant_schema(
        &self,
        caller: &Caller,
        org: &OrgKey,
    ) -> Result<Stored<TenantSchema>, Error> {
        self.organization(caller, org).await?;
        let stored = store::read(self.table(), &place::tenant_schema(org)).await?;
        Ok(stored.unwrap_or_else(|| Stored { value: TenantSchema::default(), version: ABSENT }))
    }

    pub async fn groups(
        &self,
        caller: &Caller,
        org: &OrgKey,
        page: &PageOf,
    ) -> Result<Listing<Group>, Error> {
        self.organization(caller, org).await?;
        self.page(&place::org_pk(org), "GROUP#", page).await
    }

    pub async fn group(
        &self,
        caller: &Caller,
        org: &OrgKey,
        group: &GroupKey,
    ) -> Result<Stored<Group>, Error> {
        caller.may(org, Role::Reader)?;
        store::standing(self.table(), &place::group(org, group), "group").await
    }

    pub async fn definition(
        &self,
        caller: &Caller,
        org: &OrgKey,
        flag: &FlagKey,
    ) -> Result<Stored<Definition>, Error> {
        caller.may(org, Role::Reader)?;
        store::standing(self.table(), &place::flag(org, flag), "flag").await
    }

    /// Every flag of the organization, with its state in one environment.
    pub async fn flag_states(
        &self,
        caller: &Caller,
        org: &OrgKey,
        env: &EnvKey,
        filter: &FlagFilter,
        page: &PageOf,
    ) -> Result<Listing<FlagState>, Error> {
        self.environment(caller, org, env).await?;
        let definitions = self.flags_of(org, filter, page).await?;
        let switches = kills::standing(self.table(), org, env).await?;
        let mut items = Vec::with_capacity(definitions.items.len());
        for definition in definitions.items {
            items.push(self.state_of(org, env, definition, &switches).await?);
        }
        Ok(Listing { items, next: definitions.next })
    }

    pub async fn flag_state(
        &self,
        caller: &Caller,
        org: &OrgKey,
        env: &EnvKey,
        flag: &FlagKey,
    ) -> Result<Stored<FlagState>, Error> {
        self.environment(caller, org, env).await?;
        let definition = store::standing(self.table(), &place::flag(org, flag), "flag").await?;
        let switches = kills::standing(self.table(), org, env).await?;
        self.state_of(org, env, definition, &switches).await
    }

    async fn state_of(
        &self,
        org: &OrgKey,
        env: &EnvKey,
        definition: Stored<Definition>,
        switches: &[Stored<KillSwitch>],
    ) -> Result<Stored<FlagState>, Error> {
        let Stored { value: definition, version: definition_version } = definition;
        let stored: Option<Stored<StateRecord>> =
            store::read(self.table(), &place::state(org, env, &definition.key)).await?;
        let (state, version) = match stored {
            Some(stored) if stored.value.flag_uid == definition.uid => {
                (stored.value.state, stored.version)
            }
            _ => (definition.initial_state(), ABSENT),
        };
        let versions = (definition_version, version);
        let value = FlagState::new(env, &definition, versions, state, self.timer().now());
        let value = value.under(Killed::of(switches.iter(), &definition));
        Ok(Stored { value, version })
    }

    /// The tenants for whom a flag is special in an environment.
    pub async fn overrides(
        &self,
        caller: &Caller,
        org: &OrgKey,
        env: &EnvKey,
        flag: &FlagKey,
        page: &PageOf,
    ) -> Result<Listing<Override>, Error> {
        self.environment(caller, org, env).await?;
        let uid = self.definition(caller, org, flag).await?.value.uid;
        let prefix = format!("OVERRIDE#{flag}#");
        let mut found: Listing<Override> =
            self.page(&place::env_pk(org, env), &prefix, page).await?;
        found.items.retain(|item| item.value.flag_uid == uid);
        let now = self.timer().now();
        found.items.iter_mut().for_each(|item| item.value = item.value.clone().seen_at(now));
        Ok(found)
    }

    /// The organization's keys, without their secrets.
    pub async fn keys(
        &self,
        caller: &Caller,
        org: &OrgKey,
        page: &PageOf,
    ) -> Result<Listing<KeyFacts>, Error> {
        let search = page.search()?;
        self.keys_where(caller, org, page, |key| Search::finds(search.as_ref(), key)).await
    }

    async fn keys_where(
        &self,
        caller: &Caller,
        org: &OrgKey,
        page: &PageOf,
        wanted: impl Fn(&KeyFacts) -> bool,
    ) -> Result<Listing<KeyFacts>, Error> {
        caller.can(org, Permission::ManageKeys)?;
        store::standing::<Organization>(self.table(), &place::organization(org), "organization")
            .await?;
        let keys = keys_in_force(self.table(), org).await?;
        let everywhere = caller.can_everywhere(org, Permission::ManageKeys).is_ok();
        let own = caller.family.last();
        let after = page.cursor.as_deref();
        let limit = page.limit()? as usize;
        let mut items: Vec<Stored<KeyFacts>> = keys
            .into_iter()
            .map(|key| Stored { value: key.value.facts, version: key.version })
            .filter(|key| everywhere || own.is_some_and(|own| key.value.ancestors.contains(own)))
            .filter(|key| wanted(&key.value))
            .filter(|key| after.is_none_or(|after| key.value.id.as_str() > after))
            .take(limit + 1)
            .collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let next = last.map(|key| key.value.id.clone());
        Ok(Listing { items, next })
    }

    /// One key that the caller may list, without its secret.
    pub async fn key(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
    ) -> Result<Stored<KeyFacts>, Error> {
        let page = PageOf { limit: Some(1), ..PageOf::default() };
        let all = self.keys_where(caller, org, &page, |key| key.id == id).await?;
        all.items.into_iter().next().ok_or(Error::NotFound { what: "key" })
    }

    /// The organization's own roles.
    pub async fn roles(
        &self,
        caller: &Caller,
        org: &OrgKey,
        page: &PageOf,
    ) -> Result<Listing<RoleRecord>, Error> {
        self.organization(caller, org).await?;
        self.page(&place::org_pk(org), "ROLE#", page).await
    }

    pub async fn role(
        &self,
        caller: &Caller,
        org: &OrgKey,
        role: &RoleKey,
    ) -> Result<Stored<RoleRecord>, Error> {
        caller.can(org, Permission::Read)?;
        store::standing(self.table(), &place::role(org, role), "role").await
    }

    /// A page of a log, oldest first.
    pub async fn log(
        &self,
        caller: &Caller,
        log: &LogId,
        page: &PageOf,
    ) -> Result<Listing<LogEntry>, Error> {
        self.may_read_log(caller, log).await?;
        let (limit, cursor) = (page.limit()?, page.cursor.as_deref());
        let mut found: Listing<LogEntry> =
            store::page(self.table(), &log.partition(), LOG_PREFIX, limit, cursor).await?;
        self.show(log, found.items.iter_mut().map(|entry| &mut entry.value)).await?;
        Ok(found)
    }

    /// Makes entries what readers may see: without secrets, and with what names people where it still stands.
    pub(crate) async fn show<'e>(
        &self,
        log: &LogId,
        entries: impl Iterator<Item = &'e mut LogEntry> + Send,
    ) -> Result<(), Error> {
        let mut entries: Vec<&mut LogEntry> = entries.collect();
        entries.iter_mut().for_each(|entry| entry.hide_secrets());
        self.unseal(log, entries).await
    }
}
