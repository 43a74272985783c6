//! What `serve` prints: everything that somebody needs next, to be copied as it stands.

use flagforge_flags::access_key::AccessKey;

use super::Home;
use super::keys::{ADMIN_FILE, server_file};
use crate::args::say;

/// Who asks, in the printed requests.
const BODY: &str = r#"{"context":{"targetingKey":"u-2"}}"#;

/// What there is to say.
pub(super) struct Greeting<'a> {
    pub(super) base: &'a str,
    pub(super) home: &'a Home,
    pub(super) first_start: bool,
    pub(super) admin_key: &'a AccessKey,
    pub(super) connection: &'a str,
    pub(super) once: &'a str,
    /// Whether other machines can reach the address.
    pub(super) open_to_others: bool,
}

impl Greeting<'_> {
    pub(super) fn print(&self) {
        let Self { base, home, connection, once, .. } = self;
        say(&format!("FlagForge is up at {base}, with its data in {}", home.folder.display()));
        say("");
        say("Open, to sign in (this link works once):");
        say(&format!("  {base}/login?once={once}"));
        say("");
        say("Connect an SDK to prod (this holds a secret):");
        say(&format!("  {connection}"));
        say("");
        self.print_admin_key();
        say("");
        say("Try, in another terminal:");
        self.requests().iter().for_each(|line| say(&format!("  {line}")));
        if self.open_to_others {
            say("");
            say(
                "Others can reach this address, and it speaks plain HTTP: put a proxy with TLS before it.",
            );
        }
        say("");
        say("Ctrl-C ends it; the data stays.");
    }

    fn print_admin_key(&self) {
        let file = self.home.folder.join(ADMIN_FILE);
        say(&format!("The admin key is in {}", file.display()));
        if self.first_start {
            say("and is shown here this once:");
            say(&format!("  {}", self.admin_key.expose()));
        }
    }

    /// Requests for the demo's flags; elsewhere, the one that makes a first flag.
    pub(super) fn requests(&self) -> Vec<String> {
        let Self { base, home, .. } = self;
        let folder = home.folder.display();
        let admin = format!("-H \"Authorization: Bearer $(cat {folder}/{ADMIN_FILE})\"");
        let server =
            format!("-H \"Authorization: Bearer $(cat {folder}/{})\"", server_file("prod"));
        let org = &home.org;
        let flag = if home.is_demo { "new-dashboard" } else { "first-flag" };
        let ask = format!("{base}/ofrep/v1/evaluate/flags/{flag}");
        let state = format!("{base}/v1/orgs/{org}/environments/prod/flags/{flag}");
        let evaluate = |tenant: &str| {
            format!("curl -s {ask} {server} -H 'FlagForge-Tenant: {tenant}' -d '{BODY}'")
        };
        let enable = format!("curl -s -X POST {state}/enable {admin}");
        if home.is_demo {
            let kill = format!("curl -s -X POST {state}/kill {admin}");
            return vec![evaluate("acme"), evaluate("globex"), kill, evaluate("acme"), enable];
        }
        let body = "'{\"class\":\"release\",\"type\":\"boolean\"}'";
        let define = format!("curl -s -X PUT {base}/v1/orgs/{org}/flags/{flag} {admin} -d {body}");
        vec![define, enable, evaluate("acme")]
    }
}
