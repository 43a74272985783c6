//! Flags that are held: what cannot be published as it is goes on in its last good form, and holds up nothing else. A
//! kill passes all the same (DESIGN §7).

use std::collections::{BTreeMap, BTreeSet};

use flagforge_flags::keys::FlagKey;
use flagforge_flags::manifest::{
    ChunkKind, HeldFlag, Listing, MAX_HELD, Root, Scope, ScopeId, Trust, entries, flag_shard,
};
use flagforge_flags::wire::FlagWire;
use flagforge_flags::{Revision, compile};
use serde_json::Value as Json;

use super::owed::Owed;
use super::view::View;
use crate::Platform;
use crate::error::Error;
use crate::kills::{KillScope, Killed};

/// A flag that is held, and as what.
#[derive(Debug)]
pub(super) struct Held {
    since: Revision,
    /// As it was last published; `None` when it never was: then it waits outside.
    form: Option<FlagWire>,
}

/// A record that this publisher cannot read: a newer writer's, or damage.
#[derive(Debug)]
pub(super) struct Unreadable {
    why: String,
    /// What a state says of the switch, and either of which flag it is: that is understood even so.
    enabled: Option<bool>,
    uid: Option<String>,
}

impl Unreadable {
    pub(super) fn new(why: &serde_json::Error, body: &Json) -> Self {
        let enabled = body.pointer("/state/enabled").and_then(Json::as_bool);
        let uid = body.get("uid").or_else(|| body.get("flagUid"));
        let uid = uid.and_then(Json::as_str).map(str::to_owned);
        Self { why: why.to_string(), enabled, uid }
    }
}

fn of_definition(flag: &str) -> String {
    format!("FLAG#{flag}")
}

fn of_state(flag: &str) -> String {
    format!("STATE#{flag}")
}

impl View {
    /// Which flag it is that has a key.
    pub(super) fn flag_uid(&self, flag: &str) -> Option<&str> {
        match self.definitions.get(flag) {
            Some(definition) => Some(&definition.value.uid),
            None => self.unreadable.get(&of_definition(flag))?.uid.as_deref(),
        }
    }

    /// What the root says of the flags that are held: as many as it may name.
    pub(super) fn held_flags(&self) -> Vec<HeldFlag> {
        let named = self.held.iter().filter_map(|(flag, held)| {
            Some(HeldFlag { flag: FlagKey::new(flag).ok()?, since: held.since })
        });
        named.take(MAX_HELD).collect()
    }

    /// The flags to look at before they are made again.
    fn to_be_checked(&self) -> BTreeSet<String> {
        match &self.renderings.owed_flags {
            Owed::These(keys) => keys.clone(),
            Owed::All => {
                let unreadable = self.unreadable.keys().filter_map(|sk| sk.split_once('#'));
                let unreadable = unreadable.map(|(_, flag)| flag.to_owned());
                let known = self.definitions.keys().chain(self.held.keys()).cloned();
                known.chain(unreadable).collect()
            }
        }
    }

    /// Why a flag cannot be published as it is.
    fn fault_of(&self, flag: &str) -> Option<String> {
        let definition = self.unreadable.get(&of_definition(flag));
        match definition.or_else(|| self.unreadable_state(flag)) {
            Some(unreadable) => Some(unreadable.why.clone()),
            None => compile(&self.flag(flag)?).err().map(|fault| fault.to_string()),
        }
    }

    /// The state that a flag has, where it cannot be read; not one that is left of another flag of its key.
    fn unreadable_state(&self, flag: &str) -> Option<&Unreadable> {
        let state = self.unreadable.get(&of_state(flag))?;
        let uid = self.flag_uid(flag)?;
        state.uid.as_deref().is_none_or(|of| of == uid).then_some(state)
    }

    /// A held flag as manifests carry it: in its last good form, and off where it is off by now.
    pub(super) fn held_form(&self, flag: &str) -> Option<FlagWire> {
        let mut form = self.held.get(flag)?.form.clone()?;
        let enabled = match self.unreadable_state(flag) {
            Some(unreadable) => unreadable.enabled,
            None => self.flag(flag).map(|now| now.state.enabled),
        };
        form.state.enabled &= enabled.unwrap_or(true);
        Some(self.killed(form))
    }

    /// An earlier form of a flag, with the kill switches that count today.
    pub(super) fn killed(&self, mut form: FlagWire) -> FlagWire {
        match self.definitions.get(form.key.as_str()) {
            Some(definition) => Killed::of(self.pulled(), &definition.value).onto(&mut form),
            // Its domain and tags are not known; the whole environment is.
            None => form.state.enabled &= !self.is_all_off(),
        }
        form
    }
}

impl View {
    /// A flag that is not there and goes on all the same: as it was, but for kill switches of the whole environment.
    pub(super) fn kept_form(&self, flag: &str) -> Option<FlagWire> {
        Some(self.killed(self.kept.flags.get(flag)?.clone()))
    }

    /// Whether a kill switch of the whole environment is pulled, for everybody.
    fn is_all_off(&self) -> bool {
        let whole = |scope: &KillScope| matches!(scope, KillScope::Environment);
        let mut all = self.pulled().map(|pulled| &pulled.value);
        all.any(|pulled| whole(&pulled.scope) && pulled.group.is_none())
    }
}

impl Platform {
    /// Holds the flags that cannot be published as they are, and lets go of those that can be again.
    pub(super) async fn hold(&self, view: &mut View, trust: &Trust) -> Result<(), Error> {
        if view.restored.is_some() {
            return Ok(());
        }
        // Read when the first flag asks for it, and once for all.
        let mut stands = None;
        for flag in view.to_be_checked() {
            let Some(why) = view.fault_of(&flag) else {
                if view.held.remove(&flag).is_some() {
                    tracing::info!(org = %view.org, env = %view.env, flag, "no longer held");
                }
                continue;
            };
            if view.held.contains_key(&flag) {
                continue;
            }
            let form = match view.renderings.flags.entry(&flag) {
                Some(published) => serde_json::from_str(published.get()).ok(),
                None => {
                    let stands = match &mut stands {
                        Some(stands) => stands,
                        none => none.insert(self.what_stands(view, trust).await?),
                    };
                    self.published_form(view, &flag, stands).await?
                }
            };
            let (org, env, known) = (&view.org, &view.env, form.is_some());
            tracing::error!(%org, %env, flag, why, last_good_form = known, alarm = "held", "a flag is held");
            view.held.insert(flag, Held { since: view.revision, form });
        }
        Ok(())
    }

    /// The root that stands with all that it lists; `None` where there is none that is trusted.
    async fn what_stands(
        &self,
        view: &View,
        trust: &Trust,
    ) -> Result<Option<(Root, Listing)>, Error> {
        let id =
            ScopeId { org: view.org.clone(), env: view.env.clone(), scope: Scope::Environment };
        let Some(root) = self.standing(&id, trust).await?.root else { return Ok(None) };
        let listing = self.listing(&root).await?;
        Ok(Some((root, listing)))
    }

    /// A flag as the root that stands has it.
    async fn published_form(
        &self,
        view: &View,
        flag: &str,
        stands: &Option<(Root, Listing)>,
    ) -> Result<Option<FlagWire>, Error> {
        let Some((root, listing)) = stands else { return Ok(None) };
        let shard = flag_shard(flag, root.claims().flag_shards);
        let here = listing.chunks().find(|c| c.kind == ChunkKind::Flags && c.shard == shard);
        let Some(chunk) = here else { return Ok(None) };
        let Some(bytes) = self.part(&view.org, &chunk.named()).await? else { return Ok(None) };
        let Ok(entries) = entries(&bytes, ChunkKind::Flags) else { return Ok(None) };
        let entry = entries.into_iter().find(|(key, _)| key == flag);
        Ok(entry.and_then(|(_, entry)| serde_json::from_str(entry.get()).ok()))
    }

    /// All that a root lists, as it stands in the store.
    pub(super) async fn listing(&self, root: &Root) -> Result<Listing, Error> {
        let mut indexes = BTreeMap::new();
        for named in Listing::lacking(root, None) {
            if let Some(bytes) = self.part(&root.claims().org, named).await? {
                indexes.insert(named.sha256, bytes);
            }
        }
        Listing::of(root, &mut |digest| indexes.get(digest), None)
            .map_err(|refusal| Error::internal("an index of a standing root is damaged", refusal))
    }
}
