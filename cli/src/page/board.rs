//! The board: what each flag answers to each tenant in one environment, and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Page;
use crate::inside::{Answer, Inside, segment};

/// Flags and tenants that are shown. A board of more is the console's, not this page's.
const MAX_FLAGS: usize = 50;
const MAX_TENANTS: usize = 12;

/// For whom the board is drawn.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    env: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    country: String,
}

/// Which answer is to be explained.
#[derive(Debug, Deserialize)]
pub(super) struct Why {
    flag: String,
    tenant: String,
    #[serde(flatten)]
    asked: Asked,
}

/// `GET /page/board?env=…&user=…&country=…`.
pub(super) async fn board(
    State(page): State<Arc<Page>>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    match page.door.management_of(&headers).await {
        None => StatusCode::UNAUTHORIZED.into_response(),
        Some(management) => answered(draw(&page, &management, &asked).await),
    }
}

/// `GET /page/why?env=…&flag=…&tenant=…`: the explanation, as the data plane gives it.
pub(super) async fn why(
    State(page): State<Arc<Page>>,
    headers: HeaderMap,
    Query(why): Query<Why>,
) -> Response {
    if page.door.management_of(&headers).await.is_none() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    answered(explain(&page, &why.asked, &why.flag, &why.tenant).await)
}

fn answered(answer: anyhow::Result<Answer>) -> Response {
    match answer {
        Ok(answer) => (answer.status, Json(answer.body)).into_response(),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the page could not be drawn");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn draw(page: &Page, management: &Inside, asked: &Asked) -> anyhow::Result<Answer> {
    let org = format!("/v1/orgs/{}", page.org);
    let env = segment(&asked.env);
    let environments = management.get(&format!("{org}/environments")).await?;
    let tenants = management.get(&format!("{org}/tenants?limit={MAX_TENANTS}")).await?;
    let flags = management.get(&format!("{org}/flags?limit={MAX_FLAGS}")).await?;
    let states =
        management.get(&format!("{org}/environments/{env}/flags?limit={MAX_FLAGS}")).await?;
    for answer in [&environments, &tenants, &flags, &states] {
        if !answer.status.is_success() {
            return Ok(answer.clone());
        }
    }
    let mut rows = Vec::new();
    for definition in items(&flags) {
        let key = definition["key"].as_str().unwrap_or_default();
        let state = items(&states).find(|state| state["key"] == definition["key"]);
        let mut cells = Vec::new();
        for tenant in items(&tenants).filter_map(|tenant| tenant["key"].as_str()) {
            let explained = explain(page, asked, key, tenant).await?;
            cells.push(json!({ "tenant": tenant, "status": explained.status.as_u16(), "answer": explained.body }));
        }
        rows.push(json!({
            "key": key,
            "class": definition["class"],
            "description": definition["description"],
            "enabled": state.map_or(Value::Null, |state| state["enabled"].clone()),
            "cells": cells,
        }));
    }
    let more = !flags.body["next"].is_null() || !tenants.body["next"].is_null();
    let mut envs: Vec<&Value> = items(&environments).collect();
    // People make them in the order in which changes pass through them.
    envs.sort_by_key(|env| env["created"].as_str());
    let body = json!({
        "org": page.org,
        "env": asked.env,
        "environments": envs.iter().map(|env| &env["key"]).collect::<Vec<_>>(),
        "tenants": items(&tenants).collect::<Vec<_>>(),
        "flags": rows,
        "more": more,
    });
    Ok(Answer { status: StatusCode::OK, body })
}

fn items(listing: &Answer) -> impl Iterator<Item = &Value> {
    listing.body["items"].as_array().into_iter().flatten()
}

async fn explain(page: &Page, asked: &Asked, flag: &str, tenant: &str) -> anyhow::Result<Answer> {
    let mut context = serde_json::Map::new();
    if !asked.user.is_empty() {
        context.insert("targetingKey".to_owned(), json!(asked.user));
    }
    if !asked.country.is_empty() {
        context.insert("country".to_owned(), json!(asked.country));
    }
    let headers = [
        (HeaderName::from_static("flagforge-environment"), asked.env.as_str()),
        (HeaderName::from_static("flagforge-tenant"), tenant),
    ];
    let path = format!("/data/v1/explain/{}", segment(flag));
    page.data.call(Method::POST, &path, &headers, Some(&json!({ "context": context }))).await
}
