//! The clock's ticks, for `functions/timer`.

use flagforge_platform::ports::{SystemTimer, Timer as _};
use flagforge_platform::{Caller, Error, Platform, handle};
use serde::Deserialize;

/// What it is time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "tick", rename_all = "camelCase")]
pub enum Tick {
    /// To make the scheduled changes that are due.
    Fire,
    /// To ask the sources of tenants that are due.
    Pull,
    /// To collect what is left behind.
    Collect,
}

impl Tick {
    /// In whose name the platform acts then: the same as on one machine.
    pub fn actor(self) -> &'static str {
        match self {
            Self::Fire => "scheduler",
            Self::Pull => "tenant-source",
            Self::Collect => "collector",
        }
    }
}

/// Does what it is time for, as `caller`, in every organization.
pub async fn tick(platform: &Platform, caller: &Caller, tick: Tick) -> Result<(), Error> {
    match tick {
        Tick::Fire => handle::fire(platform, caller, SystemTimer.now()).await,
        Tick::Pull => handle::tenant_sources(platform, caller).await,
        Tick::Collect => handle::collect(platform, caller).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::recorder::Recorder;

    #[test]
    fn a_tick_is_read_and_nothing_else() {
        let read = |text: &str| serde_json::from_str::<Tick>(text).ok();
        assert_eq!(read(r#"{"tick":"fire"}"#), Some(Tick::Fire));
        assert_eq!(read(r#"{"tick":"pull"}"#), Some(Tick::Pull));
        assert_eq!(read(r#"{"tick":"collect"}"#), Some(Tick::Collect));
        assert_eq!((read(r#"{"tick":"sign"}"#), read("{}")), (None, None));
    }

    #[tokio::test]
    async fn a_tick_that_cannot_be_served_fails_loudly() {
        let platform = Recorder::default().platform();
        for it in [Tick::Fire, Tick::Pull, Tick::Collect] {
            assert!(tick(&platform, &Caller::system(it.actor()), it).await.is_err(), "{it:?}");
        }
    }
}
