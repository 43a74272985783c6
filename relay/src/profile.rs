//! Where a relay's processor time goes: samples of all its threads for some seconds, as pprof reads them. For who holds a key of its
//! own, at the address of those who run the relay.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flagforge_flags::manifest::Digest;
use pprof::protos::Message as _;
use serde::Deserialize;

use crate::problem::Refused;

/// Samples a second of each processor's time: no divisor of anything that goes round in tenths, and a thousandth of the time.
const FREQUENCY: i32 = 99;
/// How long is sampled where nobody says so, and at the longest.
const SECONDS: u64 = 10;
const MAX_SECONDS: u64 = 60;
/// A key that can be guessed is none.
const MIN_KEY_CHARS: usize = 16;
/// Their stacks cannot be walked from wherever a signal meets them.
const NOT_WALKED: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// Who may ask, and whether somebody does.
#[derive(Debug)]
struct Profiler {
    key: Digest,
    /// One at a time: they share the process's timer.
    sampling: Mutex<()>,
}

#[derive(Deserialize)]
struct Asked {
    seconds: Option<u64>,
}

/// `GET /debug/pprof/profile?seconds=<1 to 60>`, with `Authorization: Bearer <key>`.
pub(crate) fn profiling(key: &str) -> anyhow::Result<Router> {
    anyhow::ensure!(
        key.chars().count() >= MIN_KEY_CHARS,
        "FLAGFORGE_PROFILE_KEY has fewer than {MIN_KEY_CHARS} characters"
    );
    let profiler = Profiler { key: Digest::of(key.as_bytes()), sampling: Mutex::new(()) };
    Ok(Router::new().route("/debug/pprof/profile", get(profile)).with_state(Arc::new(profiler)))
}

async fn profile(
    State(profiler): State<Arc<Profiler>>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let profiled = profiled(profiler, asked, &headers).await;
    profiled.unwrap_or_else(|refused| refused.problem())
}

async fn profiled(
    profiler: Arc<Profiler>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: &HeaderMap,
) -> Result<Response, Refused> {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
    if !profiler.key.same(&Digest::of(shown.as_bytes())) {
        return Err(Refused::Unauthenticated);
    }
    let seconds = asked.ok().map(|Query(asked)| asked.seconds.unwrap_or(SECONDS));
    let seconds = seconds.filter(|seconds| (1..=MAX_SECONDS).contains(seconds));
    let seconds = seconds.ok_or_else(|| {
        Refused::Invalid(format!("`seconds` must be a whole number from 1 to {MAX_SECONDS}"))
    })?;
    // To the end, also where who asked has hung up: the timer has to be taken back.
    let sampled = tokio::task::spawn_blocking(move || {
        let Ok(_sampling) = profiler.sampling.try_lock() else {
            return Err(Refused::Full { what: "profile under way", whose: "this relay", limit: 1 });
        };
        sample(Duration::from_secs(seconds)).map_err(|error| {
            tracing::error!(error = format!("{error:#}"), "no profile");
            Refused::Unavailable("a profile could not be taken; the log says why")
        })
    });
    let ended = |_| Refused::Unavailable("a profile could not be taken");
    let profile = sampled.await.map_err(ended)??;
    Ok((StatusCode::OK, [(CONTENT_TYPE, "application/octet-stream")], profile).into_response())
}

/// A profile in the protocol buffers of pprof.
fn sample(during: Duration) -> anyhow::Result<Vec<u8>> {
    let timer = pprof::ProfilerGuardBuilder::default();
    let timer = timer.frequency(FREQUENCY).blocklist(&NOT_WALKED).build().context("no timer")?;
    std::thread::sleep(during);
    let profile = timer.report().build().context("no report")?.pprof().context("no profile")?;
    profile.write_to_bytes().context("it cannot be written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    const KEY: &str = "0123456789abcdef";

    async fn ask(router: &Router, key: &str, query: &str) -> (StatusCode, Vec<u8>) {
        let request = Request::builder().uri(format!("/debug/pprof/profile{query}"));
        let request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        (status, to_bytes(answer.into_body(), 1 << 24).await.unwrap().to_vec())
    }

    #[test]
    fn a_key_that_can_be_guessed_is_refused() {
        assert!(profiling(KEY).is_ok());
        assert!(profiling(&KEY[1..]).unwrap_err().to_string().contains("16"));
    }

    /// What the profile has to find.
    #[inline(never)]
    fn squares_of_a_busy_thread(until: std::time::Instant) -> u64 {
        let mut sum = 0_u64;
        while std::time::Instant::now() < until {
            sum = (0..10_000_u64).fold(sum, |sum, n| sum.wrapping_add(std::hint::black_box(n * n)));
        }
        sum
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_holds_the_key_learns_what_threads_are_busy_with() {
        let router = profiling(KEY).unwrap();
        for key in ["", "0123456789abcdeg", "0123456789abcdef0"] {
            assert_eq!(ask(&router, key, "?seconds=1").await.0, StatusCode::UNAUTHORIZED, "{key}");
        }
        for bad in ["?seconds=0", "?seconds=61", "?seconds=-1", "?seconds=x", "?seconds=1.5"] {
            assert_eq!(ask(&router, KEY, bad).await.0, StatusCode::BAD_REQUEST, "{bad}");
        }
        let until = std::time::Instant::now() + Duration::from_secs(3);
        let busy = std::thread::spawn(move || squares_of_a_busy_thread(until));
        let (first, second) = tokio::join!(ask(&router, KEY, "?seconds=1"), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            ask(&router, KEY, "?seconds=1").await
        });
        assert_eq!(second.0, StatusCode::SERVICE_UNAVAILABLE, "one at a time");
        assert_eq!(first.0, StatusCode::OK);
        let profile = pprof::protos::Profile::parse_from_bytes(&first.1).unwrap();
        assert!(!profile.sample.is_empty());
        let found = profile.string_table.iter().any(|name| name.contains("squares_of_a_busy"));
        assert!(found, "{:?}", profile.string_table);
        busy.join().unwrap();
    }
}
