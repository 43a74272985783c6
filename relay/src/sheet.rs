//! What the answers to all flags are made of. Everything that does not depend on who asks is written once for a
//! manifest, so that answering copies pieces of text.

use std::io::Write as _;

use flagforge_flags::{Answer, Flag, FlagPlace, Pinned, Reason, Snapshot, Times};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use crate::ofrep::reason;

/// Whose flags are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    All,
    /// Those that keys of clients may see.
    ClientVisible,
}

/// All flags of a manifest, sorted by their keys.
#[derive(Debug)]
pub(crate) struct Sheet {
    lines: Box<[Line]>,
    /// Differs where any of the text below does.
    digest: u128,
    /// Bytes of the longest answer there can be to all of them, and to those that clients see; errors and the ids of rules
    /// left out.
    longest: [usize; 2],
    times: Times,
}

#[derive(Debug)]
struct Line {
    place: FlagPlace,
    client_visible: bool,
    /// `{"key":"k"`, for errors.
    key: Box<[u8]>,
    variants: Box<[Variant]>,
    /// The same without a value, for the caller's own default.
    caller_default: Box<[u8]>,
    /// From the flag's version on to the end.
    tail: Box<[u8]>,
}

#[derive(Debug)]
struct Variant {
    name: Box<str>,
    /// From the flag's key on until before the reason.
    text: Box<[u8]>,
}

/// What is between a reason and a fine one.
const FINE: &[u8] = br#"","metadata":{"fineReason":""#;
/// Bytes that are taken at once for an answer: of 4,000 flags. Where values are large, few of them are the largest.
const MAX_RESERVED: usize = 1024 * 1024;
/// Of a rule's id, and whatever stands between the pieces.
const BESIDES: usize = 128;

impl Sheet {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let places = snapshot.places();
        let lines: Box<[Line]> = (places.into_iter())
            .map(|(key, place)| Line::of(key, place, snapshot.flag_in(place)))
            .collect();
        let visible = lines.iter().filter(|line| line.client_visible);
        let longest = [lines.iter().map(Line::longest).sum(), visible.map(Line::longest).sum()];
        let mut digests = Vec::with_capacity(lines.len() * 2 * size_of::<u128>());
        for line in &lines {
            let pieces = [&line.key, &line.tail].into_iter();
            for piece in pieces.chain(line.variants.iter().map(|variant| &variant.text)) {
                digests.extend(xxh3_128(piece).to_le_bytes());
            }
        }
        Self { lines, digest: xxh3_128(&digests), longest, times: Times::of(snapshot) }
    }

    pub(crate) const fn digest(&self) -> u128 {
        self.digest
    }

    /// When its answers may become others.
    pub(crate) const fn times(&self) -> &Times {
        &self.times
    }

    fn lines(&self, seen: Seen) -> impl Iterator<Item = &Line> {
        let seen = move |line: &&Line| seen == Seen::All || line.client_visible;
        self.lines.iter().filter(seen)
    }

    /// What tells this answer from every other that the same sheet can give.
    pub(crate) fn decisions(&self, seen: Seen, pinned: &Pinned<'_, &Snapshot>) -> Vec<u8> {
        let mut decisions = Vec::with_capacity(self.lines.len() * 8);
        for line in self.lines(seen) {
            if let Some(answer) = pinned.answer_in(line.place) {
                line.decide(&answer, &mut decisions);
            }
        }
        decisions
    }

    /// `[{…},{…}]`, and what [`Sheet::decisions`] says of it.
    pub(crate) fn write(
        &self,
        seen: Seen,
        pinned: &Pinned<'_, &Snapshot>,
        out: &mut Vec<u8>,
    ) -> Vec<u8> {
        let mut decisions = Vec::with_capacity(self.lines.len() * 8);
        let [all, visible] = self.longest;
        let longest = if seen == Seen::All { all } else { visible };
        out.reserve(longest.min(MAX_RESERVED));
        out.push(b'[');
        let mut first = true;
        for line in self.lines(seen) {
            let Some(answer) = pinned.answer_in(line.place) else { continue };
            if !first {
                out.push(b',');
            }
            first = false;
            line.decide(&answer, &mut decisions);
            line.write(&answer, out);
        }
        out.push(b']');
        decisions
    }
}

impl Line {
    fn of<F>(key: &str, place: FlagPlace, found: Option<(&str, Result<&Flag, F>)>) -> Self {
        let flag = found.and_then(|(_, flag)| flag.ok());
        let mut head = br#"{"key":"#.to_vec();
        json(&mut head, key);
        let variant = |name: &str, value: Option<&flagforge_flags::Value>| {
            let mut text = head.clone();
            if let Some(value) = value {
                text.extend(br#","value":"#);
                json(&mut text, value);
            }
            text.extend(br#","variant":"#);
            json(&mut text, name);
            text.extend(br#","reason":""#);
            text.into()
        };
        let variants = flag.map(Flag::variants).unwrap_or_default().iter();
        let variants = variants.map(|it| {
            let name = it.key().as_str();
            Variant { name: name.into(), text: variant(name, Some(it.value())) }
        });
        let mut tail = Vec::new();
        if let Some(flag) = flag {
            tail.extend(br#","flagVersion":"#);
            json(&mut tail, &flag.version());
        }
        tail.extend(b"}}");
        Self {
            place,
            client_visible: flag.is_some_and(Flag::client_visible),
            variants: variants.collect(),
            caller_default: variant("", None),
            key: head.into(),
            tail: tail.into(),
        }
    }

    fn longest(&self) -> usize {
        let variants = self.variants.iter().map(|variant| variant.text.len());
        let longest = variants.chain([self.caller_default.len()]).max();
        longest.unwrap_or_default() + self.tail.len() + FINE.len() + BESIDES
    }

    fn variant(&self, answer: &Answer<'_>) -> Option<(usize, &Variant)> {
        let name = answer.variant?;
        self.variants.iter().enumerate().find(|(_, variant)| &*variant.name == name)
    }

    fn decide(&self, answer: &Answer<'_>, decisions: &mut Vec<u8>) {
        // A flag has at most 100 variants.
        let variant = self.variant(answer).map_or(u8::MAX, |(place, _)| place.to_le_bytes()[0]);
        decisions.extend([variant, answer.reason as u8, answer.fine as u8]);
        decisions.extend(answer.rule.unwrap_or_default().as_bytes());
        if let Some(error) = &answer.error {
            decisions.extend(error.details().as_bytes());
        }
        // In no text.
        decisions.push(0xff);
    }

    fn write(&self, answer: &Answer<'_>, out: &mut Vec<u8>) {
        if let Some(error) = &answer.error {
            out.extend(&*self.key);
            // Of letters and `_`.
            let _ = write!(out, r#","errorCode":"{}","errorDetails":"#, error.code());
            json(out, &error.details());
            let _ = write!(out, r#","metadata":{{"fineReason":"{}""#, answer.fine.as_str());
            out.extend(&*self.tail);
            return;
        }
        let text = self.variant(answer).map_or(&self.caller_default, |(_, variant)| &variant.text);
        out.extend(&**text);
        out.extend(reason(answer.reason).as_bytes());
        out.extend(FINE);
        out.extend(answer.fine.as_str().as_bytes());
        out.push(b'"');
        if let Some(rule) = answer.rule {
            out.extend(br#","rule":"#);
            json(out, rule);
        }
        if answer.reason == Reason::Stale {
            out.extend(br#","stale":true"#);
        }
        out.extend(&*self.tail);
    }
}

/// Texts, numbers and values always serialize, and memory takes all that is written.
pub(crate) fn json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let _ = serde_json::to_writer(out, value);
}
