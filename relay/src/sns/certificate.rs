//! SNS's certificates: read once, remembered by their addresses, and what they sign.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use flagforge_flags::rate::{Buckets, Rate};
use flagforge_flags::time::Timestamp;
use reqwest::Url;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
    UnparsedPublicKey,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_cert::Certificate as Parsed;
use x509_cert::der::Decode as _;

use super::message::{Message, Version};
use super::web::{Web, WebError};

/// Certificates that are remembered: SNS has one at a time in each region, and changes it every year or so. Of 2 KB each.
const MAX_CERTIFICATES: usize = 16;
/// How often AWS is asked for a certificate: who knows a topic's name can invent names of certificates.
const RATE: Rate = Rate { per_second: 1, burst_seconds: 5 };

/// What of a certificate counts here. Whose it is, TLS said when it was read from SNS's own host.
#[derive(Debug)]
pub(super) struct Certificate {
    /// `RSAPublicKey` (RFC 8017).
    key: Vec<u8>,
    from: Timestamp,
    until: Timestamp,
}

impl Certificate {
    /// Reads a certificate in PEM; of several the first, which is the one that signs.
    fn read(pem: &[u8]) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(pem).map_err(|error| error.to_string())?;
        let parsed = Parsed::from_der(&der).map_err(|error| error.to_string())?;
        let parsed = parsed.tbs_certificate();
        let key = parsed.subject_public_key_info().subject_public_key.as_bytes();
        let key = key.ok_or("its key is no whole number of bytes")?.to_vec();
        let at = |time: &x509_cert::time::Time| {
            Timestamp::from_millis(0).plus(Duration::from_secs(time.to_unix_duration().as_secs()))
        };
        let validity = parsed.validity();
        Ok(Self { key, from: at(&validity.not_before), until: at(&validity.not_after) })
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        self.from <= now && now <= self.until
    }

    /// Whether it signed the message. RSA keys of under 2,048 bits sign nothing.
    pub(super) fn verify(&self, message: &Message, now: Timestamp) -> Result<(), &'static str> {
        if !self.is_valid(now) {
            return Err("its certificate is not valid now");
        }
        let signature = Base64::decode_vec(&message.signature);
        let signature = signature.map_err(|_| "Signature is not base64")?;
        let parameters: &'static RsaParameters = match message.signature_version {
            Version::Sha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Version::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        };
        let key = UnparsedPublicKey::new(parameters, &self.key);
        let verified = key.verify(message.signed().as_bytes(), &signature);
        verified.map_err(|_| "its signature is another's")
    }
}

/// Certificates by address.
#[derive(Debug)]
pub(super) struct Certificates {
    web: Arc<dyn Web>,
    held: Mutex<HashMap<Url, Arc<Certificate>>>,
    /// Held while one is fetched, so that a burst of messages fetches it once; those whose certificate is here wait for nobody.
    fetching: tokio::sync::Mutex<()>,
    fetched: Buckets<()>,
}

impl Certificates {
    pub(super) fn new(web: Arc<dyn Web>) -> Self {
        Self {
            web,
            held: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
            fetched: Buckets::default(),
        }
    }

    /// The certificate at an address that was found to be SNS's.
    pub(super) async fn get(
        &self,
        address: &Url,
        now: Timestamp,
    ) -> Result<Arc<Certificate>, WebError> {
        if let Some(certificate) = self.remembered(address) {
            return Ok(certificate);
        }
        let _turn = self.fetching.lock().await;
        if let Some(certificate) = self.remembered(address) {
            return Ok(certificate);
        }
        self.fetched.take((), RATE, now).map_err(|_| WebError("asked for too often".into()))?;
        let pem = self.web.certificate(address).await?;
        let certificate = Certificate::read(&pem).map_err(WebError)?;
        let certificate = Arc::new(certificate);
        let mut held = self.held();
        // Only what SNS's host had gets here: strangers cannot push others out.
        if held.len() >= MAX_CERTIFICATES {
            held.clear();
        }
        held.insert(address.clone(), Arc::clone(&certificate));
        Ok(Arc::clone(&certificate))
    }

    fn remembered(&self, address: &Url) -> Option<Arc<Certificate>> {
        self.held().get(address).cloned()
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Url, Arc<Certificate>>> {
        // Every change is whole, so a panic elsewhere leaves nothing half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
