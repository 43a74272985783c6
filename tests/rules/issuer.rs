//! A real OpenID Connect issuer (oidc-provider, from npm) as a process beside the test.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};

/// The newest that runs on Node 20.
const PROVIDER: &str = "oidc-provider@8.8.1";

/// A running issuer. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Issuer {
    child: Child,
    pub(crate) url: String,
}

impl Issuer {
    /// Starts an issuer; `None` where there is no npm.
    #[expect(clippy::print_stderr, reason = "whoever runs the tests is told what was not tested")]
    pub(crate) fn start() -> anyhow::Result<Option<Self>> {
        let Some(modules) = modules()? else {
            eprintln!("SKIPPED: npm is not installed, so there is no issuer to ask");
            return Ok(None);
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/oidc/provider.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .arg(modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting node")?;
        let said = child.stdout.take().context("no output")?;
        let mut url = String::new();
        BufReader::new(said).read_line(&mut url)?;
        let url = url.trim().to_owned();
        ensure!(url.starts_with("http://127.0.0.1:"), "the issuer did not start");
        Ok(Some(Self { child, url }))
    }

    async fn asked(&self, what: &str) -> String {
        let answer = reqwest::get(format!("{}/_test/{what}", self.url)).await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{what}: {text}");
        text
    }

    /// An ID token for somebody, for an application.
    pub(crate) async fn token(&self, login: &str, client: &str) -> String {
        self.asked(&format!("token?login={login}&client={client}")).await
    }

    /// An access token for a program.
    pub(crate) async fn machine_token(&self) -> String {
        self.asked("machine").await
    }

    /// Other keys from now on.
    pub(crate) async fn rotate(&self) {
        self.asked("rotate").await;
    }

    /// Answers nobody, or everybody again.
    pub(crate) async fn be_silent(&self, silent: bool) {
        self.asked(if silent { "silence" } else { "speak" }).await;
    }

    /// How often it was asked for its keys.
    pub(crate) async fn times_asked(&self) -> u32 {
        self.asked("asked").await.parse().unwrap()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder that the provider is installed in, once.
fn modules() -> anyhow::Result<Option<PathBuf>> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/api-tools/oidc"));
    std::fs::create_dir_all(&folder)?;
    let lock = std::fs::File::create(folder.join("lock"))?;
    lock.lock()?;
    if !folder.join("node_modules/oidc-provider/lib/index.js").exists() {
        let install = ["install", "--silent", "--no-audit", "--no-fund", PROVIDER, "--prefix"];
        match Command::new("npm").args(install).arg(&folder).status() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            done => ensure!(done?.success(), "{PROVIDER} was not installed"),
        }
    }
    Ok(Some(folder))
}
