//! One transaction of the port inside one write transaction of redb: conditions first, then all writes.

use flagforge_flags::manifest::Digest;
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{
    Condition, FeedRecord, ItemKey, MAX_TRANSACTION_WRITES, TableError, Write,
};
use redb::{ReadableTable, Table, WriteTransaction};

use super::check::Misuse;
use super::store::{EXPIRIES, ITEMS, Stored, TOKEN_LIFETIME, TOKEN_TIMES, TOKENS};
use super::unavailable;

/// Expired items, and as many old tokens, that one commit drops in passing. Twice what a transaction can add, so that what is left over shrinks.
pub(super) const MAX_DROPPED: usize = 2 * MAX_TRANSACTION_WRITES;

/// The redb tables, open for one commit.
pub(super) struct Tables<'txn> {
    items: Table<'txn, (&'static str, &'static str), Stored<'static>>,
    expiries: Table<'txn, (i64, &'static str, &'static str), ()>,
    tokens: Table<'txn, &'static str, (i64, [u8; 32])>,
    token_times: Table<'txn, (i64, &'static str), ()>,
}

/// What one transaction came to, before the commit.
pub(super) enum Applied {
    /// Its effects, which the commit makes lasting.
    Written(Vec<FeedRecord>),
    /// A success that had nothing to do.
    Nothing,
    Refused(TableError),
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            items: transaction.open_table(ITEMS)?,
            expiries: transaction.open_table(EXPIRIES)?,
            tokens: transaction.open_table(TOKENS)?,
            token_times: transaction.open_table(TOKEN_TIMES)?,
        })
    }

    /// Refuses without a trace or writes everything, so the transactions of one commit do not disturb each other.
    pub(super) fn apply(
        &mut self,
        writes: Vec<Write>,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Applied, redb::Error> {
        let digest = token.map(|_| digest(&writes));
        if let (Some(token), Some(digest)) = (token, &digest)
            && let Some(used) = self.token_use(token, now)?
        {
            let same = used == *digest.as_bytes();
            let refused = || Applied::Refused(unavailable(Misuse::TokenReused));
            return Ok(if same { Applied::Nothing } else { refused() });
        }
        let failed = self.failed_conditions(&writes)?;
        if !failed.is_empty() {
            return Ok(Applied::Refused(TableError::Conflict { failed }));
        }
        let mut records = Vec::with_capacity(writes.len());
        for write in writes {
            records.extend(self.write(write)?);
        }
        if let (Some(token), Some(digest)) = (token, digest) {
            self.remember(token, digest, now)?;
        } else if records.is_empty() {
            return Ok(Applied::Nothing);
        }
        Ok(Applied::Written(records))
    }

    fn failed_conditions(&self, writes: &[Write]) -> Result<Vec<usize>, redb::Error> {
        let mut failed = Vec::new();
        for (index, write) in writes.iter().enumerate() {
            let key = write.key();
            let version = match write.condition() {
                Condition::Any => continue,
                _ => self.items.get((key.pk.as_str(), key.sk.as_str()))?.map(|it| it.value().0),
            };
            let holds = match write.condition() {
                Condition::Any => true,
                Condition::Absent => version.is_none(),
                Condition::Present => version.is_some(),
                Condition::Version(expected) => version == Some(expected),
            };
            if !holds {
                failed.push(index);
            }
        }
        Ok(failed)
    }

    fn write(&mut self, write: Write) -> Result<Option<FeedRecord>, redb::Error> {
        match write {
            Write::Check { .. } => Ok(None),
            // The cloud's stream says nothing either about a delete that found nothing.
            Write::Delete { key, .. } => {
                let removed = self.remove(&key)?;
                Ok(removed.then_some(FeedRecord { key, item: None }))
            }
            Write::Put { item, .. } => {
                let at = (item.key.pk.as_str(), item.key.sk.as_str());
                let stored = (item.version, item.expires_at_seconds, item.body.as_str());
                let before = self.items.insert(at, stored)?.and_then(|before| before.value().1);
                if before != item.expires_at_seconds {
                    self.forget_expiry(before, &item.key)?;
                    if let Some(expires) = item.expires_at_seconds {
                        self.expiries.insert((expires, at.0, at.1), ())?;
                    }
                }
                Ok(Some(FeedRecord { key: item.key.clone(), item: Some(item) }))
            }
        }
    }

    fn remove(&mut self, key: &ItemKey) -> Result<bool, redb::Error> {
        let removed = self.items.remove((key.pk.as_str(), key.sk.as_str()))?;
        let Some(expires) = removed.map(|removed| removed.value().1) else { return Ok(false) };
        self.forget_expiry(expires, key)?;
        Ok(true)
    }

    fn forget_expiry(&mut self, expires: Option<i64>, key: &ItemKey) -> Result<(), redb::Error> {
        if let Some(expires) = expires {
            self.expiries.remove((expires, key.pk.as_str(), key.sk.as_str()))?;
        }
        Ok(())
    }

    /// The digest of the transaction that used this token, while the token lives.
    fn token_use(&self, token: &str, now: Timestamp) -> Result<Option<[u8; 32]>, redb::Error> {
        let used = self.tokens.get(token)?.map(|used| used.value());
        Ok(used.and_then(|(at, digest)| {
            let age = now.since(Timestamp::from_millis(at));
            (age < TOKEN_LIFETIME).then_some(digest)
        }))
    }

    fn remember(&mut self, token: &str, digest: Digest, now: Timestamp) -> Result<(), redb::Error> {
        let at = now.as_millis();
        let before = self.tokens.insert(token, (at, *digest.as_bytes()))?.map(|it| it.value().0);
        if let Some(before) = before {
            self.token_times.remove((before, token))?;
        }
        self.token_times.insert((at, token), ())?;
        Ok(())
    }

    /// Drops items and tokens whose time is over, a bounded number of each.
    pub(super) fn drop_expired(&mut self, now: Timestamp) -> Result<Vec<FeedRecord>, redb::Error> {
        let mut expired = Vec::new();
        for entry in self.expiries.range(..(now.as_seconds(), "", ""))?.take(MAX_DROPPED) {
            let (key, _) = entry?;
            let (_, pk, sk) = key.value();
            expired.push(ItemKey::new(pk, sk));
        }
        for key in &expired {
            self.remove(key)?;
        }
        let lifetime = i64::try_from(TOKEN_LIFETIME.as_millis()).unwrap_or(i64::MAX);
        let oldest = now.as_millis().saturating_sub(lifetime);
        let mut old = Vec::new();
        for entry in self.token_times.range(..(oldest, ""))?.take(MAX_DROPPED) {
            let (key, _) = entry?;
            let (at, token) = key.value();
            old.push((at, token.to_owned()));
        }
        for (at, token) in &old {
            self.token_times.remove((*at, token.as_str()))?;
            self.tokens.remove(token.as_str())?;
        }
        Ok(expired.into_iter().map(|key| FeedRecord { key, item: None }).collect())
    }
}

/// One text for one transaction: every part behind its length, so that no two transactions share a text.
fn digest(writes: &[Write]) -> Digest {
    let mut text = Vec::new();
    let mut part = |bytes: &[u8]| {
        text.extend_from_slice(&bytes.len().to_be_bytes());
        text.extend_from_slice(bytes);
    };
    for write in writes {
        let kind: &[u8] = match write {
            Write::Put { .. } => b"put",
            Write::Delete { .. } => b"delete",
            Write::Check { .. } => b"check",
        };
        part(kind);
        part(write.key().pk.as_bytes());
        part(write.key().sk.as_bytes());
        part(format!("{:?}", write.condition()).as_bytes());
        if let Write::Put { item, .. } = write {
            part(format!("{} {:?}", item.version, item.expires_at_seconds).as_bytes());
            part(item.body.as_bytes());
        }
    }
    Digest::of(&text)
}
