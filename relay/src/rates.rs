//! How often one key and one tenant may ask, so that a loop somewhere does not take everybody's share. Each process counts by
//! itself: several together let pass several times as many.

use std::sync::atomic::{AtomicU32, Ordering};

use flagforge_flags::keys::TenantKey;
use flagforge_flags::rate::{Buckets, Rate};

use crate::clock;
use crate::config::Config;
use crate::env_id::EnvId;
use crate::problem::Refused;

/// Seconds' worth that may come at once: a fleet that starts, or a page with many components.
const BURST_SECONDS: u32 = 5;

#[derive(Debug)]
pub(crate) struct Rates {
    of_a_key: AtomicU32,
    of_a_tenant: AtomicU32,
    keys: Buckets<(EnvId, String)>,
    tenants: Buckets<(EnvId, TenantKey)>,
}

impl Rates {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            of_a_key: AtomicU32::new(config.requests_per_second_of_a_key),
            of_a_tenant: AtomicU32::new(config.requests_per_second_of_a_tenant),
            keys: Buckets::default(),
            tenants: Buckets::default(),
        }
    }

    /// Other rates from here on. Nobody has more left than their burst allows.
    #[cfg(feature = "server")]
    pub(crate) fn set(&self, of_a_key: u32, of_a_tenant: u32) {
        self.of_a_key.store(of_a_key, Ordering::Relaxed);
        self.of_a_tenant.store(of_a_tenant, Ordering::Relaxed);
    }

    /// Counts a request of a key that was verified, by the key's id.
    pub(crate) fn key(&self, environment: &EnvId, id: &str) -> Result<(), Refused> {
        let place = (environment.clone(), id.to_owned());
        take(&self.keys, place, &self.of_a_key, "key")
    }

    /// Counts a request on behalf of a tenant, whichever key asks.
    pub(crate) fn tenant(&self, environment: &EnvId, tenant: &TenantKey) -> Result<(), Refused> {
        take(&self.tenants, (environment.clone(), tenant.clone()), &self.of_a_tenant, "tenant")
    }
}

fn take<K: std::hash::Hash + Eq>(
    buckets: &Buckets<K>,
    key: K,
    per_second: &AtomicU32,
    whose: &'static str,
) -> Result<(), Refused> {
    let per_second = per_second.load(Ordering::Relaxed);
    let rate = Rate { per_second, burst_seconds: BURST_SECONDS };
    let taken = buckets.take(key, rate, clock::now());
    taken.map(drop).map_err(|empty| Refused::TooMany {
        whose,
        per_second,
        retry_after_seconds: empty.retry_after_seconds,
    })
}
