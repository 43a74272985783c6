//! Somebody asking one snapshot: what every answer needs is found out once.

use std::ops::Deref;
use std::time::Duration;

use crate::answer::{Answer, EvalError, Reason};
use crate::attribute::Traits;
use crate::budget::Failed;
use crate::by_hash::Mark;
use crate::context::{Context, INLINE_ATTRIBUTES};
use crate::explain::{Explanation, Notes};
use crate::fault::FlagFault;
use crate::flag::Flag;
use crate::manifest::Scope;
use crate::revision::Revision;
use crate::run::{Decision, Run};
use crate::snapshot::{FlagPlace, Snapshot, TenantPlace};
use crate::tenant::Tenant;
use crate::time::Timestamp;
use crate::trace::{Event, Visitor};
use crate::wire::ValueType;

/// A flag's key and what it is found by. In a constant that costs nothing at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlagName<'k> {
    key: &'k str,
    mark: Mark,
}

impl<'k> FlagName<'k> {
    /// Names a flag.
    pub const fn new(key: &'k str) -> Self {
        Self { key, mark: Mark::constant(key) }
    }

    /// The key.
    pub const fn key(&self) -> &'k str {
        self.key
    }
}

/// Who asks a snapshot, and when: all answers are of one configuration and one instant. It holds the snapshot by
/// whatever points to it (`&Snapshot`, `Arc<Snapshot>`, a guard), which has to point to the same one every time.
#[derive(Debug, Clone)]
// What every answer reads stands first, and together.
#[repr(C)]
pub struct Pinned<'c, S> {
    snapshot: S,
    asked: Asked<'c>,
}

/// All of it but the snapshot.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct Asked<'c> {
    /// Whether the tenant has overrides, or an entry that cannot be read, or is not loaded.
    pub(crate) special: bool,
    /// Whether this context may ask this snapshot nothing at all.
    barred: bool,
    /// Whether that is because the manifest is another tenant's.
    elsewhere: bool,
    /// The tenant's entry in the directory, when it has one.
    tenant: Option<TenantPlace>,
    now: Timestamp,
    pub(crate) context: Context<'c>,
    /// Of the attributes that the context holds inside.
    pub(crate) traits: [Traits; INLINE_ATTRIBUTES],
    /// Since the configuration was last confirmed.
    pub(crate) age: Duration,
}

impl Asked<'_> {
    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }

    /// The tenant's entry in the directory of the snapshot that is asked. Few answers look at it.
    pub(crate) fn entry<'s>(
        &self,
        snapshot: &'s Snapshot,
    ) -> Option<Result<&'s Tenant, EvalError<'s>>> {
        Some(snapshot.tenant_at(self.tenant?)?.map_err(|fault| match fault {
            Some(fault) => EvalError::TenantMalformed(fault),
            None => EvalError::TenantNotLoaded,
        }))
    }
}

impl<'c, S: Deref<Target = Snapshot>> Pinned<'c, S> {
    /// Somebody asking at `now`. `confirmed` is when a verified root was last confirmed current (200 or 304).
    #[inline(never)]
    pub fn new(snapshot: S, confirmed: Timestamp, context: Context<'c>, now: Timestamp) -> Self {
        let age = now.since(confirmed);
        let tenant = context.tenant().and_then(|key| snapshot.tenant_place(key.as_str()));
        let special = tenant
            .and_then(|place| snapshot.tenant_at(place))
            .is_some_and(|entry| entry.map_or(true, |tenant| tenant.has_overrides()));
        let elsewhere = match &snapshot.root.scope {
            Scope::Tenant(only) => context.tenant().is_none_or(|asks| asks != only),
            Scope::Environment | Scope::Relay | Scope::Canary => false,
        };
        let barred = elsewhere || context.describes_tenant();
        let mut traits = [Traits::Unknown; INLINE_ATTRIBUTES];
        for (traits, value) in traits.iter_mut().zip(context.inside()) {
            *traits = Traits::of(value);
        }
        Self {
            snapshot,
            asked: Asked { special, barred, elsewhere, tenant, now, context, traits, age },
        }
    }

    /// Answers one flag. `want` is the type that the caller can use; `None` takes any. Never fails: what goes
    /// wrong is an answer with an error, and means the caller's default.
    #[inline]
    pub fn answer(&self, flag: FlagName<'_>, want: Option<ValueType>) -> Answer<'_> {
        let snapshot = &*self.snapshot;
        let found = snapshot.flag_at(&flag.mark, flag.key);
        self.asked.answer(snapshot, flag.key, found, want, &mut ())
    }

    /// The answer of the flag at a place of this very snapshot, of whatever type it is.
    #[inline]
    pub fn answer_in(&self, place: FlagPlace) -> Option<Answer<'_>> {
        let snapshot = &*self.snapshot;
        let (key, found) = snapshot.flag_in(place)?;
        Some(self.asked.answer(snapshot, key, Some(found), None, &mut ()))
    }

    /// Every flag's answer, of whatever type it is, in no particular order.
    pub fn answers(&self) -> impl Iterator<Item = (&str, Answer<'_>)> {
        let snapshot = &*self.snapshot;
        snapshot.flags().map(move |(key, found)| {
            (key, self.asked.answer(snapshot, key, Some(found), None, &mut ()))
        })
    }

    /// Why a flag is answered as it is, step by step. For people: it allocates.
    pub fn explain(&self, flag: &str) -> Explanation {
        let mut notes = Notes::default();
        let snapshot = &*self.snapshot;
        let found = snapshot.flag(flag);
        let answer = self.asked.answer(snapshot, flag, found, None, &mut notes);
        Explanation::new(flag, self, &answer, notes)
    }

    pub(crate) const fn asked(&self) -> &Asked<'c> {
        &self.asked
    }

    /// The configuration that answers are of.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Its revision.
    pub fn revision(&self) -> Revision {
        self.snapshot.revision()
    }

    /// The time since it was last confirmed current.
    pub const fn age(&self) -> Duration {
        self.asked.age
    }

    /// Who asks.
    pub const fn context(&self) -> &Context<'c> {
        &self.asked.context
    }

    /// Whether the directory has the tenant; `false`, too, where it is not loaded.
    pub const fn tenant_known(&self) -> bool {
        matches!(self.asked.tenant, Some(TenantPlace::Entry { .. }))
    }
}

impl<'s> Pinned<'_, &'s Snapshot> {
    /// As [`Pinned::answer`], telling every step to a visitor.
    pub(crate) fn whole_answer<V: Visitor>(
        &self,
        flag: &str,
        want: Option<ValueType>,
        visitor: &mut V,
    ) -> Answer<'s> {
        self.asked.answer(self.snapshot, flag, self.snapshot.flag(flag), want, visitor)
    }

    /// As [`Pinned::answer_in`], telling every step to a visitor.
    pub(crate) fn whole_answer_in<V: Visitor>(
        &self,
        place: FlagPlace,
        visitor: &mut V,
    ) -> Option<Answer<'s>> {
        let (key, found) = self.snapshot.flag_in(place)?;
        Some(self.asked.answer(self.snapshot, key, Some(found), None, visitor))
    }
}

impl Asked<'_> {
    #[inline]
    pub(crate) fn answer<'s, V: Visitor>(
        &self,
        snapshot: &'s Snapshot,
        key: &str,
        found: Option<Result<&'s Flag, &'s FlagFault>>,
        want: Option<ValueType>,
        visitor: &mut V,
    ) -> Answer<'s> {
        if !V::LISTENS
            && let Some(Ok(flag)) = found
            && let Some(decision) = self.quick(flag, want)
        {
            return decided(flag, decision);
        }
        let usable = self.usable(found, want);
        visitor.visit(Event::Flag { key, error: usable.err() });
        let flag = match usable {
            Ok(flag) => flag,
            Err(error) => return failed(None, error),
        };
        let mut told = None;
        match self.whole(snapshot, flag, visitor, &mut told) {
            Ok(decision) => decided(flag, decision),
            Err(why) => failed(Some(flag), why.error(told)),
        }
    }

    /// The decision of a flag that asks nobody anything.
    #[inline]
    fn quick(&self, flag: &Flag, want: Option<ValueType>) -> Option<Decision> {
        let fits = want.is_none_or(|wanted| wanted == flag.value_type);
        let decision = flag.quick.decision(self.special);
        decision.filter(|_| fits && !self.barred)
    }

    #[inline(never)]
    fn whole<'s, V: Visitor>(
        &self,
        snapshot: &'s Snapshot,
        flag: &'s Flag,
        visitor: &mut V,
        told: &mut Option<EvalError<'s>>,
    ) -> Result<Decision, Failed> {
        if V::LISTENS {
            let key = self.context.tenant().map(|key| key.as_str());
            let known = matches!(self.entry(snapshot), Some(Ok(_)));
            visitor.visit(Event::Tenant { key, known });
        }
        Run::new(snapshot, self, visitor, told).decide(flag)
    }

    /// DESIGN §4, row 1: an unknown flag, a malformed one, another type, a context that may not be evaluated.
    #[inline]
    fn usable<'s>(
        &self,
        found: Option<Result<&'s Flag, &'s FlagFault>>,
        want: Option<ValueType>,
    ) -> Result<&'s Flag, EvalError<'s>> {
        let flag = found.ok_or(EvalError::FlagNotFound)?.map_err(EvalError::ParseError)?;
        match want {
            Some(wanted) if wanted != flag.value_type => {
                Err(EvalError::TypeMismatch { wanted, actual: flag.value_type })
            }
            _ if self.elsewhere => Err(EvalError::OtherTenant),
            _ if self.barred => Err(EvalError::TenantInContext),
            _ if flag.reads_tenant && self.context.tenant().is_none() => {
                Err(EvalError::TenantRequired)
            }
            _ => Ok(flag),
        }
    }
}

#[inline]
fn decided<'s>(flag: &'s Flag, decision: Decision) -> Answer<'s> {
    let variant = decision.variant.and_then(|variant| flag.variant(variant));
    Answer {
        value: variant.map(|variant| &variant.value),
        variant: variant.map(|variant| variant.key.as_str()),
        reason: decision.reason,
        fine: decision.fine,
        rule: decision
            .rule
            .and_then(|rule| flag.rules.get(usize::from(rule)))
            .map(|it| it.id.as_str()),
        error: None,
        flag_version: Some(flag.version),
        client_visible: flag.client_visible,
    }
}

#[cold]
fn failed<'s>(flag: Option<&Flag>, error: EvalError<'s>) -> Answer<'s> {
    Answer {
        value: None,
        variant: None,
        reason: Reason::Error,
        fine: error.fine(),
        rule: None,
        error: Some(error),
        flag_version: flag.map(|flag| flag.version),
        client_visible: flag.is_some_and(|flag| flag.client_visible),
    }
}
