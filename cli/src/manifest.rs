//! `flagforge manifest`: looks at manifests as an SDK reads them, from wherever a connection string leads, and believes no
//! more than an SDK does. That asks no control plane; what looks after manifests does ([`manage`]).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};
use flagforge::Connection;
use flagforge::loader::{Chunks, RootNews, RootReader};
use flagforge::origin::open;
use flagforge_flags::Snapshot;
use flagforge_flags::manifest::{
    ChunkKind, ChunkRef, Digest, Listing, Root, ScopeId, entries, load,
};
use serde_json::{Value as Json, json};

use crate::args::{ManifestCommand, say};
use crate::eval::now;
use crate::manage;

/// Kinds of chunks, as they are told.
const KINDS: [ChunkKind; 4] =
    [ChunkKind::Flags, ChunkKind::Tenants, ChunkKind::Segments, ChunkKind::Keys];

pub(crate) async fn run(command: &ManifestCommand) -> anyhow::Result<()> {
    match command {
        ManifestCommand::Show(place) => show(&read(&place.connection).await?, place.json),
        ManifestCommand::Verify(place) => verify(&place.connection, place.json).await,
        ManifestCommand::Manage(command) => manage::manifest(command).await,
        ManifestCommand::Diff(diff) => difference(&diff.before, &diff.after, diff.json).await,
    }
}

/// A verified root with all that it lists.
struct Manifest {
    reader: RootReader,
    scope: ScopeId,
    root: Root,
    listing: Listing,
    /// The bytes of its indexes.
    indexes: Chunks,
}

async fn read(connection: &str) -> anyhow::Result<Manifest> {
    let connection = Connection::parse(connection)?;
    let scope = connection.scope()?;
    let pins = connection.roots().to_vec();
    let mut reader = RootReader::new(open(&connection)?, scope.clone(), pins);
    let RootNews::New(root, _) = reader.read().await.context("reading the root")? else {
        bail!("the origin confirms a root that it never gave");
    };
    let (listing, indexes) = reader.list(&root, None).await.context("reading the indexes")?;
    Ok(Manifest { reader, scope, root: *root, listing, indexes })
}

impl Manifest {
    /// The bytes of all chunks, and of the indexes.
    async fn parts(&self) -> anyhow::Result<Chunks> {
        let known = self.listing.chunks().filter(|chunk| chunk.kind != ChunkKind::Unknown);
        let mut parts = self.reader.fetch(known.map(ChunkRef::named).collect()).await?;
        parts.extend(self.indexes.clone());
        Ok(parts)
    }

    fn load(&self, parts: &Chunks) -> anyhow::Result<Snapshot> {
        let mut part = |digest: &Digest| parts.get(digest);
        load(self.root.clone(), &mut part, None).context("an SDK would refuse it")
    }

    fn told(&self) -> Json {
        let claims = self.root.claims();
        let held: Vec<String> =
            claims.held.iter().map(|held| format!("{} since {}", held.flag, held.since)).collect();
        let of_kind = |kind: ChunkKind| {
            let chunks = self.listing.chunks().filter(|chunk| chunk.kind == kind);
            chunks.fold((0, 0), |(count, bytes), chunk| (count + 1, bytes + chunk.bytes))
        };
        let chunks: BTreeMap<String, Json> = KINDS
            .into_iter()
            .map(|kind| (kind, of_kind(kind)))
            .filter(|(_, (count, _))| *count > 0)
            .map(|(kind, (count, bytes))| {
                (kind.to_string(), json!({"chunks": count, "bytes": bytes}))
            })
            .collect();
        json!({
            "scope": self.scope.to_string(), "revision": claims.revision.to_string(),
            "serial": claims.serial, "epoch": claims.epoch,
            "issued": claims.issued, "expires": claims.expires, "committed": claims.committed,
            "stale": self.root.expired(now()), "indexes": claims.indexes.len(),
            "rootBytes": self.root.text().len(), "chunks": chunks, "held": held,
            "restored": claims.restored.map(|it| format!("{} of {}", it.revision, it.issued)),
        })
    }
}

fn show(manifest: &Manifest, as_json: bool) -> anyhow::Result<()> {
    tell(&manifest.told(), as_json)
}

async fn verify(connection: &str, as_json: bool) -> anyhow::Result<()> {
    let manifest = read(connection).await?;
    let snapshot = manifest.load(&manifest.parts().await?)?;
    let mut told = manifest.told();
    let spoilt: Vec<String> = snapshot
        .flags()
        .filter_map(|(key, flag)| Some(format!("{key}: {}", flag.err()?)))
        .collect();
    told["flags"] = json!(snapshot.flags().count());
    told["tenants"] = json!(snapshot.tenants().count());
    told["segments"] = json!(snapshot.segments().count());
    told["spoilt"] = json!(spoilt);
    tell(&told, as_json)?;
    ensure!(spoilt.is_empty(), "{} of its flags answer callers' defaults only", spoilt.len());
    ensure!(told["stale"] == false, "it should have been signed again by now");
    Ok(())
}

async fn flags(connection: &str) -> anyhow::Result<BTreeMap<String, Json>> {
    let manifest = read(connection).await?;
    let parts = manifest.parts().await?;
    // What an SDK would refuse is compared with nothing.
    manifest.load(&parts)?;
    let mut all = BTreeMap::new();
    for chunk in manifest.listing.chunks().filter(|chunk| chunk.kind == ChunkKind::Flags) {
        let Some(bytes) = parts.get(&chunk.sha256) else { continue };
        for (key, flag) in entries(bytes, ChunkKind::Flags)? {
            all.insert(key, serde_json::from_str(flag.get()).unwrap_or_default());
        }
    }
    Ok(all)
}

/// What of a flag differs, by the names of its members.
fn differing(before: &Json, after: &Json) -> Vec<String> {
    let members = |of: &Json| -> BTreeMap<String, Json> {
        let state = of["state"].as_object().cloned().unwrap_or_default();
        let own = of.as_object().cloned().unwrap_or_default();
        let own = own.into_iter().filter(|(name, _)| name != "state" && name != "version");
        own.chain(state).collect()
    };
    let (before, after) = (members(before), members(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

async fn difference(before: &str, after: &str, as_json: bool) -> anyhow::Result<()> {
    let (before, after) = (flags(before).await?, flags(after).await?);
    let only = |these: &BTreeMap<String, Json>, those: &BTreeMap<String, Json>| -> Vec<String> {
        these.keys().filter(|key| !those.contains_key(*key)).cloned().collect()
    };
    let changed: BTreeMap<&String, Vec<String>> = before
        .iter()
        .filter_map(|(key, flag)| Some((key, differing(flag, after.get(key)?))))
        .filter(|(_, names)| !names.is_empty())
        .collect();
    let told = json!({
        "onlyBefore": only(&before, &after), "onlyAfter": only(&after, &before), "changed": changed,
    });
    tell(&told, as_json)
}

/// As JSON, or as lines of a name and what it is.
fn tell(told: &Json, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        say(&serde_json::to_string_pretty(told)?);
        return Ok(());
    }
    let members = told.as_object().into_iter().flatten();
    for (name, value) in members {
        match value {
            Json::Object(inner) => {
                say(&format!("{name}:{}", if inner.is_empty() { " none" } else { "" }));
                inner.iter().for_each(|(name, value)| say(&format!("  {name}: {}", short(value))));
            }
            value => say(&format!("{name}: {}", short(value))),
        }
    }
    Ok(())
}

fn short(value: &Json) -> String {
    match value {
        Json::Array(items) if items.is_empty() => "none".to_owned(),
        Json::Array(items) => items.iter().map(short).collect::<Vec<_>>().join(", "),
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| format!("{} {name}", short(value)))
            .collect::<Vec<_>>()
            .join(", "),
        Json::String(text) => text.clone(),
        Json::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        other => other.to_string(),
    }
}
