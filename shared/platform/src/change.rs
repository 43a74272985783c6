//! A change: one serializable mutation. What it does to the table is in [`crate::plan`].

mod told;

use flagforge_flags::Revision;
use flagforge_flags::keys::{
    EnvKey, FlagKey, GroupKey, IssuerKey, OrgKey, RoleKey, RuleId, SegmentKey, TenantKey,
    VariantKey,
};
use flagforge_flags::manifest::{Digest, EntryCounts};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::ConditionWire;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::caller::PermissionSet;
use crate::collect::Left;
use crate::import::source::SourceRecord;
use crate::import::{Import, ImportStep};
use crate::input::{DefinitionInput, SegmentInput, StateInput, WeightInput};
use crate::kills::KillScope;
use crate::limits::Limits;
use crate::lists::IdList;
use crate::people::{InvitationRecord, IssuerRecord, Part, PersonRecord};
use crate::record::{KeyRecord, Tenant};
use crate::schedule::Schedule;
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
    PutIssuer {
        org: OrgKey,
        record: IssuerRecord,
    },
    DeleteIssuer {
        org: OrgKey,
        issuer: IssuerKey,
    },
    /// Takes in somebody whom an issuer vouches for.
    AddPerson {
        org: OrgKey,
        person: PersonRecord,
    },
    ChangePerson {
        org: OrgKey,
        id: String,
        part: Part,
    },
    RemovePerson {
        org: OrgKey,
        id: String,
    },
    Invite {
        org: OrgKey,
        record: InvitationRecord,
    },
    WithdrawInvitation {
        org: OrgKey,
        id: String,
    },
    /// Takes in somebody who holds an invitation, which ends with it.
    AcceptInvitation {
        org: OrgKey,
        id: String,
        person: PersonRecord,
    },
    PutTenantSource {
        org: OrgKey,
        record: SourceRecord,
    },
    DeleteTenantSource {
        org: OrgKey,
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
    /// Takes a flag out of everything but what can be restored.
    DeleteFlag {
        org: OrgKey,
        flag: FlagKey,
    },
    RestoreFlag {
        org: OrgKey,
        flag: FlagKey,
    },
    /// Ends a deleted flag for good.
    PurgeFlag {
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
        /// The only group for whose tenants; absent: for everybody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<GroupKey>,
    },
    EndKill {
        org: OrgKey,
        env: EnvKey,
        scope: KillScope,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<GroupKey>,
    },
    /// Says that so few may be left: what is gone is meant.
    AcceptShrinkage {
        org: OrgKey,
        env: EnvKey,
        down_to: EntryCounts,
    },
    /// Publishes what a kept root has, until it is released.
    RestoreManifest {
        org: OrgKey,
        env: EnvKey,
        /// Its name.
        root: String,
        #[serde(rename = "sha256")]
        digest: Digest,
        revision: Revision,
    },
    /// Publishes what is there again.
    ReleaseManifest {
        org: OrgKey,
        env: EnvKey,
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
    RestoreSegment {
        org: OrgKey,
        env: EnvKey,
        segment: SegmentKey,
    },
    PurgeSegment {
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
    /// Makes another change at an instant, if it can still be made then.
    Schedule {
        org: OrgKey,
        env: EnvKey,
        schedule: Box<Schedule>,
    },
    CancelSchedule {
        org: OrgKey,
        env: EnvKey,
        id: String,
        /// What it would have done: whoever may do that may cancel it.
        cancelled: Box<Change>,
        /// Whether it was being tried out: who may turn the flag off may end that, too.
        #[serde(default)]
        canary: bool,
    },
    /// Notes that a change could not be made when its time had come.
    FailSchedule {
        org: OrgKey,
        env: EnvKey,
        id: String,
        why: String,
    },
    /// Erases what names an actor of the log.
    EraseActor {
        org: OrgKey,
        actor: String,
    },
    /// Erases the reasons of an entry of the log.
    EraseReason {
        org: OrgKey,
        env: Option<EnvKey>,
        number: u64,
    },
    /// Removes records that nothing can ever refer to again.
    Collect {
        org: OrgKey,
        env: Option<EnvKey>,
        left: Vec<Left>,
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
