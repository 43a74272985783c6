//! A signed policy as the query of a request. Nothing here but text: tests read this very file.

use base64ct::{Base64, Encoding as _};

/// The query of a request that shows a custom policy to CloudFront: the policy, its signature in DER by ECDSA over P-256 with
/// SHA-256, and which public key checks it.
pub(crate) fn pass_query(policy: &str, signature: &[u8], key_pair: &str) -> String {
    let (policy, signature) = (in_a_query(policy.as_bytes()), in_a_query(signature));
    format!("Policy={policy}&Signature={signature}&Key-Pair-Id={key_pair}&Hash-Algorithm=SHA256")
}

/// Base64 with `-`, `_` and `~` where it has `+`, `=` and `/`: CloudFront's own, and not base64url.
fn in_a_query(bytes: &[u8]) -> String {
    Base64::encode_string(bytes).replace('+', "-").replace('=', "_").replace('/', "~")
}
