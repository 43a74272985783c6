//! Roots that are signed well and say what they should not; chunks and indexes that are not what was listed.

use flagforge_flags::Revision;
use flagforge_flags::manifest::{ChunkKind, Digest, Position, ScopeId};
use serde_json::{Value as Json, json};

use super::Cases;
use crate::author::{Author, Given, at};

pub(super) fn places(author: &Author) -> Cases {
    let given = author.given();
    let expecting = |org: &str, env: &str, scope: &str| {
        let scope = json!({"org": org, "env": env, "scope": scope});
        let scope: ScopeId = serde_json::from_value(scope).unwrap();
        Given { scope, ..given.clone() }
    };
    let seen = |epoch, org, env, serial| {
        let revision = Revision { org, env };
        Given { seen: Some(Position { epoch, revision, serial }), ..given.clone() }
    };
    vec![
        ("place: another organization's", expecting("other", "prod", "environment")),
        ("place: another environment's", expecting("demo", "dev", "environment")),
        ("place: another scope's", expecting("demo", "prod", "relay")),
        ("place: not this tenant's", expecting("demo", "prod", "tenant:acme")),
        ("epoch: lower than the trust document's", author.claiming(|c| c["epoch"] = json!(0))),
        ("epoch: higher than the trust document's", author.claiming(|c| c["epoch"] = json!(2))),
        ("rollback: a lower serial", seen(1, 17, 41, 6)),
        ("rollback: a lower revision of the environment", seen(1, 17, 42, 5)),
        ("rollback: a lower revision of the organization", seen(1, 18, 41, 5)),
        ("rollback: one number up, the other down", seen(1, 16, 42, 5)),
        ("time: issued in the future", Given { now: at(-601), ..given.clone() }),
    ]
}

pub(super) fn claims(author: &Author) -> Cases {
    let claim = |name: &str, value: Json| author.claiming(|claims| claims[name] = value);
    let without = |name: &str| author.claiming(|c| _ = c.as_object_mut().unwrap().remove(name));
    vec![
        ("claims: a format of tomorrow", claim("format", json!(2))),
        ("claims: no format", without("format")),
        ("claims: no serial", without("serial")),
        ("claims: no chunks", without("chunks")),
        ("claims: expires when issued", claim("expires", json!(at(0)))),
        ("claims: a scope that is none", claim("scope", json!("everything"))),
        ("claims: an organization that is none", claim("org", json!("De mo"))),
        ("claims: three shards of flags", claim("flagShards", json!(3))),
        ("claims: 8,192 shards of flags", claim("flagShards", json!(8_192))),
        ("claims: no shard of tenants", claim("tenantShards", json!(0))),
        ("claims: 4,097 shards of tenants", claim("tenantShards", json!(4_097))),
        ("claims: three shards of segments", claim("segmentShards", json!(3))),
        ("claims: a time that is none", claim("issued", json!("yesterday"))),
    ]
}

pub(super) fn lists(author: &Author) -> Cases {
    let chunk = |kind: &str, shard: u32, bytes: u64| {
        let sha256 = Digest::of(format!("{kind}{shard}").as_bytes());
        json!({"kind": kind, "shard": shard, "sha256": sha256, "bytes": bytes, "encoding": "identity"})
    };
    let more =
        |chunks: Vec<Json>| author.claiming(|c| c["chunks"].as_array_mut().unwrap().extend(chunks));
    let first = |name: &str, value: Json| author.claiming(|c| c["chunks"][0][name] = value);
    let index = |bytes: u64| json!({"sha256": Digest::of(b"index"), "bytes": bytes});
    let indexed = |indexes: Vec<Json>| author.claiming(|c| c["indexes"] = json!(indexes));
    let huge = |c: &mut Json| {
        c["segmentShards"] = json!(32);
        let segments = (0..17).map(|shard| chunk("segments", shard, 16 << 20));
        c["chunks"].as_array_mut().unwrap().extend(segments);
    };
    let many = (0..62).map(|shard| chunk("of-tomorrow", shard, 1)).collect();
    let held: Vec<Json> =
        (0..65).map(|n| json!({"flag": format!("flag-{n}"), "since": "17.40"})).collect();
    vec![
        ("list: a shard that does not exist", first("shard", json!(2))),
        ("list: a shard twice", first("shard", json!(1))),
        ("list: keys outside the relay scope", more(vec![chunk("keys", 0, 2)])),
        ("list: an encoding of tomorrow", first("encoding", json!("zstd"))),
        ("list: a digest that is none", first("sha256", json!("ab"))),
        ("list: a chunk over 4 MiB", first("bytes", json!((4 << 20) + 1))),
        ("list: segments over 16 MiB", more(vec![chunk("segments", 0, (16 << 20) + 1)])),
        ("list: more than 256 MiB together", author.claiming(huge)),
        ("list: 65 held flags", author.claiming(|c| c["held"] = json!(held))),
        ("list: 65 chunks in a root", more(many)),
        ("list: an index twice", indexed(vec![index(9), index(9)])),
        ("list: an index over 32 KiB", indexed(vec![index((32 << 10) + 1)])),
        ("list: an index that is not there", indexed(vec![index(9)])),
    ]
}

/// The victim with the chunk of its first shard replaced by other content under its right digest.
fn in_first_shard(author: &Author, body: &str) -> Given {
    let mut author = author.clone();
    author.claims.chunks.remove(0);
    author.chunk(ChunkKind::Flags, 0, body.into());
    author.given()
}

pub(super) fn chunks(author: &Author) -> Cases {
    let given = author.given();
    let [first, second, tenants] = [0, 1, 2].map(|place| author.claims.chunks[place].clone());
    let other = |text: Option<String>| {
        let mut changed = given.clone();
        match text {
            Some(text) => _ = changed.chunks.insert(first.sha256, text),
            None => _ = changed.chunks.remove(&first.sha256),
        }
        changed
    };
    let text = given.chunks[&first.sha256].clone();
    let swapped = |a: usize, b: usize| {
        author.claiming(|claims| {
            for name in ["sha256", "bytes"] {
                let held = claims["chunks"][a][name].clone();
                claims["chunks"][a][name] = claims["chunks"][b][name].clone();
                claims["chunks"][b][name] = held;
            }
        })
    };
    let key = first_of(author);
    let flag = serde_json::to_value(crate::author::flag(&key)).unwrap();
    let twice = format!(r#"{{"flags":{{"{key}":{flag},"{key}":{flag}}}}}"#);
    let first_shard = |body: &str| in_first_shard(author, body);
    let elsewhere = given.chunks[&second.sha256].clone();
    vec![
        ("chunk: absent", other(None)),
        ("chunk: one letter changed", other(Some(text.replace("\"version\":7", "\"version\":8")))),
        ("chunk: a byte more", other(Some(format!("{text} ")))),
        ("chunk: cut", other(Some(text[..text.len() / 2].to_owned()))),
        ("chunk: another shard's bytes", other(Some(elsewhere))),
        ("chunk: empty", other(Some(String::new()))),
        ("chunk: two members of its kind", first_shard(r#"{"flags":{},"flags":{}}"#)),
        ("chunk: two shards exchanged by the writer", swapped(0, 1)),
        ("chunk: two kinds exchanged by the writer", swapped(0, 2)),
        ("chunk: a key twice", first_shard(&twice)),
        ("chunk: not its kind", first_shard(r#"{"tenants":{}}"#)),
        ("chunk: a list", first_shard("[]")),
        ("chunk: no object of entries", first_shard(r#"{"flags":[1]}"#)),
        (
            "chunk: a key of another shard",
            first_shard(r#"{"flags":{"flag-0":1,"flag-1":1,"flag-2":1}}"#),
        ),
        (
            "chunk: the tenants' bytes under a flag's digest",
            other(Some(given.chunks[&tenants.sha256].clone())),
        ),
    ]
}

/// A key of the first shard.
fn first_of(author: &Author) -> String {
    let chunk: Json =
        serde_json::from_str(&author.chunks[&author.claims.chunks[0].sha256]).unwrap();
    chunk["flags"].as_object().unwrap().keys().next().unwrap().clone()
}

/// The victim with one index more, which lists what it should not.
fn listing(author: &Author, content: &Json) -> Given {
    let text = content.to_string();
    let named = json!({"sha256": Digest::of(text.as_bytes()), "bytes": text.len()});
    let mut given = author.claiming(|claims| claims["indexes"] = json!([named]));
    given.chunks.insert(Digest::of(text.as_bytes()), text);
    given
}

pub(super) fn indexes(author: &Author) -> Cases {
    let chunk = |kind: &str, shard: u32| {
        let sha256 = Digest::of(b"");
        let chunk = json!({"kind": kind, "shard": shard, "sha256": sha256, "bytes": 2, "encoding": "identity"});
        json!({"chunks": [chunk]})
    };
    let listing = |content: &Json| listing(author, content);
    let tampered = {
        let mut given = listing(&json!({"chunks": []}));
        given.chunks.insert(Digest::of(br#"{"chunks":[]}"#), r#"{"chunks":{}}"#.into());
        given
    };
    let nested = json!({"indexes": [{"sha256": Digest::of(b""), "bytes": 2}]});
    vec![
        ("index: lists what the root lists", listing(&json!({"chunks": author.claims.chunks}))),
        ("index: keys outside the relay scope", listing(&chunk("keys", 0))),
        ("index: a shard that does not exist", listing(&chunk("segments", 1))),
        ("index: lists indexes", listing(&nested)),
        ("index: a chunk in its place", listing(&json!({"flags": {}}))),
        ("index: a chunk that is not there", listing(&chunk("segments", 0))),
        ("index: other bytes", tampered),
    ]
}
