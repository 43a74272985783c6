//! Upper and lower case as one, by Unicode's simple case folding, character by character: nothing grows, so nothing
//! is allocated.

use std::cmp::Ordering;

/// The character that stands for all of its cases.
pub(crate) fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    match c {
        // The dotless i is no case of i, though its capital is i's.
        'ı' => return c,
        // Letters that were encoded twice, whose capitals are three or two characters.
        '\u{1FD3}' => return '\u{390}',
        '\u{1FE3}' => return '\u{3B0}',
        '\u{FB05}' => return '\u{FB06}',
        _ => {}
    }
    let upper = only(c.to_uppercase()).unwrap_or(c);
    only(upper.to_lowercase()).unwrap_or(upper)
}

/// The one character that a mapping leads to; simple folding has no others.
fn only(mut mapped: impl Iterator<Item = char>) -> Option<char> {
    let first = mapped.next()?;
    mapped.next().is_none().then_some(first)
}

pub(crate) fn folded(text: &str) -> Box<str> {
    text.chars().map(fold).collect::<String>().into()
}

pub(crate) fn chars(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(fold)
}

/// Orders a text against one that is folded already.
pub(crate) fn compare(text: &str, folded: &str) -> Ordering {
    chars(text).cmp(folded.chars())
}

pub(crate) fn starts_with(text: &str, folded: &str) -> bool {
    let mut text = chars(text);
    folded.chars().all(|wanted| text.next() == Some(wanted))
}

pub(crate) fn ends_with(text: &str, folded: &str) -> bool {
    let mut text = text.chars().rev().map(fold);
    folded.chars().rev().all(|wanted| text.next() == Some(wanted))
}

/// A folded text to look for in others, in time proportional to theirs (Knuth, Morris and Pratt).
#[derive(Debug)]
pub(crate) struct Needle {
    chars: Box<[char]>,
    /// For each place, how many characters of the beginning are still matched when the next one does not fit.
    borders: Box<[usize]>,
}

impl Needle {
    pub(crate) fn new(folded: &str) -> Self {
        let chars: Box<[char]> = folded.chars().collect();
        let mut borders = vec![0; chars.len()];
        let mut matched = 0;
        for place in 1..chars.len() {
            let wanted = chars.get(place).copied();
            matched = advance(&chars, &borders, matched, wanted);
            if let Some(border) = borders.get_mut(place) {
                *border = matched;
            }
        }
        Self { chars, borders: borders.into() }
    }

    pub(crate) fn is_in(&self, text: &str) -> bool {
        let mut matched = 0;
        self.chars.is_empty()
            || chars(text).any(|c| {
                matched = advance(&self.chars, &self.borders, matched, Some(c));
                matched == self.chars.len()
            })
    }
}

/// How many characters are matched after one more was read.
fn advance(chars: &[char], borders: &[usize], mut matched: usize, read: Option<char>) -> usize {
    while matched > 0 && chars.get(matched).copied() != read {
        matched = borders.get(matched - 1).copied().unwrap_or(0);
    }
    matched + usize::from(chars.get(matched).copied() == read)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cases_are_one_and_other_letters_are_not() {
        for (a, b) in [
            ("STRASSE", "strasse"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("ÀÉ", "àé"),
            ("K", "k"),
            ("ẞ", "ß"),
            ("ſ", "S"),
            ("Ж", "ж"),
        ] {
            assert_eq!(folded(a), folded(b), "{a} {b}");
        }
        for (a, b) in [("ß", "ss"), ("ı", "i"), ("İ", "i"), ("a", "á"), ("é", "e\u{301}")] {
            assert_ne!(folded(a), folded(b), "{a} {b}");
        }
        for c in '\0'..=char::MAX {
            assert_eq!(fold(fold(c)), fold(c), "{c:?}");
        }
    }

    #[test]
    fn classes_are_those_of_unicode() {
        // The regular expressions' own table is another implementation of simple folding.
        for c in '\0'..=char::MAX {
            let mut class =
                regex_syntax::hir::ClassUnicode::new([regex_syntax::hir::ClassUnicodeRange::new(
                    c, c,
                )]);
            class.case_fold_simple();
            for range in class.ranges() {
                for other in range.start()..=range.end() {
                    assert_eq!(fold(other), fold(c), "{other:?} is a case of {c:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_needle_is_found_where_it_is(text in "[abAB]{0,12}", needle in "[abAB]{0,4}") {
            let (low, sought) = (text.to_lowercase(), folded(&needle));
            prop_assert_eq!(Needle::new(&sought).is_in(&text), low.contains(&*sought));
            prop_assert_eq!(starts_with(&text, &sought), low.starts_with(&*sought));
            prop_assert_eq!(ends_with(&text, &sought), low.ends_with(&*sought));
            prop_assert_eq!(compare(&text, &sought), low.as_str().cmp(&sought));
        }
    }
}
