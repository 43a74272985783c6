//! What every operation of the description has in common, said once: names that are unique, what a status
//! means, that errors are problems.

use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AnyOf, ObjectBuilder, Schema, Type};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{OpenApi, PathItem, Ref, RefOr, Required};

use super::query::FIELDS;

/// What each part of the API is about. A route of another part fails a test.
const TAGS: &[(&str, &str)] = &[
    ("organizations", "Organizations and their environments."),
    ("flags", "What flags are, in every environment."),
    ("deleted", "What was deleted and can come back."),
    ("states", "What flags do in one environment, and for whom they are special."),
    ("schedules", "Changes that take effect at an instant."),
    ("kills", "Many flags off in one call, and back."),
    ("manifest", "What is published of an environment."),
    ("promotion", "What differs between environments, and bringing it over."),
    ("propagation", "Which processes have got which revision."),
    ("segments", "Saved sets of users."),
    ("tenants", "Customers of the organization."),
    ("groups", "Named sets of tenants."),
    ("imports", "Many tenants at once."),
    ("keys", "Access keys."),
    ("people", "Who signs in, and who says who they are."),
    ("roles", "Roles of the organization's own."),
    ("log", "What was changed, by whom and why."),
    ("webhooks", "Who is told of changes."),
    ("operator", "For the operator of the installation."),
    ("trust", "What SDKs trust."),
];

/// Completes the description that the routes give.
pub(super) fn complete(mut openapi: OpenApi) -> OpenApi {
    for (path, item) in &mut openapi.paths.paths {
        for (method, operation) in operations(item) {
            name(path, method, operation);
            say_responses(operation);
            if method == "get" {
                say_fields(operation);
            }
        }
    }
    say_conditions(&mut openapi);
    let tag = |(name, about): &(&str, &str)| {
        TagBuilder::new().name(*name).description(Some(*about)).build()
    };
    openapi.tags = Some(TAGS.iter().map(tag).collect());
    openapi
}

/// A rule's condition is answered as text when that is asked for. And `"always"` is both a tree and a text.
fn say_conditions(openapi: &mut OpenApi) {
    let Some(components) = &mut openapi.components else { return };
    if let Some(RefOr::T(Schema::Object(rule))) = components.schemas.get_mut("RuleWire") {
        let condition = RefOr::Ref(Ref::from_schema_name("ConditionInput"));
        rule.properties.insert("when".to_owned(), condition);
    }
    if let Some(RefOr::T(condition)) = components.schemas.get_mut("ConditionInput")
        && let Schema::OneOf(forms) = condition
    {
        let (items, description) = (forms.items.clone(), forms.description.clone());
        let mut any = AnyOf::new();
        (any.items, any.description) = (items, description);
        *condition = Schema::AnyOf(any);
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("get", &mut item.get),
        ("put", &mut item.put),
        ("post", &mut item.post),
        ("delete", &mut item.delete),
        ("patch", &mut item.patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The operation's id, from its method and path, so that no two are alike: `get-orgs-org-flags-flag`. The first
/// sentence of a handler's comment is its summary, which is its description too where there is no more.
fn name(path: &str, method: &str, operation: &mut Operation) {
    let words = path.trim_start_matches("/v1/").replace(['{', '}'], "").replace('/', "-");
    operation.operation_id = Some(format!("{method}-{words}"));
    if operation.description.is_none() {
        operation.description = operation.summary.clone();
    }
}

fn say_responses(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if response.description.is_empty() {
            response.description = meaning(status).to_owned();
        }
        if status == "default"
            && let Some(body) = response.content.shift_remove("application/json")
        {
            response.content.insert("application/problem+json".to_owned(), body);
        }
    }
}

/// What answers with JSON can answer with less of it.
fn say_fields(operation: &mut Operation) {
    let answers_json = operation.responses.responses.get("200").is_some_and(|response| {
        matches!(response, RefOr::T(response) if response.content.contains_key("application/json"))
    });
    if answers_json {
        let fields = ParameterBuilder::new()
            .name(FIELDS)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(
                "Only these fields, `a,b.c`: of the items of a list, and else of the answer. What is not asked for is \
                 absent, also where the schema requires it; a list's items keep their `etag`.",
            ))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        operation.parameters.get_or_insert_default().push(RefOr::T(fields.build()));
    }
}

fn meaning(status: &str) -> &'static str {
    match status {
        "200" => "As it stands now.",
        "201" => "It is new.",
        "202" => "It was taken and is under way.",
        "204" => "It is gone.",
        "304" => "What the caller holds is current.",
        "default" => "A problem (RFC 9457). Its types are in docs/problems.md.",
        _ => "See the operation.",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value as Json;

    fn described() -> Json {
        serde_json::to_value(crate::openapi()).unwrap()
    }

    /// What clients are generated from is read in review, and stands beside the code that makes it.
    #[test]
    fn the_committed_description_is_that_of_the_code() {
        let described = serde_json::to_string_pretty(&crate::openapi()).unwrap();
        let committed = include_str!("../../openapi.json");
        let renew =
            "cargo run -p flagforge-platform --example openapi > shared/platform/openapi.json";
        assert!(described == committed.trim_end(), "openapi.json is stale; renew it: {renew}");
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_a_known_tag_and_problems() {
        let described = described();
        let mut ids = BTreeSet::new();
        for (path, item) in described["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let place = format!("{method} {path}");
                assert!(ids.insert(operation["operationId"].to_string()), "{place}");
                let tag = operation["tags"][0].as_str().unwrap();
                let known = super::TAGS.iter().any(|(name, _)| *name == tag);
                assert!(known, "{place}: say in http/describe.rs what `{tag}` is about");
                let problems = &operation["responses"]["default"]["content"];
                assert!(problems["application/problem+json"].is_object(), "{place}");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(json: &Json, found: &mut BTreeSet<String>) {
            match json {
                Json::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Json::as_str).map(str::to_owned));
                    fields.values().for_each(|value| references(value, found));
                }
                Json::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let described = described();
        let mut found = BTreeSet::new();
        references(&described, &mut found);
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(
                described.pointer(pointer).is_some(),
                "{reference} leads nowhere; name it in http/mod.rs at `components(schemas(…))`"
            );
        }
    }
}
