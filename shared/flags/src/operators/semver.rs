//! Versions, ordered by Semantic Versioning 2.0.0 §11. Numbers are compared as digits, so none is too long.

use std::cmp::Ordering;
use std::fmt;

/// A version: of borrowed texts while it is read, of its own in a flag. Build metadata is checked and dropped, for
/// it has no part in precedence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version<T> {
    /// Major, minor and patch without leading zeros; an empty text is 0.
    core: [T; 3],
    /// What follows `-`; empty when there is none.
    pre: T,
    /// The whole of it, when it is [`plain`].
    plain: Option<Plain>,
}

/// Three numbers and nothing else, as almost all versions are.
pub(crate) type Plain = [u32; 3];

/// Reads three numbers without leading zeros and with nothing around them, of at most 9 digits each so that 32 bits
/// hold them; every other version, and what is none, takes the long way.
#[inline]
pub(crate) fn plain(text: &str) -> Option<Plain> {
    match text.as_bytes() {
        // Most texts are no version: their first and last bytes say so.
        [b'0'..=b'9', .., b'0'..=b'9'] => plain_bytes(text.as_bytes()),
        _ => None,
    }
}

fn plain_bytes(bytes: &[u8]) -> Option<Plain> {
    const MAX_DIGITS: u32 = 9;
    let (mut done, mut places) = ([0; 2], 0);
    let (mut number, mut digits) = (0_u32, 0);
    for byte in bytes {
        match byte {
            b'0'..=b'9' if digits < MAX_DIGITS && (digits == 0 || number > 0) => {
                number = number * 10 + u32::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && places < 2 => {
                done = [done[1], number];
                (number, digits, places) = (0, 0, places + 1);
            }
            _ => return None,
        }
    }
    (places == 2 && digits > 0).then_some([done[0], done[1], number])
}

impl<'a> Version<&'a str> {
    pub(crate) fn read(text: &'a str, lenient: bool) -> Option<Self> {
        if lenient { Self::lenient(text) } else { Self::strict(text) }
    }

    /// Three numbers without leading zeros, and well-formed suffixes.
    fn strict(text: &'a str) -> Option<Self> {
        let (core, pre) = parts(text)?;
        let version = Self::of(core, pre)?;
        let exact = core.split('.').count() == 3
            && core.split('.').all(|number| number == "0" || !number.starts_with('0'))
            && pre.split('.').all(|part| !numeric(part) || part == "0" || !part.starts_with('0'));
        exact.then_some(version)
    }

    /// One to three numbers with or without a leading `v`; missing ones are 0.
    fn lenient(text: &'a str) -> Option<Self> {
        let (core, pre) = parts(text.strip_prefix(['v', 'V']).unwrap_or(text))?;
        Self::of(core, pre)
    }

    fn of(core: &'a str, pre: &'a str) -> Option<Self> {
        let mut numbers = [""; 3];
        let mut written = core.split('.');
        for (place, number) in numbers.iter_mut().enumerate() {
            match written.next() {
                Some(digits) if numeric(digits) => *number = digits.trim_start_matches('0'),
                None if place > 0 => {}
                _ => return None,
            }
        }
        written.next().is_none().then_some(Self { core: numbers, pre, plain: None })
    }

    pub(crate) fn kept(self) -> Version<Box<str>> {
        let mut kept =
            Version { core: self.core.map(Box::from), pre: self.pre.into(), plain: None };
        kept.plain = plain(&kept.to_string());
        kept
    }
}

impl<T: AsRef<str>> Version<T> {
    /// How a plain version stands to this one, if this one is plain.
    #[inline]
    pub(crate) fn against(&self, other: Plain) -> Option<Ordering> {
        self.plain.map(|plain| other.cmp(&plain))
    }

    pub(crate) fn precedence<U: AsRef<str>>(&self, other: &Version<U>) -> Ordering {
        for (a, b) in self.core.iter().zip(&other.core) {
            let order = by_number(a.as_ref(), b.as_ref());
            if order.is_ne() {
                return order;
            }
        }
        by_pre_release(self.pre.as_ref(), other.pre.as_ref())
    }
}

impl<T: AsRef<str>> fmt::Display for Version<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, number) in self.core.iter().map(AsRef::as_ref).enumerate() {
            let dot = if place == 0 { "" } else { "." };
            write!(f, "{dot}{}", if number.is_empty() { "0" } else { number })?;
        }
        let pre = self.pre.as_ref();
        if pre.is_empty() { Ok(()) } else { write!(f, "-{pre}") }
    }
}

/// The numbers and the pre-release part, both suffixes being well-formed.
fn parts(text: &str) -> Option<(&str, &str)> {
    let (rest, build) = cut(text, '+');
    let (core, pre) = cut(rest, '-');
    let formed = |suffix: Option<&str>| suffix.is_none_or(|s| s.split('.').all(identifier));
    (formed(build) && formed(pre)).then(|| (core, pre.unwrap_or_default()))
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn identifier(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn numeric(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())
}

/// Orders digits without leading zeros.
fn by_number(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn by_pre_release(a: &str, b: &str) -> Ordering {
    // A version without a pre-release part comes after those with one.
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (numeric(a), numeric(b)) {
                (true, true) => by_number(a.trim_start_matches('0'), b.trim_start_matches('0')),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => a.cmp(b),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence_is_the_specifications() {
        let ascending = [
            "0.0.0-0",
            "0.0.0",
            "0.9.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.10",
            "1.2.0",
            "2.0.0",
            "99999999999999999999999.0.0",
            "100000000000000000000000.0.0",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                let (a, b) = (Version::strict(a).unwrap(), Version::strict(b).unwrap());
                assert_eq!(a.precedence(&b), i.cmp(&j), "{a} against {b}");
                assert_eq!(a.clone().kept().precedence(&b), i.cmp(&j));
            }
        }
        let same = |a, b| Version::strict(a).unwrap().precedence(&Version::strict(b).unwrap());
        assert_eq!(same("1.0.0+a", "1.0.0+b.2"), Ordering::Equal);
    }

    #[test]
    fn the_short_way_and_the_long_one_agree() {
        let texts = [
            "0.0.0",
            "1.2.3",
            "1.10.0",
            "2.3.1",
            "10.0.0",
            "999999999.0.0",
            "1000000000.0.0",
            "1.2.3-rc.1",
            "1.2.3+build",
            "01.2.3",
            "1.2",
            "1.2.3.4",
            "1..3",
            "",
            "1.2.x",
        ];
        for a in texts {
            let (short, long) = (plain(a), Version::strict(a));
            assert!(short.is_none() || long.is_some(), "{a}");
            for b in texts.iter().filter_map(|b| Version::strict(b)) {
                let b = b.kept();
                if let Some(order) = short.and_then(|short| b.against(short)) {
                    assert_eq!(order, long.as_ref().unwrap().precedence(&b), "{a} against {b}");
                }
            }
        }
        assert_eq!(plain("1.2.3"), Some([1, 2, 3]));
        assert!(plain("999999999.0.0").is_some() && plain("1000000000.0.0").is_none());
    }

    #[test]
    fn strict_takes_versions_and_lenient_takes_more() {
        for good in
            ["1.2.3", "0.0.0", "1.0.0-0a", "1.0.0-a.0", "1.0.0--", "1.0.0+001", "1.0.0-a+b-c"]
        {
            assert!(Version::strict(good).is_some(), "{good}");
            assert!(Version::lenient(good).is_some(), "{good}");
        }
        for (loose, exact) in [
            ("1", "1.0.0"),
            ("v1.2", "1.2.0"),
            ("V1.2.3", "1.2.3"),
            ("01.02.03", "1.2.3"),
            ("1.2-rc", "1.2.0-rc"),
            ("1-01", "1.0.0-01"),
        ] {
            assert_eq!(Version::strict(loose), None, "{loose}");
            assert_eq!(Version::lenient(loose).unwrap().to_string(), exact);
        }
        for bad in [
            "",
            "v",
            ".",
            "1.",
            ".1",
            "1..2",
            "1.2.3.4",
            "a",
            "1.a.0",
            "1.0.0-",
            "1.0.0+",
            "1.0.0-a..b",
            "1.0.0-é",
            " 1.0.0",
            "1.0.0 ",
            "-1.0.0",
            "vv1",
            "1.0.0+a+b",
            "١.0.0",
        ] {
            assert_eq!(Version::strict(bad), None, "{bad}");
            assert_eq!(Version::lenient(bad), None, "{bad}");
        }
    }
}
