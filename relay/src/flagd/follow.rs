//! Following an environment on behalf of somebody, as the streams of both services do.

use std::sync::Arc;

use axum::http::HeaderMap;
use flagforge_flags::keys::TenantKey;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use super::caller::status;
use crate::asker::Asker;
use crate::clock;
use crate::problem::Refused;
use crate::relay::Relay;
use crate::seats::Seat;
use crate::shelf::Shelf;

/// An environment that somebody may follow, on behalf of a tenant where one is named.
pub(super) struct Followed {
    /// `None` once the key is good no more.
    asker: Option<Asker>,
    pub(super) tenant: Option<TenantKey>,
    turns: watch::Receiver<()>,
    rounds: watch::Receiver<u64>,
    /// What was told last.
    shelf: Arc<Shelf>,
}

impl Followed {
    pub(super) async fn of(relay: &Relay, headers: &HeaderMap) -> Result<Self, Refused> {
        let asker = Asker::of(relay, headers, None).await?;
        let named = asker.names_tenant(headers);
        let tenant = if named { Some(asker.tenant(headers, None)?) } else { None };
        let (turns, rounds) = (asker.environment.turns(), asker.environment.rounds());
        let shelf = Arc::clone(&asker.shelf);
        Ok(Self { asker: Some(asker), tenant, turns, rounds, shelf })
    }

    /// Waits for another configuration, and answers the one before it; `None` when there was none until then. An error is
    /// the end: the key is good no more.
    pub(super) async fn turned(&mut self, until: Instant) -> Result<Option<Arc<Shelf>>, Refused> {
        loop {
            if let Some(before) = self.look()? {
                return Ok(Some(before));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            self.stirred(until).await?;
        }
    }

    /// The configuration before the one that there is now, where that is another than at the last look.
    pub(super) fn look(&mut self) -> Result<Option<Arc<Shelf>>, Refused> {
        // Before the look, so that nothing is missed.
        self.turns.mark_unchanged();
        self.rounds.mark_unchanged();
        let asker = self.asker.take().ok_or(Refused::Unauthenticated)?.again()?;
        let asker = self.asker.insert(asker);
        if Arc::ptr_eq(&asker.shelf.manifest, &self.shelf.manifest) {
            return Ok(None);
        }
        Ok(Some(std::mem::replace(&mut self.shelf, Arc::clone(&asker.shelf))))
    }

    /// Returns when it is time for another look: something came or may have come, the key is over, or it is then.
    pub(super) async fn stirred(&mut self, until: Instant) -> Result<(), Refused> {
        let ends = self.asker.as_ref().and_then(|asker| asker.ends);
        let ends = ends.map(|ends| Instant::now() + ends.since(clock::now()));
        // An error says that the environment is gone here; whoever comes back has it loaded again.
        let gone = Refused::Unavailable("this environment is held here no more");
        tokio::select! {
            turned = self.turns.changed() => turned.map_err(|_| gone),
            round = self.rounds.changed() => round.map_err(|_| gone),
            () = sleep_until(until.min(ends.unwrap_or(until))) => Ok(()),
        }
    }

    pub(super) const fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    /// A place among the streams of its key.
    pub(super) fn seat(&self, relay: &Relay) -> Result<Seat, Refused> {
        self.asker().ok_or(Refused::Unauthenticated)?.stream(relay)
    }

    pub(super) const fn asker(&self) -> Option<&Asker> {
        self.asker.as_ref()
    }
}

/// How long a stream lives, and how it ends.
pub(super) struct Life {
    ends: Instant,
    closed: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
    _held_while_the_stream_lives: Seat,
}

impl Life {
    pub(super) fn of(relay: &Relay, taken: Seat) -> Self {
        Self {
            ends: Instant::now() + relay.config.max_stream_age,
            closed: Box::pin(relay.closed()),
            _held_while_the_stream_lives: taken,
        }
    }

    /// What comes, unless the stream is over first. An end is always an error, because some providers come back from
    /// nothing else.
    pub(super) async fn during<T>(
        &mut self,
        coming: impl Future<Output = Result<T, Refused>>,
    ) -> Result<T, Status> {
        tokio::select! {
            come = coming => come.map_err(|refused| status(&refused)),
            () = &mut self.closed => Err(Status::unavailable("this relay is shutting down")),
            () = sleep_until(self.ends) => Err(Status::unavailable("this stream has become old: open another one")),
        }
    }
}
