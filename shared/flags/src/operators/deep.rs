//! Deep equality of JSON, numbers by their value.

use serde_json::{Number, Value as Json};

use super::number::Num;
use crate::subject::Found;

/// Whether what stands there is the wanted one.
pub(crate) fn equal(wanted: &Json, found: Found<'_>) -> bool {
    match (wanted, found) {
        (Json::String(wanted), Found::Key(text) | Found::Text(text)) => wanted == text,
        (Json::Bool(wanted), Found::Bool(yes)) => *wanted == yes,
        (Json::Number(wanted), Found::Number(number)) => same(wanted, number),
        (wanted, Found::Json(json)) => equal_json(wanted, json),
        _ => false,
    }
}

/// It recurses no deeper than `wanted`, whose depth was bounded when it was compiled.
fn equal_json(wanted: &Json, json: &Json) -> bool {
    match (wanted, json) {
        (Json::Number(a), Json::Number(b)) => same(a, b),
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal_json(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal_json(a, b)))
        }
        (a, b) => a == b,
    }
}

fn same(a: &Number, b: &Number) -> bool {
    match (Num::of(a), Num::of(b)) {
        (Some(a), Some(b)) => a.compare(b).is_eq(),
        _ => false,
    }
}

/// Whether a value is nested at most `levels` deep. It recurses no deeper than that.
pub(crate) fn depth_within(json: &Json, levels: usize) -> bool {
    let inside = |json: &Json| levels.checked_sub(1).is_some_and(|rest| depth_within(json, rest));
    match json {
        Json::Array(elements) => elements.iter().all(inside),
        Json::Object(members) => members.values().all(inside),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn structure_counts_and_spelling_does_not() {
        let equal = |a: Json, b: Json| equal(&a, Found::of_json(&b));
        assert!(equal(
            json!({"a": [1, {"b": null}], "c": 2}),
            json!({"c": 2.0, "a": [1.0, {"b": null}]})
        ));
        for (a, b) in [
            (json!([1, 2]), json!([2, 1])),
            (json!([1]), json!([1, 1])),
            (json!({"a": 1}), json!({"a": 1, "b": 2})),
            (json!({"a": null}), json!({})),
            (json!({"a": null}), json!({"b": null})),
            (json!("1"), json!(1)),
            (json!(null), json!(false)),
            (json!([]), json!({})),
        ] {
            assert!(!equal(a.clone(), b.clone()), "{a} {b}");
        }
    }

    #[test]
    fn depth_is_counted_in_levels_of_lists_and_objects() {
        let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert!(depth_within(&deep(5), 5));
        assert!(!depth_within(&deep(6), 5));
    }
}
