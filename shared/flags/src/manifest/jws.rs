//! JSON Web Signatures (RFC 7515), as little of them as manifests need: ES256 only, no key ever taken
//! from a header, nothing that a header could switch on.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{PublicKey, Refusal, Thumbprint};

/// The one algorithm (RFC 7518 §3.4).
const ALGORITHM: &str = "ES256";

/// A protected header.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    alg: String,
    typ: String,
    pub(super) kid: Thumbprint,
    /// The certificate of the signing key, itself a compact JWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cert: Option<String>,
    /// Extensions that a reader must understand (RFC 7515 §4.1.11); none is understood here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

impl Header {
    pub(super) fn new(typ: &str, kid: Thumbprint, cert: Option<&str>) -> Self {
        Self {
            alg: ALGORITHM.into(),
            typ: typ.into(),
            kid,
            cert: cert.map(str::to_owned),
            crit: None,
        }
    }

    fn check(&self, what: &'static str, typ: &'static str) -> Result<(), Refusal> {
        if self.alg != ALGORITHM {
            return Err(Refusal::Algorithm { what });
        }
        if self.typ != typ {
            return Err(Refusal::WrongType { expected: typ });
        }
        match self.crit {
            Some(_) => Err(Refusal::malformed(what, "its header has critical extensions")),
            None => Ok(()),
        }
    }
}

/// Only the algorithm of a header, so that `none` is refused as such whatever else is missing.
#[derive(Deserialize)]
struct Algorithm {
    alg: String,
}

/// A signature over `signed`, read but not verified: only [`Jws::verify`] gives its payload away.
pub(super) struct Jws<'t> {
    what: &'static str,
    signed: std::borrow::Cow<'t, str>,
    payload: &'t str,
    signature: [u8; 64],
    pub(super) header: Header,
}

impl<'t> Jws<'t> {
    /// Reads the compact serialization (RFC 7515 §7.1).
    pub(super) fn compact(
        what: &'static str,
        typ: &'static str,
        text: &'t str,
    ) -> Result<Self, Refusal> {
        let three = || Refusal::malformed(what, "a compact JWS has three parts");
        let (signed, signature) = text.rsplit_once('.').ok_or_else(three)?;
        let (protected, payload) = signed.split_once('.').ok_or_else(three)?;
        if payload.contains('.') {
            return Err(three());
        }
        Self::new(what, typ, protected, payload, signature, signed.into())
    }

    /// One signature of the general serialization (RFC 7515 §7.2.1).
    pub(super) fn one_of(
        what: &'static str,
        typ: &'static str,
        payload: &'t str,
        signature: &'t SignatureWire,
    ) -> Result<Self, Refusal> {
        let signed = format!("{}.{payload}", signature.protected);
        Self::new(what, typ, &signature.protected, payload, &signature.signature, signed.into())
    }

    fn new(
        what: &'static str,
        typ: &'static str,
        protected: &str,
        payload: &'t str,
        signature: &str,
        signed: std::borrow::Cow<'t, str>,
    ) -> Result<Self, Refusal> {
        let header = decode(what, protected)?;
        let Algorithm { alg } = parse(what, &header)?;
        if alg != ALGORITHM {
            return Err(Refusal::Algorithm { what });
        }
        let header: Header = parse(what, &header)?;
        header.check(what, typ)?;
        let signature = decode(what, signature)?;
        let signature = signature.try_into().map_err(|_| Refusal::BadSignature { what })?;
        Ok(Self { what, signed, payload, signature, header })
    }

    /// The payload's bytes, if `key` signed them.
    pub(super) fn verify(&self, key: &PublicKey) -> Result<Vec<u8>, Refusal> {
        if !key.verify(self.signed.as_bytes(), &self.signature) {
            return Err(Refusal::BadSignature { what: self.what });
        }
        decode(self.what, self.payload)
    }
}

/// The general JSON serialization: one payload, several signatures.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GeneralWire {
    pub(super) payload: String,
    pub(super) signatures: Vec<SignatureWire>,
}

/// One signature of a general serialization.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SignatureWire {
    pub(super) protected: String,
    pub(super) signature: String,
}

/// What is signed: `<header>.<payload>`, both in base64url.
pub(super) fn signing_input(
    what: &'static str,
    header: &Header,
    claims: &impl Serialize,
) -> Result<String, Refusal> {
    Ok(format!("{}.{}", encode_json(what, header)?, encode_json(what, claims)?))
}

pub(super) fn encode_json(what: &'static str, value: &impl Serialize) -> Result<String, Refusal> {
    let json = serde_json::to_vec(value).map_err(|e| Refusal::malformed(what, e))?;
    Ok(encode(&json))
}

pub(super) fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// The last step of the compact serialization.
pub(super) fn seal(signing_input: &str, signature: &[u8; 64]) -> String {
    format!("{signing_input}.{}", encode(signature))
}

pub(super) fn decode(what: &'static str, text: &str) -> Result<Vec<u8>, Refusal> {
    Base64UrlUnpadded::decode_vec(text).map_err(|_| Refusal::malformed(what, "not base64url"))
}

pub(super) fn parse<T: DeserializeOwned>(what: &'static str, json: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(json).map_err(|e| Refusal::malformed(what, e))
}

/// The format alone, read before the rest: a newer format may have no other field in common.
#[derive(Deserialize)]
struct Format {
    format: u64,
}

/// Reads claims whose first duty is to have format 1.
pub(super) fn parse_format_1<T: DeserializeOwned>(
    what: &'static str,
    json: &[u8],
) -> Result<T, Refusal> {
    match parse(what, json)? {
        Format { format: 1 } => parse(what, json),
        Format { format } => Err(Refusal::UnknownFormat { what, format }),
    }
}

pub(super) fn utf8<'t>(what: &'static str, bytes: &'t [u8]) -> Result<&'t str, Refusal> {
    std::str::from_utf8(bytes).map_err(|_| Refusal::malformed(what, "not UTF-8"))
}
