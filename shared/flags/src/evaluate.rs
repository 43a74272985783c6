//! The one evaluator: an answer from a snapshot, a context and an instant. It allocates nothing, takes no
//! lock and reads no clock. Explaining is the same code with a visitor.

use crate::context::Context;
use crate::everybody::Everybody;
use crate::keys::TenantKey;
use crate::pinned::Pinned;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::wire::ValueType;

pub use crate::answer::{Answer, EvalError, FineReason, Reason};
pub use crate::trace::{Event, Visitor};

/// A snapshot, and when its origin last confirmed that it is current.
#[derive(Debug, Clone, Copy)]
pub struct View<'s> {
    /// The configuration.
    pub snapshot: &'s Snapshot,
    /// When a verified root was last confirmed current (200 or 304).
    pub confirmed: Timestamp,
}

impl<'s> View<'s> {
    /// Who asks, at an instant. Whoever asks more than one flag asks it of the same.
    pub fn pin<'c>(self, context: Context<'c>, now: Timestamp) -> Pinned<'c, &'s Snapshot> {
        Pinned::new(self.snapshot, self.confirmed, context, now)
    }

    /// Everybody of a tenant at once, at an instant.
    pub fn everybody(self, tenant: &TenantKey, now: Timestamp) -> Everybody<'_, 's> {
        Everybody::new(self.pin(Context::for_tenant(tenant), now))
    }
}

/// Answers one flag. `want` is the type that the caller can use; `None` takes any. Never fails: what goes
/// wrong is an answer with an error, and means the caller's default.
pub fn evaluate<'s>(
    view: View<'s>,
    flag: &str,
    want: Option<ValueType>,
    context: &Context<'_>,
    now: Timestamp,
) -> Answer<'s> {
    evaluate_with(view, flag, want, context, now, &mut ())
}

/// As [`evaluate`], telling every step to a visitor.
pub fn evaluate_with<'s, V: Visitor>(
    view: View<'s>,
    flag: &str,
    want: Option<ValueType>,
    context: &Context<'_>,
    now: Timestamp,
    visitor: &mut V,
) -> Answer<'s> {
    view.pin(context.borrowed(), now).whole_answer(flag, want, visitor)
}

#[cfg(test)]
mod tests;
