//! A flag in one environment, as people read it.

use flagforge_flags::keys::{EnvKey, FlagKey, GroupKey};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagClass, StateWire, ValueType};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::kills::{KillScope, Killed, PartKill};
use crate::record::Definition;

/// What a flag does in one environment, with what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlagState {
    pub key: FlagKey,
    pub environment: EnvKey,
    pub class: FlagClass,
    #[serde(rename = "type")]
    pub value_type: ValueType,
    /// What evaluation reports as the flag's version.
    pub flag_version: u64,
    /// Groups whose overrides have expired by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expired_group_overrides: Vec<GroupKey>,
    /// The kill switches that turn it off, whatever its state says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, example = json!(["environment"]))]
    pub killed_by: Vec<KillScope>,
    /// The kill switches that turn it off for the tenants of a group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub killed_in_part_by: Vec<PartKill>,
    #[serde(flatten)]
    pub state: StateWire,
}

impl FlagState {
    /// Fields that a reader sees and a writer may send back unused.
    pub(crate) const READ_ONLY: &'static [&'static str] = &[
        "key",
        "environment",
        "class",
        "type",
        "flagVersion",
        "expiredGroupOverrides",
        "killedBy",
        "killedInPartBy",
    ];

    pub(crate) fn new(
        env: &EnvKey,
        definition: &Definition,
        (definition_version, state_version): (u64, u64),
        state: StateWire,
        now: Timestamp,
    ) -> Self {
        let expired = state.group_overrides.iter();
        let expired = expired.filter(|over| over.expires.is_some_and(|expires| expires <= now));
        Self {
            key: definition.key.clone(),
            environment: env.clone(),
            class: definition.class,
            value_type: definition.value_type,
            flag_version: definition_version + state_version,
            expired_group_overrides: expired.map(|over| over.group.clone()).collect(),
            killed_by: Vec::new(),
            killed_in_part_by: Vec::new(),
            state,
        }
    }

    /// With the kill switches that cover it.
    pub(crate) fn under(self, Killed { by, in_part_by }: Killed) -> Self {
        Self { killed_by: by, killed_in_part_by: in_part_by, ..self }
    }
}
