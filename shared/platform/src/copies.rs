//! Copies: a flag under another key, an environment's flags and segments in another.

use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, SegmentKey};
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::commit::{Outcome, Precondition, Request};
use crate::comparison::Promoted;
use crate::error::Error;
use crate::read::PageOf;
use crate::record::{Definition, Environment, SegmentRecord};
use crate::store::{self, Listing, Stored};
use crate::{Change, Platform, fresh, place};

/// Flags or segments of one commit of a copy, halved where they are too large together.
const COPIED_AT_ONCE: usize = 20;
/// Flags or segments of one call: twenty commits of some 50 ms each stay far below API Gateway's 29 s.
const MAX_COPIED: u32 = 400;

/// What is copied, and under which key.
#[derive(Debug, Clone)]
pub(crate) struct CopyOf {
    pub(crate) org: OrgKey,
    pub(crate) of: FlagKey,
    pub(crate) flag: FlagKey,
}

/// How far a copy of an environment came.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Copied {
    /// Flags whose state changed by this call.
    pub flags: usize,
    /// Segments that changed by this call.
    pub segments: usize,
    /// Where to go on; absent when all is copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Platform {
    /// Defines a flag like another, then sets its states like the other's. The definition is one commit, and so is the
    /// state of each environment; where the clone has got a state meanwhile, that one stays.
    pub(crate) async fn clone_flag(
        &self,
        caller: &Caller,
        of: CopyOf,
        request: impl Fn(Change) -> Request,
    ) -> Result<(Change, Outcome), Error> {
        let CopyOf { org, of, flag } = of;
        let uid = fresh::id()?;
        let change =
            Change::CloneFlag { org: org.clone(), of: of.clone(), flag: flag.clone(), uid };
        let defining = request(change.clone());
        let outcome = self.commit(caller, &defining).await?;
        let environments: Vec<Stored<Environment>> =
            store::all(self.table(), &place::org_pk(&org), "ENV#").await?;
        for env in environments.into_iter().map(|stored| stored.value.key) {
            let (org, of, flag) = (org.clone(), of.clone(), flag.clone());
            let mut copying = request(Change::CloneState { org, env, of, flag });
            // The caller's own key stands for the definition.
            copying.idempotency = None;
            copying.precondition = Precondition::Absent;
            match self.commit(caller, &copying).await {
                Ok(_) | Err(Error::PreconditionFailed) => {}
                // Not the caller's to set, or nothing to copy.
                Err(Error::Forbidden { .. } | Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((change, outcome))
    }

    /// Copies the next part of an environment: segments first, for flags ask for them.
    pub(crate) async fn copy_environment(
        &self,
        caller: &Caller,
        (org, from, env): (&OrgKey, &EnvKey, &EnvKey),
        cursor: Option<&str>,
        request: impl Fn(Change) -> Request,
    ) -> Result<Copied, Error> {
        // Nothing at all: whether the caller may, and both environments are there.
        let copy = Copy { platform: self, caller, at: (org, from, env), request: &request };
        copy.part(&[], &[]).await?;
        let (is_flags, inner) = match cursor.map(|cursor| cursor.split_at_checked(1)) {
            None => (false, None),
            Some(Some(("0", inner))) => (false, Some(inner).filter(|inner| !inner.is_empty())),
            Some(Some(("1", inner))) => (true, Some(inner).filter(|inner| !inner.is_empty())),
            Some(_) => return Err(Error::invalid("cursor", "send the `next` of the call before")),
        };
        let page =
            PageOf { limit: Some(MAX_COPIED), cursor: inner.map(str::to_owned), search: None };
        let mut copied = Copied::default();
        if is_flags {
            let found: Listing<Definition> = self.page(&place::org_pk(org), "FLAG#", &page).await?;
            let keys: Vec<FlagKey> = found.items.into_iter().map(|s| s.value.key).collect();
            for keys in keys.chunks(COPIED_AT_ONCE) {
                copied.add(&copy.flags(keys).await?);
            }
            copied.next = found.next.map(|next| format!("1{next}"));
        } else {
            let found: Listing<SegmentRecord> =
                self.page(&place::env_pk(org, from), "SEGMENT#", &page).await?;
            for segment in found.items {
                copied.add(&copy.part(&[], &[segment.value.key]).await?);
            }
            copied.next =
                Some(found.next.map_or_else(|| "1".to_owned(), |next| format!("0{next}")));
        }
        Ok(copied)
    }
}

impl Copied {
    fn add(&mut self, part: &Promoted) {
        self.flags += part.flags.len();
        self.segments += part.segments.len();
    }
}

/// A copy under way.
struct Copy<'a, R> {
    platform: &'a Platform,
    caller: &'a Caller,
    at: (&'a OrgKey, &'a EnvKey, &'a EnvKey),
    request: &'a R,
}

impl<R: Fn(Change) -> Request> Copy<'_, R> {
    /// Flags in one commit, or in two where one would be too large.
    async fn flags(&self, keys: &[FlagKey]) -> Result<Promoted, Error> {
        let mut open = vec![keys];
        let mut all = self.nothing();
        while let Some(keys) = open.pop() {
            match self.part(keys, &[]).await {
                Ok(part) => {
                    all.flags.extend(part.flags);
                    all.segments.extend(part.segments);
                }
                Err(Error::OverLimit { .. }) if keys.len() > 1 => {
                    let (first, second) = keys.split_at(keys.len() / 2);
                    open.extend([second, first]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    fn nothing(&self) -> Promoted {
        let (_, from, env) = self.at;
        let (from, environment) = (from.clone(), env.clone());
        Promoted { from, environment, flags: Vec::new(), segments: Vec::new() }
    }

    async fn part(&self, flags: &[FlagKey], segments: &[SegmentKey]) -> Result<Promoted, Error> {
        let (org, from, env) = self.at;
        let change = Change::Promote {
            org: org.clone(),
            from: from.clone(),
            env: env.clone(),
            flags: flags.to_vec(),
            segments: segments.to_vec(),
            more_follow: true,
        };
        let mut request = (self.request)(change);
        // A call is many commits: repeating it is harmless by itself.
        request.idempotency = None;
        request.precondition = Precondition::None;
        if self.platform.is_idle(self.caller, &request).await? {
            return Ok(self.nothing());
        }
        let Outcome::Committed(committed) = self.platform.commit(self.caller, &request).await?
        else {
            return Ok(self.nothing());
        };
        let body = committed.body.unwrap_or_default();
        serde_json::from_value(body)
            .map_err(|error| Error::internal("a promotion did not say what it did", error))
    }
}
