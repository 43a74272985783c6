//! The messages of `flagd.evaluation.v1`, `flagd.evaluation.v2` and `flagd.sync.v1`, by the field numbers of the definitions
//! that the flagd project publishes (github.com/open-feature/flagd-schemas). What version 2 may leave out is optional here;
//! who reads version 1 takes what is left out for nothing, zero or the empty text, as Protocol Buffers have it.

use std::collections::HashMap;

use prost::{Message, Oneof};
use prost_types::Struct;

/// Every `Resolve…Request` of one flag.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Resolve {
    #[prost(string, tag = "1")]
    pub(super) flag_key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) context: Option<Struct>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResolveAll {
    #[prost(message, optional, tag = "1")]
    pub(super) context: Option<Struct>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResolvedAll {
    #[prost(map = "string, message", tag = "1")]
    pub(super) flags: HashMap<String, AnyFlag>,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<Struct>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyFlag {
    #[prost(string, tag = "1")]
    pub(super) reason: String,
    #[prost(string, optional, tag = "2")]
    pub(super) variant: Option<String>,
    #[prost(oneof = "AnyValue", tags = "3, 4, 5, 6")]
    pub(super) value: Option<AnyValue>,
    #[prost(message, optional, tag = "7")]
    pub(super) metadata: Option<Struct>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum AnyValue {
    #[prost(bool, tag = "3")]
    Bool(bool),
    #[prost(string, tag = "4")]
    String(String),
    #[prost(double, tag = "5")]
    Double(f64),
    #[prost(message, tag = "6")]
    Object(Struct),
}

macro_rules! resolved {
    ($name:ident, $value:ty, $($kind:tt)+) => {
        #[derive(Clone, PartialEq, Message)]
        pub(super) struct $name {
            #[prost($($kind)+, optional, tag = "1")]
            pub(super) value: Option<$value>,
            #[prost(string, tag = "2")]
            pub(super) reason: String,
            #[prost(string, optional, tag = "3")]
            pub(super) variant: Option<String>,
            #[prost(message, optional, tag = "4")]
            pub(super) metadata: Option<Struct>,
        }
    };
}

resolved!(ResolvedBoolean, bool, bool);
resolved!(ResolvedString, String, string);
resolved!(ResolvedFloat, f64, double);
resolved!(ResolvedInt, i64, int64);
resolved!(ResolvedObject, Struct, message);

/// `SyncFlagsRequest` and `FetchAllFlagsRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Select {
    /// A name for whoever asks, of their choice.
    #[prost(string, tag = "1")]
    pub(super) provider_id: String,
    #[prost(string, tag = "2")]
    pub(super) selector: String,
}

/// `SyncFlagsResponse` and `FetchAllFlagsResponse`. The first's `sync_context` would be put into every evaluation's context, and
/// is left out.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Flags {
    #[prost(string, tag = "1")]
    pub(super) flag_configuration: String,
}

/// A message without fields.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Nothing {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(message, optional, tag = "2")]
    pub(super) data: Option<Struct>,
}
