//! Refusals, and the only place that knows their HTTP: OFREP's error bodies and RFC 9457 problems.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

/// Whole seconds after which an origin that did not answer is worth another try.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No key, or none that is known here; which of the two, or whose, is nobody's business.
    Unauthenticated,
    /// The key is good, and not for this.
    Forbidden(&'static str),
    /// There is no such thing, or none that is the asker's.
    NotFound(&'static str),
    /// There is no such flag, or none that the asker may see.
    FlagNotFound,
    /// The body is not JSON.
    Malformed(String),
    /// The request says something that cannot be, in OpenFeature's words `INVALID_CONTEXT`.
    Invalid(String),
    /// The evaluation came to an error: its code, and a sentence.
    Evaluation(&'static str, String),
    /// The body is over the limit in bytes.
    TooLarge(usize),
    /// The body did not come within this time.
    Slow(Duration),
    /// The key or the tenant asks too often.
    TooMany { whose: &'static str, per_second: u32, retry_after_seconds: u32 },
    /// All places are taken that there are, or those of the key.
    Full { what: &'static str, whose: &'static str, limit: usize },
    /// The origin does not answer.
    Unavailable(&'static str),
}

/// One word for programs, one status, one sentence for people.
struct Described {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    code: &'static str,
    detail: String,
}

impl Refused {
    fn describe(&self) -> Described {
        use StatusCode as S;
        let of = |status, kind, title, code, detail: &str| {
            let detail = detail.to_owned();
            Described { status, kind, title, code, detail }
        };
        match self {
            Self::Unauthenticated => of(
                S::UNAUTHORIZED,
                "unauthenticated",
                "Unauthenticated",
                "GENERAL",
                "send a valid access key as Authorization: Bearer <key> or X-API-Key: <key>",
            ),
            Self::Forbidden(why) => of(S::FORBIDDEN, "forbidden", "Forbidden", "GENERAL", why),
            Self::NotFound(what) => {
                let detail = format!("there is no {what} here that is yours");
                of(S::NOT_FOUND, "not-found", "Not found", "GENERAL", &detail)
            }
            Self::FlagNotFound => of(
                S::NOT_FOUND,
                "not-found",
                "Not found",
                "FLAG_NOT_FOUND",
                "there is no such flag in this environment",
            ),
            Self::Malformed(why) => {
                of(S::BAD_REQUEST, "malformed", "Malformed JSON", "PARSE_ERROR", why)
            }
            Self::Invalid(why) => {
                of(S::BAD_REQUEST, "invalid", "Invalid request", "INVALID_CONTEXT", why)
            }
            Self::Evaluation(code, why) => {
                of(S::BAD_REQUEST, "evaluation", "Not evaluated", code, why)
            }
            Self::TooLarge(limit) => {
                let detail = format!("the body is over the limit of {limit} bytes");
                of(S::PAYLOAD_TOO_LARGE, "body-too-large", "Body too large", "GENERAL", &detail)
            }
            Self::Slow(within) => {
                let detail = format!("the body did not come within {} s", within.as_secs());
                of(S::REQUEST_TIMEOUT, "slow", "Too slow", "GENERAL", &detail)
            }
            Self::TooMany { whose, per_second, .. } => {
                let detail =
                    format!("this {whose} asks more than {per_second} times a second here");
                of(S::TOO_MANY_REQUESTS, "rate-limited", "Too many requests", "GENERAL", &detail)
            }
            Self::Full { what, whose, limit } => {
                let detail = format!("{whose} has {limit} {what}, which is the limit");
                of(S::SERVICE_UNAVAILABLE, "busy", "Try again", "GENERAL", &detail)
            }
            Self::Unavailable(why) => {
                of(S::SERVICE_UNAVAILABLE, "busy", "Try again", "GENERAL", why)
            }
        }
    }

    /// The sentence for people.
    #[cfg(feature = "flagd")]
    pub(crate) fn detail(&self) -> String {
        self.describe().detail
    }

    /// As OFREP says it: every error names the flag, a code and the details.
    pub(crate) fn ofrep(&self, flag: &str) -> Response {
        let Described { status, code, detail, .. } = self.describe();
        let body = json!({"key": flag, "errorCode": code, "errorDetails": detail});
        self.dress((status, Json(body)).into_response())
    }

    /// As OFREP says it of all flags at once.
    pub(crate) fn ofrep_of_all(&self) -> Response {
        let Described { status, code, detail, .. } = self.describe();
        let body = json!({"errorCode": code, "errorDetails": detail});
        self.dress((status, Json(body)).into_response())
    }

    /// As the rest of the platform says it.
    pub(crate) fn problem(&self) -> Response {
        let Described { status, kind, title, detail, .. } = self.describe();
        let kind = format!("urn:flagforge:problem:{kind}");
        let body =
            json!({"type": kind, "title": title, "status": status.as_u16(), "detail": detail});
        let mut response = self.dress((status, Json(body)).into_response());
        let media = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, media);
        response
    }

    fn dress(&self, mut response: Response) -> Response {
        match self {
            Self::Unauthenticated => {
                let bearer = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
            }
            Self::Unavailable(_) | Self::Full { .. } => {
                retry_after(&mut response, RETRY_AFTER_SECONDS)
            }
            Self::TooMany { retry_after_seconds, .. } => {
                retry_after(&mut response, *retry_after_seconds);
            }
            _ => {}
        }
        private(response)
    }
}

fn retry_after(response: &mut Response, seconds: u32) {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
}

/// An answer to whoever has the key, and to nobody else: no shared cache may keep it.
pub(crate) fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    }
    let vary = "Authorization, X-API-Key, FlagForge-Tenant, FlagForge-Environment";
    headers.insert(header::VARY, HeaderValue::from_static(vary));
    response
}

/// A JSON answer.
pub(crate) fn answer(body: &impl Serialize) -> Response {
    private(Json(body).into_response())
}

/// Signed or content-addressed bytes under their tag; none when the asker holds that tag.
pub(crate) fn tagged(
    bytes: impl Into<Body>,
    media: &'static str,
    etag: &str,
    cache: &'static str,
    held: bool,
) -> Response {
    let mut response = if held {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(bytes.into());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        response
    };
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    private(response)
}
