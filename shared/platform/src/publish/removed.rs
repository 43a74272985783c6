//! Removing chunks so that nothing is lost to a publisher that puts one again at that very moment. A store asks first
//! and removes then, and a put between the two is removed too. So what is about to go is said beforehand
//! ([`Removing`]) and copied; the roots are read again afterwards, and what they name is put back. A publisher whose root
//! comes after that reading finds said what went, and puts its own again.

use std::collections::HashSet;

use bytes::Bytes;
use flagforge_flags::keys::OrgKey;
use flagforge_flags::manifest::Digest;
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::roots::part_name;
use super::sweep::SWEPT_WITHIN;
use crate::Platform;
use crate::error::Error;
use crate::ports::{Fetched, ListedObject, PutIf};

/// What the last sweep that removed anything set out to remove. It stands until the next such sweep, an hour at least: longer
/// than any publication takes.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Removing {
    chunks: HashSet<Digest>,
}

fn removing_name(org: &OrgKey) -> String {
    format!("{org}/chunks/removing.json")
}

fn copies_of(org: &OrgKey) -> String {
    format!("{org}/chunks/removed/")
}

fn copy_name(org: &OrgKey, digest: Digest) -> String {
    format!("{}{digest}", copies_of(org))
}

impl Platform {
    /// Removes chunks that were not put since `before`, as far as the time of a sweep goes, and keeps a copy of each.
    /// Answers those that it came to.
    pub(super) async fn remove_chunks(
        &self,
        org: &OrgKey,
        doomed: &[Digest],
        before: Timestamp,
    ) -> Result<HashSet<Digest>, Error> {
        if doomed.is_empty() {
            return Ok(HashSet::new());
        }
        let began = self.timer().now();
        let removing = Removing { chunks: doomed.iter().copied().collect() };
        let json = serde_json::to_vec(&removing)
            .map_err(|error| Error::internal("a list did not serialize", error))?;
        let name = removing_name(org);
        self.objects().put(&name, Bytes::from(json), "application/json", PutIf::Any).await?;
        let mut gone = HashSet::new();
        for digest in doomed {
            if self.timer().now().since(began) > SWEPT_WITHIN {
                break;
            }
            let name = part_name(org, *digest);
            if let Fetched::Found { bytes, .. } = self.objects().get(&name, None).await? {
                let copy = copy_name(org, *digest);
                self.objects().put(&copy, bytes, "application/json", PutIf::Any).await?;
                self.objects().delete(&name, before).await?;
                gone.insert(*digest);
            }
        }
        Ok(gone)
    }

    /// Puts back what was removed and is named. Answers how many there were.
    pub(super) async fn put_back(
        &self,
        org: &OrgKey,
        gone: impl Iterator<Item = Digest>,
        named: &HashSet<Digest>,
    ) -> Result<u64, Error> {
        let mut back = 0;
        for digest in gone.filter(|digest| named.contains(digest)) {
            if let Fetched::Found { bytes, .. } =
                self.objects().get(&copy_name(org, digest), None).await?
            {
                self.put_part(org, digest, &bytes).await?;
                tracing::warn!(%org, %digest, "a chunk was used again while it was removed, and is back");
                back += 1;
            }
        }
        Ok(back)
    }

    /// Looks after the copies among an organization's chunks: what roots name and is missing, because a sweep was
    /// stopped halfway, is put back; where there is no such thing, copies from before `before` go. Answers whether
    /// nothing was missing.
    pub(super) async fn look_after_copies(
        &self,
        org: &OrgKey,
        chunks: &[ListedObject],
        named: &HashSet<Digest>,
        before: Timestamp,
    ) -> Result<bool, Error> {
        let folder = copies_of(org);
        let copies: Vec<(&ListedObject, Digest)> = chunks
            .iter()
            .filter_map(|copy| Some((copy, copy.name.strip_prefix(&folder)?.parse().ok()?)))
            .collect();
        let there: HashSet<&str> = chunks.iter().map(|chunk| chunk.name.as_str()).collect();
        let missing = copies.iter().map(|(_, digest)| *digest);
        let missing = missing.filter(|digest| !there.contains(part_name(org, *digest).as_str()));
        if self.put_back(org, missing, named).await? > 0 {
            return Ok(false);
        }
        for (copy, _) in copies.iter().filter(|(copy, _)| copy.put < before) {
            self.objects().delete(&copy.name, before).await?;
        }
        Ok(true)
    }

    /// What a publisher does once its root stands: what a sweep set out to remove meanwhile is put again.
    pub(super) async fn put_again<'b>(
        &self,
        org: &OrgKey,
        parts: impl Iterator<Item = (Digest, &'b Bytes)>,
    ) -> Result<(), Error> {
        let removing: Removing = match self.objects().get(&removing_name(org), None).await? {
            // What cannot be read is as good as nothing: sweeps look for what is missing, too.
            Fetched::Found { bytes, .. } => serde_json::from_slice(&bytes).unwrap_or_default(),
            Fetched::NotModified | Fetched::Absent => return Ok(()),
        };
        for (digest, bytes) in parts.filter(|(digest, _)| removing.chunks.contains(digest)) {
            self.put_part(org, digest, bytes).await?;
        }
        Ok(())
    }
}
