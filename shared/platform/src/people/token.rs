//! A person's token: a JWT (RFC 7519), believed when its signature and every claim that bounds it hold.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use flagforge_flags::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use thiserror::Error;

use super::signature::{Algorithm, KeySet};
use super::{Claims, Issuer};
use crate::personal::Identity;

/// Bytes of a token: what API Gateway lets all headers have together.
pub const MAX_TOKEN_BYTES: usize = 10 * 1_024;
/// Bytes of a subject: what OpenID Connect allows.
pub const MAX_SUBJECT_BYTES: usize = 255;
/// Bytes of the other texts that are taken from a token.
const MAX_CLAIM_BYTES: usize = 320;
/// What a header may say the token is: OpenID Connect's own, and RFC 9068's. Others, such as a logout token, sign nobody in.
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

/// Why a token is not believed. For logs and for those who set issuers up: a stranger hears of none of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    #[error("the token has {actual} bytes; the limit is {limit}")]
    TooLong { limit: usize, actual: usize },
    #[error("the token is signed with `{0}`, which this issuer's may not be")]
    Algorithm(String),
    #[error("no key of the issuer signed the token")]
    Signature,
    #[error("the token is of issuer `{0}`, which is not known here")]
    Issuer(String),
    #[error("the token is for another audience")]
    Audience,
    #[error("the token has no `{0}`, or one that is no time")]
    Time(&'static str),
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet: `{0}` is in the future")]
    Early(&'static str),
    #[error("the token has no subject, or one that is too long")]
    Subject,
    #[error("the issuer's keys cannot be had: {0}")]
    Unreachable(String),
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
    /// Extensions that a reader must understand; none is understood here.
    #[serde(default)]
    crit: Option<Json>,
}

/// A token that was read, and not yet believed.
#[derive(Debug)]
pub(crate) struct Token<'t> {
    signed: &'t str,
    signature: Vec<u8>,
    header: Header,
    claims: Map<String, Json>,
}

/// Somebody whom an issuer vouches for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Person {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// Only one that the issuer says it verified.
    pub(crate) email: Option<String>,
    pub(crate) name: Option<String>,
    /// Whom the token is for.
    pub(crate) audiences: Vec<String>,
    pub(crate) claims: Map<String, Json>,
    /// What of the claims gives roles; whoever vouches says so.
    pub(crate) gave: Claims,
    /// Whether the whole installation believes the issuer, and not this organization alone.
    pub(crate) by_installation: bool,
}

impl Person {
    pub(crate) fn identity(&self) -> Identity {
        Identity { issuer: self.issuer.clone(), subject: self.subject.clone() }
    }
}

/// Whether what was presented is a token and no access key.
pub(crate) fn is_token(presented: &str) -> bool {
    // `{"` in base64: every JSON object's beginning.
    presented.starts_with("eyJ")
}

impl<'t> Token<'t> {
    /// Reads a token of three parts.
    pub(crate) fn read(text: &'t str) -> Result<Self, Refused> {
        let (limit, actual) = (MAX_TOKEN_BYTES, text.len());
        if actual > limit {
            return Err(Refused::TooLong { limit, actual });
        }
        let parts = Refused::Malformed("it has not three parts");
        let (signed, signature) = text.rsplit_once('.').ok_or(parts.clone())?;
        let (header, payload) = signed.split_once('.').ok_or(parts.clone())?;
        if payload.contains('.') {
            return Err(parts);
        }
        let decode = |text| {
            Base64UrlUnpadded::decode_vec(text)
                .map_err(|_| Refused::Malformed("a part is no base64url"))
        };
        let header: Header = serde_json::from_slice(&decode(header)?)
            .map_err(|_| Refused::Malformed("its header is none"))?;
        let claims = serde_json::from_slice(&decode(payload)?)
            .map_err(|_| Refused::Malformed("its claims are no JSON object"))?;
        Ok(Self { signed, signature: decode(signature)?, header, claims })
    }

    /// Whom it says it is of. Good for looking up whom to ask, and for nothing else.
    pub(crate) fn issuer(&self) -> &str {
        self.claims.get("iss").and_then(Json::as_str).unwrap_or_default()
    }

    pub(crate) fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The algorithm, if the issuer's tokens may be signed so.
    fn algorithm(&self, issuer: &Issuer) -> Result<Algorithm, Refused> {
        let named = Algorithm::named(&self.header.alg);
        let allowed = named.filter(|named| issuer.allows(*named));
        allowed.ok_or_else(|| Refused::Algorithm(self.header.alg.chars().take(20).collect()))
    }

    /// The person it speaks of, if all of it holds at `now`.
    pub(crate) fn believe(
        self,
        issuer: &Issuer,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<Person, Refused> {
        let algorithm = self.algorithm(issuer)?;
        if self.header.crit.is_some() {
            return Err(Refused::Malformed("its header has critical extensions"));
        }
        let known = |typ: &String| TYPES.iter().any(|known| typ.eq_ignore_ascii_case(known));
        if !self.header.typ.as_ref().is_none_or(known) {
            return Err(Refused::Malformed("it is of another type"));
        }
        if !keys.verify(self.key_id(), algorithm, self.signed.as_bytes(), &self.signature) {
            return Err(Refused::Signature);
        }
        if self.issuer() != issuer.url {
            return Err(Refused::Issuer(self.issuer().to_owned()));
        }
        self.check_audience(issuer)?;
        self.check_times(issuer, now)?;
        let subject = self.text("sub", MAX_SUBJECT_BYTES).ok_or(Refused::Subject)?;
        let verified = self.claims.get("email_verified") == Some(&Json::Bool(true));
        Ok(Person {
            issuer: issuer.url.clone(),
            subject,
            email: self.text("email", MAX_CLAIM_BYTES).filter(|_| verified),
            name: self.text("name", MAX_CLAIM_BYTES),
            audiences: self.audiences().map(str::to_owned).collect(),
            claims: self.claims,
            gave: Claims::default(),
            by_installation: false,
        })
    }

    fn check_audience(&self, issuer: &Issuer) -> Result<(), Refused> {
        let ours = |aud: &str| issuer.audiences.iter().any(|a| a == aud);
        if self.audiences().any(ours) { Ok(()) } else { Err(Refused::Audience) }
    }

    /// `aud`: one, or a list.
    fn audiences(&self) -> impl Iterator<Item = &str> {
        let all = match self.claims.get("aud") {
            Some(Json::Array(all)) => all.as_slice(),
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        all.iter().filter_map(Json::as_str)
    }

    /// RFC 7519 §4.1.4 to §4.1.6, each with the leeway that the issuer's clock is given.
    fn check_times(&self, issuer: &Issuer, now: Timestamp) -> Result<(), Refused> {
        let leeway = issuer.leeway();
        let expires = self.time("exp")?.ok_or(Refused::Time("exp"))?;
        if now >= expires.plus(leeway) {
            return Err(Refused::Expired);
        }
        for name in ["nbf", "iat"] {
            if self.time(name)?.is_some_and(|from| from > now.plus(leeway)) {
                return Err(Refused::Early(name));
            }
        }
        Ok(())
    }

    /// A NumericDate: seconds since 1970, with or without a fraction.
    fn time(&self, name: &'static str) -> Result<Option<Timestamp>, Refused> {
        let Some(value) = self.claims.get(name) else { return Ok(None) };
        let seconds = value.as_f64().filter(|s| (0.0..=253_402_300_799.0).contains(s));
        let seconds = seconds.ok_or(Refused::Time(name))?;
        Ok(Some(Timestamp::from_millis((seconds * 1_000.0) as i64)))
    }

    fn text(&self, name: &str, max_bytes: usize) -> Option<String> {
        let text = self.claims.get(name)?.as_str()?;
        (!text.is_empty() && text.len() <= max_bytes).then(|| text.to_owned())
    }
}
