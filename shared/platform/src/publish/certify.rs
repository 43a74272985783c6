//! The short-lived key that signs roots, certified by the online key (DESIGN §7). It lives in this
//! process only; a new process makes a new one.

use std::time::Duration;

use flagforge_flags::manifest::{
    KeyClaims, SecretKey, Thumbprint, Trust, certificate, certificate_message,
};
use flagforge_flags::time::Timestamp;

use crate::Platform;
use crate::error::Error;
use crate::fresh;

/// How long a signing key is certified for.
const KEY_LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// A key this old is replaced: far enough from its end that a slow clock does not matter.
const RENEW_AFTER: Duration = Duration::from_secs(12 * 3_600);
/// A certificate begins a little before now, for the neighbour whose clock is behind.
const BACKDATE: Duration = Duration::from_secs(60);

/// A signing key and its certificate.
#[derive(Debug, Clone)]
pub(super) struct Certified {
    pub(super) key: SecretKey,
    pub(super) certificate: String,
    online: Thumbprint,
    made: Timestamp,
}

impl Platform {
    /// The signing key in use, renewed when it is old or the trust document no longer names its online key.
    pub(super) async fn certified(&self, trust: &Trust) -> Result<Certified, Error> {
        let mut slot = self.publisher().certified.lock().await;
        let now = self.timer().now();
        if let Some(held) = &*slot
            && now.since(held.made) < RENEW_AFTER
            && trusted(trust, &held.online)
        {
            return Ok(held.clone());
        }
        let online = self.signer().public_key().await?.thumbprint();
        if !trusted(trust, &online) {
            let context = "the trust document does not name the online key; install one that does";
            return Err(Error::Internal { context, source: None });
        }
        let key = SecretKey::from_bytes(&fresh::key_bytes()?)
            .map_err(|error| Error::internal("the system gave bytes that are no key", error))?;
        let issued = Timestamp::from_millis(now.as_millis() - BACKDATE.as_millis() as i64);
        let claims = KeyClaims { key: key.public(), issued, expires: now.plus(KEY_LIFETIME) };
        let message = certificate_message(&claims, &online)
            .map_err(|error| Error::internal("a certificate was refused", error))?;
        let signature = self.signer().sign(message.as_bytes()).await?;
        let certificate = certificate(&message, &signature);
        let made = Certified { key, certificate, online, made: now };
        *slot = Some(made.clone());
        Ok(made)
    }
}

fn trusted(trust: &Trust, online: &Thumbprint) -> bool {
    trust.claims().online.iter().any(|key| key.thumbprint() == *online)
}
