//! Segments as people read and edit them.

use flagforge_flags::keys::{EnvKey, OrgKey, SegmentKey};
use flagforge_flags::wire::{ConditionWire, IdsWire, SegmentWire};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::{Caller, Permission};
use crate::commit::{Outcome, Precondition, Request};
use crate::error::Error;
use crate::lists::{IdList, ListEdit, edited};
use crate::place;
use crate::read::PageOf;
use crate::record::SegmentRecord;
use crate::store::{self, Listing, Stored};
use crate::{Change, input};

/// Tries of an edit of a list against other editors of the same segment.
const MAX_EDITS: usize = 8;
/// Ids of one page of a list: 10,000 of 256 bytes are 2.5 MB, which every gateway passes.
pub const MAX_IDS_PAGE: u32 = 10_000;

/// One of a segment's two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ListName {
    /// Who is out, whatever else is said.
    Excluded,
    /// Who is in, unless excluded.
    Included,
}

/// A segment: a saved set of users, or of other entities, of one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    pub key: SegmentKey,
    pub description: String,
    /// The kind of entity whose keys the lists hold.
    pub entity: String,
    /// Who else is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::conditions::ConditionInput>)]
    pub when: Option<ConditionWire>,
    /// How many ids are excluded. The list itself is at `lists/excluded`.
    pub excluded_ids: u64,
    /// How many ids are included. The list itself is at `lists/included`.
    pub included_ids: u64,
}

impl Segment {
    /// Fields that a reader sees and a writer may send back unused.
    pub(crate) const READ_ONLY: &'static [&'static str] = &["key", "excludedIds", "includedIds"];

    pub(crate) fn of(record: &SegmentRecord) -> Self {
        Self {
            key: record.key.clone(),
            description: record.description.clone(),
            entity: record.entity.clone(),
            when: record.when.clone(),
            excluded_ids: record.excluded.ids,
            included_ids: record.included.ids,
        }
    }
}

impl SegmentRecord {
    pub(crate) const fn list(&self, name: ListName) -> &IdList {
        match name {
            ListName::Excluded => &self.excluded,
            ListName::Included => &self.included,
        }
    }

    pub(crate) const fn list_mut(&mut self, name: ListName) -> &mut IdList {
        match name {
            ListName::Excluded => &mut self.excluded,
            ListName::Included => &mut self.included,
        }
    }

    /// Ids of both lists.
    pub(crate) const fn ids(&self) -> u64 {
        self.excluded.ids + self.included.ids
    }

    /// What a manifest carries, with these lists (excluded, included).
    pub(crate) fn wire(&self, version: u64, lists: [Option<IdsWire>; 2]) -> SegmentWire {
        let [excluded, included] = lists;
        SegmentWire {
            key: self.key.clone(),
            version,
            entity: self.entity.clone(),
            excluded: excluded.unwrap_or_default(),
            included: included.unwrap_or_default(),
            when: self.when.clone(),
        }
    }
}

/// Where a list is.
#[derive(Debug, Clone)]
pub(crate) struct ListPlace {
    pub(crate) org: OrgKey,
    pub(crate) env: EnvKey,
    pub(crate) segment: SegmentKey,
    pub(crate) list: ListName,
}

impl Platform {
    pub async fn segments(
        &self,
        caller: &Caller,
        org: &OrgKey,
        env: &EnvKey,
        page: &PageOf,
    ) -> Result<Listing<Segment>, Error> {
        self.environment(caller, org, env).await?;
        let found: Listing<SegmentRecord> =
            self.page(&place::env_pk(org, env), "SEGMENT#", page).await?;
        let seen =
            |s: Stored<SegmentRecord>| Stored { value: Segment::of(&s.value), version: s.version };
        Ok(Listing { items: found.items.into_iter().map(seen).collect(), next: found.next })
    }

    pub async fn segment(
        &self,
        caller: &Caller,
        org: &OrgKey,
        env: &EnvKey,
        segment: &SegmentKey,
    ) -> Result<Stored<Segment>, Error> {
        let stored = self.segment_record(caller, org, env, segment).await?;
        Ok(Stored { value: Segment::of(&stored.value), version: stored.version })
    }

    async fn segment_record(
        &self,
        caller: &Caller,
        org: &OrgKey,
        env: &EnvKey,
        segment: &SegmentKey,
    ) -> Result<Stored<SegmentRecord>, Error> {
        self.environment(caller, org, env).await?;
        store::standing(self.table(), &place::segment(org, env, segment), "segment").await
    }

    /// Some ids of a list, in order, after `cursor`; and the cursor of those that follow.
    pub(crate) async fn listed_ids(
        &self,
        caller: &Caller,
        at: &ListPlace,
        page: &PageOf,
    ) -> Result<(Vec<String>, Option<String>), Error> {
        let limit = match page.limit {
            None => 1_000,
            Some(limit @ 1..=MAX_IDS_PAGE) => limit as usize,
            Some(_) => return Err(Error::invalid("limit", format!("must be 1 to {MAX_IDS_PAGE}"))),
        };
        let record = self.segment_record(caller, &at.org, &at.env, &at.segment).await?.value;
        let ids = self.whole_list(&at.org, record.list(at.list)).await?;
        let after = page.cursor.as_deref();
        let start = after.map_or(0, |after| ids.partition_point(|id| id.as_str() <= after));
        let rest = ids.len().saturating_sub(start);
        let page: Vec<String> = ids.into_iter().skip(start).take(limit).collect();
        let next = if rest > limit { page.last().cloned() } else { None };
        Ok((page, next))
    }

    /// Defines a segment. Lists that come with it (sorted, each id once) replace those that stand; the others stay.
    pub(crate) async fn put_segment(
        &self,
        caller: &Caller,
        at: (OrgKey, EnvKey, SegmentKey),
        definition: input::SegmentInput,
        request: impl FnOnce(Change) -> Request,
    ) -> Result<(Change, Outcome), Error> {
        let (org, env, segment) = at;
        caller.can_in(&org, &env, Permission::WriteSegments)?;
        let excluded = self.keep_given(&org, definition.excluded.as_ref()).await?;
        let included = self.keep_given(&org, definition.included.as_ref()).await?;
        let definition = input::SegmentInput { excluded: None, included: None, ..definition };
        let salt = crate::fresh::secret()?;
        let change = Change::PutSegment { org, env, segment, salt, definition, excluded, included };
        let request = request(change);
        let outcome = self.commit(caller, &request).await?;
        Ok((request.change, outcome))
    }

    async fn keep_given(
        &self,
        org: &OrgKey,
        given: Option<&Vec<String>>,
    ) -> Result<Option<IdList>, Error> {
        let Some(ids) = given else { return Ok(None) };
        let limit = flagforge_flags::compile::MAX_SEGMENT_IDS;
        let ids = crate::lists::sorted(ids.clone(), limit)?;
        self.keep_list(org, &ids).await.map(Some)
    }

    /// Replaces a list by these ids (sorted, each once).
    pub(crate) async fn replace_list(
        &self,
        caller: &Caller,
        at: ListPlace,
        ids: &[String],
        request: impl FnOnce(Change) -> Request,
    ) -> Result<(Change, Outcome), Error> {
        caller.can_in(&at.org, &at.env, Permission::WriteSegments)?;
        self.segment_record(caller, &at.org, &at.env, &at.segment).await?;
        let ids = self.keep_list(&at.org, ids).await?;
        let ListPlace { org, env, segment, list } = at;
        let request = request(Change::SetSegmentList { org, env, segment, list, ids });
        let outcome = self.commit(caller, &request).await?;
        Ok((request.change, outcome))
    }

    /// Adds ids to a list or removes them. Of two editors at once the later edits what the earlier left.
    pub(crate) async fn edit_list(
        &self,
        caller: &Caller,
        at: ListPlace,
        edit: ListEdit,
        ids: &[String],
        request: impl Fn(Change) -> Request,
    ) -> Result<(Change, Outcome), Error> {
        caller.can_in(&at.org, &at.env, Permission::WriteSegments)?;
        for _ in 0..MAX_EDITS {
            let stands = self.segment_record(caller, &at.org, &at.env, &at.segment).await?;
            let held = self.whole_list(&at.org, stands.value.list(at.list)).await?;
            let edited = edited(held, &edit, ids.to_vec());
            let list = self.keep_list(&at.org, &edited).await?;
            let ListPlace { org, env, segment, list: name } = at.clone();
            let change = Change::SetSegmentList { org, env, segment, list: name, ids: list };
            let mut request = request(change);
            let free = request.precondition == Precondition::None;
            if free {
                request.precondition = Precondition::Version(stands.version);
            }
            match self.commit(caller, &request).await {
                Err(Error::PreconditionFailed) if free => {}
                Err(error) => return Err(error),
                Ok(outcome) => return Ok((request.change, outcome)),
            }
        }
        Err(Error::busy("too many editors of one segment"))
    }
}
