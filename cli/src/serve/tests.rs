//! The composition as it is served, without a socket.

use std::path::Path;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use serde_json::Value as Json;
use tower::ServiceExt as _;

use super::*;

const PORT: u16 = 8080;
const BOARD: &str = "/page/board?env=prod&user=u-2&country=DE";
const KILL: &str = "/v1/orgs/demo/environments/prod/flags/new-dashboard/kill";
const STATE: &str = "/v1/orgs/demo/environments/prod/flags/new-dashboard";

/// Runs a test on a house of its own. The runtime ends with it, and so does the lock on the folder.
fn in_a_demo<F: Future<Output = ()>>(folder: &Path, test: impl FnOnce(House) -> F) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(async {
        let embedded = Embedded::open(folder).unwrap();
        test(furnish(&home(folder, true), embedded, PORT).await.unwrap()).await;
    });
}

fn home<'p>(data: impl Into<Option<&'p Path>>, demo: bool) -> Home {
    let (data, listen) = (data.into().map(Path::to_owned), ([127, 0, 0, 1], PORT).into());
    let (cors_origins, allow_loopback, issuers) = (Vec::new(), false, Vec::new());
    let events = crate::args::EventsTo::default();
    let serve = Serve {
        demo,
        data,
        listen,
        operation_listen: None,
        cors_origins,
        allow_loopback,
        issuers,
        events,
    };
    Home::of(&serve).unwrap()
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Json {
        serde_json::from_str(&self.text).expect(&self.text)
    }

    /// The cookie as a browser would send it back.
    fn cookie(&self) -> String {
        let line = self.headers[header::SET_COOKIE].to_str().unwrap();
        line.split(';').next().unwrap().to_owned()
    }
}

/// `send(&house, "POST /path", &[(name, value)], body)`.
async fn send(house: &House, what: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let (method, path) = what.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:8080");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = house.app().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let text = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, text }
}

async fn signed_in(house: &House) -> String {
    let link = format!("GET /login?once={}", house.page.door.one_time_secret().unwrap());
    let answer = send(house, &link, &[], "").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    answer.cookie()
}

async fn answer_to(house: &House, flag: &str, tenant: &str) -> Json {
    let key = format!("Bearer {}", house.keys.server.expose());
    let headers = [
        ("authorization", &*key),
        ("flagforge-tenant", tenant),
        ("content-type", "application/json"),
    ];
    let ask = format!("POST /ofrep/v1/evaluate/flags/{flag}");
    let body = r#"{"context": {"targetingKey": "u-2", "country": "DE"}}"#;
    send(house, &ask, &headers, body).await.json()["value"].clone()
}

#[test]
fn the_demo_has_a_flag_of_each_class_and_tenants_that_differ_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = String::new();
    in_a_demo(folder.path(), async |house| {
        assert!(house.keys.is_new);
        assert_eq!(answer_to(&house, "new-dashboard", "acme").await, Json::Bool(true));
        assert_eq!(answer_to(&house, "new-dashboard", "globex").await, Json::Bool(false));
        assert_eq!(answer_to(&house, "new-dashboard", "initech").await, Json::Bool(true));
        let cookie = signed_in(&house).await;
        let board = send(&house, &format!("GET {BOARD}"), &[("cookie", &cookie)], "").await.json();
        let classes =
            board["flags"].as_array().unwrap().iter().map(|flag| flag["class"].as_str().unwrap());
        let mut classes: Vec<&str> = classes.collect();
        classes.sort_unstable();
        assert_eq!(classes, ["experiment", "migration", "ops", "policy", "release"]);
        assert_eq!(board["environments"], serde_json::json!(["dev", "staging", "prod"]));
        // Every class has something to tell the tenants apart by, and no cell is an error.
        for flag in board["flags"].as_array().unwrap() {
            let answers =
                flag["cells"].as_array().unwrap().iter().map(|cell| &cell["answer"]["value"]);
            let answers: std::collections::HashSet<String> = answers.map(Json::to_string).collect();
            assert!(answers.len() >= 2 && !answers.contains("null"), "{flag}");
        }
        // What a visitor removes stays removed.
        let headers = [("cookie", &*cookie), ("sec-fetch-site", "same-origin")];
        let gone = "DELETE /v1/orgs/demo/groups/beta-customers/members/initech";
        assert_eq!(send(&house, gone, &headers, "").await.status, StatusCode::NO_CONTENT);
        first = house.keys.connection("http://x", &OrgKey::new("demo").unwrap(), "prod");
    });
    in_a_demo(folder.path(), async |house| {
        assert!(!house.keys.is_new);
        assert_eq!(answer_to(&house, "new-dashboard", "acme").await, Json::Bool(true));
        assert_eq!(answer_to(&house, "new-dashboard", "initech").await, Json::Bool(false));
        assert_eq!(house.keys.connection("http://x", &OrgKey::new("demo").unwrap(), "prod"), first);
    });
}

#[test]
fn a_link_opens_once_and_leaving_ends_what_it_opened() {
    let folder = tempfile::tempdir().unwrap();
    in_a_demo(folder.path(), async |house| {
        let board = format!("GET {BOARD}");
        assert_eq!(send(&house, &board, &[], "").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(send(&house, "GET /page/live", &[], "").await.status, StatusCode::UNAUTHORIZED);
        let secret = house.page.door.one_time_secret().unwrap();
        let link = format!("GET /login?once={secret}");
        let wrong = format!("GET /login?once={}", secret.replace(['0', '1', '2'], "f"));
        assert_eq!(send(&house, &wrong, &[], "").await.status, StatusCode::FORBIDDEN);
        let opened = send(&house, &link, &[], "").await;
        let line = opened.headers[header::SET_COOKIE].to_str().unwrap();
        assert!(line.contains("HttpOnly") && line.contains("SameSite=Strict"), "{line}");
        assert_eq!(send(&house, &link, &[], "").await.status, StatusCode::FORBIDDEN);

        let cookie = opened.cookie();
        let signed = [("cookie", &*cookie), ("sec-fetch-site", "same-origin")];
        assert_eq!(send(&house, &board, &signed, "").await.status, StatusCode::OK);
        assert!(send(&house, "GET /", &signed, "").await.text.contains("id=\"board\""));
        assert_eq!(send(&house, "POST /logout", &signed, "").await.status, StatusCode::SEE_OTHER);
        assert_eq!(send(&house, &board, &signed, "").await.status, StatusCode::UNAUTHORIZED);
        assert!(send(&house, "GET /", &signed, "").await.text.contains("Sign in"));
    });
}

#[test]
fn the_cookie_counts_for_our_own_page_only() {
    let folder = tempfile::tempdir().unwrap();
    in_a_demo(folder.path(), async |house| {
        let cookie = signed_in(&house).await;
        let kill = format!("POST {KILL}");
        let enabled = async || {
            let key = format!("Bearer {}", house.keys.admin.expose());
            let state = send(&house, &format!("GET {STATE}"), &[("authorization", &key)], "").await;
            state.json()["enabled"].as_bool().unwrap()
        };
        for foreign in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "http://127.0.0.1:3000"),
            ("x-nothing", "said"),
        ] {
            let answer = send(&house, &kill, &[("cookie", &cookie), foreign], "").await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{foreign:?}");
            assert!(enabled().await);
        }
        let ours = [("cookie", &*cookie), ("origin", "http://127.0.0.1:8080")];
        assert_eq!(send(&house, &kill, &ours, "").await.status, StatusCode::OK);
        assert!(!enabled().await);
        // It is a management key, and no more than a maintainer's.
        let keys = send(&house, "POST /v1/orgs/demo/keys", &ours, r#"{"kind":"mgmt"}"#).await;
        assert_eq!(keys.status, StatusCode::FORBIDDEN);
    });
}

#[test]
fn only_an_admins_key_signs_in_by_the_form() {
    let folder = tempfile::tempdir().unwrap();
    in_a_demo(folder.path(), async |house| {
        let admin = format!("key={}", house.keys.admin.expose());
        let ours = [("sec-fetch-site", "same-origin")];
        assert_eq!(send(&house, "POST /login", &[], &admin).await.status, StatusCode::FORBIDDEN);
        let signed = send(&house, "POST /login", &ours, &admin).await;
        assert_eq!(signed.status, StatusCode::SEE_OTHER);
        let maintainer = signed.cookie().replace("flagforge_8080=", "key=");
        let server = format!("key={}", house.keys.server.expose());
        for refused in [&*maintainer, &*server, "key=", "nonsense", "key=ff_mgmt_demo.a_b"] {
            let answer = send(&house, "POST /login", &ours, refused).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{refused}");
        }
    });
}

#[test]
fn a_lost_admin_key_is_made_again_and_a_revoked_one_is_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("admin.key");
    in_a_demo(folder.path(), async |_| {});
    let first = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    in_a_demo(folder.path(), async |house| assert!(house.keys.is_new));
    let second = std::fs::read_to_string(&file).unwrap();
    assert_ne!(first, second);
    // A file with a key that is not in force is as good as none.
    std::fs::write(&file, first.replace(&first[first.len() - 6..], "abcde\n")).unwrap();
    in_a_demo(folder.path(), async |house| assert!(house.keys.is_new));
}

#[test]
fn a_folder_is_one_homes_and_one_processes() {
    let folder = tempfile::tempdir().unwrap();
    in_a_demo(folder.path(), async |_| {
        let error = Embedded::open(folder.path()).map(drop).unwrap_err();
        let error = format!("{:#}", anyhow::Error::new(error));
        assert!(error.contains("is in use by process") && error.contains("--data"), "{error}");
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let home = home(folder.path(), false);
        let embedded = Embedded::open(&home.folder).unwrap();
        let error = furnish(&home, embedded, PORT).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("with --demo"), "{error}");
    });
}

#[tokio::test]
async fn a_port_in_use_says_what_to_do() {
    let taken = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let error = listen(taken.local_addr().unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("--listen"), "{error}");
}

#[test]
fn the_sample_service_says_something_else_within_a_second_of_a_flip() {
    let folder = tempfile::tempdir().unwrap();
    in_a_demo(folder.path(), async |house| {
        let listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = house.app();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let connection = house.keys.connection(&base, &OrgKey::new("demo").unwrap(), "prod");
        let (said, mut heard) = watch::channel(Vec::new());
        tokio::spawn(async move { sample::speak(&connection, &demo::TENANTS, said).await });
        let acme = |sayings: &Vec<sample::Saying>, words: &str| {
            sayings.iter().any(|saying| saying.tenant == "acme" && saying.says.contains(words))
        };
        // The start may take as long as it may.
        heard.wait_for(|sayings| acme(sayings, "the new dashboard")).await.unwrap();

        let key = format!("Bearer {}", house.keys.admin.expose());
        let flip = send(&house, &format!("POST {KILL}"), &[("authorization", &key)], "").await;
        assert_eq!(flip.status, StatusCode::OK);
        let changed = heard.wait_for(|sayings| acme(sayings, "the classic dashboard"));
        tokio::time::timeout(Duration::from_secs(1), changed)
            .await
            .expect("within a second")
            .unwrap();
    });
}

/// The words of a shell line that has quotes and no other magic.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words
}

/// Does what curl would with a documented line, in this house.
async fn as_curl(house: &House, folder: &Path, line: &str) -> Answer {
    let (mut method, mut url, mut body) = ("GET".to_owned(), String::new(), String::new());
    let mut headers = Vec::new();
    let mut words = words(line).into_iter().skip(1);
    while let Some(word) = words.next() {
        match &*word {
            "-s" => {}
            "-X" => method = words.next().unwrap(),
            "-H" => headers.push(words.next().unwrap()),
            "-d" => body = words.next().unwrap(),
            _ => url = word,
        }
    }
    if !body.is_empty() && method == "GET" {
        method = "POST".to_owned();
    }
    let mut pairs =
        vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
    for header in headers {
        let (name, value) = header.split_once(": ").unwrap();
        let value = match value.split_once("$(cat demo-data/") {
            Some((scheme, file)) => {
                let key = std::fs::read_to_string(folder.join(file.trim_end_matches(')'))).unwrap();
                format!("{scheme}{}", key.trim())
            }
            None => value.to_owned(),
        };
        pairs.push((name.to_ascii_lowercase(), value));
    }
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
    let path = url.strip_prefix("http://127.0.0.1:8080").unwrap();
    send(house, &format!("{method} {path}"), &pairs, &body).await
}

#[test]
fn every_documented_request_works_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let readme = include_str!("../../../README.md").lines().map(str::to_owned);
    in_a_demo(folder.path(), async |house| {
        let mut documented: Vec<String> = readme.filter(|line| line.starts_with("curl ")).collect();
        let home = home(None, true);
        let greeting = Greeting {
            base: "http://127.0.0.1:8080",
            home: &home,
            first_start: true,
            admin_key: &house.keys.admin,
            connection: "",
            once: "",
            open_to_others: false,
        };
        documented.extend(greeting.requests());
        assert!(documented.len() >= 3, "{documented:?}");
        for line in &documented {
            let answer = as_curl(&house, folder.path(), line).await;
            assert!(answer.status.is_success(), "{line}\n{} {}", answer.status, answer.text);
        }
    });
}

#[test]
fn a_change_that_was_answered_is_in_force() {
    let folder = tempfile::tempdir().unwrap();
    in_a_demo(folder.path(), async |house| {
        let admin = format!("Bearer {}", house.keys.admin.expose());
        let headers = [("authorization", &*admin)];
        // The relay has to have the environment before it can be behind with it.
        answer_to(&house, "new-dashboard", "acme").await;
        for round in 0..10 {
            let verb = if round % 2 == 0 { "kill" } else { "enable" };
            let flip = format!("POST {STATE}/{verb}");
            assert_eq!(send(&house, &flip, &headers, "").await.status, StatusCode::OK);
            let answer = answer_to(&house, "new-dashboard", "acme").await;
            assert_eq!(answer, Json::Bool(verb == "enable"), "round {round}");
        }
        let over = format!("PUT {STATE}/overrides/globex");
        send(&house, &over, &headers, r#"{"variant":"on"}"#).await;
        assert_eq!(answer_to(&house, "new-dashboard", "globex").await, Json::Bool(true));
        // What every environment shares, too.
        let gone = "DELETE /v1/orgs/demo/tenants/globex";
        assert_eq!(send(&house, gone, &headers, "").await.status, StatusCode::NO_CONTENT);
        assert_eq!(answer_to(&house, "new-dashboard", "globex").await, Json::Bool(false));
    });
}

#[test]
fn what_sdks_say_to_the_relay_is_asked_of_the_management_api() {
    let folder = tempfile::tempdir().unwrap();
    in_a_demo(folder.path(), async |house| {
        let (server, admin) = (house.keys.server.expose(), house.keys.admin.expose());
        let key = |key: &str| format!("Bearer {key}");
        let body = r#"{"reports": [{"reporter": "r1", "kind": "sdk", "version": "go 1", "status": "defaults"}]}"#;
        let say = "POST /data/v1/demo/prod/propagation";
        let said = send(&house, say, &[("authorization", &key(&server))], body).await;
        assert_eq!(said.status, StatusCode::NO_CONTENT, "{}", said.text);
        let ask = "GET /v1/orgs/demo/environments/prod/propagation";
        let mut heard = Json::Null;
        // The relay passes it up within its interval.
        for _ in 0..150 {
            heard = send(&house, ask, &[("authorization", &key(&admin))], "").await.json();
            if heard["reporters"]["heard"] == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(heard["reporters"]["behind"], 1, "the relay is not: {heard}");
        assert_eq!(heard["published"]["revision"], heard["revision"], "{heard}");
    });
}
