//! Conditions as people write them: a subset of CEL, ⇄ the tree. `docs/conditions.md` is its grammar.
//!
//! ```
//! use flagforge_flags::text_form::{parse, print};
//!
//! let text = r#"tenant.plan in ["gold"] && user.app_version >= semver("2.3.0")"#;
//! assert_eq!(print(&parse(text)?), text);
//!
//! let error = parse("user.age >= ").unwrap_err();
//! assert_eq!((error.line, error.column), (1, 13));
//! # Ok::<(), flagforge_flags::text_form::TextError>(())
//! ```
//!
//! `parse(print(tree))` is `tree` for every tree that compiles; `print(parse(text))` is the
//! canonical form, and canonical text comes back as it is.

mod attribute;
mod error;
mod lexer;
mod literal;
mod names;
mod parser;
mod print;
#[cfg(test)]
mod tests;

use crate::wire::ConditionWire;

pub use error::TextError;
pub use print::print;

/// Bytes of a text: as many as the whole flag may have, whose JSON is longer than the text of its conditions.
pub const MAX_TEXT_BYTES: usize = crate::compile::MAX_FLAG_BYTES;

/// Parentheses, `!` and calls inside one another. A tree at the limit of
/// [`MAX_CONDITION_DEPTH`](crate::compile::MAX_CONDITION_DEPTH) needs one a level, and one more around a
/// test with options; as many again are left for parentheses that need not be there. The stack holds
/// five frames a level.
pub const MAX_TEXT_DEPTH: usize = 2 * crate::compile::MAX_CONDITION_DEPTH;

/// Lists and objects inside one another: as many as JSON is read with.
pub const MAX_LITERAL_DEPTH: usize = 128;

/// Reads a condition. The tree still has to compile: whether an operator takes an operand of that type
/// is not asked here.
///
/// # Errors
/// [`TextError`] says where, what was expected there and what was found.
pub fn parse(text: &str) -> Result<ConditionWire, TextError> {
    if text.len() > MAX_TEXT_BYTES {
        let expected = format!("at most {MAX_TEXT_BYTES} bytes");
        return Err(TextError::new(text, MAX_TEXT_BYTES, expected, format!("{}", text.len())));
    }
    parser::Parser::new(text).whole()
}
