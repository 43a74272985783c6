//! The page: flags × tenants, live, for whoever runs this process. It has no rules of its own: what it
//! shows and changes goes through the management API and the data plane, with keys that they issue.

mod board;
mod live;
mod session;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use flagforge_flags::Revision;
use flagforge_flags::keys::{EnvKey, OrgKey};
use tokio::sync::{broadcast, watch};

use crate::inside::Inside;
use crate::sample::Saying;
pub(crate) use session::Door;

const INDEX: &str = include_str!("../../page/index.html");
const SIGN_IN: &str = include_str!("../../page/sign-in.html");
const STYLE: &str = include_str!("../../page/page.css");
const SCRIPT: &str = include_str!("../../page/page.js");
const ICON: &str = include_str!("../../page/icon.svg");

/// Everything comes from here, nothing runs inline, nobody frames us.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// News that open pages are told of.
#[derive(Debug, Clone)]
pub(crate) struct News {
    pub(crate) org: OrgKey,
    pub(crate) env: EnvKey,
    pub(crate) revision: Revision,
}

/// What the page is made of.
pub(crate) struct Page {
    pub(crate) org: String,
    pub(crate) door: Arc<Door>,
    /// The data plane, with a server key for every environment.
    pub(crate) data: Inside,
    /// What was published, after the relay has it.
    pub(crate) news: broadcast::Sender<News>,
    /// What the sample service says, where one runs.
    pub(crate) says: Option<watch::Receiver<Vec<Saying>>>,
}

/// The page's routes, and the management API's with the page's cookie accepted.
pub(crate) fn app(page: Arc<Page>, management: Router) -> Router {
    let cookie = middleware::from_fn_with_state(page.door.clone(), session::cookie_as_key);
    let routes = Router::new()
        .route("/", get(index))
        .route("/login", get(session::by_link).post(session::by_key))
        .route("/logout", post(session::leave))
        .route("/page/page.css", get(|| async { asset("text/css; charset=utf-8", STYLE) }))
        .route("/page/page.js", get(|| async { asset("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/page/icon.svg", get(|| async { asset("image/svg+xml", ICON) }))
        .route("/page/board", get(board::board))
        .route("/page/why", get(board::why))
        .route("/page/live", get(live::live))
        .route("/demo/says", get(live::says))
        .layer(middleware::from_fn(guarded))
        .with_state(page);
    management.layer(cookie).merge(routes)
}

async fn index(State(page): State<Arc<Page>>, headers: axum::http::HeaderMap) -> Response {
    match page.door.management_of(&headers).await {
        Some(_) => Html(INDEX).into_response(),
        None => sign_in(None),
    }
}

/// The page for those who are not signed in, with what went wrong if something did.
fn sign_in(problem: Option<&'static str>) -> Response {
    let shown = problem
        .map_or_else(String::new, |text| format!("<p class=\"problem\" role=\"alert\">{text}</p>"));
    Html(SIGN_IN.replace("<!-- problem -->", &shown)).into_response()
}

fn asset(content_type: &'static str, text: &'static str) -> Response {
    // They change with the program and with nothing else; asking again is cheap on one machine.
    ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-cache")], text)
        .into_response()
}

async fn guarded(request: axum::extract::Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let stored = headers.entry(header::CACHE_CONTROL);
    stored.or_insert(HeaderValue::from_static("no-store"));
    response
}
