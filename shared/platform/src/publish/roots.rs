//! Writing chunks and roots.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use flagforge_flags::Revision;
use flagforge_flags::keys::OrgKey;
use flagforge_flags::manifest::{
    ChunkKind, Digest, Root, RootClaims, Scope, ScopeId, Trust, load, sign_root, verify_root,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::certify::Certified;
use super::render::{Bulk, Chunk, Rendered};
use super::view::View;
use super::{Published, RESIGN_AFTER, ROOT_LIFETIME};
use crate::Platform;
use crate::error::Error;
use crate::ports::{ETag, Fetched, ObjectError, PutIf};

/// Tries against other publishers before giving up; the notice comes again.
const MAX_ATTEMPTS: usize = 5;
/// Chunks put at a time: each waits for a disk or for S3, and an import touches hundreds.
const PUTS_AT_ONCE: usize = 16;

/// What stands where a root shall go.
struct Standing {
    condition: PutIf,
    root: Option<Root>,
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
        // Both scopes are made of the same chunks.
        self.render_segments(view).await?;
        let mut rendered = view.render(bulk);
        let mut outcome = Published::Unchanged;
        for scope in [Scope::Relay, Scope::Environment] {
            if let Published::Roots(revision) =
                self.publish_scope(view, &mut rendered, scope, &trust, &certified).await?
            {
                outcome = Published::Roots(revision);
            }
        }
        Ok(outcome)
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
        let name = format!("{}/{}/{}.jws", id.org, id.env, id.scope);
        for _ in 0..MAX_ATTEMPTS {
            let standing = self.standing(&name, &id, trust).await?;
            let ahead = standing.root.as_ref().map(|root| root.claims().revision);
            if ahead.is_some_and(|ahead| !rendered.revision.includes(ahead)) {
                // Another publisher knows more, or published more; read what it read.
                view.catch_up(self.table()).await?;
                self.render_segments(view).await?;
                *rendered = view.render(Bulk::All);
            }
            let claims = self.claims(view, &id, trust, &standing, rendered);
            if standing.root.as_ref().is_some_and(|root| self.still_good(root, &claims)) {
                return Ok(Published::Unchanged);
            }
            let text = sign_root(&claims, &certified.certificate, &certified.key)
                .map_err(|refusal| Error::internal("a root was refused", refusal))?;
            self.self_check(&text, &id, trust, rendered, view)?;
            self.put_chunks(view, &claims, standing.root.as_ref(), rendered).await?;
            let put = self
                .objects()
                .put(&name, Bytes::from(text), "application/jose", standing.condition)
                .await;
            match put {
                Ok(_) => return Ok(Published::Roots(rendered.revision)),
                Err(ObjectError::Lost) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::busy("too many publishers at once"))
    }

    async fn standing(&self, name: &str, id: &ScopeId, trust: &Trust) -> Result<Standing, Error> {
        let (bytes, etag): (Bytes, ETag) = match self.objects().get(name, None).await? {
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

    fn claims(
        &self,
        view: &View,
        id: &ScopeId,
        trust: &Trust,
        standing: &Standing,
        rendered: &Rendered,
    ) -> RootClaims {
        let now = self.timer().now();
        let serial = match &standing.root {
            Some(root) => root.claims().serial + 1,
            // Its serial cannot be believed, and may not be repeated: the clock is past any counter.
            None if standing.refused => now.as_millis().unsigned_abs(),
            None => 1,
        };
        let chunks = rendered.chunks.iter().map(|chunk| &chunk.reference);
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
            // Only a relay may see the keys.
            chunks: chunks
                .filter(|chunk| chunk.kind != ChunkKind::Keys || id.scope == Scope::Relay)
                .cloned()
                .collect(),
        }
    }

    fn still_good(&self, root: &Root, claims: &RootClaims) -> bool {
        let standing = root.claims();
        let young = self.timer().now().since(standing.issued) < RESIGN_AFTER;
        let same: Revision = standing.revision;
        young && same == claims.revision && standing.chunks == claims.chunks
    }

    /// Reads what is about to be published with the readers' own code. What they would refuse is not
    /// published; a flag that spoils itself is said loudly, though `commit` should have refused it.
    fn self_check(
        &self,
        text: &str,
        id: &ScopeId,
        trust: &Trust,
        rendered: &Rendered,
        view: &mut View,
    ) -> Result<(), Error> {
        let refused = |refusal| Error::internal("our own reader refuses the manifest", refusal);
        let now = self.timer().now();
        let root = verify_root(text.as_bytes(), trust, id, None, now).map_err(refused)?;
        let by_digest: HashMap<Digest, &Bytes> =
            rendered.chunks.iter().map(|chunk| (chunk.reference.sha256, &chunk.bytes)).collect();
        let mut bytes = |digest: &_| by_digest.get(digest).map(|bytes| (*bytes).clone());
        let snapshot = load(root, &mut bytes, view.checked.as_ref()).map_err(refused)?;
        for (key, flag) in snapshot.flags() {
            if let Err(fault) = flag {
                tracing::error!(scope = %id, flag = key, %fault, "a published flag spoils itself");
            }
        }
        view.checked = Some(snapshot);
        Ok(())
    }

    async fn put_chunks(
        &self,
        view: &View,
        claims: &RootClaims,
        standing: Option<&Root>,
        rendered: &Rendered,
    ) -> Result<(), Error> {
        let listed = |claims: &RootClaims| -> HashSet<Digest> {
            claims.chunks.iter().map(|chunk| chunk.sha256).collect()
        };
        let (wanted, stands) =
            (listed(claims), standing.map(|root| listed(root.claims())).unwrap_or_default());
        let lacking = rendered.chunks.iter().filter(|chunk| {
            let digest = &chunk.reference.sha256;
            wanted.contains(digest) && !stands.contains(digest)
        });
        let puts: Vec<_> = lacking.map(|chunk| self.put_chunk(&view.org, chunk)).collect();
        stream::iter(puts).buffer_unordered(PUTS_AT_ONCE).try_collect().await
    }

    async fn put_chunk(&self, org: &OrgKey, chunk: &Chunk) -> Result<(), Error> {
        let name = format!("{org}/chunks/{}", chunk.reference.sha256);
        match self
            .objects()
            .put(&name, chunk.bytes.clone(), "application/json", PutIf::Absent)
            .await
        {
            // Content-addressed: whoever put it put the same bytes.
            Ok(_) | Err(ObjectError::Lost) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
