//! One page of a range.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use flagforge_platform::ports::{
    Item, ItemKey, MAX_PAGE_ITEMS, Page, PageToken, Query, TableError,
};

use super::{failure, item};

/// Bytes of bodies after which a page ends although more would fit: DynamoDB reads 1 MB at a time.
const PAGE_BYTES: usize = 1_000_000;

/// A page that has a successor has at least one item after it, so that `next` is there only when something follows: one item
/// more is read than the page holds, and left for the next.
pub(super) async fn page(client: &Client, table: &str, query: &Query) -> Result<Page, TableError> {
    if query.until <= query.from {
        return Ok(Page::default());
    }
    let limit = query.limit.clamp(1, MAX_PAGE_ITEMS) as usize;
    let mut items: Vec<Item> = Vec::new();
    let mut after = query.page.clone();
    loop {
        let wanted = limit + 1 - items.len();
        let (found, last) = read(client, table, query, after, wanted).await?;
        let at_end = last.is_none();
        items.extend(found.into_iter().filter(|item| item.key.sk < query.until));
        after = last;
        let bytes: usize = items.iter().map(|item| item.body.len()).sum();
        let is_full = items.len() > limit || (bytes >= PAGE_BYTES && items.len() > 1);
        if at_end && items.len() <= limit {
            return Ok(Page { items, next: None });
        }
        if is_full {
            // The last of them proves that something follows the others.
            items.pop();
            let next = items.last().map(|item| PageToken(item.key.sk.clone()));
            return Ok(Page { items, next });
        }
    }
}

/// At most `wanted` items of the range, its last end included, and where to go on when DynamoDB stopped before the end.
async fn read(
    client: &Client,
    table: &str,
    query: &Query,
    after: Option<PageToken>,
    wanted: usize,
) -> Result<(Vec<Item>, Option<PageToken>), TableError> {
    // DynamoDB knows BETWEEN, with both ends, and no empty text as a key.
    let expression = if query.from.is_empty() {
        "pk = :pk AND sk <= :until"
    } else {
        "pk = :pk AND sk BETWEEN :from AND :until"
    };
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let mut request = client
        .query()
        .table_name(table)
        .consistent_read(true)
        .scan_index_forward(!query.descending)
        .limit(i32::try_from(wanted).unwrap_or(i32::MAX))
        .key_condition_expression(expression)
        .expression_attribute_values(":pk", text(&query.pk))
        .expression_attribute_values(":until", text(&query.until));
    if !query.from.is_empty() {
        request = request.expression_attribute_values(":from", text(&query.from));
    }
    if let Some(PageToken(sk)) = after {
        let start = item::key(&ItemKey::new(query.pk.as_str(), sk));
        request = request.set_exclusive_start_key(Some(start));
    }
    let answer = request.send().await.map_err(failure::of_read)?;
    let last = answer.last_evaluated_key.and_then(|mut key| match key.remove(item::SK) {
        Some(AttributeValue::S(sk)) => Some(PageToken(sk)),
        _ => None,
    });
    let items = answer.items.unwrap_or_default().into_iter().map(item::decode);
    Ok((items.collect::<Result<_, _>>()?, last))
}
