//! What an evaluation does, told as it happens: the evaluator calls a visitor, and explaining is a visitor.

use std::time::Duration;

use crate::answer::EvalError;
use crate::operators::Operands;
use crate::subject::Found;
use crate::wire::OperatorName;

/// Hears of every step of an evaluation, in order. `()` hears nothing and costs nothing.
pub trait Visitor {
    /// Whether anything hears the steps. Where nothing does, an answer that needs none is given without them.
    const LISTENS: bool = true;

    /// One step was taken.
    fn visit(&mut self, event: Event<'_>);
}

impl Visitor for () {
    const LISTENS: bool = false;

    #[inline(always)]
    fn visit(&mut self, _event: Event<'_>) {}
}

/// One step of an evaluation. It borrows: whoever keeps it copies what they need.
#[derive(Debug, Clone)]
pub enum Event<'e> {
    /// The flag was found, or not, or is malformed, or has another type.
    Flag {
        /// The key that was asked for.
        key: &'e str,
        /// Why there can be no answer.
        error: Option<EvalError<'e>>,
    },
    /// The flag is off here; its off outcome follows.
    Off,
    /// A kill switch for the tenants of a group was reached.
    GroupKill {
        /// The group.
        group: &'e str,
        /// Whether the tenant is in the group; then the flag's off outcome follows.
        member: bool,
    },
    /// The configuration is older than the flag allows; what the flag does then follows.
    Stale {
        /// The time since it was last confirmed.
        age: Duration,
        /// How old it may be.
        after: Duration,
    },
    /// Another flag or a segment is asked; its own steps follow, their depths counted from 0 again.
    Asked {
        /// Who asks.
        asked: Asked,
        /// The other flag's or the segment's key.
        key: &'e str,
    },
    /// It has answered.
    Told {
        /// Whether it is what it has to be.
        held: bool,
    },
    /// The lists of a segment were looked into.
    Listed {
        /// Who was looked for.
        key: Option<&'e str>,
        /// Whether they are in or out; `None` when neither list has them.
        included: Option<bool>,
    },
    /// The tenant was looked up in the directory.
    Tenant {
        /// The tenant; `None` is an untenanted context.
        key: Option<&'e str>,
        /// Whether the directory has it.
        known: bool,
    },
    /// The tenant's own override of this flag was looked for.
    TenantOverride {
        /// What it gives.
        variant: Option<&'e str>,
        /// Whether it counts no more.
        expired: bool,
    },
    /// An override for a group was reached.
    GroupOverride {
        /// The group.
        group: &'e str,
        /// What it gives its tenants.
        variant: &'e str,
        /// Whether the tenant is in the group.
        member: bool,
        /// Whether it counts no more.
        expired: bool,
    },
    /// A list of individual targets was reached.
    Target {
        /// Who was looked for.
        key: Option<&'e str>,
        /// What it gives.
        variant: &'e str,
        /// Whether they are on it.
        held: bool,
    },
    /// A rule begins.
    RuleEntered {
        /// Its place, from 0.
        index: usize,
        /// Its id.
        id: &'e str,
    },
    /// A rule's condition was decided; when it holds, its outcome follows.
    RuleDecided {
        /// Its id.
        id: &'e str,
        /// Whether its condition holds.
        held: bool,
    },
    /// A condition of parts begins.
    Enter {
        /// How deep it stands in its rule's condition, from 0.
        depth: u8,
        /// How its parts are joined.
        junction: Junction,
    },
    /// A condition of parts was decided.
    Leave {
        /// How deep it stands.
        depth: u8,
        /// How its parts are joined.
        junction: Junction,
        /// Whether it holds.
        held: bool,
    },
    /// The condition that always holds.
    Always {
        /// How deep it stands.
        depth: u8,
    },
    /// An attribute was tested.
    Test {
        /// How deep the test stands.
        depth: u8,
        /// The attribute's path.
        attribute: &'e str,
        /// The operator.
        operator: OperatorName,
        /// Whether the operator's answer is turned round.
        negate: bool,
        /// What the operator holds the attribute against.
        operands: &'e Operands,
        /// What stood there.
        found: Found<'e>,
        /// Whether the test holds.
        held: bool,
    },
    /// A condition on the elements of a list begins; for each element the condition's steps follow.
    Elements {
        /// How deep it stands.
        depth: u8,
        /// The list's path.
        attribute: &'e str,
        /// Whether every element has to stand it.
        every: bool,
        /// What stood there.
        found: Found<'e>,
    },
    /// The tenant was looked for in a group.
    InGroup {
        /// How deep the condition stands.
        depth: u8,
        /// The group.
        group: &'e str,
        /// Whether the tenant is in it.
        held: bool,
    },
    /// A percentage was asked as a condition.
    Rollout {
        /// How deep the condition stands.
        depth: u8,
        /// The path of its unit.
        unit: &'e str,
        /// The unit.
        found: Found<'e>,
        /// Whether further units were looked for, because the first has nothing to hash.
        fell_back: bool,
        /// How many buckets there are.
        buckets: u32,
        /// The unit's bucket; `None` when there is nothing to hash.
        bucket: Option<u32>,
        /// The first bucket for which it holds.
        from: u32,
        /// One past the last.
        until: u32,
        /// Whether it holds.
        held: bool,
    },
    /// A split or a ramp was reached.
    Split {
        /// The path of its unit.
        unit: &'e str,
        /// The unit.
        found: Found<'e>,
        /// Whether further units were looked for, because the first has nothing to hash.
        fell_back: bool,
        /// How many buckets there are.
        buckets: u32,
        /// The unit's bucket; `None` when the unit is missing or cannot be hashed, and the split does not match.
        bucket: Option<u32>,
        /// For a ramp, the bound at this instant.
        bound: Option<u32>,
        /// The variant whose range has the bucket.
        variant: Option<&'e str>,
    },
    /// No rule decided; the fallthrough's outcome follows.
    Fallthrough,
}

/// How the parts of a condition are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Junction {
    /// Every part holds.
    All,
    /// Some part holds.
    Any,
    /// The part does not hold.
    Not,
    /// Some element stands the part.
    AnyElement,
    /// Every element does.
    AllElements,
}

/// Who asks for another flag or a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A prerequisite, for another flag.
    Prerequisite,
    /// A condition, for another flag.
    Flag {
        /// How deep the condition stands.
        depth: u8,
    },
    /// A condition, for a segment.
    Segment {
        /// How deep the condition stands.
        depth: u8,
    },
}
