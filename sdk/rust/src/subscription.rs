//! Hearing of changes to one flag.

use std::sync::Arc;

use flagforge_flags::Inputs;
use flagforge_flags::keys::TenantKey;
use thiserror::Error;
use tokio::sync::watch;

use crate::shared::{Inner, Progress};

/// Changes to one flag for one tenant, or for nobody; see [`Tenant::subscribe`](crate::Tenant::subscribe). It looks at
/// a manifest when one is taken up, and costs evaluation nothing.
#[derive(Debug)]
pub struct Subscription {
    inner: Arc<Inner>,
    flag: &'static str,
    tenant: Option<TenantKey>,
    progress: watch::Receiver<Progress>,
    /// Of the manifest that was looked at last.
    swaps: u64,
    inputs: Option<Inputs>,
}

impl Subscription {
    pub(crate) fn new(inner: Arc<Inner>, flag: &'static str, tenant: Option<TenantKey>) -> Self {
        // Counted before it is looked at: what comes between is looked at twice rather than missed.
        let progress = inner.shared.progress.subscribe();
        let swaps = progress.borrow().swaps;
        let inputs = inputs(&inner, flag, tenant.as_ref());
        Self { inner, flag, tenant, progress, swaps, inputs }
    }

    /// The flag's key.
    pub const fn key(&self) -> &'static str {
        self.flag
    }

    /// Waits until answers may be others than when it was last told: the flag, or what it asks for, or what it
    /// reads of the tenant has changed. Several changes at once are told once, and what is asked for then is of the
    /// newest. Time is none: a ramp or an expiry that was published long ago is not told when it comes. It may be
    /// dropped while it waits, and nothing is lost.
    pub async fn changed(&mut self) -> Result<(), Ended> {
        loop {
            let Progress { swaps, ended, .. } = *self.progress.borrow_and_update();
            if swaps != self.swaps {
                self.swaps = swaps;
                let inputs = inputs(&self.inner, self.flag, self.tenant.as_ref());
                if std::mem::replace(&mut self.inputs, inputs) != inputs {
                    return Ok(());
                }
            }
            if ended {
                return Err(Ended);
            }
            self.progress.changed().await.map_err(|_| Ended)?;
        }
    }
}

/// There will be no changes any more: the client was closed, or never followed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the client no longer follows a manifest")]
pub struct Ended;

fn inputs(inner: &Inner, flag: &str, tenant: Option<&TenantKey>) -> Option<Inputs> {
    let manifest = inner.shared.current.load();
    manifest.is_there().then(|| manifest.snapshot().inputs(flag, tenant))
}
