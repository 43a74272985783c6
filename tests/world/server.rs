//! The real program, as a process of its own: what a newcomer starts, and what `kill -9` hits.

use std::net::{Ipv4Addr, SocketAddr};
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
    log: PathBuf,
    pub url: String,
    /// The data folder's admin key.
    pub admin_key: String,
}

/// The program: the one that `FLAGFORGE_CLI` names, or else built here, which takes no time once it is up to date, in
/// this test's own profile.
pub fn program() -> anyhow::Result<PathBuf> {
    built("FLAGFORGE_CLI", "flagforge-cli")
}

/// A package's program, or the one that a variable names.
fn built(named: &str, package: &str) -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os(named) {
        return Ok(named.into());
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut build = std::process::Command::new(cargo);
    build.args(["build", "--package", package, "--message-format", "json"]);
    build.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit());
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let output = build.output().context("running cargo")?;
    ensure!(output.status.success(), "{package} did not build");
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
        let path = data.with_extension("log");
        let log = std::fs::File::create(&path)?;
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
        let mut server = Self { child, url, admin_key: String::new(), log: path };
        let api = Api::new(&server.url, None);
        let started = std::time::Instant::now();
        while !api.get("/healthz").await.is_ok_and(|answer| answer.status == 200) {
            if let Some(status) = server.child.try_wait()? {
                let said = std::fs::read_to_string(&server.log)?;
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

    /// The root keys that its connection string pins.
    async fn roots(&self) -> anyhow::Result<String> {
        let started = std::time::Instant::now();
        // It answers a moment before it prints.
        while started.elapsed() < START_WITHIN {
            let said = std::fs::read_to_string(&self.log)?;
            if let Some((_, roots)) = said.split_once("roots=")
                && let Some((roots, _)) = roots.split_once(char::is_whitespace)
            {
                return Ok(roots.to_owned());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("it printed no connection string")
    }

    /// SIGKILL: no farewell, no flush.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("killing flagforge")
    }
}

/// A relay behind a `flagforge serve`, as a process of its own, at an address that it keeps. Dropping it kills it.
#[derive(Debug)]
pub struct Relay {
    child: Child,
    program: PathBuf,
    connection: String,
    settings: Vec<(String, String)>,
    address: SocketAddr,
    pub url: String,
}

/// Bytes of memory that a process has.
#[derive(Debug, Clone, Copy)]
pub struct Resident {
    pub now: u64,
    pub most: u64,
}

impl Relay {
    /// Starts it with a relay's key, the environment variables given, and waits until it is ready. It is the program that
    /// `FLAGFORGE_RELAY` names, or built here.
    pub async fn start(
        behind: &Server,
        key: &str,
        place: &str,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let (program, port) = (built("FLAGFORGE_RELAY", "flagforge-relay")?, free_port()?);
        let (host, roots) = (behind.url.trim_start_matches("http://"), behind.roots().await?);
        let connection = format!("flagforge+http://{key}@{host}/{place}?roots={roots}");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let settings: Vec<_> = settings.collect();
        let child = spawned(&program, &connection, address, &settings)?;
        let url = format!("http://{address}");
        let mut relay = Self { child, program, connection, settings, address, url };
        relay.until_ready().await?;
        Ok(relay)
    }

    /// Starts another one in place of one that has ended.
    pub async fn again(&mut self) -> anyhow::Result<()> {
        let Self { program, connection, address, settings, .. } = &*self;
        self.child = spawned(program, connection, *address, settings)?;
        self.until_ready().await
    }

    /// Ends it: by SIGKILL, or by telling it to.
    pub async fn end(&mut self, kill: bool) -> anyhow::Result<()> {
        let id = self.child.id().context("it has ended")?.to_string();
        let signal = if kill { "-KILL" } else { "-TERM" };
        Command::new("kill").args([signal, &id]).status().await?;
        self.child.wait().await?;
        Ok(())
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let (api, started) = (Api::new(&self.url, None), std::time::Instant::now());
        while !api.get("/readyz").await.is_ok_and(|answer| answer.status == 200) {
            if let Some(status) = self.child.try_wait()? {
                bail!("the relay ended with {status}");
            }
            ensure!(started.elapsed() < START_WITHIN, "the relay is not ready");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What Linux says of its memory.
    pub fn resident(&self) -> anyhow::Result<Resident> {
        let id = self.child.id().context("it has ended")?;
        let told = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let kilobytes = |name: &str| {
            let line =
                told.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
            anyhow::Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024)
        };
        Ok(Resident { now: kilobytes("VmRSS:")?, most: kilobytes("VmHWM:")? })
    }
}

fn spawned(
    program: &Path,
    connection: &str,
    listen: SocketAddr,
    settings: &[(String, String)],
) -> anyhow::Result<Child> {
    let mut command = Command::new(program);
    command.env("FLAGFORGE_CONNECTION", connection).env("FLAGFORGE_LISTEN", listen.to_string());
    command.env("FLAGFORGE_LOG", "warn").envs(settings.iter().cloned());
    command.stdin(Stdio::null()).kill_on_drop(true).spawn().context("starting the relay")
}
