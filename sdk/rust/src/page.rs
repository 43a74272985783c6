//! Answers for a page that the server renders, so that the browser's first paint needs no request.

use std::fmt;

use flagforge_flags::{Answer, Value};
use serde::Serialize;

/// The answers that a browser may see, for one tenant and user, as JSON; see
/// [`Flags::page`](crate::Flags::page). It is one tenant's: send what it is put into with [`Page::HEADERS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page(String);

impl Page {
    /// For the response that the answers are part of: nobody but this user's browser may have it, and it may not keep it.
    pub const HEADERS: [(&'static str, &'static str); 2] = [
        ("cache-control", "private, no-store"),
        ("vary", "Authorization, Cookie, FlagForge-Tenant"),
    ];

    pub(crate) fn new(revision: Option<String>, mut flags: Vec<PageFlag<'_>>) -> Self {
        // The same answers are the same bytes.
        flags.sort_by_key(|flag| flag.key);
        // Keys of maps are texts and numbers are finite, which is all that can go wrong in writing JSON.
        let json =
            serde_json::to_string(&Answers { flags, revision }).unwrap_or_else(|_| "{}".into());
        Self(embeddable(&json))
    }

    /// JSON that may stand inside of a `<script>` as it is, as data or as an expression:
    /// `<script id="flags" type="application/json">…</script>`.
    pub fn json(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Serialize)]
struct Answers<'p> {
    flags: Vec<PageFlag<'p>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
}

/// As OFREP writes an answer.
#[derive(Serialize)]
pub(crate) struct PageFlag<'p> {
    key: &'p str,
    /// None is the caller's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'p Value>,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'p str>,
}

impl<'p> PageFlag<'p> {
    pub(crate) const fn new(key: &'p str, answer: &Answer<'p>) -> Self {
        let reason = answer.reason.as_str();
        Self { key, value: answer.value, reason, variant: answer.variant }
    }
}

/// Without what ends a script or begins a comment in HTML, or a line in old JavaScript. All of these can stand in the
/// JSON's texts only, where an escape means the same.
fn embeddable(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => text.push_str("\\u003c"),
            '>' => text.push_str("\\u003e"),
            '&' => text.push_str("\\u0026"),
            '\u{2028}' => text.push_str("\\u2028"),
            '\u{2029}' => text.push_str("\\u2029"),
            c => text.push(c),
        }
    }
    text
}
