//! How two documents differ, for people: which paths, what was there, what is there now.

use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

/// Differences told of one thing; more than a person reads are summed up at the path above.
const MAX_TOLD: usize = 100;
/// Characters of a value in a sentence.
const MAX_VALUE_CHARACTERS: usize = 80;

/// One place where two documents differ.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Say `rules[0].serve.variant`; `.` is the whole.
    pub path: String,
    /// Absent: there was nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value, required = false)]
    pub from: Option<Json>,
    /// Absent: there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value, required = false)]
    pub to: Option<Json>,
    /// The same in a line.
    pub text: String,
}

impl Difference {
    fn new(path: &str, from: Option<&Json>, to: Option<&Json>) -> Self {
        let path = if path.is_empty() { "." } else { path.trim_start_matches('.') };
        let text = match (from, to) {
            (Some(from), Some(to)) => format!("{path}: {} → {}", short(from), short(to)),
            (None, Some(to)) => format!("{path}: + {}", short(to)),
            (Some(from), None) => format!("{path}: − {}", short(from)),
            (None, None) => path.to_owned(),
        };
        Self { path: path.to_owned(), from: from.cloned(), to: to.cloned(), text }
    }
}

fn short(value: &Json) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_VALUE_CHARACTERS) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// Where `to` differs from `from`. Members of objects and elements of lists are compared one by one.
pub(crate) fn differences(from: Option<&Json>, to: Option<&Json>) -> Vec<Difference> {
    let mut told = Vec::new();
    compare("", from, to, &mut told);
    if told.len() > MAX_TOLD {
        return vec![Difference::new("", from, to)];
    }
    told
}

fn compare(path: &str, from: Option<&Json>, to: Option<&Json>, told: &mut Vec<Difference>) {
    match (from, to) {
        (a, b) if a == b => {}
        (Some(Json::Object(a)), Some(Json::Object(b))) => {
            let new = b.keys().filter(|name| !a.contains_key(*name));
            for name in a.keys().chain(new) {
                compare(&format!("{path}.{name}"), a.get(name), b.get(name), told);
            }
        }
        (Some(Json::Array(a)), Some(Json::Array(b))) => {
            for index in 0..a.len().max(b.len()) {
                compare(&format!("{path}[{index}]"), a.get(index), b.get(index), told);
            }
        }
        _ => told.push(Difference::new(path, from, to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(from: &Json, to: &Json) -> Vec<String> {
        differences(Some(from), Some(to)).into_iter().map(|told| told.text).collect()
    }

    #[test]
    fn each_place_is_told_once() {
        let from = json!({"enabled": false, "rules": [{"id": "a"}, {"id": "b"}], "gone": 1});
        let to = json!({"enabled": true, "rules": [{"id": "a"}], "new": [2]});
        let told =
            ["enabled: false → true", "gone: − 1", "new: + [2]", "rules[1]: − {\"id\":\"b\"}"];
        let mut seen = texts(&from, &to);
        seen.sort();
        assert_eq!(seen, told);
        assert!(texts(&to, &to).is_empty());
        assert_eq!(texts(&json!(1), &json!("x".repeat(200)))[0].chars().count(), 3 + 4 + 81);
        let many: Vec<usize> = (0..=MAX_TOLD).collect();
        assert_eq!(
            texts(&json!(many), &json!(many.iter().map(|n| n + 1).collect::<Vec<_>>())).len(),
            1
        );
    }
}
