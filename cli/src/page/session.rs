//! Who is at the page: a one-time link or an admin key becomes a cookie, and the cookie stands for a
//! management key of half a day. It counts for requests that our own page makes, and for no others.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use flagforge_flags::access_key::AccessKey;
use flagforge_flags::manifest::Digest;
use flagforge_platform::ports::Timer;
use serde::Deserialize;
use serde_json::json;

use super::Page;
use crate::inside::{Inside, segment};

/// How long a sign-in lasts: a working day and its evening.
const SESSION: Duration = Duration::from_secs(12 * 60 * 60);
/// The name that the page's keys have among the organization's.
const KEY_NAME: &str = "page session";
/// The greatest page of a listing.
const LISTED: u32 = 500;

/// Lets people in.
pub(crate) struct Door {
    org: String,
    /// The cookie's name. Cookies do not tell ports apart, so the name does.
    cookie: String,
    /// The management API, with the admin key that sessions descend from.
    management: Inside,
    timer: Arc<dyn Timer>,
    /// The digest of the secret in the one-time link, until it is used.
    link: Mutex<Option<Digest>>,
}

impl Door {
    pub(crate) fn new(org: &str, port: u16, management: Inside, timer: Arc<dyn Timer>) -> Self {
        let cookie = format!("flagforge_{port}");
        Self { org: org.to_owned(), cookie, management, timer, link: Mutex::new(None) }
    }

    /// A link's secret that opens the door once; one of before opens nothing any more.
    pub(crate) fn one_time_secret(&self) -> anyhow::Result<String> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).context("drawing random bytes")?;
        let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Digest::of(secret.as_bytes()));
        Ok(secret)
    }

    /// Revokes the keys of sessions that are over, so that they do not fill the organization's list.
    pub(crate) async fn tidy(&self) -> anyhow::Result<()> {
        let keys = format!("/v1/orgs/{}/keys", self.org);
        let listing = self.management.get(&format!("{keys}?limit={LISTED}")).await?;
        let listing = listing.expect_success(&keys)?;
        let now = self.timer.now().to_string();
        for key in listing["items"].as_array().into_iter().flatten() {
            // RFC 3339 in UTC with one number of digits sorts as text.
            let over = key["expires"].as_str().is_some_and(|expires| *expires < *now);
            if let (KEY_NAME, true, Some(id)) =
                (key["name"].as_str().unwrap_or(""), over, key["id"].as_str())
            {
                self.revoke(id).await?;
            }
        }
        Ok(())
    }

    /// The management API as the person behind a request may use it; `None` when nobody is signed in.
    pub(crate) async fn management_of(&self, headers: &HeaderMap) -> Option<Inside> {
        let management = self.management.with_key(self.key_in(headers)?);
        let answer = management.get(&format!("/v1/orgs/{}", self.org)).await.ok()?;
        answer.status.is_success().then_some(management)
    }

    fn key_in<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let cookies =
            headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.cookie).map(|(_, value)| value)
    }

    fn opens(&self, secret: &str) -> bool {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = link.is_some_and(|link| link.same(&Digest::of(secret.as_bytes())));
        if fits {
            *link = None;
        }
        fits
    }

    /// Makes a key that descends from `parent` and sends it as a cookie; `None` if `parent` may not make keys.
    async fn begin(&self, parent: &Inside) -> anyhow::Result<Option<Response>> {
        let expires = self.timer.now().plus(SESSION);
        let spec =
            json!({ "kind": "mgmt", "name": KEY_NAME, "role": "maintainer", "expires": expires });
        let path = format!("/v1/orgs/{}/keys", self.org);
        let answer = parent.call(Method::POST, &path, &[], Some(&spec)).await?;
        if answer.status.is_client_error() {
            return Ok(None);
        }
        let body = answer.expect_success(&path)?;
        let key = body["key"].as_str().context("the new key is not in the answer")?;
        let cookie = self.cookie_line(key, SESSION.as_secs())?;
        Ok(Some(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()))
    }

    fn cookie_line(&self, value: &str, seconds: u64) -> anyhow::Result<HeaderValue> {
        let name = &self.cookie;
        let line = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict");
        HeaderValue::from_str(&line).context("the key does not fit into a cookie")
    }

    async fn revoke(&self, id: &str) -> anyhow::Result<()> {
        let path = format!("/v1/orgs/{}/keys/{}", self.org, segment(id));
        self.management.call(Method::DELETE, &path, &[], None).await.map(drop)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Link {
    once: String,
}

/// `GET /login?once=…`: the link that `serve` printed.
pub(super) async fn by_link(State(page): State<Arc<Page>>, Query(link): Query<Link>) -> Response {
    if !page.door.opens(&link.once) {
        let why = "This link was used already, or is from an earlier start.";
        return (StatusCode::FORBIDDEN, super::sign_in(Some(why))).into_response();
    }
    answered(page.door.begin(&page.door.management).await)
}

/// `POST /login`: an admin key, from the form.
pub(super) async fn by_key(
    State(page): State<Arc<Page>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // A key has no character that a form would encode.
    let text = std::str::from_utf8(&body).ok().and_then(|text| text.strip_prefix("key="));
    match text.and_then(|text| AccessKey::parse(text.trim()).ok()) {
        Some(key) if is_our_page(&Method::POST, &headers) => {
            answered(page.door.begin(&page.door.management.with_key(key.expose())).await)
        }
        _ => answered(Ok(None)),
    }
}

fn answered(begun: anyhow::Result<Option<Response>>) -> Response {
    match begun {
        Ok(Some(response)) => response,
        Ok(None) => {
            let why = "That is not an admin key of this organization.";
            (StatusCode::FORBIDDEN, super::sign_in(Some(why))).into_response()
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "a sign-in failed");
            let why = "Signing in failed; the terminal says why.";
            (StatusCode::INTERNAL_SERVER_ERROR, super::sign_in(Some(why))).into_response()
        }
    }
}

/// `POST /logout`: revokes the session's key and forgets the cookie.
pub(super) async fn leave(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    let door = &page.door;
    if !is_our_page(&Method::POST, &headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    if door.management_of(&headers).await.is_some()
        && let Some(key) = door.key_in(&headers).and_then(|key| AccessKey::parse(key).ok())
        && let Err(error) = door.revoke(key.id()).await
    {
        tracing::error!(error = format!("{error:#}"), "a session's key was not revoked");
    }
    match door.cookie_line("", 0) {
        Ok(cookie) => ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A layer over the management API: a request of our own page goes on with the cookie's key.
pub(super) async fn cookie_as_key(
    State(door): State<Arc<Door>>,
    mut request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    if !headers.contains_key(header::AUTHORIZATION)
        && is_our_page(request.method(), headers)
        && let Some(key) = door.key_in(headers)
        && let Ok(value) = HeaderValue::from_str(&format!("Bearer {key}"))
    {
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    next.run(request).await
}

/// Whether a request was made by our page, or typed by its reader, and not by another site's.
///
/// Browsers say so in Sec-Fetch-Site. Where they do not, a change must name us in Origin; reading needs
/// nothing, because another site gets neither the cookie (SameSite=Strict) nor the answer.
fn is_our_page(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("sec-fetch-site") {
        Some("same-origin") => true,
        Some("none") => method.is_safe(),
        Some(_) => false,
        None if method.is_safe() => true,
        None => {
            let origin = text("origin").and_then(|origin| origin.split_once("://"));
            origin.is_some_and(|(_, host)| Some(host) == text("host"))
        }
    }
}

#[test]
fn only_our_own_page_is_our_page() {
    let check = |method: Method, pairs: &[(&'static str, &str)], expected: bool| {
        let header = |(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let headers: HeaderMap = pairs.iter().map(header).collect();
        assert_eq!(is_our_page(&method, &headers), expected, "{method} {pairs:?}");
    };
    let host = ("host", "127.0.0.1:8080");
    check(Method::POST, &[host, ("sec-fetch-site", "same-origin")], true);
    check(Method::POST, &[host, ("sec-fetch-site", "same-site")], false);
    check(Method::POST, &[host, ("sec-fetch-site", "cross-site")], false);
    check(Method::POST, &[host, ("sec-fetch-site", "none")], false);
    check(Method::GET, &[host, ("sec-fetch-site", "none")], true);
    check(Method::GET, &[host, ("sec-fetch-site", "cross-site")], false);
    check(Method::POST, &[host, ("origin", "http://127.0.0.1:8080")], true);
    check(Method::POST, &[host, ("origin", "http://127.0.0.1:3000")], false);
    check(Method::POST, &[host, ("origin", "null")], false);
    check(Method::POST, &[host], false);
    check(Method::GET, &[host], true);
}
