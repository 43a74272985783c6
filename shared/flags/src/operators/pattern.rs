//! Regular expressions that are searched in bounded time: linear in the text whatever they say, and refused where the
//! text is too long for what they say.

use regex::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind};

use crate::budget::{Budget, Failed};
use crate::text::clipped;

/// Bytes of an attribute that a regular expression may search.
pub const MAX_ATTRIBUTE_BYTES: usize = 8 * 1024;
/// Bytes of the text times positions of the expression: each pair may take 2 ns, all of them 4 ms. An expression of
/// 244 positions searches any text; one that repeats more searches shorter ones.
const MAX_PAIRS: usize = 2_000_000;
/// Bytes of one compiled regular expression.
const MAX_PROGRAM_BYTES: usize = 256 * 1024;
/// Bytes that a search may keep to be faster; it is as correct with less.
const MAX_SEARCH_BYTES: usize = 256 * 1024;
/// Levels of one regular expression, whose parser recurses.
const MAX_REGEX_DEPTH: u32 = 64;

/// A regular expression, and how long it is with all its repetitions written out.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    positions: usize,
}

impl Pattern {
    /// Compiles an expression, or says in a line why it is none.
    pub(crate) fn new(text: &str, ignore_case: bool) -> Result<Self, String> {
        let regex = RegexBuilder::new(text)
            .case_insensitive(ignore_case)
            .size_limit(MAX_PROGRAM_BYTES)
            .dfa_size_limit(MAX_SEARCH_BYTES)
            .nest_limit(MAX_REGEX_DEPTH)
            .build()
            .map_err(|error| reason(&error))?;
        let mut parser = ParserBuilder::new();
        parser.case_insensitive(ignore_case).nest_limit(MAX_REGEX_DEPTH).utf8(true);
        // The same parser has just taken it.
        let positions = parser.build().parse(text).map_or(usize::MAX, |hir| positions(&hir));
        Ok(Self { regex, positions })
    }

    pub(crate) fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// Whether it is somewhere in a text.
    pub(crate) fn is_in(&self, text: &str, budget: &mut Budget) -> Result<bool, Failed> {
        let pairs = text.len().saturating_mul(self.positions);
        if text.len() > MAX_ATTRIBUTE_BYTES || pairs > MAX_PAIRS {
            return Err(Failed::AttributeTooLong);
        }
        budget.search(text, 1)?;
        Ok(self.regex.is_match(text))
    }
}

/// How many places of an expression a search can be at. It recurses no deeper than [`MAX_REGEX_DEPTH`] allows.
fn positions(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        // Of a character of several bytes each byte is a place.
        HirKind::Class(_) => hir.properties().maximum_len().unwrap_or(1),
        HirKind::Repetition(repeated) => {
            let times = repeated.max.unwrap_or(repeated.min).max(repeated.min).max(1);
            positions(&repeated.sub).saturating_mul(usize::try_from(times).unwrap_or(usize::MAX))
        }
        HirKind::Capture(capture) => positions(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().fold(0_usize, |sum, part| sum.saturating_add(positions(part)))
        }
    }
}

/// What is wrong with a regular expression, without the drawing that points there.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(most) => {
            format!("the regular expression needs more than {most} bytes")
        }
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            clipped(last.trim().trim_start_matches("error: "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_written_out() {
        for (text, count) in [
            ("", 1),
            ("abc", 3),
            ("^a|bc$", 5),
            ("[a-z]", 1),
            ("a{9}", 9),
            ("(ab){3,5}", 10),
            ("(a{9}){9}*", 81),
            ("a{7,}", 7),
            ("a*", 1),
        ] {
            assert_eq!(Pattern::new(text, false).unwrap().positions, count, "{text}");
        }
        assert_eq!(Pattern::new("é", true).unwrap().positions, 2);
    }

    #[test]
    fn a_text_may_be_as_long_as_its_expression_leaves_it() {
        let found = |text: &str, length: usize| {
            let pattern = Pattern::new(text, false).unwrap();
            pattern.is_in(&"a".repeat(length), &mut Budget::default())
        };
        assert_eq!(found("a{244}", MAX_ATTRIBUTE_BYTES), Ok(true));
        assert_eq!(found("a", MAX_ATTRIBUTE_BYTES + 1), Err(Failed::AttributeTooLong));
        assert_eq!(found("a{1000}", MAX_PAIRS / 1_000), Ok(true));
        assert_eq!(found("a{1000}", MAX_PAIRS / 1_000 + 1), Err(Failed::AttributeTooLong));
    }
}
