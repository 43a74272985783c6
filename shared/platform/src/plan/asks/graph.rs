//! What asking costs, followed through everybody who is asked, and who uses whom.

use std::collections::{BTreeMap, BTreeSet};

use flagforge_flags::compile::{MAX_NESTED_EVALUATIONS, MAX_PREREQUISITE_DEPTH, MAX_STEPS};
use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, SegmentKey, VariantKey};

use super::{Asking, Asks, Node};
use crate::error::Error;
use crate::place;
use crate::ports::Table;
use crate::record::{Definition, SegmentRecord, StateRecord};
use crate::store::{self, Stored};

/// Conditions that every flag and segment is taken to have at least, so that adding a rule to a small one never
/// makes its users cost more: the [`MAX_NESTED_EVALUATIONS`] of an answer at 64 each stay below [`MAX_STEPS`].
const LEAST_CONDITIONS: usize = 64;
/// Steps that conditions alone may take. As many again are left for lists and long texts of a context.
const MAX_CONDITION_STEPS: usize = MAX_STEPS / 4 * 3;

/// The most that one answer can come to, whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Cost {
    /// Levels of others below.
    depth: usize,
    /// Others that are asked, each as often as it is.
    nested: usize,
    steps: usize,
}

impl Cost {
    fn exceeds(self, other: Self) -> bool {
        self.depth > other.depth || self.nested > other.nested || self.steps > other.steps
    }

    fn check(self, who: &Node) -> Result<(), Error> {
        let over = |what: &str, limit: usize, actual: usize| {
            let message = format!("{who} would {what} {actual}; the limit is {limit}");
            Err(Error::invalid("what it asks for", message))
        };
        if self.nested > MAX_NESTED_EVALUATIONS {
            let what = "ask for other flags and segments, all told,";
            return over(what, MAX_NESTED_EVALUATIONS, self.nested);
        }
        if self.steps > MAX_CONDITION_STEPS {
            return over("look at conditions, all told,", MAX_CONDITION_STEPS, self.steps);
        }
        Ok(())
    }
}

/// Flags and segments of one environment, as far as they were read.
struct Graph<'t> {
    table: &'t dyn Table,
    org: &'t OrgKey,
    env: &'t EnvKey,
    asks: BTreeMap<Node, Asks>,
}

/// Refuses circles and what costs too much: of those who change, and of everybody who asks for them.
pub(in crate::plan) async fn check_cost(
    table: &dyn Table,
    (org, env): (&OrgKey, &EnvKey),
    asking: &[Asking],
) -> Result<(), Error> {
    let mut graph = Graph { table, org, env, asks: BTreeMap::new() };
    for Asking { subject, was, .. } in asking {
        graph.asks.insert(subject.clone(), was.clone());
    }
    for Asking { was, .. } in asking {
        graph.read_below(was).await?;
    }
    let before: Vec<Cost> =
        asking.iter().map(|one| graph.cost(&one.subject).unwrap_or_default()).collect();
    for Asking { subject, becomes, .. } in asking {
        graph.asks.insert(subject.clone(), becomes.clone());
    }
    for Asking { becomes, .. } in asking {
        graph.read_below(becomes).await?;
    }
    let mut dearer = Vec::new();
    for (Asking { subject, .. }, before) in asking.iter().zip(before) {
        let after = graph.cost(subject)?;
        after.check(subject)?;
        if after.exceeds(before) {
            dearer.push(subject);
        }
    }
    if dearer.is_empty() {
        return Ok(());
    }
    graph.read_others().await?;
    for user in graph.users_of(dearer) {
        if let Err(error) = graph.cost(&user).and_then(|cost| cost.check(&user))
            && stands(table, org, &user, graph.asks.get(&user)).await?
        {
            return Err(error);
        }
    }
    Ok(())
}

impl Graph<'_> {
    /// Reads whoever is asked, and whom they ask, and so on.
    async fn read_below(&mut self, from: &Asks) -> Result<(), Error> {
        let mut open: Vec<Node> = from.others.keys().cloned().collect();
        while let Some(node) = open.pop() {
            if self.asks.contains_key(&node) {
                continue;
            }
            let asks = read(self.table, self.org, self.env, &node).await?;
            open.extend(asks.others.keys().cloned());
            self.asks.insert(node, asks);
        }
        Ok(())
    }

    /// Reads everybody else of the environment. Those who are about to change are here already.
    async fn read_others(&mut self) -> Result<(), Error> {
        let users = Users::read(self.table, self.org, self.env).await?;
        for (node, asks) in users.asks {
            self.asks.entry(node).or_insert(asks);
        }
        Ok(())
    }

    fn cost(&self, node: &Node) -> Result<Cost, Error> {
        self.walk(node, &mut Vec::new(), &mut BTreeMap::new())
    }

    /// Recurses one level deeper than there may be, and then refuses.
    fn walk<'n>(
        &'n self,
        node: &'n Node,
        path: &mut Vec<&'n Node>,
        known: &mut BTreeMap<&'n Node, Cost>,
    ) -> Result<Cost, Error> {
        if let Some(cost) = known.get(node) {
            return within(path, node, *cost);
        }
        if path.contains(&node) {
            return Err(refused("a circle", path, node));
        }
        within(path, node, Cost::default())?;
        let Some(asks) = self.asks.get(node) else { return Ok(Cost::default()) };
        path.push(node);
        let steps = asks.conditions.max(LEAST_CONDITIONS);
        let mut sum = Cost { depth: 0, nested: 0, steps };
        for (other, (times, _)) in &asks.others {
            let cost = self.walk(other, path, known)?;
            sum.depth = sum.depth.max(cost.depth + 1);
            sum.nested = sum.nested.saturating_add(times.saturating_mul(cost.nested + 1));
            sum.steps = sum.steps.saturating_add(times.saturating_mul(cost.steps));
        }
        path.pop();
        known.insert(node, sum);
        Ok(sum)
    }

    /// Everybody who asks for one of `subjects`, at first or at second hand.
    fn users_of(&self, subjects: Vec<&Node>) -> BTreeSet<Node> {
        let mut askers: BTreeMap<&Node, Vec<&Node>> = BTreeMap::new();
        for (node, asks) in &self.asks {
            asks.others.keys().for_each(|other| askers.entry(other).or_default().push(node));
        }
        let (mut found, mut open) = (BTreeSet::new(), subjects);
        while let Some(node) = open.pop() {
            for asker in askers.get(node).into_iter().flatten() {
                if found.insert((*asker).clone()) {
                    open.push(asker);
                }
            }
        }
        found
    }
}

/// Holds a path and what is below its end against the depth there may be.
fn within(path: &[&Node], node: &Node, below: Cost) -> Result<Cost, Error> {
    if path.len() + below.depth > MAX_PREREQUISITE_DEPTH {
        let what = format!("more than {MAX_PREREQUISITE_DEPTH} levels deep");
        return Err(refused(&what, path, node));
    }
    Ok(below)
}

fn refused(what: &str, path: &[&Node], end: &Node) -> Error {
    let begin = if what == "a circle" { path.iter().position(|node| *node == end) } else { None };
    let steps = path.iter().skip(begin.unwrap_or(0)).copied().chain([end]);
    let told: Vec<String> = steps.map(ToString::to_string).collect();
    Error::invalid("what it asks for", format!("{what}: {}", told.join(" asks for ")))
}

async fn read(table: &dyn Table, org: &OrgKey, env: &EnvKey, node: &Node) -> Result<Asks, Error> {
    Ok(match node {
        Node::Segment(key) => {
            let found: Option<Stored<SegmentRecord>> =
                store::read(table, &place::segment(org, env, key)).await?;
            found.map(|s| Asks::of_segment(s.value.when.as_ref())).unwrap_or_default()
        }
        Node::Flag(key) => {
            let found: Option<Stored<StateRecord>> =
                store::read(table, &place::state(org, env, key)).await?;
            let Some(Stored { value: record, .. }) = found else { return Ok(Asks::default()) };
            let of = Some(record.flag_uid);
            let asks = Asks { of, ..Asks::of_state(&record.state) };
            let silent = asks.others.is_empty() || !stands(table, org, node, Some(&asks)).await?;
            if silent { Asks::default() } else { asks }
        }
    })
}

/// Whether a user counts: a state whose flag is gone, or was defined again, does not.
async fn stands(
    table: &dyn Table,
    org: &OrgKey,
    node: &Node,
    asks: Option<&Asks>,
) -> Result<bool, Error> {
    let Node::Flag(key) = node else { return Ok(true) };
    let definition: Option<Stored<Definition>> = store::read(table, &place::flag(org, key)).await?;
    let uid = asks.and_then(|asks| asks.of.as_deref());
    Ok(definition.is_some_and(|stored| uid.is_none_or(|uid| uid == stored.value.uid)))
}

/// Everybody of an environment who asks for anybody.
pub(in crate::plan) struct Users {
    asks: BTreeMap<Node, Asks>,
}

impl Users {
    /// Reads the whole environment: for changes that are rare, such as a deletion.
    pub(in crate::plan) async fn read(
        table: &dyn Table,
        org: &OrgKey,
        env: &EnvKey,
    ) -> Result<Self, Error> {
        let pk = place::env_pk(org, env);
        let mut asks = BTreeMap::new();
        let states: Vec<Stored<StateRecord>> = store::all(table, &pk, "STATE#").await?;
        for Stored { value, .. } in states {
            let of = Some(value.flag_uid);
            asks.insert(Node::Flag(value.flag), Asks { of, ..Asks::of_state(&value.state) });
        }
        let segments: Vec<Stored<SegmentRecord>> = store::all(table, &pk, "SEGMENT#").await?;
        for Stored { value, .. } in segments {
            let of_segment = Asks::of_segment(value.when.as_ref());
            asks.insert(Node::Segment(value.key), of_segment);
        }
        asks.retain(|_, asks: &mut Asks| !asks.others.is_empty());
        Ok(Self { asks })
    }

    /// Who asks for a segment, in words; `None`: nobody.
    pub(in crate::plan) async fn of_segment(
        &self,
        table: &dyn Table,
        org: &OrgKey,
        key: &SegmentKey,
    ) -> Result<Option<String>, Error> {
        let node = Node::Segment(key.clone());
        self.named(table, org, |asks| asks.others.contains_key(&node)).await
    }

    /// Who else asks for a flag.
    pub(in crate::plan) async fn of_flag(
        &self,
        table: &dyn Table,
        org: &OrgKey,
        key: &FlagKey,
    ) -> Result<Option<String>, Error> {
        let node = Node::Flag(key.clone());
        self.named(table, org, |asks| asks.others.contains_key(&node)).await
    }

    /// Who asks whether a flag answers a variant.
    pub(in crate::plan) async fn of_variant(
        &self,
        table: &dyn Table,
        org: &OrgKey,
        flag: &FlagKey,
        variant: &VariantKey,
    ) -> Result<Option<String>, Error> {
        let tested = (flag.clone(), variant.clone());
        self.named(table, org, |asks| asks.variants.contains_key(&tested)).await
    }

    async fn named(
        &self,
        table: &dyn Table,
        org: &OrgKey,
        asking: impl Fn(&Asks) -> bool,
    ) -> Result<Option<String>, Error> {
        let (mut first, mut more) = (None, 0_usize);
        for (node, asks) in self.asks.iter().filter(|(_, asks)| asking(asks)) {
            if first.is_some() {
                more += 1;
            } else if stands(table, org, node, Some(asks)).await? {
                first = Some(node.to_string());
            }
        }
        Ok(first.map(|first| match more {
            0 => format!("{first} asks for it"),
            more => format!("{first} and {more} more ask for it"),
        }))
    }
}
