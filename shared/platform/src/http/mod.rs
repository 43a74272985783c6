//! The management API: thin handlers over the use cases. No rule lives here.

mod answer;
mod asked;
mod audit;
mod catalog;
mod collection;
mod cors;
mod deleted;
mod describe;
mod erasures;
mod flags;
mod groups;
mod imports;
mod issuers;
mod keys;
mod kills;
mod kinds;
mod logs;
mod manifest;
mod operator;
mod organizations;
mod people;
mod problem;
mod promotions;
mod propagation;
mod query;
mod roles;
mod schedules;
mod segments;
mod source;
mod special;
mod states;
mod tenants;
mod trust;
mod webhooks;

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use crate::Platform;
use crate::error::Error;
use crate::limits::{KEY_REQUESTS_PER_SECOND, REQUEST_BURST_SECONDS};
use crate::people::Asking;
use asked::Acting;
use problem::Problem;

pub use asked::MAX_BODY_BYTES;
pub use cors::cors;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "FlagForge management API",
        description = "Define flags, set what they do per environment, tenant and group, and read the log of it all."
    ),
    modifiers(&KeyAuth),
    security(("key" = [])),
    components(schemas(
        problem::ProblemBody,
        answer::ConditionForm,
        crate::catalog::CatalogBy,
        crate::segments::ListName,
        flagforge_flags::wire::ElementsWire
    ))
)]
struct Api;

struct KeyAuth;

impl utoipa::Modify for KeyAuth {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("ff_mgmt_…");
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(scheme.build()));
    }
}

fn routes() -> OpenApiRouter {
    OpenApiRouter::with_openapi(Api::openapi())
        .merge(organizations::routes())
        .merge(tenants::routes())
        .merge(imports::routes())
        .merge(source::routes())
        .merge(special::routes())
        .merge(groups::routes())
        .merge(flags::routes())
        .merge(deleted::routes())
        .merge(collection::routes())
        .merge(states::routes())
        .merge(schedules::routes())
        .merge(segments::routes())
        .merge(kills::routes())
        .merge(manifest::routes())
        .merge(catalog::routes())
        .merge(promotions::routes())
        .merge(propagation::routes())
        .merge(keys::routes())
        .merge(roles::routes())
        .merge(issuers::routes())
        .merge(people::routes())
        .merge(logs::routes())
        .merge(audit::routes())
        .merge(erasures::routes())
        .merge(operator::routes())
        .merge(webhooks::routes())
        .merge(trust::routes())
}

/// The management API's description, OpenAPI 3.1, from the code.
pub fn openapi() -> utoipa::openapi::OpenApi {
    describe::complete(routes().split_for_parts().1)
}

/// The management API: `/v1/…` and `/openapi.json`. Every route under `/v1` asks for a key first.
pub fn app(platform: Platform) -> Router {
    let (router, openapi) = routes().split_for_parts();
    let openapi = describe::complete(openapi);
    let taken = Arc::new(query::Described::by(&openapi));
    let described = move || {
        let openapi = openapi.clone();
        async move { Json(openapi) }
    };
    router
        .route_layer(middleware::from_fn_with_state(taken, query::read))
        .route_layer(middleware::from_fn_with_state(platform, authenticate))
        .route("/v1/{*rest}", any(nowhere))
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn(identify))
        .route("/openapi.json", get(described))
}

/// `GET /healthz`, for a process that serves no data plane (which has its own).
pub fn health() -> Router {
    Router::new().route("/healthz", get(|| async { Json(serde_json::json!({"status": "ok"})) }))
}

async fn nowhere() -> Problem {
    Problem::from(Error::NotFound { what: "route" })
}

async fn not_allowed() -> Problem {
    Problem::method_not_allowed()
}

/// Puts the caller into the request, or answers 401.
async fn authenticate(
    State(platform): State<Platform>,
    mut request: Request,
    next: Next,
) -> Response {
    let presented = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let key = presented.and_then(|value| value.split_once(' ')).and_then(|(scheme, key)| {
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned())
    });
    let path = request.uri().path();
    let (org, accepts) = (asked::organization(path), people::accepts(path));
    let reports = propagation::reports(request.method(), path);
    let asking = Asking { org: org.as_ref(), accepts, reports };
    let caller = match key {
        None => Err(Error::Unauthenticated),
        Some(key) => platform.authenticate(&key, asking).await,
    };
    match caller {
        Ok(caller) => {
            let acting = Acting(platform.acting_for_caller(&caller, asking));
            let left = caller.requests_left;
            request.extensions_mut().insert(acting);
            request.extensions_mut().insert(caller);
            let mut response = next.run(request).await;
            // Who turned out to be nobody hears no more than who was nobody from the beginning.
            if response.status() != StatusCode::UNAUTHORIZED {
                tell_rate(response.headers_mut(), left);
            }
            response
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

/// The IETF draft's headers of rates. Approximate: each process counts for itself.
fn tell_rate(headers: &mut HeaderMap, left: u64) {
    let window = REQUEST_BURST_SECONDS;
    let quota = KEY_REQUESTS_PER_SECOND * window;
    answer::set(headers, "ratelimit-policy", &format!("\"requests\";q={quota};w={window}"));
    let left = left.min(quota.into());
    answer::set(headers, "ratelimit", &format!("\"requests\";r={left};t={window}"));
}

/// Gives the request an id (its own if it has a decent one), answers with it, and logs what came of it.
async fn identify(mut request: Request, next: Next) -> Response {
    let id = asked::RequestId::of(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    tracing::debug!(
        request_id = %id.0,
        %method,
        route = route.as_deref().unwrap_or("none"),
        status = response.status().as_u16(),
        "answered"
    );
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}
