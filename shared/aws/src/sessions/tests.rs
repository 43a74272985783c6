//! Sessions against a cloud that writes down who asks it for what.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, channel};

use futures_util::future::join_all;

use super::*;
use crate::faults::Cloud;
use flagforge_flags::keys::OrgKey;

const START_SECONDS: i64 = 1_800_000_000;

/// A clock that stands until it is moved.
#[derive(Debug, Default)]
struct Clock(AtomicI64);

impl Clock {
    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

#[async_trait]
impl Timer for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(START_SECONDS + self.0.load(Ordering::SeqCst))
    }

    async fn sleep(&self, _: Duration) {}
}

/// A cloud whose STS gives sessions of an hour until it is told to fail, and whose table is empty.
struct Scene {
    tables: DynamoTables,
    clock: Arc<Clock>,
    fails: Arc<std::sync::atomic::AtomicBool>,
    /// What was asked: `sts <policy's partition>` or `table <access key>`.
    asked: Receiver<String>,
}

impl Scene {
    fn set() -> Self {
        let (tell, asked) = channel();
        let clock = Arc::new(Clock::default());
        let fails = Arc::new(std::sync::atomic::AtomicBool::default());
        let (now, failing) = (clock.clone(), fails.clone());
        let cloud = Cloud::playing(move |head, body| {
            let (line, answer) = play(head, body, now.now(), failing.load(Ordering::SeqCst));
            let _ = tell.send(line);
            answer
        });
        let role = RoleArn::parse("arn:aws:iam::123456789012:role/x-api-org").unwrap();
        let tables = DynamoTables::new(&cloud.connection, "t", Some(&role), clock.clone());
        Self { tables, clock, fails, asked }
    }

    fn set_failing(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    async fn get(&self, reach: &Reach) -> Result<Option<Item>, TableError> {
        self.tables.within(reach).get(&ItemKey::new("acme#", "ORG")).await
    }

    fn told(&self) -> Vec<String> {
        self.asked.try_iter().collect()
    }
}

fn play(head: &str, body: &str, now: Timestamp, fails: bool) -> (String, (String, String)) {
    let ok = |body: String| ("200 OK".to_owned(), body);
    if !head.contains("x-amz-target") {
        assert!(body.contains("Action=AssumeRole") && body.contains("DurationSeconds=3600"));
        let of = |name: &str| {
            let rest = body.split_once(name).map(|(_, rest)| rest).unwrap_or_default();
            rest.split('&').next().unwrap_or_default().to_owned()
        };
        let name = of("RoleSessionName=");
        let line = format!("sts {name}");
        if fails {
            let denied = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>";
            return (line, ("403 Forbidden".to_owned(), denied.to_owned()));
        }
        assert!(of("Policy=").contains("dynamodb%3ALeadingKeys"), "{body}");
        let ends = serde_json::to_value(now.plus(Duration::from_secs(3_600))).unwrap();
        let ends = ends.as_str().unwrap();
        let answer = format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>KEY-{name}</AccessKeyId>\
             <SecretAccessKey>s</SecretAccessKey><SessionToken>token</SessionToken>\
             <Expiration>{ends}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        );
        return (line, ok(answer));
    }
    let key = head.split_once("credential=").map(|(_, rest)| rest).unwrap_or_default();
    (format!("table {}", key.split('/').next().unwrap_or_default()), ok("{}".to_owned()))
}

fn org(key: &str) -> Reach {
    Reach::Organization(OrgKey::new(key).unwrap())
}

#[tokio::test]
async fn each_reach_has_a_session_of_its_own_and_the_door_none() {
    let scene = Scene::set();
    scene.get(&org("acme")).await.unwrap();
    scene.get(&org("acme-2")).await.unwrap();
    scene.get(&org("acme")).await.unwrap();
    scene.get(&Reach::Operated(OrgKey::new("acme").unwrap())).await.unwrap();
    scene.tables.at_the_door().get(&ItemKey::new("acme#", "ORG")).await.unwrap();
    let told = [
        "sts org-acme",
        "table key-org-acme",
        "sts org-acme-2",
        "table key-org-acme-2",
        "table key-org-acme",
        "sts operator-acme",
        "table key-operator-acme",
        "table us-east-1",
    ];
    assert_eq!(scene.told(), told);
}

#[tokio::test]
async fn whoever_asks_at_once_waits_for_one_session() {
    let scene = Scene::set();
    let reach = org("acme");
    for outcome in join_all((0..50).map(|_| scene.get(&reach))).await {
        outcome.unwrap();
    }
    let told = scene.told();
    assert_eq!(told.iter().filter(|line| line.starts_with("sts")).count(), 1, "{told:?}");
    assert_eq!(told.len(), 51);
}

#[tokio::test]
async fn without_a_session_nothing_else_steps_in() {
    let scene = Scene::set();
    scene.set_failing(true);
    let reach = org("acme");
    for outcome in join_all((0..50).map(|_| scene.get(&reach))).await {
        let Err(TableError::Unavailable(why)) = outcome else { unreachable!("{outcome:?}") };
        assert!(why.to_string().contains("no session"), "{why}");
    }
    assert_eq!(scene.told(), ["sts org-acme"], "one call, and the table is not asked");
    scene.set_failing(false);
    scene.get(&reach).await.unwrap_err();
    assert_eq!(scene.told(), [""; 0], "STS is left alone for a while");
    scene.clock.pass(2);
    scene.get(&reach).await.unwrap();
    assert_eq!(scene.told(), ["sts org-acme", "table key-org-acme"]);
}

#[tokio::test]
async fn a_function_that_was_not_told_its_role_reaches_no_organization() {
    let scene = Scene::set();
    let connection = &scene.tables.sessions.as_ref().unwrap().connection;
    let tables = DynamoTables::new(connection, "t", None, scene.clock.clone());
    let outcome = tables.within(&org("acme")).get(&ItemKey::new("acme#", "ORG")).await;
    let Err(TableError::Unavailable(why)) = outcome else { unreachable!("{outcome:?}") };
    assert!(why.to_string().contains("FLAGFORGE_ORG_ROLE"), "{why}");
    assert_eq!(scene.told(), [""; 0]);
}

#[tokio::test]
async fn a_session_is_renewed_at_half_its_life_and_never_used_to_its_end() {
    let scene = Scene::set();
    let reach = org("acme");
    scene.get(&reach).await.unwrap();
    scene.clock.pass(1_799);
    scene.get(&reach).await.unwrap();
    assert_eq!(scene.told().len(), 3, "not renewed before half its life");
    scene.clock.pass(1);
    scene.get(&reach).await.unwrap();
    assert_eq!(scene.told(), ["sts org-acme", "table key-org-acme"]);
    // STS goes; the session does for the rest of its hour, but for two minutes.
    scene.set_failing(true);
    scene.clock.pass(3_600 - 120 - 1);
    scene.get(&reach).await.unwrap();
    assert_eq!(scene.told(), ["sts org-acme", "table key-org-acme"]);
    scene.clock.pass(1);
    scene.get(&reach).await.unwrap_err();
    assert_eq!(scene.told(), [""; 0]);
    scene.clock.pass(2);
    scene.get(&reach).await.unwrap_err();
    assert_eq!(scene.told(), ["sts org-acme"]);
}

#[test]
fn the_one_longest_unused_goes_when_there_are_too_many() {
    let mut held = Held::default();
    let reaches: Vec<Reach> = (0..=MAX_SESSIONS).map(|i| org(&format!("o{i}"))).collect();
    let first: Vec<_> = reaches[..MAX_SESSIONS].iter().map(|reach| held.slot(reach)).collect();
    assert_eq!(held.slots.len(), MAX_SESSIONS);
    assert!(Arc::ptr_eq(&held.slot(&reaches[0]), &first[0]), "at the limit all are kept");
    held.slot(&reaches[MAX_SESSIONS]);
    assert_eq!(held.slots.len(), MAX_SESSIONS);
    assert!(Arc::ptr_eq(&held.slot(&reaches[0]), &first[0]), "it was used again");
    assert!(!held.slots.contains_key(&reaches[1]));
}

/// STS takes 2,048 characters of policy and 64 of a session's name.
#[test]
fn the_longest_organization_fits_what_sts_takes() {
    let longest = OrgKey::new(&"o".repeat(flagforge_flags::keys::MAX_SLUG_BYTES)).unwrap();
    let reach = Reach::Operated(longest);
    // A table's name has 255 characters at most.
    let role = RoleArn::parse("arn:aws-us-gov:iam::123456789012:role/x").unwrap();
    let table = role.table_arn("us-gov-northeast-1", &"t".repeat(255));
    assert!(policy::session_policy(&table, &reach).chars().count() <= 2_048);
    assert!(session_name(&reach).len() <= 64);
}
