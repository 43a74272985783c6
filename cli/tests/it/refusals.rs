//! How the program ends when something is not as it should be, and what it says to do.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use crate::installation::{Installation, Terminal};

#[test]
fn each_kind_of_failure_has_its_code_and_says_what_to_do() {
    let installation = Installation::start(&["--demo"]);
    let t = installation.terminal("prod");
    assert!(t.fails("flag state no-such-flag", 3).contains("next:"));
    assert!(t.fails("flag state new-dashboard --env nowhere", 3).contains("not-found, 404"));
    assert!(t.fails("flag nonsense", 2).contains("Usage"));
    let said = t.fails("flag rule set new-dashboard x --when 'tenant.plan ==' --serve on", 2);
    assert!(said.contains("field: rules[1].when, line 1, column"), "{said}");
    let many = "y".repeat(2_049);
    let said = t.fails(&format!("flag update new-dashboard --description {many}"), 2);
    assert!(said.contains("limit: 2048, and it was 2049"), "{said}");
    let said = t.fails("flag define new-dashboard --class release --type boolean", 5);
    assert!(said.contains("flag update new-dashboard"), "{said}");
    let said = t.fails("flag off new-dashboard --if-match 999", 5);
    assert!(said.contains("precondition-failed") && said.contains("look at it again"), "{said}");
    assert!(t.fails("env create prod", 5).contains("exists"));

    // Nobody can be asked here, and nothing is done unasked.
    assert!(t.fails("flag delete new-dashboard", 2).contains("--yes"));
    assert!(t.fails("kill pull environment", 2).contains("--yes"));
    t.ok("flag show new-dashboard");

    // A weaker key.
    t.ok("key create --name r --role reader --out reader.key");
    assert!(t.fails("flag off new-dashboard --key-file reader.key", 4).contains("forbidden, 403"));
    let server = installation.file("server-prod.key").display().to_string();
    assert!(t.fails(&format!("flag list --key-file {server}"), 4).contains("kind mgmt"));
    t.write("wrong.key", "ff_mgmt_demo.nobody_abcdefghijklmnopqrstuvwxyz");
    let said = t.fails("flag list --key-file wrong.key", 4);
    assert!(said.contains("unauthenticated, 401") && said.contains("chmod 600"), "{said}");
    assert!(!said.contains("abcdefghijklm"), "a secret is repeated: {said}");
    assert!(t.fails("key create --name x --out reader.key", 2).contains("not overwritten"));

    // Done, with something found.
    assert!(t.fails("env compare prod --with staging", 7).contains("differ"));
    t.write("bad.ndjson", "{\"key\": \"fine\"}\n{\"key\": \"a/b\"}\n{\"attributes\": {}}\n");
    let said = t.run("tenant import bad.ndjson");
    assert_eq!(said.code, 7, "{said:?}");
    assert!(said.out.contains("2     key") && said.out.contains("\n3     "), "{}", said.out);
    t.fails("tenant show fine", 3);
    assert_eq!(t.run("tenant import bad.ndjson --apply-good").code, 7);
    t.ok("tenant show fine");

    // The same change with the same key of one's own is done once, and says the same.
    let once = "key create --name once --idempotency-key deploy-41";
    assert!(t.ok(once).contains("ff_mgmt_"));
    assert!(t.ok(once).contains("shown the first time"));
}

#[test]
fn where_to_go_is_said_or_asked_for() {
    let t = Terminal::new();
    assert!(t.fails("flag list", 2).contains("no installation is named"));
    assert!(t.fails("flag list --url http://127.0.0.1:1", 2).contains("no key"));
    assert!(t.fails("profile use nowhere", 3).contains("profile list"));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let t = t.with("FLAGFORGE_KEY", "ff_mgmt_demo.k1_abcdefghijklmnopqrstuvwxyz");
    let said = t.fails(&format!("flag list --url http://{free}"), 6);
    assert!(said.contains("does not answer") && said.contains("profile show"), "{said}");
    if !cfg!(feature = "https") {
        assert!(t.fails("flag list --url https://127.0.0.1:1", 2).contains("--features https"));
    }
    assert!(t.fails("flag list --url ftp://127.0.0.1", 2).contains("neither http nor https"));

    t.ok(&format!("profile add p --url http://{free} --env dev"));
    let file = t.path("flagforge/profiles.json");
    assert_eq!(crate::installation::mode(&file), 0o600);
    let shown = t.ok("profile show");
    assert!(shown.contains("demo.k1") && !shown.contains("abcdefghij"), "{shown}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(t.fails("flag list", 2).contains("chmod 600"));
}

/// Answers each connection with one of these, and says what it was asked.
fn stub(answers: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 8192];
            let length = stream.read(&mut bytes).unwrap();
            asked.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
            stream.write_all(answer.as_bytes()).unwrap();
        }
        asked
    });
    (url, asked)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn a_busy_server_is_asked_again_for_the_same_change() {
    let busy = answer("503 Service Unavailable", "retry-after: 1\r\n", "{}");
    let done = answer("200 OK", "flagforge-revision: demo/prod:5\r\n", "{}");
    let (url, asked) = stub(vec![busy.clone(), busy, done]);
    let t = Terminal::new().with("FLAGFORGE_KEY", "ff_mgmt_demo.k1_abcdefghijklmnopqrstuvwxyz");
    let said = t.run(&format!(
        "flag on x --env prod --url {url} --reason 'größer' --link ticket=https://t/1"
    ));
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.out, "x is on in prod  (demo/prod:5)\n");
    assert_eq!(
        said.err.matches("the server is busy (503); again in 1 s").count(),
        2,
        "{}",
        said.err
    );
    let asked = asked.join().unwrap();
    let header = |request: &String, name: &str| {
        let line = request.lines().find(|line| line.starts_with(name)).expect(name);
        line.to_owned()
    };
    let keys: Vec<String> =
        asked.iter().map(|request| header(request, "idempotency-key")).collect();
    assert!(keys.iter().all(|key| *key == keys[0]) && keys.len() == 3, "{keys:?}");
    assert_eq!(header(&asked[0], "flagforge-reason"), "flagforge-reason: größer");
    assert_eq!(header(&asked[0], "flagforge-links"), "flagforge-links: ticket=https://t/1");

    let gone = answer("302 Found", "location: http://127.0.0.1:1/\r\n", "");
    let (url, asked) = stub(vec![gone]);
    t.fails(&format!("flag list --url {url}"), 1);
    assert_eq!(asked.join().unwrap().len(), 1, "a key follows no redirection");
    let long = answer("429 Too Many Requests", "retry-after: 3600\r\n", "{}");
    let (url, _) = stub(vec![long]);
    t.fails(&format!("flag list --url {url}"), 6);
}
