//! What is read of an environment, and what is refused.

use super::*;

const SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn read(pairs: &[(&str, &str)], needed: &[Variable]) -> Result<Settings, SettingsError> {
    let aws = [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "do-not-print"),
    ];
    let all: Vec<_> = pairs.iter().chain(&aws).copied().collect();
    // The first entry wins, so a case can take one of the three away.
    let lookup = |name: &str| all.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
    Settings::read(&lookup, needed)
}

#[test]
fn what_is_needed_and_missing_is_named() {
    for variable in [Variable::Table, Variable::Bucket, Variable::Key, Variable::RootsTopic] {
        let missing = read(&[], &[variable]).unwrap_err();
        assert_eq!(missing, SettingsError::Missing(variable));
        assert!(missing.to_string().contains(variable.name()));
        assert!(read(&[(variable.name(), "x")], &[variable]).is_ok());
        assert_eq!(read(&[(variable.name(), "")], &[variable]).unwrap_err(), missing);
    }
    assert!(read(&[], &[]).is_ok());
    for variable in [Variable::Region, Variable::AccessKeyId, Variable::SecretAccessKey] {
        let missing = read(&[(variable.name(), "")], &[]).unwrap_err();
        assert_eq!(missing, SettingsError::Missing(variable));
    }
}

#[test]
fn a_role_names_its_account_and_so_its_tables() {
    let role = "arn:aws-cn:iam::123456789012:role/path/x-api-org";
    let read_role = |text| read(&[(Variable::OrgRole.name(), text)], &[]).map(|s| s.org_role);
    let found = read_role(role).unwrap().unwrap();
    assert_eq!(found.as_str(), role);
    let table = found.table_arn("cn-north-1", "t");
    assert_eq!(table, "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/t");
    assert_eq!(read_role("").unwrap(), None);
    for bad in [
        "x-api-org",
        "arn:aws:iam::12345678901:role/x",
        "arn:aws:iam::12345678901a:role/x",
        "arn:aws:iam::123456789012:role/",
        "arn:aws:iam::123456789012:user/x",
        "arn:aws:sts:us-east-1:123456789012:assumed-role/x",
        "arn::iam::123456789012:role/x",
    ] {
        assert!(read_role(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_operators_key_is_whole_or_absent() {
    let id = (Variable::OperatorKeyId.name(), "operator.one");
    let sha256 = (Variable::OperatorKeySha256.name(), SHA256);
    let bad = (Variable::OperatorKeySha256.name(), "abc");
    assert!(read(&[], &[]).unwrap().operator.is_none());
    let operator = read(&[id, sha256], &[]).unwrap().operator.unwrap();
    assert_eq!((operator.id.as_str(), operator.secret_sha256.to_string()), (id.1, SHA256.into()));
    let missing = |variable| Some(SettingsError::Missing(variable));
    assert_eq!(read(&[id], &[]).err(), missing(Variable::OperatorKeySha256));
    assert_eq!(read(&[sha256], &[]).err(), missing(Variable::OperatorKeyId));
    let malformed = read(&[id, bad], &[]).unwrap_err();
    assert!(matches!(malformed, SettingsError::Malformed { .. }));
    assert!(!malformed.to_string().contains("abc"));
}

#[test]
fn batch_failures_are_one_of_two_words() {
    let name = Variable::BatchFailures.name();
    assert_eq!(read(&[], &[]).unwrap().batch_failures(), BatchFailures::Partial);
    assert_eq!(read(&[(name, "whole")], &[]).unwrap().batch_failures(), BatchFailures::Whole);
    assert!(read(&[(name, "half")], &[]).is_err());
}

#[test]
fn own_addresses_are_called_only_when_that_is_said() {
    let name = Variable::AllowLoopback.name();
    assert!(!read(&[], &[]).unwrap().allow_loopback);
    assert!(read(&[(name, "true")], &[]).unwrap().allow_loopback);
    assert!(read(&[(name, "yes")], &[]).is_err());
}

#[test]
fn origins_are_a_list() {
    let name = Variable::CorsOrigins.name();
    assert!(read(&[], &[]).unwrap().cors_origins().is_empty());
    let two = read(&[(name, "https://a.example, https://b.example")], &[]).unwrap();
    assert_eq!(two.cors_origins(), ["https://a.example", "https://b.example"]);
}

#[test]
fn settings_do_not_print_secrets() {
    assert!(!format!("{:?}", read(&[], &[]).unwrap()).contains("do-not-print"));
}

#[test]
fn a_distribution_has_all_of_its_variables_or_none() {
    let all = [
        (Variable::DistributionAddress.name(), "https://d1.example"),
        (Variable::DistributionKey.name(), "alias/passes"),
        (Variable::DistributionKeyPair.name(), "K1"),
    ];
    assert_eq!(read(&[], &[]).unwrap().distribution, None);
    let distribution = read(&all, &[]).unwrap().distribution.unwrap();
    assert_eq!(distribution.address, "https://d1.example");
    let missing = read(&all[..2], &[]).unwrap_err();
    assert_eq!(missing, SettingsError::Missing(Variable::DistributionKeyPair));
}
