//! What is tried out: for readers of the ring `canary` a flag is already as a scheduled change will make it. All else in
//! their manifest is the environment's, chunk by chunk.

use std::collections::BTreeMap;

use flagforge_flags::compile;
use flagforge_flags::manifest::{ChunkKind, encode_entries, encode_entry};
use flagforge_flags::wire::FlagWire;
use serde_json::value::RawValue;

use super::render::{Rendered, chunk};
use super::view::View;
use crate::plan::states::changed;
use crate::record::StateRecord;
use crate::schedule::Schedule;
use crate::store::Stored;

impl View {
    /// What the canaries' manifest is made of.
    pub(super) fn with_tried(&self, rendered: &Rendered) -> Rendered {
        let mut made = rendered.clone();
        if self.restored.is_some() {
            return made;
        }
        let mut by_shard: BTreeMap<u32, Vec<FlagWire>> = BTreeMap::new();
        for flag in self.tried.values().filter_map(|schedule| self.tried_form(&schedule.value)) {
            let shard = self.renderings.flags.shard_of(flag.key.as_str());
            by_shard.entry(shard).or_default().push(flag);
        }
        for (shard, flags) in by_shard {
            let tried: BTreeMap<&str, Box<RawValue>> =
                flags.iter().map(|flag| (flag.key.as_str(), encode_entry(flag))).collect();
            let entries = self.renderings.flags.entries_of(shard);
            let entries = entries.map(|(key, body)| (key, tried.get(key).map_or(body, |it| &**it)));
            let new = chunk(ChunkKind::Flags, shard, encode_entries(ChunkKind::Flags, entries));
            let of = |kind, number| kind == ChunkKind::Flags && number == shard;
            let place =
                made.chunks.iter_mut().find(|old| of(old.reference.kind, old.reference.shard));
            if let Some(place) = place {
                *place = new;
            }
        }
        made
    }

    /// A flag as the change will make it, where it still can.
    fn tried_form(&self, schedule: &Schedule) -> Option<FlagWire> {
        let flag = schedule.flag.as_str();
        if self.held.contains_key(flag) {
            return None;
        }
        let definition = &self.definitions.get(flag)?.value;
        let stored = self.states.get(flag);
        let stored = stored.filter(|state| state.value.flag_uid == definition.uid);
        let version = stored.map_or(crate::store::ABSENT, |state| state.version);
        if schedule.version.is_some_and(|wanted| wanted != version) {
            return None;
        }
        let initial = definition.initial_state();
        let standing = stored.map_or(&initial, |state| &state.value.state);
        let state = changed(&schedule.change, definition, standing).ok()?;
        let named = state.group_overrides.iter().map(|over| &over.group);
        let groups = named.filter_map(|key| {
            Some((key.clone(), self.groups.get(key.as_str())?.value.uid.clone()))
        });
        let groups = groups.collect();
        let (flag_uid, key) = (definition.uid.clone(), definition.key.clone());
        let value = StateRecord { flag: key, flag_uid, groups, state };
        // A number that no entry of the log has given to this state yet.
        let version = version + 1;
        let form = self.flag_in(flag, Some(&Stored { value, version }))?;
        compile(&form).is_ok().then_some(form)
    }
}
