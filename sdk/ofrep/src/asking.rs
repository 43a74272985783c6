//! Who asks, and the two ways to ask.

use std::collections::HashMap;
use std::sync::Arc;

use flagforge_flags::keys::TenantKey;
use serde_json::{Map, Value as Json, json};

use crate::answer::{Held, one};
use crate::failure::Failure;
use crate::flags::Flags;
use crate::follow::Followed;
use crate::http::Bulk;
use crate::remote::Remote;

/// A tenant of a relay: every question goes through one.
#[derive(Debug, Clone)]
pub struct Tenant {
    pub(crate) remote: Remote,
    key: TenantKey,
}

impl Tenant {
    pub(crate) const fn new(remote: Remote, key: TenantKey) -> Self {
        Self { remote, key }
    }

    /// The tenant's key.
    pub const fn key(&self) -> &TenantKey {
        &self.key
    }

    /// Somebody of the tenant, by the key that percentage splits hash.
    pub fn user(&self, key: impl Into<String>) -> Asking {
        self.asking().user(key)
    }

    /// The tenant itself, to be described further.
    pub fn asking(&self) -> Asking {
        Asking { tenant: self.clone(), context: Map::new(), entities: Map::new() }
    }
}

/// Who asks, being described.
#[derive(Debug, Clone)]
#[must_use = "ask with .one(…), .all() or .follow()"]
pub struct Asking {
    pub(crate) tenant: Tenant,
    context: Map<String, Json>,
    entities: Map<String, Json>,
}

impl Asking {
    /// The user. An empty key is no key.
    pub fn user(mut self, key: impl Into<String>) -> Self {
        let key = key.into();
        if !key.is_empty() {
            self.context.insert("targetingKey".to_owned(), key.into());
        }
        self
    }

    /// An attribute of the user; of two with one name the later counts. OFREP's context is flat: `targetingKey`, `tenant` and
    /// `entities` are no attributes in it.
    pub fn attr(mut self, name: impl Into<String>, value: impl Into<Json>) -> Self {
        self.context.insert(name.into(), value.into());
        self
    }

    /// A further entity.
    pub fn entity(self, kind: impl Into<String>, key: impl Into<String>) -> Self {
        self.entity_attr(kind, "key", key.into())
    }

    /// An attribute of a further entity.
    pub fn entity_attr(
        mut self,
        kind: impl Into<String>,
        name: impl Into<String>,
        value: impl Into<Json>,
    ) -> Self {
        let entity = self.entities.entry(kind.into()).or_insert_with(|| json!({}));
        if let Json::Object(entity) = entity {
            entity.insert(name.into(), value.into());
        }
        self
    }

    /// Asks for one flag, now. It cannot fail: what goes wrong is the flag's error, and means its default.
    pub async fn one(&self, key: &str) -> Flags {
        let http = &self.tenant.remote.http;
        let answered = http.one(&self.tenant, key, self.body()).await;
        let entry = answered.and_then(|body| Ok(one(&body)?));
        let (flags, failure) = match entry {
            Ok(entry) => (HashMap::from([(key.to_owned(), entry)]), Failure::NotAsked),
            Err(failure) => (HashMap::new(), failure),
        };
        let flags = Arc::new(flags);
        Flags::of(Arc::new(Held { flags, failure, ..Held::nothing() }))
    }

    /// Asks for all flags that the key may see, now and once.
    pub async fn all(&self) -> Result<Flags, Failure> {
        let http = &self.tenant.remote.http;
        match http.all(&self.tenant, self.body(), None, None).await? {
            Bulk::Other { body, etag } => Ok(Flags::of(Arc::new(Held::read(&body, etag)?))),
            // Nobody asked for it.
            Bulk::Same => Err(Failure::Status(304)),
        }
    }

    /// Asks for all flags, keeps them, and goes on asking whenever the relay's stream says that something has changed: reading is
    /// local from here on. It wants a tokio runtime. It fails where asking again cannot help: the key, or the context. A relay that does
    /// not answer is waited for in the background, and flags answer their defaults meanwhile.
    pub async fn follow(self) -> Result<Followed, Failure> {
        Followed::begin(self).await
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let mut context = self.context.clone();
        if !self.entities.is_empty() {
            context.insert("entities".to_owned(), self.entities.clone().into());
        }
        json!({"context": context}).to_string().into_bytes()
    }
}
