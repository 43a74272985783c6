//! Reading a source: page after page, each and all of bounded length and time.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;

use super::{SourceFormat, SourceRecord};
use crate::Platform;
use crate::import::{MAX_IMPORT_PART_BYTES, MAX_IMPORT_PARTS};
use crate::ports::Ask;

/// Bytes of one page, and of all: what an import takes.
pub const MAX_SOURCE_PAGE_BYTES: usize = MAX_IMPORT_PART_BYTES;
pub const MAX_SOURCE_BYTES: usize = MAX_IMPORT_PARTS as usize * MAX_IMPORT_PART_BYTES;
/// Pages of one run: 100,000 tenants in hundreds.
pub const MAX_SOURCE_PAGES: usize = 1_000;
/// How long one page may take, and all together: a source that is slower is asked again with the next run.
const PAGE_WITHIN: Duration = Duration::from_secs(30);
const ALL_WITHIN: Duration = Duration::from_secs(300);
/// Bytes of a cursor, which goes into an address.
const MAX_CURSOR_BYTES: usize = 1_024;

#[derive(Deserialize)]
struct Page {
    tenants: Vec<Json>,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct More {
    next: String,
}

impl Platform {
    /// All that a source says, a tenant a line; or why that could not be had.
    pub(super) async fn read_source(&self, record: &SourceRecord) -> Result<String, String> {
        let fetch = self.fetch().ok_or("this installation asks nobody")?;
        let began = self.timer().now();
        let (mut text, mut cursor) = (String::new(), None::<String>);
        for number in 1..=MAX_SOURCE_PAGES {
            if self.timer().now().since(began) > ALL_WITHIN {
                return Err(format!("it takes longer than {} s", ALL_WITHIN.as_secs()));
            }
            let ask = Ask {
                url: &address(&record.source.url, cursor.as_deref()),
                bearer: record.bearer.as_ref().map(|bearer| bearer.0.as_str()),
                within: PAGE_WITHIN,
                max_bytes: MAX_SOURCE_PAGE_BYTES,
            };
            let got = fetch.get(&ask).await.map_err(|error| format!("page {number}: {error}"))?;
            if got.status != 200 {
                return Err(format!("page {number}: it answered {}", got.status));
            }
            let next = match record.source.format {
                SourceFormat::Ndjson => take_lines(&got.body, &mut text),
                SourceFormat::Pages => take_page(&got.body, &mut text),
            };
            let next = next.map_err(|why| format!("page {number}: {why}"))?;
            if text.len() > MAX_SOURCE_BYTES {
                return Err(format!("it is longer than {MAX_SOURCE_BYTES} bytes"));
            }
            match next.filter(|next| !next.is_empty()) {
                None => return Ok(text),
                Some(next) if next.len() > MAX_CURSOR_BYTES => {
                    return Err(format!("its cursor is longer than {MAX_CURSOR_BYTES} bytes"));
                }
                Some(next) if cursor.as_ref() == Some(&next) => {
                    return Err(format!("page {number}: its cursor leads to itself"));
                }
                next => cursor = next,
            }
        }
        Err(format!("it has more than {MAX_SOURCE_PAGES} pages"))
    }
}

/// Adds a page of lines to the text; answers the cursor of the next.
fn take_lines(page: &[u8], text: &mut String) -> Result<Option<String>, String> {
    let page = std::str::from_utf8(page).map_err(|error| error.to_string())?.trim_end();
    let (lines, last) = page.rsplit_once('\n').unwrap_or(("", page));
    let (lines, next) = match serde_json::from_str::<More>(last) {
        Ok(More { next }) => (lines, Some(next)),
        Err(_) => (page, None),
    };
    text.push_str(lines);
    if !lines.is_empty() {
        text.push('\n');
    }
    Ok(next)
}

/// Adds a page's tenants to the text, each on its line; answers the cursor of the next.
fn take_page(page: &[u8], text: &mut String) -> Result<Option<String>, String> {
    let page: Page = serde_json::from_slice(page).map_err(|error| error.to_string())?;
    for tenant in page.tenants {
        text.push_str(&tenant.to_string());
        text.push('\n');
    }
    Ok(page.next)
}

/// The address of a page.
fn address(url: &str, cursor: Option<&str>) -> String {
    let Some(cursor) = cursor else { return url.to_owned() };
    let mut address = url.to_owned();
    address.push_str(if url.contains('?') { "&cursor=" } else { "?cursor=" });
    for byte in cursor.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                address.push(char::from(byte));
            }
            _ => address.push_str(&format!("%{byte:02X}")),
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_its_tenants_and_where_there_are_more() {
        let mut text = String::new();
        let next = take_lines(b"{\"key\":\"a\"}\n{\"key\":\"b\"}\n{\"next\":\"2 &\"}\n", &mut text);
        assert_eq!(next.unwrap().as_deref(), Some("2 &"));
        assert_eq!(take_lines(b"{\"key\":\"next\"}\n", &mut text).unwrap(), None);
        let page = br#"{"tenants": [{"key": "c",
            "name": "C"}], "next": "x"}"#;
        assert_eq!(take_page(page, &mut text).unwrap().as_deref(), Some("x"));
        assert!(take_page(b"[]", &mut text).is_err());
        let lines = "{\"key\":\"a\"}\n{\"key\":\"b\"}\n{\"key\":\"next\"}\n{\"key\":\"c\",\"name\":\"C\"}\n";
        assert_eq!(text, lines);
        assert_eq!(address("https://a/x", Some("2 &")), "https://a/x?cursor=2%20%26");
        assert_eq!(address("https://a/x?y=1", Some("2")), "https://a/x?y=1&cursor=2");
    }
}
