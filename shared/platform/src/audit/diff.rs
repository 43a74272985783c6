//! What is different between two versions of an item: paths with what was there before and after.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

/// Differences told of one item; what is beyond them is counted. A state has some dozen fields.
const MAX_DIFFERENCES: usize = 200;
/// Characters of a value in a line for people.
const MAX_SHOWN: usize = 120;

/// How one item changed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemDiff {
    /// By kind and key: `STATE#checkout`.
    pub item: String,
    pub became: Became,
    pub changes: Vec<Difference>,
    /// Differences beyond the first 200.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What became of an item as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Became {
    Created,
    Changed,
    Deleted,
    /// Written again as it was.
    Unchanged,
}

/// One path that is different. An absent side was not there.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditDifference)]
pub struct Difference {
    /// `state.rules[0].serve.variant`.
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value, required = false)]
    pub before: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value, required = false)]
    pub after: Option<Json>,
}

impl ItemDiff {
    pub(crate) fn new(item: &str, before: Option<&Json>, after: Option<&Json>) -> Self {
        let mut changes = Vec::new();
        compare(String::new(), before, after, &mut changes);
        let became = match (before, after) {
            (None, Some(_)) => Became::Created,
            (_, None) => Became::Deleted,
            (Some(_), Some(_)) if changes.is_empty() => Became::Unchanged,
            (Some(_), Some(_)) => Became::Changed,
        };
        let more = changes.len().saturating_sub(MAX_DIFFERENCES);
        changes.truncate(MAX_DIFFERENCES);
        Self { item: item.to_owned(), became, changes, more }
    }
}

/// Goes down where both sides are objects or lists, as deep as the parser that read them lets be.
fn compare(path: String, before: Option<&Json>, after: Option<&Json>, into: &mut Vec<Difference>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Json::Object(was)), Some(Json::Object(is))) => {
            let gone = was.keys().filter(|name| !is.contains_key(*name));
            for name in is.keys().chain(gone) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(path, was.get(name), is.get(name), into);
            }
        }
        (Some(Json::Array(was)), Some(Json::Array(is))) => {
            for index in 0..was.len().max(is.len()) {
                compare(format!("{path}[{index}]"), was.get(index), is.get(index), into);
            }
        }
        (before, after) => {
            into.push(Difference { path, before: before.cloned(), after: after.cloned() });
        }
    }
}

/// A line for each difference.
pub(crate) fn text(items: &[ItemDiff]) -> String {
    let mut text = String::new();
    for item in items {
        let became = match item.became {
            Became::Created => "created",
            Became::Changed => "changed",
            Became::Deleted => "deleted",
            Became::Unchanged => "unchanged",
        };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{} {became}", item.item);
        for change in &item.changes {
            let path = if change.path.is_empty() { "(all)" } else { &change.path };
            let (before, after) = (shown(change.before.as_ref()), shown(change.after.as_ref()));
            let _ = writeln!(text, "  {path}: {before} → {after}");
        }
        if item.more > 0 {
            let _ = writeln!(text, "  and {} more", item.more);
        }
    }
    text
}

fn shown(value: Option<&Json>) -> String {
    let Some(value) = value else { return "nothing".to_owned() };
    let text = value.to_string();
    if text.chars().count() <= MAX_SHOWN {
        return text;
    }
    text.chars().take(MAX_SHOWN).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_name_what_is_different_and_nothing_else() {
        let before = json!({"enabled": true, "rules": [{"id": "a", "w": 1}], "gone": 1});
        let after = json!({"enabled": false, "rules": [{"id": "a", "w": 2}, {"id": "b"}]});
        let diff = ItemDiff::new("STATE#f", Some(&before), Some(&after));
        let told = text(std::slice::from_ref(&diff));
        let expected = "STATE#f changed\n  enabled: true → false\n  rules[0].w: 1 → 2\n  rules[1]: nothing → {\"id\":\"b\"}\n  gone: 1 → nothing\n";
        assert_eq!(told, expected);
        assert_eq!(ItemDiff::new("x", None, Some(&after)).became, Became::Created);
        assert_eq!(ItemDiff::new("x", Some(&after), None).became, Became::Deleted);
        assert_eq!(ItemDiff::new("x", Some(&after), Some(&after)).became, Became::Unchanged);
    }

    #[test]
    fn many_differences_are_counted() {
        let many = |count: usize| Json::from_iter((0..count).map(|n| (format!("k{n}"), json!(n))));
        let none = json!({});
        let at = |count| ItemDiff::new("x", Some(&none), Some(&many(count)));
        assert_eq!((at(MAX_DIFFERENCES).changes.len(), at(MAX_DIFFERENCES).more), (200, 0));
        assert_eq!((at(MAX_DIFFERENCES + 1).changes.len(), at(MAX_DIFFERENCES + 1).more), (200, 1));
    }
}
