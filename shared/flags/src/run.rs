//! One evaluation under way: the order in which a flag decides, and the flags and segments that it asks for.

mod special;

use crate::answer::{EvalError, FineReason, Reason};
use crate::budget::{Budget, Failed};
use crate::condition::{Condition, FlagIs, FlagTest, Placed, SegmentRef};
use crate::context::Context;
use crate::flag::{Flag, Outcome, Quick, Ramp, Split, Stale, StaleAction, VariantIndex};
use crate::pinned::{Asked as Asker, Pinned};
use crate::segment::Segment;
use crate::snapshot::Snapshot;
use crate::subject::Subject;
use crate::time::Timestamp;
use crate::trace::{Asked, Event, Visitor};

/// Whether a condition holds for somebody by itself, outside a flag. `None` where it has no answer.
pub(crate) fn condition_holds(
    snapshot: &Snapshot,
    condition: &Condition,
    context: Context<'_>,
    now: Timestamp,
) -> Option<bool> {
    let pinned = Pinned::new(snapshot, now, context, now);
    let (mut told, mut visitor) = (None, ());
    let mut run = Run::new(snapshot, pinned.asked(), &mut visitor, &mut told);
    let subject = run.subject();
    condition.holds(subject, 0, &mut run).ok()
}

/// What an evaluation looks at, and what it has spent so far.
pub(crate) struct Run<'r, 'c, 's, V> {
    snapshot: &'s Snapshot,
    pub(crate) asked: &'r Asker<'c>,
    pub(crate) visitor: &'r mut V,
    pub(crate) budget: Budget,
    /// Why there will be no answer, where it is more than a word.
    told: &'r mut Option<EvalError<'s>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Decision {
    /// `None` is the caller's default.
    pub(crate) variant: Option<VariantIndex>,
    pub(crate) reason: Reason,
    pub(crate) fine: FineReason,
    /// The place of the rule that decided.
    pub(crate) rule: Option<u16>,
}

/// What an outcome leads to. `None` is the caller's default.
#[derive(Debug, Clone, Copy)]
enum Served {
    Plain(Option<VariantIndex>),
    BySplit(VariantIndex),
    /// A split has no unit to hash.
    NoUnit,
}

impl Served {
    fn by_split(variant: Option<VariantIndex>) -> Self {
        variant.map_or(Self::NoUnit, Self::BySplit)
    }
}

impl Decision {
    const fn of(variant: VariantIndex, fine: FineReason) -> Self {
        Self { variant: Some(variant), reason: Reason::TargetingMatch, fine, rule: None }
    }
}

impl<'r, 'c, 's, V: Visitor> Run<'r, 'c, 's, V> {
    pub(crate) fn new(
        snapshot: &'s Snapshot,
        asked: &'r Asker<'c>,
        visitor: &'r mut V,
        told: &'r mut Option<EvalError<'s>>,
    ) -> Self {
        Self { snapshot, asked, visitor, budget: Budget::default(), told }
    }

    #[cold]
    fn fail(&mut self, error: EvalError<'s>) -> Failed {
        *self.told = Some(error);
        Failed::Told
    }

    /// DESIGN §4, rows 2 to 9.
    #[inline(always)]
    pub(crate) fn decide(&mut self, flag: &'s Flag) -> Result<Decision, Failed> {
        // Most flags have nothing but rules.
        if V::LISTENS || self.asked.special || flag.quick != Quick::Rules {
            if let Some(decision) = self.before_confirmed(flag)? {
                return Ok(decision);
            }
            if let Some(decision) = self.before_rules(flag)? {
                return Ok(decision);
            }
        }
        self.ruled(flag)
    }

    /// Rows 2 and 3.
    #[inline(always)]
    fn before_confirmed(&mut self, flag: &'s Flag) -> Result<Option<Decision>, Failed> {
        if flag.movable() && !flag.enabled {
            self.visitor.visit(Event::Off);
            return self.settle(flag, &flag.off, Reason::Disabled, FineReason::Off).map(Some);
        }
        if !flag.killed_groups.is_empty() && self.killed(flag)? {
            let fine = FineReason::GroupKill;
            return self.settle(flag, &flag.off, Reason::Disabled, fine).map(Some);
        }
        match &flag.stale {
            Some(stale) if flag.movable() && self.asked.age > stale.after => {
                self.stale(flag, stale).map(Some)
            }
            _ => Ok(None),
        }
    }

    #[cold]
    fn stale(&mut self, flag: &'s Flag, stale: &'s Stale) -> Result<Decision, Failed> {
        self.visitor.visit(Event::Stale { age: self.asked.age, after: stale.after });
        match &stale.then {
            StaleAction::LastKnown => {
                let decision = match self.before_rules(flag)? {
                    Some(decision) => decision,
                    None => self.ruled(flag)?,
                };
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

    /// Rows 4 to 7, in their order.
    #[inline(always)]
    fn before_rules(&mut self, flag: &'s Flag) -> Result<Option<Decision>, Failed> {
        if flag.movable() && !self.prerequisites_met(flag)? {
            let fine = FineReason::PrerequisiteFailed;
            return self.settle(flag, &flag.off, Reason::Disabled, fine).map(Some);
        }
        // Most tenants have nothing of their own and most flags nothing for single ones.
        let special = V::LISTENS || self.asked.special || !flag.group_overrides.is_empty();
        if special && let Some(tenant) = self.asked.entry(self.snapshot) {
            let tenant = match tenant {
                Ok(tenant) => tenant,
                Err(error) => return Err(self.fail(error)),
            };
            if let Some(decision) = self.overridden(flag, tenant)? {
                return Ok(Some(decision));
            }
        }
        Ok(if flag.targets.is_empty() { None } else { self.targeted(flag) })
    }

    /// Rows 8 and 9.
    #[inline(always)]
    fn ruled(&mut self, flag: &'s Flag) -> Result<Decision, Failed> {
        let subject = self.subject();
        for (index, rule) in flag.rules.iter().enumerate() {
            let id = rule.id.as_str();
            self.visitor.visit(Event::RuleEntered { index, id });
            let held = rule.when.holds_at_once(subject, self)?;
            self.visitor.visit(Event::RuleDecided { id, held });
            if !held {
                continue;
            }
            // A rule whose split has no unit to hash does not match; the next rule is asked.
            let (variant, reason) = match self.outcome(flag, &rule.serve)? {
                Served::Plain(variant) => (variant, Reason::TargetingMatch),
                Served::BySplit(variant) => (Some(variant), Reason::Split),
                Served::NoUnit => continue,
            };
            let rule = u16::try_from(index).ok();
            return Ok(Decision { variant, reason, fine: FineReason::Rule, rule });
        }
        self.visitor.visit(Event::Fallthrough);
        self.settle(flag, &flag.fallthrough, Reason::Default, FineReason::Fallthrough)
    }

    /// Where the tenant's entry is malformed nothing is known of the tenant. Only outcomes that operators reach
    /// for when something is wrong are decided so; the others end before.
    #[inline]
    fn subject(&self) -> Subject<'r, 'c>
    where
        's: 'r,
    {
        Subject { asked: self.asked, snapshot: self.snapshot, element: None }
    }

    /// Row 4: every prerequisite is met.
    #[inline(always)]
    fn prerequisites_met(&mut self, flag: &'s Flag) -> Result<bool, Failed> {
        for test in &flag.prerequisites {
            if !self.flag_stands(test, None)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// An outcome that has no successor: a split without a unit is an error.
    #[inline(always)]
    fn settle(
        &mut self,
        flag: &'s Flag,
        serve: &'s Outcome,
        plain: Reason,
        fine: FineReason,
    ) -> Result<Decision, Failed> {
        let (variant, reason) = match self.outcome(flag, serve)? {
            Served::Plain(variant) => (variant, plain),
            Served::BySplit(variant) if plain == Reason::Default => (Some(variant), Reason::Split),
            Served::BySplit(variant) => (Some(variant), plain),
            Served::NoUnit => return Err(self.fail(EvalError::TargetingKeyMissing)),
        };
        Ok(Decision { variant, reason, fine, rule: None })
    }

    #[inline(always)]
    fn outcome(&mut self, flag: &Flag, serve: &'s Outcome) -> Result<Served, Failed> {
        Ok(match serve {
            Outcome::Variant(variant) => Served::Plain(Some(*variant)),
            Outcome::CallerDefault => Served::Plain(None),
            Outcome::Split(split) => Served::by_split(self.split(flag, split)),
            Outcome::Ramp(ramp) => Served::by_split(self.ramp(flag, ramp)),
            Outcome::Error(message) => return Err(self.fail(EvalError::Outcome(message))),
        })
    }

    #[inline(always)]
    fn split(&mut self, flag: &Flag, split: &'s Split) -> Option<VariantIndex> {
        let Placed { unit, found, bucket, fell_back } = split.by.place(self.subject());
        let variant = bucket.and_then(|bucket| split.variant_at(bucket));
        self.visitor.visit(Event::Split {
            unit,
            found,
            fell_back,
            buckets: split.by.hash.buckets(),
            bucket,
            bound: None,
            variant: variant.map(|variant| name(flag, variant)),
        });
        variant
    }

    fn ramp(&mut self, flag: &Flag, ramp: &'s Ramp) -> Option<VariantIndex> {
        let Placed { unit, found, bucket, fell_back } = ramp.by.place(self.subject());
        let bound = ramp.bound(self.asked.now());
        let chosen = |bucket| if bucket < bound { ramp.variant } else { ramp.rest };
        let variant = bucket.map(chosen);
        self.visitor.visit(Event::Split {
            unit,
            found,
            fell_back,
            buckets: ramp.by.hash.buckets(),
            bucket,
            bound: Some(bound),
            variant: variant.map(|variant| name(flag, variant)),
        });
        variant
    }

    /// Whether another flag is what it has to be. One that is not there is nothing; one that cannot answer
    /// leaves this flag without an answer, too. `depth` is the condition's; a prerequisite has none.
    #[inline(always)]
    pub(crate) fn flag_stands(
        &mut self,
        test: &'s FlagTest,
        depth: Option<u8>,
    ) -> Result<bool, Failed> {
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

    #[inline(always)]
    fn flag_is(&mut self, test: &'s FlagTest) -> Result<bool, Failed> {
        let flag = match self.snapshot.flag_at(&test.mark, test.flag.as_str()) {
            None => return Ok(false),
            Some(Err(fault)) => return Err(self.fail(EvalError::OtherMalformed(fault))),
            Some(Ok(flag)) => flag,
        };
        if flag.reads_tenant && self.asked.context.tenant().is_none() {
            return Err(self.fail(EvalError::TenantRequired));
        }
        match &test.is {
            FlagIs::Variants(variants) => {
                let decision = self.decide_other(flag)?;
                let answered = decision.variant.and_then(|variant| flag.variant(variant));
                Ok(answered.is_some_and(|it| variants.has_with(it.key.as_str(), it.ends)))
            }
            FlagIs::Off => self.is_off(flag),
            FlagIs::Enabled => self.is_off(flag).map(|off| !off),
        }
    }

    /// Another flag, that a flag or a segment asks for.
    #[inline(always)]
    fn decide_other(&mut self, flag: &'s Flag) -> Result<Decision, Failed> {
        match flag.quick.decision(self.asked.special).filter(|_| !V::LISTENS) {
            Some(decision) => Ok(decision),
            None => self.decide_apart(flag),
        }
    }

    #[inline(never)]
    fn decide_apart(&mut self, flag: &'s Flag) -> Result<Decision, Failed> {
        self.decide(flag)
    }

    #[inline(never)]
    fn is_off(&mut self, flag: &'s Flag) -> Result<bool, Failed> {
        Ok(flag.movable()
            && (!flag.enabled
                || (!flag.killed_groups.is_empty() && self.killed(flag)?)
                || !self.prerequisites_met(flag)?))
    }

    /// Whether who asks is in a segment.
    #[inline(never)]
    pub(crate) fn in_segment(
        &mut self,
        segment: &'s SegmentRef,
        subject: Subject<'_, '_>,
        depth: u8,
    ) -> Result<bool, Failed> {
        self.budget.enter()?;
        let key = segment.key.as_str();
        self.visitor.visit(Event::Asked { asked: Asked::Segment { depth }, key });
        let segment = match self.snapshot.segment_at(&segment.mark, key) {
            None => return Err(self.fail(EvalError::SegmentNotFound(key))),
            Some(Err(fault)) => return Err(self.fail(EvalError::SegmentMalformed(fault))),
            Some(Ok(segment)) => segment,
        };
        if segment.reads_tenant && self.asked.context.tenant().is_none() {
            return Err(self.fail(EvalError::TenantRequired));
        }
        let held = self.has(segment, Subject { element: None, ..subject })?;
        self.visitor.visit(Event::Told { held });
        self.budget.leave();
        Ok(held)
    }

    /// Excluded wins over included, included over the condition.
    #[inline(always)]
    fn has(&mut self, segment: &'s Segment, subject: Subject<'_, '_>) -> Result<bool, Failed> {
        let key = subject.key_of(&segment.entity);
        let listed = match key {
            Some(key) if segment.excludes(key) => Some(false),
            Some(key) if segment.includes(key) => Some(true),
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

pub(crate) fn name(flag: &Flag, variant: VariantIndex) -> &str {
    flag.variant(variant).map_or("", |variant| variant.key.as_str())
}
