#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod carry;
mod config;
mod featureprobe;
mod flagd;
mod flipt;
mod own;
mod unleash;
mod yaml;

use std::fmt;
use std::str::FromStr;

use flagforge_flags::Context;
use flagforge_flags::keys::TenantKey;
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagWire, SegmentWire, TenantWire};
use serde_json::Value as Json;
use thiserror::Error;

pub use config::{Config, Decision, Request};

/// Bytes of a configuration: ten thousand flags of a few KiB.
pub const MAX_CONFIG_BYTES: usize = 64 * 1024 * 1024;

/// Whose format a configuration is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Our own wire form.
    FlagForge,
    /// Unleash's client API, whole or as delta events.
    Unleash,
    /// FeatureProbe's server SDK repository.
    FeatureProbe,
    /// Flipt's declarative file of a namespace.
    Flipt,
    /// flagd's flag definitions.
    Flagd,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] =
        [Self::FlagForge, Self::Unleash, Self::FeatureProbe, Self::Flipt, Self::Flagd];

    /// The name on the command line, say `unleash`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FlagForge => "flagforge",
            Self::Unleash => "unleash",
            Self::FeatureProbe => "featureprobe",
            Self::Flipt => "flipt",
            Self::Flagd => "flagd",
        }
    }

    /// Who asks, from a context in the format's own shape. `now` fills in what the vendor would take from its clock.
    pub fn context(
        self,
        tenant: Option<TenantKey>,
        context: &Json,
        now: Timestamp,
    ) -> Result<Context<'static>, ContextError> {
        let start = tenant.map_or_else(Context::untenanted, Context::for_tenant);
        match self {
            Self::FlagForge => own::context(start, context),
            Self::Unleash => unleash::context(start, context, now),
            Self::FeatureProbe => featureprobe::context(start, context),
            Self::Flipt => flipt::context(start, context),
            Self::Flagd => flagd::context(start, context, now),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;
    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let found = Self::ALL.into_iter().find(|format| format.as_str() == text);
        found.ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

/// There is no such format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no format `{0}`; there are flagforge, unleash, featureprobe, flipt and flagd")]
pub struct UnknownFormat(String);

/// A configuration, read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Imported {
    /// The flags. One that could not be carried over answers an error that says why.
    pub flags: Vec<FlagWire>,
    /// The segments.
    pub segments: Vec<SegmentWire>,
    /// The tenants; only our own format has them.
    pub tenants: Vec<(TenantKey, TenantWire)>,
    /// Variants whose name at the vendor is another than their key here.
    pub renamed: Vec<Renamed>,
    /// What was not, or not quite, carried over.
    pub warnings: Vec<Warning>,
}

/// A variant whose name at the vendor is another than its key here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// The flag.
    pub flag: String,
    /// The variant's key here.
    pub variant: String,
    /// Its name at the vendor.
    pub name: String,
}

/// What was not, or not quite, carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The flag or segment, as its vendor names it; empty for the whole document.
    pub subject: String,
    /// Which construct, and what becomes of it.
    pub what: String,
    /// Whether the flag is not there at all, because its name is no key.
    pub left_out: bool,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.what)
    }
}

/// Why a configuration cannot be read at all.
#[derive(Debug, Error)]
pub enum ImportError {
    /// It is over [`MAX_CONFIG_BYTES`].
    #[error("the configuration has {0} bytes; the limit is {MAX_CONFIG_BYTES}")]
    TooLong(usize),
    /// It is no JSON.
    #[error("the configuration is no JSON")]
    Json(#[source] serde_json::Error),
    /// It is no YAML, or uses what is refused there.
    #[error("the configuration is no YAML: {0}")]
    Yaml(String),
    /// It is not of the format's shape.
    #[error("{}: {what}", if path.is_empty() { "the document" } else { path.as_str() })]
    Shape {
        /// The place, as a path of fields.
        path: String,
        /// What is wrong there.
        what: String,
    },
}

impl ImportError {
    pub(crate) fn shape(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Shape { path: path.into(), what: what.into() }
    }
}

/// Why a context cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the context is malformed: {0}")]
pub struct ContextError(pub(crate) String);

/// Whether flagd's schema takes this targeting, as it stands in a flag.
pub fn check_flagd_targeting(targeting: &Json) -> Result<(), ImportError> {
    flagd::check_targeting(targeting, "targeting")
}

/// YAML as JSON: one document, without aliases, tags or keys that are no texts.
pub fn yaml_as_json(text: &str) -> Result<Json, ImportError> {
    yaml::read(text)
}

/// Reads a configuration. Any bytes are either read or refused with a reason.
pub fn import(format: Format, text: &str) -> Result<Imported, ImportError> {
    if text.len() > MAX_CONFIG_BYTES {
        return Err(ImportError::TooLong(text.len()));
    }
    let json = || serde_json::from_str::<Json>(text).map_err(ImportError::Json);
    match format {
        Format::FlagForge => own::import(&json()?),
        Format::Unleash => unleash::import(&json()?),
        Format::FeatureProbe => featureprobe::import(&json()?),
        Format::Flipt => flipt::import(&json().or_else(|_| yaml::read(text))?),
        Format::Flagd => flagd::import(&json()?),
    }
}
