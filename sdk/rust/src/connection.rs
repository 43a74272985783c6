//! The connection string: one text that says where manifests come from, with which key, for which
//! organization and environment, and which root keys are believed.
//!
//! ```text
//! flagforge+http://<key>@127.0.0.1:8080/<org>/<env>?roots=<thumbprint>[,<thumbprint>]
//! flagforge+https://<key>@flags.example.com/<org>/<env>?roots=…
//! flagforge+file:///var/lib/flagforge/objects?org=<org>&env=<env>&roots=…
//! flagforge+s3://<bucket>/<org>/<env>?region=<region>[&endpoint=<url>]&roots=…
//! ```
//!
//! With `grant=s3` the key is exchanged there for leave to read the bucket, with `grant=cloudfront` the distribution in front of it.
//! With `push=<percent-encoded wss://…>` that address announces new roots, to the same key.
//! With `ring=canary` it is the manifest of those who get changes first.
//! With `tenant=<tenant key>` it is the manifest of that tenant alone, the only one for a key that is bound to it.

mod query;

use std::fmt;
use std::path::PathBuf;

use flagforge_flags::access_key::AccessKey;
use flagforge_flags::keys::{EnvKey, KeyError, OrgKey, TenantKey};
use flagforge_flags::manifest::{Scope, ScopeId, Thumbprint};
use thiserror::Error;

use crate::origin::GrantKind;
use query::{Query, decode};

/// Bytes of a connection string: a key of 256, a host name of 253, eight thumbprints of 43, names and a path, four times over.
pub const MAX_CONNECTION_BYTES: usize = 4 * 1024;
/// Pinned root keys. A trust document is signed by a handful of people.
pub const MAX_PINNED_ROOTS: usize = 16;

/// Why a text is not a connection string. No variant repeats the key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectionError {
    /// Over [`MAX_CONNECTION_BYTES`].
    #[error("the connection string has {0} bytes; the limit is {MAX_CONNECTION_BYTES}")]
    TooLong(usize),
    /// Does not begin with a scheme that is known.
    #[error(
        "the connection string must begin with flagforge+http://, flagforge+https://, flagforge+file:// or flagforge+s3://"
    )]
    Scheme,
    /// A part that must be there is not.
    #[error("the connection string names no {0}")]
    Missing(&'static str),
    /// A part is there twice, or where it has no meaning.
    #[error("the connection string has an unexpected or repeated part: {0}")]
    Unexpected(String),
    /// A `%` that is not followed by two hexadecimal digits, or text that is not UTF-8 once decoded.
    #[error("the connection string's {0} is not percent-encoded UTF-8")]
    Encoding(&'static str),
    /// The organization's or environment's name.
    #[error(transparent)]
    Name(#[from] KeyError),
    /// The access key does not parse.
    #[error("the connection string's access key is malformed")]
    Key,
    /// The key belongs to another organization or environment than the path says.
    #[error("the access key is for {key}, and the connection string says {path}")]
    KeyElsewhere {
        /// What the key says.
        key: String,
        /// What the path says.
        path: String,
    },
    /// A pinned root's thumbprint does not parse.
    #[error("the connection string's root {0:?} is not a thumbprint of 43 base64url characters")]
    Root(String),
    /// Over [`MAX_PINNED_ROOTS`].
    #[error("the connection string pins {0} roots; the limit is {MAX_PINNED_ROOTS}")]
    TooManyRoots(usize),
}

/// Where manifests come from.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// A control plane or relay that serves the data plane over HTTP.
    Http {
        /// `http://host:port` or `https://host:port`, without a slash at the end.
        base: String,
        /// What authenticates.
        key: AccessKey,
        /// What the key is exchanged for, where it is: leave to read the bucket without that address.
        granted: Option<GrantKind>,
    },
    /// A folder of objects.
    Folder(PathBuf),
    /// A bucket of objects.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// The region that requests are signed for; `None` takes it from the environment.
        region: Option<String>,
        /// Another address than AWS's, say an emulator's.
        endpoint: Option<String>,
    },
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { base, .. } => write!(f, "Http({base})"),
            Self::Folder(path) => write!(f, "Folder({})", path.display()),
            Self::S3 { bucket, .. } => write!(f, "S3({bucket})"),
        }
    }
}

/// A parsed connection string. `Debug` hides the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    source: Source,
    org: Option<OrgKey>,
    env: Option<EnvKey>,
    scope: Scope,
    roots: Vec<Thumbprint>,
    push: Option<String>,
}

impl Connection {
    /// Parses a connection string. Organization and environment may be missing (a relay serves
    /// several); a client insists on them with [`Connection::environment`].
    pub fn parse(text: &str) -> Result<Self, ConnectionError> {
        if text.len() > MAX_CONNECTION_BYTES {
            return Err(ConnectionError::TooLong(text.len()));
        }
        let (scheme, rest) = text
            .strip_prefix("flagforge+")
            .and_then(|rest| rest.split_once("://"))
            .ok_or(ConnectionError::Scheme)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut query = Query::parse(query)?;
        let tenant = query.take("tenant").map(|text| TenantKey::new(&text)).transpose()?;
        let of_one = tenant.map(Scope::Tenant);
        let scope = match (query.take("ring").as_deref(), of_one) {
            (None, of_one) => of_one.unwrap_or(Scope::Environment),
            (Some("canary"), None) => Scope::Canary,
            (Some(_), _) => {
                return Err(ConnectionError::Unexpected("ring, which may be canary".into()));
            }
        };
        let connection = match scheme {
            "http" | "https" => Self::http(scheme, place, &mut query)?,
            "file" => Self::folder(place, &mut query)?,
            "s3" => Self::s3(place, &mut query)?,
            _ => return Err(ConnectionError::Scheme),
        };
        query.nothing_left()?;
        Ok(Self { scope, ..connection })
    }

    /// Where manifests come from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The thumbprints of the root keys that are believed, at least one.
    pub fn roots(&self) -> &[Thumbprint] {
        &self.roots
    }

    /// Where new roots are announced over WebSocket, if anywhere.
    pub fn push(&self) -> Option<&str> {
        self.push.as_deref()
    }

    /// The organization and environment, both.
    pub fn environment(&self) -> Result<(&OrgKey, &EnvKey), ConnectionError> {
        let org = self.org.as_ref().ok_or(ConnectionError::Missing("organization"))?;
        let env = self.env.as_ref().ok_or(ConnectionError::Missing("environment"))?;
        Ok((org, env))
    }

    /// The manifest that a client follows: the environment's, the canaries' or one tenant's.
    pub fn scope(&self) -> Result<ScopeId, ConnectionError> {
        let (org, env) = self.environment()?;
        let scope = self.scope.clone();
        Ok(ScopeId { org: org.clone(), env: env.clone(), scope })
    }

    /// Whether it says `ring=canary`: changes that are tried out are wanted here.
    pub fn is_canary(&self) -> bool {
        self.scope == Scope::Canary
    }

    fn http(scheme: &str, place: &str, query: &mut Query) -> Result<Self, ConnectionError> {
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let (key, host) =
            authority.rsplit_once('@').ok_or(ConnectionError::Missing("access key before an @"))?;
        if host.is_empty() {
            return Err(ConnectionError::Missing("host"));
        }
        let key =
            AccessKey::parse(&decode(key, "access key")?).map_err(|_| ConnectionError::Key)?;
        let (org, env) = names(path)?;
        if let Some(org) = org.as_ref().filter(|org| *org != key.org()) {
            return Err(elsewhere(key.org(), org));
        }
        if let (Some(bound), Some(env)) = (key.env(), env.as_ref())
            && bound != env
        {
            return Err(elsewhere(bound, env));
        }
        let kind = |word: String| {
            let unexpected = "grant, which may be s3 or cloudfront";
            GrantKind::parse(&word).ok_or_else(|| ConnectionError::Unexpected(unexpected.into()))
        };
        let granted = query.take("grant").map(kind).transpose()?;
        let (push, roots) = (query.take("push"), query.roots()?);
        let source = Source::Http { base: format!("{scheme}://{host}"), key, granted };
        Ok(Self { source, org, env, scope: Scope::Environment, roots, push })
    }

    fn folder(place: &str, query: &mut Query) -> Result<Self, ConnectionError> {
        let path = decode(place, "path")?;
        if !path.starts_with('/') {
            return Err(ConnectionError::Missing("absolute path after flagforge+file://"));
        }
        let org = query.take("org").map(|text| OrgKey::new(&text)).transpose()?;
        let env = query.take("env").map(|text| EnvKey::new(&text)).transpose()?;
        Ok(Self {
            source: Source::Folder(path.into()),
            org,
            env,
            scope: Scope::Environment,
            roots: query.roots()?,
            push: None,
        })
    }

    fn s3(place: &str, query: &mut Query) -> Result<Self, ConnectionError> {
        let (bucket, path) = place.split_once('/').unwrap_or((place, ""));
        let plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '.');
        if bucket.is_empty() || !bucket.chars().all(plain) {
            return Err(ConnectionError::Missing("bucket of lower-case letters, digits, - and ."));
        }
        let (org, env) = names(path)?;
        let source = Source::S3 {
            bucket: bucket.to_owned(),
            region: query.take("region"),
            endpoint: query.take("endpoint"),
        };
        let roots = query.roots()?;
        Ok(Self { source, org, env, scope: Scope::Environment, roots, push: None })
    }
}

fn elsewhere(key: &impl fmt::Display, path: &impl fmt::Display) -> ConnectionError {
    ConnectionError::KeyElsewhere { key: key.to_string(), path: path.to_string() }
}

/// `<org>/<env>`, or nothing.
fn names(path: &str) -> Result<(Option<OrgKey>, Option<EnvKey>), ConnectionError> {
    let path = decode(path, "path")?;
    let path = path.strip_suffix('/').unwrap_or(&path);
    if path.is_empty() {
        return Ok((None, None));
    }
    let (org, env) = path.split_once('/').ok_or(ConnectionError::Missing("environment"))?;
    Ok((Some(OrgKey::new(org)?), Some(EnvKey::new(env)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ff_server_demo.prod.k1_abcdefghijklmnopqrst_-";

    fn pin(letter: &str) -> String {
        letter.repeat(42) + "A"
    }

    fn parse(text: &str) -> Connection {
        Connection::parse(text).unwrap()
    }

    #[test]
    fn every_scheme_says_where_and_for_whom() {
        let roots = format!("roots={},{}", pin("A"), pin("B"));
        let http = parse(&format!("flagforge+http://{KEY}@127.0.0.1:8080/demo/prod?{roots}"));
        let key = AccessKey::parse(KEY).unwrap();
        let base = "http://127.0.0.1:8080".to_owned();
        assert_eq!(http.source(), &Source::Http { base, key, granted: None });
        assert_eq!(http.roots().len(), 2);
        let (org, env) = http.environment().unwrap();
        assert_eq!((org.as_str(), env.as_str()), ("demo", "prod"));

        let folder = parse(&format!("flagforge+file:///a%20b/c?org=demo&env=dev&{roots}"));
        assert_eq!(folder.source(), &Source::Folder("/a b/c".into()));
        assert_eq!(folder.environment().unwrap().1.as_str(), "dev");

        let endpoint = "endpoint=http%3A%2F%2Flocalhost%3A4566";
        let s3 =
            parse(&format!("flagforge+s3://my-bucket/demo/prod?region=eu-1&{endpoint}&{roots}"));
        let (region, endpoint) = (Some("eu-1".into()), Some("http://localhost:4566".into()));
        assert_eq!(s3.source(), &Source::S3 { bucket: "my-bucket".into(), region, endpoint });
    }

    #[test]
    fn a_grant_is_of_a_kind_that_there_is() {
        let text =
            |kind: &str| format!("flagforge+http://{KEY}@h/demo/prod?{kind}roots={}", pin("A"));
        for kind in [GrantKind::S3, GrantKind::Cloudfront] {
            let asked = parse(&text(&format!("grant={}&", kind.as_str())));
            assert!(
                matches!(asked.source(), Source::Http { granted, .. } if *granted == Some(kind))
            );
        }
        let unknown = Connection::parse(&text("grant=ftp&"));
        assert!(matches!(unknown, Err(ConnectionError::Unexpected(_))), "{unknown:?}");
    }

    #[test]
    fn a_relays_connection_names_no_environment() {
        let relay = parse(&format!("flagforge+s3://my-bucket?roots={}", pin("A")));
        assert_eq!(relay.environment(), Err(ConnectionError::Missing("organization")));
    }

    #[test]
    fn what_is_wrong_is_said_and_the_key_never() {
        let roots = format!("roots={}", pin("A"));
        let missing = ConnectionError::Missing;
        let check = |text: String, expected: ConnectionError| {
            let error = Connection::parse(&text).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("qrst"), "{error}");
        };
        let at = |rest: &str| format!("flagforge+http://{KEY}@{rest}");
        check("http://x".into(), ConnectionError::Scheme);
        check(format!("flagforge+ldap://x?{roots}"), ConnectionError::Scheme);
        check(format!("flagforge+http://h/demo/prod?{roots}"), missing("access key before an @"));
        check(at(&format!("/demo/prod?{roots}")), missing("host"));
        check(at(&format!("h/demo?{roots}")), missing("environment"));
        check(at("h/demo/prod"), missing("root key to believe (roots=<thumbprint>)"));
        check(at("h/demo/prod?roots=abc"), ConnectionError::Root("abc".into()));
        check(at(&format!("h/demo/prod?{roots}&x=1")), ConnectionError::Unexpected("x".into()));
        check(
            at(&format!("h/demo/prod?{roots}&{roots}")),
            ConnectionError::Unexpected("roots".into()),
        );
        check(at(&format!("h/d%zz/prod?{roots}")), ConnectionError::Encoding("path"));
        check(at(&format!("h/d%ff/prod?{roots}")), ConnectionError::Encoding("path"));
        let elsewhere = |key: &str, path: &str| ConnectionError::KeyElsewhere {
            key: key.into(),
            path: path.into(),
        };
        check(at(&format!("h/rival/prod?{roots}")), elsewhere("demo", "rival"));
        check(at(&format!("h/demo/dev?{roots}")), elsewhere("prod", "dev"));
        check(format!("flagforge+http://secret-qrst@h/demo/prod?{roots}"), ConnectionError::Key);
        check(
            format!("flagforge+file://relative?{roots}"),
            missing("absolute path after flagforge+file://"),
        );
        let upper = format!("flagforge+s3://Bucket?{roots}");
        check(upper, missing("bucket of lower-case letters, digits, - and ."));
        let name = Connection::parse(&at(&format!("h/Demo/prod?{roots}")));
        assert!(matches!(name, Err(ConnectionError::Name(_))));
    }

    #[test]
    fn lengths_and_pins_at_the_limit_and_one_past_it() {
        let pins = |count: usize| vec![pin("A"); count].join(",");
        let text = |roots: &str| format!("flagforge+file:///x?roots={roots}");
        assert_eq!(parse(&text(&pins(MAX_PINNED_ROOTS))).roots().len(), MAX_PINNED_ROOTS);
        let many = Connection::parse(&text(&pins(MAX_PINNED_ROOTS + 1)));
        assert_eq!(many, Err(ConnectionError::TooManyRoots(MAX_PINNED_ROOTS + 1)));
        let short = text(&pin("A"));
        let padded =
            short.replace("/x", &"/x".repeat((MAX_CONNECTION_BYTES - short.len()) / 2 + 1));
        assert!(Connection::parse(&padded).is_ok(), "{} bytes", padded.len());
        let long = padded + "&&";
        assert_eq!(Connection::parse(&long), Err(ConnectionError::TooLong(long.len())));
    }

    #[test]
    fn no_text_makes_it_panic() {
        let whole = format!("flagforge+http://{KEY}@[::1]:8080/demo/prod?roots={}", pin("A"));
        for (at, _) in whole.char_indices() {
            for odd in ["", "%", "%f", "%ff", "/", "?", "&", "=", "@", ":", ",", "\u{0}", "ü"] {
                let (before, after) = whole.split_at(at);
                let _ = Connection::parse(&format!("{before}{odd}"));
                let _ = Connection::parse(&format!("{before}{odd}{after}"));
            }
        }
    }

    #[test]
    fn what_is_printed_holds_no_key() {
        let text = format!("flagforge+http://{KEY}@h/demo/prod?roots={}", pin("A"));
        let printed = format!("{:?}", parse(&text));
        assert!(!printed.contains("abcdefghij"), "{printed}");
    }
}
