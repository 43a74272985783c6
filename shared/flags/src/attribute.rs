//! Attributes as callers give them: borrowed where they can be, so that describing who asks allocates nothing.

use std::borrow::Cow;

use serde_json::{Number, Value as Json};
use xxhash_rust::const_xxh3;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::context::USER;
use crate::key_set::Ends;
use crate::operators::number::exact;
use crate::operators::semver::{Plain, plain};

/// The value of an attribute. Made by `Into` from booleans, numbers, texts and JSON, owned or borrowed; a number that
/// is not finite and an absent `Option` are null, and null is as good as missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute<'c>(pub(crate) Content<'c>);

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content<'c> {
    Null,
    Bool(bool),
    Number(Number),
    Text(&'c str),
    OwnText(Box<str>),
    Json(&'c Json),
    OwnJson(Box<Json>),
}

/// What most tests ask of a value, found out once for all of them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Traits {
    /// They have to look at the value itself.
    Unknown,
    Text {
        ends: Ends,
        version: Option<Plain>,
    },
    /// A number that a float is exactly.
    Number(f64),
}

impl Traits {
    #[inline]
    pub(crate) fn of(value: &Attribute<'_>) -> Self {
        match &value.0 {
            Content::Text(text) => Self::Text { ends: Ends::of(text), version: plain(text) },
            Content::Number(number) => exact(number).map_or(Self::Unknown, Self::Number),
            _ => Self::Unknown,
        }
    }
}

impl Attribute<'_> {
    /// The same, borrowing from this one.
    pub(crate) fn borrowed(&self) -> Attribute<'_> {
        Attribute(match &self.0 {
            Content::Null => Content::Null,
            Content::Bool(yes) => Content::Bool(*yes),
            Content::Number(number) => Content::Number(number.clone()),
            Content::Text(text) => Content::Text(text),
            Content::OwnText(text) => Content::Text(text),
            Content::Json(json) => Content::Json(json),
            Content::OwnJson(json) => Content::Json(json),
        })
    }
}

impl<'c> From<&'c str> for Attribute<'c> {
    #[inline]
    fn from(text: &'c str) -> Self {
        Self(Content::Text(text))
    }
}

impl<'c> From<&'c String> for Attribute<'c> {
    fn from(text: &'c String) -> Self {
        Self(Content::Text(text))
    }
}

impl From<String> for Attribute<'_> {
    fn from(text: String) -> Self {
        Self(Content::OwnText(text.into()))
    }
}

impl<'c> From<Cow<'c, str>> for Attribute<'c> {
    fn from(text: Cow<'c, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl From<bool> for Attribute<'_> {
    #[inline]
    fn from(yes: bool) -> Self {
        Self(Content::Bool(yes))
    }
}

impl From<f64> for Attribute<'_> {
    #[inline]
    fn from(number: f64) -> Self {
        Self(Number::from_f64(number).map_or(Content::Null, Content::Number))
    }
}

impl From<f32> for Attribute<'_> {
    fn from(number: f32) -> Self {
        f64::from(number).into()
    }
}

impl<'c, T: Into<Attribute<'c>>> From<Option<T>> for Attribute<'c> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self(Content::Null), Into::into)
    }
}

impl<T: Into<Json>> From<Vec<T>> for Attribute<'_> {
    fn from(list: Vec<T>) -> Self {
        Json::from(list).into()
    }
}

impl From<Json> for Attribute<'_> {
    fn from(json: Json) -> Self {
        Self(match json {
            Json::Null => Content::Null,
            Json::Bool(yes) => Content::Bool(yes),
            Json::Number(number) => Content::Number(number),
            Json::String(text) => Content::OwnText(text.into()),
            json @ (Json::Array(_) | Json::Object(_)) => Content::OwnJson(Box::new(json)),
        })
    }
}

impl<'c> From<&'c Json> for Attribute<'c> {
    fn from(json: &'c Json) -> Self {
        Self(match json {
            Json::Null => Content::Null,
            Json::Bool(yes) => Content::Bool(*yes),
            Json::Number(number) => Content::Number(number.clone()),
            Json::String(text) => Content::Text(text),
            Json::Array(_) | Json::Object(_) => Content::Json(json),
        })
    }
}

macro_rules! whole_numbers {
    ($($type:ty)*) => {$(
        impl From<$type> for Attribute<'_> {
            #[inline]
            fn from(number: $type) -> Self {
                Self(Content::Number(number.into()))
            }
        }
    )*};
}

whole_numbers!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

/// What an attribute is found by: the hash of its name, seeded by its entity's kind.
///
/// Names are not compared once more. Two of a context's names that share a hash of 64 bits are less likely than a
/// fault of the memory that they stand in; and whoever may choose a name so that it is taken for another could as well
/// have sent that other name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttributeId(u64);

impl AttributeId {
    /// No attribute's, so far as a hash can be nobody's.
    pub(crate) const NONE: Self = Self(0);

    #[inline]
    pub(crate) fn of_user(name: &str) -> Self {
        const USER_SEED: u64 = const_xxh3::xxh3_64(USER.as_bytes());
        Self(xxh3_64_with_seed(name.as_bytes(), USER_SEED))
    }

    /// Of an entity's own key.
    pub(crate) fn of_key(kind: &str) -> Self {
        Self(xxh3_64(kind.as_bytes()))
    }

    pub(crate) fn of(kind: &str, name: &str) -> Self {
        if kind == USER {
            return Self::of_user(name);
        }
        Self(xxh3_64_with_seed(name.as_bytes(), xxh3_64(kind.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_is_found_by_its_kind_and_itself() {
        let seeded = AttributeId(xxh3_64_with_seed(b"plan", xxh3_64(USER.as_bytes())));
        assert_eq!(AttributeId::of(USER, "plan"), seeded);
        assert_ne!(AttributeId::of("device", "plan"), seeded);
        assert_ne!(AttributeId::of(USER, "plans"), seeded);
    }

    #[test]
    fn whatever_it_is_made_from_it_is_the_same() {
        let text = String::from("x");
        for same in [Attribute::from("x"), (&text).into(), Cow::from("x").into()] {
            assert_eq!(same.borrowed(), Attribute(Content::Text("x")));
        }
        let number = Attribute::from(7);
        for same in [7_u8.into(), 7_i64.into(), Some(7_usize).into(), json!(7).into()] {
            assert_eq!(number, same);
        }
        let nulls = [Attribute::from(f64::NAN), f32::INFINITY.into(), None::<bool>.into()];
        assert!(nulls.into_iter().chain([json!(null).into()]).all(|it| it.0 == Content::Null));
        let list = json!(["a", 1]);
        assert_eq!(Attribute::from(&list), Attribute::from(list.clone()).borrowed());
        assert_eq!(Attribute::from(json!("x")).borrowed(), Attribute::from("x"));
        assert_eq!(Attribute::from(vec!["a"]), Attribute::from(json!(["a"])));
    }
}
