//! What a function is told by its environment, read once at start: a variable that is missing or wrong is named then,
//! and not at the first request that needs it.

use std::fmt;

use flagforge_flags::manifest::Digest;
use flagforge_platform::{HttpOutbound, Operator};
use thiserror::Error;

use crate::bus::Topics;

/// A setting, by the environment variable it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// The DynamoDB table's name.
    Table,
    /// The ARN of the role whose sessions reach one organization of the table.
    OrgRole,
    /// The S3 bucket's name.
    Bucket,
    /// The KMS key's id, ARN or alias.
    Key,
    /// The address of a distribution in front of the bucket, `https://<host>`.
    DistributionAddress,
    /// The id, ARN or alias of the KMS key whose signatures it takes.
    DistributionKey,
    /// The id that its public half has in CloudFront.
    DistributionKeyPair,
    /// The ARN of the topic that rings when a log grew.
    ChangesTopic,
    /// The ARN of the topic that rings when a manifest can be fetched.
    RootsTopic,
    /// The ARN of the topic that tells those outside what changed.
    EventsTopic,
    /// Where API Gateway is told what to say to whoever is connected by WebSocket.
    SocketEndpoint,
    /// The id of the operator's key.
    OperatorKeyId,
    /// The SHA-256 of the operator's key's secret, in hexadecimal.
    OperatorKeySha256,
    /// What a stream's batch with a failure answers: `partial` (the default) or `whole`.
    BatchFailures,
    /// Whether addresses that customers name may be on the function's own machine: `true`, or not set. For emulators.
    AllowLoopback,
    /// The web origins whose pages may call the management API, comma between.
    CorsOrigins,
    /// Where AWS is.
    Region,
    /// Who the function is.
    AccessKeyId,
    /// Its secret.
    SecretAccessKey,
}

impl Variable {
    /// The variable's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "FLAGFORGE_TABLE",
            Self::OrgRole => "FLAGFORGE_ORG_ROLE",
            Self::Bucket => "FLAGFORGE_BUCKET",
            Self::Key => "FLAGFORGE_KEY",
            Self::DistributionAddress => "FLAGFORGE_DISTRIBUTION_ADDRESS",
            Self::DistributionKey => "FLAGFORGE_DISTRIBUTION_KEY",
            Self::DistributionKeyPair => "FLAGFORGE_DISTRIBUTION_KEY_PAIR",
            Self::ChangesTopic => "FLAGFORGE_CHANGES_TOPIC",
            Self::RootsTopic => "FLAGFORGE_ROOTS_TOPIC",
            Self::EventsTopic => "FLAGFORGE_EVENTS_TOPIC",
            Self::SocketEndpoint => "FLAGFORGE_SOCKET_ENDPOINT",
            Self::OperatorKeyId => "FLAGFORGE_OPERATOR_KEY_ID",
            Self::OperatorKeySha256 => "FLAGFORGE_OPERATOR_KEY_SHA256",
            Self::BatchFailures => "FLAGFORGE_BATCH_FAILURES",
            Self::AllowLoopback => "FLAGFORGE_ALLOW_LOOPBACK",
            Self::CorsOrigins => "FLAGFORGE_CORS_ORIGINS",
            Self::Region => "AWS_REGION",
            Self::AccessKeyId => "AWS_ACCESS_KEY_ID",
            Self::SecretAccessKey => "AWS_SECRET_ACCESS_KEY",
        }
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the environment does not do. It never repeats a value, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// The variable is not set, or empty.
    #[error("the environment variable {0} is not set")]
    Missing(Variable),
    /// The variable is set to something else than it must be.
    #[error("the environment variable {variable} must be {expected}")]
    Malformed {
        /// Which one.
        variable: Variable,
        /// What it must be.
        expected: &'static str,
    },
}

/// What a stream's batch answers when one of its records failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BatchFailures {
    /// The first record that failed: Lambda goes on from there.
    #[default]
    Partial,
    /// An error: the batch comes again, whole. For emulators that take a partial failure for a success.
    Whole,
}

/// Who calls AWS, where, and how it is found.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    pub(crate) region: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: Option<String>,
    /// One address for all services, as an emulator has it.
    pub(crate) endpoint: Option<String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, access_key_id, endpoint, .. } = self;
        write!(f, "Access({access_key_id} in {region} at {endpoint:?})")
    }
}

/// The ARN of a role, whose parts name what else is in its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleArn {
    text: String,
    partition: String,
    account: String,
}

impl RoleArn {
    /// Parses `arn:<partition>:iam::<account>:role/<name>`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, role] = parts.as_slice() else { return None };
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_role = role.strip_prefix("role/").is_some_and(|name| !name.is_empty());
        (is_account && is_role && !partition.is_empty()).then(|| Self {
            text: text.to_owned(),
            partition: (*partition).to_owned(),
            account: (*account).to_owned(),
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The ARN of a bucket in the role's partition.
    pub(crate) fn bucket_arn(&self, bucket: &str) -> String {
        format!("arn:{}:s3:::{bucket}", self.partition)
    }

    /// The ARN of a table in the role's account.
    pub(crate) fn table_arn(&self, region: &str, table: &str) -> String {
        format!("arn:{}:dynamodb:{region}:{}:table/{table}", self.partition, self.account)
    }
}

/// A distribution in front of the bucket, and what signs for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Distribution {
    pub(crate) address: String,
    pub(crate) key: String,
    pub(crate) key_pair: String,
}

/// A function's settings. What it did not ask for may be absent.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) access: Access,
    pub(crate) table: Option<String>,
    pub(crate) org_role: Option<RoleArn>,
    pub(crate) bucket: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) distribution: Option<Distribution>,
    pub(crate) topics: Topics,
    pub(crate) events_topic: Option<String>,
    pub(crate) socket_endpoint: Option<String>,
    pub(crate) operator: Option<Operator>,
    pub(crate) batch_failures: BatchFailures,
    pub(crate) allow_loopback: bool,
    pub(crate) cors_origins: Vec<String>,
}

impl Settings {
    /// The settings in this process's environment. Each of `needed` must be there, and so must region and credentials.
    pub fn from_env(needed: &[Variable]) -> Result<Self, SettingsError> {
        Self::read(&|name| std::env::var(name).ok(), needed)
    }

    pub(crate) fn read(
        lookup: &dyn Fn(&str) -> Option<String>,
        needed: &[Variable],
    ) -> Result<Self, SettingsError> {
        // An empty variable is how many a tool says "unset".
        let text = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let required =
            |variable: Variable| text(variable.name()).ok_or(SettingsError::Missing(variable));
        for variable in needed {
            required(*variable)?;
        }
        let access = Access {
            region: required(Variable::Region)?,
            access_key_id: required(Variable::AccessKeyId)?,
            secret_access_key: required(Variable::SecretAccessKey)?,
            session_token: text("AWS_SESSION_TOKEN"),
            endpoint: text("AWS_ENDPOINT_URL"),
        };
        Ok(Self {
            access,
            table: text(Variable::Table.name()),
            org_role: org_role(text(Variable::OrgRole.name()).as_deref())?,
            bucket: text(Variable::Bucket.name()),
            key: text(Variable::Key.name()),
            distribution: distribution(&required)?,
            topics: Topics {
                changes: text(Variable::ChangesTopic.name()),
                roots: text(Variable::RootsTopic.name()),
            },
            events_topic: text(Variable::EventsTopic.name()),
            socket_endpoint: text(Variable::SocketEndpoint.name()),
            operator: operator(
                text(Variable::OperatorKeyId.name()),
                text(Variable::OperatorKeySha256.name()),
            )?,
            batch_failures: batch_failures(text(Variable::BatchFailures.name()).as_deref())?,
            allow_loopback: allow_loopback(text(Variable::AllowLoopback.name()).as_deref())?,
            cors_origins: text(Variable::CorsOrigins.name())
                .map(|text| list(&text))
                .unwrap_or_default(),
        })
    }

    /// What a stream's batch with a failure answers.
    pub fn batch_failures(&self) -> BatchFailures {
        self.batch_failures
    }

    /// The web origins whose pages may call the management API.
    pub fn cors_origins(&self) -> &[String] {
        &self.cors_origins
    }

    /// Who calls addresses that customers name.
    pub fn outbound(&self) -> HttpOutbound {
        if self.allow_loopback {
            HttpOutbound::with_loopback()
        } else {
            HttpOutbound::public_only()
        }
    }
}

/// Both of its variables, or neither.
fn operator(id: Option<String>, sha256: Option<String>) -> Result<Option<Operator>, SettingsError> {
    match (id, sha256) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(SettingsError::Missing(Variable::OperatorKeySha256)),
        (None, Some(_)) => Err(SettingsError::Missing(Variable::OperatorKeyId)),
        (Some(id), Some(sha256)) => {
            let secret_sha256 = sha256.parse::<Digest>().map_err(|_| SettingsError::Malformed {
                variable: Variable::OperatorKeySha256,
                expected: "64 hexadecimal digits",
            })?;
            Ok(Some(Operator { id, secret_sha256 }))
        }
    }
}

/// All of its variables, or none.
fn distribution(
    required: &dyn Fn(Variable) -> Result<String, SettingsError>,
) -> Result<Option<Distribution>, SettingsError> {
    let address = required(Variable::DistributionAddress);
    let key = required(Variable::DistributionKey);
    let key_pair = required(Variable::DistributionKeyPair);
    if address.is_err() && key.is_err() && key_pair.is_err() {
        return Ok(None);
    }
    Ok(Some(Distribution { address: address?, key: key?, key_pair: key_pair? }))
}

fn org_role(text: Option<&str>) -> Result<Option<RoleArn>, SettingsError> {
    let expected = "the ARN of a role, arn:…:iam::<account>:role/<name>";
    let malformed = SettingsError::Malformed { variable: Variable::OrgRole, expected };
    text.map(|text| RoleArn::parse(text).ok_or(malformed)).transpose()
}

fn batch_failures(text: Option<&str>) -> Result<BatchFailures, SettingsError> {
    match text {
        None | Some("partial") => Ok(BatchFailures::Partial),
        Some("whole") => Ok(BatchFailures::Whole),
        Some(_) => Err(SettingsError::Malformed {
            variable: Variable::BatchFailures,
            expected: "`partial` or `whole`",
        }),
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(|entry| entry.trim().to_owned()).collect()
}

fn allow_loopback(text: Option<&str>) -> Result<bool, SettingsError> {
    match text {
        None => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(SettingsError::Malformed {
            variable: Variable::AllowLoopback,
            expected: "`true`, or not set",
        }),
    }
}

#[cfg(test)]
mod tests;
