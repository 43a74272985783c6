//! What composition roots do before anyone can sign in. Each acts as a system caller, which the log names.

use std::time::Duration;

use flagforge_flags::access_key::AccessKey;
use flagforge_flags::keys::{EnvKey, OrgKey};

use crate::access::{IssuedKey, KeySpec};
use crate::caller::{Caller, Permission, Role};
use crate::change::Change;
use crate::commit::{Outcome, Request};
use crate::error::Error;
use crate::input::bounded;
use crate::{Platform, fresh};

impl Platform {
    /// Creates an organization with its first admin key, in one commit. `operator` makes that key the
    /// installation's operator too, as suits one machine with one owner.
    pub async fn create_organization(
        &self,
        caller: &Caller,
        org: &OrgKey,
        name: &str,
        operator: bool,
        request: impl FnOnce(Change) -> Request,
    ) -> Result<(Outcome, IssuedKey), Error> {
        caller.may_operate()?;
        let mut spec = KeySpec::management("first admin", Role::Admin);
        spec.operator = operator;
        // The organization's first key has no parent: its operator must not be able to revoke itself into it.
        let issued = self.forge_key(&Caller::system("bootstrap"), org, spec)?;
        let change = Change::CreateOrganization {
            org: org.clone(),
            uid: fresh::id()?,
            name: name.to_owned(),
            admin: issued.record.clone(),
        };
        let outcome = self.commit(caller, &request(change)).await?;
        Ok((outcome, issued))
    }

    /// Makes a key and puts it in force.
    pub async fn issue_key(
        &self,
        caller: &Caller,
        org: &OrgKey,
        spec: KeySpec,
        request: impl FnOnce(Change) -> Request,
    ) -> Result<(Outcome, IssuedKey), Error> {
        caller.can(org, Permission::ManageKeys)?;
        let issued = self.forge_key(caller, org, spec)?;
        let change = Change::CreateKey { org: org.clone(), key: issued.record.clone() };
        let outcome = self.commit(caller, &request(change)).await?;
        Ok((outcome, issued))
    }

    /// Gives a key a new secret, which the answer shows. The old one counts for `overlap_seconds` more.
    pub async fn rotate_key(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
        overlap_seconds: u32,
        request: impl FnOnce(Change) -> Request,
    ) -> Result<(Outcome, AccessKey), Error> {
        bounded("overlapSeconds", "seconds", MAX_OVERLAP_SECONDS, overlap_seconds as usize)?;
        let stands = self.key(caller, org, id).await?;
        let key = self.forge_secret(&stands.value, org)?;
        let change = Change::RotateKey {
            org: org.clone(),
            id: id.to_owned(),
            secret_sha256: key.secret_digest(),
            previous_until: self.timer().now().plus(Duration::from_secs(overlap_seconds.into())),
        };
        Ok((self.commit(caller, &request(change)).await?, key))
    }
}

/// Seconds that an old secret may count beside the new one: thirty days, a month's release train.
pub const MAX_OVERLAP_SECONDS: usize = 30 * 86_400;

/// The home organization of a one-machine installation, with its environments. Answers its operator's
/// key if the organization is new: the only time that key can be had. Safe to repeat after a crash.
pub async fn home(
    platform: &Platform,
    org: &OrgKey,
    name: &str,
    envs: &[(EnvKey, &str)],
) -> Result<Option<IssuedKey>, Error> {
    let caller = Caller::system("bootstrap");
    let plain = |change| Request::of(change, "bootstrap");
    let issued = match platform.organization(&caller, org).await {
        Ok(_) => None,
        Err(Error::NotFound { .. }) => {
            Some(platform.create_organization(&caller, org, name, true, plain).await?.1)
        }
        Err(error) => return Err(error),
    };
    for (env, name) in envs {
        let change = Change::CreateEnvironment {
            org: org.clone(),
            env: env.clone(),
            name: (*name).to_owned(),
        };
        match platform.commit(&caller, &plain(change)).await {
            Ok(_) | Err(Error::Exists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(issued)
}

/// Another admin and operator key of the home organization, for whoever holds the data folder and has lost the first.
pub async fn admin_key(platform: &Platform, org: &OrgKey) -> Result<IssuedKey, Error> {
    let caller = Caller::system("bootstrap");
    let mut spec = KeySpec::management("admin of this machine", Role::Admin);
    spec.operator = true;
    let plain = |change| Request::of(change, "bootstrap");
    Ok(platform.issue_key(&caller, org, spec, plain).await?.1)
}
