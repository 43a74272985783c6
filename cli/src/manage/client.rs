//! The thin client: one request, its key, its preconditions, and patience with a busy server.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url, redirect};
use serde_json::Value as Json;

use super::path::Path;
use super::refusal::{Exit, Failure};
use crate::args::note;

/// Until a connection stands.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Until an answer is whole: a step of an import may take 14 seconds, and an export 5 MB.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How often a busy server is asked.
const TRIES: u32 = 5;
/// The longest wait between two tries; a server that says more is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Bytes of an answer: a page of 500 of the largest flags is less.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    None,
    Json(Json),
    Patch(Json),
    /// Bytes of a media type.
    Raw(&'static str, Vec<u8>),
}

/// Which version a change is for.
#[derive(Debug, Clone, Default)]
pub(crate) enum Version {
    /// Whichever it is.
    #[default]
    Any,
    /// Only if it is not there.
    Absent,
    /// Only if it is still this one.
    Is(String),
}

/// What is answered, once it is a success.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    headers: HeaderMap,
    method: Method,
}

impl Answer {
    /// The body, null when there is none.
    pub(crate) fn json(&self) -> anyhow::Result<Json> {
        if self.body.is_empty() {
            return Ok(Json::Null);
        }
        serde_json::from_slice(&self.body).context("the server answered what is no JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }

    /// What a replacement has to name.
    pub(crate) fn version(&self) -> Version {
        self.header("etag").map_or(Version::Any, Version::Is)
    }

    /// Whether the request could have changed something.
    pub(crate) fn is_of_a_change(&self) -> bool {
        self.method != Method::GET
    }
}

/// One installation, asked with one key.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    key: HeaderValue,
}

impl Client {
    pub(crate) fn new(base: &Url, key: &str) -> anyhow::Result<Self> {
        speak_tls(base)?;
        let mut header = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| Failure::usage("the key has characters that no key has"))?;
        header.set_sensitive(true);
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            // A key is for the address that was named, and for no other.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("flagforge/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("making an HTTP client")?;
        Ok(Self { http, base: base.clone(), key: header })
    }

    /// Asks, patiently. What is no success is an error that says what to do.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &Path,
        headers: &[(&'static str, String)],
        body: &Body,
    ) -> anyhow::Result<Answer> {
        let url = path.below(&self.base)?;
        let headers = header_map(headers)?;
        let mut tries = 1;
        loop {
            let request = self.http.request(method.clone(), url.clone()).headers(headers.clone());
            let request = with_body(request.header("authorization", self.key.clone()), body);
            let (status, answer) =
                once(request, &method).await.map_err(|error| self.no_answer(error))?;
            match pause(status, &answer, tries) {
                Some(pause) => {
                    note(&format!("the server is busy ({status}); again in {} s", pause.as_secs()));
                    tokio::time::sleep(pause).await;
                    tries += 1;
                }
                None if (200..300).contains(&status) => return Ok(answer),
                None => {
                    let problem = serde_json::from_slice(&answer.body).unwrap_or_default();
                    let asked = format!("{method} {}", url.path());
                    return Err(Failure::of_problem(status, &asked, &problem).into());
                }
            }
        }
    }

    fn no_answer(&self, error: reqwest::Error) -> anyhow::Error {
        let base = self.base.as_str().trim_end_matches('/');
        let why = if error.is_timeout() { "did not answer in time" } else { "does not answer" };
        let next = "is it running, and is that its address? `flagforge profile show` says where it comes from";
        let failure = Failure::new(Exit::Unreachable, format!("{base} {why}\n  next:  {next}"));
        anyhow::Error::new(error.without_url()).context(failure)
    }
}

/// TLS is not in the usual build: it would be a tenth of the crates that a first build compiles.
fn speak_tls(base: &Url) -> anyhow::Result<()> {
    match base.scheme() {
        "http" => Ok(()),
        "https" if cfg!(feature = "https") => Ok(()),
        "https" => Err(Failure::usage(format!(
            "{base} needs TLS, which this build of flagforge has not\n  next:  cargo install --path cli --features https"
        ))),
        other => Err(Failure::usage(format!("{base}: `{other}` is neither http nor https"))),
    }
}

fn header_map(headers: &[(&'static str, String)]) -> anyhow::Result<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
            Failure::usage(format!("{name}: a line break or control character in {value:?}"))
        })?;
        map.insert(HeaderName::from_static(name), value);
    }
    Ok(map)
}

fn with_body(request: reqwest::RequestBuilder, body: &Body) -> reqwest::RequestBuilder {
    let (kind, bytes) = match body {
        Body::None => return request,
        Body::Json(json) => ("application/json", json.to_string().into_bytes()),
        Body::Patch(json) => ("application/merge-patch+json", json.to_string().into_bytes()),
        Body::Raw(kind, bytes) => (*kind, bytes.clone()),
    };
    request.header("content-type", kind).body(bytes)
}

async fn once(
    request: reqwest::RequestBuilder,
    method: &Method,
) -> Result<(u16, Answer), reqwest::Error> {
    let mut response = request.send().await?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = MAX_ANSWER_BYTES.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
    }
    let headers = response.headers().clone();
    Ok((response.status().as_u16(), Answer { body, headers, method: method.clone() }))
}

/// How long to wait before the next try, if there is one.
fn pause(status: u16, answer: &Answer, tries: u32) -> Option<Duration> {
    if !matches!(status, 429 | 502..=504) || tries >= TRIES {
        return None;
    }
    let said = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
    let wait = Duration::from_secs(said.unwrap_or(1 << (tries - 1)).max(1));
    (wait <= LONGEST_WAIT).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(retry_after: Option<&'static str>) -> Answer {
        let mut answer = Answer::default();
        if let Some(seconds) = retry_after {
            answer.headers.insert("retry-after", HeaderValue::from_static(seconds));
        }
        answer
    }

    #[test]
    fn a_busy_server_is_waited_for_as_it_says_and_not_for_ever() {
        let seconds =
            |status, after, tries| pause(status, &busy(after), tries).map(|p| p.as_secs());
        assert_eq!(seconds(503, Some("3"), 1), Some(3));
        assert_eq!(seconds(429, Some("0"), 1), Some(1));
        assert_eq!((seconds(503, None, 1), seconds(503, None, 4)), (Some(1), Some(8)));
        assert_eq!(seconds(503, Some("30"), TRIES - 1), Some(30));
        assert_eq!(seconds(503, Some("31"), 1), None, "longer than it is waited");
        assert_eq!(seconds(503, Some("1"), TRIES), None, "once too often");
        assert_eq!((seconds(500, None, 1), seconds(404, None, 1)), (None, None));
    }
}
