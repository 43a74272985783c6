//! Lists that leave out what was not asked for. A request looks at a bounded number of records and says
//! by its cursor how far it came, so a page can be short, or empty, and still have a successor.

use std::collections::BTreeSet;

use flagforge_flags::hold_for;
use flagforge_flags::keys::{GroupKey, OrgKey, TenantKey};
use flagforge_flags::wire::ConditionWire;
use flagforge_flags::{TenantConditionError, check_tenant_condition};
use serde::de::DeserializeOwned;

use crate::Platform;
use crate::caller::{Caller, Role};
use crate::conditions::ConditionInput;
use crate::error::Error;
use crate::input::bounded;
use crate::place;
use crate::ports::{MAX_PAGE_ITEMS, PageToken, Query};
use crate::read::PageOf;
use crate::record::{Group, Member, Tenant};
use crate::store::{Listing, Stored, decode};

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

/// Which tenants of a list. All that is asked must hold.
#[derive(Debug, Clone, Default)]
pub struct TenantFilter {
    /// Part of the key or of the name, upper and lower case the same.
    pub search: Option<String>,
    pub synthetic: Option<bool>,
    /// A condition on the tenant's attributes.
    pub when: Option<ConditionWire>,
}

impl TenantFilter {
    /// A filter as people write it; the condition is text.
    pub fn parse(
        search: Option<String>,
        synthetic: Option<bool>,
        when: Option<&str>,
    ) -> Result<Self, Error> {
        if let Some(search) = &search {
            bounded("search", "bytes", MAX_SEARCH_BYTES, search.len())?;
        }
        let when = when.map(condition).transpose()?;
        Ok(Self { search: search.map(|text| text.to_lowercase()), synthetic, when })
    }

    fn is_empty(&self) -> bool {
        self.search.is_none() && self.synthetic.is_none() && self.when.is_none()
    }

    /// Which of `tenants` are asked for.
    fn wants(&self, tenants: &[Stored<Tenant>]) -> Vec<bool> {
        let holding = self.when.as_ref().map(|when| holding(when, tenants));
        let wanted = |tenant: &Tenant| {
            let found = self.search.as_ref().is_none_or(|text| {
                tenant.key.as_str().to_lowercase().contains(text)
                    || tenant.name.to_lowercase().contains(text)
            });
            found
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
        self.sift(&pk, "TENANT#", page, Order::Ascending, |tenants| filter.wants(tenants)).await
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
        let tenants = self
            .sift(&place::org_pk(org), "TENANT#", page, Order::Ascending, |tenants| {
                filter.wants(tenants)
            })
            .await?;
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
