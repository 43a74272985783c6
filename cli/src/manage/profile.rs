//! Profiles: installations that one works with, in a file that only its owner may read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::refusal::{Exit, Failure};
use super::settings::{Settings, key_in_file};
use super::table::{field, record, table, with};
use super::{Noun, Place};
use crate::args::say;

/// Bytes of the file: some thousand profiles.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Settings are taken from, in this order:
  1. options:    --url  --key-file  --org  --env
  2. the profile that --profile names
  3. variables:  FLAGFORGE_URL  FLAGFORGE_KEY or FLAGFORGE_KEY_FILE  FLAGFORGE_ORG  FLAGFORGE_ENV
  4. the profile that FLAGFORGE_PROFILE names, or the one in use
A profile counts only for its own address: its key goes nowhere else. Without --org, the key's own organization.
They are in $XDG_CONFIG_HOME/flagforge/profiles.json, or ~/.config/flagforge/profiles.json.")]
pub(crate) enum ProfileCommand {
    /// Keep an installation under a name, and use it from now on.
    #[command(after_help = "\
  flagforge profile add demo --url http://127.0.0.1:8080 --key-file demo-data/admin.key --env prod
Only the path of the key's file is kept. To keep the key itself, give it on the standard input:
  pass show flagforge | flagforge profile add prod --url https://flags.example.com --key-file - --env prod")]
    Add {
        /// What it is called here.
        name: String,
    },
    /// List the profiles.
    List,
    /// Use a profile from now on.
    Use {
        /// The profile.
        name: String,
    },
    /// Forget a profile.
    Remove {
        /// The profile.
        name: String,
    },
    /// Say what commands would use, and where each setting comes from.
    Show,
}

/// An installation that one works with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Profile {
    pub(crate) url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) org: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) env: Option<String>,
}

/// All of them, and which is in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profiles {
    #[serde(default)]
    current: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

impl Profiles {
    /// Reads the file; none is no profiles. One that others may read is refused.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let facts = match fs::metadata(path) {
            Ok(facts) => facts,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        if facts.permissions().mode() & 0o077 != 0 {
            let path = path.display();
            return Err(Failure::usage(format!(
                "{path} may hold keys, and others may read it\n  next:  chmod 600 {path}"
            )));
        }
        if facts.len() > MAX_FILE_BYTES {
            return Err(Failure::usage(format!(
                "{} is over {MAX_FILE_BYTES} bytes",
                path.display()
            )));
        }
        let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} holds no profiles", path.display()))
    }

    /// Writes the file beside its place and then into it, readable by its owner only.
    fn save(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        let written = (|| {
            if let Some(folder) = path.parent() {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            let beside = path.with_extension(format!("{}.new", std::process::id()));
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
            writeln!(file, "{text}")?;
            file.sync_all()?;
            fs::rename(&beside, path)
        })();
        written.with_context(|| format!("writing {}", path.display()))
    }

    pub(crate) fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    /// A profile that was asked for by name.
    pub(crate) fn named(&self, name: &str) -> anyhow::Result<&Profile> {
        let next = "`flagforge profile list` shows those there are";
        let failure =
            || Failure::new(Exit::NotFound, format!("no profile `{name}`\n  next:  {next}"));
        self.profiles.get(name).ok_or_else(|| failure().into())
    }
}

/// Where the profiles are.
pub(crate) fn file(var: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<PathBuf> {
    let home = || var("HOME").map(|home| PathBuf::from(home).join(".config"));
    let folder = var("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home);
    let folder = folder.ok_or_else(|| Failure::usage("neither XDG_CONFIG_HOME nor HOME is set"))?;
    Ok(folder.join("flagforge").join("profiles.json"))
}

pub(crate) fn run(noun: &Noun<ProfileCommand>) -> anyhow::Result<()> {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let path = file(&var)?;
    let mut profiles = Profiles::load(&path)?;
    match &noun.command {
        ProfileCommand::Add { name } => {
            let profile = profile_of(&noun.common.place, &var)?;
            profiles.profiles.insert(name.clone(), profile);
            profiles.current = Some(name.clone());
            profiles.save(&path)?;
            say(&format!("{name} is kept in {}, and used from now on", path.display()));
        }
        ProfileCommand::Use { name } => {
            profiles.named(name)?;
            profiles.current = Some(name.clone());
            profiles.save(&path)?;
            say(&format!("{name} is used from now on"));
        }
        ProfileCommand::Remove { name } => {
            profiles.named(name)?;
            profiles.profiles.remove(name);
            profiles.current.take_if(|current| current == name);
            profiles.save(&path)?;
            say(&format!("{name} is forgotten"));
        }
        ProfileCommand::List => list(&profiles, noun.common.json)?,
        ProfileCommand::Show => {
            show(&Settings::of(&noun.common.place, &var, &profiles)?, noun.common.json)?
        }
    }
    Ok(())
}

/// What is said on the command line, as a profile. Of a key in a file only the path is kept.
fn profile_of(place: &Place, var: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Profile> {
    let settings =
        Settings::of(&Place { profile: None, ..place.clone() }, var, &Profiles::default())?;
    let url = settings.url()?.to_string();
    let (mut key, mut key_file) = (None, None);
    match &place.key_file {
        Some(file) if file != Path::new("-") => {
            key_in_file(file)?;
            key_file = Some(std::path::absolute(file).context("--key-file")?);
        }
        _ => key = Some(settings.key()?),
    }
    Ok(Profile { url, key, key_file, org: place.org.clone(), env: place.env.clone() })
}

fn list(profiles: &Profiles, json: bool) -> anyhow::Result<()> {
    let in_use = |name: &String| profiles.current.as_ref() == Some(name);
    let items: Vec<_> = (profiles.profiles.iter())
        .map(|(name, profile)| {
            let key_file = profile.key_file.as_ref().map(|file| file.display().to_string());
            let key = key_file.or(profile.key.as_ref().map(|_| "kept with it".to_owned()));
            let used = if in_use(name) { "*" } else { "" };
            json!({"name": name, "url": profile.url, "org": profile.org, "env": profile.env, "key": key, "used": used})
        })
        .collect();
    if json {
        say(&serde_json::to_string_pretty(&items)?);
        return Ok(());
    }
    let columns = [
        field("", "used"),
        field("NAME", "name"),
        field("URL", "url"),
        field("ORG", "org"),
        field("ENV", "env"),
        field("KEY", "key"),
    ];
    table(&columns, &items, None).iter().for_each(|line| say(line));
    Ok(())
}

fn show(settings: &Settings, json: bool) -> anyhow::Result<()> {
    let settled = settings.told();
    if json {
        say(&serde_json::to_string_pretty(&settled)?);
        return Ok(());
    }
    let columns = [
        with("url", |all| told(all, "url")),
        with("key", |all| told(all, "key")),
        with("org", |all| told(all, "org")),
        with("env", |all| told(all, "env")),
    ];
    record(&columns, &settled).iter().for_each(|line| say(line));
    Ok(())
}

fn told(all: &serde_json::Value, name: &str) -> String {
    let Some(value) = all[name]["value"].as_str() else { return "not said".to_owned() };
    format!("{value}  ({})", all[name]["from"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_its_owners_and_one_that_others_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let vars =
            |name: &str| (name == "XDG_CONFIG_HOME").then(|| folder.path().display().to_string());
        let path = file(&vars).unwrap();
        assert_eq!(Profiles::load(&path).unwrap(), Profiles::default());
        let profile =
            Profile { url: "http://h/".into(), key: Some("k".into()), ..Profile::default() };
        let profiles = [("a".to_owned(), profile)].into();
        let all = Profiles { current: Some("a".into()), profiles };
        all.save(&path).unwrap();
        all.save(&path).unwrap();
        assert_eq!(Profiles::load(&path).unwrap(), all);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert!(all.named("b").unwrap_err().to_string().contains("profile list"));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Profiles::load(&path).unwrap_err().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
    }

    #[test]
    fn the_folder_is_where_such_files_are() {
        let only =
            |wanted: &'static str| move |name: &str| (name == wanted).then(|| "/x".to_owned());
        assert_eq!(file(&only("HOME")).unwrap(), Path::new("/x/.config/flagforge/profiles.json"));
        assert_eq!(
            file(&only("XDG_CONFIG_HOME")).unwrap(),
            Path::new("/x/flagforge/profiles.json")
        );
        assert!(file(&only("PATH")).is_err());
    }
}
