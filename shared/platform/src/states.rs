//! A flag in one environment, as people read it.

use flagforge_flags::keys::{EnvKey, FlagKey};
use flagforge_flags::wire::{FlagClass, StateWire, ValueType};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    #[serde(flatten)]
    pub state: StateWire,
}

impl FlagState {
    /// Fields that a reader sees and a writer may send back unused.
    pub(crate) const READ_ONLY: &'static [&'static str] =
        &["key", "environment", "class", "type", "flagVersion"];

    pub(crate) fn new(
        env: &EnvKey,
        definition: &Definition,
        definition_version: u64,
        state: StateWire,
        state_version: u64,
    ) -> Self {
        Self {
            key: definition.key.clone(),
            environment: env.clone(),
            class: definition.class,
            value_type: definition.value_type,
            flag_version: definition_version + state_version,
            state,
        }
    }
}
