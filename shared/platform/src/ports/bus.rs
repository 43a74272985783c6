//! The bus: doorbells, at least once, in any order.

use async_trait::async_trait;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::propagation::Propagation;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a doorbell says. Nothing's correctness depends on its order or count (DESIGN §6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "camelCase")]
pub enum Notice {
    /// A log grew to `number`: the environment's own, or the organization's when `env` is absent.
    #[serde(rename_all = "camelCase")]
    Changed {
        org: OrgKey,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        env: Option<EnvKey>,
        number: u64,
        /// The change's type, say `set-enabled`.
        change: String,
        /// How soon it has to be everywhere.
        #[serde(default)]
        propagation: Propagation,
    },
    /// New roots of an environment can be fetched.
    #[serde(rename_all = "camelCase")]
    Published {
        org: OrgKey,
        env: EnvKey,
        /// `<org>.<env>`, for people and logs.
        revision: String,
    },
}

/// The bus did not take what it was given.
#[derive(Debug, Error)]
#[error("the bus did not take what it was given")]
pub struct BusError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Publishing only: who listens is composition.
#[async_trait]
pub trait Bus: Send + Sync + std::fmt::Debug {
    /// Rings for the platform's own parts.
    async fn publish(&self, notice: &Notice) -> Result<(), BusError>;
}
