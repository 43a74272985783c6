//! Where a command goes and as whom: options, variables and profiles, in their order.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flagforge_flags::AccessKey;
use reqwest::Url;
use serde_json::{Value as Json, json};

use super::Place;
use super::profile::{Profile, Profiles};
use super::refusal::Failure;
use crate::args::note;

/// Bytes of a key's file: the longest key has 252.
const MAX_KEY_FILE_BYTES: u64 = 4 * 1024;

/// Everything that one place says.
#[derive(Debug, Default)]
struct Source {
    /// For people: `--url`, `FLAGFORGE_URL`, `profile demo`.
    names: [String; 4],
    is_profile: bool,
    url: Option<String>,
    key: Option<Key>,
    org: Option<String>,
    env: Option<String>,
}

#[derive(Debug, Clone)]
enum Key {
    Text(String),
    File(PathBuf),
}

impl Key {
    fn read(&self) -> anyhow::Result<String> {
        match self {
            Self::Text(text) => Ok(text.trim().to_owned()),
            Self::File(path) => key_in_file(path),
        }
    }
}

/// A setting, and who said it.
type Settled<T> = Option<(T, String)>;

/// What a command uses.
#[derive(Debug)]
pub(crate) struct Settings {
    url: Settled<String>,
    key: Settled<Key>,
    org: Settled<String>,
    env: Settled<String>,
}

impl Settings {
    /// Settles them. A profile of another address counts for nothing: its key is not for this one.
    pub(crate) fn of(
        place: &Place,
        var: &dyn Fn(&str) -> Option<String>,
        profiles: &Profiles,
    ) -> anyhow::Result<Self> {
        let mut sources = vec![Source::of_options(place)];
        if let Some(name) = &place.profile {
            sources.push(Source::of_profile(name, profiles.named(name)?));
        }
        sources.push(Source::of_variables(var));
        let default = var("FLAGFORGE_PROFILE").or(profiles.current().map(str::to_owned));
        if let (None, Some(name)) = (&place.profile, default) {
            sources.push(Source::of_profile(&name, profiles.named(&name)?));
        }
        let url = first(&sources, 0, |source| source.url.clone());
        if let Some((url, _)) = &url {
            sources.retain(|source| !source.is_profile || source.url.as_ref() == Some(url));
        }
        Ok(Self {
            url,
            key: first(&sources, 1, |source| source.key.clone()),
            org: first(&sources, 2, |source| source.org.clone()),
            env: first(&sources, 3, |source| source.env.clone()),
        })
    }

    pub(crate) fn url(&self) -> anyhow::Result<Url> {
        let next = "give --url, set FLAGFORGE_URL, or keep one: `flagforge profile add --help`";
        let none = || Failure::usage(format!("no installation is named\n  next:  {next}"));
        let (url, said) = self.url.as_ref().ok_or_else(none)?;
        let parsed =
            Url::parse(url).map_err(|error| Failure::usage(format!("{said}: {url}: {error}")))?;
        if !parsed.username().is_empty() || parsed.query().is_some() {
            return Err(Failure::usage(format!("{said}: an address has no user and no query")));
        }
        Ok(parsed)
    }

    pub(crate) fn key(&self) -> anyhow::Result<String> {
        let next =
            "give --key-file, set FLAGFORGE_KEY, or keep one: `flagforge profile add --help`";
        let none = || Failure::usage(format!("no key to ask with\n  next:  {next}"));
        let (key, said) = self.key.as_ref().ok_or_else(none)?;
        key.read().with_context(|| said.clone())
    }

    /// The organization: as said, else the key's own.
    pub(crate) fn org(&self, key: &str) -> Option<String> {
        let of_key = || AccessKey::parse(key).ok().map(|key| key.org().to_string());
        self.org.as_ref().map(|(org, _)| org.clone()).or_else(of_key)
    }

    pub(crate) fn env(&self) -> Option<String> {
        self.env.as_ref().map(|(env, _)| env.clone())
    }

    /// For people: each setting and where it comes from; of the key only its public id.
    pub(crate) fn told(&self) -> Json {
        let settled = |setting: &Settled<String>| {
            setting.as_ref().map(|(value, from)| json!({"value": value, "from": from}))
        };
        let key = self.key.as_ref().and_then(|(key, from)| Some((key.read().ok()?, from)));
        let id = |text: &str| {
            AccessKey::parse(text).map_or("no key of ours".to_owned(), |key| key.id().to_owned())
        };
        let told_key = key.as_ref().map(|(text, from)| json!({"value": id(text), "from": from}));
        let from_key = || {
            let org = AccessKey::parse(&key.as_ref()?.0).ok()?.org().to_string();
            Some(json!({"value": org, "from": "the key"}))
        };
        let org = settled(&self.org).or_else(from_key);
        json!({"url": settled(&self.url), "key": told_key, "org": org, "env": settled(&self.env)})
    }
}

fn first<T>(sources: &[Source], name: usize, of: impl Fn(&Source) -> Option<T>) -> Settled<T> {
    sources.iter().find_map(|source| of(source).map(|value| (value, source.names[name].clone())))
}

impl Source {
    fn of_options(place: &Place) -> Self {
        Self {
            names: ["--url", "--key-file", "--org", "--env"].map(str::to_owned),
            is_profile: false,
            url: place.url.clone(),
            key: place.key_file.clone().map(Key::File),
            org: place.org.clone(),
            env: place.env.clone(),
        }
    }

    fn of_variables(var: &dyn Fn(&str) -> Option<String>) -> Self {
        let text = var("FLAGFORGE_KEY");
        let key_name = if text.is_some() { "FLAGFORGE_KEY" } else { "FLAGFORGE_KEY_FILE" };
        let file = || var("FLAGFORGE_KEY_FILE").map(|file| Key::File(file.into()));
        Self {
            names: ["FLAGFORGE_URL", key_name, "FLAGFORGE_ORG", "FLAGFORGE_ENV"].map(str::to_owned),
            is_profile: false,
            url: var("FLAGFORGE_URL"),
            key: text.map(Key::Text).or_else(file),
            org: var("FLAGFORGE_ORG"),
            env: var("FLAGFORGE_ENV"),
        }
    }

    fn of_profile(name: &str, profile: &Profile) -> Self {
        let names = std::array::from_fn(|_| format!("profile {name}"));
        let Profile { url, key, key_file, org, env } = profile.clone();
        let key = key.map(Key::Text).or(key_file.map(Key::File));
        Self { names, is_profile: true, url: Some(url), key, org, env }
    }
}

/// The key in a file, or on the standard input for `-`. Others should not be able to read the file.
pub(crate) fn key_in_file(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin()
            .take(MAX_KEY_FILE_BYTES)
            .read_to_string(&mut text)
            .context("standard input")?;
    } else {
        let opened = fs::File::open(path).with_context(|| format!("reading {}", path.display()));
        let file = opened.map_err(|error| Failure::usage(format!("{error:#}")))?;
        if file.metadata().is_ok_and(|facts| facts.permissions().mode() & 0o077 != 0) {
            note(&format!(
                "{0} holds a key, and others may read it: chmod 600 {0}",
                path.display()
            ));
        }
        file.take(MAX_KEY_FILE_BYTES)
            .read_to_string(&mut text)
            .with_context(|| format!("reading {}", path.display()))?;
    }
    let key = text.trim();
    if key.is_empty() {
        return Err(Failure::usage(format!("{} holds no key", path.display())));
    }
    Ok(key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILES: &str = r#"{"current": "here", "profiles": {
        "here": {"url": "http://here/", "key": "of-here", "org": "o-here", "env": "e-here"},
        "there": {"url": "http://there/", "key": "of-there", "org": "o-there"}
    }}"#;

    /// `url key org env`, with `-` for what nobody says.
    fn settle(options: &str, variables: &str) -> String {
        let mut place = Place::default();
        for pair in options.split_whitespace() {
            let (name, value) = pair.split_once('=').unwrap();
            let value = Some(value.to_owned());
            match name {
                "url" => place.url = value,
                "org" => place.org = value,
                "env" => place.env = value,
                _ => place.profile = value,
            }
        }
        let var = |name: &str| {
            let pair = |pair: &str| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
            variables.split_whitespace().find_map(pair)
        };
        let profiles: Profiles = serde_json::from_str(PROFILES).unwrap();
        let settings = Settings::of(&place, &var, &profiles).unwrap();
        let url = settings.url().map_or("-".to_owned(), |url| url.to_string());
        let key = settings.key().unwrap_or("-".to_owned());
        let org = settings.org(&key).unwrap_or("-".to_owned());
        format!("{url} {key} {org} {}", settings.env().unwrap_or("-".to_owned()))
    }

    #[test]
    fn what_is_nearer_to_the_command_counts() {
        let cases = [
            ("", "", "http://here/ of-here o-here e-here"),
            ("env=dev", "", "http://here/ of-here o-here dev"),
            ("", "FLAGFORGE_ENV=stage", "http://here/ of-here o-here stage"),
            ("env=dev", "FLAGFORGE_ENV=stage", "http://here/ of-here o-here dev"),
            ("", "FLAGFORGE_PROFILE=there", "http://there/ of-there o-there -"),
            ("profile=there", "FLAGFORGE_PROFILE=here", "http://there/ of-there o-there -"),
            ("profile=there", "FLAGFORGE_KEY=mine", "http://there/ of-there o-there -"),
            ("", "FLAGFORGE_KEY=mine", "http://here/ mine o-here e-here"),
        ];
        for (options, variables, wanted) in cases {
            assert_eq!(settle(options, variables), wanted, "{options} | {variables}");
        }
    }

    #[test]
    fn a_profiles_key_goes_to_its_own_address_only() {
        assert_eq!(settle("url=http://evil/", ""), "http://evil/ - - -");
        assert_eq!(settle("", "FLAGFORGE_URL=http://evil/"), "http://evil/ - - -");
        assert_eq!(settle("url=http://evil/ profile=there", ""), "http://evil/ - - -");
        assert_eq!(settle("url=http://here/", ""), "http://here/ of-here o-here e-here");
        let key = "ff_mgmt_acme.k1_abcdefghijklmnopqrstuvwxyz";
        let own = settle("url=http://new/", &format!("FLAGFORGE_KEY={key}"));
        assert_eq!(own, format!("http://new/ {key} acme -"));
    }

    #[test]
    fn an_address_that_hides_a_secret_is_refused() {
        for url in ["http://user:pw@h/", "http://h/?key=x", "nonsense"] {
            assert_eq!(settle(&format!("url={url}"), ""), "- - - -", "{url}");
        }
    }
}
