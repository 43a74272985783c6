//! A change: one serializable mutation. What it does to the table is in [`crate::plan`].

use flagforge_flags::keys::{
    EnvKey, FlagKey, GroupKey, OrgKey, RoleKey, RuleId, SegmentKey, TenantKey, VariantKey,
};
use flagforge_flags::manifest::Digest;
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::ConditionWire;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::caller::PermissionSet;
use crate::import::{Import, ImportStep};
use crate::input::{DefinitionInput, SegmentInput, StateInput, WeightInput};
use crate::kills::KillScope;
use crate::limits::Limits;
use crate::lists::IdList;
use crate::place::LogId;
use crate::record::{KeyRecord, Tenant};
use crate::schema::TenantSchema;
use crate::segments::ListName;
use crate::webhooks::WebhookRecord;

/// Every mutation there is. It can be stored (a change request) and applied later: generated ids are in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Change {
    CreateOrganization {
        org: OrgKey,
        uid: String,
        name: String,
        admin: KeyRecord,
    },
    CreateEnvironment {
        org: OrgKey,
        env: EnvKey,
        name: String,
    },
    PutTenant {
        org: OrgKey,
        tenant: TenantKey,
        /// The uid if the tenant is new.
        uid: String,
        name: String,
        attributes: serde_json::Map<String, Json>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        synthetic: bool,
    },
    DeleteTenant {
        org: OrgKey,
        tenant: TenantKey,
    },
    /// Creates or replaces many tenants at once. In an import, only while that is where it was.
    UpsertTenants {
        org: OrgKey,
        tenants: Vec<Tenant>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        import: Option<ImportStep>,
    },
    PutImport {
        org: OrgKey,
        import: Import,
    },
    PutWebhook {
        org: OrgKey,
        record: WebhookRecord,
    },
    DeleteWebhook {
        org: OrgKey,
        id: String,
    },
    PutTenantSchema {
        org: OrgKey,
        schema: TenantSchema,
        /// Refuse it while tenants stand that do not fit it.
        strict: bool,
    },
    PutGroup {
        org: OrgKey,
        group: GroupKey,
        uid: String,
        description: String,
        /// Who is in it; absent: its members.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        when: Option<ConditionWire>,
    },
    DeleteGroup {
        org: OrgKey,
        group: GroupKey,
    },
    AddMember {
        org: OrgKey,
        group: GroupKey,
        tenant: TenantKey,
    },
    RemoveMember {
        org: OrgKey,
        group: GroupKey,
        tenant: TenantKey,
    },
    PutFlag {
        org: OrgKey,
        flag: FlagKey,
        uid: String,
        definition: DefinitionInput,
    },
    DeleteFlag {
        org: OrgKey,
        flag: FlagKey,
    },
    PutState {
        org: OrgKey,
        env: EnvKey,
        flag: FlagKey,
        state: StateInput,
    },
    /// A JSON Merge Patch (RFC 7396) of the state.
    PatchState {
        org: OrgKey,
        env: EnvKey,
        flag: FlagKey,
        patch: Json,
    },
    SetEnabled {
        org: OrgKey,
        env: EnvKey,
        flag: FlagKey,
        enabled: bool,
    },
    SetWeights {
        org: OrgKey,
        env: EnvKey,
        flag: FlagKey,
        /// The rule whose split is set; absent: the fallthrough's.
        rule: Option<RuleId>,
        unit: Option<String>,
        weights: Vec<WeightInput>,
    },
    SetOverride {
        org: OrgKey,
        env: EnvKey,
        flag: FlagKey,
        tenant: TenantKey,
        variant: VariantKey,
        #[serde(default)]
        expires: Option<Timestamp>,
        /// Why the tenant is special, beside why the change is made.
        #[serde(default)]
        reason: Option<String>,
    },
    ClearOverride {
        org: OrgKey,
        env: EnvKey,
        flag: FlagKey,
        tenant: TenantKey,
    },
    /// Defines a flag like another.
    CloneFlag {
        org: OrgKey,
        of: FlagKey,
        flag: FlagKey,
        uid: String,
    },
    /// Lets a flag do in an environment what another does there.
    CloneState {
        org: OrgKey,
        env: EnvKey,
        of: FlagKey,
        flag: FlagKey,
    },
    /// Puts a flag's state back as an entry of the environment's log left it.
    RestoreState {
        org: OrgKey,
        env: EnvKey,
        flag: FlagKey,
        number: u64,
    },
    /// Lets flags do in `env` what they do in `from`, with the segments they need.
    Promote {
        org: OrgKey,
        from: EnvKey,
        env: EnvKey,
        flags: Vec<FlagKey>,
        /// Segments that come along though no flag asks for them.
        #[serde(default)]
        segments: Vec<SegmentKey>,
        /// Whether this is a part of something larger, whose other parts bring the prerequisites.
        more_follow: bool,
    },
    /// Turns off every flag of a scope, whatever its state says.
    Kill {
        org: OrgKey,
        env: EnvKey,
        scope: KillScope,
    },
    EndKill {
        org: OrgKey,
        env: EnvKey,
        scope: KillScope,
    },
    PutSegment {
        org: OrgKey,
        env: EnvKey,
        segment: SegmentKey,
        /// What keyed hashes of its lists begin with, if the segment is new.
        salt: String,
        definition: SegmentInput,
        /// The lists that become the segment's; those left out stay as they are.
        excluded: Option<IdList>,
        included: Option<IdList>,
    },
    SetSegmentList {
        org: OrgKey,
        env: EnvKey,
        segment: SegmentKey,
        list: ListName,
        ids: IdList,
    },
    DeleteSegment {
        org: OrgKey,
        env: EnvKey,
        segment: SegmentKey,
    },
    CreateKey {
        org: OrgKey,
        key: KeyRecord,
    },
    RevokeKey {
        org: OrgKey,
        id: String,
    },
    /// Gives a key a new secret. The old one counts until `previous_until`.
    RotateKey {
        org: OrgKey,
        id: String,
        secret_sha256: Digest,
        previous_until: Timestamp,
    },
    /// Refuses the organization everything but what the data plane serves, until it is resumed.
    SuspendOrganization {
        org: OrgKey,
    },
    ResumeOrganization {
        org: OrgKey,
    },
    SetLimits {
        org: OrgKey,
        limits: Limits,
    },
    PutRole {
        org: OrgKey,
        role: RoleKey,
        description: String,
        permissions: PermissionSet,
    },
    DeleteRole {
        org: OrgKey,
        role: RoleKey,
    },
}

impl Change {
    /// The log the change is written to. What one environment holds is in its own log, all else in the organization's.
    pub fn log(&self) -> LogId {
        let (org, env) = match self {
            Self::CreateOrganization { org, .. }
            | Self::CreateEnvironment { org, .. }
            | Self::PutTenant { org, .. }
            | Self::DeleteTenant { org, .. }
            | Self::UpsertTenants { org, .. }
            | Self::PutImport { org, .. }
            | Self::PutWebhook { org, .. }
            | Self::DeleteWebhook { org, .. }
            | Self::PutTenantSchema { org, .. }
            | Self::PutGroup { org, .. }
            | Self::DeleteGroup { org, .. }
            | Self::AddMember { org, .. }
            | Self::RemoveMember { org, .. }
            | Self::PutFlag { org, .. }
            | Self::DeleteFlag { org, .. }
            | Self::CloneFlag { org, .. }
            | Self::CreateKey { org, .. }
            | Self::RevokeKey { org, .. }
            | Self::RotateKey { org, .. }
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
            | Self::Kill { org, env, .. }
            | Self::EndKill { org, env, .. }
            | Self::PutSegment { org, env, .. }
            | Self::SetSegmentList { org, env, .. }
            | Self::DeleteSegment { org, env, .. } => (org, Some(env)),
        };
        LogId { org: org.clone(), env: env.cloned() }
    }

    /// The change as its log entry tells it: without what the entry's after-images hold already, and without secrets.
    pub(crate) fn logged(&self) -> Result<Json, serde_json::Error> {
        let mut told = serde_json::to_value(self)?;
        if let (Self::UpsertTenants { tenants, .. }, Some(fields)) = (self, told.as_object_mut()) {
            fields.insert("tenants".to_owned(), tenants.len().into());
        }
        if let (Self::PutWebhook { .. }, Some(Json::Object(record))) =
            (self, told.get_mut("record"))
        {
            record.remove("secrets");
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
            Self::PutTenantSchema { .. } => "put-tenant-schema",
            Self::PutGroup { .. } => "put-group",
            Self::DeleteGroup { .. } => "delete-group",
            Self::AddMember { .. } => "add-member",
            Self::RemoveMember { .. } => "remove-member",
            Self::PutFlag { .. } => "put-flag",
            Self::DeleteFlag { .. } => "delete-flag",
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
            Self::PutSegment { .. } => "put-segment",
            Self::SetSegmentList { .. } => "set-segment-list",
            Self::DeleteSegment { .. } => "delete-segment",
            Self::CreateKey { .. } => "create-key",
            Self::RevokeKey { .. } => "revoke-key",
            Self::RotateKey { .. } => "rotate-key",
            Self::SuspendOrganization { .. } => "suspend-organization",
            Self::ResumeOrganization { .. } => "resume-organization",
            Self::SetLimits { .. } => "set-limits",
            Self::PutRole { .. } => "put-role",
            Self::DeleteRole { .. } => "delete-role",
        }
    }
}
