//! The root of trust of a one-machine installation: its root key, and the trust document that it signs.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use flagforge_flags::manifest::{
    PublicKey, Refusal, SecretKey, Thumbprint, Trust, TrustClaims, sign_trust, verify_trust,
};
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{ETag, Fetched, ObjectError, Objects, PutIf};
use thiserror::Error;

use crate::key_file::{self, KeyFileError};

/// How long a trust document lasts.
pub const TRUST_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3_600);
/// How long before its end it is replaced.
pub const TRUST_RENEWAL: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The object that readers of the current trust document ask for.
const CURRENT: &str = "trust.json";
const CONTENT_TYPE: &str = "application/jose+json";
/// Another process may issue the same number first; it does so once a year.
const MAX_ATTEMPTS: u32 = 4;

/// Where the root key is. A file is read only when a document must be signed or checked, and the key is not kept.
#[derive(Debug, Clone)]
pub enum LocalRoot {
    /// A PEM file, created on first use.
    File(PathBuf),
    /// A key that nothing keeps.
    Memory(SecretKey),
}

/// What an SDK needs to know of an installation's trust.
#[derive(Debug, Clone)]
pub struct LocalTrust {
    /// The root key's thumbprint: what an SDK pins.
    pub root: Thumbprint,
    /// The current document.
    pub trust: Trust,
}

/// Why there is no trust document to rely on.
#[derive(Debug, Error)]
pub enum TrustError {
    #[error("the root key cannot be used")]
    Key(#[from] KeyFileError),
    #[error(
        "there is a trust document but no root key at {path}: restore that file from a backup. To begin anew instead, which every \
         SDK must be told of because it pins the old key, remove `trust.json` and the folder `trust` from the objects"
    )]
    RootKeyMissing { path: PathBuf },
    #[error(
        "the object {name} is no trust document of the root key {root}: the key or the object comes from another installation; \
         restore the one that belongs here"
    )]
    Foreign {
        name: String,
        root: Thumbprint,
        #[source]
        source: Box<Refusal>,
    },
    #[error("the trust document could not be signed")]
    Sign(#[source] Refusal),
    #[error("the object {name} could not be read or written")]
    Objects {
        name: String,
        #[source]
        source: ObjectError,
    },
    #[error("another process kept writing trust documents: stop it, and start again")]
    Raced,
}

impl LocalRoot {
    /// A new key that nothing keeps.
    pub fn ephemeral() -> Result<Self, KeyFileError> {
        key_file::draw().map(Self::Memory)
    }

    fn read(&self) -> Result<Option<SecretKey>, KeyFileError> {
        match self {
            Self::File(path) => key_file::read(path),
            Self::Memory(key) => Ok(Some(key.clone())),
        }
    }

    fn read_or_create(&self) -> Result<SecretKey, KeyFileError> {
        match self {
            Self::File(path) => key_file::read_or_create(path),
            Self::Memory(key) => Ok(key.clone()),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Memory(_) => Path::new("(in memory)"),
        }
    }
}

/// The trust document that names `online` and no other key, issued when there is none, when it ends within
/// [`TRUST_RENEWAL`] of `now`, or when it names another key. Called at every start, and once a day while running.
///
/// A number is written before `trust.json` points to it and never overwritten, so a crash between any two steps leaves what
/// the next call goes on from. Reads and writes small files on the calling thread.
pub async fn ensure_trust(
    root: &LocalRoot,
    online: &PublicKey,
    objects: &dyn Objects,
    now: Timestamp,
) -> Result<LocalTrust, TrustError> {
    for _ in 0..MAX_ATTEMPTS {
        match attempt(root, online, objects, now).await {
            Err(TrustError::Objects { source: ObjectError::Lost, .. }) => {}
            outcome => return outcome,
        }
    }
    Err(TrustError::Raced)
}

async fn attempt(
    root: &LocalRoot,
    online: &PublicKey,
    objects: &dyn Objects,
    now: Timestamp,
) -> Result<LocalTrust, TrustError> {
    let current = get(objects, CURRENT).await?;
    let first = get(objects, &numbered(1)).await?;
    // A key made anew would orphan every SDK that pins the one that is lost.
    let key = if current.is_some() || first.is_some() {
        root.read()?.ok_or_else(|| TrustError::RootKeyMissing { path: root.path().to_owned() })?
    } else {
        root.read_or_create()?
    };
    let pinned = key.public().thumbprint();
    let held = match &current {
        Some((text, _)) => Some(verified(CURRENT, text, pinned, None)?),
        None => None,
    };
    let newest = walk(objects, pinned, held).await?;
    let trust = match newest {
        Some(trust) if is_good(&trust, online, now) => trust,
        newest => issue(&key, newest.as_ref(), online, now)?,
    };
    keep(objects, &trust).await?;
    point(objects, &trust, current).await?;
    Ok(LocalTrust { root: pinned, trust })
}

/// The document of the highest number: later than `trust.json` when a crash came between the two puts.
async fn walk(
    objects: &dyn Objects,
    pinned: Thumbprint,
    mut newest: Option<Trust>,
) -> Result<Option<Trust>, TrustError> {
    loop {
        let name = numbered(newest.as_ref().map_or(1, |trust| trust.claims().number + 1));
        let Some((text, _)) = get(objects, &name).await? else { return Ok(newest) };
        newest = Some(verified(&name, &text, pinned, newest.as_ref())?);
    }
}

fn verified(
    name: &str,
    text: &[u8],
    root: Thumbprint,
    before: Option<&Trust>,
) -> Result<Trust, TrustError> {
    let trust = match before {
        Some(before) => before.succeed(text),
        None => verify_trust(text, &[root]),
    };
    trust.map_err(|source| TrustError::Foreign {
        name: name.to_owned(),
        root,
        source: Box::new(source),
    })
}

fn is_good(trust: &Trust, online: &PublicKey, now: Timestamp) -> bool {
    let claims = trust.claims();
    claims.online == [*online] && now.plus(TRUST_RENEWAL) < claims.expires
}

fn issue(
    key: &SecretKey,
    before: Option<&Trust>,
    online: &PublicKey,
    now: Timestamp,
) -> Result<Trust, TrustError> {
    let before = before.map(Trust::claims);
    let claims = TrustClaims {
        format: 1,
        number: before.map_or(1, |before| before.number + 1),
        epoch: before.map_or(1, |before| before.epoch),
        issued: now,
        expires: now.plus(TRUST_LIFETIME),
        threshold: 1,
        roots: vec![key.public()],
        online: vec![*online],
    };
    let text = sign_trust(&claims, &[key]).map_err(TrustError::Sign)?;
    // Read back with the readers' own code, so that nobody gets what nobody takes.
    verify_trust(text.as_bytes(), &[key.public().thumbprint()]).map_err(TrustError::Sign)
}

/// Puts the document under its number, where it stays.
async fn keep(objects: &dyn Objects, trust: &Trust) -> Result<(), TrustError> {
    let name = numbered(trust.claims().number);
    match put(objects, &name, trust, PutIf::Absent).await {
        // It stands there already, or another process took the number, which only a second look tells.
        Err(TrustError::Objects { source: ObjectError::Lost, .. }) => {
            match get(objects, &name).await? {
                Some((text, _)) if *text == *trust.text().as_bytes() => Ok(()),
                _ => Err(TrustError::Objects { name, source: ObjectError::Lost }),
            }
        }
        outcome => outcome,
    }
}

/// Makes `trust.json` the document, unless it is already.
async fn point(
    objects: &dyn Objects,
    trust: &Trust,
    current: Option<(Bytes, ETag)>,
) -> Result<(), TrustError> {
    match current {
        Some((text, _)) if *text == *trust.text().as_bytes() => Ok(()),
        Some((_, etag)) => put(objects, CURRENT, trust, PutIf::Matches(etag)).await,
        None => put(objects, CURRENT, trust, PutIf::Absent).await,
    }
}

async fn get(objects: &dyn Objects, name: &str) -> Result<Option<(Bytes, ETag)>, TrustError> {
    let fault = |source| TrustError::Objects { name: name.to_owned(), source };
    Ok(match objects.get(name, None).await.map_err(fault)? {
        Fetched::Found { bytes, etag } => Some((bytes, etag)),
        Fetched::Absent | Fetched::NotModified => None,
    })
}

async fn put(
    objects: &dyn Objects,
    name: &str,
    trust: &Trust,
    condition: PutIf,
) -> Result<(), TrustError> {
    let bytes = Bytes::copy_from_slice(trust.text().as_bytes());
    match objects.put(name, bytes, CONTENT_TYPE, condition).await {
        Ok(_) => Ok(()),
        Err(source) => Err(TrustError::Objects { name: name.to_owned(), source }),
    }
}

fn numbered(number: u64) -> String {
    format!("trust/{number}.json")
}
