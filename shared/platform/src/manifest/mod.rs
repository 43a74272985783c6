//! An environment's manifest as it stands, for whoever looks after it: how old it is, what in it is not as it was asked for,
//! and why. And what is said of the manifest itself.

mod kept;
mod restore;

pub use kept::KeptRoot;
pub use restore::{MAX_NAMED, RestoredRoot, RootDifference, RootDiffering};

use flagforge_flags::compile;
use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey};
use flagforge_flags::manifest::{
    ChunkKind, EntryCounts, HeldFlag, RootClaims, Scope, ScopeId, Withheld,
};
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::{Caller, Permission};
use crate::change::Change;
use crate::commit::{Outcome, Request};
use crate::error::Error;
use crate::place;
use crate::record::{Definition, StateRecord};
use crate::store::{self, ABSENT, Stored};

/// What was said of an environment's manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestRecord {
    /// That so much may be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
    /// That an earlier root is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<RestoredRoot>,
}

/// That there may be so few; it counts for an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    pub at: Timestamp,
    pub down_to: EntryCounts,
}

/// The manifest of an environment that stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestState {
    #[schema(value_type = String, example = "17.41")]
    pub revision: String,
    pub serial: u64,
    pub epoch: u64,
    pub issued: Timestamp,
    pub expires: Timestamp,
    /// When its newest change was committed.
    pub committed: Timestamp,
    /// It should have been signed again by now.
    pub stale: bool,
    /// Absent: an earlier publisher did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<EntryCounts>,
    /// Flags that go on in an earlier form; 64 at most are named.
    pub held: Vec<HeldState>,
    /// Kinds of which removals wait.
    pub withheld: Vec<WithheldState>,
    #[serde(flatten)]
    pub said: ManifestRecord,
}

/// A flag that goes on in an earlier form.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldState {
    pub flag: FlagKey,
    #[schema(value_type = String)]
    pub since: String,
    /// Why, as far as the state that it has now says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// So much of a kind was gone at once that what is gone goes on being published.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WithheldState {
    #[schema(value_type = String, example = "flags")]
    pub kind: ChunkKind,
    pub published: u64,
    /// How many there would be.
    pub there: u64,
    #[schema(value_type = String)]
    pub since: String,
    /// What to do about it.
    pub remedy: String,
}

fn withheld(of: &Withheld, claims: &RootClaims) -> WithheldState {
    let remedy = "If it is meant, accept it (manifest/accept-shrinkage); if not, bring back what is gone. Until then what \
        is gone is published as it was, and everything else passes";
    WithheldState {
        kind: of.kind,
        published: claims.counts.and_then(|counts| counts.of(of.kind)).unwrap_or_default(),
        there: of.there,
        since: of.since.to_string(),
        remedy: remedy.to_owned(),
    }
}

impl Platform {
    /// The manifest that stands; 404 before the first.
    pub async fn manifest(
        &self,
        caller: &Caller,
        org: &OrgKey,
        env: &EnvKey,
    ) -> Result<Stored<ManifestState>, Error> {
        self.environment(caller, org, env).await?;
        let claims = self.standing_claims(org, env).await?;
        let said: Option<Stored<ManifestRecord>> =
            store::read(self.table(), &place::manifest(org, env)).await?;
        let mut held = Vec::with_capacity(claims.held.len());
        for HeldFlag { flag, since } in &claims.held {
            let why = self.why_held(org, env, flag).await?;
            held.push(HeldState { flag: flag.clone(), since: since.to_string(), why });
        }
        let state = ManifestState {
            revision: claims.revision.to_string(),
            serial: claims.serial,
            epoch: claims.epoch,
            issued: claims.issued,
            expires: claims.expires,
            committed: claims.committed,
            stale: self.timer().now() >= claims.expires,
            counts: claims.counts,
            held,
            withheld: claims.withheld.iter().map(|of| withheld(of, &claims)).collect(),
            said: said.map(|said| said.value).unwrap_or_default(),
        };
        Ok(Stored { value: state, version: claims.serial })
    }

    async fn standing_claims(&self, org: &OrgKey, env: &EnvKey) -> Result<RootClaims, Error> {
        let absent = Error::NotFound { what: "manifest" };
        let Some((trust, _)) = self.trust().await? else { return Err(absent) };
        let id = ScopeId { org: org.clone(), env: env.clone(), scope: Scope::Environment };
        let root = self.standing(&id, &trust).await?.root.ok_or(absent)?;
        Ok(root.claims().clone())
    }

    /// Why a flag could not be published as it is; `None` when it could by now.
    async fn why_held(
        &self,
        org: &OrgKey,
        env: &EnvKey,
        flag: &FlagKey,
    ) -> Result<Option<String>, Error> {
        let unreadable = |what: &str, error: &serde_json::Error| {
            Ok(Some(format!("this version cannot read its {what}: {error}")))
        };
        let Some(item) = self.table().get(&place::flag(org, flag)).await? else {
            return Ok(Some("it is not defined any more".to_owned()));
        };
        let definition: Definition = match serde_json::from_str(&item.body) {
            Ok(definition) => definition,
            Err(error) => return unreadable("definition", &error),
        };
        let (state, version) = match self.table().get(&place::state(org, env, flag)).await? {
            None => (definition.initial_state(), ABSENT),
            Some(item) => match serde_json::from_str::<StateRecord>(&item.body) {
                Ok(record) => (record.state, item.version),
                Err(error) => return unreadable("state", &error),
            },
        };
        let wire = definition.wire(item.version, state, version);
        Ok(compile(&wire).err().map(|fault| fault.to_string()))
    }

    /// Says that what is withheld is meant, or beforehand that so few may be left: for an hour. With nothing said as far as is
    /// seen by now, and no farther.
    pub async fn accept_shrinkage(
        &self,
        caller: &Caller,
        (org, env): (OrgKey, EnvKey),
        down_to: Option<EntryCounts>,
        request: impl FnOnce(Change) -> Request,
    ) -> Result<(Change, Outcome), Error> {
        self.environment(caller, &org, &env).await?;
        caller.can_in(&org, &env, Permission::WriteEnvironments)?;
        let down_to = match down_to {
            Some(down_to) => down_to,
            None => seen(&self.standing_claims(&org, &env).await?)?,
        };
        let request = request(Change::AcceptShrinkage { org, env, down_to });
        let outcome = self.commit(caller, &request).await?;
        Ok((request.change, outcome))
    }
}

/// How few a root says that there are. Of what is not withheld as many as it lists.
fn seen(claims: &RootClaims) -> Result<EntryCounts, Error> {
    if claims.withheld.is_empty() {
        let message = "nothing is withheld; say how few may be left, to accept it beforehand";
        return Err(Error::invalid("downTo", message));
    }
    let mut seen = claims.counts.unwrap_or_default();
    for Withheld { kind, there, .. } in &claims.withheld {
        match kind {
            ChunkKind::Flags => seen.flags = *there,
            ChunkKind::Tenants => seen.tenants = *there,
            ChunkKind::Segments => seen.segments = *there,
            ChunkKind::Keys | ChunkKind::Unknown => {}
        }
    }
    Ok(seen)
}
