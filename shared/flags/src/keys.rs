//! Names, parsed once: a key that exists is a key that is valid, and keys of two kinds do not mix.
//!
//! Two grammars. A *slug* (organizations, environments, roles, reporters) goes into table keys, object names and host
//! names: 1–40 bytes of `a-z`, `0-9` and `-`, beginning and ending with a letter or digit. A *name* (flags, tenants, groups,
//! variants, rules) comes from other people's systems: 1–128 bytes of UTF-8 without control
//! characters, without `/ ? # % \ "`, neither beginning nor ending with a space, and neither `.` nor `..`.
//! `/ ? #` are out because some OFREP clients do not percent-encode keys; `#` separates parts of table keys.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bytes of a slug. Two slugs and a digest stay far below every store's bound on key length.
pub const MAX_SLUG_BYTES: usize = 40;
/// Bytes of a name. Three names fit DynamoDB's sort key (1,024 bytes) twice over.
pub const MAX_NAME_BYTES: usize = 128;

/// Why a text is not a key. `Display` is a sentence for the person who sent it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind} {fault}")]
pub struct KeyError {
    /// What the key would have named, say `tenant key`.
    pub kind: &'static str,
    /// What is wrong with it.
    pub fault: KeyFault,
}

/// The ways a text can fail to be a key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyFault {
    /// No bytes at all.
    #[error("is empty")]
    Empty,
    /// More bytes than the grammar's limit.
    #[error("has {actual} bytes; the limit is {limit}")]
    TooLong {
        /// The grammar's limit in bytes.
        limit: usize,
        /// The length in bytes of what was given.
        actual: usize,
    },
    /// A character that the grammar does not have.
    #[error("has the character {0:?}, which is not allowed")]
    Character(char),
    /// A first or last character, or a whole text, that the grammar does not allow.
    #[error("may not begin or end so, or be '.' or '..'")]
    Edge,
}

fn slug(text: &str) -> Result<(), KeyFault> {
    bounded(text, MAX_SLUG_BYTES)?;
    if let Some(bad) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Err(KeyFault::Character(bad));
    }
    if text.starts_with('-') || text.ends_with('-') { Err(KeyFault::Edge) } else { Ok(()) }
}

fn name(text: &str) -> Result<(), KeyFault> {
    bounded(text, MAX_NAME_BYTES)?;
    // U+10FFFF is the platform's upper bound of key ranges, so no key may hold it.
    let outlawed =
        |c: &char| c.is_control() || matches!(c, '/' | '?' | '#' | '%' | '\\' | '"' | '\u{10FFFF}');
    if let Some(bad) = text.chars().find(outlawed) {
        return Err(KeyFault::Character(bad));
    }
    let padded = text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace);
    if padded || text == "." || text == ".." { Err(KeyFault::Edge) } else { Ok(()) }
}

fn bounded(text: &str, limit: usize) -> Result<(), KeyFault> {
    match text.len() {
        0 => Err(KeyFault::Empty),
        actual if actual > limit => Err(KeyFault::TooLong { limit, actual }),
        _ => Ok(()),
    }
}

macro_rules! key {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $grammar:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
        pub struct $type(Box<str>);

        impl $type {
            /// Parses a key; the error names the kind of key and the limit.
            pub fn new(text: &str) -> Result<Self, KeyError> {
                match $grammar(text) {
                    Ok(()) => Ok(Self(text.into())),
                    Err(fault) => Err(KeyError { kind: $kind, fault }),
                }
            }

            /// The key's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = KeyError;
            fn from_str(text: &str) -> Result<Self, KeyError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = KeyError;
            fn try_from(text: String) -> Result<Self, KeyError> {
                // The text is kept, not copied: a manifest has tens of thousands of keys.
                $grammar(&text)
                    .map(|()| Self(text.into()))
                    .map_err(|fault| KeyError { kind: $kind, fault })
            }
        }

        impl From<$type> for String {
            fn from(key: $type) -> Self {
                key.0.into()
            }
        }
    };
}

key!(
    /// An organization: the company with an account here. A slug.
    OrgKey, "organization key", slug
);
key!(
    /// An environment of an organization. A slug.
    EnvKey, "environment key", slug
);
key!(
    /// A role that an organization made for itself. A slug.
    RoleKey, "role key", slug
);
key!(
    /// An issuer whose tokens an organization believes. A slug.
    IssuerKey, "issuer key", slug
);
key!(
    /// A flag of an organization. A name.
    FlagKey, "flag key", name
);
key!(
    /// A tenant: a customer of an organization. A name.
    TenantKey, "tenant key", name
);
key!(
    /// A tenant group. A name.
    GroupKey, "group key", name
);
key!(
    /// A variant of a flag. A name.
    VariantKey, "variant key", name
);
key!(
    /// A segment: a saved set of users, per environment. A name.
    SegmentKey, "segment key", name
);
key!(
    /// A rule of a flag's state; it never changes while the rule lives. A name.
    RuleId, "rule id", name
);
key!(
    /// A process that says which revision it has applied, drawn by lot when it starts. A slug.
    ReporterId, "reporter id", slug
);
key!(
    /// What a host calls itself to people, say `checkout`. A name.
    ReporterName, "reporter name", name
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_at_the_limit_and_one_past_it() {
        assert!(OrgKey::new(&"a".repeat(MAX_SLUG_BYTES)).is_ok());
        let fault = OrgKey::new(&"a".repeat(MAX_SLUG_BYTES + 1)).unwrap_err();
        assert_eq!(fault.to_string(), "organization key has 41 bytes; the limit is 40");
        assert!(FlagKey::new(&"é".repeat(MAX_NAME_BYTES / 2)).is_ok());
        assert!(FlagKey::new(&"x".repeat(MAX_NAME_BYTES + 1)).is_err());
        assert_eq!(FlagKey::new("").unwrap_err().fault, KeyFault::Empty);
    }

    #[test]
    fn characters_of_other_peoples_systems_pass_and_separators_do_not() {
        for good in ["new-dashboard", "checkout.express", "With spaces", "🚀", "a:b@c+d~e", "Ünï"]
        {
            assert!(FlagKey::new(good).is_ok(), "{good}");
        }
        for bad in [
            "a/b",
            "a?b",
            "a#b",
            "a%b",
            "a\\b",
            "a\"b",
            "a\nb",
            " a",
            "a ",
            ".",
            "..",
            "\u{10FFFF}",
        ] {
            assert!(FlagKey::new(bad).is_err(), "{bad:?}");
        }
        for bad in ["Demo", "de mo", "-demo", "demo-", "d_emo", "dé"] {
            assert!(OrgKey::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn deserializing_goes_through_the_constructor() {
        assert!(serde_json::from_str::<EnvKey>("\"prod\"").is_ok());
        assert!(serde_json::from_str::<EnvKey>("\"PROD\"").is_err());
        assert_eq!(serde_json::to_string(&FlagKey::new("a b").unwrap()).unwrap(), "\"a b\"");
    }
}
