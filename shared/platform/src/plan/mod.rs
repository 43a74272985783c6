//! What a change does: which items it reads, requires and writes. Runs inside every try of a commit,
//! so that it always decides on what stands now.

pub(crate) mod asks;
mod bulk;
mod collect;
mod deleted;
mod directory;
mod erase;
mod flags;
mod groups;
mod issuers;
mod keys;
mod kills;
mod manifest;
mod operator;
mod people;
mod promote;
mod roles;
mod schedules;
mod second;
mod segments;
mod sources;
pub(crate) mod states;
pub(crate) mod tenants;
mod webhooks;

pub use asks::MAX_NEW_ASKS;
pub use bulk::{MAX_BATCH_BYTES, MAX_BATCH_TENANTS};
pub use directory::MAX_ENVIRONMENTS;
pub use groups::MAX_CONDITION_GROUPS;
pub(crate) use keys::MAX_SCOPE;
pub(crate) use keys::keys_in_force;
pub use keys::{MAX_KEY_DEPTH, MAX_KEYS};
pub use promote::MAX_PROMOTED;
pub use roles::MAX_ROLES;
pub use segments::{MAX_ENVIRONMENT_IDS, MAX_SEGMENTS};
pub use states::MAX_GROUP_OVERRIDES;

use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::FlagClass;
use serde::Serialize;
use serde_json::Value as Json;

use crate::caller::Caller;
use crate::change::Change;
use crate::commit::Request;
use crate::error::Error;
use crate::input::bounded;
use crate::log::Image;
use crate::personal;
use crate::place::LogId;
use crate::ports::{Condition, Item, ItemKey, Table, Write};
use crate::schedule::ScheduleState;
use crate::store::ABSENT;

/// Bytes of one record. The largest change (128 KiB, the body limit) and its after-image make a log
/// entry of at most 272 KiB, under DESIGN's 300 KB and DynamoDB's 400 KB.
pub const MAX_RECORD_BYTES: usize = 144 * 1024;

/// The writes of one change, gathered.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The number of the log entry to be; every item written gets it as its version.
    pub(crate) number: u64,
    pub(crate) at: Timestamp,
    pub(crate) writes: Vec<Write>,
    pub(crate) images: Vec<Image>,
    /// The thing the change is about, afterwards.
    pub(crate) subject: Option<Json>,
    pub(crate) created: bool,
    /// The change's reason, sealed.
    pub(crate) reason: Option<String>,
    /// The class of the flag that it is about.
    pub(crate) class: Option<FlagClass>,
}

impl Plan {
    pub(crate) fn new(number: u64, at: Timestamp) -> Self {
        Self {
            number,
            at,
            writes: Vec::new(),
            images: Vec::new(),
            subject: None,
            created: false,
            reason: None,
            class: None,
        }
    }

    /// Writes a record over the version that was read ([`ABSENT`]: none).
    fn put<T: Serialize>(&mut self, key: ItemKey, over: u64, record: &T) -> Result<(), Error> {
        let body = serde_json::to_value(record)
            .map_err(|error| Error::internal("a record did not serialize", error))?;
        let text = body.to_string();
        bounded("the record", "bytes", MAX_RECORD_BYTES, text.len())?;
        self.images.push(Image { pk: key.pk.clone(), sk: key.sk.clone(), body: Some(body), over });
        let item = Item { key, version: self.number, body: text, expires_at_seconds: None };
        self.writes.push(Write::Put { item, condition: standing(over) });
        Ok(())
    }

    /// Writes what stands beside the log, and is in none.
    pub(crate) fn put_beside<T: Serialize>(
        &mut self,
        key: ItemKey,
        over: u64,
        record: &T,
    ) -> Result<(), Error> {
        let body = serde_json::to_string(record)
            .map_err(|error| Error::internal("a record did not serialize", error))?;
        bounded("what names an actor", "bytes", MAX_RECORD_BYTES, body.len())?;
        let item = Item { key, version: self.number, body, expires_at_seconds: None };
        self.writes.push(Write::Put { item, condition: standing(over) });
        Ok(())
    }

    /// Removes the record whose version was read.
    fn delete(&mut self, key: ItemKey, over: u64) {
        self.images.push(Image { pk: key.pk.clone(), sk: key.sk.clone(), body: None, over });
        self.writes.push(Write::Delete { key, condition: standing(over) });
    }

    /// Requires that what was read still stands. A key that is written, or required already, asks for the same.
    pub(crate) fn require(&mut self, key: ItemKey, version: u64) {
        if self.writes.iter().any(|write| *write.key() == key) {
            return;
        }
        self.writes.push(Write::Check { key, condition: standing(version) });
    }

    /// Names the thing the change is about.
    fn about<T: Serialize>(&mut self, record: &T, created: bool) -> Result<(), Error> {
        self.created = created;
        self.subject = Some(
            serde_json::to_value(record)
                .map_err(|error| Error::internal("a record did not serialize", error))?,
        );
        Ok(())
    }
}

fn standing(version: u64) -> Condition {
    if version == ABSENT { Condition::Absent } else { Condition::Version(version) }
}

/// Draws up the plan of a request on what stands now: its change, and the end of the schedule that it fires.
pub(crate) async fn draw_all(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    plan: &mut Plan,
) -> Result<(), Error> {
    let log = request.change.log();
    let LogId { org, env } = &log;
    let fires = match (&request.fires, env) {
        (Some(id), Some(env)) => Some(schedules::Pending::read(table, (org, env), id).await?),
        _ => None,
    };
    draw(table, request, caller, plan).await?;
    let fired = ScheduleState::Fired { at: plan.at, number: plan.number };
    fires.map_or(Ok(()), |pending| pending.end(plan, fired))?;
    personal::seal(table, org, plan).await?;
    plan.reason = personal::seal_reasons(plan, &log, request.reason.as_ref())?;
    Ok(())
}

/// Draws up the plan of a change.
pub(crate) async fn draw(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::CreateOrganization { .. } | Change::CreateEnvironment { .. } => {
            directory::draw(table, request, plan).await
        }
        Change::PutTenant { .. } | Change::DeleteTenant { .. } | Change::PutTenantSchema { .. } => {
            tenants::draw(table, request, plan).await
        }
        Change::PutWebhook { .. } | Change::DeleteWebhook { .. } => {
            webhooks::draw(table, request, plan).await
        }
        Change::PutIssuer { .. } | Change::DeleteIssuer { .. } => {
            issuers::draw(table, request, caller, plan).await
        }
        Change::AddPerson { .. }
        | Change::ChangePerson { .. }
        | Change::RemovePerson { .. }
        | Change::Invite { .. }
        | Change::WithdrawInvitation { .. }
        | Change::AcceptInvitation { .. } => people::draw(table, request, caller, plan).await,
        Change::PutTenantSource { .. } | Change::DeleteTenantSource { .. } => {
            sources::draw(table, request, plan).await
        }
        Change::UpsertTenants { .. } | Change::PutImport { .. } => {
            bulk::draw(table, request, plan).await
        }
        Change::PutGroup { .. }
        | Change::DeleteGroup { .. }
        | Change::AddMember { .. }
        | Change::RemoveMember { .. } => groups::draw(table, request, plan).await,
        Change::PutFlag { .. } | Change::CloneFlag { .. } => {
            flags::draw(table, request, plan).await
        }
        Change::DeleteFlag { .. }
        | Change::RestoreFlag { .. }
        | Change::PurgeFlag { .. }
        | Change::DeleteSegment { .. }
        | Change::RestoreSegment { .. }
        | Change::PurgeSegment { .. } => deleted::draw(table, request, caller, plan).await,
        Change::CreateKey { .. } | Change::RevokeKey { .. } | Change::RotateKey { .. } => {
            keys::draw(table, request, caller, plan).await
        }
        Change::SuspendOrganization { .. }
        | Change::ResumeOrganization { .. }
        | Change::SetLimits { .. } => operator::draw(table, request, plan).await,
        Change::PutRole { .. } | Change::DeleteRole { .. } => {
            roles::draw(table, request, caller, plan).await
        }
        Change::PutState { .. }
        | Change::PatchState { .. }
        | Change::SetEnabled { .. }
        | Change::SetWeights { .. }
        | Change::CloneState { .. }
        | Change::RestoreState { .. }
        | Change::SetOverride { .. }
        | Change::ClearOverride { .. } => states::draw(table, request, plan).await,
        Change::Schedule { .. } | Change::CancelSchedule { .. } | Change::FailSchedule { .. } => {
            schedules::draw(table, request, caller, plan).await
        }
        Change::EraseReason { number, .. } => {
            erase::draw_reason(table, plan, &request.change.log(), *number).await
        }
        Change::EraseActor { org, actor } => erase::draw(table, caller, plan, org, actor).await,
        Change::Collect { org, env, left } => {
            collect::draw(table, plan, (org, env.as_ref()), left).await
        }
        Change::Promote { .. } => promote::draw(table, request, plan).await,
        Change::Kill { .. } | Change::EndKill { .. } => {
            kills::draw(table, request, caller, plan).await
        }
        Change::AcceptShrinkage { .. }
        | Change::RestoreManifest { .. }
        | Change::ReleaseManifest { .. } => manifest::draw(table, request, plan).await,
        Change::PutSegment { .. } | Change::SetSegmentList { .. } => {
            segments::draw(table, request, plan).await
        }
    }
}
