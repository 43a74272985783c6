//! The one evaluator: an answer from a snapshot, a context and an instant. It allocates nothing, takes no
//! lock and reads no clock. Explaining is the same code with a visitor.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::bucket::{Decimal, bucket_xxh3};
use crate::condition::{Found, Subject};
use crate::context::Context;
use crate::fault::EntryFault;
use crate::flag::{Flag, Outcome, Split, VariantIndex};
use crate::snapshot::Snapshot;
use crate::tenant::Tenant;
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
        decide(flag, context, tenant, visitor).map(|decision| (flag, decision))
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

type DirectoryEntry<'s> = Option<Result<&'s Tenant, &'s Arc<EntryFault>>>;

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

struct Decision<'s> {
    /// `None` is the caller's default.
    variant: Option<VariantIndex>,
    reason: Reason,
    fine: FineReason,
    rule: Option<&'s str>,
}

/// DESIGN §4, rows 2 to 9, in their order.
fn decide<'s, V: Visitor>(
    flag: &'s Flag,
    context: &Context,
    tenant: DirectoryEntry<'_>,
    visitor: &mut V,
) -> Result<Decision<'s>, EvalError> {
    let known = matches!(tenant, Some(Ok(_)));
    visitor.visit(Event::Tenant { key: context.tenant().map(|key| key.as_str()), known });
    let mut subject = Subject { context, tenant: None };
    if !flag.enabled {
        visitor.visit(Event::Off);
        // A flag that is off answers even where the tenant's entry is malformed, because off is what
        // operators reach for when something is wrong.
        subject.tenant = tenant.and_then(Result::ok);
        return settle(flag, &flag.off, subject, Reason::Disabled, FineReason::Off, visitor);
    }
    if let Some(tenant) = tenant {
        let tenant = tenant.map_err(|fault| EvalError::TenantMalformed(Arc::clone(fault)))?;
        subject.tenant = Some(tenant);
        if let Some(decision) = overridden(flag, tenant, visitor)? {
            return Ok(decision);
        }
    }
    for (index, rule) in flag.rules.iter().enumerate() {
        let id = rule.id.as_str();
        visitor.visit(Event::RuleEntered { index, id });
        let held = rule.when.holds(subject, 0, visitor);
        visitor.visit(Event::RuleDecided { id, held });
        if !held {
            continue;
        }
        // A rule whose split has no unit to hash does not match; the next rule is asked.
        if let Some((variant, split)) = outcome(flag, &rule.serve, subject, visitor) {
            let reason = if split { Reason::Split } else { Reason::TargetingMatch };
            return Ok(Decision { variant, reason, fine: FineReason::Rule, rule: Some(id) });
        }
    }
    visitor.visit(Event::Fallthrough);
    settle(flag, &flag.fallthrough, subject, Reason::Default, FineReason::Fallthrough, visitor)
}

/// Rows 5 and 6: the tenant's own override, then those of its groups in the flag's order.
fn overridden<'s, V: Visitor>(
    flag: &'s Flag,
    tenant: &Tenant,
    visitor: &mut V,
) -> Result<Option<Decision<'s>>, EvalError> {
    let decision = |variant, fine| Decision {
        variant: Some(variant),
        reason: Reason::TargetingMatch,
        fine,
        rule: None,
    };
    let own = tenant.override_of(&flag.key);
    visitor.visit(Event::TenantOverride { variant: own.map(|variant| variant.as_str()) });
    if let Some(own) = own {
        let variant = flag.variant_named(own.as_str()).ok_or(EvalError::OverrideUnknownVariant)?;
        return Ok(Some(decision(variant, FineReason::TenantOverride)));
    }
    for entry in &flag.group_overrides {
        let member = tenant.is_in(&entry.group);
        let (group, variant) = (entry.group.as_str(), name(flag, entry.variant));
        visitor.visit(Event::GroupOverride { group, variant, member });
        if member {
            return Ok(Some(decision(entry.variant, FineReason::GroupOverride)));
        }
    }
    Ok(None)
}

/// An outcome that has no successor: a split without a unit is an error.
fn settle<'s, V: Visitor>(
    flag: &'s Flag,
    serve: &Outcome,
    subject: Subject<'_>,
    plain: Reason,
    fine: FineReason,
    visitor: &mut V,
) -> Result<Decision<'s>, EvalError> {
    let (variant, split) =
        outcome(flag, serve, subject, visitor).ok_or(EvalError::TargetingKeyMissing)?;
    let reason = if split && plain == Reason::Default { Reason::Split } else { plain };
    Ok(Decision { variant, reason, fine, rule: None })
}

/// The variant that an outcome leads to (`None` inside: the caller's default) and whether a split chose
/// it. `None` when a split has no unit to hash.
fn outcome<V: Visitor>(
    flag: &Flag,
    serve: &Outcome,
    subject: Subject<'_>,
    visitor: &mut V,
) -> Option<(Option<VariantIndex>, bool)> {
    match serve {
        Outcome::Variant(variant) => Some((Some(*variant), false)),
        Outcome::CallerDefault => Some((None, false)),
        Outcome::Split(split) => {
            let found = subject.find(&split.unit);
            let bucket = bucket(split, found);
            let variant = bucket.and_then(|bucket| split.variant_at(bucket));
            visitor.visit(Event::Split {
                unit: &split.unit.text,
                found,
                buckets: split.buckets,
                bucket,
                variant: variant.map(|variant| name(flag, variant)),
            });
            variant.map(|variant| (Some(variant), true))
        }
    }
}

/// Texts hash as they are, whole numbers and booleans as their JSON text; nothing else is a unit.
fn bucket(split: &Split, found: Found<'_>) -> Option<u32> {
    let hash = |unit: &str| Some(bucket_xxh3(split.seed, unit, split.buckets));
    match found {
        Found::Key(key) => hash(key),
        Found::Attribute(Json::String(text)) => hash(text),
        Found::Attribute(Json::Bool(yes)) => hash(if *yes { "true" } else { "false" }),
        Found::Attribute(Json::Number(number)) if !number.is_f64() => {
            hash(Decimal::of(number).as_str())
        }
        Found::Attribute(_) | Found::Missing => None,
    }
}

fn name(flag: &Flag, variant: VariantIndex) -> &str {
    flag.variant(variant).map_or("", |variant| variant.key.as_str())
}

#[cfg(test)]
mod tests;
