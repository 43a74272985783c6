//! The file, followed.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flagforge_flags::manifest::Digest;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::Tuning;
use crate::relay::Relay;

/// How often the file is looked at: a few kilobytes of a disk's cache.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Bytes of a file: 1,024 environments of 81 bytes, a filter of logs, and numbers.
const MAX_FILE_BYTES: u64 = 128 * 1024;

/// Sets what is logged, by a filter that was found good.
pub type SetLog = Box<dyn Fn(&str) + Send + Sync>;

/// Why a file is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TuningError {
    path: PathBuf,
    why: String,
}

impl fmt::Display for TuningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for TuningError {}

/// A file that says what may change while a relay runs.
pub struct TuningFile {
    path: PathBuf,
    relay: Arc<Relay>,
    /// What holds for what it leaves out.
    start: Tuning,
    set_log: SetLog,
    /// What was looked at last, and its fault.
    seen: Mutex<Option<Seen>>,
}

type Seen = (Digest, Result<(), TuningError>);

impl fmt::Debug for TuningFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TuningFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl TuningFile {
    /// Reads the file and has the relay do as it says. What it leaves out is as the relay's configuration and the filter of
    /// logs say.
    pub fn read(
        path: &Path,
        relay: &Arc<Relay>,
        log: &str,
        set_log: SetLog,
    ) -> Result<Arc<Self>, TuningError> {
        let start = Tuning::of(&relay.config, log);
        let relay = Arc::clone(relay);
        let file = Self { path: path.into(), relay, start, set_log, seen: Mutex::new(None) };
        file.read_again()?;
        Ok(Arc::new(file))
    }

    /// Reads it again, if it has changed. What cannot be used changes nothing, and the relay tells it at `/configuration`.
    /// `false`: it says what it said before.
    pub fn read_again(&self) -> Result<bool, TuningError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = |why: String| {
            self.relay.keep_tuning(&why);
            TuningError { path: self.path.clone(), why }
        };
        let text = match self.text() {
            Ok(text) => text,
            Err(why) => {
                *seen = None;
                return Err(fault(why));
            }
        };
        let digest = Digest::of(&text);
        if let Some((_, known)) = seen.as_ref().filter(|(known, _)| *known == digest) {
            return known.clone().map(|()| false);
        }
        let read = self.start.read(&text).map_err(fault);
        *seen = Some((digest, read.as_ref().map(drop).map_err(Clone::clone)));
        let tuning = read?;
        (self.set_log)(&tuning.log);
        self.relay.tune(&tuning, digest);
        Ok(true)
    }

    /// Looks at it every few seconds, and at once on SIGHUP. It never returns.
    pub async fn follow(self: Arc<Self>) {
        let mut hangup =
            signal(SignalKind::hangup()).inspect_err(|error| warn!(%error, "no SIGHUP")).ok();
        let mut complained = None;
        loop {
            let asked = tokio::select! {
                () = sleep(LOOK_EVERY) => false,
                () = rung(&mut hangup) => true,
            };
            let path = self.path.display();
            match self.read_again() {
                Ok(true) => info!(%path, "another configuration is in force"),
                Ok(false) if asked => info!(%path, "the configuration is the same"),
                Ok(false) => {}
                // What stays bad is said once, and to who asks.
                Err(fault) if asked || complained.as_ref() != Some(&fault) => {
                    error!(error = %fault, "the configuration is no good; the last one stays");
                    complained = Some(fault);
                    continue;
                }
                Err(_) => continue,
            }
            complained = None;
        }
    }

    fn text(&self) -> Result<Vec<u8>, String> {
        let file = std::fs::File::open(&self.path).map_err(|error| error.to_string())?;
        let mut text = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(format!("it is over {MAX_FILE_BYTES} bytes"));
        }
        Ok(text)
    }
}

async fn rung(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => {
            hangup.recv().await;
        }
        None => std::future::pending().await,
    }
}
