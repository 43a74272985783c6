//! Tells who is connected that there is another root: the doorbell, and nothing of what is in it.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use flagforge::origin::Announcement;
use flagforge_aws::Untold;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_platform::ports::{Condition, SystemTimer, TableError, Timer as _};
use flagforge_relay::News;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::connections::Connected;
use crate::handle::Connect;

/// Connections that are told at once. At 20 ms each these are 3,200 a second, a third of the 10,000 that API Gateway lets an
/// account's region do unless asked for more.
pub(crate) const AT_ONCE: usize = 64;
/// Scopes of single tenants whose roots are read at once, as the publisher writes them.
const SCOPES_AT_ONCE: usize = 16;
/// Time to tell, ten seconds less than the function has: 3,200 a second come to 160,000 connections of one environment. Who
/// is not told by then polls.
const TELL_WITHIN: Duration = Duration::from_secs(50);
/// A connection this young may be gone because it is not there yet: `$connect` is answered within 29 seconds.
const PENDING: Duration = Duration::from_secs(30);
/// Connections of one key to an environment, as many as a relay lets it have streams. Beyond it the key is let in no more.
pub(crate) const MAX_CONNECTIONS_OF_A_KEY: usize = 10_000;

/// What telling came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Told {
    pub(crate) said: usize,
    /// Forgotten, because they are gone.
    pub(crate) gone: usize,
    /// Ended, because their key may hear of it no more.
    pub(crate) ended: usize,
    pub(crate) failed: usize,
}

enum Outcome {
    Said,
    Gone,
    Ended,
    /// Why.
    Failed(String),
    /// Nothing was to be done.
    Quiet,
}

/// What is said.
#[derive(Serialize)]
struct Word<'a> {
    scope: &'a Scope,
    revision: &'a str,
    serial: u64,
}

/// What one scope is to be told; `None`: nothing that it was not told.
type Another = Option<(Announcement, String)>;

/// One round of telling.
struct Telling<'t> {
    connect: &'t Connect,
    news: News<'t>,
    scopes: HashMap<ScopeId, Another>,
    keys: HashMap<String, usize>,
    told: Told,
}

impl Connect {
    /// Tells everybody of an environment whose scope has another root than they were told of, and ends who may not hear of
    /// it any more. One connection's failure is its own.
    pub(crate) async fn tell(
        &self,
        org: &OrgKey,
        env: &EnvKey,
    ) -> Result<Told, lambda_runtime::Error> {
        let until = Instant::now() + TELL_WITHIN;
        let (first, mut next) = self.connections.page(org, env, None, SystemTimer.now()).await?;
        if first.is_empty() && next.is_none() {
            // Nobody listens: the bucket is not even asked.
            return Ok(Told::default());
        }
        let news = self.relay.news(org, env).await;
        let news = news.ok_or("the environment's manifest cannot be had")?;
        let (scopes, keys, told) = (HashMap::new(), HashMap::new(), Told::default());
        let mut telling = Telling { connect: self, news, scopes, keys, told };
        telling.some(first).await?;
        while let Some(page) = next.take() {
            if Instant::now() > until {
                error!(%org, %env, alarm = "untold", "there are more connections than there is time");
                break;
            }
            let some;
            (some, next) = self.connections.page(org, env, Some(page), SystemTimer.now()).await?;
            telling.some(some).await?;
        }
        telling.note(org, env).await?;
        Ok(telling.told)
    }
}

impl Telling<'_> {
    async fn some(&mut self, connected: Vec<Connected>) -> Result<(), TableError> {
        self.look_at_scopes(&connected).await?;
        for Connected { whose, .. } in &connected {
            *self.keys.entry(whose.key.clone()).or_default() += 1;
        }
        let (this, mut told) = (&*self, self.told);
        let mut outcomes =
            stream::iter(connected).map(|one| this.one(one)).buffer_unordered(AT_ONCE);
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Outcome::Said => told.said += 1,
                Outcome::Gone => told.gone += 1,
                Outcome::Ended => told.ended += 1,
                Outcome::Failed(why) => {
                    // The first says enough: what is wrong with all of them is one thing.
                    if told.failed == 0 {
                        warn!(why, "a connection was not told");
                    }
                    told.failed += 1;
                }
                Outcome::Quiet => {}
            }
        }
        drop(outcomes);
        self.told = told;
        Ok(())
    }

    /// Finds out what each scope is to be told that was not looked at yet. Of a tenant's it is only its own roots: what the
    /// others' do is not its business.
    async fn look_at_scopes(&mut self, connected: &[Connected]) -> Result<(), TableError> {
        let new: BTreeSet<ScopeId> = (connected.iter().map(|one| &one.whose.scope))
            .filter(|scope| !self.scopes.contains_key(scope))
            .cloned()
            .collect();
        let this = &*self;
        let looked: Vec<_> = stream::iter(new)
            .map(|scope| async move { Ok((scope.clone(), this.another(&scope).await?)) })
            .buffer_unordered(SCOPES_AT_ONCE)
            .collect()
            .await;
        for looked in looked {
            let (scope, another): (_, Another) = looked?;
            self.scopes.insert(scope, another);
        }
        Ok(())
    }

    async fn another(&self, scope: &ScopeId) -> Result<Another, TableError> {
        let Some(newest) = self.news.newest(&scope.scope).await else { return Ok(None) };
        if self.connect.connections.told(scope).await?.as_ref() == Some(&newest) {
            return Ok(None);
        }
        let Announcement { revision, serial } = &newest;
        let word = Word { scope: &scope.scope, revision, serial: *serial };
        // Names and numbers always serialize.
        let text = serde_json::to_string(&word).unwrap_or_default();
        Ok(Some((newest, text)))
    }

    async fn one(&self, Connected { id, whose }: Connected) -> Outcome {
        let connect = self.connect;
        if !self.news.may_hear(&whose.scope.scope, &whose.key) {
            if let Err(error) = connect.line.end(&id).await {
                return failed(&id, &error);
            }
            return self.forget(&id, &whose.scope, Outcome::Ended).await;
        }
        let Some(Some((_, text))) = self.scopes.get(&whose.scope) else { return Outcome::Quiet };
        match connect.line.say(&id, text).await {
            Ok(()) => Outcome::Said,
            Err(Untold::Gone) if SystemTimer.now().since(whose.since) < PENDING => Outcome::Quiet,
            Err(Untold::Gone) => self.forget(&id, &whose.scope, Outcome::Gone).await,
            Err(error) => failed(&id, &error),
        }
    }

    async fn forget(&self, id: &str, scope: &ScopeId, outcome: Outcome) -> Outcome {
        match self.connect.connections.forget(id, scope).await {
            Ok(()) => outcome,
            Err(error) => failed(id, &error),
        }
    }

    /// Notes what was told, and which keys are full.
    async fn note(&self, org: &OrgKey, env: &EnvKey) -> Result<(), TableError> {
        let (connections, now) = (&self.connect.connections, SystemTimer.now());
        for (scope, another) in &self.scopes {
            if let Some((announcement, _)) = another {
                connections.note_told(scope, announcement, Condition::Any, now).await?;
            }
        }
        for (key, _) in self.keys.iter().filter(|(_, count)| **count >= MAX_CONNECTIONS_OF_A_KEY) {
            warn!(%org, %env, key, "the key has all the connections that one may have");
            connections.note_full(org, env, key, now).await?;
        }
        Ok(())
    }
}

fn failed(id: &str, error: &(dyn std::error::Error + 'static)) -> Outcome {
    Outcome::Failed(format!("{id}: {}", flagforge::chain(error)))
}
