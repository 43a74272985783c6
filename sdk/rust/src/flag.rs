//! Flags as code names them: a key, a type and the value to fall back on, in one constant.

use flagforge_flags::wire::ValueType;
use flagforge_flags::{FlagName, Value};
use serde_json::Value as Json;

/// A flag that code asks for: `const CHECKOUT: Flag<bool> = Flag::new("checkout.express", false);`.
///
/// The types are `bool`, `i64`, `f64`, `&'static str` and `&'static Json` (an object or array).
/// A flag of another type than the code's answers the default and `TYPE_MISMATCH`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flag<T> {
    name: FlagName<'static>,
    default: T,
}

impl<T: FlagType> Flag<T> {
    /// Names a flag. The default is what callers get whenever there is no answer.
    pub const fn new(key: &'static str, default: T) -> Self {
        Self { name: FlagName::new(key), default }
    }

    /// The flag's key.
    pub const fn key(&self) -> &'static str {
        self.name.key()
    }

    pub(crate) const fn name(&self) -> FlagName<'static> {
        self.name
    }

    pub(crate) fn default(&self) -> DefaultValue {
        T::plain(self.default)
    }

    /// What callers get when there is no answer.
    pub fn default_value<'f>(&self) -> T::Answer<'f> {
        T::answer(self.default)
    }
}

/// A flag's default, of whichever type it is, for those who hear of every flag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DefaultValue {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A text.
    String(&'static str),
    /// A JSON object or array.
    Object(&'static Json),
}

impl DefaultValue {
    /// The type.
    pub const fn value_type(self) -> ValueType {
        match self {
            Self::Boolean(_) => ValueType::Boolean,
            Self::Integer(_) => ValueType::Integer,
            Self::Number(_) => ValueType::Number,
            Self::String(_) => ValueType::String,
            Self::Object(_) => ValueType::Object,
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bool {}
    impl Sealed for i64 {}
    impl Sealed for f64 {}
    impl Sealed for &'static str {}
    impl Sealed for &'static serde_json::Value {}
}

/// The types that a flag's values have in code.
pub trait FlagType: sealed::Sealed + Copy {
    /// What asking gives: the type itself, borrowing from the manifest where it is a reference.
    type Answer<'f>;

    #[doc(hidden)]
    const WANT: ValueType;

    #[doc(hidden)]
    fn read(value: &Value) -> Option<Self::Answer<'_>>;

    #[doc(hidden)]
    fn answer<'f>(default: Self) -> Self::Answer<'f>;

    #[doc(hidden)]
    fn plain(default: Self) -> DefaultValue;
}

macro_rules! flag_type {
    ($type:ty, $answer:ty, $want:ident, $read:ident) => {
        impl FlagType for $type {
            type Answer<'f> = $answer;
            const WANT: ValueType = ValueType::$want;

            #[inline]
            fn read(value: &Value) -> Option<Self::Answer<'_>> {
                value.$read()
            }

            #[inline]
            fn answer<'f>(default: Self) -> Self::Answer<'f> {
                default
            }

            fn plain(default: Self) -> DefaultValue {
                DefaultValue::$want(default)
            }
        }
    };
}

flag_type!(bool, bool, Boolean, as_bool);
flag_type!(i64, i64, Integer, as_i64);
flag_type!(f64, f64, Number, as_f64);
flag_type!(&'static str, &'f str, String, as_str);
flag_type!(&'static Json, &'f Json, Object, as_object);

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Flag<&Json> = Flag::new("limits", &Json::Null);
    const THEME: Flag<&str> = Flag::new("theme", "plain");

    #[test]
    fn every_type_is_a_constant_with_its_default() {
        assert_eq!((LIMITS.key(), LIMITS.default_value()), ("limits", &Json::Null));
        assert_eq!(THEME.default_value(), "plain");
        assert!(Flag::new("on", true).default_value());
    }
}
