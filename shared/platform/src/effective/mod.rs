//! What a tenant gets: every flag's answer in an environment, by what it came about, and what that hides.
//!
//! The items as they stand are evaluated by the one evaluator. What an answer hides is found by taking away what
//! decided it and asking again, until the rules or the fallthrough decide.

mod reach;

use flagforge_flags::evaluate::{View, evaluate};
use flagforge_flags::keys::{EnvKey, FlagKey, GroupKey, OrgKey, TenantKey};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagClass, FlagWire, ValueType};
use flagforge_flags::{Answer, Context, FineReason};
use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::Caller;
use crate::error::Error;
use crate::read::PageOf;
use crate::record::Definition;
use crate::search::FlagFilter;
use crate::store::{Listing, Stored};
use reach::Reach;

/// One flag as a tenant gets it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    pub key: FlagKey,
    #[serde(rename = "type")]
    pub value_type: ValueType,
    #[serde(flatten)]
    pub answer: Answered,
    /// What would decide, one after the other, were what decides before it taken away.
    pub hides: Vec<Answered>,
}

/// An answer and what decided it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// Absent: the caller's own default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value, required = false)]
    pub value: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// In OpenFeature's words, say `TARGETING_MATCH`.
    pub reason: &'static str,
    /// In our finer words, say `GROUP_OVERRIDE`.
    pub why: &'static str,
    /// The group whose override, or whose kill switch, decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupKey>,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Platform {
    /// What a tenant gets in an environment, by flag. Without a user, what depends on one is answered as for nobody.
    pub async fn effective(
        &self,
        caller: &Caller,
        (org, env): (&OrgKey, &EnvKey),
        (tenant, user): (&TenantKey, Option<&str>),
        filter: &FlagFilter,
        page: &PageOf,
    ) -> Result<Listing<Effective>, Error> {
        self.environment(caller, org, env).await?;
        let of = self.tenant(caller, org, tenant).await?.value;
        let definitions = self.flags_of(org, filter, page).await?;
        let keys = definitions.items.iter().map(|definition| definition.value.key.clone());
        let reach = self.reach((org, env), &of, keys, user.is_some()).await?;
        let context = Context::for_tenant(tenant.clone());
        let context = match user {
            Some(user) => context.user(user),
            None => context,
        };
        let asked = Asked { reach: &reach, context, now: self.timer().now() };
        let effective = |definition: Stored<Definition>| {
            let Definition { key, value_type, .. } = definition.value;
            let mut answers = asked.layers(&key).into_iter();
            let answer = answers.next()?;
            let value = Effective { key, value_type, answer, hides: answers.collect() };
            Some(Stored { value, version: definition.version })
        };
        let items = definitions.items.into_iter().filter_map(effective).collect();
        Ok(Listing { items, next: definitions.next })
    }
}

struct Asked<'r> {
    reach: &'r Reach,
    context: Context<'r>,
    now: Timestamp,
}

impl Asked<'_> {
    /// The answer, and then what each answer hides.
    fn layers(&self, key: &FlagKey) -> Vec<Answered> {
        let Some(mut flag) = self.reach.flags.get(key).cloned() else { return Vec::new() };
        let mut overridden = true;
        let mut answers = Vec::new();
        // Off, off for each group, a prerequisite, a tenant's override, each group's override, and what decides below all of them.
        let most = flag.killed_groups.len() + flag.state.group_overrides.len() + 4;
        for _ in 0..most {
            let snapshot = self.reach.snapshot(&flag, overridden);
            let view = View { snapshot: &snapshot, confirmed: self.now };
            let answer = evaluate(view, key.as_str(), None, &self.context, self.now);
            let fine = answer.fine;
            let group = match fine {
                FineReason::GroupOverride => self.reach.deciding_group(&flag, self.now),
                FineReason::GroupKill => self.reach.killing_group(&flag),
                _ => None,
            };
            answers.push(answered(&answer, group.clone()));
            if !peel(&mut flag, &mut overridden, fine, group.as_ref()) {
                break;
            }
        }
        answers
    }
}

/// Takes away what decided. `false` when that was a rule, the fallthrough, or an error.
fn peel(
    flag: &mut FlagWire,
    overridden: &mut bool,
    fine: FineReason,
    group: Option<&GroupKey>,
) -> bool {
    match fine {
        FineReason::Off if flag.class != FlagClass::Migration && !flag.state.enabled => {
            flag.state.enabled = true;
        }
        FineReason::GroupKill if group.is_some() => {
            flag.killed_groups.retain(|killed| Some(killed) != group);
        }
        FineReason::PrerequisiteFailed => flag.state.prerequisites.clear(),
        FineReason::TenantOverride => *overridden = false,
        FineReason::GroupOverride if group.is_some() => {
            flag.state.group_overrides.retain(|over| Some(&over.group) != group);
        }
        _ => return false,
    }
    true
}

fn answered(answer: &Answer<'_>, group: Option<GroupKey>) -> Answered {
    Answered {
        value: answer.value.map(flagforge_flags::Value::to_json),
        variant: answer.variant.map(str::to_owned),
        reason: answer.reason.as_str(),
        why: answer.fine.as_str(),
        group,
        rule: answer.rule.map(str::to_owned),
        error: answer.error.as_ref().map(ToString::to_string),
    }
}
