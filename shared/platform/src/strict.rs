//! Reading what people send: the error names the field, and a field that means nothing is an error too.

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::error::Error;

/// Reads a body. Top-level fields in `read_only` are accepted and not used, so that what was read can be sent back.
pub(crate) fn from_slice<T: DeserializeOwned>(
    bytes: &[u8],
    read_only: &[&str],
) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = read(&mut deserializer, read_only)?;
    deserializer.end().map_err(|error| Error::invalid("the body", error))?;
    Ok(value)
}

/// As [`from_slice`], from a document already parsed.
pub(crate) fn from_value<T: DeserializeOwned>(
    document: Json,
    read_only: &[&str],
) -> Result<T, Error> {
    read(document, read_only)
}

fn read<'de, T, D>(deserializer: D, read_only: &[&str]) -> Result<T, Error>
where
    T: DeserializeOwned,
    D: serde::Deserializer<'de>,
{
    let mut unknown: Option<String> = None;
    let mut note = |path: serde_ignored::Path<'_>| {
        // serde_ignored marks the inside of options and newtypes with `?`.
        let path = path.to_string().replace(".?", "");
        let wanted = unknown.is_none() && !read_only.contains(&path.as_str());
        if wanted {
            unknown = Some(path);
        }
    };
    let mut track = serde_path_to_error::Track::new();
    let result = {
        let watching = serde_ignored::Deserializer::new(deserializer, &mut note);
        T::deserialize(serde_path_to_error::Deserializer::new(watching, &mut track))
    };
    match result {
        Err(error) => {
            let path = track.path().to_string();
            let field = if path == "." { "the body".to_owned() } else { path };
            Err(Error::invalid(field, error))
        }
        Ok(value) => match unknown {
            None => Ok(value),
            Some(path) => Err(Error::invalid(path, "there is no such field")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::StateInput;
    use serde_json::json;

    fn fault(body: &Json) -> String {
        let read: Result<StateInput, _> = from_slice(body.to_string().as_bytes(), &["key"]);
        read.unwrap_err().to_string()
    }

    #[test]
    fn an_error_names_the_field_it_is_about() {
        let rule = json!({"id": "r", "when": {"test": {"attribute": "user.x", "operator": "sounds-like", "values": []}}, "serve": {"variant": "on"}});
        let body = json!({"enabled": true, "off": {"variant": "off"}, "fallthrough": {"variant": "on"}, "rules": [rule]});
        let message = fault(&body);
        assert!(message.starts_with("rules[0].when"), "{message}");
        assert!(message.contains("sounds-like"), "{message}");
        let message = fault(
            &json!({"enabled": "yes", "off": "callerDefault", "fallthrough": "callerDefault"}),
        );
        assert!(message.starts_with("enabled"), "{message}");
    }

    #[test]
    fn a_field_that_means_nothing_is_named_even_deep_down_and_read_only_ones_pass() {
        let test =
            json!({"attribute": "user.x", "operator": "equals", "values": [1], "negated": true});
        let rule =
            json!({"id": "r", "when": {"all": [{"test": test}]}, "serve": {"variant": "on"}});
        let body = json!({"key": "k", "enabled": true, "off": {"variant": "off"}, "fallthrough": {"variant": "on"}, "rules": [rule]});
        let message = fault(&body);
        assert!(message.contains("negated"), "{message}");
        assert!(message.contains("rules"), "{message}");
        let good = json!({"key": "k", "enabled": true, "off": "callerDefault", "fallthrough": "callerDefault"});
        assert!(from_slice::<StateInput>(good.to_string().as_bytes(), &["key"]).is_ok());
        let depth = "[".repeat(100_000);
        assert!(from_slice::<Json>(depth.as_bytes(), &[]).is_err());
        assert!(from_slice::<StateInput>(b"{} trailing", &[]).is_err());
    }
}
