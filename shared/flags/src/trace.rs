//! What an evaluation does, told as it happens: the evaluator calls a visitor, and explaining is a visitor.

use crate::answer::EvalError;
use crate::condition::{Found, Operands};
use crate::wire::OperatorName;

/// Hears of every step of an evaluation, in order. `()` hears nothing and costs nothing.
pub trait Visitor {
    /// One step was taken.
    fn visit(&mut self, event: Event<'_>);
}

impl Visitor for () {
    #[inline]
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
        error: Option<&'e EvalError>,
    },
    /// The flag is off here; its off outcome follows.
    Off,
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
    },
    /// An override for a group was reached.
    GroupOverride {
        /// The group.
        group: &'e str,
        /// What it gives its tenants.
        variant: &'e str,
        /// Whether the tenant is in the group.
        member: bool,
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
    /// A split was reached.
    Split {
        /// The path of its unit.
        unit: &'e str,
        /// The unit.
        found: Found<'e>,
        /// How many buckets there are.
        buckets: u32,
        /// The unit's bucket; `None` when the unit is missing or cannot be hashed, and the split does not match.
        bucket: Option<u32>,
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
}
