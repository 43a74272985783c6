//! ECDSA keys on P-256: public, secret, and the thumbprints that name them.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding};
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Digest;
use super::der::{self, Point};

const PUBLIC_LABEL: &str = "PUBLIC KEY";
const SECRET_LABEL: &str = "PRIVATE KEY";

/// Bytes or text that are no P-256 key, no signature of one, or no thumbprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyMaterialError {
    /// Not a public key on P-256.
    #[error("not a public key on P-256")]
    Public,
    /// Not a secret key on P-256. It never repeats what it was given.
    #[error("not a secret key on P-256")]
    Secret,
    /// Not a thumbprint.
    #[error("a thumbprint is 43 characters of base64url")]
    Thumbprint,
}

/// A public key on P-256. In JSON a JWK, written with exactly `kty`, `crv`, `x` and `y` (RFC 7517, RFC 7518 §6.2).
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Jwk", into = "Jwk")]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The RFC 7638 thumbprint, which names this key everywhere.
    pub fn thumbprint(&self) -> Thumbprint {
        let Jwk { x, y, .. } = Jwk::from(*self);
        // RFC 7638 §3: the required members only, in lexicographic order, without white space.
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Thumbprint(*Digest::of(text.as_bytes()).as_bytes())
    }

    /// Whether `signature` (`r || s`) is this key's over the SHA-256 of `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        Signature::from_slice(signature).is_ok_and(|s| self.0.verify(message, &s).is_ok())
    }

    /// Reads a DER SubjectPublicKeyInfo, which is what KMS answers.
    pub fn from_spki_der(bytes: &[u8]) -> Result<Self, KeyMaterialError> {
        der::spki_point(bytes).and_then(|p| Self::from_point(&p)).ok_or(KeyMaterialError::Public)
    }

    /// This key as a DER SubjectPublicKeyInfo.
    pub fn to_spki_der(&self) -> Vec<u8> {
        der::spki(&self.point())
    }

    /// Reads a PEM `PUBLIC KEY`.
    pub fn from_pem(text: &str) -> Result<Self, KeyMaterialError> {
        let bytes = der::from_pem(PUBLIC_LABEL, text).ok_or(KeyMaterialError::Public)?;
        Self::from_spki_der(&bytes)
    }

    /// This key as a PEM `PUBLIC KEY`.
    pub fn to_pem(&self) -> String {
        der::pem(PUBLIC_LABEL, &self.to_spki_der())
    }

    fn from_point(point: &Point) -> Option<Self> {
        VerifyingKey::from_sec1_bytes(point).ok().map(Self)
    }

    fn point(&self) -> Point {
        let mut point = [4; 65];
        let encoded = self.0.to_sec1_point(false);
        for (to, from) in point.iter_mut().zip(encoded.as_bytes()) {
            *to = *from;
        }
        point
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.thumbprint())
    }
}

/// The members of an EC key; unknown members (`kid` …) are ignored, as RFC 7517 §4 asks.
#[derive(Serialize, Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
    // What a key's owner says that it is for is no less than the key (RFC 7517 §4.2–4.4). Never written here.
    #[serde(rename = "use", default, skip_serializing)]
    purpose: Option<String>,
    #[serde(default, skip_serializing)]
    key_ops: Option<Vec<String>>,
    #[serde(default, skip_serializing)]
    alg: Option<String>,
}

impl Jwk {
    /// Whether it may verify what is signed with ES256.
    fn may_verify(&self) -> bool {
        let verifies = |operations: &Vec<String>| operations.iter().any(|one| one == "verify");
        self.purpose.as_ref().is_none_or(|purpose| purpose == "sig")
            && self.key_ops.as_ref().is_none_or(verifies)
            && self.alg.as_ref().is_none_or(|alg| alg == "ES256")
    }
}

impl From<PublicKey> for Jwk {
    fn from(key: PublicKey) -> Self {
        let point = key.point();
        let (x, y) = point.split_at(1).1.split_at(32);
        Self {
            kty: "EC".into(),
            crv: "P-256".into(),
            x: Base64UrlUnpadded::encode_string(x),
            y: Base64UrlUnpadded::encode_string(y),
            purpose: None,
            key_ops: None,
            alg: None,
        }
    }
}

impl TryFrom<Jwk> for PublicKey {
    type Error = KeyMaterialError;
    fn try_from(jwk: Jwk) -> Result<Self, KeyMaterialError> {
        if jwk.kty != "EC" || jwk.crv != "P-256" || !jwk.may_verify() {
            return Err(KeyMaterialError::Public);
        }
        let mut point = [4; 65];
        let (x, y) = point.split_at_mut(1).1.split_at_mut(32);
        for (text, coordinate) in [(&jwk.x, x), (&jwk.y, y)] {
            let decoded =
                Base64UrlUnpadded::decode_vec(text).map_err(|_| KeyMaterialError::Public)?;
            if decoded.len() != coordinate.len() {
                return Err(KeyMaterialError::Public);
            }
            coordinate.copy_from_slice(&decoded);
        }
        Self::from_point(&point).ok_or(KeyMaterialError::Public)
    }
}

/// The SHA-256 thumbprint of a public key (RFC 7638); 43 characters of base64url in text and JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Thumbprint([u8; 32]);

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Base64UrlUnpadded::encode_string(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

impl FromStr for Thumbprint {
    type Err = KeyMaterialError;
    fn from_str(text: &str) -> Result<Self, KeyMaterialError> {
        let bytes =
            Base64UrlUnpadded::decode_vec(text).map_err(|_| KeyMaterialError::Thumbprint)?;
        Ok(Self(bytes.try_into().map_err(|_| KeyMaterialError::Thumbprint)?))
    }
}

impl TryFrom<String> for Thumbprint {
    type Error = KeyMaterialError;
    fn try_from(text: String) -> Result<Self, KeyMaterialError> {
        text.parse()
    }
}

impl From<Thumbprint> for String {
    fn from(thumbprint: Thumbprint) -> Self {
        thumbprint.to_string()
    }
}

/// A secret key on P-256. `Debug` hides it; memory is wiped when it is dropped.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// Takes 32 random bytes that the caller brings. About one in 2³² is refused (zero, or not below the
    /// curve's order): the caller then draws again.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyMaterialError> {
        SigningKey::from_slice(bytes).map(Self).map_err(|_| KeyMaterialError::Secret)
    }

    /// Reads a PEM `PRIVATE KEY` (PKCS#8), as this crate or OpenSSL writes it.
    pub fn from_pem(text: &str) -> Result<Self, KeyMaterialError> {
        let bytes = der::from_pem(SECRET_LABEL, text).ok_or(KeyMaterialError::Secret)?;
        let (secret, point) = der::pkcs8_secret(&bytes).ok_or(KeyMaterialError::Secret)?;
        let key = Self::from_bytes(&secret)?;
        match point {
            Some(point) if point != key.public().point() => Err(KeyMaterialError::Secret),
            _ => Ok(key),
        }
    }

    /// This key as a PEM `PRIVATE KEY` (PKCS#8).
    pub fn to_pem(&self) -> String {
        let secret: [u8; 32] = self.0.to_bytes().into();
        der::pem(SECRET_LABEL, &der::pkcs8(&secret, &self.public().point()))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.verifying_key())
    }

    /// `r || s` over the SHA-256 of `message`, deterministic (RFC 6979): signing needs no dice.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.0.sign(message);
        signature.to_bytes().into()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public().thumbprint())
    }
}

/// `r || s` of a DER signature, which is what KMS answers; `None` when it is not one.
pub fn signature_from_der(bytes: &[u8]) -> Option<[u8; 64]> {
    der::signature(bytes)
}
