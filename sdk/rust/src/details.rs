//! What an answer says of itself.

use flagforge_flags::{Answer, EvalError, FineReason, Reason};
use thiserror::Error;

use crate::flags::Basis;
use crate::hook::Refused;

/// An answer and how it came about. It borrows from its [`Flags`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Details<'f, V> {
    /// The value; the flag's default when there is an error, or when the flag says so.
    pub value: V,
    /// OpenFeature's word.
    pub reason: Reason,
    /// The finer word: which kind of override, rule, default …; `None` without a
    /// manifest, and where a hook refused.
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
    pub(crate) fn new(value: V, answer: &Answer<'f>, basis: &'f Basis) -> Self {
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

    /// The same with another value.
    pub(crate) fn map<W>(self, other: impl FnOnce(V) -> W) -> Details<'f, W> {
        let Self { value, reason, fine, variant, rule, version, error, basis } = self;
        Details { value: other(value), reason, fine, variant, rule, version, error, basis }
    }
}

impl<'f, V> Details<'f, Option<V>> {
    /// A hook kept the flag from being answered.
    pub(crate) const fn refused(refused: Refused, basis: &'f Basis) -> Self {
        let error = Some(FlagError::Refused(refused));
        let (variant, rule, version) = (None, None, None);
        Self {
            value: None,
            reason: Reason::Error,
            fine: None,
            variant,
            rule,
            version,
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
    /// A hook refused.
    #[error(transparent)]
    Refused(Refused),
    /// The evaluation says why.
    #[error("{0}")]
    Evaluation(EvalError<'f>),
}

impl FlagError<'_> {
    /// OpenFeature's error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotReady => "PROVIDER_NOT_READY",
            Self::Refused(_) => "GENERAL",
            Self::Evaluation(error) => error.code(),
        }
    }
}
