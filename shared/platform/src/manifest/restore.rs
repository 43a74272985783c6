//! Publishing what an earlier root has, until it is released: the way back from a day on which much went wrong at once.

use std::collections::BTreeMap;
use std::pin::pin;

use flagforge_flags::Revision;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::{
    ChunkKind, ChunkRef, Digest, Root, Scope, ScopeId, Trust, entries, verify_root,
};
use flagforge_flags::time::Timestamp;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::kept::{self, KeptRoot};
use crate::Platform;
use crate::caller::{Caller, Permission};
use crate::change::Change;
use crate::commit::{Outcome, Request};
use crate::error::Error;
use crate::ports::Fetched;
use crate::publish::{history_of, trust};

/// Names of one kind that a difference tells; there may be more, and they are counted.
pub const MAX_NAMED: usize = 100;

/// The earlier root that is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoredRoot {
    /// Its name, as `manifest/kept` lists it.
    pub root: String,
    #[serde(rename = "sha256")]
    #[schema(value_type = String)]
    pub digest: Digest,
    #[schema(value_type = String, example = "17.41")]
    pub revision: Revision,
    /// When that was said.
    pub at: Timestamp,
    /// Where the environment's log stood then. What is turned off later is off.
    pub since: u64,
}

/// What of an earlier root is not as it is published now.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RootDifference {
    #[serde(flatten)]
    pub root: KeptRoot,
    pub flags: RootDiffering,
    pub tenants: RootDiffering,
    pub segments: RootDiffering,
}

/// What of one kind is not as it is published now; 100 names at most of each sort.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RootDiffering {
    /// What was there then, and is not now.
    pub only_then: Vec<String>,
    /// What is there now, and was not then.
    pub only_now: Vec<String>,
    /// What is there then and now, and not the same.
    pub changed: Vec<String>,
    /// How many all these are, also those that are not named.
    pub count: u64,
}

impl RootDiffering {
    fn between(then: &BTreeMap<String, Digest>, now: &BTreeMap<String, Digest>) -> Self {
        let mut found = Self::default();
        for (key, digest) in then {
            match now.get(key) {
                None => found.note(|it| &mut it.only_then, key),
                Some(other) if other != digest => found.note(|it| &mut it.changed, key),
                Some(_) => {}
            }
        }
        now.keys().filter(|key| !then.contains_key(*key)).for_each(|key| {
            found.note(|it| &mut it.only_now, key);
        });
        found
    }

    fn note(&mut self, sort: impl Fn(&mut Self) -> &mut Vec<String>, key: &str) {
        self.count += 1;
        let names = sort(self);
        if names.len() < MAX_NAMED {
            names.push(key.to_owned());
        }
    }
}

impl Platform {
    /// What an earlier root would bring back, and what would go: held against what is published now.
    pub async fn kept_root(
        &self,
        caller: &Caller,
        (org, env): (&OrgKey, &EnvKey),
        name: &str,
    ) -> Result<RootDifference, Error> {
        self.environment(caller, org, env).await?;
        let then = self.verified_kept(org, env, name).await?;
        let listed = self.listed_chunks(then.claims()).await?;
        let id = ScopeId { org: org.clone(), env: env.clone(), scope: Scope::Environment };
        let now = self.root_in_force(&id).await?.ok_or(Error::NotFound { what: "manifest" })?;
        let now_listed = self.listed_chunks(now.claims()).await?;
        let mut of_kinds = Vec::with_capacity(3);
        for kind in [ChunkKind::Flags, ChunkKind::Tenants, ChunkKind::Segments] {
            let (then, now) = (
                self.digests(org, &listed, kind).await?,
                self.digests(org, &now_listed, kind).await?,
            );
            of_kinds.push(RootDiffering::between(&then, &now));
        }
        let mut of_kinds = of_kinds.into_iter();
        let mut next = || of_kinds.next().unwrap_or_default();
        let root = kept::told(name, then.claims())?;
        Ok(RootDifference { root, flags: next(), tenants: next(), segments: next() })
    }

    /// Publishes what an earlier root has, until it is released: flags, tenants and segments. Keys stay today's, and what
    /// turns something off passes.
    pub async fn restore_manifest(
        &self,
        caller: &Caller,
        (org, env): (OrgKey, EnvKey),
        root: String,
        request: impl FnOnce(Change) -> Request,
    ) -> Result<(Change, Outcome), Error> {
        self.environment(caller, &org, &env).await?;
        caller.can_in(&org, &env, Permission::WriteEnvironments)?;
        let kept = self.verified_kept(&org, &env, &root).await?;
        // Whatever is missing or cannot be read is found now, and not by the publisher.
        self.content(kept.claims()).await?;
        let (digest, revision) = (kept.digest(), kept.claims().revision);
        let request = request(Change::RestoreManifest { org, env, root, digest, revision });
        let outcome = self.commit(caller, &request).await?;
        Ok((request.change, outcome))
    }

    /// Publishes what is there again.
    pub async fn release_manifest(
        &self,
        caller: &Caller,
        (org, env): (OrgKey, EnvKey),
        request: impl FnOnce(Change) -> Request,
    ) -> Result<(Change, Outcome), Error> {
        self.environment(caller, &org, &env).await?;
        let request = request(Change::ReleaseManifest { org, env });
        let outcome = self.commit(caller, &request).await?;
        Ok((request.change, outcome))
    }

    async fn verified_kept(&self, org: &OrgKey, env: &EnvKey, name: &str) -> Result<Root, Error> {
        let absent = || Error::NotFound { what: "root that is kept" };
        kept::of_name(name).ok_or_else(absent)?;
        let object = format!("{}{name}.jws", history_of(org, env));
        let Fetched::Found { bytes, .. } = self.objects().get(&object, None).await? else {
            return Err(absent());
        };
        let id = ScopeId { org: org.clone(), env: env.clone(), scope: Scope::Environment };
        self.verified_then(&bytes, &id).await
    }

    /// Verifies a root with the trust document of today, or with an earlier one of the same epoch: keys that were replaced
    /// in good order signed well while they were in use. A new epoch is for those that did not.
    async fn verified_then(&self, bytes: &[u8], id: &ScopeId) -> Result<Root, Error> {
        let Some((today, _)) = self.trust().await? else {
            return Err(Error::NotFound { what: "trust document" });
        };
        let verify = |trust: &_| verify_root(bytes, trust, id, None, self.timer().now());
        let refusal = match verify(&today) {
            Ok(root) => return Ok(root),
            Err(refusal) => refusal,
        };
        for number in (1..today.claims().number).rev() {
            let Some(then) = self.trust_by_number(number).await? else { break };
            if then.claims().epoch != today.claims().epoch {
                break;
            }
            if let Ok(root) = verify(&then) {
                return Ok(root);
            }
        }
        Err(Error::invalid("root", format!("it cannot be trusted any more: {refusal}")))
    }

    async fn trust_by_number(&self, number: u64) -> Result<Option<Trust>, Error> {
        Ok(match self.objects().get(&trust::numbered(number), None).await? {
            Fetched::Found { bytes, .. } => Some(trust::consistent(&bytes)?),
            Fetched::NotModified | Fetched::Absent => None,
        })
    }

    /// The entries of a kind by their digests: 100 bytes each, and not the 60 MB that they may have.
    async fn digests(
        &self,
        org: &OrgKey,
        chunks: &[ChunkRef],
        kind: ChunkKind,
    ) -> Result<BTreeMap<String, Digest>, Error> {
        let mut digests = BTreeMap::new();
        let chunks = chunks.iter().filter(|chunk| chunk.kind == kind);
        let mut read = pin!(self.chunks_read(org, chunks));
        while let Some((_, bytes)) = read.try_next().await? {
            let entries = entries(&bytes, kind)
                .map_err(|refusal| Error::internal("a chunk of a root is damaged", refusal))?;
            let digest = |entry: &RawValue| Digest::of(entry.get().as_bytes());
            digests.extend(entries.into_iter().map(|(key, entry)| (key, digest(entry))));
        }
        Ok(digests)
    }
}
