//! How a change gets about: how soon it has to, and what SDKs and relays say of how far they are. A report names a
//! process and a revision, and no user and no tenant.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::keys::{ReporterId, ReporterName};
use crate::revision::Revision;
use crate::time::Timestamp;
use crate::wire::FlagClass;

/// Reports of one request: each is written and another may have to go for it, and a transaction has 100 writes.
pub const MAX_REPORTS: usize = 50;
/// Bytes of one request of reports, which a relay takes: a report has 700 at most, with two names of 128 bytes.
pub const MAX_REPORTS_BYTES: usize = 64 * 1024;
/// Reporters of one environment that are known at a time: a thousand reports of 400 bytes are read for one answer.
pub const MAX_REPORTERS: usize = 1_000;
/// The least time between two reports of one process.
pub const REPORT_EVERY: Duration = Duration::from_secs(10);
/// A process of which there is nothing new says so this often: 1,000 of them are three writes a second.
pub const HEARTBEAT: Duration = Duration::from_secs(5 * 60);
/// Who was not heard for two heartbeats and some is not counted any more: it ended, or is cut off.
pub const SILENT_AFTER: Duration = Duration::from_secs(11 * 60);
/// Who was not heard for so long is forgotten.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);

/// How soon a change has to be everywhere.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Propagation {
    /// At once: it waits for nothing, and for no other change.
    Immediate,
    /// Soon: several that come together may go out together.
    #[default]
    NearRealTime,
    /// When there is time: imports, and what nobody waits for.
    Eventual,
}

impl Propagation {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::NearRealTime => "near-real-time",
            Self::Eventual => "eventual",
        }
    }

    /// The class of changes to flags of a class (DESIGN §9).
    pub const fn of_class(class: FlagClass) -> Self {
        match class {
            FlagClass::Ops => Self::Immediate,
            FlagClass::Release | FlagClass::Migration | FlagClass::Policy => Self::NearRealTime,
            FlagClass::Experiment => Self::Eventual,
        }
    }
}

/// What reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ReporterKind {
    /// A client in somebody's service.
    Sdk,
    /// A relay.
    Relay,
}

/// What its answers are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ReportedStatus {
    /// A manifest that its origin confirmed when it was last asked.
    Ready,
    /// A manifest that could not be confirmed.
    LastKnownGood,
    /// No manifest.
    Defaults,
}

/// What one process says of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PropagationReport))]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Which process: drawn by lot when it starts.
    pub reporter: ReporterId,
    /// What it is.
    pub kind: ReporterKind,
    /// What its host calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<ReporterName>,
    /// What it is built of, say `rust 0.1.0`.
    pub version: ReporterName,
    /// What its answers are made of.
    pub status: ReportedStatus,
    /// The revision that it has applied; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, example = "17.41"))]
    pub revision: Option<Revision>,
    /// When it applied that, by its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Timestamp>,
    /// The milliseconds from the newest change's commit until then. Absent for what it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_millis: Option<u64>,
    /// The milliseconds since its origin last confirmed what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_millis: Option<u64>,
}

/// The body of a request of reports.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reports {
    /// At most 50, each of another process.
    pub reports: Vec<Report>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_request_fits_its_limit() {
        let name = ReporterName::new(&"n".repeat(128)).ok();
        let report = Report {
            reporter: ReporterId::new(&"r".repeat(40)).unwrap(),
            kind: ReporterKind::Relay,
            version: name.clone().unwrap(),
            name,
            status: ReportedStatus::LastKnownGood,
            revision: Some(Revision { org: u64::MAX, env: u64::MAX }),
            applied: Some(Timestamp::from_seconds(1_800_000_000)),
            lag_millis: Some(u64::MAX),
            age_millis: Some(u64::MAX),
        };
        let reports = Reports { reports: vec![report; MAX_REPORTS] };
        let bytes = serde_json::to_vec(&reports).unwrap().len();
        assert!(bytes <= MAX_REPORTS_BYTES, "{bytes}");
    }

    #[test]
    fn a_newer_reporters_fields_are_passed_over() {
        let text = r#"{"reporter":"a1","kind":"sdk","version":"rust 9","status":"ready","more":1}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!((report.revision, report.lag_millis), (None, None));
    }
}
