//! Values that an attribute may equal.

use serde_json::Value as Json;

use super::fold::{self, folded};
use super::number::Num;
use super::text::{Scalar, Text};
use crate::key_set::KeySet;
use crate::wire::Comparison;

/// What `equals` and `one-of` hold an attribute against, brought into the form that the comparison asks for.
#[derive(Debug, Default)]
pub(crate) struct Set {
    yes: bool,
    no: bool,
    texts: KeySet,
    /// Where case does not matter, the texts instead: folded, ascending.
    folded: Box<[Box<str>]>,
    whole: Box<[i128]>,
    /// Fractions, and numbers beyond 64 bits.
    floats: Box<[f64]>,
}

impl Set {
    /// The set, or the place of the first value that cannot be in it and what it is.
    pub(crate) fn new(
        values: &[Json],
        compare: Comparison,
        ignore_case: bool,
    ) -> Result<Self, (usize, &'static str)> {
        let mut set = Self::default();
        let (mut texts, mut whole, mut floats) = (Vec::new(), Vec::new(), Vec::new());
        let mut text = |text: &str| {
            texts.push(if ignore_case { folded(text) } else { text.into() });
        };
        for (place, value) in values.iter().enumerate() {
            let scalar = Scalar::of(value).map_err(|what| (place, what))?;
            match (compare, scalar) {
                (Comparison::Number, scalar) => match number(scalar) {
                    Some(Num::Whole(value)) => whole.push(value),
                    Some(Num::Float(value)) => floats.push(value),
                    None => return Err((place, "what is no number")),
                },
                (Comparison::Text, scalar) => text(Text::of(scalar).as_str()),
                (Comparison::Typed, Scalar::Text(value)) => text(value),
                (Comparison::Typed, Scalar::Bool(yes)) => {
                    if yes {
                        set.yes = true
                    } else {
                        set.no = true
                    }
                }
                (Comparison::Typed, Scalar::Number(value)) => match Num::of(value) {
                    Some(Num::Whole(value)) => whole.push(value),
                    Some(Num::Float(value)) => floats.push(value),
                    None => return Err((place, "a number beyond 64 bits")),
                },
            }
        }
        whole.sort_unstable();
        (set.whole, set.floats) = (whole.into(), floats.into());
        if ignore_case {
            texts.sort();
            set.folded = texts.into();
        } else {
            set.texts = KeySet::new(texts);
        }
        Ok(set)
    }

    #[inline]
    pub(crate) fn has(&self, scalar: Scalar<'_>, compare: Comparison, ignore_case: bool) -> bool {
        match (compare, scalar) {
            (Comparison::Number, scalar) => number(scalar).is_some_and(|n| self.has_number(n)),
            (Comparison::Text, scalar) => self.has_text(Text::of(scalar).as_str(), ignore_case),
            (Comparison::Typed, Scalar::Text(text)) => self.has_text(text, ignore_case),
            (Comparison::Typed, Scalar::Bool(yes)) => {
                if yes {
                    self.yes
                } else {
                    self.no
                }
            }
            (Comparison::Typed, Scalar::Number(number)) => {
                Num::of(number).is_some_and(|n| self.has_number(n))
            }
        }
    }

    #[inline]
    fn has_text(&self, text: &str, ignore_case: bool) -> bool {
        if ignore_case {
            let found = self.folded.binary_search_by(|it| fold::compare(text, it).reverse());
            return found.is_ok();
        }
        self.texts.has(text)
    }

    fn has_number(&self, number: Num) -> bool {
        match number {
            Num::Whole(whole) => self.whole.binary_search(&whole).is_ok(),
            Num::Float(float) => self.floats.contains(&float),
        }
    }

    /// The values as people read them.
    pub(crate) fn shown(&self) -> impl Iterator<Item = String> {
        let texts = self.texts.iter().chain(self.folded.iter().map(AsRef::as_ref));
        let texts = texts.map(super::quoted);
        let numbers = self.whole.iter().map(ToString::to_string);
        texts
            .chain(numbers)
            .chain(self.floats.iter().map(ToString::to_string))
            .chain(self.yes.then(|| "true".into()))
            .chain(self.no.then(|| "false".into()))
    }
}

/// The number that a value is or that its text says.
pub(crate) fn number(scalar: Scalar<'_>) -> Option<Num> {
    match scalar {
        Scalar::Text(text) => Num::parse(text),
        Scalar::Number(number) => Num::of(number),
        Scalar::Bool(_) => None,
    }
}
