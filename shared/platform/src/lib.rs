#![doc = include_str!("../README.md")]

mod access;
pub mod audit;
mod authority;
pub mod bootstrap;
pub mod caller;
mod catalog;
mod change;
mod collect;
mod commit;
mod comparison;
mod conditions;
mod copies;
mod definition;
mod deleted;
mod difference;
pub mod effective;
pub mod error;
pub mod events;
mod fresh;
pub mod handle;
mod http;
pub mod import;
pub mod input;
mod kills;
mod last_used;
pub mod limits;
pub mod link;
mod lists;
pub mod log;
mod manifest;
mod merge;
pub mod meter;
#[cfg(feature = "outbound")]
mod outbound;
pub mod people;
mod permission;
mod personal;
mod place;
mod plan;
pub mod ports;
mod propagation;
mod publish;
pub mod read;
pub mod record;
mod schedule;
pub mod schema;
pub mod search;
mod segments;
pub mod special;
mod states;
mod store;
mod strict;
mod turns;
mod urgency;
mod value_schema;
pub mod webhooks;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

pub use access::{IssuedKey, KeySpec, Operator};
pub use caller::{Caller, Permission, PermissionSet, Role, RoleName};
pub use catalog::{Catalog, CatalogBy, CatalogGroup, LikelyDuplicates};
pub use change::Change;
pub use collect::{Collection, IMPORT_KEPT, LEFT_ALONE, Mode};
pub use commit::{
    Committed, IDEMPOTENCY_SECONDS, Idempotency, MAX_IDEMPOTENCY_KEY_BYTES, MAX_REASON_BYTES,
    Outcome, Precondition, Request,
};
pub use comparison::{Differing, Past, Preview, Promoted, Thing};
pub use conditions::ConditionInput;
pub use copies::Copied;
pub use definition::{MAX_LABEL_BYTES, MAX_LABELS, MAX_LINK_BYTES, RetirementCriterion};
pub use deleted::{Deleted, Deletion, KEPT_DAYS, MAX_KEPT_DAYS};
pub use difference::Difference;
pub use error::Error;
pub use http::{MAX_BODY_BYTES, app, cors, health, openapi};
pub use kills::{KillScope, KillSwitch, MAX_KILLS, PartKill};
pub use last_used::LAST_USED_EVERY;
pub use lists::{IdList, MAX_EDITED_IDS, MAX_ID_BYTES, MAX_LIST_BODY_BYTES};
pub use manifest::{
    Accepted, HeldState, KeptRoot, MAX_NAMED, ManifestRecord, ManifestState, RestoredRoot,
    RootDifference, RootDiffering, WithheldState,
};
#[cfg(feature = "outbound")]
pub use outbound::HttpOutbound;
pub use personal::ERASED;
pub use place::LogId;
pub use plan::{
    MAX_BATCH_BYTES, MAX_BATCH_TENANTS, MAX_CONDITION_GROUPS, MAX_ENVIRONMENT_IDS,
    MAX_ENVIRONMENTS, MAX_GROUP_OVERRIDES, MAX_KEY_DEPTH, MAX_KEYS, MAX_NEW_ASKS, MAX_PROMOTED,
    MAX_RECORD_BYTES, MAX_ROLES, MAX_SEGMENTS,
};
pub use propagation::{Progress, Reported};
pub use publish::{
    ACCEPTED_FOR, MAY_END_AT_ONCE, MAY_GO_AT_ONCE, RESIGN_AFTER, ROOT_LIFETIME, ROOTS_KEPT,
};
pub use schedule::{
    FIRE_WITHIN, MAX_DAYS_AHEAD, MAX_SCHEDULES, SCHEDULE_KEPT, Schedule, ScheduleInput,
    ScheduleState, ScheduledInput,
};
pub use segments::{ListName, MAX_IDS_PAGE, Segment};
pub use states::FlagState;
pub use store::{Listing, Stored};
pub use turns::MAX_WAITING;

use flagforge_flags::keys::OrgKey;
use people::Issuer;
use ports::{Bus, Fetch, Objects, Reach, Signer, Table, Tables, Timer};

/// The platform on a set of hands. Cheap to clone; clones share everything.
///
/// As it is made, it stands at the door: it finds out who asks. What is then done for one organization is done by the
/// platform that [`Platform::acting_for`] gives, whose table reaches nothing of another's.
#[derive(Debug, Clone)]
pub struct Platform {
    parts: Arc<Parts>,
    table: Arc<dyn Table>,
}

#[derive(Debug)]
struct Parts {
    tables: Arc<dyn Tables>,
    objects: Arc<dyn Objects>,
    signer: Arc<dyn Signer>,
    bus: Arc<dyn Bus>,
    timer: Arc<dyn Timer>,
    operator: Option<Operator>,
    publisher: publish::Publisher,
    turns: turns::Turns,
    noted: last_used::Noted,
    rates: access::Rates,
    heard: propagation::Heard,
    /// Whether somebody delivers webhooks here.
    delivers: AtomicBool,
    /// Who reads from addresses that customers name, where somebody does.
    fetch: OnceLock<Arc<dyn Fetch>>,
    known_issuers: people::Known,
    /// The issuers that the whole installation believes.
    issuers: OnceLock<Vec<Issuer>>,
    /// Whether somebody fires schedules here.
    fires: AtomicBool,
}

impl Platform {
    /// A platform on these hands. `operator` is a key that lives outside every organization, as an installation on AWS has it.
    pub fn new(
        tables: Arc<dyn Tables>,
        objects: Arc<dyn Objects>,
        signer: Arc<dyn Signer>,
        bus: Arc<dyn Bus>,
        timer: Arc<dyn Timer>,
        operator: Option<Operator>,
    ) -> Self {
        let publisher = publish::Publisher::default();
        let (turns, noted) = (turns::Turns::default(), last_used::Noted::default());
        let rates = access::Rates::default();
        let (delivers, fires) = (AtomicBool::new(false), AtomicBool::new(false));
        let table = tables.at_the_door();
        let parts = Parts {
            tables,
            objects,
            signer,
            bus,
            timer,
            operator,
            publisher,
            turns,
            noted,
            rates,
            heard: propagation::Heard::default(),
            delivers,
            fetch: OnceLock::new(),
            known_issuers: people::Known::default(),
            issuers: OnceLock::new(),
            fires,
        };
        Self { parts: Arc::new(parts), table }
    }

    /// The platform as it acts for one organization.
    pub(crate) fn acting_for(&self, org: &OrgKey) -> Self {
        self.within(&Reach::Organization(org.clone()))
    }

    /// The platform as its operator does something to an organization.
    pub(crate) fn operating_on(&self, org: &OrgKey) -> Self {
        self.within(&Reach::Operated(org.clone()))
    }

    /// The platform as it stands at the door.
    pub(crate) fn at_the_door(&self) -> Self {
        Self { table: self.parts.tables.at_the_door(), ..self.clone() }
    }

    fn within(&self, reach: &Reach) -> Self {
        Self { table: self.parts.tables.within(reach), ..self.clone() }
    }

    /// Says that somebody calls [`handle::webhooks`] in this installation. Until then no endpoint can be made: nothing
    /// would ever reach it.
    pub fn deliver_webhooks(&self) {
        self.parts.delivers.store(true, Ordering::Relaxed);
    }

    /// Says that somebody calls [`handle::fire`] in this installation. Until then nothing can be scheduled.
    pub fn fire_schedules(&self) {
        self.parts.fires.store(true, Ordering::Relaxed);
    }

    pub(crate) fn fires_schedules(&self) -> bool {
        self.parts.fires.load(Ordering::Relaxed)
    }

    pub(crate) fn delivers_webhooks(&self) -> bool {
        self.parts.delivers.load(Ordering::Relaxed)
    }

    /// Says who reads from addresses that customers name. Until then no issuer can be believed. Counts once.
    pub fn fetch_with(&self, fetch: Arc<dyn Fetch>) {
        if self.parts.fetch.set(fetch).is_err() {
            tracing::warn!("somebody fetches already");
        }
    }

    pub(crate) fn fetch(&self) -> Option<&dyn Fetch> {
        self.parts.fetch.get().map(|fetch| &**fetch)
    }

    pub(crate) fn known_issuers(&self) -> &people::Known {
        &self.parts.known_issuers
    }

    /// Says which issuers the whole installation believes: whoever they vouch for is somebody in each organization that
    /// has them as a member. What their tokens claim gives no role in any. Counts once.
    pub fn believe_issuers(&self, issuers: Vec<Issuer>) -> Result<(), Error> {
        for issuer in &issuers {
            issuer.check()?;
            if !issuer.roles.is_empty() {
                let message = "an issuer of the whole installation gives no roles";
                return Err(Error::invalid("roles", message));
            }
        }
        if self.parts.issuers.set(issuers).is_err() {
            tracing::warn!("the installation's issuers were said already");
        }
        Ok(())
    }

    pub(crate) fn installation_issuers(&self) -> &[Issuer] {
        self.parts.issuers.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn table(&self) -> &dyn Table {
        &*self.table
    }

    pub(crate) fn objects(&self) -> &dyn Objects {
        &*self.parts.objects
    }

    pub(crate) fn signer(&self) -> &dyn Signer {
        &*self.parts.signer
    }

    pub(crate) fn bus(&self) -> &dyn Bus {
        &*self.parts.bus
    }

    pub(crate) fn timer(&self) -> &dyn Timer {
        &*self.parts.timer
    }

    pub(crate) fn operator(&self) -> Option<&Operator> {
        self.parts.operator.as_ref()
    }

    pub(crate) fn turns(&self) -> &turns::Turns {
        &self.parts.turns
    }

    pub(crate) fn rates(&self) -> &access::Rates {
        &self.parts.rates
    }

    pub(crate) fn heard(&self) -> &propagation::Heard {
        &self.parts.heard
    }

    pub(crate) fn noted(&self) -> &last_used::Noted {
        &self.parts.noted
    }

    pub(crate) fn publisher(&self) -> &publish::Publisher {
        &self.parts.publisher
    }
}
