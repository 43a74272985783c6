//! The one evaluator: an answer from a snapshot, a context and an instant. It allocates nothing, takes no
//! lock and reads no clock. Explaining is the same code with a visitor.

use std::sync::Arc;

use crate::budget::Budget;
use crate::context::Context;
use crate::flag::Flag;
use crate::run::{Decision, DirectoryEntry, Run};
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

/// Answers one flag. `want` is the type that the caller can use; `None` takes any. Never fails: what goes
/// wrong is an answer with an error, and means the caller's default.
pub fn evaluate<'s>(
    view: View<'s>,
    flag: &str,
    want: Option<ValueType>,
    context: &Context,
    now: Timestamp,
) -> Answer<'s> {
    evaluate_with(view, flag, want, context, now, &mut ())
}

/// As [`evaluate`], telling every step to a visitor.
pub fn evaluate_with<'s, V: Visitor>(
    view: View<'s>,
    flag: &str,
    want: Option<ValueType>,
    context: &Context,
    now: Timestamp,
    visitor: &mut V,
) -> Answer<'s> {
    let mut answer = Answer {
        value: None,
        variant: None,
        reason: Reason::Error,
        fine: FineReason::FlagNotFound,
        rule: None,
        error: None,
        flag_version: None,
        revision: view.snapshot.revision(),
        age: now.since(view.confirmed),
        tenant_known: false,
        client_visible: false,
    };
    let tenant = directory_entry(view.snapshot, context);
    answer.tenant_known = tenant.is_some();
    let decided = find(view.snapshot, flag, want, context, visitor).and_then(|flag| {
        answer.flag_version = Some(flag.version);
        answer.client_visible = flag.client_visible;
        let known = matches!(tenant, Some(Ok(_)));
        visitor.visit(Event::Tenant { key: context.tenant().map(|key| key.as_str()), known });
        let (snapshot, age, budget) = (view.snapshot, answer.age, Budget::default());
        let mut run = Run { snapshot, context, now, age, tenant, visitor, budget };
        run.decide(flag).map(|decision| (flag, decision))
    });
    match decided {
        Ok((flag, Decision { variant, reason, fine, rule })) => {
            let variant = variant.and_then(|index| flag.variant(index));
            answer.value = variant.map(|variant| &variant.value);
            answer.variant = variant.map(|variant| variant.key.as_str());
            (answer.reason, answer.fine, answer.rule) = (reason, fine, rule);
        }
        Err(error) => {
            answer.fine = error.fine();
            answer.error = Some(error);
        }
    }
    answer
}

fn directory_entry<'s>(snapshot: &'s Snapshot, context: &Context) -> DirectoryEntry<'s> {
    snapshot.tenant_shared(context.tenant()?.as_str())
}

/// DESIGN §4, row 1: an unknown flag, a malformed one, another type, a context that may not be evaluated.
fn find<'s, V: Visitor>(
    snapshot: &'s Snapshot,
    key: &str,
    want: Option<ValueType>,
    context: &Context,
    visitor: &mut V,
) -> Result<&'s Flag, EvalError> {
    let found = match snapshot.flag_shared(key) {
        None => Err(EvalError::FlagNotFound),
        Some(Err(fault)) => Err(EvalError::ParseError(Arc::clone(fault))),
        Some(Ok(flag)) => match want {
            Some(wanted) if wanted != flag.value_type => {
                Err(EvalError::TypeMismatch { wanted, actual: flag.value_type })
            }
            _ if context.describes_tenant() => Err(EvalError::TenantInContext),
            _ if flag.reads_tenant && context.tenant().is_none() => Err(EvalError::TenantRequired),
            _ => Ok(flag),
        },
    };
    visitor.visit(Event::Flag { key, error: found.as_ref().err() });
    found
}

#[cfg(test)]
mod tests;
