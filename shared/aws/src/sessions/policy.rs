//! What a session may do, in IAM's words. Nothing here but text: a policy evaluator in `tests` reads this very file.

use flagforge_platform::ports::Reach;
use serde_json::json;

/// What is done to a table. A transaction is authorized as the actions it is made of.
const ACTIONS: [&str; 5] = [
    "dynamodb:GetItem",
    "dynamodb:Query",
    "dynamodb:PutItem",
    "dynamodb:DeleteItem",
    "dynamodb:ConditionCheckItem",
];

/// The policy of a session with this reach. IAM allows what both the role that is assumed and this policy allow, so the
/// role says what its function does to tables, and this to whose partitions.
///
/// `ForAllValues` holds of a request that names no partition at all, as a Scan is one; `Null` refuses those.
pub(crate) fn session_policy(table_arn: &str, reach: &Reach) -> String {
    let partitions: Vec<String> =
        reach.prefixes().into_iter().map(|prefix| format!("{prefix}*")).collect();
    let statement = json!({
        "Effect": "Allow",
        "Action": ACTIONS,
        "Resource": table_arn,
        "Condition": {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": partitions},
            "Null": {"dynamodb:LeadingKeys": "false"},
        },
    });
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}
