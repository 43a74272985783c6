//! How soon a change has to be everywhere.

use flagforge_flags::propagation::Propagation;
use flagforge_flags::wire::FlagClass;

use crate::change::Change;

/// The class of a change; `class` is that of the flag that it is about. What turns something off, shuts somebody out or
/// brings an earlier manifest back is immediate whatever it is about, and what comes in bulk has time.
pub(crate) fn of(change: &Change, class: Option<FlagClass>) -> Propagation {
    match change {
        Change::Kill { .. }
        | Change::EndKill { .. }
        | Change::SetEnabled { enabled: false, .. }
        | Change::RestoreManifest { .. }
        | Change::ReleaseManifest { .. }
        | Change::RevokeKey { .. } => Propagation::Immediate,
        Change::UpsertTenants { .. } | Change::PutImport { .. } | Change::Collect { .. } => {
            Propagation::Eventual
        }
        _ => class.map_or_else(Propagation::default, Propagation::of_class),
    }
}
