//! Signatures of tokens: the algorithms that are believed, all of them asymmetric, and the keys that issuers publish
//! (RFC 7517, RFC 7518).

use base64ct::{Base64UrlUnpadded, Encoding as _};
use p256::ecdsa::signature::Verifier;
use rsa::{BoxedUint, RsaPublicKey, pkcs1v15, pss};
use serde::{Deserialize, Serialize};
use sha2::{Sha256, Sha384, Sha512};
use utoipa::ToSchema;

/// Bits of an RSA modulus: RFC 7518 asks for 2,048, and above 8,192 each request would cost milliseconds.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// Keys that are read of one issuer: the current, the next, and those of ninety-eight tenants' applications.
pub const MAX_ISSUER_KEYS: usize = 100;

/// How a token may be signed. There is no arm for `none`, and none for a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
}

impl Algorithm {
    /// The algorithm of that name in a header or key.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            _ => return None,
        })
    }
}

/// A key as an issuer publishes it; only what a public key for signatures has.
#[derive(Debug, Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, rename = "use")]
    usage: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

#[derive(Debug)]
enum Public {
    Rsa(Box<RsaPublicKey>),
    P256(Box<p256::ecdsa::VerifyingKey>),
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The only algorithm it is for, where its issuer says one.
    only: Option<Algorithm>,
    public: Public,
}

impl Key {
    /// Reads a key; `None` for one that signs nothing here, such as one for encryption or of a kind unknown.
    fn read(jwk: Jwk) -> Option<Self> {
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let only = match jwk.alg.as_deref() {
            None => None,
            Some(name) => Some(Algorithm::named(name)?),
        };
        let bytes = |text: &Option<String>| Base64UrlUnpadded::decode_vec(text.as_deref()?).ok();
        let public = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => {
                let number = |text| bytes(text).map(|b| BoxedUint::from_be_slice_vartime(&b));
                let (n, e) = (number(&jwk.n)?, number(&jwk.e)?);
                let key = RsaPublicKey::new_with_size_limits(n, e, RSA_BITS).ok()?;
                Public::Rsa(Box::new(key))
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?;
                Public::P256(Box::new(key))
            }
            _ => return None,
        };
        Some(Self { id: jwk.kid, only, public })
    }

    /// Whether it is for this algorithm. What kind of key it is decides, never what a token says of it.
    fn suits(&self, algorithm: Algorithm) -> bool {
        let of_ec = algorithm == Algorithm::Es256;
        let kind = matches!(self.public, Public::P256(_)) == of_ec;
        kind && self.only.is_none_or(|only| only == algorithm)
    }

    fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        match (&self.public, algorithm) {
            (Public::P256(key), Algorithm::Es256) => {
                let signature = p256::ecdsa::Signature::from_slice(signature);
                signature.is_ok_and(|signature| key.verify(signed, &signature).is_ok())
            }
            (Public::Rsa(key), _) => verify_rsa(key, algorithm, signed, signature),
            (Public::P256(_), _) => false,
        }
    }
}

fn verify_rsa(key: &RsaPublicKey, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
    macro_rules! holds {
        ($scheme:ident, $hash:ty) => {{
            let key = $scheme::VerifyingKey::<$hash>::new(key.clone());
            let signature = $scheme::Signature::try_from(signature);
            signature.is_ok_and(|signature| key.verify(signed, &signature).is_ok())
        }};
    }
    match algorithm {
        Algorithm::Rs256 => holds!(pkcs1v15, Sha256),
        Algorithm::Rs384 => holds!(pkcs1v15, Sha384),
        Algorithm::Rs512 => holds!(pkcs1v15, Sha512),
        Algorithm::Ps256 => holds!(pss, Sha256),
        Algorithm::Ps384 => holds!(pss, Sha384),
        Algorithm::Ps512 => holds!(pss, Sha512),
        Algorithm::Es256 => false,
    }
}

/// The keys of an issuer.
#[derive(Debug, Default)]
pub(crate) struct KeySet(Vec<Key>);

impl KeySet {
    /// Reads a key set. Keys that are of no use here are left out; a set without any other is an error.
    pub(super) fn parse(document: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<serde_json::Value>,
        }
        let document: Document = serde_json::from_slice(document)
            .map_err(|error| format!("its key set is none: {error}"))?;
        if document.keys.len() > MAX_ISSUER_KEYS {
            return Err(format!("its key set has more than {MAX_ISSUER_KEYS} keys"));
        }
        let jwks = document.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        let keys: Vec<Key> = jwks.filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err("its key set has no key that signs with RSA or P-256".to_owned());
        }
        Ok(Self(keys))
    }

    /// Whether it has a key of that name. A token that names none is content with what there is.
    pub(super) fn has(&self, id: Option<&str>) -> bool {
        id.is_none_or(|id| self.0.iter().any(|key| key.id.as_deref() == Some(id)))
    }

    /// The key for a token: the one of its name, or the only one there is for its algorithm.
    fn choose(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut suitable = self.0.iter().filter(|key| key.suits(algorithm));
        match id {
            Some(id) => suitable.find(|key| key.id.as_deref() == Some(id)),
            None => suitable.next().filter(|_| suitable.next().is_none()),
        }
    }

    /// Whether a key of the set signed this.
    pub(super) fn verify(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> bool {
        self.choose(id, algorithm).is_some_and(|key| key.verify(algorithm, signed, signature))
    }
}
