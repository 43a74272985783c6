//! A configuration as one tenant's own manifest carries it: what is known of the tenant is decided, and what is left
//! tells nothing of others. The evaluator itself decides, so that the answers stay the same.

mod condition;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::context::{Context, TENANT};
use crate::keys::{EnvKey, OrgKey, SegmentKey, TenantKey, VariantKey};
use crate::manifest::{Digest, Scope, ScopeId};
use crate::revision::Revision;
use crate::segment::digested_ids;
use crate::snapshot::Snapshot;
use crate::wire::{
    DigestsWire, FlagWire, IdsWire, OutcomeWire, RuleWire, SegmentWire, TargetWire, TenantWire,
};
use condition::{Left, Seen};

/// One tenant, for whom a configuration is folded.
#[derive(Debug)]
pub struct Folding {
    tenant: TenantKey,
    wire: TenantWire,
    /// The tenant's attributes and groups, and nothing else, to be asked.
    alone: Snapshot,
}

/// What is left of a flag or a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded<W> {
    /// As the tenant's manifest carries it.
    pub wire: W,
    /// The segments that it still asks for.
    pub asks: BTreeSet<SegmentKey>,
}

/// A list of a segment, as a tenant may have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoldedList {
    /// Of a segment of tenants: whether this one is in it.
    OfTenants(bool),
    /// Of a segment of anything else: what [`digested_ids`] makes of its keys.
    OfOthers(DigestsWire),
}

impl Folding {
    /// For a tenant, as the manifests of its environment carry it.
    pub fn new(org: OrgKey, env: EnvKey, tenant: TenantKey, wire: TenantWire) -> Self {
        let scope = ScopeId { org, env, scope: Scope::Environment };
        let facts = TenantWire { overrides: std::collections::BTreeMap::new(), ..wire.clone() };
        let directory = [(tenant.clone(), facts)];
        let alone = Snapshot::from_parts(scope, Revision::default(), [], directory);
        Self { tenant, wire, alone }
    }

    /// The tenant, which its own manifest carries whole.
    pub const fn tenant(&self) -> (&TenantKey, &TenantWire) {
        (&self.tenant, &self.wire)
    }

    /// A flag. Where the whole flag answers this tenant without an error, the folded one answers the same, by the same
    /// rule and for the same reason. Its version is another whenever its content is, and says nothing else.
    pub fn flag(&self, flag: &FlagWire) -> Folded<FlagWire> {
        let mut wire = flag.clone();
        let mut asks = BTreeSet::new();
        wire.killed_groups.retain(|group| self.wire.groups.contains(group));
        let state = &mut wire.state;
        state.group_overrides.retain(|over| self.wire.groups.contains(&over.group));
        let targets = std::mem::take(&mut state.targets).into_iter().enumerate();
        state.targets = targets.filter_map(|(at, target)| self.target(flag, at, target)).collect();
        state.rules = self.rules(flag, &mut asks);
        self.drop_unused_variants(&mut wire);
        wire.version = 0;
        wire.version = content_number(&wire);
        Folded { wire, asks }
    }

    /// A segment, whose own lists are passed over for those given.
    pub fn segment(
        &self,
        segment: &SegmentWire,
        [excluded, included]: [FoldedList; 2],
    ) -> Folded<SegmentWire> {
        use FoldedList::{OfOthers, OfTenants};
        let mut asks = BTreeSet::new();
        let salt = format!("segment:{}", segment.key);
        let when = segment.when.as_ref();
        let when = when.map(|when| self.left_of(when, &mut Seen { salt: &salt, asks: &mut asks }));
        let when = match (&excluded, &included) {
            (OfTenants(true), _) => Some(Left::No),
            (_, OfTenants(true)) => Some(Left::Yes),
            _ => when,
        };
        if !matches!(when, Some(Left::Open(_))) {
            asks.clear();
        }
        let ids = |list| match list {
            // An empty list is as good as none, and says less.
            OfOthers(wire) if !wire.digests.is_empty() => IdsWire::Digests(wire),
            OfOthers(_) | OfTenants(_) => IdsWire::default(),
        };
        let mut wire = SegmentWire {
            version: 0,
            excluded: ids(excluded),
            included: ids(included),
            when: when.filter(|when| *when != Left::No).map(Left::into_condition),
            ..segment.clone()
        };
        wire.version = content_number(&wire);
        Folded { wire, asks }
    }

    fn target(&self, flag: &FlagWire, at: usize, mut target: TargetWire) -> Option<TargetWire> {
        if target.entity == TENANT {
            let mine = target.keys.iter().any(|key| *key == self.tenant.as_str());
            target.keys = vec![self.tenant.to_string()];
            return mine.then_some(target);
        }
        let keys = std::mem::take(&mut target.keys);
        let salt = format!("{}:target:{at}", flag.key);
        target.digests = Some(digested_ids(&salt, keys.iter().map(String::as_str)));
        Some(target)
    }

    /// The rules that can decide for this tenant, up to one that always does.
    fn rules(&self, flag: &FlagWire, asks: &mut BTreeSet<SegmentKey>) -> Vec<RuleWire> {
        let mut rules = Vec::new();
        for rule in &flag.state.rules {
            let salt = format!("{}:rule:{}", flag.key, rule.id);
            let mut asked = BTreeSet::new();
            let seen = &mut Seen { salt: &salt, asks: &mut asked };
            let left = self.left_of(&rule.when, seen);
            if left == Left::No {
                continue;
            }
            asks.extend(asked);
            // A split without a unit to hash leaves the decision to the next rule.
            let always = left == Left::Yes
                && !matches!(rule.serve, OutcomeWire::Split(_) | OutcomeWire::Ramp(_));
            rules.push(RuleWire { description: None, when: left.into_condition(), ..rule.clone() });
            if always {
                break;
            }
        }
        rules
    }

    /// A variant that only others get may be worth hiding by its name alone.
    fn drop_unused_variants(&self, flag: &mut FlagWire) {
        let mut used: BTreeSet<VariantKey> = flag.state.variants().cloned().collect();
        used.extend(self.wire.overrides.get(&flag.key).map(|over| over.variant().clone()));
        let first = flag.variants.first().cloned();
        flag.variants.retain(|variant| used.contains(&variant.key));
        if flag.variants.is_empty() {
            flag.variants.extend(first);
        }
    }

    /// The tenant with nobody of it.
    fn context(&self) -> Context<'_> {
        Context::for_tenant(&self.tenant)
    }
}

/// A number that is another whenever the content is: 48 bits of its digest, which every JSON reader holds exactly.
fn content_number<W: Serialize>(wire: &W) -> u64 {
    // A wire form always serializes.
    let digest = Digest::of(&serde_json::to_vec(wire).unwrap_or_default());
    digest.as_bytes().iter().take(6).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
