//! All chunks of a root. A root of few chunks lists them itself; a root of many lists indexes, and they list the
//! chunks. So a root stays small however much there is, and a change costs its chunk, one index and the root.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::root::{ChunkKind, ChunkRef, Encoding, MAX_CHUNKS, MAX_SHARDS, MAX_TOTAL_BYTES, within};
use super::{Digest, Refusal, Root, RootClaims, Scope, jws};

/// Chunks that a root lists itself, and that one index lists: an index is about 9 KiB, a third of a chunk, and a root
/// of the most indexes is not larger than a chunk either.
pub const MAX_LISTED: usize = 64;
/// Indexes of a root: 4,096 shards of each of three kinds, 64 to an index, are 192.
pub const MAX_INDEXES: usize = 3 * MAX_SHARDS as usize / MAX_LISTED;
/// Bytes of one index: 64 chunks of 150 bytes are 9.6 KB; the rest is for members to come.
pub const MAX_INDEX_BYTES: u64 = 32 * 1024;

const WHAT: &str = "index";

/// What stands in a store under its digest: a chunk, or an index as the root names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The digest of its bytes.
    pub sha256: Digest,
    /// How many bytes it has.
    pub bytes: u64,
}

/// An index's content: `{"chunks":[<chunk>,…]}`.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    chunks: Vec<ChunkRef>,
}

/// What a root shall list, and the indexes that are to be stored first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Indexed {
    /// The chunks that the root lists itself.
    pub chunks: Vec<ChunkRef>,
    /// The indexes, with their bytes.
    pub indexes: Vec<(Named, Vec<u8>)>,
}

/// Cuts a list of chunks, in the order of their kinds and shards, into what a root lists itself and indexes. The same
/// chunks give the same indexes; a chunk that changed changes one of them. Keys stay in the root, so that scopes with and
/// without them share their indexes.
pub fn index(chunks: Vec<ChunkRef>) -> Indexed {
    if chunks.len() <= MAX_LISTED {
        return Indexed { chunks, indexes: Vec::new() };
    }
    let mut cut: BTreeMap<(ChunkKind, u32), Vec<ChunkRef>> = BTreeMap::new();
    let mut own = Vec::new();
    for chunk in chunks {
        match chunk.kind {
            ChunkKind::Keys => own.push(chunk),
            kind => cut.entry((kind, chunk.shard / MAX_LISTED as u32)).or_default().push(chunk),
        }
    }
    let indexes = cut.into_values().map(|chunks| {
        // Texts and numbers always serialize; an empty index would be refused by its readers.
        let bytes = serde_json::to_vec(&Index { chunks }).unwrap_or_default();
        (Named { sha256: Digest::of(&bytes), bytes: bytes.len() as u64 }, bytes)
    });
    Indexed { chunks: own, indexes: indexes.collect() }
}

/// Every chunk that a root lists, by itself or by its indexes. Checked: none twice, none beyond its limits.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    own: Vec<ChunkRef>,
    /// By their digests: how many bytes each has, and what it lists.
    indexes: BTreeMap<Digest, (u64, Arc<[ChunkRef]>)>,
}

impl Listing {
    /// The indexes to fetch before the root can be listed: those that `held` does not have.
    pub fn lacking<'r>(
        root: &'r Root,
        held: Option<&Self>,
    ) -> impl Iterator<Item = &'r Named> + use<'r> {
        let lacks = |index: &Named| !held.is_some_and(|h| h.indexes.contains_key(&index.sha256));
        let lacking: Vec<&Named> =
            root.claims().indexes.iter().filter(|index| lacks(index)).collect();
        lacking.into_iter()
    }

    /// Lists a root. `index` hands over an index's bytes by its digest, and is asked only for those that `held` does
    /// not have. Any that is missing, of other bytes or no index refuses the whole.
    pub fn of<B: AsRef<[u8]>>(
        root: &Root,
        index: &mut dyn FnMut(&Digest) -> Option<B>,
        held: Option<&Self>,
    ) -> Result<Self, Refusal> {
        let claims = root.claims();
        let mut indexes = BTreeMap::new();
        for listed in &claims.indexes {
            let known = held.and_then(|held| held.indexes.get(&listed.sha256));
            let chunks = match known {
                Some((_, chunks)) => Arc::clone(chunks),
                None => Self::chunks_of_index(fetch(*listed, index)?.as_ref())?,
            };
            indexes.insert(listed.sha256, (listed.bytes, chunks));
        }
        let listing = Self { own: claims.chunks.clone(), indexes };
        check_chunks(claims, listing.chunks())?;
        Ok(listing)
    }

    /// What an index lists by itself, whichever root lists the index.
    pub fn chunks_of_index(bytes: &[u8]) -> Result<Arc<[ChunkRef]>, Refusal> {
        let index: Index = jws::parse(WHAT, bytes)?;
        Ok(index.chunks.into())
    }

    /// The chunks.
    pub fn chunks(&self) -> impl Iterator<Item = &ChunkRef> {
        self.own.iter().chain(self.indexes.values().flat_map(|(_, chunks)| chunks.iter()))
    }

    /// What a store may lack that has everything of `standing`: the indexes that it does not list, and of their chunks
    /// those that it does not list itself. Some of them may be there all the same.
    pub fn beyond(&self, standing: &RootClaims) -> impl Iterator<Item = Named> {
        let indexes: HashSet<Digest> = standing.indexes.iter().map(|index| index.sha256).collect();
        let own: HashSet<Digest> = standing.chunks.iter().map(|chunk| chunk.sha256).collect();
        let mut lacking = Vec::new();
        for (sha256, (bytes, chunks)) in &self.indexes {
            if !indexes.contains(sha256) {
                lacking.push(Named { sha256: *sha256, bytes: *bytes });
                lacking.extend(chunks.iter().map(ChunkRef::named));
            }
        }
        lacking.extend(self.own.iter().map(ChunkRef::named));
        lacking.into_iter().filter(move |named| !own.contains(&named.sha256))
    }

    /// The indexes.
    pub fn indexes(&self) -> impl Iterator<Item = Named> {
        self.indexes.iter().map(|(sha256, (bytes, _))| Named { sha256: *sha256, bytes: *bytes })
    }

    /// The indexes and the chunks: everything that a store has to have for it.
    pub fn named(&self) -> impl Iterator<Item = Named> {
        self.indexes().chain(self.chunks().map(ChunkRef::named))
    }
}

/// The bytes of what is named by its digest and size.
pub(super) fn fetch<B: AsRef<[u8]>>(
    named: Named,
    from: &mut dyn FnMut(&Digest) -> Option<B>,
) -> Result<B, Refusal> {
    let Named { sha256: digest, bytes: declared } = named;
    let bytes = from(&digest).ok_or(Refusal::ChunkMissing(digest))?;
    let actual = bytes.as_ref().len() as u64;
    if actual != declared {
        return Err(Refusal::ChunkSize { digest, declared, actual });
    }
    if Digest::of(bytes.as_ref()) != digest {
        return Err(Refusal::ChunkDigest(digest));
    }
    Ok(bytes)
}

/// What any list of a root's chunks has to hold to.
pub(super) fn check_chunks<'c>(
    claims: &RootClaims,
    chunks: impl Iterator<Item = &'c ChunkRef>,
) -> Result<(), Refusal> {
    let malformed = |why: String| Err(Refusal::malformed("root", why));
    let (mut seen, mut total, mut count) = (HashSet::new(), 0_u64, 0_usize);
    for chunk in chunks {
        count += 1;
        Refusal::over("number of chunks", MAX_CHUNKS, count)?;
        if chunk.kind == ChunkKind::Unknown {
            // A newer writer's. Nothing that this reader knows is in it, and it is not fetched.
            continue;
        }
        if chunk.kind == ChunkKind::Keys && claims.scope != Scope::Relay {
            return malformed("keys outside the relay scope".into());
        }
        let (kind, shard) = (chunk.kind, chunk.shard);
        if chunk.encoding == Encoding::Unknown {
            // Going on without it would read as "there is none".
            return malformed(format!("{kind} shard {shard} is in an encoding that is not known"));
        }
        if shard >= claims.shards(kind) || !seen.insert((kind, shard)) {
            return malformed(format!("{kind} shard {shard} does not exist or is listed twice"));
        }
        within("chunk", kind.max_bytes(), chunk.bytes)?;
        total = total.saturating_add(chunk.bytes);
    }
    within("sum of all chunks", MAX_TOTAL_BYTES, total)
}
