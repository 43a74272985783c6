//! How much one answer may cost. Limits on a flag bound what it asks for itself; these bound what flags, segments and
//! lists ask for together.

use crate::answer::EvalError;

/// How deep flags and segments may ask for other flags and segments. A level takes at most some 30 KB of stack in a
/// build without optimization, so all of them fit a thread's 2 MiB several times.
pub const MAX_PREREQUISITE_DEPTH: usize = 16;
/// Flags and segments that one answer may ask for. A flag of 200 rules that each ask for two segments stays below.
pub const MAX_NESTED_EVALUATIONS: usize = 1_000;
/// Conditions, list elements and stretches of 8 bytes of searched text that one answer may look at: fifty times
/// what one flag may have, some milliseconds.
pub const MAX_STEPS: usize = 100_000;

/// Bytes of text that are searched in about the time of one condition.
const BYTES_A_STEP: usize = 8;

/// Why there will be no answer: a byte, where the error that callers see is twenty-four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    NestedTooDeep,
    OverBudget,
    AttributeTooLong,
    /// The run has been told what it is.
    Told,
}

impl Failed {
    /// What the answer says of it; `told` is what the run was told.
    pub(crate) fn error(self, told: Option<EvalError<'_>>) -> EvalError<'_> {
        match self {
            Self::NestedTooDeep => EvalError::NestedTooDeep,
            Self::AttributeTooLong => EvalError::AttributeTooLong,
            Self::OverBudget => EvalError::OverBudget,
            // Whoever says that it was told has told it.
            Self::Told => told.unwrap_or(EvalError::OverBudget),
        }
    }
}

/// What an answer has spent.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    depth: usize,
    nested: usize,
    steps: usize,
}

impl Budget {
    #[inline]
    pub(crate) fn spend(&mut self, steps: usize) -> Result<(), Failed> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_STEPS { Err(Failed::OverBudget) } else { Ok(()) }
    }

    /// Searching a text for so many operands.
    pub(crate) fn search(&mut self, text: &str, operands: usize) -> Result<(), Failed> {
        self.spend((text.len() / BYTES_A_STEP).saturating_mul(operands))
    }

    /// Another flag or segment is asked.
    #[inline]
    pub(crate) fn enter(&mut self) -> Result<(), Failed> {
        (self.depth, self.nested) = (self.depth + 1, self.nested + 1);
        if self.depth > MAX_PREREQUISITE_DEPTH {
            return Err(Failed::NestedTooDeep);
        }
        if self.nested > MAX_NESTED_EVALUATIONS { Err(Failed::OverBudget) } else { Ok(()) }
    }

    /// It has answered.
    #[inline]
    pub(crate) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }
}
