//! A bucket by a key's leave: the key is exchanged now and then for credentials of the bucket, or for passes of a
//! distribution in front of it; objects are read there, and where that does not work from the relay that gave the grant.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_flags::manifest::{Named, ScopeId};
use flagforge_flags::time::Timestamp;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

#[cfg(feature = "s3")]
use super::S3Origin;
use super::cdn::CdnOrigin;
use super::grant::{Grant, GrantKind, Leave};
use super::{Announcements, Fetched, HttpOrigin, Origin, OriginError, SetupError};
use crate::clock;
use crate::jitter::{backoff, dice, shortened};
use crate::loader::chain;

/// How long an exchange may take. Meanwhile nothing is read.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(5);
/// What must be left of a grant for a read to begin with it: one read, and clocks that are a minute apart.
const LEAST_LEFT: Duration = Duration::from_secs(75);
/// The longest wait between two exchanges that fail.
const MAX_RETRY: Duration = Duration::from_secs(60);
/// When a relay that grants nothing is asked again whether it does.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5 * 60);

/// The bucket of one environment, or the distribution in front of it, read with what the relay at its address grants; and that
/// relay, where it grants nothing, the grant has lapsed, or the bucket does not answer. Announcements come from the relay.
#[derive(Debug)]
pub struct GrantedOrigin {
    relay: HttpOrigin,
    kind: GrantKind,
    slot: Mutex<Slot>,
}

#[derive(Debug)]
struct Slot {
    held: Option<Held>,
    failures: u32,
    next_try: Instant,
}

#[derive(Debug)]
struct Held {
    bucket: Arc<dyn Origin>,
    renew: Timestamp,
    ends: Timestamp,
}

impl Held {
    fn of(grant: Grant, now: Timestamp) -> Result<Self, SetupError> {
        let Grant { leave, expires } = grant;
        let bucket = reader(leave)?;
        // At half its life, a little earlier by chance: those that began together do not renew together.
        let renew = now.plus(shortened(expires.since(now) / 2, dice()));
        Ok(Self { bucket, renew, ends: expires })
    }
}

fn reader(leave: Leave) -> Result<Arc<dyn Origin>, SetupError> {
    match leave {
        #[cfg(feature = "s3")]
        Leave::Bucket { bucket, region, endpoint, credentials } => {
            let aws = || format!("https://s3.{region}.amazonaws.com");
            let endpoint = endpoint.unwrap_or_else(aws);
            Ok(Arc::new(S3Origin::new(&endpoint, &bucket, &region, credentials)?))
        }
        #[cfg(not(feature = "s3"))]
        Leave::Bucket { .. } => Err(SetupError::NotBuilt("s3")),
        Leave::Distribution { address, passes } => Ok(Arc::new(CdnOrigin::new(&address, passes)?)),
    }
}

impl GrantedOrigin {
    /// Over a relay, which is asked for grants of this kind. Nothing is exchanged yet.
    pub fn new(relay: HttpOrigin, kind: GrantKind) -> Self {
        let slot = Slot { held: None, failures: 0, next_try: Instant::now() };
        Self { relay, kind, slot: Mutex::new(slot) }
    }

    /// The bucket, where there is a grant for it. Whoever asks while one is exchanged waits for that.
    async fn bucket(&self, scope: &ScopeId) -> Option<Arc<dyn Origin>> {
        let mut slot = self.slot.lock().await;
        let now = clock::now();
        let due = slot.held.as_ref().is_none_or(|held| now >= held.renew);
        if due && Instant::now() >= slot.next_try {
            self.exchange(scope, &mut slot).await;
        }
        let now = clock::now();
        let good = |held: &&Held| now.plus(LEAST_LEFT) < held.ends;
        slot.held.as_ref().filter(good).map(|held| Arc::clone(&held.bucket))
    }

    async fn exchange(&self, scope: &ScopeId, slot: &mut Slot) {
        let exchanged = timeout(EXCHANGE_WITHIN, self.relay.grant(scope, self.kind)).await;
        let failed = match exchanged {
            Ok(Ok(Some(grant))) => match Held::of(grant, clock::now()) {
                Ok(held) => {
                    *slot = Slot { held: Some(held), failures: 0, next_try: Instant::now() };
                    return;
                }
                Err(error) => chain(&error),
            },
            Ok(Ok(None)) => {
                debug!(%scope, "nothing is granted; the relay is read");
                *slot =
                    Slot { held: None, failures: 0, next_try: Instant::now() + ASK_AGAIN_AFTER };
                return;
            }
            Ok(Err(error)) => chain(&error),
            Err(late) => late.to_string(),
        };
        warn!(%scope, error = failed, "no new grant");
        slot.failures = slot.failures.saturating_add(1);
        slot.next_try = Instant::now() + backoff(slot.failures, MAX_RETRY, dice());
    }

    /// After an error of the bucket the relay is asked. What the bucket refuses is a grant that is over.
    async fn forget_if_refused(&self, scope: &ScopeId, error: &OriginError) {
        debug!(%scope, error = chain(error), "the bucket did not answer; the relay is read");
        if matches!(error, OriginError::Refused { status: 400 | 401, .. }) {
            self.slot.lock().await.held = None;
        }
    }
}

#[async_trait]
impl Origin for GrantedOrigin {
    async fn trust(
        &self,
        scope: &ScopeId,
        number: Option<u64>,
    ) -> Result<Option<Bytes>, OriginError> {
        if let Some(bucket) = self.bucket(scope).await {
            match bucket.trust(scope, number).await {
                Ok(found) => return Ok(found),
                Err(error) => self.forget_if_refused(scope, &error).await,
            }
        }
        self.relay.trust(scope, number).await
    }

    async fn root(&self, scope: &ScopeId, held: Option<&str>) -> Result<Fetched, OriginError> {
        if let Some(pushed) = self.relay.pushed_root(scope, held) {
            return Ok(pushed);
        }
        if let Some(bucket) = self.bucket(scope).await {
            match bucket.root(scope, held).await {
                Ok(found) => return Ok(found),
                Err(error) => self.forget_if_refused(scope, &error).await,
            }
        }
        self.relay.root(scope, held).await
    }

    async fn chunk(&self, scope: &ScopeId, named: Named) -> Result<Option<Bytes>, OriginError> {
        if let Some(pushed) = self.relay.pushed_chunk(scope, &named) {
            return Ok(Some(pushed));
        }
        if let Some(bucket) = self.bucket(scope).await {
            match bucket.chunk(scope, named).await {
                Ok(found) => return Ok(found),
                Err(error) => self.forget_if_refused(scope, &error).await,
            }
        }
        self.relay.chunk(scope, named).await
    }

    async fn watch(&self, scope: &ScopeId) -> Result<Option<Announcements>, OriginError> {
        self.relay.watch(scope).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_grants_of_one_instant_are_renewed_over_a_tenth_of_their_life() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let hour = Duration::from_secs(3_600);
        let renewals: Vec<u64> = (0..1_000)
            .map(|_| {
                let address = "https://d1.example".to_owned();
                let leave = Leave::Distribution { address, passes: Vec::new() };
                let grant = Grant { leave, expires: now.plus(hour) };
                Held::of(grant, now).unwrap().renew.since(now).as_secs()
            })
            .collect();
        let (first, last) = (renewals.iter().min().unwrap(), renewals.iter().max().unwrap());
        assert!(*first >= hour.as_secs() * 4 / 10 && *last <= hour.as_secs() / 2);
        // A thousand over six minutes are three a second.
        let most = (*first..=*last).map(|s| renewals.iter().filter(|at| **at == s).count()).max();
        assert!(most.unwrap() < 20, "{most:?} in one second");
    }
}
