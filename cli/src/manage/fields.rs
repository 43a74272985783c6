//! Bodies: fields from a file, with those from options laid over them. What they may be is the API's to say.

use std::io::Read as _;
use std::path::{Path as FilePath, PathBuf};

use anyhow::Context as _;
use serde_json::{Map, Value as Json};

use super::refusal::Failure;

/// Bytes of a file that is sent whole: the longest list of ids, a million of them.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// A body in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(Map<String, Json>);

impl Fields {
    /// Those of a JSON file, if one is given.
    pub(crate) fn of(file: Option<&PathBuf>) -> anyhow::Result<Self> {
        let Some(file) = file else { return Ok(Self::default()) };
        match json_in(file)? {
            Json::Object(fields) => Ok(Self(fields)),
            _ => Err(Failure::usage(format!("{} holds no JSON object", file.display()))),
        }
    }

    pub(crate) fn set(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn set_if<T: Into<Json>>(self, name: &str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    /// Sets a list that is not empty.
    pub(crate) fn set_list(self, name: &str, values: &[String]) -> Self {
        if values.is_empty() { self } else { self.set(name, values.to_vec()) }
    }

    /// Sets what is on; what is off stays as it is.
    pub(crate) fn set_flag(self, name: &str, on: bool) -> Self {
        if on { self.set(name, true) } else { self }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn json(self) -> Json {
        Json::Object(self.0)
    }
}

/// Lays fields over those of a document, each whole; null takes one away.
pub(crate) fn lay_over(target: &mut Json, fields: Json) {
    let (Json::Object(target), Json::Object(fields)) = (target, fields) else { return };
    for (name, value) in fields {
        if value.is_null() {
            target.remove(&name);
        } else {
            target.insert(name, value);
        }
    }
}

/// The JSON in a file; `-` is the standard input.
pub(crate) fn json_in(file: &FilePath) -> anyhow::Result<Json> {
    let bytes = bytes_in(file)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}

/// A whole file; `-` is the standard input.
pub(crate) fn bytes_in(file: &FilePath) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == FilePath::new("-") {
        std::io::stdin()
            .take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .context("reading the standard input")?;
    } else {
        let opened = std::fs::File::open(file);
        let opened =
            opened.map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
        let read = opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
        read.with_context(|| format!("reading {}", file.display()))?;
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Failure::usage(format!("{} is over {MAX_FILE_BYTES} bytes", file.display())));
    }
    Ok(bytes)
}

/// `name=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as name=value".to_owned()),
    }
}

/// A value as people write it: JSON where it is some, else text.
pub(crate) fn value(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_laid_over_whole_and_null_takes_away() {
        let mut target = json!({"serve": {"variant": "on"}, "b": [1], "c": "text"});
        lay_over(&mut target, json!({"serve": {"split": {}}, "b": null, "d": 1}));
        assert_eq!(target, json!({"serve": {"split": {}}, "c": "text", "d": 1}));
    }

    #[test]
    fn values_are_what_they_look_like() {
        let values = ["gold", "5", "\"5\"", "true", "[1,2]", "05432", ""].map(value);
        let wanted = [
            json!("gold"),
            json!(5),
            json!("5"),
            json!(true),
            json!([1, 2]),
            json!("05432"),
            json!(""),
        ];
        assert_eq!(values, wanted);
        assert_eq!(pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(pair("=b").is_err() && pair("ab").is_err());
    }

    #[test]
    fn a_body_is_the_file_with_the_options_over_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("body.json");
        std::fs::write(&file, r#"{"description": "old", "owner": "web"}"#).unwrap();
        let fields = Fields::of(Some(&file)).unwrap().set_if("description", Some("new"));
        let fields = fields.set_list("tags", &[]).set_flag("synthetic", false);
        assert_eq!(fields.json(), json!({"description": "new", "owner": "web"}));
        std::fs::write(&file, "[1]").unwrap();
        assert!(Fields::of(Some(&file)).unwrap_err().to_string().contains("no JSON object"));
        assert!(Fields::of(Some(&folder.path().join("none"))).is_err());
    }
}
