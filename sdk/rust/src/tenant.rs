//! Who asks, and what they are answered.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use flagforge_flags::keys::TenantKey;
use flagforge_flags::time::Timestamp;
use flagforge_flags::{Answer, Context, EvalError, Explanation, FineReason, Reason, Revision};
use serde_json::Value as Json;
use thiserror::Error;

use crate::client::Inner;
use crate::clock;
use crate::flag::{Flag, FlagType};
use crate::loader::Manifest;

/// A tenant: the handle that every question about flags goes through. Owned, `Clone`, `Send` and `Sync`;
/// a job carries it, a message carries [`Tenant::id`].
#[derive(Debug, Clone)]
pub struct Tenant {
    inner: Arc<Inner>,
    id: TenantKey,
}

impl Tenant {
    pub(crate) const fn new(inner: Arc<Inner>, id: TenantKey) -> Self {
        Self { inner, id }
    }

    /// The tenant's id, which serializes as its text and is parsed when it is read back.
    pub const fn id(&self) -> &TenantKey {
        &self.id
    }

    /// Somebody of the tenant, by the key that percentage splits hash.
    pub fn user(&self, key: impl Into<Box<str>>) -> Asking<'_> {
        self.asking().user(key)
    }

    /// Something of the tenant, when there is no user: a device, an order, a job.
    pub fn entity(&self, kind: impl Into<Box<str>>, key: impl Into<Box<str>>) -> Asking<'_> {
        self.asking().entity(kind, key)
    }

    /// The tenant itself, when there is neither.
    pub fn flags(&self) -> Flags<'_> {
        self.asking().flags()
    }

    fn asking(&self) -> Asking<'_> {
        Asking { inner: &self.inner, context: Context::for_tenant(self.id.clone()) }
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
    pub fn entity(&self, kind: impl Into<Box<str>>, key: impl Into<Box<str>>) -> Asking<'_> {
        self.asking().entity(kind, key)
    }

    /// The flags.
    pub fn flags(&self) -> Flags<'_> {
        self.asking().flags()
    }

    fn asking(&self) -> Asking<'_> {
        Asking { inner: &self.inner, context: Context::untenanted() }
    }
}

/// Who asks, being described. Attributes of the tenant come from the directory in the manifest; what is
/// said here of an entity `tenant` makes every answer the default, with an error.
#[derive(Debug, Clone)]
#[must_use = "ask with .flags()"]
pub struct Asking<'t> {
    inner: &'t Inner,
    context: Context,
}

impl<'t> Asking<'t> {
    /// The user. An empty key is no key.
    pub fn user(mut self, key: impl Into<Box<str>>) -> Self {
        self.context = self.context.user(key);
        self
    }

    /// An attribute of the user.
    pub fn attr(mut self, name: impl Into<Box<str>>, value: impl Into<Json>) -> Self {
        self.context = self.context.attr(name, value);
        self
    }

    /// A further entity.
    pub fn entity(mut self, kind: impl Into<Box<str>>, key: impl Into<Box<str>>) -> Self {
        self.context = self.context.entity(kind, key);
        self
    }

    /// An attribute of a further entity.
    pub fn entity_attr(
        mut self,
        kind: impl Into<Box<str>>,
        name: impl Into<Box<str>>,
        value: impl Into<Json>,
    ) -> Self {
        self.context = self.context.entity_attr(kind, name, value);
        self
    }

    /// The flags as they are now. All answers of one `Flags` are of one revision and one instant,
    /// whatever is published meanwhile; it is for one request, not to be kept.
    pub fn flags(self) -> Flags<'t> {
        let Self { inner, context } = self;
        Flags { inner, manifest: inner.shared.current.load(), context, now: clock::now() }
    }
}

/// The flags of one request. Asking takes no lock, makes no call and allocates nothing.
#[derive(Debug)]
pub struct Flags<'t> {
    inner: &'t Inner,
    manifest: Guard<Option<Arc<Manifest>>>,
    context: Context,
    now: Timestamp,
}

impl Flags<'_> {
    /// The flag's value for whoever asks; the flag's default when there is no answer.
    pub fn get<T: FlagType>(&self, flag: &Flag<T>) -> T::Answer<'_> {
        let value = self.answer(flag.key(), T::WANT).and_then(|answer| answer.value);
        value.and_then(T::read).unwrap_or_else(|| flag.default_value())
    }

    /// The value, and how it came about.
    pub fn details<T: FlagType>(&self, flag: &Flag<T>) -> Details<'_, T::Answer<'_>> {
        let Some(answer) = self.answer(flag.key(), T::WANT) else {
            return Details::not_ready(flag.default_value());
        };
        let value = answer.value.and_then(T::read);
        Details {
            value: value.unwrap_or_else(|| flag.default_value()),
            reason: answer.reason,
            fine: Some(answer.fine),
            variant: answer.variant,
            rule: answer.rule,
            version: answer.flag_version,
            revision: Some(answer.revision),
            age: Some(answer.age),
            tenant_known: answer.tenant_known,
            error: answer.error.map(FlagError::Evaluation),
        }
    }

    /// Why the flag is answered as it is, step by step, of whatever type it is; `None` without a manifest. For
    /// people: it allocates.
    pub fn explain(&self, key: &str) -> Option<Explanation> {
        let manifest = self.manifest.as_ref()?;
        Some(flagforge_flags::explain(manifest.view(), key, &self.context, self.now))
    }

    /// The revision that all answers are of; `None` without a manifest.
    pub fn revision(&self) -> Option<Revision> {
        self.manifest.as_ref().map(|manifest| manifest.snapshot().revision())
    }

    /// What the answers are made of.
    pub fn status(&self) -> crate::Status {
        self.inner.shared.status()
    }

    fn answer<'f>(
        &'f self,
        key: &str,
        want: flagforge_flags::wire::ValueType,
    ) -> Option<Answer<'f>> {
        let manifest = self.manifest.as_ref()?;
        let view = manifest.view();
        Some(flagforge_flags::evaluate(view, key, Some(want), &self.context, self.now))
    }
}

/// An answer and how it came about. It borrows from its [`Flags`].
#[derive(Debug, Clone, PartialEq)]
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
    /// The manifest's revision; `None` without a manifest.
    pub revision: Option<Revision>,
    /// The time since the manifest was last confirmed; `None` without a manifest.
    pub age: Option<Duration>,
    /// Whether the tenant directory has the tenant.
    pub tenant_known: bool,
    /// Why there is no answer.
    pub error: Option<FlagError>,
}

impl<V> Details<'_, V> {
    fn not_ready(value: V) -> Self {
        Self {
            value,
            reason: Reason::Error,
            fine: None,
            variant: None,
            rule: None,
            version: None,
            revision: None,
            age: None,
            tenant_known: false,
            error: Some(FlagError::NotReady),
        }
    }
}

/// Why there is no answer, and the default was given.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FlagError {
    /// There is no manifest yet: the client's status is [`Status::Defaults`](crate::Status::Defaults).
    #[error("there is no manifest yet")]
    NotReady,
    /// The evaluation says why.
    #[error(transparent)]
    Evaluation(EvalError),
}

impl FlagError {
    /// OpenFeature's error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotReady => "PROVIDER_NOT_READY",
            Self::Evaluation(error) => error.code(),
        }
    }
}
