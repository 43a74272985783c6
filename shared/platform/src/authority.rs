//! Which permission a change needs, and where: the one table of it, and holding a caller against it.

use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::Platform;
use crate::caller::{Caller, Permission};
use crate::change::Change;
use crate::deleted::Deleted;
use crate::error::Error;
use crate::kills::KillScope;
use crate::place;
use crate::store::{self, Stored};

/// What a change asks of who makes it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Needs<'c> {
    /// To be the platform's operator.
    Operator,
    /// A permission in one environment or (`None`) for what all share, whatever the domain.
    Plain(&'c OrgKey, Option<&'c EnvKey>, Permission),
    /// A permission for one flag, in one environment or (`None`) its definition: a role of the flag's domain will do.
    Flag(&'c OrgKey, Option<&'c EnvKey>, &'c FlagKey, Permission),
    /// To read the one environment, and to change states and segments in the other, whatever the domain.
    Promotion(&'c OrgKey, &'c EnvKey, &'c EnvKey),
    /// A permission for all flags of a scope: for a domain's, a role of that domain will do.
    Scope(&'c OrgKey, &'c EnvKey, &'c KillScope, Permission),
    /// To be a person; the plan holds them against the invitation.
    Person,
    /// A permission somewhere in the organization; the plan holds the caller against the thing itself.
    Somewhere(&'c OrgKey, Permission),
}

/// What each change needs. There is no other such table, and it has no arm for "all others": a change that is
/// not in it does not compile.
pub(crate) fn needs(change: &Change) -> Needs<'_> {
    use Permission as P;
    match change {
        Change::CreateOrganization { .. }
        | Change::SuspendOrganization { .. }
        | Change::ResumeOrganization { .. }
        | Change::SetLimits { .. }
        | Change::FailSchedule { .. } => Needs::Operator,
        Change::Schedule { schedule, .. } => needs(&schedule.change),
        Change::CancelSchedule { cancelled, .. } => needs(cancelled),
        Change::CreateEnvironment { org, .. } => Needs::Plain(org, None, P::WriteEnvironments),
        Change::CreateKey { org, .. }
        | Change::RevokeKey { org, .. }
        | Change::RotateKey { org, .. } => Needs::Somewhere(org, P::ManageKeys),
        Change::PutRole { org, .. }
        | Change::DeleteRole { org, .. }
        | Change::AddPerson { org, .. }
        | Change::ChangePerson { org, .. }
        | Change::RemovePerson { org, .. }
        | Change::Invite { org, .. }
        | Change::WithdrawInvitation { org, .. } => Needs::Plain(org, None, P::ManageMembers),
        Change::AcceptInvitation { .. } => Needs::Person,
        Change::PutWebhook { org, .. }
        | Change::DeleteWebhook { org, .. }
        | Change::PutTenantSource { org, .. }
        | Change::DeleteTenantSource { org }
        | Change::PutIssuer { org, .. }
        | Change::DeleteIssuer { org, .. } => Needs::Plain(org, None, P::ManageSettings),
        Change::PutTenant { org, .. }
        | Change::DeleteTenant { org, .. }
        | Change::UpsertTenants { org, .. }
        | Change::PutImport { org, .. }
        | Change::PutTenantSchema { org, .. }
        | Change::PutGroup { org, .. }
        | Change::DeleteGroup { org, .. }
        | Change::AddMember { org, .. }
        | Change::RemoveMember { org, .. } => Needs::Plain(org, None, P::WriteDirectory),
        Change::PutFlag { org, flag, .. }
        | Change::CloneFlag { org, flag, .. }
        | Change::DeleteFlag { org, flag }
        | Change::RestoreFlag { org, flag } => Needs::Flag(org, None, flag, P::WriteFlags),
        Change::EraseActor { org, .. } => Needs::Plain(org, None, P::Purge),
        // What is in an environment's log is as much the organization's to forget.
        Change::EraseReason { org, .. } => Needs::Plain(org, None, P::Purge),
        Change::Collect { org, env, .. } => Needs::Plain(org, env.as_ref(), P::Purge),
        Change::PurgeFlag { org, .. } => Needs::Plain(org, None, P::Purge),
        Change::PurgeSegment { org, env, .. } => Needs::Plain(org, Some(env), P::Purge),
        Change::SetEnabled { org, env, flag, enabled: false } => {
            Needs::Flag(org, Some(env), flag, P::Kill)
        }
        Change::PutState { org, env, flag, .. }
        | Change::PatchState { org, env, flag, .. }
        | Change::SetEnabled { org, env, flag, enabled: true }
        | Change::SetWeights { org, env, flag, .. }
        | Change::CloneState { org, env, flag, .. }
        | Change::RestoreState { org, env, flag, .. } => {
            Needs::Flag(org, Some(env), flag, P::WriteStates)
        }
        Change::SetOverride { org, env, flag, .. }
        | Change::ClearOverride { org, env, flag, .. } => {
            Needs::Flag(org, Some(env), flag, P::WriteOverrides)
        }
        Change::Promote { org, from, env, .. } => Needs::Promotion(org, from, env),
        Change::Kill { org, env, scope, .. } => Needs::Scope(org, env, scope, P::Kill),
        Change::EndKill { org, env, scope, .. } => Needs::Scope(org, env, scope, P::WriteStates),
        Change::AcceptShrinkage { org, env, .. }
        | Change::RestoreManifest { org, env, .. }
        | Change::ReleaseManifest { org, env, .. } => {
            Needs::Plain(org, Some(env), P::WriteEnvironments)
        }
        Change::PutSegment { org, env, .. }
        | Change::SetSegmentList { org, env, .. }
        | Change::DeleteSegment { org, env, .. }
        | Change::RestoreSegment { org, env, .. } => Needs::Plain(org, Some(env), P::WriteSegments),
    }
}

/// What ending a trial amounts to: turning a flag off for those who have it.
fn turned_off(change: &Change) -> Option<Change> {
    let Change::CancelSchedule { cancelled, canary: true, .. } = change else { return None };
    let (Change::SetEnabled { org, env, flag, .. }
    | Change::PatchState { org, env, flag, .. }
    | Change::SetWeights { org, env, flag, .. }) = &**cancelled
    else {
        return None;
    };
    let (org, env, flag) = (org.clone(), env.clone(), flag.clone());
    Some(Change::SetEnabled { org, env, flag, enabled: false })
}

/// What is read of a definition to know whose it is.
#[derive(Debug, Deserialize, Serialize)]
struct Owned {
    #[serde(default)]
    domain: Option<String>,
}

impl Platform {
    /// Refuses a caller that may not make this change. Reads the table only for who holds a role in some domains.
    pub(crate) async fn authorize(&self, caller: &Caller, change: &Change) -> Result<(), Error> {
        if let Some(off) = turned_off(change)
            && Box::pin(self.authorize(caller, &off)).await.is_ok()
        {
            return Ok(());
        }
        match needs(change) {
            Needs::Operator => caller.may_operate(),
            Needs::Plain(org, None, permission) => caller.can_everywhere(org, permission),
            Needs::Plain(org, Some(env), permission) => caller.can_in(org, env, permission),
            Needs::Promotion(org, from, env) => {
                caller.can_in(org, env, Permission::WriteStates)?;
                caller.can_in(org, env, Permission::WriteSegments)?;
                // To whom the source is not there it is like any other name that is none.
                caller.can_in(org, from, Permission::Read).map_err(|error| match error {
                    Error::NotFound { .. } => {
                        let message = format!("there is no environment `{from}`");
                        Error::invalid("from", message)
                    }
                    other => other,
                })
            }
            Needs::Scope(org, env, scope, permission) => {
                let domain = match scope {
                    KillScope::Domain(domain) => Some(domain.as_str()),
                    KillScope::Environment | KillScope::Tag(_) => None,
                };
                caller.can_for_flag(org, Some(env), domain, permission)
            }
            Needs::Person if caller.person.is_some() => Ok(()),
            Needs::Person => Err(Error::NotFound { what: "invitation" }),
            Needs::Somewhere(org, permission) => caller.can(org, permission),
            Needs::Flag(org, env, flag, permission) => {
                match caller.can_for_flag(org, env, None, permission) {
                    Err(Error::Forbidden { .. }) if caller.is_scoped_by_domain(permission) => {}
                    answer => return answer,
                }
                let (stands, becomes) = self.domains_of(org, flag, change).await?;
                for domain in stands.iter().chain(&becomes) {
                    caller.can_for_flag(org, env, domain.as_deref(), permission)?;
                }
                Ok(())
            }
        }
    }

    /// The domain that a flag has (if there is one) and the one that a change gives it (if it defines the flag):
    /// moving a flag needs a say in both.
    async fn domains_of(
        &self,
        org: &OrgKey,
        flag: &FlagKey,
        change: &Change,
    ) -> Result<(Option<Option<String>>, Option<Option<String>>), Error> {
        let stored: Option<Stored<Owned>> =
            store::read(self.table(), &place::flag(org, flag)).await?;
        let stands = stored.map(|stored| stored.value.domain);
        if let Change::RestoreFlag { .. } = change {
            let kept: Option<Stored<Deleted<Owned>>> =
                store::read(self.table(), &place::deleted_flag(org, flag)).await?;
            return Ok((None, kept.map(|kept| kept.value.what.domain)));
        }
        if let Change::CloneFlag { of, .. } = change {
            let of: Option<Stored<Owned>> =
                store::read(self.table(), &place::flag(org, of)).await?;
            return Ok((stands, Some(of.and_then(|of| of.value.domain))));
        }
        let Change::PutFlag { definition, .. } = change else { return Ok((stands, None)) };
        let definition: Json = serde_json::to_value(definition)
            .map_err(|error| Error::internal("a definition did not serialize", error))?;
        let domain = definition.get("domain").and_then(Json::as_str).map(str::to_owned);
        Ok((stands, Some(domain)))
    }
}
