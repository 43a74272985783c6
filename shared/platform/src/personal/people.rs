//! Who a person is, beside the log.
//!
//! The log and all records name a person by an id that is drawn by lot. Which issuer and subject it stands for is noted
//! here, in both directions, when somebody first comes in. Erasing removes both notes: then the id says nothing, nobody
//! can try subjects against it, and who signs in again gets another one.

use std::collections::HashMap;

use flagforge_flags::keys::OrgKey;
use flagforge_flags::manifest::Digest;
use serde::{Deserialize, Serialize};

use super::ERASED;
use crate::Platform;
use crate::caller::Actor;
use crate::error::Error;
use crate::fresh;
use crate::log::LogEntry;
use crate::people::PersonRecord;
use crate::place;
use crate::plan::Plan;
use crate::ports::{Condition, Item, ItemKey, Table, TableError, Write};
use crate::store::{self, ABSENT, Stored};

/// Looks and tries until an id is noted: one more than two processes that see somebody first at once need.
const MAX_ATTEMPTS: u32 = 4;

/// What an id stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) issuer: String,
    pub(crate) subject: String,
}

/// The other direction: the id of an issuer's subject.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IdOf {
    pub(crate) id: String,
}

/// The id under which an organization knows somebody.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: String,
    /// Whether it is noted. People who were taken in when ids followed from the subject are not, until they come again.
    is_noted: bool,
}

impl Identity {
    pub(crate) fn digest(&self) -> String {
        Digest::of(format!("{}\n{}", self.issuer, self.subject).as_bytes()).to_string()
    }

    /// The id that somebody had when ids followed from issuer and subject.
    fn former_id(&self) -> String {
        self.digest().chars().take(32).collect()
    }

    /// The id of somebody in an organization, if it knows them.
    pub(crate) async fn find(
        &self,
        table: &dyn Table,
        org: &OrgKey,
    ) -> Result<Option<Found>, Error> {
        let noted: Option<Stored<IdOf>> = store::read(table, &place::id_of(org, self)).await?;
        if let Some(noted) = noted {
            return Ok(Some(Found { id: noted.value.id, is_noted: true }));
        }
        let id = self.former_id();
        let taken_in: Option<Stored<PersonRecord>> =
            store::read(table, &place::person(org, &id)).await?;
        Ok(taken_in.map(|_| Found { id, is_noted: false }))
    }

    /// Both notes of an id.
    fn notes(&self, org: &OrgKey, id: &str) -> Result<[(ItemKey, String); 2], Error> {
        let unserializable = |error| Error::internal("a record did not serialize", error);
        let of = serde_json::to_string(&IdOf { id: id.to_owned() }).map_err(unserializable)?;
        let who = serde_json::to_string(self).map_err(unserializable)?;
        Ok([(place::id_of(org, self), of), (place::identity(org, id), who)])
    }

    /// Notes somebody in the transaction of a change that takes them in, under the id they have or else `id`.
    pub(crate) async fn note_in(
        &self,
        table: &dyn Table,
        plan: &mut Plan,
        org: &OrgKey,
        id: &str,
    ) -> Result<String, Error> {
        let found = self.find(table, org).await?;
        let (id, is_noted) =
            found.map_or((id.to_owned(), false), |found| (found.id, found.is_noted));
        if !is_noted {
            plan.put_beside(place::id_of(org, self), ABSENT, &IdOf { id: id.clone() })?;
            plan.put_beside(place::identity(org, &id), ABSENT, self)?;
        }
        Ok(id)
    }
}

impl Platform {
    /// The id of somebody who comes in, noted if it was not. It is written without a commit, because it changes nothing
    /// in the organization: it only says how the log will name somebody.
    pub(crate) async fn identify(
        &self,
        org: &OrgKey,
        identity: &Identity,
        found: Option<Found>,
    ) -> Result<String, Error> {
        let mut found = found;
        for _ in 0..MAX_ATTEMPTS {
            let id = match found {
                Some(Found { id, is_noted: true }) => return Ok(id),
                Some(Found { id, is_noted: false }) => id,
                None => fresh::id()?,
            };
            let put = |(key, body)| Write::Put {
                item: Item { key, version: 1, body, expires_at_seconds: None },
                condition: Condition::Absent,
            };
            let notes = identity.notes(org, &id)?.map(put).into();
            match self.table().transact(notes, None).await {
                Ok(()) => return Ok(id),
                // Somebody else may have noted another, or the answer was lost.
                Err(TableError::Conflict { .. } | TableError::Contended) => {}
                Err(TableError::Unavailable(error)) => {
                    tracing::warn!(%error, "the table did not answer whether a person was noted");
                }
                Err(error @ TableError::TooLarge { .. }) => return Err(error.into()),
            }
            found = identity.find(self.table(), org).await?;
        }
        Err(Error::busy("a person's id could not be noted"))
    }

    /// Says of people whom their ids stand for, or that it was erased. What was written with a name keeps it.
    pub(crate) async fn name_people<'a>(
        &self,
        org: &OrgKey,
        actors: impl Iterator<Item = &'a mut Actor> + Send,
    ) -> Result<(), Error> {
        let mut known = Known::default();
        for actor in actors {
            if let Actor::Person { id, issuer: issuer @ None, subject } = actor {
                let named = known.name(self.table(), org, id).await?.clone();
                (*issuer, *subject) = (Some(named.issuer), Some(named.subject));
            }
        }
        Ok(())
    }

    /// The same for entries of a log, and for the records of people in them.
    pub(super) async fn name_in_entries(
        &self,
        org: &OrgKey,
        entries: &mut [&mut LogEntry],
    ) -> Result<(), Error> {
        self.name_people(org, entries.iter_mut().map(|entry| &mut entry.by)).await?;
        let mut known = Known::default();
        for image in entries.iter_mut().flat_map(|entry| &mut entry.images) {
            let Some(id) = image.sk.strip_prefix("PERSON#") else { continue };
            let Some(body) = image.body.as_mut().and_then(|body| body.as_object_mut()) else {
                continue;
            };
            if !body.contains_key("subject") {
                let named = known.name(self.table(), org, id).await?;
                body.insert("issuer".to_owned(), named.issuer.clone().into());
                body.insert("subject".to_owned(), named.subject.clone().into());
            }
        }
        Ok(())
    }
}

/// What was read of ids so far.
#[derive(Default)]
struct Known(HashMap<String, Identity>);

impl Known {
    async fn name(
        &mut self,
        table: &dyn Table,
        org: &OrgKey,
        id: &str,
    ) -> Result<&Identity, Error> {
        if !self.0.contains_key(id) {
            let stands: Option<Stored<Identity>> =
                store::read(table, &place::identity(org, id)).await?;
            let erased = || Identity { issuer: ERASED.to_owned(), subject: ERASED.to_owned() };
            self.0.insert(id.to_owned(), stands.map_or_else(erased, |stands| stands.value));
        }
        Ok(&self.0[id])
    }
}
