//! Manifests as the relay passes them on.

use axum::http::StatusCode;
use flagforge_flags::KeyKind;
use flagforge_flags::manifest::{ChunkKind, Digest, Listing, verify_root, verify_trust};

use crate::kit::{now, secret_key};
use crate::world::{World, publish};

#[tokio::test]
async fn roots_and_trust_are_passed_on_as_they_were_signed() {
    let world = World::new();
    let trust = world.get("trust", &world.server).await;
    assert_eq!(trust.bytes, world.publisher.read("trust.json"));
    assert_eq!(trust.header("content-type"), "application/json");
    assert_eq!(world.get("trust/1", &world.server).await.bytes, trust.bytes);
    for absent in ["trust/0", "trust/2", "trust/x", "trust/99999999999999999999"] {
        assert_eq!(
            world.get(absent, &world.server).await.status,
            StatusCode::NOT_FOUND,
            "{absent}"
        );
    }
    let root = world.get("environment", &world.server).await;
    assert_eq!(root.bytes, world.publisher.read("demo/prod/environment.jws"));
    assert_eq!(root.header("content-type"), "application/jose");
    assert!(root.header("cache-control").starts_with("private"));
    let trust = verify_trust(&trust.bytes, &world.publisher.pinned()).unwrap();
    let scope = world.publisher.environment();
    assert!(verify_root(&root.bytes, &trust, &scope, None, now()).is_ok());
}

#[tokio::test]
async fn a_root_that_is_held_already_is_not_sent_again() {
    let mut world = World::new();
    let ask = async |world: &World, path: &str, tag: &str| {
        let path = format!("/data/v1/demo/prod/{path}");
        let headers = [("x-api-key", world.server.as_str()), ("if-none-match", tag)];
        world.call("GET", &path, &headers, "").await
    };
    let first = ask(&world, "environment", "\"other\"").await;
    let tag = first.header("etag").to_owned();
    assert_eq!(tag, format!("\"{}\"", Digest::of(&first.bytes)));
    for tag in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let again = ask(&world, "environment", &tag).await;
        assert_eq!((again.status, again.bytes.len()), (StatusCode::NOT_MODIFIED, 0), "{tag}");
        assert_eq!(again.header("etag"), first.header("etag"));
    }
    publish(&mut world.publisher, "blue");
    world.relay.notify(&world.publisher.org, &world.publisher.env).await;
    let changed = ask(&world, "environment", &tag).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(changed.bytes, world.publisher.read("demo/prod/environment.jws"));
}

#[tokio::test]
async fn chunks_are_handed_out_by_the_roots_that_name_them() {
    // Listed by the root itself, and by indexes.
    for shards in [1, 64] {
        chunks_are_handed_out(shards).await;
    }
}

async fn chunks_are_handed_out(shards: u32) {
    let mut relays = String::new();
    let mut world = World::with(|publisher| {
        relays = publisher.key(KeyKind::Relay, "r", |_| {});
        publisher.shards = shards;
    });
    world.get("environment", &world.server).await;
    let named = |publisher: &crate::kit::Publisher, keys: bool| -> Vec<String> {
        let trust = verify_trust(&publisher.read("trust.json"), &publisher.pinned()).unwrap();
        let scope = publisher.scope(flagforge_flags::manifest::Scope::Relay);
        let text = publisher.read("demo/prod/relay.jws");
        let root = verify_root(&text, &trust, &scope, None, now()).unwrap();
        let mut index = |digest: &Digest| Some(publisher.read(&format!("demo/chunks/{digest}")));
        let listing = Listing::of(&root, &mut index, None).unwrap();
        assert_eq!(root.claims().indexes.is_empty(), shards == 1);
        let of_keys = |digest: &Digest| {
            listing.chunks().any(|c| c.kind == ChunkKind::Keys && c.sha256 == *digest)
        };
        let named = listing.named().map(|named| named.sha256);
        named.filter(|digest| of_keys(digest) == keys).map(|d| d.to_string()).collect()
    };
    for digest in named(&world.publisher, false) {
        let chunk = world.get(&format!("chunks/{digest}"), &world.server).await;
        assert_eq!(chunk.status, StatusCode::OK);
        assert_eq!(Digest::of(&chunk.bytes).to_string(), digest);
        assert!(chunk.header("cache-control").contains("immutable"));
    }
    // The hashes of keys are for relays.
    for digest in named(&world.publisher, true) {
        let path = format!("chunks/{digest}");
        assert_eq!(world.get(&path, &world.server).await.status, StatusCode::NOT_FOUND);
        assert_eq!(world.get(&path, &relays).await.status, StatusCode::OK);
    }
    let unnamed = Digest::of(b"{\"flags\": {}}");
    world.publisher.write(&format!("demo/chunks/{unnamed}"), b"{\"flags\": {}}");
    for path in [format!("chunks/{unnamed}"), "chunks/x".to_owned(), "chunks/..%2Ftrust".to_owned()]
    {
        assert_eq!(world.get(&path, &relays).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    // An SDK may still be fetching the chunks of the root before.
    let before = named(&world.publisher, false);
    publish(&mut world.publisher, "blue");
    world.relay.notify(&world.publisher.org, &world.publisher.env).await;
    for digest in before.into_iter().chain(named(&world.publisher, false)) {
        let chunk = world.get(&format!("chunks/{digest}"), &world.server).await;
        assert_eq!(chunk.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn what_the_relay_refuses_it_does_not_pass_on() {
    let mut world = World::new();
    let good = world.get("environment", &world.server).await.bytes;
    world.publisher.signing = secret_key(77);
    world.publisher.online = secret_key(78);
    publish(&mut world.publisher, "evil");
    world.relay.notify(&world.publisher.org, &world.publisher.env).await;
    assert_eq!(world.get("environment", &world.server).await.bytes, good);
    let theme = world.evaluate("theme", "acme", serde_json::json!({})).await.json();
    assert_eq!(theme["value"], "dark");
}
