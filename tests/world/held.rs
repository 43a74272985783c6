//! Tables that are held to the policies of a function on AWS, so that a journey in one process shows which calls IAM
//! would refuse there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use async_trait::async_trait;
use flagforge_flags::manifest::ScopeId;
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{
    Item, ItemKey, Page, Query, Reach, Table, TableError, Tables, Write,
};
use serde_json::Value as Json;

use crate::iam::{Ask, Policy, Principal};

/// The very file that the functions make sessions of; their crate would bring the AWS SDK into these tests.
#[path = "../../shared/aws/src/sessions/policy.rs"]
mod policy;
/// As is this one, that the function makes grants of.
#[path = "../../shared/aws/src/grants/policy.rs"]
mod reading;

/// What Terraform renders for each role, as applied to the emulated cloud: `infra/policies.json`.
#[derive(Debug, Clone)]
pub struct Rendered(pub Json);

impl Rendered {
    pub fn read() -> anyhow::Result<Self> {
        let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/policies.json");
        let text = std::fs::read_to_string(place).context(place)?;
        Ok(Self(serde_json::from_str(&text).context(place)?))
    }

    /// The roles, by the word of each: a function's, and `<function>-org` for its sessions.
    pub fn roles(&self) -> Vec<String> {
        self.0["roles"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }

    pub fn table_arn(&self) -> &str {
        self.0["table"].as_str().unwrap_or_default()
    }

    /// The table's stream.
    pub fn stream_arn(&self) -> &str {
        self.0["stream"].as_str().unwrap_or_default()
    }

    /// The table of those who listen by WebSocket.
    pub fn connections_arn(&self) -> &str {
        self.0["connections"].as_str().unwrap_or_default()
    }

    pub fn role_arn(&self, role: &str) -> String {
        self.0["roles"][role]["arn"].as_str().unwrap_or_default().to_owned()
    }

    /// What a role may do by itself.
    pub fn policy(&self, role: &str) -> anyhow::Result<Policy> {
        Policy::parse(&self.0["roles"][role]["policy"]).with_context(|| format!("the role {role}"))
    }

    /// The policy of credentials that read one scope of a bucket.
    pub fn reading(&self, bucket_arn: &str, scope: &ScopeId) -> anyhow::Result<Json> {
        Ok(serde_json::from_str(&reading::reading_policy(bucket_arn, scope))?)
    }

    /// The policies that are signed so that a distribution answers one scope's objects.
    pub fn passes(&self, address: &str, scope: &ScopeId) -> anyhow::Result<Vec<Json>> {
        let ends = Timestamp::from_seconds(1_800_000_000);
        let names = reading::readable(scope).into_iter();
        let policies = names.map(|names| reading::pass_policy(address, &names, ends));
        Ok(policies.map(|policy| serde_json::from_str(&policy)).collect::<Result<_, _>>()?)
    }

    /// What the functions pass with a session of this reach.
    pub fn session(&self, reach: &Reach) -> anyhow::Result<Json> {
        self.session_on(self.table_arn(), reach)
    }

    /// The same on another table.
    pub fn session_on(&self, table_arn: &str, reach: &Reach) -> anyhow::Result<Json> {
        Ok(serde_json::from_str(&policy::session_policy(table_arn, reach))?)
    }
}

/// A table for everybody behind the policies of one function.
#[derive(Debug)]
pub struct HeldTables {
    table: Arc<dyn Table>,
    rendered: Rendered,
    /// What the function may by itself, and what it may in sessions.
    function: Policy,
    sessions: Policy,
    calls: Arc<Mutex<Calls>>,
}

/// What was asked.
#[derive(Debug, Default, Clone)]
pub struct Calls {
    pub at_the_door: usize,
    pub in_sessions: usize,
    pub refused: Vec<String>,
}

impl HeldTables {
    pub fn new(table: Arc<dyn Table>, function: &str) -> anyhow::Result<Self> {
        let rendered = Rendered::read()?;
        let sessions = rendered.policy(&format!("{function}-org"))?;
        let function = rendered.policy(function)?;
        Ok(Self { table, rendered, function, sessions, calls: Arc::default() })
    }

    pub fn calls(&self) -> Calls {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn held(&self, principal: Principal, who: String) -> Arc<dyn Table> {
        Arc::new(HeldTable {
            table: self.table.clone(),
            arn: self.rendered.table_arn().to_owned(),
            principal,
            who,
            calls: self.calls.clone(),
        })
    }
}

impl Tables for HeldTables {
    fn at_the_door(&self) -> Arc<dyn Table> {
        let identity = vec![self.function.clone()];
        self.held(Principal { identity, session: None }, "the function at the door".to_owned())
    }

    fn within(&self, reach: &Reach) -> Arc<dyn Table> {
        let session = self.rendered.session(reach).and_then(|document| Policy::parse(&document));
        let principal = match session {
            Ok(session) => {
                Principal { identity: vec![self.sessions.clone()], session: Some(session) }
            }
            // A session whose policy nobody understands may do nothing.
            Err(_) => Principal { identity: Vec::new(), session: None },
        };
        self.held(principal, format!("the session for {reach:?}"))
    }
}

#[derive(Debug)]
struct HeldTable {
    table: Arc<dyn Table>,
    arn: String,
    principal: Principal,
    who: String,
    calls: Arc<Mutex<Calls>>,
}

impl HeldTable {
    fn may(&self, action: &str, key: &str) -> Result<(), TableError> {
        let context = BTreeMap::from([("dynamodb:LeadingKeys", vec![key.to_owned()])]);
        let allowed = self.principal.may(&Ask { action, resource: &self.arn, context });
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        match self.principal.session {
            Some(_) => calls.in_sessions += 1,
            None => calls.at_the_door += 1,
        }
        if allowed {
            return Ok(());
        }
        let refused = format!("{} may not {action} at {key}", self.who);
        calls.refused.push(refused.clone());
        Err(TableError::Unavailable(refused.into()))
    }
}

#[async_trait]
impl Table for HeldTable {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, TableError> {
        self.may("dynamodb:GetItem", &key.pk)?;
        self.table.get(key).await
    }

    async fn query(&self, query: &Query) -> Result<Page, TableError> {
        self.may("dynamodb:Query", &query.pk)?;
        self.table.query(query).await
    }

    async fn transact(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), TableError> {
        for write in &writes {
            let action = match write {
                Write::Put { .. } => "dynamodb:PutItem",
                Write::Delete { .. } => "dynamodb:DeleteItem",
                Write::Check { .. } => "dynamodb:ConditionCheckItem",
            };
            self.may(action, &write.key().pk)?;
        }
        self.table.transact(writes, token).await
    }
}
