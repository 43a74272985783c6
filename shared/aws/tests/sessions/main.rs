//! What sessions can do and cannot, on the stack that `localstack/up` applied, with IAM enforced (`AUTH=true`).
//!
//! MiniStack enforces actions, resources, trust and session policies by itself. `dynamodb:LeadingKeys` it does not know:
//! `localstack/stack/leading_keys.py` teaches it, so what is said here of partitions is said of that file and of the
//! policies, and not of AWS. `tests/policies` asks an evaluator of our own about them at length.

#[cfg(test)]
mod enforced;
