//! Whose turn it is to ask a source that is due: wherever several clocks tick, one of them asks.

use std::time::Duration;

use flagforge_flags::keys::OrgKey;
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::SourceRecord;
use super::pull::object;
use crate::error::Error;
use crate::ports::{Fetched, ObjectError, PutIf};
use crate::store::{self, Stored};
use crate::{Platform, place};

/// How long a turn lasts that nobody ended: as long as a function on Lambda may run. Whoever took it is gone by then.
const TURN: Duration = Duration::from_secs(900);

/// A turn; without an instant nobody has it.
#[derive(Debug, Serialize, Deserialize)]
struct Turn {
    since: Option<Timestamp>,
}

impl Platform {
    /// Takes the turn to ask an organization's source, if a run is due and nobody has it.
    pub(crate) async fn take_source_turn(&self, org: &OrgKey) -> Result<bool, Error> {
        if !self.source_is_due(org).await? {
            return Ok(false);
        }
        let now = self.timer().now();
        let condition = match self.objects().get(&object(org, "turn"), None).await? {
            Fetched::Found { bytes, etag } => {
                let turn: Turn = serde_json::from_slice(&bytes)
                    .map_err(|error| Error::internal("a turn could not be read", error))?;
                if turn.since.is_some_and(|since| now.since(since) < TURN) {
                    return Ok(false);
                }
                PutIf::Matches(etag)
            }
            Fetched::NotModified | Fetched::Absent => PutIf::Absent,
        };
        match self.put_turn(org, Some(now), condition).await? {
            // Who had it before may have ended its run since it was found due.
            true if self.source_is_due(org).await? => Ok(true),
            true => {
                self.end_source_turn(org).await?;
                Ok(false)
            }
            false => Ok(false),
        }
    }

    pub(crate) async fn end_source_turn(&self, org: &OrgKey) -> Result<(), Error> {
        self.put_turn(org, None, PutIf::Any).await.map(drop)
    }

    /// Answers whether it was written: somebody else may have been faster.
    async fn put_turn(
        &self,
        org: &OrgKey,
        since: Option<Timestamp>,
        condition: PutIf,
    ) -> Result<bool, Error> {
        let text = serde_json::to_vec(&Turn { since })
            .map_err(|error| Error::internal("a turn did not serialize", error))?;
        let name = object(org, "turn");
        match self.objects().put(&name, text.into(), "application/json", condition).await {
            Ok(_) => Ok(true),
            Err(ObjectError::Lost) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether somebody waits for a run.
    async fn source_is_due(&self, org: &OrgKey) -> Result<bool, Error> {
        let record: Option<Stored<SourceRecord>> =
            store::read(self.table(), &place::tenant_source(org)).await?;
        let Some(source) = record.map(|record| record.value.source).filter(|s| !s.paused) else {
            return Ok(false);
        };
        let every = Duration::from_secs(source.every_seconds.into());
        let last = self.last_run(org).await?;
        Ok(last.is_none_or(|last| self.timer().now().since(last.started) >= every))
    }
}
