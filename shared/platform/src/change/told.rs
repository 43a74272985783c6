//! Which log a change is told in, how, and under which name.

use serde_json::Value as Json;

use super::Change;
use crate::people::NOT_LOGGED;
use crate::place::LogId;

impl Change {
    /// The log the change is written to. What one environment holds is in its own log, all else in the organization's.
    pub fn log(&self) -> LogId {
        let (org, env) = match self {
            Self::Collect { org, env, .. } | Self::EraseReason { org, env, .. } => {
                (org, env.as_ref())
            }
            Self::CreateOrganization { org, .. }
            | Self::CreateEnvironment { org, .. }
            | Self::PutTenant { org, .. }
            | Self::DeleteTenant { org, .. }
            | Self::UpsertTenants { org, .. }
            | Self::PutImport { org, .. }
            | Self::PutWebhook { org, .. }
            | Self::DeleteWebhook { org, .. }
            | Self::PutIssuer { org, .. }
            | Self::DeleteIssuer { org, .. }
            | Self::PutTenantSource { org, .. }
            | Self::DeleteTenantSource { org }
            | Self::AddPerson { org, .. }
            | Self::ChangePerson { org, .. }
            | Self::RemovePerson { org, .. }
            | Self::Invite { org, .. }
            | Self::WithdrawInvitation { org, .. }
            | Self::AcceptInvitation { org, .. }
            | Self::PutTenantSchema { org, .. }
            | Self::PutGroup { org, .. }
            | Self::DeleteGroup { org, .. }
            | Self::AddMember { org, .. }
            | Self::RemoveMember { org, .. }
            | Self::PutFlag { org, .. }
            | Self::DeleteFlag { org, .. }
            | Self::RestoreFlag { org, .. }
            | Self::PurgeFlag { org, .. }
            | Self::CloneFlag { org, .. }
            | Self::CreateKey { org, .. }
            | Self::RevokeKey { org, .. }
            | Self::RotateKey { org, .. }
            | Self::EraseActor { org, .. }
            | Self::SuspendOrganization { org }
            | Self::ResumeOrganization { org }
            | Self::SetLimits { org, .. }
            | Self::PutRole { org, .. }
            | Self::DeleteRole { org, .. } => (org, None),
            Self::PutState { org, env, .. }
            | Self::PatchState { org, env, .. }
            | Self::SetEnabled { org, env, .. }
            | Self::SetWeights { org, env, .. }
            | Self::SetOverride { org, env, .. }
            | Self::ClearOverride { org, env, .. }
            | Self::CloneState { org, env, .. }
            | Self::RestoreState { org, env, .. }
            | Self::Promote { org, env, .. }
            | Self::Schedule { org, env, .. }
            | Self::CancelSchedule { org, env, .. }
            | Self::FailSchedule { org, env, .. }
            | Self::Kill { org, env, .. }
            | Self::EndKill { org, env, .. }
            | Self::AcceptShrinkage { org, env, .. }
            | Self::RestoreManifest { org, env, .. }
            | Self::ReleaseManifest { org, env, .. }
            | Self::PutSegment { org, env, .. }
            | Self::SetSegmentList { org, env, .. }
            | Self::DeleteSegment { org, env, .. }
            | Self::RestoreSegment { org, env, .. }
            | Self::PurgeSegment { org, env, .. } => (org, Some(env)),
        };
        LogId { org: org.clone(), env: env.cloned() }
    }

    /// The change as its log entry tells it: without what the entry's after-images hold already, and without secrets.
    pub(crate) fn logged(&self) -> Result<Json, serde_json::Error> {
        let mut told = serde_json::to_value(self)?;
        if let (Self::UpsertTenants { tenants, .. }, Some(fields)) = (self, told.as_object_mut()) {
            fields.insert("tenants".to_owned(), tenants.len().into());
        }
        let hidden: &[&str] = match self {
            Self::PutWebhook { .. } => &["secrets"],
            Self::PutTenantSource { .. } => &["bearer"],
            Self::Invite { .. } => &NOT_LOGGED,
            _ => &[],
        };
        if let Some(Json::Object(fields)) = told.get_mut("record") {
            fields.retain(|name, _| !hidden.contains(&name.as_str()));
        }
        if let Some(fields) = told.as_object_mut() {
            fields.remove("person");
        }
        // What names people is in the images, sealed, and so are reasons.
        let sealed = [
            ("/key", "name"),
            ("/admin", "name"),
            ("", "reason"),
            ("/schedule", "reason"),
            ("/schedule/change", "reason"),
            ("/cancelled", "reason"),
        ];
        for (within, field) in sealed {
            if let Some(Json::Object(fields)) = told.pointer_mut(within) {
                fields.remove(field);
            }
        }
        Ok(told)
    }

    /// The change's type, as the log and the bus name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateOrganization { .. } => "create-organization",
            Self::CreateEnvironment { .. } => "create-environment",
            Self::PutTenant { .. } => "put-tenant",
            Self::DeleteTenant { .. } => "delete-tenant",
            Self::UpsertTenants { .. } => "upsert-tenants",
            Self::PutImport { .. } => "put-import",
            Self::PutWebhook { .. } => "put-webhook",
            Self::DeleteWebhook { .. } => "delete-webhook",
            Self::PutIssuer { .. } => "put-issuer",
            Self::DeleteIssuer { .. } => "delete-issuer",
            Self::AddPerson { .. } => "add-person",
            Self::ChangePerson { .. } => "change-person",
            Self::RemovePerson { .. } => "remove-person",
            Self::Invite { .. } => "invite",
            Self::WithdrawInvitation { .. } => "withdraw-invitation",
            Self::AcceptInvitation { .. } => "accept-invitation",
            Self::PutTenantSource { .. } => "put-tenant-source",
            Self::DeleteTenantSource { .. } => "delete-tenant-source",
            Self::PutTenantSchema { .. } => "put-tenant-schema",
            Self::PutGroup { .. } => "put-group",
            Self::DeleteGroup { .. } => "delete-group",
            Self::AddMember { .. } => "add-member",
            Self::RemoveMember { .. } => "remove-member",
            Self::PutFlag { .. } => "put-flag",
            Self::DeleteFlag { .. } => "delete-flag",
            Self::RestoreFlag { .. } => "restore-flag",
            Self::PurgeFlag { .. } => "purge-flag",
            Self::PutState { .. } => "put-state",
            Self::PatchState { .. } => "patch-state",
            Self::SetEnabled { .. } => "set-enabled",
            Self::SetWeights { .. } => "set-weights",
            Self::SetOverride { .. } => "set-override",
            Self::ClearOverride { .. } => "clear-override",
            Self::CloneFlag { .. } => "clone-flag",
            Self::CloneState { .. } => "clone-state",
            Self::RestoreState { .. } => "restore-state",
            Self::Promote { .. } => "promote",
            Self::Kill { .. } => "kill",
            Self::EndKill { .. } => "end-kill",
            Self::AcceptShrinkage { .. } => "accept-shrinkage",
            Self::RestoreManifest { .. } => "restore-manifest",
            Self::ReleaseManifest { .. } => "release-manifest",
            Self::PutSegment { .. } => "put-segment",
            Self::SetSegmentList { .. } => "set-segment-list",
            Self::DeleteSegment { .. } => "delete-segment",
            Self::RestoreSegment { .. } => "restore-segment",
            Self::PurgeSegment { .. } => "purge-segment",
            Self::CreateKey { .. } => "create-key",
            Self::RevokeKey { .. } => "revoke-key",
            Self::RotateKey { .. } => "rotate-key",
            Self::SuspendOrganization { .. } => "suspend-organization",
            Self::ResumeOrganization { .. } => "resume-organization",
            Self::Schedule { .. } => "schedule",
            Self::CancelSchedule { .. } => "cancel-schedule",
            Self::FailSchedule { .. } => "fail-schedule",
            Self::EraseActor { .. } => "erase-actor",
            Self::EraseReason { .. } => "erase-reason",
            Self::Collect { .. } => "collect",
            Self::SetLimits { .. } => "set-limits",
            Self::PutRole { .. } => "put-role",
            Self::DeleteRole { .. } => "delete-role",
        }
    }
}
