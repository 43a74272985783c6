//! Certificates of the short-lived keys that sign manifests. The online key signs behind a port, so a
//! certificate is made in two steps: the message, then the message with its signature.

use serde::{Deserialize, Serialize};

use super::jws::{self, Header, Jws};
use super::{PublicKey, Refusal, Thumbprint, Trust};
use crate::time::Timestamp;

/// Bytes of a certificate: about 200 of header and 280 of claims, in base64, and a signature.
pub const MAX_CERTIFICATE_BYTES: usize = 4 * 1024;

const WHAT: &str = "certificate";
const TYPE: &str = "flagforge-key+jwt";

/// What a certificate says: this key may sign manifests issued between two instants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyClaims {
    /// The key that is certified.
    pub key: PublicKey,
    /// Manifests issued earlier are not its own.
    pub issued: Timestamp,
    /// Manifests issued later are not its own.
    pub expires: Timestamp,
}

/// What the online key has to sign: the JWS signing input.
pub fn certificate_message(claims: &KeyClaims, online: &Thumbprint) -> Result<String, Refusal> {
    if claims.expires <= claims.issued {
        return Err(Refusal::malformed(WHAT, "it expires before it is issued"));
    }
    jws::signing_input(WHAT, &Header::new(TYPE, *online, None), claims)
}

/// The certificate: a compact JWS of a message and the online key's signature over it.
pub fn certificate(message: &str, signature: &[u8; 64]) -> String {
    jws::seal(message, signature)
}

/// Verifies a certificate against the online keys of `trust`. Its times are the caller's to hold against
/// what it certifies.
pub fn verify_certificate(text: &str, trust: &Trust) -> Result<KeyClaims, Refusal> {
    Refusal::over(WHAT, MAX_CERTIFICATE_BYTES, text.len())?;
    let jws = Jws::compact(WHAT, TYPE, text)?;
    let key = jws.header.kid;
    let online = trust.online(&key).ok_or(Refusal::UnknownKey { what: WHAT, key })?;
    jws::parse(WHAT, &jws.verify(online)?)
}
