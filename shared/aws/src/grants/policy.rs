//! What a grant may do, in IAM's words. Nothing here but text: a policy evaluator in `tests` reads this very file.

use flagforge_flags::manifest::{Scope, ScopeId};
use serde_json::json;

/// The policy of credentials that read one scope's manifest. Its chunks stand among the organization's, under names that
/// say what is in them: whoever has no root that lists a chunk cannot ask for it, and nobody may list them.
pub(crate) fn reading_policy(bucket_arn: &str, scope: &ScopeId) -> String {
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
    let objects: Vec<String> = names.iter().map(|name| format!("{bucket_arn}/{name}")).collect();
    let statement = json!({"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": objects});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}
