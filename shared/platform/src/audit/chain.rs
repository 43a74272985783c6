//! Holding a log to its chain: every entry has the digest of the one before, and the head has the newest's.

use flagforge_flags::manifest::Digest;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::Caller;
use crate::error::Error;
use crate::log::{Head, LogEntry};
use crate::place::{LOG_PREFIX, LogId, log_sk};
use crate::ports::Query;
use crate::search::MAX_LOOKED_AT;
use crate::store::{self, Stored, decode};

/// What was found of a stretch of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// The first entry that was looked at.
    pub from: u64,
    /// The last that holds; `from - 1` when none does.
    pub until: u64,
    /// Whether all that was looked at holds.
    pub intact: bool,
    /// Whether the newest entry was reached, and the head has its digest.
    pub complete: bool,
    /// The digest of the last entry that holds: note it, and nothing before it can be changed unseen.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// Why it does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// Give it as `from` to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

impl Platform {
    /// Verifies the chain from an entry on, a bounded number of entries a call.
    pub async fn verify_chain(
        &self,
        caller: &Caller,
        log: &LogId,
        from: u64,
    ) -> Result<Chain, Error> {
        self.may_read_log(caller, log).await?;
        let from = from.max(1);
        let head: Option<Stored<Head>> = store::read(self.table(), &log.head()).await?;
        let mut digest = self.digest_before(log, from).await?;
        let mut chain = Chain {
            from,
            until: from - 1,
            intact: true,
            complete: false,
            digest,
            broken: None,
            next: None,
        };
        let mut query = Query::prefix(log.partition(), LOG_PREFIX);
        query.from = log_sk(from);
        loop {
            let page = self.table().query(&query).await?;
            for item in &page.items {
                let entry: LogEntry = decode(item)?.value;
                if entry.number != chain.until + 1 {
                    let why = format!("entry {} is missing", chain.until + 1);
                    return Ok(chain.broken_at(why));
                }
                if entry.previous != digest {
                    let number = entry.number;
                    return Ok(chain.broken_at(format!(
                        "entry {number} does not follow the one before, which was changed, or it was"
                    )));
                }
                digest = Digest::of(item.body.as_bytes());
                (chain.until, chain.digest) = (entry.number, digest);
            }
            match page.next {
                None => return Ok(chain.closed_by(head.map(|head| head.value))),
                Some(_) if chain.until + 1 - from >= MAX_LOOKED_AT as u64 => {
                    chain.next = Some(chain.until + 1);
                    return Ok(chain);
                }
                next => query.page = next,
            }
        }
    }

    async fn digest_before(&self, log: &LogId, from: u64) -> Result<Digest, Error> {
        if from == 1 {
            return Ok(Digest::of(b""));
        }
        let item = self.table().get(&log.entry(from - 1)).await?;
        let item = item.ok_or(Error::NotFound { what: "entry" })?;
        Ok(Digest::of(item.body.as_bytes()))
    }
}

impl Chain {
    fn broken_at(mut self, why: String) -> Self {
        self.intact = false;
        self.broken = Some(why);
        self
    }

    /// The head was read first, so entries may have come since; fewer than it says may not be there.
    fn closed_by(mut self, head: Option<Head>) -> Self {
        let Some(head) = head else { return self };
        if self.until < head.number {
            let why =
                format!("the head says {} entries, and there are {}", head.number, self.until);
            return self.broken_at(why);
        }
        if self.until == head.number && self.digest != head.digest {
            let why = "the head has another digest than the newest entry".to_owned();
            return self.broken_at(why);
        }
        self.complete = true;
        self
    }
}
