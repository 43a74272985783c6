//! Objects that no record names.

use std::collections::HashSet;

use flagforge_flags::keys::EnvKey;
use flagforge_flags::time::Timestamp;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{LEFT_ALONE, Mode, Run};
use crate::deleted::Deleted;
use crate::error::Error;
use crate::import::{self, Import};
use crate::lists::{self, IdList};
use crate::log::{Image, LogEntry};
use crate::place::{self, LOG_PREFIX, LogId};
use crate::ports::{ListedObject, Query};
use crate::record::SegmentRecord;
use crate::store::{self, ABSENT, Stored, decode};

/// The lists of a segment, standing or deleted, whatever else is said of it.
#[derive(Deserialize)]
struct Lists {
    #[serde(default)]
    excluded: IdList,
    #[serde(default)]
    included: IdList,
}

impl Run<'_> {
    /// Answers whether it came to the end.
    pub(super) async fn objects(&mut self, envs: &[EnvKey]) -> Result<bool, Error> {
        let long_ago = self.began.as_millis() - LEFT_ALONE.as_millis() as i64;
        let long_ago = Timestamp::from_millis(long_ago);
        let (mut named, mut after) = (None, None);
        let folder = lists::folder(self.org);
        while let Some(listed) = self.listed(&folder, &mut after).await? {
            // Read after the first listing: what is named later was put again, and is young.
            let named = match &named {
                Some(named) => named,
                None => named.insert(self.named_lists(envs, long_ago).await?),
            };
            let loose = |object: &ListedObject| {
                let digest = object.name.strip_prefix(&folder).unwrap_or_default();
                object.put < long_ago && !named.contains(digest)
            };
            for object in listed.iter().filter(|object| loose(object)) {
                if self.is_over() {
                    return Ok(false);
                }
                self.found.lists += u64::from(self.removed(&object.name, long_ago).await?);
            }
        }
        self.import_files(long_ago).await
    }

    async fn import_files(&mut self, long_ago: Timestamp) -> Result<bool, Error> {
        let mut after = None;
        let folder = import::folder(self.org);
        while let Some(listed) = self.listed(&folder, &mut after).await? {
            for object in listed.iter().filter(|object| object.put < long_ago) {
                if self.is_over() {
                    return Ok(false);
                }
                let below = object.name.strip_prefix(&folder).unwrap_or_default();
                let id = below.split('/').next().unwrap_or_default();
                let place = place::import(self.org, id);
                let stands: Option<Stored<Import>> =
                    store::read(self.platform.table(), &place).await?;
                if stands.is_none() {
                    self.found.import_files +=
                        u64::from(self.removed(&object.name, long_ago).await?);
                }
            }
        }
        Ok(true)
    }

    /// The next objects of a listing; `None` at its end.
    async fn listed(
        &self,
        folder: &str,
        after: &mut Option<String>,
    ) -> Result<Option<Vec<ListedObject>>, Error> {
        let listed = self.platform.objects().list(folder, after.as_deref()).await?;
        *after = listed.last().map(|object| object.name.clone());
        Ok((!listed.is_empty()).then_some(listed))
    }

    async fn removed(&self, name: &str, before: Timestamp) -> Result<bool, Error> {
        match self.mode {
            Mode::DryRun => Ok(true),
            Mode::ForGood => Ok(self.platform.objects().delete(name, before).await?),
        }
    }

    /// The digests that segments name, standing or deleted, or have named since. Whoever reads a name has that long to
    /// read the list.
    async fn named_lists(
        &self,
        envs: &[EnvKey],
        since: Timestamp,
    ) -> Result<HashSet<String>, Error> {
        let table = self.platform.table();
        let mut named = HashSet::new();
        for env in envs {
            let pk = place::env_pk(self.org, env);
            let log = LogId { org: self.org.clone(), env: Some(env.clone()) };
            let segments: Vec<Stored<SegmentRecord>> = store::all(table, &pk, "SEGMENT#").await?;
            let deleted: Vec<Stored<Deleted<SegmentRecord>>> =
                store::all(table, &pk, "DELETED-SEGMENT#").await?;
            let deleted = deleted.into_iter().map(|stored| stored.value.what);
            for segment in segments.into_iter().map(|stored| stored.value).chain(deleted) {
                name(&mut named, &segment.excluded, &segment.included);
            }
            // After what stands: a list that was replaced in between is named by the one or the other.
            self.lately_named(&log, since, &mut named).await?;
        }
        Ok(named)
    }

    /// What the entries since then wrote, and what they wrote it over.
    async fn lately_named(
        &self,
        log: &LogId,
        since: Timestamp,
        named: &mut HashSet<String>,
    ) -> Result<(), Error> {
        let mut query = Query::prefix(log.partition(), LOG_PREFIX);
        query.descending = true;
        loop {
            let page = self.platform.table().query(&query).await?;
            for item in &page.items {
                let entry: LogEntry = decode(item)?.value;
                if entry.at < since {
                    return Ok(());
                }
                for image in entry.images.iter().filter(|image| is_segment(image)) {
                    of_image(named, image)?;
                    if image.over == ABSENT {
                        continue;
                    }
                    let before: Option<Stored<LogEntry>> =
                        store::read(self.platform.table(), &log.entry(image.over)).await?;
                    let images = before.into_iter().flat_map(|before| before.value.images);
                    for before in images.filter(|before| before.sk == image.sk) {
                        of_image(named, &before)?;
                    }
                }
            }
            match page.next {
                None => return Ok(()),
                next => query.page = next,
            }
        }
    }
}

fn is_segment(image: &Image) -> bool {
    image.sk.starts_with("SEGMENT#") || image.sk.starts_with("DELETED-SEGMENT#")
}

fn of_image(named: &mut HashSet<String>, image: &Image) -> Result<(), Error> {
    let Some(body) = &image.body else { return Ok(()) };
    let body: &Json = body.get("what").unwrap_or(body);
    let lists = Lists::deserialize(body)
        .map_err(|error| Error::internal("a stored record could not be read", error))?;
    name(named, &lists.excluded, &lists.included);
    Ok(())
}

fn name(named: &mut HashSet<String>, excluded: &IdList, included: &IdList) {
    named.extend(excluded.parts.iter().chain(&included.parts).map(ToString::to_string));
}
