//! The query string, held against the description of the operation: what it does not take is refused, and `fields`,
//! which everything that answers with JSON takes, is seen to here and nowhere else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts as RequestParts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flagforge_flags::manifest::Digest;
use serde_json::Value as Json;
use utoipa::openapi::OpenApi;

use super::problem::Problem;
use crate::error::Error;
use crate::input::bounded;

/// The name that it has in a query.
pub(super) const FIELDS: &str = "fields";
/// Fields of one request: more than any kind of thing has.
pub(super) const MAX_FIELDS: usize = 50;
/// Names of one field, `a.b.c`. Conditions are the deepest that we answer with, and nobody names a part of one.
pub(super) const MAX_FIELD_NAMES: usize = 8;
/// What every item of a list keeps: what a replacement of it needs.
const KEPT: &str = "etag";
/// Hexadecimal digits of the digest by which answers with other fields have another ETag.
const TAG_DIGITS: usize = 8;

/// What operations take and answer with, as the description says it.
#[derive(Debug)]
pub(super) struct Described {
    document: Json,
    operations: HashMap<(String, Method), Operation>,
}

#[derive(Debug)]
struct Operation {
    /// Names of what may be in the query.
    takes: BTreeSet<String>,
    /// The schema of what `fields` are of, and whether that is an item of a list.
    answer: Option<(Json, bool)>,
}

impl Described {
    pub(super) fn by(openapi: &OpenApi) -> Self {
        let document = serde_json::to_value(openapi).unwrap_or_default();
        let mut described = Self { document, operations: HashMap::new() };
        let mut operations = HashMap::new();
        for (path, item) in described.document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else {
                    continue;
                };
                operations.insert((path.clone(), method), described.operation(operation));
            }
        }
        described.operations = operations;
        described
    }

    fn operation(&self, operation: &Json) -> Operation {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let takes = parameters
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str().map(str::to_owned))
            .collect();
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let answer = (!schema.is_null()).then(|| {
            let whole = self.named(schema);
            // A list has items, and maybe where it goes on. What has more is a thing that has items.
            let is_list = whole.keys().all(|name| ["items", "next"].contains(name));
            match whole.get("items").and_then(|items| items.first()).filter(|_| is_list) {
                Some(list) => (self.resolved(list)["items"].clone(), true),
                None => (schema.clone(), false),
            }
        });
        Operation { takes, answer }
    }

    fn resolved<'d>(&'d self, schema: &'d Json) -> &'d Json {
        let reference = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        reference.and_then(|pointer| self.document.pointer(pointer)).unwrap_or(schema)
    }

    /// The fields that a schema names, each with what it may be. Of alternatives, those of all.
    fn named<'d>(&'d self, schema: &'d Json) -> BTreeMap<&'d str, Vec<&'d Json>> {
        let schema = self.resolved(schema);
        let mut fields: BTreeMap<&str, Vec<&Json>> = BTreeMap::new();
        for (name, of) in schema["properties"].as_object().into_iter().flatten() {
            fields.entry(name).or_default().push(of);
        }
        for part in ["allOf", "oneOf", "anyOf"] {
            for schema in schema[part].as_array().into_iter().flatten() {
                for (name, of) in self.named(schema) {
                    fields.entry(name).or_default().extend(of);
                }
            }
        }
        if let Some(items) = schema.get("items") {
            for (name, of) in self.named(items) {
                fields.entry(name).or_default().extend(of);
            }
        }
        fields
    }

    /// Whether a schema leaves open which fields there are.
    fn is_open(&self, schema: &Json) -> bool {
        let schema = self.resolved(schema);
        let parts =
            ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|part| schema[part].as_array());
        let is_object = match &schema["type"] {
            Json::String(kind) => kind == "object",
            Json::Array(kinds) => kinds.iter().any(|kind| kind == "object"),
            _ => schema.as_object().is_some_and(|schema| {
                schema.keys().all(|key| matches!(key.as_str(), "description" | "default"))
            }),
        };
        let unnamed = is_object && schema["properties"].is_null();
        let more = !schema["additionalProperties"].is_null();
        unnamed
            || more
            || parts.flatten().any(|part| self.is_open(part))
            || schema.get("items").is_some_and(|items| self.is_open(items))
    }

    /// That a field is there to be asked for; else a refusal that says what there is.
    fn check(&self, schema: &Json, field: &str) -> Result<(), Error> {
        let mut at = vec![schema];
        let mut above = String::new();
        for name in field.split('.') {
            let mut named: BTreeMap<&str, Vec<&Json>> = BTreeMap::new();
            for schema in &at {
                for (name, of) in self.named(schema) {
                    named.entry(name).or_default().extend(of);
                }
            }
            match named.remove(name) {
                Some(of) => at = of,
                None if at.iter().any(|schema| self.is_open(schema)) && !name.is_empty() => {
                    return Ok(());
                }
                None => {
                    let there: Vec<&str> = named.into_keys().collect();
                    let there = match there.as_slice() {
                        [] => "nothing".to_owned(),
                        names => names.join(", "),
                    };
                    let place =
                        if above.is_empty() { String::new() } else { format!(" in `{above}`") };
                    let message = format!("there is no `{name}`{place}; there is: {there}");
                    return Err(Error::invalid(FIELDS, message));
                }
            }
            above = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        }
        Ok(())
    }
}

/// Fields that were asked for, as a tree: one without branches is wanted whole.
#[derive(Debug, Default, PartialEq)]
struct Fields(BTreeMap<String, Fields>);

impl Fields {
    fn add(&mut self, path: &str) {
        let mut at = self;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let is_new = !at.0.contains_key(name);
            let next = at.0.entry(name.to_owned()).or_default();
            if names.peek().is_none() {
                next.0.clear();
            } else if !is_new && next.0.is_empty() {
                // The whole of it was asked for already.
                return;
            }
            at = next;
        }
    }

    /// What is left of a value.
    fn of(&self, value: Json) -> Json {
        match value {
            whole if self.0.is_empty() => whole,
            Json::Array(items) => items.into_iter().map(|item| self.of(item)).collect(),
            Json::Object(mut fields) => {
                let wanted = self.0.iter().filter_map(|(name, below)| {
                    fields.remove(name).map(|value| (name.clone(), below.of(value)))
                });
                Json::Object(wanted.collect())
            }
            other => other,
        }
    }
}

/// What of an answer is wanted.
struct Wanted {
    fields: Fields,
    of_items: bool,
    /// What tells an ETag of these fields from that of the whole.
    mark: String,
}

impl Wanted {
    fn parse(described: &Described, answer: &(Json, bool), text: &str) -> Result<Self, Error> {
        let (schema, of_items) = answer;
        let asked: BTreeSet<&str> = text.split(',').map(str::trim).collect();
        bounded(FIELDS, "fields", MAX_FIELDS, asked.len())?;
        let mut fields = Fields::default();
        for field in &asked {
            bounded(FIELDS, "names in a field", MAX_FIELD_NAMES, field.split('.').count())?;
            described.check(schema, field)?;
            fields.add(field);
        }
        if *of_items {
            fields.add(KEPT);
        }
        let sorted: Vec<&str> = asked.into_iter().collect();
        let mut mark = Digest::of(sorted.join(",").as_bytes()).to_string();
        mark.truncate(TAG_DIGITS);
        Ok(Self { fields, of_items: *of_items, mark })
    }

    /// `"41"` as `"41.9f3a2c1d"`.
    fn marked(&self, tag: &HeaderValue) -> Option<HeaderValue> {
        let tag = tag.to_str().ok()?.strip_suffix('"')?;
        HeaderValue::from_str(&format!("{tag}.{}\"", self.mark)).ok()
    }

    /// `"41.9f3a2c1d"` as `"41"`, if it is a tag of these fields.
    fn unmarked(&self, tag: &HeaderValue) -> Option<HeaderValue> {
        let version = tag.to_str().ok()?.strip_suffix(&format!(".{}\"", self.mark))?;
        HeaderValue::from_str(&format!("{version}\"")).ok()
    }

    async fn of(&self, response: Response) -> Result<Response, Problem> {
        let (mut parts, body) = response.into_parts();
        if let Some(tag) = parts.headers.remove(header::ETAG)
            && let Some(tag) = self.marked(&tag)
        {
            parts.headers.insert(header::ETAG, tag);
        }
        if parts.status != StatusCode::OK {
            return Ok(Response::from_parts(parts, body));
        }
        // Our own answer, and no stranger's: what made it bounded it.
        let body = to_bytes(body, usize::MAX).await;
        let body = body.map_err(|error| Error::internal("an answer could not be read", error))?;
        parts.headers.remove(header::CONTENT_LENGTH);
        Ok(Response::from_parts(parts, Body::from(self.left_of(body)?)))
    }

    fn left_of(&self, body: Bytes) -> Result<Bytes, Error> {
        if body.is_empty() {
            return Ok(body);
        }
        let unread = |error| Error::internal("an answer is no JSON", error);
        let mut whole: Json = serde_json::from_slice(&body).map_err(unread)?;
        let left = match whole.get_mut("items").filter(|_| self.of_items) {
            None => self.fields.of(whole),
            Some(items) => {
                *items = self.fields.of(items.take());
                whole
            }
        };
        Ok(Bytes::from(left.to_string()))
    }
}

/// Refuses a query that the operation does not take, and answers with the fields that were asked for.
pub(super) async fn read(
    State(described): State<Arc<Described>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let wanted = match taken(&described, &mut parts) {
        Ok(wanted) => wanted,
        Err(error) => return Problem::from(error).into_response(),
    };
    let Some(wanted) = wanted else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    if let Some(held) = parts.headers.remove(header::IF_NONE_MATCH)
        && let Some(held) = wanted.unmarked(&held)
    {
        parts.headers.insert(header::IF_NONE_MATCH, held);
    }
    let response = next.run(Request::from_parts(parts, body)).await;
    wanted.of(response).await.unwrap_or_else(IntoResponse::into_response)
}

/// Takes `fields` out of the query, and refuses what the operation does not take. An operation that takes nothing
/// looks at no query.
fn taken(described: &Described, parts: &mut RequestParts) -> Result<Option<Wanted>, Error> {
    let Some(query) = parts.uri.query().filter(|query| !query.is_empty()) else { return Ok(None) };
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method.clone() };
    let path = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let operation = path.and_then(|path| described.operations.get(&(path, method)));
    let Some(operation) = operation.filter(|operation| !operation.takes.is_empty()) else {
        return Ok(None);
    };
    let pairs: Vec<(String, String)> = match axum::extract::Query::try_from_uri(&parts.uri) {
        Ok(axum::extract::Query(pairs)) => pairs,
        Err(rejection) => return Err(Error::invalid("the query", rejection.body_text())),
    };
    if let Some((odd, _)) = pairs.iter().find(|(name, _)| !operation.takes.contains(name)) {
        let takes: Vec<&str> = operation.takes.iter().map(String::as_str).collect();
        let message = format!("there is no `{odd}`; there is: {}", takes.join(", "));
        return Err(Error::invalid("the query", message));
    }
    let mut asked = pairs.iter().filter(|(name, _)| name == FIELDS).map(|(_, value)| value);
    let (Some(fields), Some(answer)) = (asked.next(), &operation.answer) else { return Ok(None) };
    if asked.next().is_some() {
        return Err(Error::invalid(FIELDS, "say it once, with commas between the fields"));
    }
    let wanted = Wanted::parse(described, answer, fields)?;
    let rest: Vec<&str> =
        query.split('&').filter(|pair| pair.split('=').next() != Some(FIELDS)).collect();
    let path = format!("{}?{}", parts.uri.path(), rest.join("&"));
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    let unread = |error| Error::internal("an address could not be written", error);
    uri.path_and_query = Some(PathAndQuery::try_from(path).map_err(unread)?);
    parts.uri = Uri::from_parts(uri)
        .map_err(|error| Error::internal("an address could not be written", error))?;
    Ok(Some(wanted))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_is_read_as_json_has_fields_to_ask_for() {
        let described = Described::by(&crate::openapi());
        let mut checked = 0;
        for ((path, method), operation) in &described.operations {
            let Some((schema, _)) = operation.answer.as_ref().filter(|_| method == Method::GET)
            else {
                continue;
            };
            assert!(operation.takes.contains(FIELDS), "{path}");
            let named = described.named(schema);
            assert!(!named.is_empty() || described.is_open(schema), "{path}: nothing to ask for");
            for (name, of) in named {
                described.check(schema, name).unwrap();
                for below in of.iter().flat_map(|of| described.named(of).into_keys()) {
                    described.check(schema, &format!("{name}.{below}")).unwrap();
                    checked += 1;
                }
            }
        }
        assert!(checked > 200, "only {checked} fields in fields");
    }

    #[test]
    fn what_is_left_is_what_was_asked_for() {
        let whole = json!({"a": 1, "b": {"c": 2, "d": [{"e": 3, "f": 4}, {"f": 5}]}, "g": null});
        for (asked, left) in [
            (&["a"][..], json!({"a": 1})),
            (&["b.c", "g"], json!({"b": {"c": 2}, "g": null})),
            (&["b.d.f"], json!({"b": {"d": [{"f": 4}, {"f": 5}]}})),
            (&["b", "b.c"], json!({"b": whole["b"]})),
            (&["b.c", "b"], json!({"b": whole["b"]})),
            (&["x", "a.y"], json!({"a": 1})),
        ] {
            let mut fields = Fields::default();
            asked.iter().for_each(|field| fields.add(field));
            assert_eq!(fields.of(whole.clone()), left, "{asked:?}");
        }
    }
}
