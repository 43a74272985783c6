//! Lists that leave out what was not asked for. A request looks at a bounded number of records and says
//! by its cursor how far it came, so a page can be short, or empty, and still have a successor.

mod searched;

use std::collections::BTreeSet;

use flagforge_flags::hold_for;
use flagforge_flags::keys::{GroupKey, OrgKey, TenantKey};
use flagforge_flags::wire::{ConditionWire, FlagClass};
use flagforge_flags::{TenantConditionError, check_tenant_condition};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::Platform;
use crate::caller::{Caller, Role};
use crate::conditions::ConditionInput;
use crate::error::Error;
use crate::input::bounded;
use crate::place;
use crate::ports::{MAX_PAGE_ITEMS, PageToken, Query};
use crate::read::PageOf;
use crate::record::{Definition, Group, Member, Tenant};
use crate::store::{self, Listing, Stored, decode};
pub(crate) use searched::Searched;

/// Records that one request looks at: five pages of the table, some 50 ms on either hand.
pub const MAX_LOOKED_AT: usize = 5 * MAX_PAGE_ITEMS as usize;
/// Bytes of a text to search for; no key or name that people type is longer.
pub const MAX_SEARCH_BYTES: usize = 128;

/// In which order a range is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Ascending,
    Descending,
}

/// A text that is searched for, upper and lower case the same.
#[derive(Debug, Clone)]
pub(crate) struct Search(String);

impl Search {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        bounded("search", "bytes", MAX_SEARCH_BYTES, text.len())?;
        Ok(Self(text.to_lowercase()))
    }

    /// Whether one of these has it.
    fn is_in(&self, texts: &[&str]) -> bool {
        texts.iter().any(|text| text.to_lowercase().contains(&self.0))
    }

    /// Leaves of a short list what is found.
    pub(crate) fn keep<T: Searched>(
        text: Option<&str>,
        records: &mut Vec<Stored<T>>,
    ) -> Result<(), Error> {
        let search = text.map(Self::parse).transpose()?;
        records.retain(|record| Self::finds(search.as_ref(), &record.value));
        Ok(())
    }

    /// Whether a record is found; each is, where nothing is searched for.
    pub(crate) fn finds<T: Searched>(search: Option<&Self>, record: &T) -> bool {
        search.is_none_or(|search| record.has(search))
    }
}

/// Which flags of a list. All that is asked must hold.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FlagFilter {
    /// Only flags of this owner.
    pub owner: Option<String>,
    /// Only flags of this domain.
    pub domain: Option<String>,
    /// Only flags of this class.
    pub class: Option<FlagClass>,
    /// Only flags with this tag.
    pub tag: Option<String>,
}

impl FlagFilter {
    fn is_empty(&self) -> bool {
        let Self { owner, domain, class, tag } = self;
        owner.is_none() && domain.is_none() && class.is_none() && tag.is_none()
    }

    fn wants(&self, flag: &Definition) -> bool {
        let Self { owner, domain, class, tag } = self;
        (owner.is_none() || *owner == flag.owner)
            && (domain.is_none() || *domain == flag.domain)
            && class.is_none_or(|class| class == flag.class)
            && tag.as_ref().is_none_or(|tag| flag.tags.contains(tag))
    }
}

/// Which tenants of a list. All that is asked must hold.
#[derive(Debug, Clone, Default)]
pub struct TenantFilter {
    pub synthetic: Option<bool>,
    /// A condition on the tenant's attributes.
    pub when: Option<ConditionWire>,
}

impl TenantFilter {
    /// A filter as people write it; the condition is text.
    pub fn parse(synthetic: Option<bool>, when: Option<&str>) -> Result<Self, Error> {
        Ok(Self { synthetic, when: when.map(condition).transpose()? })
    }

    fn is_empty(&self) -> bool {
        self.synthetic.is_none() && self.when.is_none()
    }

    /// Which of `tenants` are asked for, and found.
    fn wants(&self, search: Option<&Search>, tenants: &[Stored<Tenant>]) -> Vec<bool> {
        let holding = self.when.as_ref().map(|when| holding(when, tenants));
        let wanted = |tenant: &Tenant| {
            Search::finds(search, tenant)
                && self.synthetic.is_none_or(|wanted| tenant.synthetic == wanted)
                && holding.as_ref().is_none_or(|holding| holding.contains(&tenant.key))
        };
        tenants.iter().map(|tenant| wanted(&tenant.value)).collect()
    }
}

/// A condition on tenants, from its text form.
pub(crate) fn condition(text: &str) -> Result<ConditionWire, Error> {
    let when = ConditionInput::Text(text.to_owned()).tree("when")?;
    check_tenant_condition(&when)
        .map_err(|TenantConditionError { path, message }| Error::invalid(path, message))?;
    Ok(when)
}

/// The tenants for whom a condition holds.
fn holding(when: &ConditionWire, tenants: &[Stored<Tenant>]) -> BTreeSet<TenantKey> {
    let Ok(name) = GroupKey::new("asked") else { return BTreeSet::new() };
    let facts =
        tenants.iter().map(|tenant| (tenant.value.key.clone(), tenant.value.attributes.clone()));
    hold_for(&[(name, when.clone())], facts).into_keys().collect()
}

impl Platform {
    /// Tenants, by key.
    pub async fn tenants(
        &self,
        caller: &Caller,
        org: &OrgKey,
        filter: &TenantFilter,
        page: &PageOf,
    ) -> Result<Listing<Tenant>, Error> {
        self.organization(caller, org).await?;
        let pk = place::org_pk(org);
        if filter.is_empty() {
            return self.page(&pk, "TENANT#", page).await;
        }
        let search = page.search()?;
        let wanted = |tenants: &[_]| filter.wants(search.as_ref(), tenants);
        self.sift(&pk, "TENANT#", page, Order::Ascending, wanted).await
    }

    /// Flag definitions, by key.
    pub async fn definitions(
        &self,
        caller: &Caller,
        org: &OrgKey,
        filter: &FlagFilter,
        page: &PageOf,
    ) -> Result<Listing<Definition>, Error> {
        self.organization(caller, org).await?;
        self.flags_of(org, filter, page).await
    }

    /// A page of definitions, for callers that have been asked who they are.
    pub(crate) async fn flags_of(
        &self,
        org: &OrgKey,
        filter: &FlagFilter,
        page: &PageOf,
    ) -> Result<Listing<Definition>, Error> {
        let pk = place::org_pk(org);
        if filter.is_empty() {
            return self.page(&pk, "FLAG#", page).await;
        }
        let search = page.search()?;
        let wanted = |flag: &Definition| filter.wants(flag) && Search::finds(search.as_ref(), flag);
        let verdicts = |flags: &[Stored<_>]| flags.iter().map(|flag| wanted(&flag.value)).collect();
        self.sift(&pk, "FLAG#", page, Order::Ascending, verdicts).await
    }

    /// The members of a group that count: those of earlier groups or tenants of the same key are left out. Of a
    /// group with a condition, the tenants for whom it holds now.
    pub async fn members(
        &self,
        caller: &Caller,
        org: &OrgKey,
        group: &GroupKey,
        page: &PageOf,
    ) -> Result<Listing<Member>, Error> {
        let Group { uid, when, .. } = self.group(caller, org, group).await?.value;
        caller.may(org, Role::Reader)?;
        let Some(when) = when else {
            let prefix = format!("MEMBER#{group}#");
            let mut found: Listing<Member> = self.page(&place::org_pk(org), &prefix, page).await?;
            found.items.retain(|member| member.value.group_uid == uid);
            return Ok(found);
        };
        let filter = TenantFilter { when: Some(when), ..TenantFilter::default() };
        let tenants = self.tenants(caller, org, &filter, page).await?;
        let member = |tenant: Stored<Tenant>| Stored {
            value: Member {
                group: group.clone(),
                group_uid: uid.clone(),
                tenant: tenant.value.key,
                tenant_uid: tenant.value.uid,
            },
            version: tenant.version,
        };
        Ok(Listing { items: tenants.items.into_iter().map(member).collect(), next: tenants.next })
    }

    /// A page of records, or of those of them that are found where something is searched for.
    pub(crate) async fn page<T: DeserializeOwned + Searched>(
        &self,
        pk: &str,
        prefix: &str,
        page: &PageOf,
    ) -> Result<Listing<T>, Error> {
        let Some(search) = page.search()? else {
            let cursor = page.cursor.as_deref();
            return store::page(self.table(), pk, prefix, page.limit()?, cursor).await;
        };
        let found = |record: &Stored<T>| record.value.has(&search);
        let verdicts = |records: &[Stored<T>]| records.iter().map(found).collect();
        self.sift(pk, prefix, page, Order::Ascending, verdicts).await
    }

    /// A page of those records that `wanted` wants, of at most [`MAX_LOOKED_AT`] looked at.
    pub(crate) async fn sift<T: DeserializeOwned>(
        &self,
        pk: &str,
        prefix: &str,
        page: &PageOf,
        order: Order,
        wanted: impl Fn(&[Stored<T>]) -> Vec<bool>,
    ) -> Result<Listing<T>, Error> {
        let limit = page.limit()? as usize;
        let mut query = Query::prefix(pk, prefix);
        query.descending = order == Order::Descending;
        query.page = page.cursor.as_ref().map(|cursor| PageToken(format!("{prefix}{cursor}")));
        let cursor = |sk: &str| sk.strip_prefix(prefix).map(str::to_owned);
        let (mut items, mut looked_at) = (Vec::new(), 0);
        loop {
            let found = self.table().query(&query).await?;
            looked_at += found.items.len();
            let records = found.items.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
            let verdicts = wanted(&records);
            let mut places = found.items.iter().map(|item| &item.key.sk).peekable();
            for (record, is_wanted) in records.into_iter().zip(verdicts) {
                let sk = places.next();
                if is_wanted {
                    items.push(record);
                }
                if items.len() == limit && (places.peek().is_some() || found.next.is_some()) {
                    return Ok(Listing { items, next: sk.and_then(|sk| cursor(sk)) });
                }
            }
            match found.next {
                None => return Ok(Listing { items, next: None }),
                Some(PageToken(sk)) if looked_at >= MAX_LOOKED_AT => {
                    return Ok(Listing { items, next: cursor(&sk) });
                }
                next => query.page = next,
            }
        }
    }
}
