//! Directories too large to hold: a tenant's shard is loaded when it is asked for, and let go when it was not for long.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flagforge_flags::keys::TenantKey;
use flagforge_flags::manifest::{ChunkKind, Listing, tenant_shard};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::load_tenant::LoadTenantError;

/// Tenants that are remembered as asked for, unless told otherwise: of about 150 bytes each, 1.5 MB.
pub const TENANTS_ON_DEMAND: usize = 10_000;
/// Bytes of the directory that are held, unless told otherwise: 512 chunks of 32 KiB. Compiled they take a few times as much.
pub const BYTES_ON_DEMAND: u64 = 16 * 1024 * 1024;
/// How long a tenant is held after it was last asked for, unless told otherwise.
pub const TTL_ON_DEMAND: Duration = Duration::from_secs(60 * 60);
/// Calls that may wait at a time: of about 250 bytes each, 2.5 MB.
pub const MAX_WAITING: usize = 10_000;
/// Calls that are answered together. Between two such loads the root is looked after.
const ASKED_AT_ONCE: usize = 256;

/// How much of the tenant directory a client holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Directory {
    /// All of it, from the start.
    #[default]
    Whole,
    /// The shards of the tenants that [`Client::load_tenant`](crate::Client::load_tenant) was asked for lately. Flags
    /// and segments are held as ever. Tenants of the other shards answer that they are not loaded.
    OnDemand {
        /// Tenants remembered as asked for; beyond it those asked for longest ago are let go.
        tenants: usize,
        /// Bytes of chunks held, likewise.
        bytes: u64,
        /// A tenant is let go so long after it was last asked for, while the origin answers. Where it does not, nothing is
        /// let go for its age: it could not be had again.
        ttl: Duration,
    },
}

impl Directory {
    /// On demand, within [`TENANTS_ON_DEMAND`], [`BYTES_ON_DEMAND`] and [`TTL_ON_DEMAND`].
    pub const fn on_demand() -> Self {
        let (tenants, bytes, ttl) = (TENANTS_ON_DEMAND, BYTES_ON_DEMAND, TTL_ON_DEMAND);
        Self::OnDemand { tenants, bytes, ttl }
    }

    pub(crate) fn begin(self) -> Option<Arc<OnDemand>> {
        let Self::OnDemand { tenants, bytes, ttl } = self else { return None };
        let (desk, asked) = (Mutex::default(), Notify::new());
        Some(Arc::new(OnDemand { tenants: tenants.max(1), bytes, ttl, desk, asked }))
    }
}

/// What became of a call.
pub(crate) type Outcome = Result<(), LoadTenantError>;

/// A call for a tenant that is not loaded.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) tenant: TenantKey,
    answer: oneshot::Sender<Outcome>,
}

impl Asked {
    pub(crate) fn answer(self, outcome: Outcome) {
        // Who hung up needs none.
        let _ = self.answer.send(outcome);
    }
}

/// Who was asked for, and who waits: between the callers and the task that loads.
#[derive(Debug)]
pub(crate) struct OnDemand {
    tenants: usize,
    pub(crate) bytes: u64,
    ttl: Duration,
    desk: Mutex<Desk>,
    asked: Notify,
}

#[derive(Debug, Default)]
struct Desk {
    /// When each tenant was last asked for.
    used: HashMap<TenantKey, Instant>,
    waiting: Vec<Asked>,
}

impl OnDemand {
    /// Notes that a tenant was asked for that is loaded.
    pub(crate) fn touch(&self, tenant: &TenantKey) {
        let (mut desk, now) = (self.desk(), Instant::now());
        match desk.used.get_mut(tenant) {
            Some(used) => *used = now,
            None => desk.note(tenant.clone(), now, self.tenants),
        }
    }

    /// Asks for a tenant that is not loaded.
    pub(crate) fn ask(
        &self,
        tenant: TenantKey,
    ) -> Result<oneshot::Receiver<Outcome>, LoadTenantError> {
        let (answer, answered) = oneshot::channel();
        let mut desk = self.desk();
        if desk.waiting.len() >= MAX_WAITING {
            desk.waiting.retain(|asked| !asked.answer.is_closed());
        }
        if desk.waiting.len() >= MAX_WAITING {
            return Err(LoadTenantError::Busy);
        }
        desk.waiting.push(Asked { tenant, answer });
        self.asked.notify_one();
        Ok(answered)
    }

    /// Returns when somebody waits.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Some who wait.
    pub(crate) fn take(&self) -> Vec<Asked> {
        let mut desk = self.desk();
        let taken = desk.waiting.len().min(ASKED_AT_ONCE);
        let mut asked: Vec<Asked> = desk.waiting.drain(..taken).collect();
        if !desk.waiting.is_empty() {
            self.asked.notify_one();
        }
        asked.retain(|asked| !asked.answer.is_closed());
        asked
    }

    /// Those for whom there is no place in a round come in the next.
    pub(crate) fn put_back(&self, asked: Vec<Asked>) {
        if !asked.is_empty() {
            self.desk().waiting.extend(asked);
            self.asked.notify_one();
        }
    }

    /// Forgets who was not asked for since long. Only for whoever has just heard of the origin.
    pub(crate) fn expire(&self) {
        let ttl = self.ttl;
        self.desk().used.retain(|_, used| used.elapsed() < ttl);
    }

    /// The shards to hold of this listing, of those who were asked for last, as far as they have a place; who has none is
    /// forgotten. `more` count as asked for now, and come first.
    pub(crate) fn fit(&self, listing: &Listing, shards: u32, more: &[&TenantKey]) -> BTreeSet<u32> {
        let mut desk = self.desk();
        let now = Instant::now();
        for &tenant in more {
            desk.note(tenant.clone(), now, self.tenants);
        }
        let sizes: HashMap<u32, u64> = listing
            .chunks()
            .filter(|listed| listed.kind == ChunkKind::Tenants)
            .map(|listed| (listed.shard, listed.bytes))
            .collect();
        let mut lately: Vec<(Instant, TenantKey)> =
            desk.used.iter().map(|(tenant, used)| (*used, tenant.clone())).collect();
        lately.sort_by(|a, b| b.cmp(a));
        let (mut kept, mut bytes) = (BTreeSet::new(), 0_u64);
        for (_, tenant) in lately {
            let shard = tenant_shard(tenant.as_str(), shards);
            let with = bytes.saturating_add(sizes.get(&shard).copied().unwrap_or(0));
            if kept.contains(&shard) {
                continue;
            }
            if with > self.bytes {
                desk.used.remove(&tenant);
                continue;
            }
            bytes = with;
            kept.insert(shard);
        }
        kept
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Every change of it is whole, so a panic elsewhere leaves nothing half done.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Notes a tenant, in the place of those asked for longest ago where there is none.
    fn note(&mut self, tenant: TenantKey, now: Instant, limit: usize) {
        self.used.insert(tenant, now);
        if self.used.len() <= limit {
            return;
        }
        // An eighth at a time, so that a crowd does not sort them once for each of its members.
        let over = self.used.len() - limit + limit / 8;
        let mut ages: Vec<Instant> = self.used.values().copied().collect();
        ages.sort();
        let Some(oldest) = ages.get(over).copied() else { return };
        self.used.retain(|_, used| *used >= oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: usize) -> TenantKey {
        TenantKey::new(&format!("t-{n}")).unwrap()
    }

    #[test]
    fn as_many_wait_as_may_and_one_more_is_turned_away() {
        let directory = Directory::on_demand().begin().unwrap();
        let ask = |n| directory.ask(tenant(n));
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|n| ask(n).unwrap()).collect();
        assert_eq!(ask(0).err(), Some(LoadTenantError::Busy));
        waiting.pop();
        assert!(ask(0).is_ok(), "whoever hung up makes place");
        assert_eq!(directory.take().len(), ASKED_AT_ONCE);
        assert!(ask(0).is_ok());
    }

    #[test]
    fn as_many_are_remembered_as_may_be() {
        let (tenants, bytes, ttl) = (16, 1, Duration::from_secs(1));
        let directory = Directory::OnDemand { tenants, bytes, ttl }.begin().unwrap();
        for n in 0..1_000 {
            directory.touch(&tenant(n));
            let desk = directory.desk();
            assert!(desk.used.len() <= tenants && desk.used.contains_key(&tenant(n)));
            assert!(n < 14 || desk.used.contains_key(&tenant(n - 13)), "the oldest go first: {n}");
        }
    }
}
