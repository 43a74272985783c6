//! Words that are spelled in more than one place: what may be a bare name, and operators' methods.

use crate::wire::OperatorName;

/// CEL's keywords: never a name, not even after a dot.
const KEYWORDS: [&str; 4] = ["true", "false", "null", "in"];

/// CEL's reserved words, and our `now`: no name to begin with, though one after a dot.
const RESERVED: [&str; 18] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "now",
];

/// Whether it can stand bare after a dot.
pub(super) fn is_selector(word: &str) -> bool {
    let mut bytes = word.bytes();
    let begins = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    begins && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') && !KEYWORDS.contains(&word)
}

/// Whether it can begin a path.
pub(super) fn is_name(word: &str) -> bool {
    is_selector(word) && !RESERVED.contains(&word)
}

/// Operators that are methods with any number of operands.
pub(super) const METHODS: [(&str, OperatorName); 8] = [
    ("contains", OperatorName::Contains),
    ("startsWith", OperatorName::StartsWith),
    ("endsWith", OperatorName::EndsWith),
    ("matches", OperatorName::Regex),
    ("deep_equals", OperatorName::DeepEquals),
    ("is_type", OperatorName::IsType),
    ("hash_equals", OperatorName::HashEquals),
    ("hash_prefix", OperatorName::HashPrefix),
];

/// What is compared with an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Value,
    Number,
    Text,
    Semver,
    LenientSemver,
    Date,
    Size,
}

/// Operators that are comparisons, by the kind of operand that tells them apart.
pub(super) const COMPARISONS: [(&str, Kind, OperatorName); 24] = [
    ("==", Kind::Value, OperatorName::Equals),
    ("<", Kind::Number, OperatorName::Less),
    ("<=", Kind::Number, OperatorName::LessOrEqual),
    (">", Kind::Number, OperatorName::Greater),
    (">=", Kind::Number, OperatorName::GreaterOrEqual),
    ("<", Kind::Text, OperatorName::TextLess),
    ("<=", Kind::Text, OperatorName::TextLessOrEqual),
    (">", Kind::Text, OperatorName::TextGreater),
    (">=", Kind::Text, OperatorName::TextGreaterOrEqual),
    ("==", Kind::Semver, OperatorName::SemverEquals),
    ("<", Kind::Semver, OperatorName::SemverLess),
    ("<=", Kind::Semver, OperatorName::SemverLessOrEqual),
    (">", Kind::Semver, OperatorName::SemverGreater),
    (">=", Kind::Semver, OperatorName::SemverGreaterOrEqual),
    ("==", Kind::LenientSemver, OperatorName::LenientSemverEquals),
    ("<", Kind::LenientSemver, OperatorName::LenientSemverLess),
    ("<=", Kind::LenientSemver, OperatorName::LenientSemverLessOrEqual),
    (">", Kind::LenientSemver, OperatorName::LenientSemverGreater),
    (">=", Kind::LenientSemver, OperatorName::LenientSemverGreaterOrEqual),
    ("<", Kind::Date, OperatorName::Before),
    (">", Kind::Date, OperatorName::After),
    ("==", Kind::Size, OperatorName::SizeEquals),
    ("<", Kind::Size, OperatorName::SizeLess),
    (">", Kind::Size, OperatorName::SizeGreater),
];
