//! Records that belong to what is gone.

use std::collections::{HashMap, HashSet};

use flagforge_flags::keys::{EnvKey, FlagKey, GroupKey, TenantKey};

use super::{Left, Run};
use crate::change::Change;
use crate::deleted::Deleted;
use crate::error::Error;
use crate::import::Import;
use crate::place;
use crate::ports::{Item, Query};
use crate::record::{Definition, Group, Member, Override, StateRecord, Tenant};
use crate::schedule::Schedule;
use crate::store::{self, Stored, decode};

/// Records of one change: an override is two writes and three checks at most, out of the 100 of a transaction.
const BATCH: usize = 18;

/// The uids that count, as they stood when the run began. The change itself looks again.
struct Uids {
    flags: HashSet<(FlagKey, String)>,
    groups: HashMap<GroupKey, String>,
    tenants: HashMap<TenantKey, String>,
}

impl Run<'_> {
    /// Answers whether it came to the end.
    pub(super) async fn records(&mut self, envs: &[EnvKey]) -> Result<bool, Error> {
        let uids = self.uids().await?;
        for prefix in ["MEMBER#", "IMPORT#"] {
            if !self.sweep(None, prefix, &uids).await? {
                return Ok(false);
            }
        }
        for env in envs {
            for prefix in ["STATE#", "OVERRIDE#", "SCHEDULE-ENDED#"] {
                if !self.sweep(Some(env), prefix, &uids).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn uids(&self) -> Result<Uids, Error> {
        let (table, pk) = (self.platform.table(), place::org_pk(self.org));
        let flags: Vec<Stored<Definition>> = store::all(table, &pk, "FLAG#").await?;
        let kept: Vec<Stored<Deleted<Definition>>> =
            store::all(table, &pk, "DELETED-FLAG#").await?;
        let groups: Vec<Stored<Group>> = store::all(table, &pk, "GROUP#").await?;
        let tenants: Vec<Stored<Tenant>> = store::all(table, &pk, "TENANT#").await?;
        // What is over is counted as gone, so that a dry run tells what goes with it.
        let kept = kept.into_iter().filter(|kept| kept.value.deleted.until > self.began);
        let flags = flags.into_iter().map(|stored| stored.value);
        let flags = flags.chain(kept.map(|stored| stored.value.what));
        Ok(Uids {
            flags: flags.map(|flag| (flag.key, flag.uid)).collect(),
            groups: groups.into_iter().map(|s| (s.value.key, s.value.uid)).collect(),
            tenants: tenants.into_iter().map(|s| (s.value.key, s.value.uid)).collect(),
        })
    }

    async fn sweep(
        &mut self,
        env: Option<&EnvKey>,
        prefix: &str,
        uids: &Uids,
    ) -> Result<bool, Error> {
        let pk = env.map_or_else(|| place::org_pk(self.org), |env| place::env_pk(self.org, env));
        let mut query = Query::prefix(pk, prefix);
        loop {
            let page = self.platform.table().query(&query).await?;
            let mut left = Vec::new();
            for item in &page.items {
                left.extend(self.left(item, uids)?);
            }
            for batch in left.chunks(BATCH) {
                if self.is_over() {
                    return Ok(false);
                }
                let (org, left) = (self.org.clone(), batch.to_vec());
                if self.done(Change::Collect { org, env: env.cloned(), left }).await? {
                    batch.iter().for_each(|one| *self.count(one) += 1);
                }
            }
            match page.next {
                None => return Ok(true),
                next => query.page = next,
            }
        }
    }

    fn left(&self, item: &Item, uids: &Uids) -> Result<Option<Left>, Error> {
        let kind = item.key.sk.split('#').next().unwrap_or_default();
        Ok(match kind {
            "STATE" => {
                let StateRecord { flag, flag_uid, .. } = decode(item)?.value;
                let meant = (flag, flag_uid);
                (!uids.flags.contains(&meant)).then_some(Left::State { flag: meant.0 })
            }
            "OVERRIDE" => {
                let Override { flag, flag_uid, tenant, tenant_uid, .. } = decode(item)?.value;
                let meant = (flag, flag_uid);
                let stands =
                    uids.tenants.get(&tenant) == Some(&tenant_uid) && uids.flags.contains(&meant);
                (!stands).then_some(Left::Override { flag: meant.0, tenant })
            }
            "MEMBER" => {
                let Member { group, group_uid, tenant, tenant_uid } = decode(item)?.value;
                let stands = uids.groups.get(&group) == Some(&group_uid)
                    && uids.tenants.get(&tenant) == Some(&tenant_uid);
                (!stands).then_some(Left::Member { group, tenant })
            }
            "IMPORT" => {
                let import: Import = decode(item)?.value;
                import.is_over(self.began).then_some(Left::Import { id: import.id })
            }
            "SCHEDULE-ENDED" => {
                let ended: Schedule = decode(item)?.value;
                ended.is_over(self.began).then_some(Left::Schedule { id: ended.id })
            }
            _ => None,
        })
    }

    fn count(&mut self, left: &Left) -> &mut u64 {
        match left {
            Left::State { .. } => &mut self.found.states,
            Left::Override { .. } => &mut self.found.overrides,
            Left::Member { .. } => &mut self.found.members,
            Left::Import { .. } => &mut self.found.imports,
            Left::Schedule { .. } => &mut self.found.schedules,
        }
    }
}
