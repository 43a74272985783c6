//! A command at work: where it goes, what it sends along, and how it answers.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::client::{Answer, Body, Client, Version};
use super::fields::{Fields, lay_over};
use super::path::Path;
use super::profile::{self, Profiles};
use super::refusal::{Exit, Failure};
use super::settings::Settings;
use super::table::{Column, record, table};
use super::{Common, Find, Pages};
use crate::args::{note, say};

/// Items of a list when nothing else is said.
const LISTED: usize = 100;
/// The most that the API gives at once.
const MAX_PAGE: usize = 500;

/// A command at work.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    org: Option<String>,
    env: Option<String>,
    common: Common,
    /// Changes so far, so that each has an idempotency key of its own.
    changes: AtomicU32,
    /// What this run's idempotency keys begin with.
    run: String,
}

impl Session {
    pub(crate) fn open(common: &Common) -> anyhow::Result<Self> {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let profiles = Profiles::load(&profile::file(&var)?)?;
        let settings = Settings::of(&common.place, &var, &profiles)?;
        let (url, key) = (settings.url()?, settings.key()?);
        let run = match &common.idempotency_key {
            Some(key) => key.clone(),
            None => {
                let mut random = [0; 16];
                getrandom::fill(&mut random).context("drawing an idempotency key")?;
                random.iter().map(|byte| format!("{byte:02x}")).collect()
            }
        };
        Ok(Self {
            client: Client::new(&url, &key)?,
            org: settings.org(&key),
            env: settings.env(),
            common: common.clone(),
            changes: AtomicU32::new(0),
            run,
        })
    }

    pub(crate) fn org_name(&self) -> anyhow::Result<&str> {
        let next = "give --org, set FLAGFORGE_ORG, or keep one in a profile";
        let none = || Failure::usage(format!("no organization is named\n  next:  {next}"));
        self.org.as_deref().ok_or_else(none)
    }

    pub(crate) fn env_name(&self) -> anyhow::Result<&str> {
        let next = "give --env, set FLAGFORGE_ENV, or keep one in a profile; `flagforge env list` shows them";
        let none = || Failure::usage(format!("no environment is named\n  next:  {next}"));
        self.env.as_deref().ok_or_else(none)
    }

    /// The environment, where one was named at all.
    pub(crate) fn env_if_named(&self) -> Option<&str> {
        self.env.as_deref()
    }

    /// Below the organization.
    pub(crate) fn org(&self, segments: &[&str]) -> anyhow::Result<Path> {
        Ok(Path::of(&["v1", "orgs", self.org_name()?]).to(segments))
    }

    /// Below the environment.
    pub(crate) fn env(&self, segments: &[&str]) -> anyhow::Result<Path> {
        Ok(self.org(&["environments", self.env_name()?])?.to(segments))
    }

    /// Why, as it was said on the command line.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.common.reason.as_deref()
    }

    pub(crate) fn json(&self) -> bool {
        self.common.json
    }

    pub(crate) async fn get(&self, path: &Path) -> anyhow::Result<Answer> {
        self.client.send(Method::GET, path, &[], &Body::None).await
    }

    /// Asks the data plane, which is told tenant and environment in headers.
    pub(crate) async fn ask(
        &self,
        path: &Path,
        headers: &[(&'static str, String)],
        body: Json,
    ) -> anyhow::Result<Answer> {
        self.client.send(Method::POST, path, headers, &Body::Json(body)).await
    }

    /// Changes something. A version that was said on the command line counts before the one that was read. Each
    /// change of a run has an idempotency key, so that one that is sent again is done once.
    pub(crate) async fn change(
        &self,
        method: Method,
        path: &Path,
        body: Body,
        version: Version,
    ) -> anyhow::Result<Answer> {
        let number = self.changes.fetch_add(1, Ordering::Relaxed);
        let suffix = if number == 0 { String::new() } else { format!(".{number}") };
        let mut headers = vec![("idempotency-key", format!("{}{suffix}", self.run))];
        headers.extend(self.common.reason.clone().map(|reason| ("flagforge-reason", reason)));
        if !self.common.links.is_empty() {
            headers.push(("flagforge-links", self.common.links.join(", ")));
        }
        match (&self.common.if_match, version) {
            (Some(said), _) => headers.push(("if-match", quoted(said))),
            (None, Version::Is(tag)) => headers.push(("if-match", tag)),
            (None, Version::Absent) => headers.push(("if-none-match", "*".to_owned())),
            (None, Version::Any) => {}
        }
        self.client.send(method, path, &headers, &body).await
    }

    pub(crate) async fn post(&self, path: &Path, body: Body) -> anyhow::Result<Answer> {
        self.change(Method::POST, path, body, Version::Any).await
    }

    /// Creates what must not be there.
    pub(crate) async fn create(&self, path: &Path, fields: Fields) -> anyhow::Result<Answer> {
        self.change(Method::PUT, path, Body::Json(fields.json()), Version::Absent).await
    }

    /// Reads a thing, lays these fields over it, and puts it back if it is still the same. `absent` is what becomes
    /// of one that is not there.
    pub(crate) async fn amend(
        &self,
        path: &Path,
        fields: Fields,
        absent: Absent,
    ) -> anyhow::Result<Answer> {
        self.amend_with(path, fields, absent, |_| ()).await
    }

    /// The same, with an edit after it.
    pub(crate) async fn amend_with(
        &self,
        path: &Path,
        fields: Fields,
        absent: Absent,
        edit: impl FnOnce(&mut Json),
    ) -> anyhow::Result<Answer> {
        let (mut body, version) = match self.get(path).await {
            Ok(found) => (found.json()?, found.version()),
            Err(error) if absent == Absent::Create && Failure::is(&error, Exit::NotFound) => {
                (json!({}), Version::Absent)
            }
            Err(error) => return Err(error),
        };
        lay_over(&mut body, fields.json());
        edit(&mut body);
        self.change(Method::PUT, path, Body::Json(body), version).await
    }

    /// Deletes a thing, once that was confirmed.
    pub(crate) async fn delete(&self, path: &Path, what: &str, gone: &str) -> anyhow::Result<()> {
        self.confirm(&format!("Delete {what}?"))?;
        let answer = self.change(Method::DELETE, path, Body::None, Version::Any).await?;
        self.tell(&answer, gone)
    }

    /// Asks before what cannot be undone at a stroke.
    pub(crate) fn confirm(&self, question: &str) -> anyhow::Result<()> {
        if self.common.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(Failure::usage(format!(
                "{question}\n  next:  --yes says so where nobody can be asked"
            )));
        }
        let mut stderr = std::io::stderr().lock();
        _ = write!(stderr, "{question} [y/N] ");
        _ = stderr.flush();
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).context("reading the answer")?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::new(Exit::Failed, "nothing was done").into()),
        }
    }

    /// Says what became of a change: the API's own JSON, or a sentence and the revision.
    pub(crate) fn tell(&self, answer: &Answer, sentence: &str) -> anyhow::Result<()> {
        if self.json() {
            return self.print(answer);
        }
        if let Some(id) = answer.json()?["changeRequest"].as_str() {
            say(&format!("It waits for approval, as change request {id}."));
            return Ok(());
        }
        match answer.header("flagforge-revision") {
            Some(revision) => say(&format!("{sentence}  ({revision})")),
            None => say(sentence),
        }
        Ok(())
    }

    /// The API's own JSON; nothing for an answer without a body.
    pub(crate) fn print(&self, answer: &Answer) -> anyhow::Result<()> {
        if answer.body.is_empty() { Ok(()) } else { print_json(&answer.json()?) }
    }

    /// One thing: its JSON, or a line for each of these.
    pub(crate) fn show(&self, answer: &Answer, columns: &[Column]) -> anyhow::Result<()> {
        if self.json() {
            return self.print(answer);
        }
        record(columns, &answer.json()?).iter().for_each(|line| say(line));
        if let (false, Version::Is(tag)) = (answer.is_of_a_change(), answer.version()) {
            note(&format!("version {tag}, for --if-match"));
        }
        Ok(())
    }

    pub(crate) async fn get_and_show(&self, path: &Path, columns: &[Column]) -> anyhow::Result<()> {
        self.show(&self.get(path).await?, columns)
    }

    /// Those of a list that are asked for.
    pub(crate) async fn find(
        &self,
        path: Path,
        find: &Find,
        columns: &[Column],
    ) -> anyhow::Result<()> {
        let found = self.gather(&find.of(path), &find.pages).await?;
        if find.fields.is_some() { print_json(&found) } else { self.print_list(&found, columns) }
    }

    /// A list, page after page until there is as much as was asked for.
    pub(crate) async fn list(
        &self,
        path: &Path,
        pages: &Pages,
        columns: &[Column],
    ) -> anyhow::Result<()> {
        let found = self.gather(path, pages).await?;
        self.print_list(&found, columns)
    }

    pub(crate) fn print_list(&self, found: &Json, columns: &[Column]) -> anyhow::Result<()> {
        if self.json() {
            return print_json(found);
        }
        let items = found["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if items.is_empty() {
            note("there is nothing");
        } else {
            print_table(columns, items);
        }
        if let Some(next) = found["next"].as_str() {
            note(&format!("there is more: --all, or --cursor {next}"));
        }
        Ok(())
    }

    /// `{"items": […], "next": …}`, of as many pages as it takes.
    pub(crate) async fn gather(&self, path: &Path, pages: &Pages) -> anyhow::Result<Json> {
        let wanted = if pages.all { usize::MAX } else { pages.limit.unwrap_or(LISTED) };
        let (mut items, mut cursor) = (Vec::new(), pages.cursor.clone());
        loop {
            let limit = (wanted - items.len()).min(MAX_PAGE);
            let page = path.clone().ask("limit", &limit).ask_if("cursor", cursor.as_deref());
            let mut page = self.get(&page).await?.json()?;
            if let Json::Array(more) = page["items"].take() {
                items.extend(more);
            }
            cursor = page["next"].as_str().map(str::to_owned);
            // A page can be short, or empty, and still have a successor.
            if cursor.is_none() || items.len() >= wanted {
                break;
            }
        }
        Ok(match cursor {
            Some(next) => json!({"items": items, "next": next}),
            None => json!({"items": items}),
        })
    }
}

/// What becomes of a change to what is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    Create,
    Refuse,
}

fn quoted(version: &str) -> String {
    if version == "*" || version.starts_with('"') {
        version.to_owned()
    } else {
        format!("\"{version}\"")
    }
}

pub(crate) fn print_json(json: &Json) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(json).context("the answer is no JSON")?);
    Ok(())
}

/// A table, as wide as the terminal where there is one; its titles are bold where that can be seen.
pub(crate) fn print_table(columns: &[Column], items: &[Json]) {
    let is_terminal = std::io::stdout().is_terminal();
    let width = is_terminal.then(terminal_width).flatten();
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    for (index, line) in table(columns, items, width).iter().enumerate() {
        if index == 0 && is_terminal && !plain {
            say(&format!("\u{1b}[1m{line}\u{1b}[0m"));
        } else {
            say(line);
        }
    }
}

/// Columns of the terminal. Asking it ourselves takes unsafe code, or three more crates in the first build.
fn terminal_width() -> Option<usize> {
    if let Some(said) = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()) {
        return Some(said);
    }
    let terminal = std::fs::File::open("/dev/tty").ok()?;
    let stty = std::process::Command::new("stty").arg("size").stdin(terminal).output().ok()?;
    let size = String::from_utf8(stty.stdout).ok()?;
    size.split_whitespace().nth(1)?.parse().ok().filter(|columns| *columns > 0)
}
