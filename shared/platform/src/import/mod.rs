//! Imports of tenants. A file is uploaded in parts, checked whole, and only then applied: up to one batch in one
//! transaction, beyond that batch after batch. Where an import stands is written in the transaction of each
//! batch, so it goes on after any interruption exactly where it was, and two who drive it do nothing twice.

mod csv;
mod lines;
pub mod source;
mod work;

use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::Actor;

pub use lines::{MAX_IMPORT_LINE_BYTES, MAX_IMPORT_TENANTS};
pub(crate) use work::{Counts, folder};
pub use work::{MAX_IMPORT_PART_BYTES, MAX_IMPORT_PARTS};

/// A new import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewImport {
    pub format: ImportFormat,
    /// What happens when some line is bad. Default: nothing is applied.
    #[serde(default)]
    pub on_error: OnError,
    /// Only check the file: nothing is applied, and the report names each bad line.
    #[serde(default)]
    pub dry_run: bool,
}

/// An import, and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Import {
    pub id: String,
    pub format: ImportFormat,
    pub on_error: OnError,
    /// It only checks its file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    pub state: ImportState,
    pub created: Timestamp,
    pub created_by: Actor,
    /// Tenants that the file holds, good and bad lines.
    #[serde(default)]
    pub lines: u64,
    /// Lines that were refused; the report names each.
    #[serde(default)]
    pub bad: u64,
    /// Tenants applied so far, of `lines - bad`.
    #[serde(default)]
    pub applied: u64,
    /// Of these, those that were new.
    #[serde(default)]
    pub tenants_created: u64,
    /// Of these, those that were changed.
    #[serde(default)]
    pub tenants_changed: u64,
    /// Where the next batch begins.
    #[serde(default)]
    pub(crate) next: Position,
    /// Tenants of each stored chunk of good lines.
    #[serde(default)]
    pub(crate) chunks: Vec<u32>,
}

/// A place in the chunks of good lines.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    pub(crate) chunk: u32,
    pub(crate) row: u32,
}

/// How the file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImportFormat {
    /// A JSON object a line: `{"key": "acme", "name": "Acme", "attributes": {"plan": "gold"}, "synthetic": false}`.
    Ndjson,
    /// A header with `key` and, if wanted, `name` and `synthetic`; every other column is an attribute, read as what
    /// the schema says (text without one; a list's elements are separated by `;`). An empty field is no attribute.
    Csv,
}

/// What becomes of an import with bad lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// Nothing is applied.
    #[default]
    Nothing,
    /// The good lines are applied.
    ApplyGood,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImportState {
    /// It waits for its parts, and to be started.
    Uploading,
    /// The file was checked whole; batches are applied.
    Applying,
    /// All that should be applied is; of a dry run, that is nothing.
    Done,
    /// The file has bad lines and nothing was applied.
    Refused,
}

/// One line that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BadLine {
    /// From 1; for CSV the line that the record begins on.
    pub line: u64,
    /// The field that is wrong, as a path in the line.
    pub field: String,
    pub message: String,
    /// The limit that was passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// What a batch does to the import it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportStep {
    pub(crate) import: String,
    /// The batch counts only while the import stands here.
    pub(crate) from: Position,
    pub(crate) until: Position,
}
