//! Who asks, and what they are answered.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use flagforge_flags::keys::TenantKey;
use flagforge_flags::{
    Answer, Attribute, Context, EvalError, Explanation, FineReason, Pinned, Reason, Revision,
    Snapshot, Value,
};
use thiserror::Error;

use crate::clock;
use crate::flag::{Flag, FlagType};
use crate::loader::Manifest;
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

    #[inline]
    fn asking(&self) -> Asking<'_> {
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
        let manifest = self.inner.shared.current.load();
        let (there, confirmed, now) = (manifest.is_there(), manifest.confirmed(), clock::now());
        let mut flags = Flags {
            inner: self.inner,
            basis: Basis {
                revision: there.then(|| manifest.snapshot().revision()),
                age: there.then(|| now.since(confirmed)),
                tenant_known: false,
            },
            // In its place at once: it is some hundreds of bytes.
            pinned: Pinned::new(Held(manifest), confirmed, self.context, now),
        };
        flags.basis.tenant_known = flags.pinned.tenant_known();
        flags
    }
}

/// The manifest that a [`Flags`] holds on to.
struct Held(Guard<Arc<Manifest>>);

impl Deref for Held {
    type Target = Snapshot;

    #[inline]
    fn deref(&self) -> &Snapshot {
        self.0.snapshot()
    }
}

/// The flags of one request. Asking takes no lock, makes no call and allocates nothing.
#[must_use = "ask with .get() or .details()"]
pub struct Flags<'t> {
    inner: &'t Inner,
    pinned: Pinned<'t, Held>,
    basis: Basis,
}

impl fmt::Debug for Flags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let context = self.pinned.context();
        f.debug_struct("Flags").field("basis", &self.basis).field("context", context).finish()
    }
}

/// What all answers of one [`Flags`] are based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Basis {
    /// The manifest's revision; `None` without a manifest.
    pub revision: Option<Revision>,
    /// The time since the manifest was last confirmed; `None` without a manifest.
    pub age: Option<Duration>,
    /// Whether the tenant directory has the tenant.
    pub tenant_known: bool,
}

impl Flags<'_> {
    /// The flag's value for whoever asks; the flag's default when there is no answer.
    #[inline]
    pub fn get<T: FlagType>(&self, flag: &Flag<T>) -> T::Answer<'_> {
        let value = self.pinned.answer(flag.name(), Some(T::WANT)).value;
        value.and_then(T::read).unwrap_or_else(|| flag.default_value())
    }

    /// The value, and how it came about.
    #[inline]
    pub fn details<T: FlagType>(&self, flag: &Flag<T>) -> Details<'_, T::Answer<'_>> {
        let answer = self.pinned.answer(flag.name(), Some(T::WANT));
        let value = answer.value.and_then(T::read).unwrap_or_else(|| flag.default_value());
        Details::new(value, &answer, &self.basis)
    }

    /// Every flag by its key, of whatever type it is, in no particular order; `None` is the caller's default.
    pub fn all(&self) -> impl Iterator<Item = (&str, Details<'_, Option<&Value>>)> {
        let answers = self.pinned.answers();
        answers.map(|(key, answer)| (key, Details::new(answer.value, &answer, &self.basis)))
    }

    /// Why the flag is answered as it is, step by step, of whatever type it is; `None` without a manifest. For
    /// people: it allocates.
    pub fn explain(&self, key: &str) -> Option<Explanation> {
        self.basis.revision.map(|_| self.pinned.explain(key))
    }

    /// What all answers are based on.
    pub const fn basis(&self) -> &Basis {
        &self.basis
    }

    /// The revision that all answers are of; `None` without a manifest.
    pub const fn revision(&self) -> Option<Revision> {
        self.basis.revision
    }

    /// What the answers are made of.
    pub fn status(&self) -> crate::Status {
        self.inner.shared.status()
    }
}

/// An answer and how it came about. It borrows from its [`Flags`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Details<'f, V> {
    /// The value; the flag's default when there is an error, or when the flag says so.
    pub value: V,
    /// OpenFeature's word.
    pub reason: Reason,
    /// The finer word: which kind of override, rule, default …; `None` without a manifest.
    pub fine: Option<FineReason>,
    /// The variant; `None` when the value is the caller's default.
    pub variant: Option<&'f str>,
    /// The rule that decided.
    pub rule: Option<&'f str>,
    /// The flag's version; `None` when there is no such flag.
    pub version: Option<u64>,
    /// Why there is no answer.
    pub error: Option<FlagError<'f>>,
    /// The revision, its age, and whether the tenant is known.
    pub basis: &'f Basis,
}

impl<'f, V> Details<'f, V> {
    #[inline]
    fn new(value: V, answer: &Answer<'f>, basis: &'f Basis) -> Self {
        let (fine, error) = match answer.error {
            None => (Some(answer.fine), None),
            Some(_) if basis.revision.is_none() => (None, Some(FlagError::NotReady)),
            Some(error) => (Some(answer.fine), Some(FlagError::Evaluation(error))),
        };
        Self {
            value,
            reason: answer.reason,
            fine,
            variant: answer.variant,
            rule: answer.rule,
            version: answer.flag_version,
            error,
            basis,
        }
    }
}

/// Why there is no answer, and the default was given.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum FlagError<'f> {
    /// There is no manifest yet: the client's status is [`Status::Defaults`](crate::Status::Defaults).
    #[error("there is no manifest yet")]
    NotReady,
    /// The evaluation says why.
    #[error("{0}")]
    Evaluation(EvalError<'f>),
}

impl FlagError<'_> {
    /// OpenFeature's error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotReady => "PROVIDER_NOT_READY",
            Self::Evaluation(error) => error.code(),
        }
    }
}
