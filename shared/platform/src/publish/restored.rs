//! An earlier root that is published again: its flags, tenants and segments, until somebody releases it. What turns flags
//! off passes all the same, and keys stay today's.

use std::collections::BTreeMap;
use std::pin::pin;

use bytes::Bytes;
use flagforge_flags::keys::OrgKey;
use flagforge_flags::manifest::{
    ChunkKind, ChunkRef, Digest, Listing, Restored as Said, RootClaims, entries,
};
use flagforge_flags::wire::FlagWire;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use serde_json::value::RawValue;

use super::render::Chunk;
use super::shrinkage::Kept;
use super::sweep::{claims_of, history_of};
use super::view::View;
use crate::Platform;
use crate::error::Error;
use crate::manifest::RestoredRoot;
use crate::ports::Fetched;

/// Chunks read at a time: each waits for a disk or for S3.
const CHUNKS_AT_ONCE: usize = 16;
/// Of a chunk or an index.
const MISSING: &str = "what a root lists is missing in the store";

/// What an earlier root has.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(super) flags: BTreeMap<String, FlagWire>,
    pub(super) tenants: BTreeMap<String, Box<RawValue>>,
    segment_shards: u32,
    segments: Vec<Chunk>,
    segment_count: usize,
}

/// The earlier root that is published.
#[derive(Debug)]
pub(super) struct Restored {
    of: RestoredRoot,
    said: Said,
    pub(super) content: Content,
}

impl Restored {
    /// How many shards of segments there are, their chunks, and how many segments.
    pub(super) fn segments(&self) -> (u32, &[Chunk], usize) {
        let Content { segment_shards, segments, segment_count, .. } = &self.content;
        (*segment_shards, segments, *segment_count)
    }
}

impl View {
    /// What the root says of it.
    pub(super) fn said_of_restored(&self) -> Option<Said> {
        self.restored.as_ref().map(|restored| restored.said)
    }

    /// A flag as the earlier root had it, and off where it was turned off since or by a kill switch.
    pub(super) fn restored_form(&self, flag: &str) -> Option<FlagWire> {
        let restored = self.restored.as_ref()?;
        let form = restored.content.flags.get(flag)?.clone();
        let since = restored.of.since;
        let state = self.states.get(flag).filter(|state| state.version > since);
        let turned_off = state.is_some_and(|state| {
            !state.value.state.enabled && self.flag_uid(flag) == Some(&*state.value.flag_uid)
        });
        let mut form = self.killed(form);
        form.state.enabled &= !turned_off;
        Some(form)
    }
}

impl Platform {
    /// Takes up what the view's record says of an earlier root, or lets go of it. Which root it is was verified when that was
    /// said: here its digest counts, so that it stands whatever becomes of the keys that signed it.
    pub(super) async fn restore(&self, view: &mut View) -> Result<(), Error> {
        let wanted = view.manifest.as_ref().and_then(|record| record.restored.as_ref());
        if wanted == view.restored.as_ref().map(|restored| &restored.of) {
            return Ok(());
        }
        let restored = match wanted.cloned() {
            None => None,
            Some(of) => {
                let read = self.restored(view, of).await;
                read.inspect_err(|error| {
                    let (org, env) = (&view.org, &view.env);
                    tracing::error!(%org, %env, %error, alarm = "restored", "what is to be restored cannot be read; the last manifest stays");
                })?
            }
        };
        let (org, env, root) = (&view.org, &view.env, restored.as_ref().map(|it| &it.of.root));
        tracing::warn!(%org, %env, ?root, "an earlier root is published, or none any more");
        view.restored = restored;
        // Neither is told of by an earlier root, and what comes after it is held against it.
        view.held.clear();
        view.kept = Kept::default();
        view.renderings.owed_flags.add_all();
        view.renderings.owed_tenants.add_all();
        Ok(())
    }

    async fn restored(&self, view: &View, of: RestoredRoot) -> Result<Option<Restored>, Error> {
        let name = format!("{}{}.jws", history_of(&view.org, &view.env), of.root);
        let wrong = |context| Error::Internal { context, source: None };
        let Fetched::Found { bytes, .. } = self.objects().get(&name, None).await? else {
            return Err(wrong("the root that is to be restored is gone"));
        };
        if Digest::of(&bytes) != of.digest {
            return Err(wrong("the root that is to be restored is another"));
        }
        let claims =
            claims_of(&bytes).ok_or(wrong("the root that is to be restored is damaged"))?;
        let said = Said { revision: claims.revision, issued: claims.issued, serial: claims.serial };
        let content = self.content(&claims).await?;
        Ok(Some(Restored { of, said, content }))
    }

    /// All chunks that a root lists, from the store.
    pub(crate) async fn listed_chunks(&self, claims: &RootClaims) -> Result<Vec<ChunkRef>, Error> {
        let mut chunks = claims.chunks.clone();
        for index in &claims.indexes {
            let bytes = self.part(&claims.org, index).await?;
            let bytes = bytes.ok_or(Error::Internal { context: MISSING, source: None })?;
            let listed = Listing::chunks_of_index(&bytes)
                .map_err(|refusal| Error::internal("an index in the store is damaged", refusal))?;
            chunks.extend_from_slice(&listed);
        }
        Ok(chunks)
    }

    /// Chunks with their bytes, some at a time.
    pub(crate) fn chunks_read<'c>(
        &self,
        org: &OrgKey,
        chunks: impl Iterator<Item = &'c ChunkRef>,
    ) -> impl Stream<Item = Result<(ChunkRef, Bytes), Error>> {
        let reads: Vec<_> = chunks
            .cloned()
            .map(|chunk| async move {
                let bytes = self.part(org, &chunk.named()).await?;
                let bytes = bytes.ok_or(Error::Internal { context: MISSING, source: None })?;
                Ok((chunk, bytes))
            })
            .collect();
        stream::iter(reads).buffer_unordered(CHUNKS_AT_ONCE)
    }

    /// What a root has, all of it.
    pub(crate) async fn content(&self, claims: &RootClaims) -> Result<Content, Error> {
        let mut content = Content { segment_shards: claims.segment_shards, ..Content::default() };
        let listed = self.listed_chunks(claims).await?;
        let mut read = pin!(self.chunks_read(&claims.org, listed.iter()));
        while let Some((reference, bytes)) = read.try_next().await? {
            let found = entries(&bytes, reference.kind)
                .map_err(|refusal| Error::internal("a chunk of a root is damaged", refusal))?;
            match reference.kind {
                ChunkKind::Flags => {
                    for (key, entry) in found {
                        let flag = serde_json::from_str(entry.get()).map_err(|error| {
                            let message = format!("its flag `{key}` cannot be read here: {error}");
                            Error::invalid("root", message)
                        })?;
                        content.flags.insert(key, flag);
                    }
                }
                ChunkKind::Tenants => {
                    content
                        .tenants
                        .extend(found.into_iter().map(|(key, entry)| (key, entry.to_owned())));
                }
                ChunkKind::Segments => {
                    content.segment_count += found.len();
                    content.segments.push(Chunk { reference, bytes });
                }
                ChunkKind::Keys | ChunkKind::Unknown => {}
            }
        }
        content.segments.sort_by_key(|chunk| chunk.reference.shard);
        Ok(content)
    }
}
