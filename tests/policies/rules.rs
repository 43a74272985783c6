//! What each may, said in Rust and not in IAM's words. Nothing here reads a policy document.

use flagforge_tests::Rendered;

use crate::ask::{Asked, ORG, Who};

/// Every role there is. One that is not here fails a test, until somebody says what it may.
pub(crate) const ROLES: [&str; 13] = [
    "api",
    "api-org",
    "connect",
    "connect-org",
    "evaluate",
    "evaluate-org",
    "fanout",
    "snapshot",
    "snapshot-org",
    "timer",
    "timer-org",
    "webhooks",
    "webhooks-org",
];

const READS: [&str; 2] = ["dynamodb:GetItem", "dynamodb:Query"];
const WRITES: [&str; 3] =
    ["dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"];
const READS_STREAM: [&str; 3] =
    ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"];

pub(crate) fn may(who: &Who, asked: &Asked, rendered: &Rendered) -> bool {
    match who {
        Who::Role(role) => role_may(role, asked, rendered),
        // Both must allow it.
        Who::InSession(role) => {
            let table = match role.as_str() {
                "connect-org" => rendered.connections_arn(),
                _ => rendered.table_arn(),
            };
            role_may(role, asked, rendered) && within(asked, table, false)
        }
        Who::Operating(role) => {
            role_may(role, asked, rendered) && within(asked, rendered.table_arn(), true)
        }
        Who::Session => within(asked, rendered.table_arn(), false),
        Who::Operation => within(asked, rendered.table_arn(), true),
    }
}

fn role_may(role: &str, asked: &Asked, rendered: &Rendered) -> bool {
    let on_table = asked.resource == rendered.table_arn();
    let assumes =
        |own: &str| asked.action == "sts:AssumeRole" && asked.resource == rendered.role_arn(own);
    match role {
        "api" => {
            let read = READS.contains(&asked.action) && on_table;
            (read && each_is(asked, |key| is_front(key) || key == "~#orgs")) || assumes("api-org")
        }
        // Who listens is in a table apart: by itself it looks there by a connection's id, and at no organization's.
        "connect" => {
            let on_its_own = asked.resource == rendered.connections_arn();
            let by_id = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"];
            let by_id = on_its_own && by_id.contains(&asked.action);
            (by_id && each_is(asked, |key| key.starts_with("~#"))) || assumes("connect-org")
        }
        "connect-org" => {
            let does = READS.contains(&asked.action) || WRITES[..2].contains(&asked.action);
            does && asked.resource == rendered.connections_arn()
        }
        "evaluate" => assumes("evaluate-org"),
        "snapshot" | "timer" | "webhooks" => {
            let listed = asked.action == "dynamodb:Query" && on_table;
            (listed && each_is(asked, |key| key == "~#orgs")) || assumes(&format!("{role}-org"))
        }
        "api-org" | "timer-org" => {
            on_table && (READS.contains(&asked.action) || WRITES.contains(&asked.action))
        }
        "snapshot-org" | "webhooks-org" => on_table && READS.contains(&asked.action),
        "fanout" => {
            let read =
                asked.resource == rendered.stream_arn() && READS_STREAM.contains(&asked.action);
            read || asked.action == "dynamodb:ListStreams"
        }
        _ => false,
    }
}

/// Within the session of an organization.
fn within(asked: &Asked, table: &str, operated: bool) -> bool {
    let does = READS.contains(&asked.action) || WRITES.contains(&asked.action);
    let own = |key: &str| key.split_once('#').is_some_and(|(org, _)| org == ORG);
    let installations =
        |key: &str| operated && key.split_once('#').is_some_and(|(it, _)| it == "~");
    does && asked.resource == table && each_is(asked, |key| own(key) || installations(key))
}

/// The partition of an organization itself, where its keys and people are: everything up to the one `#` at its end, but
/// IAM cannot count and lets pass what ends so.
fn is_front(key: &str) -> bool {
    key.ends_with('#')
}

/// Whether the request names partitions, and each of them passes.
fn each_is(asked: &Asked, passes: impl Fn(&str) -> bool) -> bool {
    let keys = asked.partitions.as_deref().unwrap_or_default();
    keys.iter().any(|key| !key.is_empty()) && keys.iter().all(|key| passes(key))
}
