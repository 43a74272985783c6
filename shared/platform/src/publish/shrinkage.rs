//! So much gone at once that it is more likely lost than meant: what is gone goes on being published, the root says so,
//! and everything else passes, until somebody says that it is meant. Keys are not among it: one that is revoked is
//! refused at once.

use std::collections::BTreeMap;
use std::time::Duration;

use flagforge_flags::manifest::{ChunkKind, EntryCounts, Root, Withheld, entries};
use flagforge_flags::wire::{FlagWire, SegmentWire};
use serde_json::value::RawValue;

use super::view::View;
use crate::Platform;
use crate::error::Error;

/// Of a kind so many may go at once without a question, and any number of which half stays. What goes at once is what went
/// since the root before, some tens of milliseconds ago: a person deletes one of them by hand.
pub const MAY_GO_AT_ONCE: u64 = 20;
/// The last of a kind may go at once where they are so few.
pub const MAY_END_AT_ONCE: u64 = 3;
/// How long it counts that somebody said that it is meant: longer than a publisher that is tried again, every minute,
/// is away; and too short for another day's accident.
pub const ACCEPTED_FOR: Duration = Duration::from_secs(3_600);

/// The kinds that are looked at.
const KINDS: [ChunkKind; 3] = [ChunkKind::Flags, ChunkKind::Tenants, ChunkKind::Segments];

/// Whether so few after so many are to be asked about.
const fn is_suspicious(before: u64, after: u64) -> bool {
    let gone = before.saturating_sub(after);
    let most = gone > MAY_GO_AT_ONCE && gone > before / 2;
    let all = after == 0 && before > MAY_END_AT_ONCE;
    most || all
}

/// What is gone, and published all the same.
#[derive(Debug, Default)]
pub(super) struct Kept {
    kinds: Vec<Withheld>,
    /// Flags as they were, for kill switches to be written on.
    pub(super) flags: BTreeMap<String, FlagWire>,
    pub(super) segments: BTreeMap<String, SegmentWire>,
}

impl Kept {
    /// Whether removals of a kind wait.
    pub(super) fn has(&self, kind: ChunkKind) -> bool {
        self.kinds.iter().any(|withheld| withheld.kind == kind)
    }

    /// As the root says it.
    pub(super) fn named(&self) -> Vec<Withheld> {
        self.kinds.clone()
    }
}

impl View {
    /// How many there are of each kind.
    fn there(&self) -> EntryCounts {
        let unread = self.unreadable.keys().filter_map(|sk| sk.strip_prefix("FLAG#"));
        let unread = unread.filter(|flag| !self.definitions.contains_key(*flag)).count();
        EntryCounts {
            flags: (self.definitions.len() + unread) as u64,
            tenants: self.tenants.len() as u64,
            segments: self.segments.len() as u64,
        }
    }

    /// Whether a flag is not there, and goes on all the same.
    pub(super) fn is_kept(&self, flag: &str) -> bool {
        self.kept.flags.contains_key(flag) && !self.definitions.contains_key(flag)
    }
}

impl Platform {
    /// Holds what is there against a root that stands, and takes from it what is gone and shall go on; or lets go of what is
    /// meant to be gone. Answers whether anything is to be rendered again.
    pub(super) async fn withhold(
        &self,
        view: &mut View,
        standing: Option<&Root>,
    ) -> Result<bool, Error> {
        let Some(root) = standing.filter(|_| view.restored.is_none()) else { return Ok(false) };
        let (Some(before), after) = (root.claims().counts, view.there()) else { return Ok(false) };
        let now = self.timer().now();
        let accepted = view.manifest.as_ref().and_then(|record| record.accepted.as_ref());
        let accepted = accepted.filter(|accepted| now.since(accepted.at) < ACCEPTED_FOR);
        let accepted = accepted.map(|accepted| accepted.down_to);
        let mut changed = false;
        for kind in KINDS {
            let (Some(before), Some(there)) = (before.of(kind), after.of(kind)) else { continue };
            let lowest = accepted.and_then(|accepted| accepted.of(kind));
            let meant = lowest.is_some_and(|lowest| there >= lowest);
            if !is_suspicious(before, there) || meant {
                changed |= view.let_go(kind);
                continue;
            }
            let since = view.revision;
            match view.kept.kinds.iter_mut().find(|withheld| withheld.kind == kind) {
                Some(withheld) if withheld.there <= there => withheld.there = there,
                Some(withheld) => {
                    withheld.there = there;
                    self.take_over(view, root, kind).await?;
                    changed = true;
                }
                None => {
                    let (org, env) = (&view.org, &view.env);
                    tracing::error!(%org, %env, %kind, before, there, alarm = "withheld",
                        "so much is gone at once that it goes on being published");
                    let said = root.claims().withheld.iter().find(|said| said.kind == kind);
                    let since = said.map_or(since, |said| said.since);
                    view.kept.kinds.push(Withheld { kind, there, since });
                    self.take_over(view, root, kind).await?;
                    changed = true;
                }
            }
        }
        Ok(changed)
    }

    /// Takes from a root what is not there any more.
    async fn take_over(&self, view: &mut View, root: &Root, kind: ChunkKind) -> Result<(), Error> {
        let listing = self.listing(root).await?;
        let chunks: Vec<_> = listing.chunks().filter(|chunk| chunk.kind == kind).collect();
        for chunk in chunks {
            let Some(bytes) = self.part(&view.org, &chunk.named()).await? else {
                let context = "a chunk of a standing root is missing";
                return Err(Error::Internal { context, source: None });
            };
            let entries = entries(&bytes, kind).map_err(|refusal| {
                Error::internal("a chunk of a standing root is damaged", refusal)
            })?;
            entries.iter().for_each(|(key, entry)| view.keep(kind, key, entry));
        }
        Ok(())
    }
}

impl View {
    /// Keeps an entry of a root, if what it was made of is gone.
    fn keep(&mut self, kind: ChunkKind, key: &str, entry: &RawValue) {
        match kind {
            ChunkKind::Flags if !self.definitions.contains_key(key) => {
                // What was off by a kill switch stays off, also after its end: it was not seen otherwise.
                if let Ok(flag) = serde_json::from_str(entry.get()) {
                    self.kept.flags.insert(key.to_owned(), flag);
                    self.renderings.owed_flags.add(key);
                    self.owe_overrides_of(key);
                }
            }
            ChunkKind::Tenants if !self.tenants.contains_key(key) => {
                self.renderings.tenants.set(key, Some(&entry));
            }
            ChunkKind::Segments if !self.segments.contains_key(key) => {
                if let Ok(segment) = serde_json::from_str(entry.get()) {
                    self.kept.segments.insert(key.to_owned(), segment);
                }
            }
            _ => {}
        }
    }

    fn let_go(&mut self, kind: ChunkKind) -> bool {
        let before = self.kept.kinds.len();
        self.kept.kinds.retain(|withheld| withheld.kind != kind);
        if self.kept.kinds.len() == before {
            return false;
        }
        tracing::info!(org = %self.org, env = %self.env, %kind, "nothing is withheld any more");
        match kind {
            ChunkKind::Flags => {
                let gone: Vec<String> = std::mem::take(&mut self.kept.flags).into_keys().collect();
                gone.iter().for_each(|flag| self.owe_overrides_of(flag));
                self.renderings.owed_flags.add_all();
            }
            ChunkKind::Tenants => self.renderings.owed_tenants.add_all(),
            ChunkKind::Segments => self.kept.segments.clear(),
            ChunkKind::Keys | ChunkKind::Unknown => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_about() {
        let few = MAY_GO_AT_ONCE;
        // So many may go, whatever is left; and of more, half.
        assert!(!is_suspicious(few + 1, 1) && !is_suspicious(few + 5, 5));
        assert!(is_suspicious(few + 2, 1));
        assert!(!is_suspicious(100, 50) && is_suspicious(100, 49));
        assert!(!is_suspicious(101, 51) && is_suspicious(101, 50));
        // The last ones.
        assert!(!is_suspicious(MAY_END_AT_ONCE, 0) && is_suspicious(MAY_END_AT_ONCE + 1, 0));
        assert!(!is_suspicious(0, 0) && !is_suspicious(5, 500));
    }
}
