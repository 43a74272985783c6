//! What a grant may do, in IAM's words and in CloudFront's. Nothing here but text: tests read this very file.

use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::time::Timestamp;
use serde_json::json;

/// The names that a grant of a scope reads; where one ends in `*`, all that begin so. Chunks stand among the organization's,
/// under names that say what is in them: whoever has no root that lists a chunk cannot ask for it, and nobody may list them.
pub(crate) fn readable(scope: &ScopeId) -> Vec<String> {
    let ScopeId { org, env, .. } = scope;
    let mut names = vec!["trust.json".to_owned(), "trust/*".to_owned(), format!("{org}/chunks/*")];
    names.push(scope.root_name());
    // Who may have all of an environment may have it earlier, or without the keys.
    let besides = match scope.scope {
        Scope::Relay => vec![Scope::Environment, Scope::Canary],
        Scope::Environment => vec![Scope::Canary],
        Scope::Canary | Scope::Tenant(_) => Vec::new(),
    };
    for scope in besides {
        names.push(ScopeId { org: org.clone(), env: env.clone(), scope }.root_name());
    }
    names
}

/// The policy of credentials that read one scope's manifest.
pub(crate) fn reading_policy(bucket_arn: &str, scope: &ScopeId) -> String {
    let names = readable(scope);
    let objects: Vec<String> = names.iter().map(|name| format!("{bucket_arn}/{name}")).collect();
    let statement = json!({"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": objects});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

/// The custom policy of a pass: CloudFront takes one statement in it, with one resource. What a `*` stands for may have `/` and
/// `?` in it, so there is none but at the end of a folder.
pub(crate) fn pass_policy(address: &str, names: &str, ends: Timestamp) -> String {
    let resource = format!("{address}/{names}");
    let condition = json!({"DateLessThan": {"AWS:EpochTime": ends.as_seconds()}});
    json!({"Statement": [{"Resource": resource, "Condition": condition}]}).to_string()
}
