//! What an answer is made from, as one number: two configurations with the same inputs give the same answers to
//! the same questions at the same instant and age. For whoever wants to hear of changes to one flag.

use std::collections::HashSet;
use std::fmt::{self, Write as _};

use xxhash_rust::xxh3::Xxh3;

use crate::condition::Condition;
use crate::fault::{EntryFault, FlagFault};
use crate::flag::Flag;
use crate::keys::TenantKey;
use crate::manifest::key_hash;
use crate::segment::{Ids, Segment};
use crate::snapshot::Snapshot;
use crate::tenant::Tenant;

/// The inputs of one flag's answers; see [`Snapshot::inputs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Inputs(u128);

impl Snapshot {
    /// The inputs of a flag's answers to one tenant, or to nobody: the flag, the flags and segments that it asks
    /// for, and of the tenant what they read. Other flags and other tenants are none. It is as long a walk as the
    /// flag is large, and allocates.
    pub fn inputs(&self, flag: &str, tenant: Option<&TenantKey>) -> Inputs {
        let mut walk = Walk::default();
        walk.ask(Node::Flag(flag));
        while let Some(node) = walk.next() {
            match node {
                Node::Flag(key) => walk.flag(key, self.flag(key)),
                Node::Segment(key) => walk.segment(key, self.segment(key)),
            }
        }
        if let Some(found) = tenant.and_then(|key| self.tenant(key.as_str())) {
            walk.tenant(found);
        }
        Inputs(walk.sink.0.digest128())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Node<'s> {
    Flag(&'s str),
    Segment(&'s str),
}

/// What was reached so far, in the order in which it was.
#[derive(Default)]
struct Walk<'s> {
    reached: Vec<Node<'s>>,
    known: HashSet<Node<'s>>,
    visited: usize,
    reads_tenant: bool,
    sink: Sink,
}

impl<'s> Walk<'s> {
    fn ask(&mut self, node: Node<'s>) {
        if self.known.insert(node) {
            self.reached.push(node);
        }
    }

    fn next(&mut self) -> Option<Node<'s>> {
        let node = self.reached.get(self.visited).copied()?;
        self.visited += 1;
        Some(node)
    }

    fn flag(&mut self, key: &str, found: Option<Result<&'s Flag, &FlagFault>>) {
        match found {
            Some(Ok(flag)) => {
                // The working form is the flag and nothing else, and printing it leaves nothing out.
                self.sink.note(format_args!("flag {key:?} {flag:?}"));
                self.reads_tenant |= flag.reads_tenant || !flag.killed_groups.is_empty();
                for other in &flag.prerequisites {
                    self.ask(Node::Flag(other.flag.as_str()));
                }
                for rule in &flag.rules {
                    self.condition(&rule.when);
                }
            }
            Some(Err(fault)) => self.sink.note(format_args!("bad flag {key:?} {fault:?}")),
            None => self.sink.note(format_args!("no flag {key:?}")),
        }
    }

    fn segment(&mut self, key: &str, found: Option<Result<&'s Segment, &FlagFault>>) {
        match found {
            Some(Ok(segment)) => {
                let Segment { version, entity, excluded, included, when, reads_tenant } = segment;
                self.sink.note(format_args!("segment {key:?} {version} {entity:?} {when:?}"));
                self.sink.ids(excluded.as_ref());
                self.sink.ids(included.as_ref());
                self.reads_tenant |= reads_tenant;
                if let Some(when) = when {
                    self.condition(when);
                }
            }
            Some(Err(fault)) => self.sink.note(format_args!("bad segment {key:?} {fault:?}")),
            None => self.sink.note(format_args!("no segment {key:?}")),
        }
    }

    /// As deep as conditions may be, and no deeper.
    fn condition(&mut self, condition: &'s Condition) {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().for_each(|part| self.condition(part));
            }
            Condition::Not(part) => self.condition(part),
            Condition::Elements(elements) => self.condition(&elements.when),
            Condition::InSegment(segment) => self.ask(Node::Segment(segment.key.as_str())),
            Condition::Flag(test) => self.ask(Node::Flag(test.flag.as_str())),
            Condition::Always
            | Condition::Test(_)
            | Condition::InGroup(_)
            | Condition::Rollout(_) => {}
        }
    }

    fn tenant(&mut self, found: Result<&Tenant, Option<&EntryFault>>) {
        let tenant = match found {
            Ok(tenant) => tenant,
            Err(fault) => return self.sink.note(format_args!("bad tenant {fault:?}")),
        };
        if self.reads_tenant {
            let (attributes, groups) = (tenant.attributes(), tenant.groups());
            self.sink.note(format_args!("tenant {attributes:?} {groups:?}"));
        }
        let flags = self.reached.iter().filter_map(|node| match node {
            Node::Flag(key) => Some(*key),
            Node::Segment(_) => None,
        });
        for key in flags {
            if let Some(entry) = tenant.override_of(key_hash(key), key) {
                self.sink.note(format_args!("override {key:?} {entry:?}"));
            }
        }
    }
}

/// Text that is hashed and not kept.
#[derive(Default)]
struct Sink(Xxh3);

impl Sink {
    fn note(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a hash cannot fail, and what it was given before stays in it.
        let _ = self.write_fmt(text);
        self.0.update(b"\n");
    }

    /// A million hashes as the bytes that they are: printed they would take a hundred times as long.
    fn ids(&mut self, ids: Option<&Ids>) {
        match ids {
            Some(Ids::Hashed { seed, hashes }) => {
                self.note(format_args!("hashed {seed}"));
                hashes.slots().for_each(|slot| self.0.update(&slot.to_le_bytes()));
                self.0.update(b"\n");
            }
            Some(Ids::Digests(digests)) => self.note(format_args!("digests {digests:?}")),
            Some(Ids::Keys(keys)) => self.note(format_args!("keys {keys:?}")),
            None => self.note(format_args!("nobody")),
        }
    }
}

impl fmt::Write for Sink {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn flag(key: &str, edit: impl FnOnce(&mut Json)) -> Json {
        let mut wire = json!({
            "key": key, "version": 3, "class": "release", "type": "boolean",
            "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
            "state": {
                "enabled": true, "off": {"variant": "off"}, "fallthrough": {"variant": "off"},
            },
        });
        edit(&mut wire);
        wire
    }

    fn rule(when: &Json) -> Json {
        json!([{"id": "r", "when": when, "serve": {"variant": "on"}}])
    }

    /// `asks` asks for `first` and the segment `beta`; the segment asks for `second`. `alone` asks nothing, and
    /// `plan` asks about the tenant.
    fn world() -> Json {
        let asks = flag("asks", |wire| {
            wire["state"]["prerequisites"] = json!([{"flag": "first", "is": "enabled"}]);
            wire["state"]["rules"] = rule(&json!({"not": {"inSegment": "beta"}}));
        });
        let plan = json!({"attribute": "tenant.plan", "operator": "equals", "values": ["gold"]});
        let segment = json!({
            "key": "beta", "version": 1, "entity": "user", "included": {"keys": ["u-1"]},
            "when": {"flag": {"flag": "second", "is": "off"}},
        });
        let acme = json!({"uid": "1", "attributes": {"plan": "gold"}, "groups": ["g"]});
        json!({
            "flags": {
                "asks": asks, "first": flag("first", |_| {}), "second": flag("second", |_| {}),
                "alone": flag("alone", |_| {}),
                "plan": flag("plan", |wire| wire["state"]["rules"] = rule(&json!({"test": plan}))),
            },
            "segments": {"beta": segment},
            "tenants": {"acme": acme, "globex": {"uid": "2"}},
        })
    }

    fn snapshot(world: &Json) -> Snapshot {
        let scope = json!({"org": "demo", "env": "test", "scope": "environment"});
        let values = |name: &str| world[name].as_object().unwrap().clone().into_iter();
        let flags = values("flags").map(|(_, wire)| serde_json::from_value(wire).unwrap());
        let tenants = values("tenants").map(|(key, wire)| {
            (TenantKey::new(&key).unwrap(), serde_json::from_value(wire).unwrap())
        });
        let segments = values("segments").map(|(_, wire)| serde_json::from_value(wire).unwrap());
        let scope = serde_json::from_value(scope).unwrap();
        let revision = "1.1".parse().unwrap();
        Snapshot::from_parts(scope, revision, flags, tenants).with_segments(segments)
    }

    /// For which of the flags, asked for acme, an edit of the world changes the inputs.
    #[track_caller]
    fn changes(edit: impl FnOnce(&mut Json), expected: &[&str]) {
        let before = world();
        let mut after = before.clone();
        edit(&mut after);
        assert_ne!(before, after);
        let (before, after) = (snapshot(&before), snapshot(&after));
        let acme = TenantKey::new("acme").unwrap();
        let inputs = |snapshot: &Snapshot, key| snapshot.inputs(key, Some(&acme));
        let mut changed = vec!["asks", "first", "second", "alone", "plan", "new"];
        changed.retain(|key| inputs(&before, key) != inputs(&after, key));
        assert_eq!(changed, expected);
    }

    #[test]
    fn the_same_world_has_the_same_inputs() {
        let (one, other) = (snapshot(&world()), snapshot(&world()));
        for key in ["asks", "alone", "plan", "new"] {
            assert_eq!(one.inputs(key, None), other.inputs(key, None));
        }
        assert_ne!(one.inputs("asks", None), one.inputs("alone", None));
    }

    #[test]
    fn a_flag_is_its_own_input_and_that_of_those_who_ask_for_it() {
        let enabled = |key: &'static str| {
            move |world: &mut Json| world["flags"][key]["state"]["enabled"] = json!(false)
        };
        changes(enabled("alone"), &["alone"]);
        changes(enabled("first"), &["asks", "first"]);
        changes(enabled("second"), &["asks", "second"]);
        changes(|world| world["flags"]["alone"]["killedGroups"] = json!(["g"]), &["alone"]);
        changes(|world| world["flags"]["alone"]["version"] = json!(4), &["alone"]);
        changes(|world| world["flags"]["alone"]["variants"][1]["value"] = json!(7), &["alone"]);
        changes(|world| world["flags"]["new"] = flag("new", |_| {}), &["new"]);
        let gone =
            |world: &mut Json| drop(world["flags"].as_object_mut().unwrap().remove("second"));
        changes(gone, &["asks", "second"]);
    }

    #[test]
    fn a_segment_is_an_input_of_those_who_ask_for_it() {
        let keys = json!({"keys": ["u-1", "u-2"]});
        changes(|world| world["segments"]["beta"]["included"] = keys, &["asks"]);
        let hashed = |keys: &[&str]| {
            let wire = crate::hashed_ids("salt", keys.iter().copied());
            let wire = serde_json::to_value(wire).unwrap();
            let mut world = world();
            world["segments"]["beta"]["excluded"] = wire;
            snapshot(&world).inputs("asks", None)
        };
        assert_eq!(hashed(&["a", "b"]), hashed(&["b", "a"]));
        assert_ne!(hashed(&["a", "b"]), hashed(&["a", "c"]));
    }

    #[test]
    fn of_a_tenant_only_what_is_read_is_an_input() {
        changes(|world| world["tenants"]["acme"]["attributes"] = json!({}), &["plan"]);
        changes(|world| world["tenants"]["acme"]["groups"] = json!([]), &["plan"]);
        changes(|world| world["tenants"]["globex"]["attributes"] = json!({"plan": "x"}), &[]);
        let overridden = |tenant: &'static str, flag: &'static str| {
            move |world: &mut Json| world["tenants"][tenant]["overrides"] = json!({flag: "on"})
        };
        changes(overridden("acme", "alone"), &["alone"]);
        changes(overridden("acme", "second"), &["asks", "second"]);
        changes(overridden("globex", "alone"), &[]);
    }

    #[test]
    fn flags_that_ask_in_a_circle_end_the_walk() {
        let test = json!({"flag": {"flag": "asks", "is": "off"}});
        changes(
            |world| world["flags"]["second"]["state"]["rules"] = rule(&test),
            &["asks", "second"],
        );
    }
}
