use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_flags::manifest::{PublicKey, SecretKey, Trust, verify_trust};
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{
    ETag, Fetched, ListedObject, ObjectError, Objects, PutIf, SystemTimer,
};
use tempfile::TempDir;

use super::{LocalRoot, TRUST_LIFETIME, TRUST_RENEWAL, TrustError, ensure_trust};
use crate::{InjectedFault, MemoryObjects};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const MILLISECOND: Duration = Duration::from_millis(1);

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32]).unwrap()
}

fn root() -> LocalRoot {
    LocalRoot::Memory(key(1))
}

fn online() -> PublicKey {
    key(2).public()
}

async fn text(objects: &dyn Objects, name: &str) -> Option<Bytes> {
    match objects.get(name, None).await.unwrap() {
        Fetched::Found { bytes, .. } => Some(bytes),
        Fetched::Absent | Fetched::NotModified => None,
    }
}

/// Walks as an SDK that pinned the root long ago does: from number 1 to the current one, each there and each following.
async fn walk(objects: &dyn Objects) -> Trust {
    let current = text(objects, "trust.json").await.unwrap();
    let first = text(objects, "trust/1.json").await.unwrap();
    let mut trust = verify_trust(&first, &[key(1).public().thumbprint()]).unwrap();
    while trust.text().as_bytes() != &current[..] {
        let next = text(objects, &format!("trust/{}.json", trust.claims().number + 1)).await;
        trust = trust.succeed(&next.unwrap()).unwrap();
    }
    let beyond = text(objects, &format!("trust/{}.json", trust.claims().number + 1)).await;
    assert!(beyond.is_none(), "there is a document that `trust.json` does not know of");
    trust
}

#[tokio::test]
async fn the_first_document_names_the_key_and_ends_in_a_year() {
    let objects = MemoryObjects::new(Arc::new(SystemTimer));
    let made = ensure_trust(&root(), &online(), &objects, NOW).await.unwrap();
    assert_eq!(made.root, key(1).public().thumbprint());
    let claims = walk(&objects).await.claims().clone();
    assert_eq!((claims.number, claims.epoch, claims.threshold), (1, 1, 1));
    assert_eq!((claims.issued, claims.expires), (NOW, NOW.plus(TRUST_LIFETIME)));
    assert_eq!((claims.roots, claims.online), (vec![key(1).public()], vec![online()]));
}

#[tokio::test]
async fn a_document_stays_until_thirty_days_before_its_end() {
    let objects = MemoryObjects::new(Arc::new(SystemTimer));
    ensure_trust(&root(), &online(), &objects, NOW).await.unwrap();
    let renewal = NOW.plus(TRUST_LIFETIME - TRUST_RENEWAL);
    for now in [NOW, NOW.plus(MILLISECOND), NOW.plus(TRUST_LIFETIME - TRUST_RENEWAL - MILLISECOND)]
    {
        let held = ensure_trust(&root(), &online(), &objects, now).await.unwrap();
        assert_eq!(held.trust.claims().number, 1);
    }
    let renewed = ensure_trust(&root(), &online(), &objects, renewal).await.unwrap();
    assert_eq!(renewed.trust.claims().number, 2);
    assert_eq!(renewed.trust.claims().expires, renewal.plus(TRUST_LIFETIME));
    assert_eq!(walk(&objects).await.claims(), renewed.trust.claims());
    // One that is long over is followed all the same.
    let late = renewal.plus(3 * TRUST_LIFETIME);
    let renewed = ensure_trust(&root(), &online(), &objects, late).await.unwrap();
    assert_eq!(renewed.trust.claims().number, 3);
}

#[tokio::test]
async fn another_online_key_makes_a_document_without_the_old_one() {
    let objects = MemoryObjects::new(Arc::new(SystemTimer));
    ensure_trust(&root(), &online(), &objects, NOW).await.unwrap();
    let new = key(3).public();
    let made = ensure_trust(&root(), &new, &objects, NOW.plus(MILLISECOND)).await.unwrap();
    assert_eq!((made.trust.claims().number, &made.trust.claims().online), (2, &vec![new]));
    walk(&objects).await;
}

/// Objects of a process that dies: after a number of operations none is carried out, or the last is and nobody hears of it.
#[derive(Debug)]
struct Dying {
    inner: Arc<MemoryObjects>,
    left: AtomicI64,
    last_is_done: bool,
}

impl Dying {
    fn dies(&self) -> (bool, bool) {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        (left <= 0, left == 0 && self.last_is_done)
    }
}

fn dead() -> ObjectError {
    ObjectError::Unavailable(Box::new(InjectedFault))
}

#[async_trait]
impl Objects for Dying {
    async fn get(&self, name: &str, held: Option<&ETag>) -> Result<Fetched, ObjectError> {
        match self.dies() {
            (true, _) => Err(dead()),
            _ => self.inner.get(name, held).await,
        }
    }

    async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        content_type: &str,
        condition: PutIf,
    ) -> Result<ETag, ObjectError> {
        match self.dies() {
            (true, false) => Err(dead()),
            (true, true) => {
                self.inner.put(name, bytes, content_type, condition).await?;
                Err(dead())
            }
            _ => self.inner.put(name, bytes, content_type, condition).await,
        }
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, ObjectError> {
        self.inner.list(prefix, after).await
    }

    async fn delete(&self, name: &str, before: Timestamp) -> Result<bool, ObjectError> {
        self.inner.delete(name, before).await
    }
}

/// Readers come at any moment: whatever `trust.json` is, its number can be asked for.
async fn points_to_what_is_there(objects: &MemoryObjects) {
    let Some(current) = text(objects, "trust.json").await else { return };
    let trust = verify_trust(&current, &[key(1).public().thumbprint()]).unwrap();
    let numbered = text(objects, &format!("trust/{}.json", trust.claims().number)).await;
    assert_eq!(numbered.as_ref(), Some(&current));
}

#[tokio::test]
async fn a_crash_between_any_two_steps_is_gone_on_from() {
    // From nothing, and from a document that must be renewed.
    for renews in [false, true] {
        let mut crashes = 0;
        for left in 0..20 {
            for last_is_done in [false, true] {
                let inner = Arc::new(MemoryObjects::new(Arc::new(SystemTimer)));
                let mut now = NOW;
                if renews {
                    ensure_trust(&root(), &online(), &*inner, now).await.unwrap();
                    now = NOW.plus(TRUST_LIFETIME);
                }
                let left = AtomicI64::new(left);
                let dying = Dying { inner: inner.clone(), left, last_is_done };
                let outcome = ensure_trust(&root(), &online(), &dying, now).await;
                crashes += usize::from(outcome.is_err());
                points_to_what_is_there(&inner).await;
                let now = now.plus(MILLISECOND);
                let made = ensure_trust(&root(), &online(), &*inner, now).await.unwrap();
                assert_eq!(made.trust.claims().number, 1 + u64::from(renews));
                assert_eq!(walk(&*inner).await.claims(), made.trust.claims());
                // Started once more with another key, as after a restored backup.
                let new = key(3).public();
                let made = ensure_trust(&root(), &new, &*inner, now).await.unwrap();
                assert_eq!(walk(&*inner).await.claims(), made.trust.claims());
            }
        }
        assert!((8..40).contains(&crashes), "{crashes}");
    }
}

#[tokio::test]
async fn a_crash_before_the_key_changed_again_leaves_no_gap() {
    // Number 2 was written and `trust.json` not moved; then the online key is another one.
    let objects = MemoryObjects::new(Arc::new(SystemTimer));
    ensure_trust(&root(), &online(), &objects, NOW).await.unwrap();
    let before = text(&objects, "trust.json").await.unwrap();
    ensure_trust(&root(), &key(3).public(), &objects, NOW).await.unwrap();
    objects.put("trust.json", before, "", PutIf::Any).await.unwrap();
    let made = ensure_trust(&root(), &key(4).public(), &objects, NOW).await.unwrap();
    assert_eq!(made.trust.claims().number, 3);
    assert_eq!(walk(&objects).await.claims(), made.trust.claims());
}

#[tokio::test]
async fn two_processes_at_once_agree() {
    let objects = Arc::new(MemoryObjects::new(Arc::new(SystemTimer)));
    let starts: Vec<_> = (0..8)
        .map(|number| {
            let objects = objects.clone();
            let now = NOW.plus(MILLISECOND * number);
            tokio::spawn(async move { ensure_trust(&root(), &online(), &*objects, now).await })
        })
        .collect();
    for start in starts {
        assert_eq!(start.await.unwrap().unwrap().trust.claims().number, 1);
    }
    walk(&*objects).await;
}

#[tokio::test]
async fn a_lost_root_key_is_never_replaced_in_silence() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keys").join("root.pem");
    let root = LocalRoot::File(path.clone());
    let objects = MemoryObjects::new(Arc::new(SystemTimer));
    let made = ensure_trust(&root, &online(), &objects, NOW).await.unwrap();
    let again = ensure_trust(&root, &online(), &objects, NOW).await.unwrap();
    assert_eq!(made.root, again.root);
    fs::remove_file(&path).unwrap();
    let refused = ensure_trust(&root, &online(), &objects, NOW).await.unwrap_err();
    assert!(matches!(refused, TrustError::RootKeyMissing { .. }), "{refused:?}");
    assert!(refused.to_string().contains("root.pem"), "{refused}");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_document_of_another_root_is_refused_and_stays() {
    let objects = MemoryObjects::new(Arc::new(SystemTimer));
    ensure_trust(&root(), &online(), &objects, NOW).await.unwrap();
    let before = text(&objects, "trust.json").await;
    let other = LocalRoot::Memory(key(9));
    let refused = ensure_trust(&other, &online(), &objects, NOW).await.unwrap_err();
    assert!(matches!(refused, TrustError::Foreign { .. }), "{refused:?}");
    assert!(refused.to_string().contains("trust.json"), "{refused}");
    objects.put("trust.json", "nonsense".into(), "", PutIf::Any).await.unwrap();
    let refused = ensure_trust(&root(), &online(), &objects, NOW).await.unwrap_err();
    assert!(matches!(refused, TrustError::Foreign { .. }), "{refused:?}");
    assert_ne!(text(&objects, "trust.json").await, before);
}
