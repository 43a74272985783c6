//! What is asked: drawn by seed, with a taste for what is nearly right.

use std::collections::BTreeMap;

use flagforge_tests::Rendered;

/// The organization whose sessions are asked about.
pub(crate) const ORG: &str = "acme";

/// On whose behalf.
#[derive(Debug, Clone)]
pub(crate) enum Who {
    /// A role by itself.
    Role(String),
    /// A role in a session within [`ORG`].
    InSession(String),
    /// A role in a session of the operator's on [`ORG`].
    Operating(String),
    /// The policy of a session within [`ORG`], as if its role allowed everything.
    Session,
    /// The same of the operator's session.
    Operation,
}

/// One question.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) action: &'static str,
    pub(crate) resource: String,
    /// `None`: the request names no partition.
    pub(crate) partitions: Option<Vec<String>>,
}

/// What the platform does to a table, and what it must not, or never needs.
const ACTIONS: [&str; 32] = [
    "dynamodb:GetItem",
    "dynamodb:GetItem",
    "dynamodb:Query",
    "dynamodb:Query",
    "dynamodb:PutItem",
    "dynamodb:PutItem",
    "dynamodb:DeleteItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:UpdateItem",
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:Scan",
    "dynamodb:PartiQLSelect",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
    "dynamodb:PartiQLDelete",
    "dynamodb:DescribeTable",
    "dynamodb:DeleteTable",
    "dynamodb:UpdateTable",
    "dynamodb:UpdateTimeToLive",
    "dynamodb:CreateBackup",
    "dynamodb:ExportTableToPointInTime",
    "dynamodb:RestoreTableToPointInTime",
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
    "dynamodb:ListTables",
    "sts:AssumeRole",
    "sts:AssumeRole",
    "iam:PassRole",
    "iam:PutRolePolicy",
];

/// What follows an organization in its partitions.
const RESTS: [&str; 10] = [
    "#",
    "#log",
    "#idem",
    "#use",
    "#texts",
    "#by-tenant",
    "#env#prod",
    "#env#prod#log",
    "#env#prod#by-tenant",
    "#env#acme",
];

/// Others, and those whose names nearly are the organization's.
const OTHERS: [&str; 10] =
    ["acme-2", "acm", "acmee", "a", "x-acme", "2-acme", "globex", "operator", "Acme", "acme-"];

/// What is no partition of anybody's, or not of an organization's.
const ODD: [&str; 14] = [
    "~#orgs",
    "~#orgs",
    "~#orgs",
    "~#",
    "~#orgs2",
    "~",
    "",
    "#",
    "acme",
    "*#",
    "acme*",
    "?cme#",
    "#acme#",
    "acme-2#acme#",
];

impl Asked {
    pub(crate) fn draw(chance: &mut Chance, rendered: &Rendered) -> Self {
        let action = *chance.one(&ACTIONS);
        let resource = match action.split(':').next() {
            Some("dynamodb") if chance.below(16) == 0 => rendered.connections_arn().to_owned(),
            Some("dynamodb") => table(chance, rendered.table_arn(), rendered.stream_arn()),
            _ => role(chance, rendered),
        };
        // Transactions name one partition for each action; more at once is what a batch would name.
        let partitions = match chance.below(10) {
            0 => None,
            1 => Some(Vec::new()),
            2 => Some((0..2 + chance.below(3)).map(|_| partition(chance)).collect()),
            3 => Some(vec![own(chance), other(chance)]),
            4 => Some(vec!["~#orgs".to_owned()]),
            _ => Some(vec![partition(chance)]),
        };
        Self { action, resource, partitions }
    }

    pub(crate) fn context(&self) -> BTreeMap<&str, Vec<String>> {
        self.partitions.iter().map(|keys| ("dynamodb:LeadingKeys", keys.clone())).collect()
    }
}

fn table(chance: &mut Chance, table: &str, stream: &str) -> String {
    match chance.below(12) {
        0 => format!("{table}/index/by-tenant"),
        1 | 2 => stream.to_owned(),
        3 => format!("{table}-2"),
        4 => table.replace(":table/", ":table/x-"),
        5 => table.replace("us-east-1", "eu-west-1"),
        6 => table.replace("000000000000", "111111111111"),
        7 => "*".to_owned(),
        _ => table.to_owned(),
    }
}

fn role(chance: &mut Chance, rendered: &Rendered) -> String {
    let roles = rendered.roles();
    let arn = rendered.role_arn(chance.one::<String>(&roles));
    match chance.below(6) {
        0 => format!("{arn}-2"),
        1 => arn.replace("000000000000", "111111111111"),
        _ => arn,
    }
}

fn partition(chance: &mut Chance) -> String {
    match chance.below(4) {
        0 | 1 => own(chance),
        2 => other(chance),
        _ => (*chance.one(&ODD)).to_owned(),
    }
}

fn own(chance: &mut Chance) -> String {
    format!("{ORG}{}", chance.one(&RESTS))
}

fn other(chance: &mut Chance) -> String {
    format!("{}{}", chance.one(&OTHERS), chance.one(&RESTS))
}

/// Chance by seed: xorshift64*, so that a failure can be had again.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn).unwrap() % bound
    }

    pub(crate) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}
