//! Manifests of single tenants, for those that have a server key of their own: the environment's flags folded for each.
//! What is made again is what changed; who is not concerned by a change has the same root before and after, so that
//! nobody learns from it what others do.

mod lists;
mod root;
mod scope;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use flagforge_flags::KeyKind;
use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{ChunkKind, Digest, HeldFlag, Scope, ScopeId, Trust};
use flagforge_flags::wire::FlagWire;
use futures_util::{StreamExt as _, stream};

use super::Published;
use super::certify::Certified;
use super::render::Bulk;
use super::view::View;
use crate::Platform;
use crate::error::Error;
use lists::Lists;
use scope::TenantScope;

/// Tenants whose manifests are looked after at a stretch; a kill of the environment's flags passes between two.
const SLICE: usize = 64;
/// Of those, how many wait for the store at a time.
const AT_ONCE: usize = 16;

/// What a publisher remembers of tenants' manifests. All of it can be lost.
#[derive(Debug, Default)]
pub(super) struct TenantScopes {
    scopes: BTreeMap<TenantKey, TenantScope>,
    lists: Lists,
}

/// What all manifests of a slice are made of.
struct Shared<'v> {
    org: &'v OrgKey,
    env: &'v EnvKey,
    trust: &'v Trust,
    certified: &'v Certified,
    view: &'v View,
    lists: &'v Lists,
    /// The chunks of flags: their shard, their digest.
    shards: Vec<(u32, Digest)>,
    flag_shards: u32,
    /// The flags of the shards that somebody makes again.
    flags: HashMap<u32, Vec<FlagWire>>,
    held: Vec<HeldFlag>,
}

impl View {
    /// The tenants that have a server key for this environment.
    fn bound_tenants(&self) -> BTreeSet<TenantKey> {
        let keys = self.published_keys().into_values();
        keys.filter(|key| key.kind == KeyKind::Server).filter_map(|key| key.tenant).collect()
    }

    /// The flags of a shard as the environment's manifest has them. One that cannot be read is nobody's.
    fn flags_of(&self, shard: u32) -> Vec<FlagWire> {
        let entries = self.renderings.flags.entries_of(shard);
        entries.filter_map(|(_, entry)| serde_json::from_str(entry.get()).ok()).collect()
    }
}

impl Platform {
    /// Publishes the manifests of some tenants, from the one after `after` on, as the environment's was published just
    /// now. Answers what came of it, and the last of them; `None` when there are no more.
    pub(super) async fn publish_tenants(
        &self,
        view: &mut View,
        after: Option<&TenantKey>,
    ) -> Result<(Result<Published, Error>, Option<TenantKey>), Error> {
        let bound = view.bound_tenants();
        view.tenant_scopes.scopes.retain(|tenant, _| bound.contains(tenant));
        let behind = |tenant: &&TenantKey| after.is_none_or(|after| *tenant > after);
        let slice: Vec<TenantKey> = bound.iter().filter(behind).take(SLICE).cloned().collect();
        let nothing = Ok((Ok(Published::Unchanged), None));
        let Some(last) = slice.last().cloned() else { return nothing };
        let Some((trust, _)) = self.trust().await? else { return nothing };
        let certified = self.certified(&trust).await?;
        let mut kept = std::mem::take(&mut view.tenant_scopes);
        let outcome = self.publish_slice(view, &mut kept, slice, (&trust, &certified)).await;
        view.tenant_scopes = kept;
        let more = bound.last().is_some_and(|end| *end != last);
        Ok((outcome, more.then_some(last)))
    }

    async fn publish_slice(
        &self,
        view: &mut View,
        kept: &mut TenantScopes,
        slice: Vec<TenantKey>,
        (trust, certified): (&Trust, &Certified),
    ) -> Result<Published, Error> {
        self.read_lists(view, &mut kept.lists).await?;
        // Nothing is owed after the environment's publication: this answers what it listed.
        let rendered = view.render(Bulk::Wait);
        let chunks = rendered.chunks.iter().map(|chunk| &chunk.reference);
        let flags = chunks.filter(|chunk| chunk.kind == ChunkKind::Flags);
        let shards: Vec<(u32, Digest)> = flags.map(|chunk| (chunk.shard, chunk.sha256)).collect();
        let mut scopes = Vec::with_capacity(slice.len());
        let mut wanted = BTreeSet::new();
        for tenant in slice {
            let scope = kept.scopes.remove(&tenant).unwrap_or_default();
            let entry = view.renderings.tenants.entry(tenant.as_str());
            wanted.extend(scope.outdated(entry, rendered.flag_shards, &shards));
            scopes.push((tenant, scope));
        }
        let shared = Shared {
            org: &view.org,
            env: &view.env,
            trust,
            certified,
            view,
            lists: &kept.lists,
            shards,
            flag_shards: rendered.flag_shards,
            flags: wanted.into_iter().map(|shard| (shard, view.flags_of(shard))).collect(),
            held: view.held_flags(),
        };
        let shared = &shared;
        let published = stream::iter(scopes).map(|(tenant, mut scope)| async move {
            let outcome = self.publish_tenant(shared, &tenant, &mut scope).await;
            (tenant, scope, outcome)
        });
        let published: Vec<_> = published.buffer_unordered(AT_ONCE).collect().await;
        let (mut all, mut failed) = (Published::Unchanged, None);
        for (tenant, scope, outcome) in published {
            match outcome {
                // Listeners hear of the environment: a tenant's own numbers are nobody else's business.
                Ok(Published::Roots(_)) => all = Published::Roots(shared.view.revision),
                Ok(Published::Unchanged) => {}
                Err(error) => {
                    let (org, env) = (shared.org, shared.env);
                    tracing::error!(%org, %env, %tenant, %error, "a tenant's manifest was not published");
                    failed = Some(error);
                }
            }
            kept.scopes.insert(tenant, scope);
        }
        // One that fails holds up no other; who woke the publisher does so again.
        failed.map_or(Ok(all), Err)
    }

    async fn publish_tenant(
        &self,
        shared: &Shared<'_>,
        tenant: &TenantKey,
        scope: &mut TenantScope,
    ) -> Result<Published, Error> {
        let Some(entry) = shared.view.renderings.tenants.entry(tenant.as_str()) else {
            // Made a moment ago, and not rendered yet.
            return Ok(Published::Unchanged);
        };
        scope.make(shared, tenant, entry)?;
        let (org, env) = (shared.org.clone(), shared.env.clone());
        let id = ScopeId { org, env, scope: Scope::Tenant(tenant.clone()) };
        self.publish_tenant_root(shared, &id, scope).await
    }
}
