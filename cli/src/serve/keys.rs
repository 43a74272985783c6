//! The keys that this process needs, in files of the data folder that only their owner can read.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use axum::http::StatusCode;
use flagforge_flags::access_key::AccessKey;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::Thumbprint;
use flagforge_platform::read::PageOf;
use flagforge_platform::{Caller, IssuedKey, KeySpec, Platform, Request, bootstrap};

use super::Home;
use crate::inside::Inside;

/// The admin key's file: the one that people use.
pub(super) const ADMIN_FILE: &str = "admin.key";
/// The page's own key for the data plane.
const PAGE_FILE: &str = "page.key";

/// The file of the printed connection string's key.
pub(super) fn server_file(env: &str) -> String {
    format!("server-{env}.key")
}

/// The keys, in force.
pub(super) struct Keys {
    pub(super) admin: AccessKey,
    /// Whether the admin key was made just now, and has never been shown.
    pub(super) is_new: bool,
    /// A server key for one environment.
    pub(super) server: AccessKey,
    /// A server key for all of them.
    pub(super) page: AccessKey,
    root: Thumbprint,
}

impl Keys {
    /// Reads the keys, and makes those that are missing or were revoked.
    pub(super) async fn ensure(
        home: &Home,
        platform: &Platform,
        first: Option<IssuedKey>,
        env: &EnvKey,
        root: Thumbprint,
    ) -> anyhow::Result<Self> {
        let (admin, is_new) = admin_key(home, platform, first).await?;
        let server = KeySpec::server("printed by serve", env.clone());
        let server = server_key(home, platform, &server_file(env.as_str()), server).await?;
        let mut page = KeySpec::server("the page of this process", env.clone());
        page.envs = None;
        let page = server_key(home, platform, PAGE_FILE, page).await?;
        Ok(Self { admin, is_new, server, page, root })
    }

    /// What an SDK needs, in one line.
    pub(super) fn connection(&self, base: &str, org: &OrgKey, env: &str) -> String {
        let host = base.trim_start_matches("http://");
        format!("flagforge+http://{}@{host}/{org}/{env}?roots={}", self.server.expose(), self.root)
    }
}

/// Refuses a folder that is another organization's home, before anything is made in it.
pub(super) fn check_home(folder: &Path, org: &OrgKey) -> anyhow::Result<()> {
    match read(&folder.join(ADMIN_FILE))? {
        Some(key) if key.org() != org => bail!(
            "{} is the home of the organization `{}`, not of `{org}`: give another folder with --data, \
             or start it as it was started before ({} --demo)",
            folder.display(),
            key.org(),
            if org.as_str() == "demo" { "without" } else { "with" },
        ),
        _ => Ok(()),
    }
}

async fn admin_key(
    home: &Home,
    platform: &Platform,
    first: Option<IssuedKey>,
) -> anyhow::Result<(AccessKey, bool)> {
    let file = home.folder.join(ADMIN_FILE);
    if let (None, Some(key)) = (&first, read(&file)?) {
        let api = Inside::new(flagforge_platform::app(platform.clone()), key.expose());
        let answer = api.get(&format!("/v1/orgs/{}/keys?limit=1", home.org)).await?;
        match answer.status {
            StatusCode::OK => return Ok((key, false)),
            // Revoked, expired or weaker than an admin's: whoever holds the folder may have another.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {}
            _ => drop(answer.expect_success("trying the admin key")?),
        }
    }
    let issued = match first {
        Some(issued) => issued,
        None => bootstrap::admin_key(platform, &home.org).await?,
    };
    write(&file, &issued.key)?;
    Ok((issued.key, true))
}

async fn server_key(
    home: &Home,
    platform: &Platform,
    name: &str,
    spec: KeySpec,
) -> anyhow::Result<AccessKey> {
    let file = home.folder.join(name);
    let caller = Caller::system("bootstrap");
    if let Some(key) = read(&file)?
        && stands(platform, &caller, &home.org, key.id()).await?
    {
        return Ok(key);
    }
    let request = |change| Request::of(change, "bootstrap");
    let (_, issued) = platform.issue_key(&caller, &home.org, spec, request).await?;
    write(&file, &issued.key)?;
    Ok(issued.key)
}

/// Whether the organization has the key.
async fn stands(
    platform: &Platform,
    caller: &Caller,
    org: &OrgKey,
    id: &str,
) -> anyhow::Result<bool> {
    let mut page = PageOf::default();
    loop {
        let listing = platform.keys(caller, org, &page).await?;
        if listing.items.iter().any(|stored| stored.value.id == id) {
            return Ok(true);
        }
        match listing.next {
            None => return Ok(false),
            next => page.cursor = next,
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Option<AccessKey>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let key = AccessKey::parse(text.trim());
            let advice = "remove the file, and the next start makes another key";
            key.map(Some)
                .with_context(|| format!("{} holds no access key: {advice}", path.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Writes the key beside its place and then into it, so that a crash leaves the old file or the new one.
fn write(path: &Path, key: &AccessKey) -> anyhow::Result<()> {
    let beside = path.with_extension("key.new");
    let written = (|| {
        // One that a crash left behind may have other rights.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(format!("{}\n", key.expose()).as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    written.with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_file_is_its_owners_and_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(ADMIN_FILE);
        assert!(read(&file).unwrap().is_none());
        let key = AccessKey::parse("ff_mgmt_demo.k1_abcdefghijklmnopqrstuvwxyz").unwrap();
        fs::write(file.with_extension("key.new"), "left by a crash").unwrap();
        write(&file, &key).unwrap();
        assert_eq!(read(&file).unwrap(), Some(key));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(check_home(folder.path(), &OrgKey::new("demo").unwrap()).is_ok());
        let other = check_home(folder.path(), &OrgKey::new("default").unwrap()).unwrap_err();
        assert!(other.to_string().contains("with --demo"), "{other}");
        fs::write(&file, "nonsense").unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("remove the file"));
    }
}
