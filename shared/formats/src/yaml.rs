//! YAML as JSON: one document, without aliases, tags or keys that are no texts.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value as Json};

use crate::ImportError;

/// How deep lists and mappings may stand in each other; Flipt's own files go eight deep.
const MAX_DEPTH: usize = 64;
/// Bytes of a document. The parser holds about ten times as much while it works.
pub(crate) const MAX_YAML_BYTES: usize = 8 * 1024 * 1024;

enum Open {
    List(Vec<Json>),
    /// The members so far, and the key that waits for its value.
    Mapping(Map<String, Json>, Option<String>),
}

/// Reads one document. JSON is YAML, and goes its own faster way before this.
pub(crate) fn read(text: &str) -> Result<Json, ImportError> {
    if text.len() > MAX_YAML_BYTES {
        return Err(ImportError::TooLong(text.len()));
    }
    let mut open: Vec<Open> = Vec::new();
    let mut root: Option<Json> = None;
    for event in Parser::new_from_str(text) {
        let (event, place) = event.map_err(|error| ImportError::Yaml(error.to_string()))?;
        let line = place.start.line();
        let refuse = |what: &str| Err(ImportError::Yaml(format!("line {line}: {what}")));
        let done = match event {
            Event::Scalar(text, style, _, None) => match open.last_mut() {
                Some(Open::Mapping(_, key @ None)) => {
                    *key = Some(text.into_owned());
                    continue;
                }
                _ => scalar(&text, style),
            },
            Event::Scalar(..) => return refuse("tags are not read"),
            Event::Alias(_) => return refuse("aliases are not read"),
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if open.len() == MAX_DEPTH {
                    return refuse("lists and mappings stand too deep in each other");
                }
                if let Some(Open::Mapping(_, None)) = open.last() {
                    return refuse("a key is no text");
                }
                open.push(match event {
                    Event::SequenceStart(..) => Open::List(Vec::new()),
                    _ => Open::Mapping(Map::new(), None),
                });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Json::Array(items),
                Some(Open::Mapping(members, _)) => Json::Object(members),
                None => return refuse("an end without a beginning"),
            },
            Event::DocumentStart(_) if root.is_some() => return refuse("there are two documents"),
            _ => continue,
        };
        match open.last_mut() {
            None => root = Some(done),
            Some(Open::List(items)) => items.push(done),
            Some(Open::Mapping(members, key)) => {
                let Some(key) = key.take() else { return refuse("a value without a key") };
                if members.insert(key, done).is_some() {
                    return refuse("a key stands twice");
                }
            }
        }
    }
    Ok(root.unwrap_or(Json::Null))
}

/// The core schema of YAML 1.2, where `yes`, `on` and `off` are texts. A number that JSON would write otherwise
/// (`1.10`, `0x10`) stays a text, so that a version or a key is not changed by being read.
fn scalar(text: &str, style: ScalarStyle) -> Json {
    if style != ScalarStyle::Plain {
        return text.into();
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Json::Null,
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        _ => match serde_json::from_str::<serde_json::Number>(text) {
            Ok(number) if number.to_string() == text => Json::Number(number),
            _ => text.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_are_what_yaml_1_2_says_they_are() {
        let read = read("a: [1, 1.5, 1.10, yes, off, true, null, '1', \"x\\ty\"]\nb:\n  c: text\n")
            .unwrap();
        let list = json!([1, 1.5, "1.10", "yes", "off", true, null, "1", "x\ty"]);
        assert_eq!(read, json!({"a": list, "b": {"c": "text"}}));
    }

    #[test]
    fn what_could_grow_or_mislead_is_refused() {
        let deep = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert!(read(&deep(MAX_DEPTH)).is_ok());
        for bad in [
            "a: &x 1\nb: *x",
            "a: !!binary AA==",
            "[1]: 2",
            "a: 1\na: 2",
            "--- 1\n--- 2",
            "a: [",
            &deep(MAX_DEPTH + 1),
            &deep(10_000),
            &"- ".repeat(10_000),
        ] {
            assert!(matches!(read(bad), Err(ImportError::Yaml(_))), "{:.40}", bad);
        }
    }
}
