//! DynamoDB's errors in the port's words.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::CancellationReason;
use flagforge_platform::ports::TableError;

/// Codes of calls and of cancelled actions that say: not now.
const CONTENDED: [&str; 6] = [
    "TransactionConflict",
    "ThrottlingError",
    "ThrottlingException",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
];

pub(super) fn of_read<E>(error: SdkError<E>) -> TableError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error.code() {
        Some(code) if CONTENDED.contains(&code) => TableError::Contended,
        _ => TableError::Unavailable(error.into()),
    }
}

pub(super) fn of_transaction(error: SdkError<TransactWriteItemsError>) -> TableError {
    if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
        error.as_service_error()
        && let Some(outcome) = of_reasons(cancelled.cancellation_reasons())
    {
        return outcome;
    }
    // `TransactionInProgressException` lands among the unavailable: its first sending may yet succeed.
    of_read(error)
}

/// Reasons stand in the order of the actions. A condition that failed outweighs a conflict: trying again would not help.
fn of_reasons(reasons: &[CancellationReason]) -> Option<TableError> {
    let codes = || reasons.iter().map(|reason| reason.code().unwrap_or_default());
    let failed: Vec<usize> = (codes().enumerate())
        .filter(|(_, code)| *code == "ConditionalCheckFailed")
        .map(|(index, _)| index)
        .collect();
    if !failed.is_empty() {
        return Some(TableError::Conflict { failed });
    }
    codes().any(|code| CONTENDED.contains(&code)).then_some(TableError::Contended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(codes: &[&str]) -> Option<TableError> {
        let reason = |code: &&str| CancellationReason::builder().code(*code).build();
        of_reasons(&codes.iter().map(reason).collect::<Vec<_>>())
    }

    #[test]
    fn conditions_that_failed_are_named_by_their_index() {
        for codes in [
            ["None", "ConditionalCheckFailed", "None", "ConditionalCheckFailed"],
            ["TransactionConflict", "ConditionalCheckFailed", "None", "ConditionalCheckFailed"],
        ] {
            let outcome = of(&codes);
            assert!(
                matches!(&outcome, Some(TableError::Conflict { failed }) if *failed == [1, 3]),
                "{outcome:?}"
            );
        }
    }

    #[test]
    fn conflicts_and_throttling_say_try_again_and_the_rest_does_not() {
        for code in ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"] {
            assert!(matches!(of(&["None", code]), Some(TableError::Contended)), "{code}");
        }
        for code in ["ValidationError", "ItemCollectionSizeLimitExceeded", "None"] {
            assert!(of(&["None", code]).is_none(), "{code}");
        }
        assert!(of(&[]).is_none());
    }
}
