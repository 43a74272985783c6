//! Earlier roots, kept for a while; and chunks that no root lists any more, which go. A chunk goes when it was loose in two
//! sweeps an hour apart and was not put in between: whoever reads a root that was replaced, or is about to publish, has
//! that long.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use bytes::Bytes;
use flagforge_flags::KeyKind;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::{Digest, Listing, Named, Root, RootClaims, Scope, ScopeId};
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Platform;
use crate::collect::LEFT_ALONE;
use crate::error::Error;
use crate::manifest::ManifestRecord;
use crate::place;
use crate::plan::keys_in_force;
use crate::ports::{Fetched, ListedObject, PutIf};
use crate::record::{Environment, Tenant};
use crate::store::{self, Stored};

/// How long the last root of an hour is kept after that hour: 720 roots of an environment at most.
pub const ROOTS_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Of the roots of one such span the last is kept: a busy environment has ten a second.
const KEPT_PER: Duration = Duration::from_secs(3_600);
/// How long one sweep of an organization removes; the next goes on.
pub(super) const SWEPT_WITHIN: Duration = Duration::from_secs(30);

/// What was loose in the sweep before.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Loose {
    at: Timestamp,
    chunks: HashSet<Digest>,
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Chunks and indexes that no root lists.
    pub(crate) chunks: u64,
    /// Earlier roots whose time is over.
    pub(crate) roots: u64,
}

pub(crate) fn history_of(org: &OrgKey, env: &EnvKey) -> String {
    format!("{org}/{env}/history/")
}

fn roots_of_tenants(org: &OrgKey, env: &EnvKey) -> String {
    format!("{org}/{env}/tenants/")
}

fn loose_name(org: &OrgKey) -> String {
    format!("{org}/chunks/loose.json")
}

fn long_ago(now: Timestamp, duration: Duration) -> Timestamp {
    let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(millis))
}

fn span(instant: Timestamp) -> i64 {
    instant.as_seconds().div_euclid(KEPT_PER.as_secs().cast_signed())
}

impl Platform {
    /// Keeps a root that is about to be replaced, where it is the last of its hour.
    pub(super) async fn keep_root(&self, root: &Root) -> Result<(), Error> {
        let claims = root.claims();
        let passed = span(claims.issued) != span(self.timer().now());
        if claims.scope != Scope::Environment || !passed {
            return Ok(());
        }
        let folder = history_of(&claims.org, &claims.env);
        // In the order of time, by name.
        let name = format!("{folder}{:015}-{}.jws", claims.issued.as_millis(), claims.serial);
        let text = Bytes::copy_from_slice(root.text().as_bytes());
        self.objects().put(&name, text, "application/jose", PutIf::Any).await?;
        Ok(())
    }

    /// Removes an organization's earlier roots whose time is over, and chunks that have been loose for long. Where any
    /// root cannot be read nothing is removed.
    pub(crate) async fn sweep(&self, org: &OrgKey) -> Result<Swept, Error> {
        let now = self.timer().now();
        // Listed before roots are read: what a later root lists besides was put meanwhile, and is young.
        let chunks = self.all_listed(&format!("{org}/chunks/")).await?;
        let mut swept = Swept::default();
        let mut named: HashSet<Digest> = HashSet::new();
        let envs: Vec<Stored<Environment>> =
            store::all(self.table(), &place::org_pk(org), "ENV#").await?;
        let envs: Vec<EnvKey> = envs.into_iter().map(|stored| stored.value.key).collect();
        for env in &envs {
            swept.roots += self.remove_unbound(org, env, now).await?;
        }
        self.note_standing(org, &envs, &mut named).await?;
        for env in &envs {
            let said: Option<Stored<ManifestRecord>> =
                store::read(self.table(), &place::manifest(org, env)).await?;
            let restored = said.and_then(|said| Some(said.value.restored?.root));
            let history = history_of(org, env);
            let in_use = restored.map(|root| format!("{history}{root}.jws"));
            for kept in self.all_listed(&history).await? {
                let over = kept.put < long_ago(now, ROOTS_KEPT);
                if over && in_use.as_ref() != Some(&kept.name) {
                    let gone = self.objects().delete(&kept.name, long_ago(now, ROOTS_KEPT)).await?;
                    swept.roots += u64::from(gone);
                } else {
                    self.note_named(&kept.name, org, &mut named).await?;
                }
            }
        }
        let before = long_ago(now, LEFT_ALONE);
        if self.look_after_copies(org, &chunks, &named, before).await? {
            swept.chunks = self.remove_loose(org, &envs, &chunks, &named, now).await?;
        }
        Ok(swept)
    }

    async fn note_standing(
        &self,
        org: &OrgKey,
        envs: &[EnvKey],
        named: &mut HashSet<Digest>,
    ) -> Result<(), Error> {
        for env in envs {
            for scope in [Scope::Environment, Scope::Relay, Scope::Canary] {
                let id = ScopeId { org: org.clone(), env: env.clone(), scope };
                self.note_named(&id.root_name(), org, named).await?;
            }
            for root in self.all_listed(&roots_of_tenants(org, env)).await? {
                self.note_named(&root.name, org, named).await?;
            }
        }
        Ok(())
    }

    /// Removes the roots of tenants that have no server key for an environment any more. One that was put again since
    /// stays.
    async fn remove_unbound(
        &self,
        org: &OrgKey,
        env: &EnvKey,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let (bound, mut removed) = (self.bound_roots(org, env).await?, 0);
        for root in self.all_listed(&roots_of_tenants(org, env)).await? {
            if !bound.contains(&root.name) {
                removed += u64::from(self.objects().delete(&root.name, now).await?);
            }
        }
        Ok(removed)
    }

    /// The names of the roots of tenants that have a server key for an environment.
    async fn bound_roots(&self, org: &OrgKey, env: &EnvKey) -> Result<HashSet<String>, Error> {
        let mut names = HashSet::new();
        let keys = keys_in_force(self.table(), org).await?;
        for facts in keys.into_iter().map(|stored| stored.value.facts) {
            let here = facts.envs.as_ref().is_none_or(|envs| envs.contains(env));
            let Some(tenant) = facts.tenant.filter(|_| here && facts.kind == KeyKind::Server)
            else {
                continue;
            };
            let known: Option<Stored<Tenant>> =
                store::read(self.table(), &place::tenant(org, &tenant)).await?;
            if known.is_some() {
                let scope = Scope::Tenant(tenant);
                names.insert(ScopeId { org: org.clone(), env: env.clone(), scope }.root_name());
            }
        }
        Ok(names)
    }

    async fn remove_loose(
        &self,
        org: &OrgKey,
        envs: &[EnvKey],
        chunks: &[ListedObject],
        named: &HashSet<Digest>,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let folder = format!("{org}/chunks/");
        let before = long_ago(now, LEFT_ALONE);
        let digest = |chunk: &ListedObject| chunk.name.strip_prefix(&folder)?.parse().ok();
        let old = chunks.iter().filter(|chunk| chunk.put < before);
        let loose: HashSet<Digest> =
            old.filter_map(digest).filter(|digest| !named.contains(digest)).collect();
        let last: Loose = match self.objects().get(&loose_name(org), None).await? {
            // What cannot be read is as good as nothing: it only takes an hour more.
            Fetched::Found { bytes, .. } => serde_json::from_slice(&bytes).unwrap_or_default(),
            Fetched::NotModified | Fetched::Absent => Loose::default(),
        };
        if !last.chunks.is_empty() && last.at > before {
            return Ok(0);
        }
        let doomed: Vec<Digest> = loose.intersection(&last.chunks).copied().collect();
        let gone = self.remove_chunks(org, &doomed, before).await?;
        let mut back = 0;
        if !gone.is_empty() {
            let mut named = HashSet::new();
            self.note_standing(org, envs, &mut named).await?;
            back = self.put_back(org, gone.iter().copied(), &named).await?;
        }
        let left: HashSet<Digest> =
            loose.into_iter().filter(|digest| !gone.contains(digest)).collect();
        if !(left.is_empty() && last.chunks.is_empty()) {
            let json = serde_json::to_vec(&Loose { at: now, chunks: left });
            let json = json.map_err(|e| Error::internal("a list did not serialize", e))?;
            let (name, json) = (loose_name(org), Bytes::from(json));
            self.objects().put(&name, json, "application/json", PutIf::Any).await?;
        }
        Ok(gone.len() as u64 - back)
    }

    pub(crate) async fn all_listed(&self, folder: &str) -> Result<Vec<ListedObject>, Error> {
        let (mut all, mut after): (Vec<ListedObject>, Option<String>) = (Vec::new(), None);
        loop {
            let listed = self.objects().list(folder, after.as_deref()).await?;
            let Some(last) = listed.last() else { return Ok(all) };
            after = Some(last.name.clone());
            all.extend(listed);
        }
    }

    /// Notes everything that a root lists. Its signature does not matter here: earlier keys are no longer trusted, and
    /// whoever can write roots could remove chunks as well.
    async fn note_named(
        &self,
        name: &str,
        org: &OrgKey,
        named: &mut HashSet<Digest>,
    ) -> Result<(), Error> {
        let bytes = match self.objects().get(name, None).await? {
            Fetched::Found { bytes, .. } => bytes,
            Fetched::NotModified | Fetched::Absent => return Ok(()),
        };
        let claims = claims_of(&bytes)
            .ok_or(Error::Internal { context: "a root in the store is damaged", source: None })?;
        let mut indexes = BTreeMap::new();
        for index in claims.indexes.iter().filter(|index| !named.contains(&index.sha256)) {
            if let Some(bytes) = self.part(org, index).await? {
                indexes.insert(index.sha256, bytes);
            }
        }
        for bytes in indexes.values() {
            let listed = Listing::chunks_of_index(bytes)
                .map_err(|refusal| Error::internal("an index in the store is damaged", refusal))?;
            named.extend(listed.iter().map(|chunk| chunk.sha256));
        }
        named.extend(claims.indexes.iter().map(|Named { sha256, .. }| *sha256));
        named.extend(claims.chunks.iter().map(|chunk| chunk.sha256));
        Ok(())
    }
}

/// What a root says. It is not verified.
pub(crate) fn claims_of(jws: &[u8]) -> Option<RootClaims> {
    let payload = str::from_utf8(jws).ok()?.split('.').nth(1)?;
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(payload).ok()?).ok()
}
