//! A relay beside an installation, each a process of its own.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::installation::{Installation, Terminal};

/// How long a start, or the way of a change to a relay, may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(60);

/// `flagforge relay`, until it is dropped.
struct Relay {
    process: Child,
    folder: TempDir,
}

impl Relay {
    fn start(connection: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_flagforge"))
            .args(["relay", "--listen", "127.0.0.1:0", "--operation-listen", "127.0.0.1:0"])
            .args(arguments)
            .env("FLAGFORGE_CONNECTION", connection)
            .stdin(Stdio::null())
            .stderr(File::create(folder.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        Self { process, folder }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// The address that it logged with these words.
    fn address(&self, said: &str) -> SocketAddr {
        let find = |log: &str| {
            let line = log.lines().find(|line| line.contains(said))?;
            // It may be written in colours.
            let (_, rest) = line.split_once("127.0.0.1:")?;
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)))
        };
        eventually(|| find(&self.log()).ok_or_else(|| self.log()))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

#[track_caller]
fn eventually<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(began.elapsed() < WITHIN, "{why}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asks and answers the status with the body.
fn ask(address: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The connection string that was printed, with another key.
fn connection(installation: &Installation, key: &str) -> String {
    let said = installation.said();
    let printed =
        said.split_whitespace().find(|word| word.contains("flagforge+http://")).expect(&said);
    let (_, printed) = printed.split_once("flagforge+http://").unwrap();
    let (_, place) = printed.split_once('@').unwrap();
    format!("flagforge+http://{}@{}", key.trim(), place.trim_end_matches(['\'', '"']))
}

#[test]
fn a_relay_answers_over_ofrep_what_an_installation_publishes_and_goes_on_without_it() {
    let installation = Installation::start(&["--demo"]);
    let t = installation.terminal("prod");
    t.ok("key create --kind relay --name edge --only-env prod --out relay.key");
    t.ok("key create --kind server --name shop --only-env prod --out server.key");
    let read = |name: &str| fs::read_to_string(t.path(name)).unwrap();
    let relay = Relay::start(&connection(&installation, &read("relay.key")), &[]);
    let (address, operation) = (relay.address("relaying"), relay.address("telling how it goes"));
    eventually(|| match ask(operation, "GET /readyz", &[], "") {
        (200, _) => Ok(()),
        (status, body) => Err(format!("{status} {body}\n{}", relay.log())),
    });
    let bearer = format!("Bearer {}", read("server.key").trim());
    let headers = [
        ("authorization", bearer.as_str()),
        ("flagforge-tenant", "acme"),
        ("content-type", "application/json"),
    ];
    let line = "POST /ofrep/v1/evaluate/flags/new-dashboard";
    let body = json!({"context": {"targetingKey": "u-2"}}).to_string();
    let answered = || {
        let (status, body) = ask(address, line, &headers, &body);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Json>(&body).unwrap()["value"].clone()
    };
    t.ok("flag off new-dashboard --reason 'an incident'");
    eventually(|| (answered() == json!(false)).then_some(()).ok_or_else(|| relay.log()));
    t.ok("flag on new-dashboard --reason 'it is over'");
    let before =
        || t.ok("explain --flag new-dashboard --tenant acme --user u-2 --key-file server.key");
    let on = before().starts_with("new-dashboard = true");
    eventually(|| (answered() == json!(on)).then_some(()).ok_or_else(|| relay.log()));

    drop(installation);
    assert_eq!(answered(), json!(on), "with nobody behind it");
    assert_eq!(ask(operation, "GET /readyz", &[], "").0, 200);
}

#[test]
fn a_running_relay_does_as_its_file_says_now() {
    let (files, objects) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = files.path().join("relay.json");
    fs::write(&file, r#"{"pollSeconds": 5}"#).unwrap();
    let root = "A".repeat(43);
    let connection = format!("flagforge+file://{}?roots={root}", objects.path().display());
    let relay = Relay::start(&connection, &["--config", file.to_str().unwrap()]);
    let operation = relay.address("telling how it goes");
    let in_force = || {
        let (status, body) = ask(operation, "GET /configuration", &[], "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Json>(&body).unwrap()
    };
    assert_eq!(in_force()["settings"]["pollSeconds"], 5);
    let hangup = || {
        let pid = relay.process.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    };
    hangup();
    // It says so only to who asks.
    eventually(|| said(&relay, "the configuration is the same"));
    fs::write(&file, r#"{"pollSeconds": 0}"#).unwrap();
    hangup();
    eventually(|| said(&relay, "pollSeconds: 0 is not a whole number from 1 to 3600"));
    assert_eq!(in_force()["settings"]["pollSeconds"], 5);
    assert!(!relay.log().contains("DEBUG"), "{}", relay.log());
    fs::write(&file, r#"{"pollSeconds": 9, "log": "debug", "beginWith": ["demo/prod"]}"#).unwrap();
    hangup();
    eventually(|| said(&relay, "not loaded yet"));
    assert_eq!(in_force()["settings"]["pollSeconds"], 9);
}

#[test]
fn serve_tells_how_its_data_plane_does_where_it_is_told_to() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let installation = Installation::start(&["--operation-listen", &address.to_string()]);
    let (status, body) = ask(address, "GET /readyz", &[], "");
    assert_eq!(status, 200, "{body}");
    assert_eq!(ask(address, "GET /configuration", &[], "").0, 200);
    // Built together with the relay by itself, it has the relay's own features.
    match ask(address, "GET /metrics", &[], "") {
        (200, body) => assert!(body.contains("flagforge_relay_environments "), "{body}"),
        (status, _) => assert!(status == 404 && !cfg!(feature = "metrics"), "{status}"),
    }
    let public: SocketAddr = installation.url.strip_prefix("http://").unwrap().parse().unwrap();
    assert_eq!(ask(public, "GET /configuration", &[], "").0, 404);
}

fn said(relay: &Relay, words: &str) -> Result<(), String> {
    let log = relay.log();
    if log.contains(words) { Ok(()) } else { Err(log) }
}

#[test]
fn what_a_relay_cannot_do_is_refused_at_its_start_with_a_reason() {
    let t = Terminal::new();
    let root = "A".repeat(43);
    let folder = format!("flagforge+file:///nowhere?roots={root}");
    let refused = |arguments: &str, why: &str| {
        let said = t.fails(&format!("relay {arguments}"), 1);
        assert!(said.contains(why), "{arguments}: {said}");
    };
    refused(
        &format!("{folder} --tls-key key.pem"),
        "FLAGFORGE_TLS_CERTIFICATE and FLAGFORGE_TLS_KEY go together",
    );
    refused("flagforge+file:///nowhere", "FLAGFORGE_CONNECTION");
    refused(
        &format!("{folder} --control-plane http://127.0.0.1:1"),
        "FLAGFORGE_CONTROL_PLANE_KEY is not set",
    );
    refused(&format!("{folder} --log =,="), "FLAGFORGE_LOG");
    t.write("bad.json", r#"{"listen": "0.0.0.0:80"}"#);
    refused(&format!("{folder} --config bad.json"), "another FLAGFORGE_LISTEN");
    if !cfg!(feature = "https") {
        let without = "is built without the feature `https`";
        refused(&format!("{folder} --tls-certificate a.pem --tls-key b.pem"), without);
        refused(&format!("{folder} --control-plane https://flags.example.com"), without);
        refused(&format!("flagforge+s3://bucket?region=eu-central-1&roots={root}"), without);
    }
    if !cfg!(feature = "sns") {
        let topic = "arn:aws:sns:eu-central-1:111122223333:flagforge-roots";
        refused(&format!("{folder} --sns-topic {topic}"), "is built without the feature `sns`");
    }
    let usage = |arguments: &str, why: &str| {
        let said = t.fails(&format!("relay {folder} {arguments}"), 2);
        assert!(said.contains(why), "{arguments}: {said}");
    };
    usage("--begin-with demo", "`demo` is not <organization>/<environment>");
    usage("--requests-per-second-of-a-key 0", "0 is not in 1..");
    let help = t.ok("relay --help");
    for said in ["FLAGFORGE_OPERATION_LISTEN", "flagforge key create --kind relay", "--begin-with"]
    {
        assert!(help.contains(said), "{said}: {help}");
    }
}
