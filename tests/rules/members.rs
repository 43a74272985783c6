//! People whom an organization takes in, by name or by invitation.

use std::time::Duration;

use flagforge_flags::keys::OrgKey;
use flagforge_platform::Request;
use flagforge_platform::people::{Issuer, MAX_INVITATION_SECONDS};
use flagforge_tests::{Answer, Api};
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::kit::caller;
use crate::people::{HOME, Office};

async fn invited(office: &Office, invitation: &Json) -> String {
    let place = format!("{HOME}/invitations");
    let answer = office.admin.post(&place, invitation).await.unwrap().expect(201).unwrap();
    answer.body["token"].as_str().unwrap().to_owned()
}

async fn accepted(api: &Api, org: &str, token: &str) -> Answer {
    let place = format!("/v1/orgs/{org}/invitations/accept");
    api.post(&place, &json!({"token": token})).await.unwrap()
}

async fn person(office: &Office, login: &str) -> Api {
    office.with(&office.issuer.token(login, "flagforge").await)
}

fn field(answer: Answer) -> Json {
    answer.expect(400).unwrap().body["field"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_counts_once_for_whom_it_was_made_and_for_its_time() {
    let Some(office) = Office::open().await else { return };
    let [bob, carl, eve] = ["bob", "carl", "eve"].map(|login| person(&office, login));
    let (bob, carl, eve) = (bob.await, carl.await, eve.await);
    let invitation = json!({"email": "Carl@Example.com", "role": "maintainer", "envs": ["dev"]});
    let token = invited(&office, &invitation).await;
    assert_eq!(field(accepted(&bob, "home", &token).await), "email");
    let for_eve = invited(&office, &json!({"email": "eve@example.com", "role": "reader"})).await;
    assert_eq!(field(accepted(&eve, "home", &for_eve).await), "email");
    assert_eq!(field(accepted(&office.admin, "home", &token).await), "the caller");
    // Without the token's secret there is no invitation, and no organization.
    let nowhere = accepted(&carl, "none", &token).await;
    let other = if token.ends_with('x') { 'y' } else { 'x' };
    let wrong = format!("{}{other}", &token[..token.len() - 1]);
    for wrong in [&*wrong, "ff_invitation_a_b", "nonsense"] {
        let here = accepted(&carl, "home", wrong).await.expect(401).unwrap();
        assert_eq!(here.body, nowhere.body);
        assert_eq!(
            here.headers.contains_key("ratelimit"),
            nowhere.headers.contains_key("ratelimit")
        );
    }
    assert_eq!(accepted(&bob, "home", &wrong).await.status, 404);

    let taken_in = accepted(&carl, "home", &token).await.expect(201).unwrap();
    assert_eq!(taken_in.body["email"], "carl@example.com");
    assert_eq!(accepted(&carl, "home", &token).await.status, 404);
    let flag = json!({"class": "release", "type": "boolean"});
    office.admin.put(&format!("{HOME}/flags/f"), &flag).await.unwrap().expect(201).unwrap();
    let kill = |env: &str| format!("{HOME}/environments/{env}/flags/f/kill");
    carl.post(&kill("dev"), &Json::Null).await.unwrap().expect(201).unwrap();
    carl.post(&kill("prod"), &Json::Null).await.unwrap().expect(404).unwrap();
    // The log says who, and keeps neither addresses nor secrets.
    let log = office.admin.get(&format!("{HOME}/log?limit=500")).await.unwrap();
    let told = log.body.to_string();
    assert!(told.contains("\"accept-invitation\"") && told.contains("\"subject\":\"carl\""));
    assert!(!told.to_lowercase().contains("@example.com"), "{told}");
    assert!(!told.contains("secretSha256"), "{told}");
    let people = office.admin.get(&format!("{HOME}/people")).await.unwrap().expect(200).unwrap();
    assert_eq!(people.body["items"][0]["subject"], "carl");

    let dora = person(&office, "dora").await;
    let short = json!({"email": "dora@example.com", "role": "reader", "expiresInSeconds": 60});
    let (late, timely) = (invited(&office, &short).await, invited(&office, &short).await);
    office.advance(Duration::from_secs(59));
    accepted(&dora, "home", &timely).await.expect(201).unwrap();
    office.advance(Duration::from_secs(1));
    let refused = accepted(&dora, "home", &late).await;
    assert!(refused.body["detail"].as_str().unwrap().contains("expired"), "{}", refused.body);
    let place = format!("{HOME}/invitations");
    let seconds =
        |seconds: u32| json!({"email": "x@y", "role": "reader", "expiresInSeconds": seconds});
    office.admin.post(&place, &seconds(MAX_INVITATION_SECONDS)).await.unwrap().expect(201).unwrap();
    let over = office.admin.post(&place, &seconds(MAX_INVITATION_SECONDS + 1)).await.unwrap();
    assert_eq!(field(over), "expiresInSeconds");
    let none = json!({"email": "nobody", "role": "reader"});
    assert_eq!(field(office.admin.post(&place, &none).await.unwrap()), "email");
    // What is over was swept with the next, and what is withdrawn is gone.
    let listed = office.admin.get(&place).await.unwrap().expect(200).unwrap();
    let listed = listed.body["items"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 2, "{listed:?}");
    for one in &listed {
        let place = format!("{place}/{}", one["id"].as_str().unwrap());
        office.admin.delete(&place).await.unwrap().expect(204).unwrap();
        office.admin.delete(&place).await.unwrap().expect(404).unwrap();
    }
    assert_eq!(accepted(&eve, "home", &for_eve).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_admin_stays_and_nobody_gives_more_than_they_may() {
    let Some(office) = Office::open().await else { return };
    let people = format!("{HOME}/people");
    let named = |subject: &str, role: &str| json!({"issuer": office.issuer.url, "subject": subject, "role": role});
    let add = async |api: &Api, body: Json| api.post(&people, &body).await.unwrap();
    let carl = add(&office.admin, named("carl", "admin")).await.expect(201).unwrap();
    assert_eq!(
        add(&office.admin, named("carl", "admin")).await.expect(409).unwrap().problem(),
        "exists"
    );
    let elsewhere = json!({"issuer": "https://a.example.com", "subject": "a", "role": "reader"});
    assert_eq!(field(add(&office.admin, elsewhere).await), "issuer");
    let place = |of: &Answer| format!("{people}/{}", of.body["id"].as_str().unwrap());
    let (carl_at, reader) = (place(&carl), json!({"role": "reader"}));
    let own = person(&office, "carl").await;
    for by in [&office.admin, &own] {
        let refused = by.delete(&carl_at).await.unwrap().expect(409).unwrap();
        assert_eq!(refused.problem(), "last-admin");
        by.put(&carl_at, &reader).await.unwrap().expect(409).unwrap();
    }
    // An admin of one environment, or of one domain, is none of all.
    let mut of_dev = named("dora", "admin");
    of_dev["envs"] = json!(["dev"]);
    let dora = add(&own, of_dev).await.expect(201).unwrap();
    own.delete(&carl_at).await.unwrap().expect(409).unwrap();
    own.put(&place(&dora), &json!({"role": "admin"})).await.unwrap().expect(200).unwrap();
    own.put(&carl_at, &reader).await.unwrap().expect(200).unwrap();
    own.put(&place(&dora), &reader).await.unwrap().expect(403).unwrap();
    office.admin.delete(&carl_at).await.unwrap().expect(204).unwrap();
    own.get(HOME).await.unwrap().expect(401).unwrap();

    let role = json!({"permissions": ["manage-members"]});
    office.admin.put(&format!("{HOME}/roles/host"), &role).await.unwrap().expect(201).unwrap();
    add(&office.admin, named("emil", "host")).await.expect(201).unwrap();
    let host = person(&office, "emil").await;
    let invitations = format!("{HOME}/invitations");
    let invitation = |role: &str| json!({"email": "x@example.com", "role": role});
    host.post(&invitations, &invitation("admin")).await.unwrap().expect(403).unwrap();
    host.post(&invitations, &invitation("host")).await.unwrap().expect(201).unwrap();
    add(&host, named("f", "maintainer")).await.expect(403).unwrap();
    host.delete(&place(&dora)).await.unwrap().expect(403).unwrap();
    let used = office.admin.delete(&format!("{HOME}/roles/host")).await.unwrap();
    assert_eq!(used.expect(409).unwrap().problem(), "in-use");
}

/// Every route with another's organization in it, and with one that is not there.
async fn finds_nothing(api: &Api, status: u16, allowed: &[u16]) {
    let openapi = serde_json::to_value(flagforge_platform::openapi()).unwrap();
    let mut tried = 0;
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let ask = async |org: &str| {
                let path = path
                    .replace("{org}", org)
                    .replace("{env}", "prod")
                    .replace("{list}", "included");
                let path = path.replace(['{', '}'], "");
                let body = (method != Method::GET).then(|| "{}".to_owned());
                api.call(method.clone(), &path, &[], body).await.unwrap()
            };
            let (there, not_there) = (ask("home").await, ask("zzzz").await);
            let seen = there.status.as_u16();
            assert!(
                seen == status || allowed.contains(&seen),
                "{method} {path}: {} {}",
                seen,
                there.body
            );
            assert_eq!(
                (there.status, &there.body),
                (not_there.status, &not_there.body),
                "{method} {path}"
            );
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_of_one_organization_finds_nothing_in_another() {
    let Some(office) = Office::open().await else { return };
    let issuer = json!({"url": office.issuer.url, "audiences": ["elsewhere"]});
    let issuer: Issuer = serde_json::from_value(issuer).unwrap();
    office.platform.believe_issuers(vec![issuer]).unwrap();
    let other = OrgKey::new("other").unwrap();
    let request = |change| Request::of(change, "test");
    let founder = caller();
    let made = office.platform.create_organization(&founder, &other, "Other", false, request);
    let admin = office.with(&made.await.unwrap().1.key.expose());
    let gina = json!({"issuer": office.issuer.url, "subject": "gina", "role": "admin"});
    admin.post("/v1/orgs/other/people", &gina).await.unwrap().expect(201).unwrap();
    // The installation vouches for her: she is somebody, and not there.
    let gina = office.with(&office.issuer.token("gina", "elsewhere").await);
    gina.get("/v1/orgs/other").await.unwrap().expect(200).unwrap();
    finds_nothing(&gina, 404, &[400, 405]).await;
    // Who is vouched for by another organization's issuer is nobody at all.
    let ann = office.issuer.token("ann", "flagforge").await;
    assert_eq!(office.status(&ann).await, 200);
    let carl = office.with(&office.issuer.token("carl", "flagforge").await);
    finds_nothing(&carl, 401, &[]).await;
    let here = office.with(&ann).get("/v1/orgs/other/people").await.unwrap();
    let nowhere = office.with(&ann).get("/v1/orgs/zzzz/people").await.unwrap();
    assert_eq!((here.status.as_u16(), here.body), (401, nowhere.body));
}
