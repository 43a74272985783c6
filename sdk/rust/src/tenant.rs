//! Who asks.

use std::borrow::Cow;
use std::sync::Arc;

use flagforge_flags::keys::TenantKey;
use flagforge_flags::{Attribute, Context};

use crate::flag::{Flag, FlagType};
use crate::flags::Flags;
use crate::shared::Inner;
use crate::subscription::Subscription;
use crate::tenant_id::TenantId;

/// A tenant: the handle that every question about flags goes through. Owned, `Clone`, `Send` and `Sync`;
/// a job carries it, a message carries [`Tenant::id`].
#[derive(Debug, Clone)]
pub struct Tenant {
    inner: Arc<Inner>,
    key: TenantKey,
}

impl Tenant {
    pub(crate) const fn new(inner: Arc<Inner>, key: TenantKey) -> Self {
        Self { inner, key }
    }

    /// The tenant's key.
    pub const fn key(&self) -> &TenantKey {
        &self.key
    }

    /// The tenant's id, for a message or a job: with organization and environment, so that
    /// [`Client::tenant_of`](crate::Client::tenant_of) refuses it where it does not belong.
    pub fn id(&self) -> TenantId {
        TenantId::new(&self.inner.shared.scope, self.key.clone())
    }

    /// Somebody of the tenant, by the key that percentage splits hash.
    #[inline]
    pub fn user<'t>(&'t self, key: impl Into<Cow<'t, str>>) -> Asking<'t> {
        self.asking().user(key)
    }

    /// Something of the tenant, when there is no user: a device, an order, a job.
    pub fn entity<'t>(&'t self, kind: impl AsRef<str>, key: impl Into<Cow<'t, str>>) -> Asking<'t> {
        self.asking().entity(kind, key)
    }

    /// The tenant itself, when there is neither.
    pub fn flags(&self) -> Flags<'_> {
        self.asking().flags()
    }

    /// Changes to a flag as this tenant sees it.
    pub fn subscribe<T: FlagType>(&self, flag: &Flag<T>) -> Subscription {
        Subscription::new(Arc::clone(&self.inner), flag.key(), Some(self.key.clone()))
    }

    /// The tenant itself, to be described further.
    #[inline]
    pub fn asking(&self) -> Asking<'_> {
        Asking { inner: &self.inner, context: Context::for_tenant(&self.key) }
    }
}

/// Asks on no tenant's behalf; see [`Client::untenanted`](crate::Client::untenanted).
#[derive(Debug, Clone)]
pub struct Untenanted {
    inner: Arc<Inner>,
    why: &'static str,
}

impl Untenanted {
    pub(crate) const fn new(inner: Arc<Inner>, why: &'static str) -> Self {
        Self { inner, why }
    }

    /// Why no tenant asks, as the caller said.
    pub const fn why(&self) -> &'static str {
        self.why
    }

    /// Something that asks: a host, a job.
    pub fn entity<'t>(&'t self, kind: impl AsRef<str>, key: impl Into<Cow<'t, str>>) -> Asking<'t> {
        self.asking().entity(kind, key)
    }

    /// The flags.
    pub fn flags(&self) -> Flags<'_> {
        self.asking().flags()
    }

    /// Changes to a flag as nobody's tenant sees it.
    pub fn subscribe<T: FlagType>(&self, flag: &Flag<T>) -> Subscription {
        Subscription::new(Arc::clone(&self.inner), flag.key(), None)
    }

    fn asking(&self) -> Asking<'_> {
        Asking { inner: &self.inner, context: Context::untenanted() }
    }
}

/// Who asks, being described: of borrowed texts or of its own. Up to
/// [`INLINE_ATTRIBUTES`](flagforge_flags::INLINE_ATTRIBUTES) attributes it allocates nothing. Attributes of the tenant
/// come from the directory in the manifest; what is said here of an entity `tenant` makes every answer the default,
/// with an error.
#[derive(Debug, Clone)]
#[must_use = "ask with .flags()"]
pub struct Asking<'t> {
    inner: &'t Inner,
    context: Context<'t>,
}

impl<'t> Asking<'t> {
    /// The user. An empty key is no key.
    #[inline]
    pub fn user(mut self, key: impl Into<Cow<'t, str>>) -> Self {
        self.context.set_user(key.into());
        self
    }

    /// An attribute of the user; of two with one name the later counts.
    #[inline]
    pub fn attr(mut self, name: impl AsRef<str>, value: impl Into<Attribute<'t>>) -> Self {
        self.context.set_attr(name.as_ref(), value.into());
        self
    }

    /// A further entity.
    pub fn entity(mut self, kind: impl AsRef<str>, key: impl Into<Cow<'t, str>>) -> Self {
        self.context.set_entity(kind.as_ref(), key.into());
        self
    }

    /// An attribute of a further entity.
    pub fn entity_attr(
        mut self,
        kind: impl AsRef<str>,
        name: impl AsRef<str>,
        value: impl Into<Attribute<'t>>,
    ) -> Self {
        self.context.set_entity_attr(kind.as_ref(), name.as_ref(), value.into());
        self
    }

    /// The flags as they are now. All answers of one `Flags` are of one revision and one instant,
    /// whatever is published meanwhile; it is for one request, not to be kept.
    #[inline]
    pub fn flags(self) -> Flags<'t> {
        Flags::new(self.inner, self.context)
    }
}
