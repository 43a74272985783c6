//! Why a text is no condition.

use std::fmt;

use thiserror::Error;

/// Characters of the line to show on either side of the place.
const SHOWN: usize = 60;

/// Where a text stops being a condition. `Display` shows the line and points at the column.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct TextError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What could have stood there.
    pub expected: String,
    /// What stands there.
    pub found: String,
    /// The part of the line around the place, and how many characters of it come before.
    shown: (String, usize),
}

impl TextError {
    /// `at` is in bytes; a place inside a character or past the end is moved back to where one begins.
    pub(super) fn new(
        text: &str,
        at: usize,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let (before, after) = text.split_at(at);
        let start = before.rsplit('\n').next().unwrap_or_default();
        let column = start.chars().count();
        let kept = column.min(SHOWN);
        let rest = after.chars().take_while(|c| *c != '\n').take(SHOWN);
        let shown: String = start.chars().skip(column - kept).chain(rest).map(visible).collect();
        Self {
            line: before.matches('\n').count() + 1,
            column: column + 1,
            expected: expected.into(),
            found: found.into(),
            shown: (shown, kept),
        }
    }
}

/// One character for one character, so that the caret stays below its place.
fn visible(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, before) = &self.shown;
        write!(
            f,
            "line {}, column {}: expected {}, found {}\n  {shown}\n  {:before$}^",
            self.line, self.column, self.expected, self.found, "",
        )
    }
}
