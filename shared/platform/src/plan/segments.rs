//! Segments of an environment.

use flagforge_flags::compile::MAX_SEGMENT_IDS;
use flagforge_flags::compile_segment;
use flagforge_flags::keys::{EnvKey, OrgKey, SegmentKey};

use super::Plan;
use super::asks::{self, Asking, Asks, Node};
use super::deleted::segment_is_free;
use super::directory::environment_in;
use super::states::refused;
use crate::change::Change;
use crate::commit::Request;
use crate::error::Error;
use crate::input::{SegmentInput, bounded, bounded_text};
use crate::lists::IdList;
use crate::place;
use crate::ports::Table;
use crate::record::SegmentRecord;
use crate::segments::{ListName, Segment};
use crate::store::{self, ABSENT, Stored, version_of};

/// Segments of an environment (DESIGN §11).
pub const MAX_SEGMENTS: usize = 1_000;
/// Ids of all lists of an environment: at 10.7 bytes each as hashes they are 107 MB of the 256 MiB that a
/// manifest may have.
pub const MAX_ENVIRONMENT_IDS: u64 = 10_000_000;

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::PutSegment { org, env, segment, salt, definition, excluded, included } => {
            let place = (org, env, segment);
            let stands = standing(table, place).await?;
            request.precondition.check(version_of(stands.as_ref()))?;
            if stands.is_none() {
                segment_is_free(table, place).await?;
            }
            let lists = (excluded.as_ref(), included.as_ref());
            let record = defined(segment, salt, definition, lists, stands.as_ref())?;
            put(table, plan, place, stands, record).await
        }
        Change::SetSegmentList { org, env, segment, list, ids } => {
            let place = (org, env, segment);
            let stands = standing(table, place).await?.ok_or(ABSENT_SEGMENT)?;
            request.precondition.check(stands.version)?;
            let mut record = stands.value.clone();
            *record.list_mut(*list) = ids.clone();
            put(table, plan, place, Some(stands), record).await
        }
        _ => Err(Error::Internal { context: "not a change of segments", source: None }),
    }
}

const ABSENT_SEGMENT: Error = Error::NotFound { what: "segment" };

type SegmentPlace<'a> = (&'a OrgKey, &'a EnvKey, &'a SegmentKey);

async fn standing(
    table: &dyn Table,
    (org, env, segment): SegmentPlace<'_>,
) -> Result<Option<Stored<SegmentRecord>>, Error> {
    store::read(table, &place::segment(org, env, segment)).await
}

fn defined(
    segment: &SegmentKey,
    salt: &str,
    input: &SegmentInput,
    (excluded, included): (Option<&IdList>, Option<&IdList>),
    stands: Option<&Stored<SegmentRecord>>,
) -> Result<SegmentRecord, Error> {
    bounded_text("description", &input.description)?;
    let kept = |list: ListName| stands.map(|s| s.value.list(list).clone()).unwrap_or_default();
    let when = input.when.as_ref().map(|when| when.tree("when")).transpose()?;
    Ok(SegmentRecord {
        key: segment.clone(),
        description: input.description.clone(),
        entity: input.entity.clone(),
        when,
        excluded: excluded.cloned().unwrap_or_else(|| kept(ListName::Excluded)),
        included: included.cloned().unwrap_or_else(|| kept(ListName::Included)),
        salt: stands.map_or_else(|| salt.to_owned(), |stands| stands.value.salt.clone()),
    })
}

pub(super) async fn put(
    table: &dyn Table,
    plan: &mut Plan,
    (org, env, segment): SegmentPlace<'_>,
    stands: Option<Stored<SegmentRecord>>,
    record: SegmentRecord,
) -> Result<(), Error> {
    let environment = environment_in(table, org, env).await?;
    plan.require(place::environment(org, env), environment.version);
    // The lists are known to be lists; what an author can get wrong is the entity and the condition.
    compile_segment(&record.wire(plan.number, [None, None])).map_err(|fault| refused(&fault))?;
    check_size(table, (org, env), stands.as_ref(), &record).await?;
    let was = stands.as_ref().and_then(|stands| stands.value.when.as_ref());
    let (was, becomes) = (Asks::of_segment(was), Asks::of_segment(record.when.as_ref()));
    let subject = Node::Segment(segment.clone());
    asks::check(table, plan, (org, env), &[Asking { subject, was, becomes }]).await?;
    let version = version_of(stands.as_ref());
    plan.put(place::segment(org, env, segment), version, &record)?;
    plan.about(&Segment::of(&record), version == ABSENT)
}

pub(super) async fn check_size(
    table: &dyn Table,
    (org, env): (&OrgKey, &EnvKey),
    stands: Option<&Stored<SegmentRecord>>,
    record: &SegmentRecord,
) -> Result<(), Error> {
    let limit = MAX_SEGMENT_IDS as u64;
    over("the ids of both lists", limit, record.ids())?;
    let before = stands.map(|stands| stands.value.ids());
    if before.is_some_and(|before| record.ids() <= before) {
        return Ok(());
    }
    let all: Vec<Stored<SegmentRecord>> =
        store::all(table, &place::env_pk(org, env), "SEGMENT#").await?;
    let others = all.iter().filter(|other| other.value.key != record.key);
    let ids = others.map(|other| other.value.ids()).sum::<u64>() + record.ids();
    over("the ids of all segments of the environment", MAX_ENVIRONMENT_IDS, ids)?;
    let count = if before.is_none() { all.len() + 1 } else { all.len() };
    bounded("segments", "segments", MAX_SEGMENTS, count)
}

fn over(field: &str, limit: u64, actual: u64) -> Result<(), Error> {
    if actual <= limit {
        return Ok(());
    }
    Err(Error::OverLimit { field: field.to_owned(), unit: "ids", limit, actual })
}
