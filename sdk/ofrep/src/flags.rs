//! Flags that were answered, read as the thin client's are.

use std::sync::Arc;

use flagforge::{Flag, FlagType, Json};
use serde_json::Map;

use crate::answer::{Entry, Held};

/// Flags that were answered. All of one `Flags` are of one answer, whatever comes meanwhile.
#[derive(Debug, Clone)]
#[must_use = "ask with .get() or .details()"]
pub struct Flags {
    held: Arc<Held>,
}

/// An answer and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Details<'f, V> {
    /// The value; the flag's default when there is an error, or when the flag says so.
    pub value: V,
    /// The server's reason; `ERROR` where there is an error, `UNKNOWN` where it does not say.
    pub reason: &'f str,
    /// The variant; `None` when the value is the caller's default.
    pub variant: Option<&'f str>,
    /// What the server says besides. Of a relay: `fineReason`, `rule`, `flagVersion` and `stale`, and of a single answer what
    /// [`Flags::metadata`] says of all.
    pub metadata: Option<&'f Map<String, Json>>,
    /// Why there is no answer.
    pub error: Option<FlagError<'f>>,
}

/// Why there is no answer, and the default was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagError<'f> {
    /// OpenFeature's error code.
    pub code: &'f str,
    /// What is wrong.
    pub details: String,
}

impl Flags {
    pub(crate) const fn of(held: Arc<Held>) -> Self {
        Self { held }
    }

    /// The flag's value; its default when there is no answer.
    pub fn get<T: FlagType>(&self, flag: &Flag<T>) -> T::Answer<'_> {
        let value = self.held.flags.get(flag.key()).and_then(read::<T>);
        value.unwrap_or_else(|| flag.default_value())
    }

    /// The value, and how it came about.
    pub fn details<T: FlagType>(&self, flag: &Flag<T>) -> Details<'_, T::Answer<'_>> {
        let Some(entry) = self.held.flags.get(flag.key()) else {
            let failure = &self.held.failure;
            let error = FlagError { code: failure.code(), details: failure.to_string() };
            return failed(flag, None, error);
        };
        if let Some((code, details)) = &entry.error {
            return failed(flag, Some(entry), FlagError { code, details: details.clone() });
        }
        let reason = entry.reason.as_deref().unwrap_or("UNKNOWN");
        let (variant, metadata) = (entry.variant.as_deref(), Some(&entry.metadata));
        match (read::<T>(entry), &entry.value) {
            (Some(value), _) => Details { value, reason, variant, metadata, error: None },
            (None, None) => {
                let value = flag.default_value();
                Details { value, reason, variant: None, metadata, error: None }
            }
            (None, Some(other)) => {
                let details = format!(
                    "the flag is of type {}, not {}",
                    other.value_type().as_str(),
                    T::WANT.as_str()
                );
                failed(flag, Some(entry), FlagError { code: "TYPE_MISMATCH", details })
            }
        }
    }

    /// The keys of the flags that were answered, in no particular order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.held.flags.keys().map(String::as_str)
    }

    /// What the server says of all flags at once. Of a relay: `revision`, `ageSeconds` and `tenantKnown`.
    pub fn metadata(&self) -> &Map<String, Json> {
        &self.held.metadata
    }
}

fn read<T: FlagType>(entry: &Entry) -> Option<T::Answer<'_>> {
    if entry.error.is_some() {
        return None;
    }
    let read = entry.value.as_ref().and_then(T::read);
    read.or_else(|| entry.as_number.as_ref().and_then(T::read))
}

fn failed<'f, T: FlagType>(
    flag: &Flag<T>,
    entry: Option<&'f Entry>,
    error: FlagError<'f>,
) -> Details<'f, T::Answer<'f>> {
    let metadata = entry.map(|entry| &entry.metadata);
    Details {
        value: flag.default_value(),
        reason: "ERROR",
        variant: None,
        metadata,
        error: Some(error),
    }
}
