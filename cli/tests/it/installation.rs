//! A running installation, and a terminal beside it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

/// How long a start may take: on a busy machine, in a debug build.
const START_WITHIN: Duration = Duration::from_secs(60);

/// `flagforge serve`, until it is dropped.
pub(crate) struct Installation {
    process: Child,
    pub(crate) url: String,
    folder: TempDir,
}

impl Installation {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = |name: &str| File::create(folder.path().join(name)).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_flagforge"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .args(arguments)
            .env("FLAGFORGE_LOG", "warn,flagforge_platform=debug")
            .stdin(Stdio::null())
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            .spawn()
            .unwrap();
        let mut installation = Self { process, url: String::new(), folder };
        let began = Instant::now();
        while installation.url.is_empty() {
            assert!(began.elapsed() < START_WITHIN, "it does not start: {}", installation.log());
            std::thread::sleep(Duration::from_millis(10));
            let said = installation.said();
            // Whole, once it says how it ends.
            if said.contains("Ctrl-C") {
                let rest = said.strip_prefix("FlagForge is up at ");
                let url = rest.and_then(|rest| rest.split_once(','));
                installation.url = url.expect(&said).0.to_owned();
            }
        }
        installation
    }

    /// What is in its data folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    /// What it told whoever started it.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("stdout")).unwrap()
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// A terminal whose profile is the installation's admin.
    pub(crate) fn terminal(&self, env: &str) -> Terminal {
        let terminal = Terminal::new();
        let key = self.file("admin.key").display().to_string();
        terminal.ok(&format!("profile add here --url {} --key-file {key} --env {env}", self.url));
        terminal
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Somebody's terminal: a folder for files and profiles, and no other environment.
pub(crate) struct Terminal {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Types a line and answers what it came to.
    pub(crate) fn run(&self, line: &str) -> Said {
        let words = words(line);
        let mut command = Command::new(env!("CARGO_BIN_EXE_flagforge"));
        command.args(&words).env_clear().env("XDG_CONFIG_HOME", self.folder.path());
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        let command = command.current_dir(self.folder.path()).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        Said { code, out: text(output.stdout), err: text(output.stderr) }
    }

    /// A line that works.
    #[track_caller]
    pub(crate) fn ok(&self, line: &str) -> String {
        let said = self.run(line);
        assert_eq!(said.code, 0, "{line}\n{}{}", said.out, said.err);
        said.out
    }

    /// A line that works, and its JSON.
    #[track_caller]
    pub(crate) fn json(&self, line: &str) -> Json {
        let out = self.ok(&format!("{line} --json"));
        serde_json::from_str(&out).expect(&out)
    }

    /// A line that ends with a code, and what it complains of.
    #[track_caller]
    pub(crate) fn fails(&self, line: &str, code: i32) -> String {
        let said = self.run(line);
        assert_eq!(said.code, code, "{line}\n{}{}", said.out, said.err);
        said.err
    }
}

/// The words of a shell line that has quotes and no other magic.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == c => quote = None,
            (None, ' ' | '\n') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.into_iter().chain(word).collect()
}

/// The mode of a file, without its kind.
pub(crate) fn mode(file: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}
