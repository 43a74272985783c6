//! Writing chunks and roots.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use flagforge_flags::Revision;
use flagforge_flags::keys::OrgKey;
use flagforge_flags::manifest::{
    ChunkRef, Digest, Indexed, Listing, Named, Root, RootClaims, Scope, ScopeId, Trust, load,
    sign_root, verify_root,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::certify::Certified;
use super::render::{Bulk, Rendered};
use super::view::View;
use super::{MAX_ATTEMPTS, Published, RESIGN_AFTER, ROOT_LIFETIME};
use crate::Platform;
use crate::error::Error;
use crate::ports::{ETag, Fetched, ObjectError, PutIf};

/// Chunks put at a time: each waits for a disk or for S3, and an import touches hundreds.
const PUTS_AT_ONCE: usize = 16;

pub(super) fn part_name(org: &OrgKey, digest: Digest) -> String {
    format!("{org}/chunks/{digest}")
}

/// What stands where a root shall go.
pub(crate) struct Standing {
    condition: PutIf,
    pub(crate) root: Option<Root>,
    /// A root stands that the current trust does not verify: after a rotation, say.
    refused: bool,
}

impl Platform {
    pub(super) async fn publish_roots(
        &self,
        view: &mut View,
        bulk: Bulk,
    ) -> Result<Published, Error> {
        let Some((trust, _)) = self.trust().await? else {
            let context = "there is no trust document; install one with PUT /v1/trust";
            return Err(Error::Internal { context, source: None });
        };
        let certified = self.certified(&trust).await?;
        // The scopes are made of the same chunks.
        self.make_ready(view, &trust).await?;
        let mut rendered = view.render(bulk);
        let mut outcome = Published::Unchanged;
        view.put_just_now.clear();
        for scope in [Scope::Relay, Scope::Environment, Scope::Canary] {
            if let Published::Roots(revision) =
                self.publish_scope(view, &mut rendered, scope, &trust, &certified).await?
            {
                outcome = Published::Roots(revision);
            }
        }
        Ok(outcome)
    }

    /// Everything of a view that takes more than the view.
    async fn make_ready(&self, view: &mut View, trust: &Trust) -> Result<(), Error> {
        self.restore(view).await?;
        self.render_segments(view).await?;
        self.hold(view, trust).await
    }

    /// What a view's manifest is made of, all of it.
    pub(super) async fn made(&self, view: &mut View) -> Result<Vec<ChunkRef>, Error> {
        let Some((trust, _)) = self.trust().await? else { return Ok(Vec::new()) };
        let id =
            ScopeId { org: view.org.clone(), env: view.env.clone(), scope: Scope::Environment };
        let standing = self.standing(&id, &trust).await?;
        self.restore(view).await?;
        self.withhold(view, standing.root.as_ref()).await?;
        self.make_ready(view, &trust).await?;
        Ok(view.render(Bulk::All).chunks.into_iter().map(|chunk| chunk.reference).collect())
    }

    async fn publish_scope(
        &self,
        view: &mut View,
        rendered: &mut Rendered,
        scope: Scope,
        trust: &Trust,
        certified: &Certified,
    ) -> Result<Published, Error> {
        let id = ScopeId { org: view.org.clone(), env: view.env.clone(), scope };
        for _ in 0..MAX_ATTEMPTS {
            let standing = self.standing(&id, trust).await?;
            let ahead = standing.root.as_ref().map(|root| root.claims().revision);
            if ahead.is_some_and(|ahead| !rendered.revision.includes(ahead)) {
                // Another publisher knows more, or published more; read what it read.
                view.catch_up(self.table()).await?;
                self.make_ready(view, trust).await?;
                *rendered = view.render(Bulk::All);
            }
            // What is gone is held against the root of all.
            if id.scope != Scope::Canary && self.withhold(view, standing.root.as_ref()).await? {
                self.render_segments(view).await?;
                *rendered = view.render(Bulk::All);
            }
            let tried;
            let made = match id.scope {
                Scope::Canary => {
                    tried = view.with_tried(rendered);
                    &tried
                }
                Scope::Environment | Scope::Relay | Scope::Tenant(_) => &*rendered,
            };
            let indexed = made.indexed(&id.scope);
            let claims = self.claims(view, &id, trust, &standing, made, &indexed);
            if standing.root.as_ref().is_some_and(|root| self.still_good(root, &claims)) {
                return Ok(Published::Unchanged);
            }
            let text = sign_root(&claims, &certified.certificate, &certified.key)
                .map_err(|refusal| Error::internal("a root was refused", refusal))?;
            let digest = Digest::of(text.as_bytes());
            let parts = made.parts(&indexed);
            let listing = self.self_check(&text, &id, trust, &parts, view)?;
            let put = self.put_parts(view, &listing, standing.root.as_ref(), &parts).await?;
            view.put_just_now.extend(put);
            if let Some(root) = &standing.root {
                self.keep_root(root).await?;
            }
            match self.put_root(&id, text, standing).await {
                Ok(()) => {
                    let mine = listing.named().map(|named| named.sha256);
                    let mine = mine.filter_map(|digest| Some((digest, parts.get(&digest)?)));
                    if let Err(error) = self.put_again(&view.org, mine).await {
                        // The root stands, and the next sweep looks for what is missing.
                        tracing::warn!(scope = %id, %error, "what is swept was not looked at");
                    }
                    view.put.insert(id.scope, (digest, listing));
                    return Ok(Published::Roots(rendered.revision));
                }
                Err(ObjectError::Lost) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::busy("too many publishers at once"))
    }

    /// The root that readers of a scope get, where one stands that the trust verifies.
    pub(crate) async fn root_in_force(&self, id: &ScopeId) -> Result<Option<Root>, Error> {
        let Some((trust, _)) = self.trust().await? else { return Ok(None) };
        Ok(self.standing(id, &trust).await?.root)
    }

    pub(crate) async fn standing(&self, id: &ScopeId, trust: &Trust) -> Result<Standing, Error> {
        let name = id.root_name();
        let (bytes, etag): (Bytes, ETag) = match self.objects().get(&name, None).await? {
            Fetched::Found { bytes, etag } => (bytes, etag),
            Fetched::NotModified | Fetched::Absent => {
                return Ok(Standing { condition: PutIf::Absent, root: None, refused: false });
            }
        };
        let root = verify_root(&bytes, trust, id, None, self.timer().now());
        if let Err(refusal) = &root {
            tracing::warn!(root = name, %refusal, "the root that stands is not ours any more");
        }
        let refused = root.is_err();
        Ok(Standing { condition: PutIf::Matches(etag), root: root.ok(), refused })
    }

    /// Puts a root where nobody has put another since.
    pub(super) async fn put_root(
        &self,
        id: &ScopeId,
        text: String,
        standing: Standing,
    ) -> Result<(), ObjectError> {
        let (name, text) = (id.root_name(), Bytes::from(text));
        self.objects().put(&name, text, "application/jose", standing.condition).await.map(drop)
    }

    fn claims(
        &self,
        view: &View,
        id: &ScopeId,
        trust: &Trust,
        standing: &Standing,
        rendered: &Rendered,
        indexed: &Indexed,
    ) -> RootClaims {
        let now = self.timer().now();
        let serial = match &standing.root {
            Some(root) => root.claims().serial + 1,
            // Its serial cannot be believed, and may not be repeated: the clock is past any counter.
            None if standing.refused => now.as_millis().unsigned_abs(),
            None => 1,
        };
        RootClaims {
            format: 1,
            org: id.org.clone(),
            env: id.env.clone(),
            scope: id.scope.clone(),
            epoch: trust.claims().epoch,
            revision: rendered.revision,
            serial,
            issued: now,
            expires: now.plus(ROOT_LIFETIME),
            committed: view.committed,
            flag_shards: rendered.flag_shards,
            tenant_shards: rendered.tenant_shards,
            segment_shards: rendered.segment_shards,
            held: view.held_flags(),
            withheld: view.kept.named(),
            restored: view.said_of_restored(),
            counts: Some(rendered.counts),
            chunks: indexed.chunks.clone(),
            indexes: indexed.indexes.iter().map(|(named, _)| *named).collect(),
        }
    }

    fn still_good(&self, root: &Root, claims: &RootClaims) -> bool {
        let standing = root.claims();
        let young = self.timer().now().since(standing.issued) < RESIGN_AFTER;
        let same: Revision = standing.revision;
        let lists_the_same = standing.chunks == claims.chunks && standing.indexes == claims.indexes;
        let holds_the_same = standing.held == claims.held
            && standing.withheld == claims.withheld
            && standing.restored == claims.restored
            && standing.counts == claims.counts;
        young && same == claims.revision && lists_the_same && holds_the_same
    }

    /// Reads what is about to be published with the readers' own code, and answers what it lists. What they would refuse
    /// is not published; a flag that spoils itself is said loudly, though `commit` should have refused it.
    fn self_check(
        &self,
        text: &str,
        id: &ScopeId,
        trust: &Trust,
        parts: &HashMap<Digest, Bytes>,
        view: &mut View,
    ) -> Result<Listing, Error> {
        let refused = |refusal| Error::internal("our own reader refuses the manifest", refusal);
        let now = self.timer().now();
        let root = verify_root(text.as_bytes(), trust, id, None, now).map_err(refused)?;
        let mut bytes = |digest: &Digest| parts.get(digest);
        let snapshot = load(root, &mut bytes, view.checked.as_ref()).map_err(refused)?;
        for (key, flag) in snapshot.flags() {
            if let Err(fault) = flag {
                tracing::error!(scope = %id, flag = key, %fault, "a published flag spoils itself");
            }
        }
        let listing = snapshot.listing().clone();
        if id.scope != Scope::Canary {
            view.checked = Some(snapshot);
        }
        Ok(listing)
    }

    /// Puts what the store may lack: chunks and indexes before the root that names them. What the root that stands names
    /// is there; of its indexes this publisher knows the content where it put them itself. Answers what was put.
    pub(super) async fn put_parts(
        &self,
        view: &View,
        listing: &Listing,
        standing: Option<&Root>,
        parts: &HashMap<Digest, Bytes>,
    ) -> Result<Vec<Digest>, Error> {
        let lacking: Vec<Named> = match standing {
            None => listing.named().collect(),
            Some(root) => listing.beyond(root.claims()).collect(),
        };
        let known = standing.and_then(|root| {
            let (put, known) = view.put.get(&root.claims().scope)?;
            (*put == root.digest()).then_some(known)
        });
        let known: HashSet<Digest> =
            known.into_iter().flat_map(Listing::named).map(|named| named.sha256).collect();
        let there = |digest: &Digest| known.contains(digest) || view.put_just_now.contains(digest);
        let lacking = lacking.into_iter().filter(|named| !there(&named.sha256));
        let puts: Vec<_> = lacking
            .filter_map(|named| Some((named.sha256, parts.get(&named.sha256)?)))
            .map(|(digest, bytes)| async move {
                self.put_part(&view.org, digest, bytes).await?;
                Ok::<_, Error>(digest)
            })
            .collect();
        stream::iter(puts).buffer_unordered(PUTS_AT_ONCE).try_collect().await
    }

    /// A chunk or an index from the store; `None` when it is not there as it should be.
    pub(super) async fn part(&self, org: &OrgKey, named: &Named) -> Result<Option<Bytes>, Error> {
        Ok(match self.objects().get(&part_name(org, named.sha256), None).await? {
            Fetched::Found { bytes, .. } => {
                Some(bytes).filter(|bytes| Digest::of(bytes) == named.sha256)
            }
            Fetched::NotModified | Fetched::Absent => None,
        })
    }

    pub(super) async fn put_part(
        &self,
        org: &OrgKey,
        digest: Digest,
        bytes: &Bytes,
    ) -> Result<(), Error> {
        let name = part_name(org, digest);
        // Though it may be there: what is put again is young, and no sweep takes it.
        self.objects().put(&name, bytes.clone(), "application/json", PutIf::Any).await?;
        Ok(())
    }
}
