#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod access_key;
mod answer;
pub mod bucket;
mod budget;
pub mod checks;
pub mod compile;
mod condition;
pub mod context;
pub mod evaluate;
pub mod explain;
mod fault;
mod flag;
pub mod hash;
pub mod keys;
pub mod manifest;
mod operators;
mod revision;
mod run;
mod segment;
pub mod snapshot;
pub mod split;
mod tenant;
mod text;
pub mod text_form;
pub mod time;
mod trace;
mod value;
pub mod wire;

pub use access_key::{AccessKey, AccessKeyError, KeyKind};
pub use answer::{Answer, EvalError, FineReason, Reason};
pub use checks::{Warning, WarningKind, check};
pub use compile::{compile, compile_json};
pub use condition::Found;
pub use context::Context;
pub use evaluate::{View, evaluate, evaluate_with};
pub use explain::{Explanation, Step, StepKind, explain};
pub use fault::{EntryFault, FlagFault};
pub use flag::{Flag, Variant};
pub use operators::Operands;
pub use revision::{Revision, RevisionError};
pub use segment::{Segment, compile_segment, hashed_ids};
pub use snapshot::Snapshot;
pub use tenant::{MAX_TENANT_BYTES, Tenant};
pub use trace::{Asked, Event, Junction, Visitor};
pub use value::Value;
