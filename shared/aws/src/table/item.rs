//! Items and writes in DynamoDB's words.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem};
use flagforge_platform::ports::{Condition, Item, ItemKey, TableError, Write};
use thiserror::Error;

pub(super) const PK: &str = "pk";
pub(super) const SK: &str = "sk";
const VERSION: &str = "v";
const BODY: &str = "body";
const EXPIRES: &str = "expires";

/// The value that a condition compares the version with.
const VERSION_VALUE: &str = ":v";

pub(super) type Attributes = HashMap<String, AttributeValue>;

#[derive(Debug, Error)]
#[error("the item has no `{0}` of the right type")]
struct Foreign(&'static str);

pub(super) fn key(key: &ItemKey) -> Attributes {
    let text = |name: &str, value: &str| (name.to_owned(), AttributeValue::S(value.to_owned()));
    HashMap::from([text(PK, &key.pk), text(SK, &key.sk)])
}

pub(super) fn decode(mut attributes: Attributes) -> Result<Item, TableError> {
    let mut text = |name: &'static str| match attributes.remove(name) {
        Some(AttributeValue::S(text)) => Ok(text),
        _ => Err(foreign(name)),
    };
    let (pk, sk, body) = (text(PK)?, text(SK)?, text(BODY)?);
    let number = |name: &'static str| match attributes.get(name) {
        Some(AttributeValue::N(digits)) => Ok(Some(digits.as_str())),
        Some(_) => Err(foreign(name)),
        None => Ok(None),
    };
    let version = number(VERSION)?.and_then(|digits| digits.parse().ok());
    let expires_at_seconds =
        number(EXPIRES)?.map(|digits| digits.parse().map_err(|_| foreign(EXPIRES))).transpose()?;
    let version = version.ok_or_else(|| foreign(VERSION))?;
    Ok(Item { key: ItemKey { pk, sk }, version, body, expires_at_seconds })
}

pub(super) fn action(table: &str, write: Write) -> Result<TransactWriteItem, TableError> {
    let built = match write {
        Write::Put { item, condition } => {
            let (expression, values) = expression(condition);
            let put = Put::builder().table_name(table).set_item(Some(encode(item)));
            let put = put.set_condition_expression(expression.map(str::to_owned));
            let put = put.set_expression_attribute_values(values).build();
            put.map(|put| TransactWriteItem::builder().put(put))
        }
        Write::Delete { key: at, condition } => {
            let (expression, values) = expression(condition);
            let delete = Delete::builder().table_name(table).set_key(Some(key(&at)));
            let delete = delete.set_condition_expression(expression.map(str::to_owned));
            let delete = delete.set_expression_attribute_values(values).build();
            delete.map(|delete| TransactWriteItem::builder().delete(delete))
        }
        Write::Check { key: at, condition } => {
            let (expression, values) = expression(condition);
            // A check must have an expression, even one that always holds.
            let expression =
                expression.unwrap_or("attribute_exists(pk) OR attribute_not_exists(pk)");
            let check = ConditionCheck::builder().table_name(table).set_key(Some(key(&at)));
            let check = check.condition_expression(expression);
            let check = check.set_expression_attribute_values(values).build();
            check.map(|check| TransactWriteItem::builder().condition_check(check))
        }
    };
    let unavailable = |error: BuildError| TableError::Unavailable(error.into());
    built.map(|action| action.build()).map_err(unavailable)
}

fn encode(item: Item) -> Attributes {
    let mut attributes = key(&item.key);
    let mut set = |name: &str, value| attributes.insert(name.to_owned(), value);
    set(VERSION, AttributeValue::N(item.version.to_string()));
    set(BODY, AttributeValue::S(item.body));
    if let Some(seconds) = item.expires_at_seconds {
        set(EXPIRES, AttributeValue::N(seconds.to_string()));
    }
    attributes
}

/// A condition, and the values it names.
fn expression(condition: Condition) -> (Option<&'static str>, Option<Attributes>) {
    match condition {
        Condition::Any => (None, None),
        Condition::Absent => (Some("attribute_not_exists(pk)"), None),
        Condition::Present => (Some("attribute_exists(pk)"), None),
        Condition::Version(version) => {
            let value = AttributeValue::N(version.to_string());
            (Some("v = :v"), Some(HashMap::from([(VERSION_VALUE.to_owned(), value)])))
        }
    }
}

fn foreign(name: &'static str) -> TableError {
    TableError::Unavailable(Foreign(name).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(expires_at_seconds: Option<i64>) -> Item {
        let key = ItemKey::new("acme#", "FLAG#a");
        Item { key, version: u64::MAX, body: "{}".into(), expires_at_seconds }
    }

    #[test]
    fn items_are_read_as_they_were_written() {
        for expires in [None, Some(0), Some(-1), Some(i64::MAX)] {
            assert_eq!(decode(encode(item(expires))).unwrap(), item(expires));
        }
    }

    #[test]
    fn an_item_that_is_not_ours_is_refused() {
        for (name, value) in [
            (PK, None),
            (SK, Some(AttributeValue::N("1".into()))),
            (BODY, None),
            (VERSION, None),
            (VERSION, Some(AttributeValue::S("1".into()))),
            (VERSION, Some(AttributeValue::N("1.5".into()))),
            (EXPIRES, Some(AttributeValue::S("1".into()))),
            (EXPIRES, Some(AttributeValue::N("soon".into()))),
        ] {
            let mut attributes = encode(item(Some(1)));
            match value {
                Some(value) => attributes.insert(name.to_owned(), value),
                None => attributes.remove(name),
            };
            assert!(decode(attributes).is_err(), "{name}");
        }
    }
}
