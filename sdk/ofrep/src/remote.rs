//! A relay, and what it is asked with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flagforge_flags::keys::{EnvKey, KeyError, TenantKey};
use reqwest::Url;
use reqwest::header::HeaderValue;
use thiserror::Error;

use crate::asking::Tenant;
use crate::http::Http;

/// A relay, and the key to ask it with. Clones share what it said of when to ask again.
#[derive(Clone)]
pub struct Remote {
    pub(crate) http: Arc<Http>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("address", &self.http.base.as_str()).finish_non_exhaustive()
    }
}

/// What is wrong with the configuration.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The address is not of the form `http(s)://host[:port][/path]`.
    #[error("the address is not of the form http(s)://host[:port][/path]")]
    Address,
    /// The key has characters that no key has.
    #[error("the access key has characters that no key has")]
    Key,
    /// The environment's key is none.
    #[error(transparent)]
    Environment(#[from] KeyError),
    /// The HTTP client cannot be made, for want of TLS perhaps.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

impl Remote {
    /// A relay, or whatever else speaks OFREP, by its address without `/ofrep`. Nothing is asked yet.
    pub fn new(address: &str, key: &str) -> Result<Self, SetupError> {
        let url = Url::parse(address).map_err(|_| SetupError::Address)?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !plain {
            return Err(SetupError::Address);
        }
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| SetupError::Key)?;
        bearer.set_sensitive(true);
        Ok(Self { http: Arc::new(Http::new(url, bearer)?) })
    }

    /// The environment, for a key that spans several.
    pub fn environment(self, key: &str) -> Result<Self, SetupError> {
        let environment = EnvKey::new(key)?;
        let http = self.http.edited(|http| http.environment = Some(environment));
        Ok(Self { http: Arc::new(http) })
    }

    /// The time for one whole answer; 10 seconds, unless told otherwise.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { http: Arc::new(self.http.edited(|http| http.answer_within = limit)) }
    }

    /// A tenant to ask for. It goes along in a header; a key that is bound to another is refused.
    pub fn tenant(&self, key: impl AsRef<str>) -> Result<Tenant, KeyError> {
        Ok(Tenant::new(self.clone(), TenantKey::new(key.as_ref())?))
    }
}
