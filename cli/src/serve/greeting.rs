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
        let lines = self.commands().into_iter().chain(self.requests());
        lines.for_each(|line| say(&format!("  {line}")));
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

    /// Commands for a flag: the demo's, or elsewhere a first one.
    pub(super) fn commands(&self) -> Vec<String> {
        let Self { base, home, .. } = self;
        let program = std::env::args().next().unwrap_or_else(|| "flagforge".to_owned());
        let key = home.folder.join(ADMIN_FILE);
        let profile = format!("{} --url {base} --key-file {} --env prod", home.org, key.display());
        let flag = self.flag();
        let mut commands = vec![format!("profile add {profile}")];
        if home.is_demo {
            commands.push(format!("override set {flag} on --tenant globex"));
            commands.push("tenant flags globex --user u-2".to_owned());
            commands.push(format!("override clear {flag} --tenant globex"));
        } else {
            commands.push(format!("flag define {flag} --class release --type boolean"));
            commands.push(format!("flag on {flag}"));
        }
        commands.iter().map(|command| format!("{program} {command}")).collect()
    }

    /// The same flag, asked for as a service without an SDK does.
    pub(super) fn requests(&self) -> Vec<String> {
        let (base, home, flag) = (self.base, self.home, self.flag());
        let file = home.folder.join(server_file("prod"));
        let key = format!("-H \"Authorization: Bearer $(cat {})\"", file.display());
        let ask = format!("{base}/ofrep/v1/evaluate/flags/{flag}");
        let evaluate = |tenant: &str| {
            format!("curl -s {ask} {key} -H 'FlagForge-Tenant: {tenant}' -d '{BODY}'")
        };
        let tenants: &[&str] = if home.is_demo { &["acme", "globex"] } else { &["acme"] };
        tenants.iter().map(|tenant| evaluate(tenant)).collect()
    }

    fn flag(&self) -> &'static str {
        if self.home.is_demo { "new-dashboard" } else { "first-flag" }
    }
}
