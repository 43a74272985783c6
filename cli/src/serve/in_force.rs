//! On one machine a change is answered when it is in force: whoever flips a flag and asks at once is told
//! the new answer. The wait is bounded; past it the change is in force a little later, as on AWS.

use std::collections::HashSet;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use flagforge_flags::Revision;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_platform::{Caller, Platform};
use tokio::sync::broadcast;

use crate::page::News;

/// A publication takes some ten milliseconds; one that takes this long is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What the wait needs to know.
#[derive(Clone)]
pub(super) struct InForce {
    pub(super) platform: Platform,
    pub(super) news: broadcast::Sender<News>,
}

/// Lets a change through, and holds its answer back until the relay serves it.
pub(super) async fn wait(
    State(in_force): State<InForce>,
    request: Request,
    next: Next,
) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    // Before the change, so that its news cannot be missed.
    let heard = in_force.news.subscribe();
    let response = next.run(request).await;
    let revision = response.headers().get("flagforge-revision");
    if let Some(change) = revision.and_then(|value| value.to_str().ok()).and_then(Change::parse) {
        let environments = change.environments(&in_force.platform).await;
        // Whether it was in time is no part of the answer.
        let _ = tokio::time::timeout(LONGEST_WAIT, served(heard, &change, environments)).await;
    }
    response
}

/// An entry of a log, as the answer's header names it: `demo/prod:41`, or `demo:17`.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    org: OrgKey,
    env: Option<EnvKey>,
    number: u64,
}

impl Change {
    fn parse(header: &str) -> Option<Self> {
        let (log, number) = header.rsplit_once(':')?;
        let (org, env) = match log.split_once('/') {
            None => (log, None),
            Some((org, env)) => (org, Some(EnvKey::new(env).ok()?)),
        };
        Some(Self { org: OrgKey::new(org).ok()?, env, number: number.parse().ok()? })
    }

    fn in_revision(&self, revision: Revision) -> bool {
        let number = if self.env.is_some() { revision.env } else { revision.org };
        number >= self.number
    }

    /// The environments that the change has to reach.
    async fn environments(&self, platform: &Platform) -> HashSet<EnvKey> {
        if let Some(env) = &self.env {
            return HashSet::from([env.clone()]);
        }
        let all = platform.environments(&Caller::system("serve"), &self.org).await;
        all.unwrap_or_default().into_iter().map(|stored| stored.value.key).collect()
    }
}

async fn served(
    mut heard: broadcast::Receiver<News>,
    change: &Change,
    mut missing: HashSet<EnvKey>,
) {
    while !missing.is_empty() {
        // Who lost news can't know, and does not wait.
        let Ok(news) = heard.recv().await else { return };
        if news.org == change.org && change.in_revision(news.revision) {
            missing.remove(&news.env);
        }
    }
}

#[test]
fn a_revision_header_names_a_log_and_a_number() {
    let org = OrgKey::new("demo").ok();
    let parsed =
        |text| Change::parse(text).map(|change| (Some(change.org), change.env, change.number));
    assert_eq!(parsed("demo:17"), Some((org.clone(), None, 17)));
    assert_eq!(parsed("demo/prod:41"), Some((org, EnvKey::new("prod").ok(), 41)));
    assert_eq!(parsed("demo"), None);
    assert_eq!(parsed("demo/prod:x"), None);
}
