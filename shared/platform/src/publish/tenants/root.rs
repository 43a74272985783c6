//! The root of one tenant's manifest. Its numbers are its own: they move when its content does, and tell nothing of
//! what others do.

use flagforge_flags::Revision;
use flagforge_flags::manifest::{
    Digest, HeldFlag, Indexed, Listing, Named, RootClaims, ScopeId, sign_root, verify_root,
};
use flagforge_flags::time::Timestamp;

use super::super::roots::Standing;
use super::super::{MAX_ATTEMPTS, Published, RESIGN_AFTER, ROOT_LIFETIME};
use super::Shared;
use super::scope::TenantScope;
use crate::Platform;
use crate::error::Error;
use crate::ports::ObjectError;

impl Platform {
    pub(super) async fn publish_tenant_root(
        &self,
        shared: &Shared<'_>,
        id: &ScopeId,
        scope: &mut TenantScope,
    ) -> Result<Published, Error> {
        let indexed = scope.indexed();
        let listed = digest_of(&indexed, &shared.held);
        let now = self.timer().now();
        let young = |issued: Timestamp| now.since(issued) < RESIGN_AFTER;
        if scope.standing.is_some_and(|(stands, issued)| stands == listed && young(issued)) {
            return Ok(Published::Unchanged);
        }
        for _ in 0..MAX_ATTEMPTS {
            let standing = self.standing(id, shared.trust).await?;
            let claims = claims(shared, id, scope, &standing, &indexed, now);
            if let Some(root) = &standing.root
                && young(root.claims().issued)
                && same_content(root.claims(), &claims)
                && root.claims().epoch == claims.epoch
            {
                scope.stands(listed, root.claims().issued);
                return Ok(Published::Unchanged);
            }
            let certified = shared.certified;
            let text = sign_root(&claims, &certified.certificate, &certified.key)
                .map_err(|refusal| Error::internal("a tenant's root was refused", refusal))?;
            let refused = |refusal| Error::internal("our own reader refuses the manifest", refusal);
            let root =
                verify_root(text.as_bytes(), shared.trust, id, None, now).map_err(refused)?;
            let parts = scope.parts(&indexed);
            let listing = Listing::of(&root, &mut |digest| parts.get(digest), None);
            let listing = listing.map_err(refused)?;
            self.put_parts(shared.view, &listing, standing.root.as_ref(), &parts).await?;
            match self.put_root(id, text, standing).await {
                Ok(()) => {
                    let mine = listing.named().map(|named| named.sha256);
                    let mine = mine.filter_map(|digest| Some((digest, parts.get(&digest)?)));
                    if let Err(error) = self.put_again(shared.org, mine).await {
                        // The root stands, and the next sweep looks for what is missing.
                        tracing::warn!(scope = %id, %error, "what is swept was not looked at");
                    }
                    scope.stands(listed, now);
                    return Ok(Published::Roots(claims.revision));
                }
                Err(ObjectError::Lost) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::busy("too many publishers at once"))
    }
}

fn claims(
    shared: &Shared<'_>,
    id: &ScopeId,
    scope: &TenantScope,
    standing: &Standing,
    indexed: &Indexed,
    now: Timestamp,
) -> RootClaims {
    // Past any number that a root of this scope had that is no more.
    let first = now.as_millis().unsigned_abs();
    let before = standing.root.as_ref().map(flagforge_flags::manifest::Root::claims);
    let mut claims = RootClaims {
        format: 1,
        org: id.org.clone(),
        env: id.env.clone(),
        scope: id.scope.clone(),
        epoch: shared.trust.claims().epoch,
        revision: before.map_or(Revision { org: 0, env: first }, |before| before.revision),
        serial: before.map_or(first, |before| before.serial + 1),
        issued: now,
        expires: now.plus(ROOT_LIFETIME),
        committed: before.map_or(shared.view.committed, |before| before.committed),
        flag_shards: scope.flag_shards,
        tenant_shards: 1,
        segment_shards: scope.segment_shards(),
        held: Vec::new(),
        withheld: Vec::new(),
        restored: None,
        counts: None,
        chunks: indexed.chunks.clone(),
        indexes: indexed.indexes.iter().map(|(named, _)| *named).collect(),
    };
    if before.is_some_and(|before| !same_chunks(before, &claims)) {
        claims.revision.env += 1;
        claims.committed = shared.view.committed;
    }
    claims.held =
        shared.held.iter().map(|held| in_own_numbers(held, before, claims.revision)).collect();
    claims
}

/// Since when a flag is held, as this scope counts.
fn in_own_numbers(held: &HeldFlag, before: Option<&RootClaims>, now: Revision) -> HeldFlag {
    let known = before.and_then(|b| b.held.iter().find(|known| known.flag == held.flag));
    HeldFlag { flag: held.flag.clone(), since: known.map_or(now, |known| known.since) }
}

fn same_chunks(a: &RootClaims, b: &RootClaims) -> bool {
    a.chunks == b.chunks && a.indexes == b.indexes
}

fn same_content(a: &RootClaims, b: &RootClaims) -> bool {
    same_chunks(a, b) && a.held == b.held
}

/// What a root with these parts says, its numbers aside.
fn digest_of(indexed: &Indexed, held: &[HeldFlag]) -> Digest {
    let indexes: Vec<Named> = indexed.indexes.iter().map(|(named, _)| *named).collect();
    let flags: Vec<&str> = held.iter().map(|held| held.flag.as_str()).collect();
    // Texts and numbers always serialize.
    Digest::of(&serde_json::to_vec(&(&indexed.chunks, indexes, flags)).unwrap_or_default())
}
