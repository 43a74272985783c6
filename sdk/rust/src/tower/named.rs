//! What a request says of its tenant, and whether it says one thing.

use std::fmt;
use std::sync::Arc;

use flagforge_flags::keys::TenantKey;
use http::request::Parts;
use http::{HeaderName, header};

use crate::tenant::Tenant;

/// The header that names the tenant, here and at the relay.
pub const TENANT_HEADER: HeaderName = HeaderName::from_static("flagforge-tenant");

/// The tenant of a token that the host has verified.
pub(super) type Claim = dyn Fn(&Parts) -> Option<String> + Send + Sync;

/// Where a tenant may be named.
#[derive(Clone)]
pub(super) enum Source {
    Header(HeaderName),
    /// In small letters, without a dot at either end.
    Subdomain(Box<str>),
    Claim(Arc<Claim>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "Header({name})"),
            Self::Subdomain(domain) => write!(f, "Subdomain({domain})"),
            Self::Claim(_) => f.write_str("Claim"),
        }
    }
}

/// The tenant that has been named so far.
#[derive(Default)]
pub(super) struct Named {
    key: Option<TenantKey>,
    verified: bool,
}

impl Named {
    /// The tenant that a request is for; an error is a sentence for its sender, who learns of no tenant that they
    /// did not name.
    pub(super) fn by(
        parts: &Parts,
        sources: &[Source],
        required: bool,
    ) -> Result<Option<TenantKey>, String> {
        let mut named = Self::default();
        // An outer layer's word counts as one more.
        if let Some(outer) = parts.extensions.get::<Tenant>() {
            named.say("an outer layer", outer.key().as_str().as_bytes())?;
        }
        for source in sources {
            match source {
                Source::Header(name) => {
                    for value in parts.headers.get_all(name) {
                        named.say(name.as_str(), value.as_bytes())?;
                    }
                }
                Source::Subdomain(domain) => {
                    for host in hosts(parts) {
                        named.say_host(host, domain)?;
                    }
                }
                Source::Claim(claim) => {
                    if let Some(tenant) = claim(parts) {
                        named.say("the token", tenant.as_bytes())?;
                        named.verified = true;
                    }
                }
            }
        }
        let wants_claim = sources.iter().any(|source| matches!(source, Source::Claim(_)));
        match named.key {
            Some(_) if wants_claim && !named.verified => {
                Err("the request names a tenant, and no token vouches for it".into())
            }
            None if required => Err("the request names no tenant".into()),
            key => Ok(key),
        }
    }

    fn say_host(&mut self, host: &str, domain: &str) -> Result<(), String> {
        let host = name_of(host).to_ascii_lowercase();
        let Some(label) = host.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.')) else {
            return Ok(());
        };
        // A dot would pass in a tenant's key, and a.b would be a tenant of its own.
        if label.contains('.') {
            return Err("the host name has several labels for a tenant".into());
        }
        self.say("the host name", label.as_bytes())
    }

    fn say(&mut self, place: &str, bytes: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(bytes).map_err(|_| format!("{place} is not UTF-8"))?;
        let key = TenantKey::new(text).map_err(|fault| format!("{place}: {fault}"))?;
        match &self.key {
            Some(held) if *held != key => {
                Err(format!("{place} names another tenant than the request does elsewhere"))
            }
            _ => {
                self.key = Some(key);
                Ok(())
            }
        }
    }
}

/// Everything that calls itself the request's host: over HTTP/2 the address does, else the header.
fn hosts(parts: &Parts) -> impl Iterator<Item = &str> {
    let headers = parts.headers.get_all(header::HOST).iter();
    parts.uri.host().into_iter().chain(headers.filter_map(|value| value.to_str().ok()))
}

/// Without its port.
fn name_of(host: &str) -> &str {
    let host = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
    });
    host.strip_suffix('.').unwrap_or(host)
}
