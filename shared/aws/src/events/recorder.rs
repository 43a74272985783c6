//! A platform for the tests beside: its bus writes down what rang, and refuses what it is told to.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flagforge_platform::Platform;
use flagforge_platform::ports::{Bus, BusError, Notice, OneTable, SystemTimer};

use crate::settings::Variable;
use crate::unset::Unset;

#[derive(Debug, Clone, Default)]
pub(crate) struct Recorder {
    rung: Arc<Mutex<Vec<String>>>,
    refused: Vec<u64>,
}

impl Recorder {
    /// Refuses the entries of these numbers.
    pub(crate) fn refusing(numbers: &[u64]) -> Self {
        Self { refused: numbers.to_vec(), ..Self::default() }
    }

    /// A platform that has this bus, and no other hands.
    pub(crate) fn platform(&self) -> Platform {
        let unset = Arc::new(Unset(Variable::Table));
        let bus = Arc::new(self.clone());
        Platform::new(
            Arc::new(OneTable(unset.clone())),
            unset.clone(),
            unset,
            bus,
            Arc::new(SystemTimer),
            None,
        )
    }

    pub(crate) fn rung(&self) -> Vec<String> {
        self.rung.lock().unwrap().clone()
    }
}

#[async_trait]
impl Bus for Recorder {
    async fn publish(&self, notice: &Notice) -> Result<(), BusError> {
        let Notice::Changed { org, env, number, change, .. } = notice else { return Ok(()) };
        if self.refused.contains(number) {
            return Err(BusError("refused".into()));
        }
        let env = env.as_ref().map(|env| format!("/{env}")).unwrap_or_default();
        self.rung.lock().unwrap().push(format!("{org}{env} {number} {change}"));
        Ok(())
    }
}
