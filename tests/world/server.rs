//! The real program, as a process of its own: what a newcomer starts, and what `kill -9` hits.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::process::{Child, Command};

use crate::api::Api;

/// How long a start may take: on a busy machine, in a debug build, after a crash.
const START_WITHIN: Duration = Duration::from_secs(30);

/// A running `flagforge serve`. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pub url: String,
    /// The data folder's admin key.
    pub admin_key: String,
}

/// The program: the one that `FLAGFORGE_CLI` names, or else built here, which takes no time once it is up to date, in
/// this test's own profile.
pub fn program() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("FLAGFORGE_CLI") {
        return Ok(named.into());
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut build = std::process::Command::new(cargo);
    build.args(["build", "--package", "flagforge-cli", "--message-format", "json"]);
    build.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit());
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let output = build.output().context("running cargo")?;
    ensure!(output.status.success(), "flagforge did not build");
    let messages = String::from_utf8(output.stdout)?;
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executables.next_back().context("cargo built no program")
}

/// A port that was free a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Server {
    /// Starts the program on a data folder and waits until it answers.
    pub async fn start(program: &Path, data: &Path, port: u16) -> anyhow::Result<Self> {
        let url = format!("http://127.0.0.1:{port}");
        let log = std::fs::File::create(data.with_extension("log"))?;
        let child = Command::new(program)
            .args(["serve", "--data"])
            .arg(data)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("starting flagforge")?;
        let mut server = Self { child, url, admin_key: String::new() };
        let api = Api::new(&server.url, None);
        let started = std::time::Instant::now();
        while !api.get("/healthz").await.is_ok_and(|answer| answer.status == 200) {
            if let Some(status) = server.child.try_wait()? {
                let said = std::fs::read_to_string(data.with_extension("log"))?;
                bail!("flagforge ended with {status}: {said}");
            }
            ensure!(started.elapsed() < START_WITHIN, "flagforge does not answer");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.admin_key = std::fs::read_to_string(data.join("admin.key"))?.trim().to_owned();
        Ok(server)
    }

    /// The management API with the admin key.
    pub fn api(&self) -> Api {
        Api::new(&self.url, Some(&self.admin_key))
    }

    /// SIGKILL: no farewell, no flush.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("killing flagforge")
    }
}
