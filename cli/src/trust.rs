//! `flagforge trust`: `create` is the offline half of trust, and touches no network and no database.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use flagforge_flags::manifest::{
    PublicKey, SecretKey, Thumbprint, TrustClaims, sign_trust, verify_trust,
};
use flagforge_flags::time::Timestamp;

use crate::args::{TrustCreate, TrustInstall, say};
use crate::manage::{Body, Path as Address, Session, Version, bytes_in};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Brings a document to an installation.
pub(crate) async fn install(args: &TrustInstall) -> anyhow::Result<()> {
    let session = Session::open(&args.common)?;
    let document = Body::Raw("application/json", bytes_in(&args.file)?);
    let path = Address::of(&["v1", "trust"]);
    let answer = session.change(reqwest::Method::PUT, &path, document, Version::Any).await?;
    let number = answer.json()?["number"].to_string();
    session.tell(&answer, &format!("the trust document {number} is in force"))
}

/// Signs a trust document, checks it as a reader would, and writes it.
pub(crate) fn create(args: &TrustCreate) -> anyhow::Result<()> {
    let roots = args.root_key.iter().map(|path| root_key(path, args.create));
    let roots = roots.collect::<anyhow::Result<Vec<SecretKey>>>()?;
    let online = args.online_key.iter().map(|path| online_key(path));
    let issued = now()?;
    let threshold = args.threshold.map_or_else(|| u16::try_from(roots.len()), Ok)?;
    let claims = TrustClaims {
        format: 1,
        number: args.number,
        epoch: args.epoch,
        issued,
        expires: issued.plus(DAY.saturating_mul(args.days)),
        threshold,
        roots: roots.iter().map(SecretKey::public).collect(),
        online: online.collect::<anyhow::Result<_>>()?,
    };
    let retired = args.retired_root_key.iter().map(|path| root_key(path, false));
    let retired = retired.collect::<anyhow::Result<Vec<SecretKey>>>()?;
    let signers: Vec<&SecretKey> = roots.iter().chain(&retired).collect();
    let document = sign_trust(&claims, &signers)?;
    let pins: Vec<Thumbprint> = claims.roots.iter().map(PublicKey::thumbprint).collect();
    verify_trust(document.as_bytes(), &pins).context("a reader would refuse the document")?;

    fs::write(&args.out, &document).with_context(|| format!("writing {}", args.out.display()))?;
    say(&format!("{}: trust document {}", args.out.display(), claims.number));
    say(&format!("expires {}; sign number {} before then", claims.expires, claims.number + 1));
    say("pin in every connection string:");
    let pins: Vec<String> = pins.iter().map(Thumbprint::to_string).collect();
    say(&format!("  roots={}", pins.join(",")));
    Ok(())
}

fn root_key(path: &Path, create: bool) -> anyhow::Result<SecretKey> {
    match fs::read_to_string(path) {
        Ok(pem) => SecretKey::from_pem(&pem).with_context(|| format!("reading {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => new_root_key(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("{} does not exist; with --create a new key is written there", path.display())
        }
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Draws a key and writes it where only its owner can read it. Never overwrites.
fn new_root_key(path: &Path) -> anyhow::Result<SecretKey> {
    let mut bytes = [0_u8; 32];
    let key = loop {
        getrandom::fill(&mut bytes).context("drawing random bytes")?;
        // About one draw in 2³² is no key of the curve.
        if let Ok(key) = SecretKey::from_bytes(&bytes) {
            break key;
        }
    };
    let mut file = (fs::OpenOptions::new().write(true).create_new(true).mode(0o600))
        .open(path)
        .with_context(|| format!("creating {}", path.display()))?;
    file.write_all(key.to_pem().as_bytes())?;
    say(&format!("{}: new root key; keep it offline, and a copy elsewhere", path.display()));
    Ok(key)
}

/// The public half only: the online key's secret never leaves where it lives.
fn online_key(path: &Path) -> anyhow::Result<PublicKey> {
    let pem = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    ensure!(
        !pem.contains("PRIVATE KEY"),
        "{} is a secret key; give its public half",
        path.display()
    );
    PublicKey::from_pem(&pem).with_context(|| format!("reading {}", path.display()))
}

fn now() -> anyhow::Result<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(Timestamp::from_millis(i64::try_from(since.as_millis())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(folder: &Path, number: u64) -> TrustCreate {
        let online = folder.join("online.pem");
        let key = SecretKey::from_bytes(&[7; 32]).unwrap();
        fs::write(&online, key.public().to_pem()).unwrap();
        TrustCreate {
            root_key: vec![folder.join("root.pem")],
            create: true,
            online_key: vec![online],
            number,
            epoch: 1,
            threshold: None,
            days: 365,
            retired_root_key: Vec::new(),
            out: folder.join("trust.json"),
        }
    }

    #[test]
    fn a_document_and_its_successor_by_a_new_root() {
        let folder = tempfile::tempdir().unwrap();
        let first = args(folder.path(), 1);
        create(&first).unwrap();
        let root = SecretKey::from_pem(&fs::read_to_string(&first.root_key[0]).unwrap()).unwrap();
        let document = fs::read(&first.out).unwrap();
        let trust = verify_trust(&document, &[root.public().thumbprint()]).unwrap();

        let mut second = args(folder.path(), 2);
        second.root_key = vec![folder.path().join("root-2.pem")];
        create(&second).unwrap();
        trust.succeed(&fs::read(&second.out).unwrap()).expect_err("the old root did not sign");
        second.retired_root_key = first.root_key;
        create(&second).unwrap();
        assert_eq!(trust.succeed(&fs::read(&second.out).unwrap()).unwrap().claims().number, 2);
    }

    #[test]
    fn the_secret_is_its_owners_and_is_never_overwritten_or_taken_for_a_public_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let mut args = args(folder.path(), 1);
        args.create = false;
        assert!(create(&args).unwrap_err().to_string().contains("--create"));
        args.create = true;
        create(&args).unwrap();
        let secret = fs::read(&args.root_key[0]).unwrap();
        assert_eq!(fs::metadata(&args.root_key[0]).unwrap().permissions().mode() & 0o777, 0o600);
        create(&args).unwrap();
        assert_eq!(fs::read(&args.root_key[0]).unwrap(), secret);
        args.online_key = args.root_key.clone();
        assert!(create(&args).unwrap_err().to_string().contains("public half"));
    }
}
