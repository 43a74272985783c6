//! What Lambda hands to the functions behind the stream, the queues and the clock, and what it is answered.
//!
//! Only the few fields that are read are described here, so that no crate of Lambda's is needed, and a poison record spoils
//! itself only.

pub mod clock;
pub mod queue;
pub mod socket;
pub mod stream;

#[cfg(test)]
mod recorder;

use serde::Serialize;

/// The answer to a batch, for sources with `ReportBatchItemFailures`: what to deliver again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    batch_item_failures: Vec<BatchItemFailure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: String,
}

impl BatchResponse {
    fn of_failed(identifiers: impl IntoIterator<Item = String>) -> Self {
        let failures =
            identifiers.into_iter().map(|item_identifier| BatchItemFailure { item_identifier });
        Self { batch_item_failures: failures.collect() }
    }

    /// The identifiers of what failed; empty when all is done.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str())
    }
}
