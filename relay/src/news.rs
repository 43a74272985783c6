//! What streams tell of a root: that it is there, and, to those that ask for it, the root itself with the chunks that are new in
//! it. It is written once for all streams.

use std::time::Duration;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use bytes::Bytes;
use flagforge::loader::RootReader;
use flagforge::origin::{Announcement, MAX_PUSHED_BYTES, Push};
use flagforge_flags::manifest::{Listing, Root};
use serde::Deserialize;
use tokio::time::timeout;

use crate::problem::Refused;
use crate::shelf::Document;
use crate::sse;

/// How long the chunks may take that are to be brought along; they are in memory as a rule. An announcement does not wait for more.
const FETCH_WITHIN: Duration = Duration::from_millis(200);

/// One root's news.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) announcement: Announcement,
    /// The event that announces it.
    ring: Bytes,
    /// The same with what is new, where that is small, and its bytes of root and chunks.
    push: Option<(Bytes, usize)>,
}

/// How much a listener takes along with an announcement.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct Asked {
    push: Option<usize>,
}

impl Asked {
    pub(crate) fn of(query: Result<Query<Self>, QueryRejection>) -> Result<Self, Refused> {
        let not = |_| Refused::Invalid("`push` must be a number of bytes".to_owned());
        query.map(|Query(asked)| asked).map_err(not)
    }
}

impl News {
    /// What there is to tell of a root that follows on another one.
    pub(crate) async fn of(
        root: &Root,
        listing: &Listing,
        before: Option<&Document>,
        reader: &RootReader,
    ) -> Self {
        let claims = root.claims();
        let announcement =
            Announcement { revision: claims.revision.to_string(), serial: claims.serial };
        let ring = told(&announcement, &announcement);
        let push = match before {
            Some(before) => pushed(root, listing, before, reader).await,
            None => None,
        };
        let push = push.map(|(root, chunks)| {
            let bytes = root.len() + chunks.iter().map(String::len).sum::<usize>();
            let announcement = announcement.clone();
            let push = Push { announcement, root: Some(root), chunks };
            (told(&push.announcement, &push), bytes)
        });
        Self { announcement, ring, push }
    }

    /// The event for a listener. Its first one is a ring: nobody knows what it has.
    pub(crate) fn event(&self, asked: Asked, first: bool) -> Bytes {
        let limit = asked.push.filter(|_| !first).unwrap_or_default();
        match &self.push {
            Some((event, bytes)) if *bytes <= limit => event.clone(),
            _ => self.ring.clone(),
        }
    }
}

fn told(announcement: &Announcement, data: &impl serde::Serialize) -> Bytes {
    // Texts and numbers always serialize.
    let data = serde_json::to_string(data).unwrap_or_default();
    sse::event("root", &announcement.revision, &data)
}

/// A root and what it names that the one before it did not, where that is small and at hand.
async fn pushed(
    root: &Root,
    listing: &Listing,
    before: &Document,
    reader: &RootReader,
) -> Option<(String, Vec<String>)> {
    let new: Vec<_> = listing.named().filter(|named| !before.newest(&named.sha256)).collect();
    let bytes = new.iter().map(|named| named.bytes).sum::<u64>();
    let room = MAX_PUSHED_BYTES.checked_sub(root.text().len())?;
    if bytes > u64::try_from(room).unwrap_or(u64::MAX) {
        return None;
    }
    let chunks = timeout(FETCH_WITHIN, reader.fetch(new)).await.ok()?.ok()?;
    let texts = chunks.into_values().map(|bytes| String::from_utf8(bytes.into()));
    let texts = texts.collect::<Result<Vec<String>, _>>().ok()?;
    Some((root.text().to_owned(), texts))
}
