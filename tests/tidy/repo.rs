//! What the rules see: the files that are, or would be, in git, and what cargo says of the crates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use cargo_metadata::{MetadataCommand, Package as CargoPackage};

/// A repository, held in memory so that a test can make a bad one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Repo {
    /// Texts by path from the root, with `/`. A file that is not UTF-8 is here with an empty text.
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// From the root, with `/`.
    pub(crate) folder: String,
    /// The library's root file, from the root.
    pub(crate) library: Option<String>,
    /// Everything that it needs to build and run, by package name; what only its tests need is not here.
    pub(crate) needs: BTreeSet<String>,
}

impl Repo {
    /// The repository that this test was built from, read once.
    pub(crate) fn of_this_workspace() -> Self {
        static REPO: OnceLock<Repo> = OnceLock::new();
        REPO.get_or_init(read).clone()
    }

    /// A made-up repository.
    pub(crate) fn made_of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
        Self { files, packages: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &str, folder: &str, needs: &[&str]) -> Self {
        let needs = needs.iter().map(|need| (*need).to_owned()).collect();
        let library = Some(format!("{folder}/src/lib.rs"));
        self.packages.push(Package { name: name.into(), folder: folder.into(), library, needs });
        self
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether a file or a folder stands at `path`.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let inside = format!("{path}/");
        self.files.contains_key(path) || self.files.keys().any(|file| file.starts_with(&inside))
    }

    /// Files whose extension is one of `extensions`.
    pub(crate) fn with_extension<'r>(
        &'r self,
        extensions: &'r [&str],
    ) -> impl Iterator<Item = (&'r str, &'r str)> {
        let wanted = |path: &str| {
            let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
            extension.is_some_and(|extension| extensions.contains(&extension))
        };
        self.files
            .iter()
            .filter(move |(path, _)| wanted(path))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

/// The workspace's root: the parent of this crate's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read() -> Repo {
    let root = root();
    // New files count before they are committed; ignored ones never do.
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(&root)
        .output()
        .expect("git lists the files");
    assert!(listing.status.success(), "{}", String::from_utf8_lossy(&listing.stderr));
    let listing = String::from_utf8(listing.stdout).unwrap();
    let files = listing
        .split_terminator('\0')
        // A file deleted but not yet committed as deleted is still listed.
        .filter_map(|path| Some((path.to_owned(), std::fs::read(root.join(path)).ok()?)))
        .map(|(path, bytes)| (path, String::from_utf8(bytes).unwrap_or_default()))
        .collect();
    let metadata = MetadataCommand::new().current_dir(&root).no_deps().exec().unwrap();
    let packages = metadata.packages.iter().map(|package| known(&root, package)).collect();
    Repo { files, packages }
}

fn known(root: &Path, package: &CargoPackage) -> Package {
    let from_root = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let folder = package.manifest_path.parent().unwrap();
    let library = package.targets.iter().find(|target| target.is_lib());
    let runs = |kind| kind != cargo_metadata::DependencyKind::Development;
    Package {
        name: package.name.to_string(),
        folder: from_root(folder.as_std_path()),
        library: library.map(|library| from_root(library.src_path.as_std_path())),
        needs: (package.dependencies.iter())
            .filter(|need| runs(need.kind))
            .map(|need| need.name.clone())
            .collect(),
    }
}
