//! One page of a range of one partition.

use std::ops::Bound;

use flagforge_platform::ports::{ItemKey, Page, PageToken, Query};
use redb::ReadableTable;

use super::store::{Stored, item};

/// Bytes of keys and bodies on one page, as DynamoDB has it; a page holds at least one item all the same.
pub const MAX_PAGE_BYTES: usize = 1024 * 1024;

pub(super) fn page(
    items: &impl ReadableTable<(&'static str, &'static str), Stored<'static>>,
    query: &Query,
) -> Result<Page, redb::Error> {
    let Some((lower, upper)) = bounds(query) else {
        return Ok(Page::default());
    };
    let pk = query.pk.as_str();
    let range =
        items.range::<(&str, &str)>((lower.map(|sk| (pk, sk)), upper.map(|sk| (pk, sk))))?;
    if query.descending { collect(range.rev(), query) } else { collect(range, query) }
}

/// The sort keys that are left of the range after the page token, or `None` when nothing can be. A token from outside the
/// range (a forged cursor) never widens it.
fn bounds(query: &Query) -> Option<(Bound<&str>, Bound<&str>)> {
    let (from, until) = (query.from.as_str(), query.until.as_str());
    let seen = query.page.as_ref().map(|token| token.0.as_str());
    let (lower, upper) = match seen {
        Some(seen) if query.descending => (Bound::Included(from), seen.min(until)),
        Some(seen) if seen >= from => (Bound::Excluded(seen), until),
        _ => (Bound::Included(from), until),
    };
    let (Bound::Included(least) | Bound::Excluded(least)) = lower else { return None };
    (least < upper).then_some((lower, Bound::Excluded(upper)))
}

fn collect<'a>(
    range: impl Iterator<
        Item = Result<
            (
                redb::AccessGuard<'a, (&'static str, &'static str)>,
                redb::AccessGuard<'a, Stored<'static>>,
            ),
            redb::StorageError,
        >,
    >,
    query: &Query,
) -> Result<Page, redb::Error> {
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let mut page = Page::default();
    let mut bytes = 0_usize;
    for entry in range {
        let (key, stored) = entry?;
        let ((pk, sk), stored) = (key.value(), stored.value());
        bytes = bytes.saturating_add(pk.len() + sk.len() + stored.2.len());
        if page.items.len() == limit || (bytes > MAX_PAGE_BYTES && !page.items.is_empty()) {
            page.next = page.items.last().map(|last| PageToken(last.key.sk.clone()));
            break;
        }
        page.items.push(item(ItemKey::new(pk, sk), stored));
    }
    Ok(page)
}
