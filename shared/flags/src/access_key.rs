//! Access keys: `ff_<kind>_<id>_<secret>`. The id names the organization (and the environment, when
//! the key is bound to one), so that a key can be looked up without asking every organization.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::keys::{EnvKey, OrgKey};
use crate::manifest::Digest;

/// Bytes of a whole key: `ff_`, 6 of kind, two slugs of 40, 32 of random id, 128 of secret and the
/// separators make 252.
pub const MAX_ACCESS_KEY_BYTES: usize = 256;
/// Bytes of the random part of the id. It need not be secret, only unlikely to occur twice.
pub const MAX_RANDOM_ID_BYTES: usize = 32;
/// The least bytes of a secret: 22 characters of base64url carry 128 bits.
pub const MIN_SECRET_BYTES: usize = 22;
/// The most bytes of a secret.
pub const MAX_SECRET_BYTES: usize = 128;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyKind {
    /// Calls the management API.
    #[serde(rename = "mgmt")]
    Management,
    /// Evaluates inside a service of the organization; sees every flag.
    #[serde(rename = "server")]
    Server,
    /// Evaluates in a browser or a phone; sees client-visible flags only.
    #[serde(rename = "client")]
    Client,
    /// Loads the relay scope, keys included.
    #[serde(rename = "relay")]
    Relay,
}

impl KeyKind {
    /// Every kind, for those who enumerate.
    pub const ALL: [Self; 4] = [Self::Management, Self::Server, Self::Client, Self::Relay];

    /// The word in the key's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Management => "mgmt",
            Self::Server => "server",
            Self::Client => "client",
            Self::Relay => "relay",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is not an access key. It never repeats the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AccessKeyError {
    /// Longer than any key.
    #[error("an access key has at most {MAX_ACCESS_KEY_BYTES} bytes")]
    TooLong,
    /// Not four parts with `_` between, the first being `ff`.
    #[error("an access key has the form ff_<kind>_<id>_<secret>")]
    Form,
    /// A kind that does not exist.
    #[error("the kind of an access key is mgmt, server, client or relay")]
    Kind,
    /// An id that names no organization, or has other characters.
    #[error("the id of an access key is <org>.<random> or <org>.<environment>.<random>")]
    Id,
    /// A secret that is too short, too long, or has other characters.
    #[error(
        "the secret of an access key has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} of A-Z a-z 0-9 - _"
    )]
    Secret,
}

/// An access key as its holder shows it. `Debug` and `Display` hide the secret; [`AccessKey::expose`]
/// is the one way to the whole text.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    kind: KeyKind,
    id: Box<str>,
    org: OrgKey,
    env: Option<EnvKey>,
    secret: Box<str>,
}

impl AccessKey {
    /// Makes a key of random text that the caller brings: `random_id` (1–32 of `a-z0-9`) and `secret`
    /// (22–128 of `A-Za-z0-9_-`; fewer than 128 random bits would be too few).
    pub fn new(
        kind: KeyKind,
        org: OrgKey,
        env: Option<EnvKey>,
        random_id: &str,
        secret: &str,
    ) -> Result<Self, AccessKeyError> {
        let id_fits = (1..=MAX_RANDOM_ID_BYTES).contains(&random_id.len())
            && random_id.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9'));
        if !id_fits {
            return Err(AccessKeyError::Id);
        }
        let secret_fits = (MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&secret.len())
            && secret.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !secret_fits {
            return Err(AccessKeyError::Secret);
        }
        let id = match &env {
            Some(env) => format!("{org}.{env}.{random_id}"),
            None => format!("{org}.{random_id}"),
        };
        Ok(Self { kind, id: id.into(), org, env, secret: secret.into() })
    }

    /// Reads a key that somebody showed.
    pub fn parse(text: &str) -> Result<Self, AccessKeyError> {
        if text.len() > MAX_ACCESS_KEY_BYTES {
            return Err(AccessKeyError::TooLong);
        }
        // Neither kinds nor ids have a `_`, so whatever comes after the third belongs to the secret.
        let mut parts = text.splitn(4, '_');
        let (Some("ff"), Some(kind), Some(id), Some(secret)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AccessKeyError::Form);
        };
        let kind = KeyKind::ALL.into_iter().find(|k| k.as_str() == kind);
        let kind = kind.ok_or(AccessKeyError::Kind)?;
        let mut segments = id.split('.');
        let (Some(org), Some(second), third, None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(AccessKeyError::Id);
        };
        let (env, random_id) = match third {
            Some(third) => (Some(EnvKey::new(second).map_err(|_| AccessKeyError::Id)?), third),
            None => (None, second),
        };
        let org = OrgKey::new(org).map_err(|_| AccessKeyError::Id)?;
        Self::new(kind, org, env, random_id, secret)
    }

    /// What the key is for.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// `<org>.<random>` or `<org>.<env>.<random>`: what it is stored under, and what may be logged.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The organization that the id names. Nothing is proved by it until the digest was compared.
    pub const fn org(&self) -> &OrgKey {
        &self.org
    }

    /// The environment that the id names, for a key bound to one.
    pub const fn env(&self) -> Option<&EnvKey> {
        self.env.as_ref()
    }

    /// SHA-256 of the secret: what is stored and published. Compare with [`Digest::same`], whose time
    /// does not depend on where two digests differ.
    pub fn secret_digest(&self) -> Digest {
        Digest::of(self.secret.as_bytes())
    }

    /// The whole text, secret included: for the one moment it is shown to its holder.
    pub fn expose(&self) -> String {
        format!("ff_{}_{}_{}", self.kind, self.id, self.secret)
    }
}

impl fmt::Display for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ff_{}_{}_…", self.kind, self.id)
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessKey({self})")
    }
}

impl FromStr for AccessKey {
    type Err = AccessKeyError;
    fn from_str(text: &str) -> Result<Self, AccessKeyError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "abcdefghijklmnopqrst_-";

    #[test]
    fn text_and_back_bound_and_unbound() {
        for text in [
            format!("ff_server_demo.prod.k1_{SECRET}"),
            format!("ff_mgmt_demo.k1_{SECRET}"),
            format!("ff_relay_my-org.k1_{SECRET}"),
            format!("ff_client_demo.dev.k1_{SECRET}"),
        ] {
            assert_eq!(AccessKey::parse(&text).unwrap().expose(), text);
        }
        let key = AccessKey::parse(&format!("ff_server_demo.prod.k1_{SECRET}")).unwrap();
        assert_eq!((key.id(), key.org().as_str()), ("demo.prod.k1", "demo"));
        assert_eq!(key.env().map(EnvKey::as_str), Some("prod"));
        assert_eq!(key.secret_digest(), Digest::of(SECRET.as_bytes()));
    }

    #[test]
    fn what_is_printed_holds_no_secret() {
        let key = AccessKey::parse(&format!("ff_server_demo.k1_{SECRET}")).unwrap();
        assert_eq!(format!("{key} {key:?}"), "ff_server_demo.k1_… AccessKey(ff_server_demo.k1_…)");
    }

    #[test]
    fn refusals_name_the_part() {
        use AccessKeyError as E;
        let check = |text: &str, error: E| assert_eq!(AccessKey::parse(text), Err(error), "{text}");
        check("", E::Form);
        check("ff_server_demo.k1", E::Form);
        check(&format!("gg_server_demo.k1_{SECRET}"), E::Form);
        check(&format!("ff_root_demo.k1_{SECRET}"), E::Kind);
        check(&format!("ff_server_demo_{SECRET}"), E::Id);
        check(&format!("ff_server_Demo.k1_{SECRET}"), E::Id);
        check(&format!("ff_server_a.b.c.d_{SECRET}"), E::Id);
        check(&format!("ff_server_demo.k/1_{SECRET}"), E::Id);
        check(&format!("ff_server_demo._{SECRET}"), E::Id);
        check("ff_server_demo.k1_secret with spaces here", E::Secret);
        check(&format!("ff_server_demo.k1_{}", "a".repeat(MIN_SECRET_BYTES - 1)), E::Secret);
        check(&format!("ff_server_demo.k1_{}", "a".repeat(MAX_SECRET_BYTES + 1)), E::Secret);
        check(&"a".repeat(MAX_ACCESS_KEY_BYTES + 1), E::TooLong);
    }

    #[test]
    fn the_longest_key_fits_the_limit() {
        let slug = "a".repeat(crate::keys::MAX_SLUG_BYTES);
        let key = AccessKey::new(
            KeyKind::Server,
            OrgKey::new(&slug).unwrap(),
            Some(EnvKey::new(&slug).unwrap()),
            &"r".repeat(MAX_RANDOM_ID_BYTES),
            &"s".repeat(MAX_SECRET_BYTES),
        )
        .unwrap();
        assert!(key.expose().len() <= MAX_ACCESS_KEY_BYTES);
        assert_eq!(AccessKey::parse(&key.expose()).unwrap(), key);
    }
}
