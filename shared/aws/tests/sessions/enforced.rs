//! Calls in sessions, and their refusals.

use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Put, TransactWriteItem};
use aws_sdk_sts::types::Credentials as Given;
use flagforge_aws::{Connection, Settings};
use flagforge_flags::keys::OrgKey;
use flagforge_platform::ports::Reach;

#[path = "../../src/sessions/policy.rs"]
mod policy;

const ACCOUNT: &str = "000000000000";
const TABLE: &str = "flagforge-local";
const TABLE_ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/flagforge-local";
const REFUSED: &[&str] = &["AccessDenied", "AccessDeniedException"];

/// The stack's own roles on an emulator that enforces IAM; `None`, said loudly, where there is none.
struct Cloud {
    connection: Connection,
}

impl Cloud {
    fn running() -> Option<Self> {
        let stack = concat!(env!("CARGO_MANIFEST_DIR"), "/../../localstack/.run/stack.json");
        let stack = std::fs::read_to_string(stack).unwrap_or_default();
        let enforces = stack.contains("\"emulator\": \"ministack\"");
        if !enforces || std::env::var_os("AWS_ENDPOINT_URL").is_none() {
            eprintln!("SKIPPED: no emulator runs that enforces IAM; start one with localstack/up");
            return None;
        }
        let settings = Settings::from_env(&[]).expect("localstack/with sets AWS_*");
        Some(Self { connection: Connection::new(&settings) })
    }

    fn sts(&self, who: Option<&Given>) -> aws_sdk_sts::Client {
        let mut config = aws_sdk_sts::config::Builder::from(self.connection.sdk());
        config.set_credentials_provider(who.map(provider));
        if who.is_none() {
            return aws_sdk_sts::Client::new(self.connection.sdk());
        }
        aws_sdk_sts::Client::from_conf(config.build())
    }

    fn table(&self, who: &Given) -> Calls {
        let mut config = aws_sdk_dynamodb::config::Builder::from(self.connection.sdk());
        config.set_credentials_provider(Some(provider(who)));
        Calls(aws_sdk_dynamodb::Client::from_conf(config.build()))
    }

    /// A function's credentials, as Lambda gets them. The emulator's root may play Lambda.
    async fn function(&self, role: &str) -> Given {
        self.assume(None, role, None, 3_600).await.expect("Lambda assumes the role")
    }

    /// A session within an organization, as `role` asks for it.
    async fn session(
        &self,
        by: &Given,
        role: &str,
        org: &str,
        seconds: i32,
    ) -> Result<Given, String> {
        let reach = Reach::Organization(OrgKey::new(org).unwrap());
        let policy = policy::session_policy(TABLE_ARN, &reach);
        self.assume(Some(by), role, Some(policy), seconds).await
    }

    async fn assume(
        &self,
        by: Option<&Given>,
        role: &str,
        policy: Option<String>,
        seconds: i32,
    ) -> Result<Given, String> {
        let asked = self.sts(by).assume_role().role_session_name("test").duration_seconds(seconds);
        let asked = asked.role_arn(format!("arn:aws:iam::{ACCOUNT}:role/flagforge-local-{role}"));
        let answer = asked.set_policy(policy).send().await;
        let answer = answer.map_err(|error| error.code().unwrap_or("no answer").to_owned())?;
        Ok(answer.credentials.expect("credentials"))
    }
}

fn provider(who: &Given) -> aws_sdk_dynamodb::config::SharedCredentialsProvider {
    let credentials = aws_sdk_dynamodb::config::Credentials::new(
        who.access_key_id(),
        who.secret_access_key(),
        Some(who.session_token().to_owned()),
        None,
        "test",
    );
    aws_sdk_dynamodb::config::SharedCredentialsProvider::new(credentials)
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

/// Calls to the table; each answers `ok` or the code of its refusal.
struct Calls(aws_sdk_dynamodb::Client);

macro_rules! outcome {
    ($request:expr) => {
        match $request.send().await {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.code().unwrap_or("no answer").to_owned(),
        }
    };
}

impl Calls {
    async fn get(&self, pk: &str) -> String {
        self.get_of(TABLE, pk).await
    }

    async fn get_of(&self, table: &str, pk: &str) -> String {
        let request = self.0.get_item().table_name(table);
        outcome!(request.key("pk", text(pk)).key("sk", text("TEST")))
    }

    async fn query(&self, pk: &str) -> String {
        let request = self.0.query().table_name(TABLE).key_condition_expression("pk = :pk");
        outcome!(request.expression_attribute_values(":pk", text(pk)))
    }

    async fn put(&self, pk: &str) -> String {
        let request = self.0.put_item().table_name(TABLE);
        outcome!(request.item("pk", text(pk)).item("sk", text("TEST")))
    }

    async fn delete(&self, pk: &str) -> String {
        let request = self.0.delete_item().table_name(TABLE);
        outcome!(request.key("pk", text(pk)).key("sk", text("TEST")))
    }

    async fn update(&self, pk: &str) -> String {
        let request = self.0.update_item().table_name(TABLE);
        outcome!(request.key("pk", text(pk)).key("sk", text("TEST")))
    }

    async fn scan(&self) -> String {
        outcome!(self.0.scan().table_name(TABLE))
    }

    async fn partiql(&self) -> String {
        let statement = format!("SELECT * FROM \"{TABLE}\" WHERE pk = 'acme#'");
        outcome!(self.0.execute_statement().statement(statement))
    }

    /// Puts one item and checks that another is absent, in one transaction.
    async fn transact(&self, put: &str, check: &str) -> String {
        let item = Put::builder().table_name(TABLE).item("pk", text(put)).item("sk", text("TEST"));
        let absent = ConditionCheck::builder()
            .table_name(TABLE)
            .key("pk", text(check))
            .key("sk", text("NOTHING"))
            .condition_expression("attribute_not_exists(pk)");
        let put = TransactWriteItem::builder().put(item.build().unwrap()).build();
        let check = TransactWriteItem::builder().condition_check(absent.build().unwrap()).build();
        outcome!(self.0.transact_write_items().transact_items(put).transact_items(check))
    }
}

#[track_caller]
fn refused(code: &str) {
    assert!(REFUSED.contains(&code), "{code}");
}

#[tokio::test]
async fn a_session_does_what_it_is_for_and_nothing_else() {
    let Some(cloud) = Cloud::running() else { return };
    let api = cloud.function("api").await;
    let session = cloud.session(&api, "api-org", "narrow-a", 3_600).await.unwrap();
    let calls = cloud.table(&session);
    let own = "narrow-a#env#prod";
    assert_eq!(calls.put(own).await, "ok");
    assert_eq!(calls.get(own).await, "ok");
    assert_eq!(calls.query(own).await, "ok");
    assert_eq!(calls.transact(own, "narrow-a#").await, "ok");
    assert_eq!(calls.delete(own).await, "ok");
    // Actions and resources, which the emulator knows by itself.
    refused(&calls.scan().await);
    refused(&calls.partiql().await);
    refused(&calls.update(own).await);
    refused(&calls.get_of("flagforge-other", own).await);
    refused(&cloud.session(&session, "api-org", "narrow-b", 3_600).await.unwrap_err());
    // Partitions, which it was taught.
    for other in ["narrow-b#", "narrow-a-2#", "narrow-a", "~#orgs"] {
        refused(&calls.get(other).await);
        refused(&calls.query(other).await);
        refused(&calls.put(other).await);
        refused(&calls.delete(other).await);
        refused(&calls.transact(own, other).await);
        refused(&calls.transact(other, own).await);
    }
}

#[tokio::test]
async fn at_the_door_one_looks_and_does_not_write() {
    let Some(cloud) = Cloud::running() else { return };
    let api = cloud.table(&cloud.function("api").await);
    for front in ["narrow-a#", "~#orgs"] {
        assert_eq!(api.get(front).await, "ok");
        assert_eq!(api.query(front).await, "ok");
        refused(&api.put(front).await);
        refused(&api.delete(front).await);
    }
    refused(&api.get("narrow-a#env#prod").await);
    refused(&api.query("narrow-a#log").await);
    refused(&api.scan().await);
    let snapshot = cloud.table(&cloud.function("snapshot").await);
    assert_eq!(snapshot.query("~#orgs").await, "ok");
    refused(&snapshot.get("~#orgs").await);
    refused(&snapshot.query("narrow-a#").await);
}

#[tokio::test]
async fn the_publisher_reads_and_cannot_write() {
    let Some(cloud) = Cloud::running() else { return };
    let snapshot = cloud.function("snapshot").await;
    let session = cloud.session(&snapshot, "snapshot-org", "narrow-a", 3_600).await.unwrap();
    let calls = cloud.table(&session);
    assert_eq!(calls.get("narrow-a#log").await, "ok");
    refused(&calls.put("narrow-a#log").await);
    refused(&calls.get("narrow-b#log").await);
}

#[tokio::test]
async fn a_role_is_assumed_by_its_own_function() {
    let Some(cloud) = Cloud::running() else { return };
    for other in ["evaluate", "fanout", "snapshot"] {
        let function = cloud.function(other).await;
        refused(&cloud.session(&function, "api-org", "narrow-a", 3_600).await.unwrap_err());
    }
    let nobody = cloud.assume(None, "api-org", None, 3_600).await;
    refused(&nobody.expect_err("the account's own root is not the function"));
}

#[tokio::test]
async fn sessions_that_are_over_or_forged_are_refused() {
    let Some(cloud) = Cloud::running() else { return };
    let api = cloud.function("api").await;
    // AWS gives no session so short; the emulator does.
    let brief = cloud.session(&api, "api-org", "narrow-a", 1).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let code = cloud.table(&brief).get("narrow-a#").await;
    assert!(["ExpiredTokenException", "ExpiredToken"].contains(&code.as_str()), "{code}");
    let session = cloud.session(&api, "api-org", "narrow-a", 3_600).await.unwrap();
    assert_eq!(cloud.table(&session).get("narrow-a#").await, "ok");
    let with = |key: &str, secret: &str, token: &str| {
        let expiration = *session.expiration();
        let forged = Given::builder().access_key_id(key).secret_access_key(secret);
        forged.session_token(token).expiration(expiration).build().unwrap()
    };
    let (key, secret, token) =
        (session.access_key_id(), session.secret_access_key(), session.session_token());
    let other = api.session_token();
    for forged in [
        with(key, "another-secret", token),
        with(key, secret, other),
        with(key, secret, "made-up"),
        with("ASIAMADEUPMADEUPMADE", secret, token),
        with(api.access_key_id(), secret, token),
    ] {
        let code = cloud.table(&forged).get("narrow-a#").await;
        assert!(code != "ok" && code != "no answer", "{code}");
    }
}
