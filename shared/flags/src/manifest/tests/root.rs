//! Roots: what a reader refuses, attack by attack.

use super::*;
use crate::manifest::jws::{Header, seal, signing_input};

/// A root whose claims are any JSON, signed as a publisher's defect or a thief of the signing key would.
fn signed_json(claims: &serde_json::Value) -> String {
    let kid = key(SIGNING).public().thumbprint();
    let header = Header::new("flagforge-manifest+jwt", kid, Some(&certified(ONLINE, SIGNING)));
    let message = signing_input("root", &header, claims).unwrap();
    seal(&message, &key(SIGNING).sign(message.as_bytes()))
}

fn refusal(text: &str) -> Refusal {
    verify(text, None).unwrap_err()
}

fn malformed(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Malformed { .. })
}

#[test]
fn a_good_root_is_verified_and_keeps_its_text() {
    let text = signed(&root_claims());
    let root = verify(&text, None).unwrap();
    assert_eq!((root.claims(), root.text()), (&root_claims(), text.as_str()));
    assert_eq!(root.digest(), Digest::of(text.as_bytes()));
    // Deterministic: what did not change has the same bytes.
    assert_eq!(text, signed(&root_claims()));
}

#[test]
fn every_tampered_byte_is_refused() {
    let (text, trust) = (signed(&root_claims()), trust());
    for place in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let result =
            verify_root(&bytes, &trust, &scope(Scope::Environment), None, at(60)).map(|_| ());
        assert!(result.is_err(), "byte {place} may be changed");
    }
    for cut in [0, 1, 10, text.len() / 2, text.len() - 1] {
        assert!(verify(&text[..cut], None).is_err(), "{cut}");
    }
    assert!(malformed(&refusal(&format!("{text}.x"))));
    assert!(malformed(
        &verify_root(&[0xff], &trust, &scope(Scope::Relay), None, at(0)).unwrap_err()
    ));
}

#[test]
fn algorithm_none_is_refused() {
    let claims = jws::encode_json("root", &root_claims()).unwrap();
    let header = jws::encode(br#"{"alg":"none","typ":"flagforge-manifest+jwt"}"#);
    assert_eq!(refusal(&format!("{header}.{claims}.")), Refusal::Algorithm { what: "root" });
}

#[test]
fn keys_that_nobody_certified_sign_nothing() {
    let claims = root_claims();
    // A certificate by a key that is not online.
    let text = sign_root(&claims, &certified(STRANGER, SIGNING), &key(SIGNING)).unwrap();
    let stranger = key(STRANGER).public().thumbprint();
    let unknown = |what, key| Refusal::UnknownKey { what, key };
    assert_eq!(refusal(&text), unknown("certificate", stranger));
    // A good certificate of another key than the one that signed.
    let text = sign_root(&claims, &certified(ONLINE, SIGNING), &key(STRANGER)).unwrap();
    assert_eq!(refusal(&text), unknown("root", stranger));
    // The certified key's name above a stranger's signature.
    let kid = key(SIGNING).public().thumbprint();
    let header = Header::new("flagforge-manifest+jwt", kid, Some(&certified(ONLINE, SIGNING)));
    let message = signing_input("root", &header, &claims).unwrap();
    let text = seal(&message, &key(STRANGER).sign(message.as_bytes()));
    assert_eq!(refusal(&text), Refusal::BadSignature { what: "root" });
    // The root key and the online key certify signing keys, and sign no manifest themselves.
    for seed in [ROOT, ONLINE] {
        let text = sign_root(&claims, &certified(seed, seed), &key(seed)).unwrap();
        assert_eq!(verify(&text, None).is_err(), seed == ROOT);
    }
}

#[test]
fn a_forged_certificate_is_refused() {
    let good = certified(ONLINE, SIGNING);
    let claims = KeyClaims { key: key(STRANGER).public(), issued: at(-HOUR), expires: at(HOUR) };
    let message = certificate_message(&claims, &key(ONLINE).public().thumbprint()).unwrap();
    let (_, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{message}.{signature}");
    let text = sign_root(&root_claims(), &forged, &key(STRANGER)).unwrap();
    assert_eq!(refusal(&text), Refusal::BadSignature { what: "certificate" });
    // A root is no certificate, nor a certificate a root, though the same key may have signed both.
    let text = sign_root(&root_claims(), &signed(&root_claims()), &key(SIGNING)).unwrap();
    assert_eq!(refusal(&text), Refusal::WrongType { expected: "flagforge-key+jwt" });
    assert_eq!(refusal(&good), Refusal::WrongType { expected: "flagforge-manifest+jwt" });
    let backwards = KeyClaims { expires: at(-HOUR), ..claims };
    assert!(certificate_message(&backwards, &key(ONLINE).public().thumbprint()).is_err());
    let long = "x".repeat(MAX_CERTIFICATE_BYTES + 1);
    let text = sign_root(&root_claims(), &long, &key(SIGNING)).unwrap();
    assert!(matches!(refusal(&text), Refusal::TooLarge { what: "certificate", .. }));
}

#[test]
fn a_revoked_online_key_certifies_nothing() {
    let text = signed(&root_claims());
    let claims = TrustClaims { number: 2, online: publics(&[7]), ..trust_claims() };
    let newer = trust().succeed(sign_trust(&claims, &[&key(ROOT)]).unwrap().as_bytes()).unwrap();
    let refusal = verify_root(text.as_bytes(), &newer, &scope(Scope::Environment), None, at(60));
    let key = key(ONLINE).public().thumbprint();
    assert_eq!(refusal.unwrap_err(), Refusal::UnknownKey { what: "certificate", key });
}

#[test]
fn a_root_of_another_place_is_refused() {
    let good = root_claims();
    let elsewhere = [
        RootClaims { org: OrgKey::new("other").unwrap(), ..good.clone() },
        RootClaims { env: EnvKey::new("dev").unwrap(), ..good.clone() },
        RootClaims { scope: Scope::Relay, ..good.clone() },
        RootClaims { scope: Scope::Tenant(TenantKey::new("acme").unwrap()), ..good },
    ];
    for claims in elsewhere {
        let refusal = refusal(&signed(&claims));
        assert!(matches!(refusal, Refusal::WrongScope { .. }), "{refusal}");
    }
}

#[test]
fn going_back_is_refused_in_each_coordinate() {
    let position =
        |epoch, org, env, serial| Position { epoch, revision: Revision { org, env }, serial };
    let text = signed(&root_claims());
    let check = |seen: Position| verify(&text, Some(&seen)).map(|root| root.position());
    let own = position(1, 17, 41, 5);
    for seen in [own, position(1, 17, 41, 4), position(1, 16, 41, 5), position(0, 99, 99, 99)] {
        assert_eq!(check(seen), Ok(own), "{seen}");
    }
    for seen in [
        position(1, 17, 41, 6),
        position(1, 18, 41, 5),
        position(1, 17, 42, 5),
        // Newer in one log and older in the other is no way forward either.
        position(1, 18, 40, 4),
        position(2, 0, 0, 0),
    ] {
        assert_eq!(check(seen), Err(Refusal::Rollback { seen, offered: own }), "{seen}");
    }
    let json = serde_json::to_string(&own).unwrap();
    assert_eq!(json, r#"{"epoch":1,"revision":"17.41","serial":5}"#);
    assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), own);
}

#[test]
fn the_epoch_is_the_trust_documents_own() {
    for epoch in [0, 2, u64::MAX] {
        let refusal = refusal(&signed(&RootClaims { epoch, ..root_claims() }));
        assert_eq!(refusal, Refusal::WrongEpoch { trust: 1, root: epoch });
    }
    // A stolen key has published an absurd revision; raising the epoch undoes it.
    let absurd = Revision { org: u64::MAX, env: u64::MAX };
    let seen = verified(&RootClaims { revision: absurd, ..root_claims() }).unwrap().position();
    let raised = TrustClaims { number: 2, epoch: 2, ..trust_claims() };
    let trust = trust().succeed(sign_trust(&raised, &[&key(ROOT)]).unwrap().as_bytes()).unwrap();
    let text = signed(&RootClaims { epoch: 2, ..root_claims() });
    let scope = scope(Scope::Environment);
    assert!(verify_root(text.as_bytes(), &trust, &scope, Some(&seen), at(60)).is_ok());
}

#[test]
fn a_certificate_covers_what_is_issued_in_its_time() {
    let check = |issued| {
        let expires = at(100 * HOUR);
        verified(&RootClaims { issued, expires, ..root_claims() }).map(|_| ())
    };
    assert_eq!(check(at(-HOUR)), Ok(()));
    for issued in [at(-HOUR - 1), at(23 * HOUR + 1)] {
        let refusal = check(issued).unwrap_err();
        assert!(matches!(refusal, Refusal::OutsideCertificate { .. }), "{refusal}");
    }
    // The last certified instant, seen from there.
    let last = RootClaims { issued: at(23 * HOUR), expires: at(100 * HOUR), ..root_claims() };
    let place = scope(Scope::Environment);
    let text = signed(&last);
    assert!(verify_root(text.as_bytes(), &trust(), &place, None, at(23 * HOUR)).is_ok());
}

#[test]
fn age_is_said_and_not_refused_but_the_future_is() {
    let text = signed(&root_claims());
    let place = scope(Scope::Environment);
    let root = verify_root(text.as_bytes(), &trust(), &place, None, at(500 * HOUR)).unwrap();
    assert!(root.expired(at(24 * HOUR)) && !root.expired(at(24 * HOUR - 1)));
    let skew = i64::try_from(MAX_CLOCK_SKEW.as_secs()).unwrap();
    assert!(verify_root(text.as_bytes(), &trust(), &place, None, at(-skew)).is_ok());
    let refusal = verify_root(text.as_bytes(), &trust(), &place, None, at(-skew - 1)).unwrap_err();
    assert_eq!(refusal, Refusal::FromTheFuture { issued: at(0) });
    // A trust document that expires first makes the root stale first.
    let claims = TrustClaims { expires: at(HOUR), ..trust_claims() };
    let text = sign_trust(&claims, &[&key(ROOT)]).unwrap();
    let trust = verify_trust(text.as_bytes(), &prints(&[ROOT])).unwrap();
    let root = signed(&root_claims());
    let root = verify_root(root.as_bytes(), &trust, &place, None, at(60)).unwrap();
    assert!(root.expired(at(HOUR)));
}

#[test]
fn an_unknown_format_is_named_before_anything_else_is_read() {
    let text = signed_json(&serde_json::json!({"format": 2, "whatever": []}));
    assert_eq!(refusal(&text), Refusal::UnknownFormat { what: "root", format: 2 });
    for claims in [serde_json::json!({}), serde_json::json!({"format": "1"}), serde_json::json!(1)]
    {
        assert!(malformed(&refusal(&signed_json(&claims))), "{claims}");
    }
    // Fields of a later writer are passed over.
    let mut claims = serde_json::to_value(root_claims()).unwrap();
    claims["heldFlags"] = serde_json::json!(["a"]);
    assert!(verify(&signed_json(&claims), None).is_ok());
}

#[test]
fn every_claim_replaced_is_refused_without_a_panic() {
    let good = serde_json::to_value(root_claims()).unwrap();
    for name in good.as_object().unwrap().keys() {
        for bad in [serde_json::json!(null), serde_json::json!([1]), serde_json::json!("")] {
            let mut claims = good.clone();
            claims[name] = bad.clone();
            assert!(verify(&signed_json(&claims), None).is_err(), "{name}: {bad}");
        }
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        assert!(verify(&signed_json(&claims), None).is_err(), "{name} is missing");
    }
}

#[test]
fn lists_of_chunks_that_contradict_themselves_are_refused() {
    let chunk = |kind, shard, bytes| ChunkRef {
        kind,
        shard,
        sha256: Digest::of(b""),
        bytes,
        encoding: Encoding::Identity,
    };
    let check = |shards, chunks| {
        let claims = RootClaims { flag_shards: shards, tenant_shards: 1, chunks, ..root_claims() };
        let written = sign_root(&claims, &certified(ONLINE, SIGNING), &key(SIGNING)).map(|_| ());
        let read = verify(&signed_json(&serde_json::to_value(&claims).unwrap()), None).map(|_| ());
        assert_eq!(written, read, "writer and reader refuse the same");
        read
    };
    let flags = ChunkKind::Flags;
    assert_eq!(check(2, vec![chunk(flags, 0, 2), chunk(flags, 1, 2)]), Ok(()));
    assert_eq!(check(MAX_SHARDS, vec![]), Ok(()));
    assert!(malformed(&check(2, vec![chunk(flags, 0, 2), chunk(flags, 0, 2)]).unwrap_err()));
    assert!(malformed(&check(2, vec![chunk(flags, 2, 2)]).unwrap_err()));
    assert!(malformed(&check(1, vec![chunk(ChunkKind::Keys, 0, 2)]).unwrap_err()));
    for shards in [0, 3, MAX_SHARDS * 2] {
        assert!(malformed(&check(shards, vec![]).unwrap_err()), "{shards}");
    }
    let too_large = |result: Result<(), Refusal>| matches!(result, Err(Refusal::TooLarge { .. }));
    assert_eq!(check(1, vec![chunk(flags, 0, MAX_CHUNK_BYTES)]), Ok(()));
    assert!(too_large(check(1, vec![chunk(flags, 0, MAX_CHUNK_BYTES + 1)])));
    let full = |count: u64| (0..count).map(|i| chunk(flags, i as u32, MAX_CHUNK_BYTES)).collect();
    let most = MAX_TOTAL_BYTES / MAX_CHUNK_BYTES;
    assert_eq!(check(128, full(most)), Ok(()));
    assert!(too_large(check(128, full(most + 1))));
}

#[test]
fn the_largest_root_fits_and_a_larger_one_is_refused() {
    let chunk = |shard| ChunkRef {
        kind: ChunkKind::Segments,
        shard,
        sha256: Digest::of(b""),
        bytes: MAX_TOTAL_BYTES / MAX_LISTED as u64,
        encoding: Encoding::Identity,
    };
    let index = |n: usize| Named { sha256: Digest::of(&n.to_be_bytes()), bytes: MAX_INDEX_BYTES };
    let (first, shards) = (MAX_SHARDS - MAX_LISTED as u32, MAX_SHARDS);
    let claims = RootClaims {
        flag_shards: shards,
        tenant_shards: shards,
        segment_shards: shards,
        chunks: (first..shards).map(chunk).collect(),
        indexes: (0..MAX_INDEXES).map(index).collect(),
        ..root_claims()
    };
    let text = signed(&claims);
    assert!(text.len() <= MAX_ROOT_BYTES, "{}", text.len());
    assert!(verify(&text, None).is_ok());
    let refusal = refusal(&"x".repeat(MAX_ROOT_BYTES + 1));
    let (limit, actual) = (MAX_ROOT_BYTES as u64, MAX_ROOT_BYTES as u64 + 1);
    assert_eq!(refusal, Refusal::TooLarge { what: "root", limit, actual });
    let refused = |claims: &RootClaims| {
        let written = sign_root(claims, "", &key(SIGNING)).unwrap_err();
        let json = serde_json::to_value(claims).unwrap();
        assert_eq!(written, verify(&signed_json(&json), None).unwrap_err());
        match written {
            Refusal::TooLarge { what, .. } => what,
            _ => "something else",
        }
    };
    let mut more = claims.clone();
    more.chunks.push(chunk(0));
    assert_eq!(refused(&more), "number of chunks in the root");
    let mut more = claims.clone();
    more.indexes.push(index(MAX_INDEXES));
    assert_eq!(refused(&more), "number of indexes");
    let mut larger = claims.clone();
    larger.indexes[0].bytes += 1;
    assert_eq!(refused(&larger), "index");
    let mut twice = claims;
    twice.indexes[1] = twice.indexes[0];
    assert!(malformed(&sign_root(&twice, "", &key(SIGNING)).unwrap_err()));
}
