//! One evaluation under way: the order in which a flag decides, and the flags and segments that it asks for.

use std::sync::Arc;
use std::time::Duration;

use crate::answer::{EvalError, FineReason, Reason};
use crate::budget::Budget;
use crate::condition::{FlagIs, FlagTest, Placed, Subject};
use crate::context::Context;
use crate::fault::EntryFault;
use crate::flag::{Flag, Outcome, Ramp, Split, StaleAction, VariantIndex};
use crate::segment::Segment;
use crate::snapshot::Snapshot;
use crate::tenant::Tenant;
use crate::time::Timestamp;
use crate::trace::{Asked, Event, Visitor};
use crate::wire::FlagClass;

pub(crate) type DirectoryEntry<'s> = Option<Result<&'s Tenant, &'s Arc<EntryFault>>>;

/// What an evaluation looks at, and what it has spent so far.
pub(crate) struct Run<'r, 's, V> {
    pub(crate) snapshot: &'s Snapshot,
    pub(crate) context: &'r Context,
    pub(crate) now: Timestamp,
    /// Since the configuration was last confirmed.
    pub(crate) age: Duration,
    pub(crate) tenant: DirectoryEntry<'s>,
    pub(crate) visitor: &'r mut V,
    pub(crate) budget: Budget,
}

pub(crate) struct Decision<'s> {
    /// `None` is the caller's default.
    pub(crate) variant: Option<VariantIndex>,
    pub(crate) reason: Reason,
    pub(crate) fine: FineReason,
    pub(crate) rule: Option<&'s str>,
}

impl<'s> Decision<'s> {
    const fn of(variant: VariantIndex, fine: FineReason) -> Self {
        Self { variant: Some(variant), reason: Reason::TargetingMatch, fine, rule: None }
    }
}

impl<'r, 's, V: Visitor> Run<'r, 's, V> {
    /// DESIGN §4, rows 2 and 3, and then the others.
    pub(crate) fn decide(&mut self, flag: &'s Flag) -> Result<Decision<'s>, EvalError> {
        if movable(flag) && !flag.enabled {
            self.visitor.visit(Event::Off);
            return self.settle(flag, &flag.off, Reason::Disabled, FineReason::Off);
        }
        let stale = flag.stale.as_ref().filter(|stale| movable(flag) && self.age > stale.after);
        let Some(stale) = stale else { return self.confirmed(flag) };
        self.visitor.visit(Event::Stale { age: self.age, after: stale.after });
        match &stale.then {
            StaleAction::LastKnown => {
                let decision = self.confirmed(flag)?;
                Ok(Decision { reason: Reason::Stale, ..decision })
            }
            StaleAction::Serve(outcome) => {
                self.settle(flag, outcome, Reason::Stale, FineReason::Stale)
            }
            StaleAction::Pause => {
                let (reason, fine) = (Reason::Stale, FineReason::Pause);
                Ok(Decision { variant: None, reason, fine, rule: None })
            }
        }
    }

    /// Rows 4 to 9, in their order.
    fn confirmed(&mut self, flag: &'s Flag) -> Result<Decision<'s>, EvalError> {
        if movable(flag) && !self.prerequisites_met(flag)? {
            let fine = FineReason::PrerequisiteFailed;
            return self.settle(flag, &flag.off, Reason::Disabled, fine);
        }
        if let Some(tenant) = self.tenant {
            let tenant = tenant.map_err(|fault| EvalError::TenantMalformed(Arc::clone(fault)))?;
            if let Some(decision) = self.overridden(flag, tenant)? {
                return Ok(decision);
            }
        }
        if let Some(decision) = self.targeted(flag) {
            return Ok(decision);
        }
        let subject = self.subject();
        for (index, rule) in flag.rules.iter().enumerate() {
            let id = rule.id.as_str();
            self.visitor.visit(Event::RuleEntered { index, id });
            let held = rule.when.holds(subject, 0, self)?;
            self.visitor.visit(Event::RuleDecided { id, held });
            if !held {
                continue;
            }
            // A rule whose split has no unit to hash does not match; the next rule is asked.
            if let Some((variant, split)) = self.outcome(flag, &rule.serve)? {
                let reason = if split { Reason::Split } else { Reason::TargetingMatch };
                return Ok(Decision { variant, reason, fine: FineReason::Rule, rule: Some(id) });
            }
        }
        self.visitor.visit(Event::Fallthrough);
        self.settle(flag, &flag.fallthrough, Reason::Default, FineReason::Fallthrough)
    }

    /// Where the tenant's entry is malformed nothing is known of the tenant. Only outcomes that operators reach
    /// for when something is wrong are decided so; the others end before.
    fn subject(&self) -> Subject<'r>
    where
        's: 'r,
    {
        let tenant = self.tenant.and_then(Result::ok);
        Subject { context: self.context, tenant, element: None }
    }

    /// Row 4: every prerequisite is met.
    fn prerequisites_met(&mut self, flag: &'s Flag) -> Result<bool, EvalError> {
        for test in &flag.prerequisites {
            if !self.flag_stands(test, None)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Rows 5 and 6: the tenant's own override, then those of its groups in the flag's order.
    fn overridden(
        &mut self,
        flag: &'s Flag,
        tenant: &Tenant,
    ) -> Result<Option<Decision<'s>>, EvalError> {
        let own = tenant.override_of(&flag.key);
        let expired = own.and_then(|own| own.expires()).is_some_and(|at| at <= self.now);
        let variant = own.map(|own| own.variant().as_str());
        self.visitor.visit(Event::TenantOverride { variant, expired });
        if let Some(variant) = variant.filter(|_| !expired) {
            let variant = flag.variant_named(variant).ok_or(EvalError::OverrideUnknownVariant)?;
            return Ok(Some(Decision::of(variant, FineReason::TenantOverride)));
        }
        for entry in &flag.group_overrides {
            let member = tenant.is_in(&entry.group);
            let expired = entry.expires.is_some_and(|at| at <= self.now);
            let (group, variant) = (entry.group.as_str(), name(flag, entry.variant));
            self.visitor.visit(Event::GroupOverride { group, variant, member, expired });
            if member && !expired {
                return Ok(Some(Decision::of(entry.variant, FineReason::GroupOverride)));
            }
        }
        Ok(None)
    }

    /// Row 7: individual targets, the first list that has the key.
    fn targeted(&mut self, flag: &'s Flag) -> Option<Decision<'s>> {
        for target in &flag.targets {
            let key = self.subject().key_of(&target.entity);
            let listed = |key: &str| target.keys.binary_search_by(|held| (**held).cmp(key)).is_ok();
            let held = key.is_some_and(listed);
            let variant = name(flag, target.variant);
            self.visitor.visit(Event::Target { key, variant, held });
            if held {
                return Some(Decision::of(target.variant, FineReason::Target));
            }
        }
        None
    }

    /// An outcome that has no successor: a split without a unit is an error.
    fn settle(
        &mut self,
        flag: &'s Flag,
        serve: &Outcome,
        plain: Reason,
        fine: FineReason,
    ) -> Result<Decision<'s>, EvalError> {
        let (variant, split) = self.outcome(flag, serve)?.ok_or(EvalError::TargetingKeyMissing)?;
        let reason = if split && plain == Reason::Default { Reason::Split } else { plain };
        Ok(Decision { variant, reason, fine, rule: None })
    }

    /// The variant that an outcome leads to (`None` inside: the caller's default) and whether a split chose
    /// it. `None` when a split has no unit to hash.
    fn outcome(
        &mut self,
        flag: &Flag,
        serve: &Outcome,
    ) -> Result<Option<(Option<VariantIndex>, bool)>, EvalError> {
        Ok(match serve {
            Outcome::Variant(variant) => Some((Some(*variant), false)),
            Outcome::CallerDefault => Some((None, false)),
            Outcome::Split(split) => self.split(flag, split).map(|variant| (Some(variant), true)),
            Outcome::Ramp(ramp) => self.ramp(flag, ramp).map(|variant| (Some(variant), true)),
            Outcome::Error(message) => return Err(EvalError::Outcome(Arc::clone(message))),
        })
    }

    fn split(&mut self, flag: &Flag, split: &Split) -> Option<VariantIndex> {
        let Placed { unit, found, bucket } = split.by.place(self.subject());
        let variant = bucket.and_then(|bucket| split.variant_at(bucket));
        self.visitor.visit(Event::Split {
            unit,
            found,
            buckets: split.by.hash.buckets(),
            bucket,
            bound: None,
            variant: variant.map(|variant| name(flag, variant)),
        });
        variant
    }

    fn ramp(&mut self, flag: &Flag, ramp: &Ramp) -> Option<VariantIndex> {
        let Placed { unit, found, bucket } = ramp.by.place(self.subject());
        let bound = ramp.bound(self.now);
        let chosen = |bucket| if bucket < bound { ramp.variant } else { ramp.rest };
        let variant = bucket.map(chosen);
        self.visitor.visit(Event::Split {
            unit,
            found,
            buckets: ramp.by.hash.buckets(),
            bucket,
            bound: Some(bound),
            variant: variant.map(|variant| name(flag, variant)),
        });
        variant
    }

    /// Whether another flag is what it has to be. One that is not there is nothing; one that cannot answer
    /// leaves this flag without an answer, too. `depth` is the condition's; a prerequisite has none.
    pub(crate) fn flag_stands(
        &mut self,
        test: &FlagTest,
        depth: Option<u8>,
    ) -> Result<bool, EvalError> {
        self.budget.enter()?;
        let asked = match depth {
            None => Asked::Prerequisite,
            Some(depth) => Asked::Flag { depth },
        };
        self.visitor.visit(Event::Asked { asked, key: test.flag.as_str() });
        let held = self.flag_is(test)?;
        self.visitor.visit(Event::Told { held });
        self.budget.leave();
        Ok(held)
    }

    fn flag_is(&mut self, test: &FlagTest) -> Result<bool, EvalError> {
        let flag = match self.snapshot.flag_shared(test.flag.as_str()) {
            None => return Ok(false),
            Some(Err(fault)) => return Err(EvalError::OtherMalformed(Arc::clone(fault))),
            Some(Ok(flag)) => flag,
        };
        if flag.reads_tenant && self.context.tenant().is_none() {
            return Err(EvalError::TenantRequired);
        }
        match &test.is {
            FlagIs::Variants(variants) => {
                let decision = self.decide(flag)?;
                let answered = decision.variant.map(|variant| name(flag, variant));
                Ok(answered.is_some_and(|name| variants.iter().any(|v| v.as_str() == name)))
            }
            FlagIs::Off => self.is_off(flag),
            FlagIs::Enabled => self.is_off(flag).map(|off| !off),
        }
    }

    fn is_off(&mut self, flag: &'s Flag) -> Result<bool, EvalError> {
        Ok(movable(flag) && (!flag.enabled || !self.prerequisites_met(flag)?))
    }

    /// Whether who asks is in a segment.
    pub(crate) fn in_segment(
        &mut self,
        key: &Arc<str>,
        subject: Subject<'_>,
        depth: u8,
    ) -> Result<bool, EvalError> {
        self.budget.enter()?;
        self.visitor.visit(Event::Asked { asked: Asked::Segment { depth }, key });
        let segment = match self.snapshot.segment_shared(key) {
            None => return Err(EvalError::SegmentNotFound(Arc::clone(key))),
            Some(Err(fault)) => return Err(EvalError::SegmentMalformed(Arc::clone(fault))),
            Some(Ok(segment)) => segment,
        };
        if segment.reads_tenant && self.context.tenant().is_none() {
            return Err(EvalError::TenantRequired);
        }
        let held = self.has(segment, Subject { element: None, ..subject })?;
        self.visitor.visit(Event::Told { held });
        self.budget.leave();
        Ok(held)
    }

    /// Excluded wins over included, included over the condition.
    fn has(&mut self, segment: &Segment, subject: Subject<'_>) -> Result<bool, EvalError> {
        let key = subject.key_of(&segment.entity);
        let listed = match key {
            Some(key) if segment.excluded.have(key) => Some(false),
            Some(key) if segment.included.have(key) => Some(true),
            _ => None,
        };
        self.visitor.visit(Event::Listed { key, included: listed });
        match (listed, &segment.when) {
            (Some(listed), _) => Ok(listed),
            (None, Some(when)) => when.holds(subject, 0, self),
            (None, None) => Ok(false),
        }
    }
}

/// A migration flag has no "off": neither a kill nor age nor other flags move its stage (DESIGN §4).
const fn movable(flag: &Flag) -> bool {
    !matches!(flag.class, FlagClass::Migration)
}

pub(crate) fn name(flag: &Flag, variant: VariantIndex) -> &str {
    flag.variant(variant).map_or("", |variant| variant.key.as_str())
}
