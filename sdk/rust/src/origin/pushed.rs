//! What a stream of announcements brought along: the new root and the chunks that it added. It is taken in place of a
//! request, once, and verified as an answer would be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use flagforge_flags::manifest::{Digest, ScopeId};
use serde::{Deserialize, Serialize};

use super::{Announcement, MAX_PUSHED_BYTES};

/// Scopes of which something is held at a time: of [`MAX_PUSHED_BYTES`] each 2 MiB. A push beyond them is a ring.
const MAX_SCOPES: usize = 64;

/// The data of an event that brings a root along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// What any event of the stream says.
    #[serde(flatten)]
    pub announcement: Announcement,
    /// The root as it was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Chunks that this root names and the one before it did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chunks: Vec<String>,
}

/// The newest push of each scope, until it is taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Pushed(Arc<Mutex<HashMap<ScopeId, Held>>>);

#[derive(Debug)]
struct Held {
    root: Option<Bytes>,
    chunks: HashMap<Digest, Bytes>,
}

impl Pushed {
    /// Keeps what came. Whatever of the scope was there before is of an older root.
    pub(super) fn keep(&self, scope: &ScopeId, push: Push) {
        let bytes = push.root.iter().chain(&push.chunks).map(String::len).sum::<usize>();
        let mut held = self.held();
        held.remove(scope);
        let Some(root) = push.root else { return };
        if bytes > MAX_PUSHED_BYTES || held.len() >= MAX_SCOPES {
            return;
        }
        let chunks = push.chunks.into_iter().map(Bytes::from);
        let chunks = chunks.map(|bytes| (Digest::of(&bytes), bytes)).collect();
        held.insert(scope.clone(), Held { root: Some(root.into()), chunks });
    }

    /// The root that came, if it is not the one with this tag, and its tag. It is taken once: whoever finds it no good asks.
    pub(super) fn root(&self, scope: &ScopeId, tag: Option<&str>) -> Option<(Bytes, String)> {
        let root = self.held().get_mut(scope)?.root.take()?;
        let its = format!("\"{}\"", Digest::of(&root));
        (tag != Some(&its)).then_some((root, its))
    }

    /// A chunk that came with it.
    pub(super) fn chunk(&self, scope: &ScopeId, digest: &Digest) -> Option<Bytes> {
        self.held().get_mut(scope)?.chunks.remove(digest)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<ScopeId, Held>> {
        // Every change of it is whole, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
    use flagforge_flags::manifest::Scope;

    fn scope(tenant: &str) -> ScopeId {
        let (org, env) = (OrgKey::new("o").unwrap(), EnvKey::new("e").unwrap());
        ScopeId { org, env, scope: Scope::Tenant(TenantKey::new(tenant).unwrap()) }
    }

    fn push(root: &str, chunks: &[&str]) -> Push {
        let announcement = Announcement { revision: "1.2".into(), serial: 3 };
        let chunks = chunks.iter().map(|text| (*text).to_owned()).collect();
        Push { announcement, root: Some(root.into()), chunks }
    }

    #[test]
    fn it_is_taken_once_and_by_its_own_scope() {
        let (pushed, acme, other) = (Pushed::default(), scope("acme"), scope("other"));
        pushed.keep(&acme, push("root", &["a", "b"]));
        let tag = format!("\"{}\"", Digest::of(b"root"));
        assert_eq!(pushed.root(&other, None), None);
        assert_eq!(pushed.chunk(&other, &Digest::of(b"a")), None);
        assert_eq!(pushed.root(&acme, Some("\"x\"")), Some((Bytes::from("root"), tag.clone())));
        assert_eq!(pushed.root(&acme, None), None, "taken once");
        assert_eq!(pushed.chunk(&acme, &Digest::of(b"a")), Some(Bytes::from("a")));
        assert_eq!(pushed.chunk(&acme, &Digest::of(b"a")), None);
        pushed.keep(&acme, push("root", &[]));
        assert_eq!(pushed.root(&acme, Some(&tag)), None, "it is held already");
        pushed.keep(&acme, push("root", &["a"]));
        pushed.keep(&acme, Push { root: None, ..push("", &[]) });
        assert_eq!(pushed.root(&acme, None), None, "a ring ends what came before it");
        assert_eq!(pushed.chunk(&acme, &Digest::of(b"a")), None);
    }

    #[test]
    fn bytes_and_scopes_at_their_limits_and_one_past() {
        let (pushed, acme) = (Pushed::default(), scope("acme"));
        let chunk = "c".repeat(MAX_PUSHED_BYTES - 1);
        pushed.keep(&acme, push("r", &[&chunk]));
        assert!(pushed.root(&acme, None).is_some());
        pushed.keep(&acme, push("rr", &[&chunk]));
        assert!(pushed.root(&acme, None).is_none());
        let scopes: Vec<ScopeId> = (0..=MAX_SCOPES).map(|n| scope(&format!("t{n}"))).collect();
        scopes.iter().for_each(|scope| pushed.keep(scope, push("r", &[])));
        let held = scopes.iter().filter(|scope| pushed.root(scope, None).is_some()).count();
        assert_eq!(held, MAX_SCOPES);
    }
}
