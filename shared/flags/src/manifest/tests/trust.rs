//! Trust documents: first contact, succession, and what a thief of keys may not do.

use super::*;

fn document(claims: &TrustClaims, signers: &[u8]) -> String {
    let keys: Vec<SecretKey> = signers.iter().map(|seed| key(*seed)).collect();
    sign_trust(claims, &keys.iter().collect::<Vec<_>>()).unwrap()
}

fn few(whose: &'static str, needed: u16, valid: u16) -> Refusal {
    Refusal::TooFewSignatures { whose, needed, valid }
}

#[test]
fn first_contact_needs_the_threshold_of_pinned_roots() {
    let claims = TrustClaims { threshold: 2, roots: publics(&[1, 4, 5]), ..trust_claims() };
    let check = |signers: &[u8], pinned: &[u8]| {
        let text = document(&claims, signers);
        verify_trust(text.as_bytes(), &prints(pinned)).map(|trust| trust.claims().number)
    };
    assert_eq!(check(&[1, 4], &[1, 4, 5]), Ok(1));
    assert_eq!(check(&[4, 5], &[4, 5]), Ok(1));
    assert_eq!(check(&[1], &[1, 4, 5]), Err(few("the pinned roots", 2, 1)));
    // One key that signs twice is one key.
    assert_eq!(check(&[1, 1], &[1, 4, 5]), Err(few("the pinned roots", 2, 1)));
    // A pin alone gives no right: the document must name the key as a root.
    assert_eq!(check(&[1, STRANGER], &[1, STRANGER]), Err(few("the pinned roots", 2, 1)));
    assert_eq!(check(&[1, 4, 5], &[]), Err(few("the pinned roots", 2, 0)));
    // Unknown signatures beside good ones harm nothing.
    assert_eq!(check(&[STRANGER, 1, 4], &[1, 4]), Ok(1));
}

#[test]
fn succession_needs_the_old_roots_and_the_new() {
    let held = trust();
    let next = TrustClaims { number: 2, roots: publics(&[4]), ..trust_claims() };
    let succeed = |claims: &TrustClaims, signers: &[u8]| {
        held.succeed(document(claims, signers).as_bytes()).map(|trust| trust.claims().number)
    };
    assert_eq!(succeed(&next, &[ROOT, 4]), Ok(2));
    assert_eq!(succeed(&next, &[4]), Err(few("the held document's roots", 1, 0)));
    assert_eq!(succeed(&next, &[ROOT]), Err(few("its own roots", 1, 0)));
    // Numbers may be skipped, because one document says all there is to trust.
    assert_eq!(succeed(&TrustClaims { number: 9, ..trust_claims() }, &[ROOT]), Ok(9));
    let rollback = |offered, offered_epoch| {
        Err(Refusal::TrustRollback { held: 1, held_epoch: 1, offered, offered_epoch })
    };
    assert_eq!(succeed(&trust_claims(), &[ROOT]), rollback(1, 1));
    let claims = TrustClaims { number: 2, epoch: 0, ..trust_claims() };
    assert_eq!(succeed(&claims, &[ROOT]), rollback(2, 0));
}

#[test]
fn a_reader_that_slept_walks_the_chain() {
    // Root 1 hands over to 4, 4 to 5; the reader pinned 1 and sees all three at once.
    let chain = [
        document(&trust_claims(), &[1]),
        document(&TrustClaims { number: 2, roots: publics(&[4]), ..trust_claims() }, &[1, 4]),
        document(&TrustClaims { number: 3, roots: publics(&[5]), ..trust_claims() }, &[4, 5]),
    ];
    let pinned = prints(&[1]);
    assert!(verify_trust(chain[2].as_bytes(), &pinned).is_err());
    let mut trust = verify_trust(chain[0].as_bytes(), &pinned).unwrap();
    for text in &chain[1..] {
        trust = trust.succeed(text.as_bytes()).unwrap();
    }
    assert_eq!((trust.claims().number, trust.text()), (3, chain[2].as_str()));
    // The root that handed over has no say any more.
    let revenge = TrustClaims { number: 4, roots: publics(&[1]), ..trust_claims() };
    assert!(trust.succeed(document(&revenge, &[1]).as_bytes()).is_err());
}

#[test]
fn a_bad_signature_by_a_trusted_key_refuses_the_document() {
    let claims = TrustClaims { threshold: 1, roots: publics(&[1, 4]), ..trust_claims() };
    let mut wire: serde_json::Value = serde_json::from_str(&document(&claims, &[1, 4])).unwrap();
    let other = wire["signatures"][0]["signature"].clone();
    wire["signatures"][1]["signature"] = other;
    let refusal = verify_trust(wire.to_string().as_bytes(), &prints(&[1, 4])).unwrap_err();
    assert_eq!(refusal, Refusal::BadSignature { what: "trust document" });
}

#[test]
fn signatures_of_other_algorithms_count_for_nothing() {
    let mut wire: serde_json::Value =
        serde_json::from_str(&document(&trust_claims(), &[ROOT])).unwrap();
    let mut sign_with = |algorithm: &str| {
        let kid = key(ROOT).public().thumbprint();
        let header =
            serde_json::json!({"alg": algorithm, "typ": "flagforge-trust+jwt", "kid": kid});
        let protected = jws::encode_json("t", &header).unwrap();
        let good = wire["signatures"][0].clone();
        wire["signatures"] = serde_json::json!([{"protected": protected, "signature": ""}]);
        let alone = verify_trust(wire.to_string().as_bytes(), &prints(&[ROOT])).map(|_| ());
        wire["signatures"] = serde_json::json!([{"protected": protected, "signature": ""}, good]);
        let beside = verify_trust(wire.to_string().as_bytes(), &prints(&[ROOT])).map(|_| ());
        wire["signatures"] = serde_json::json!([good]);
        (alone, beside)
    };
    for algorithm in ["none", "HS256", "ML-DSA-44"] {
        let (alone, beside) = sign_with(algorithm);
        assert_eq!((alone, beside), (Err(few("the pinned roots", 1, 0)), Ok(())), "{algorithm}");
    }
}

#[test]
fn tampering_with_claims_is_seen() {
    let mut wire: serde_json::Value =
        serde_json::from_str(&document(&trust_claims(), &[ROOT])).unwrap();
    let forged = TrustClaims { online: publics(&[STRANGER]), ..trust_claims() };
    wire["payload"] = jws::encode_json("t", &forged).unwrap().into();
    let refusal = verify_trust(wire.to_string().as_bytes(), &prints(&[ROOT])).unwrap_err();
    assert_eq!(refusal, Refusal::BadSignature { what: "trust document" });
}

#[test]
fn claims_that_make_no_sense_are_neither_signed_nor_believed() {
    let no_sense = [
        TrustClaims { threshold: 0, ..trust_claims() },
        TrustClaims { threshold: 2, ..trust_claims() },
        TrustClaims { roots: publics(&[1, 1]), threshold: 2, ..trust_claims() },
        TrustClaims { online: Vec::new(), ..trust_claims() },
        TrustClaims { online: publics(&[2, 2]), ..trust_claims() },
        TrustClaims { online: publics(&[ROOT]), ..trust_claims() },
        TrustClaims { expires: trust_claims().issued, ..trust_claims() },
    ];
    for claims in no_sense {
        let refusal = sign_trust(&claims, &[&key(ROOT)]).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed { .. }), "{refusal}");
    }
    let claims = TrustClaims { format: 2, ..trust_claims() };
    let format = Refusal::UnknownFormat { what: "trust document", format: 2 };
    assert_eq!(sign_trust(&claims, &[&key(ROOT)]), Err(format.clone()));
    // Signed all the same by somebody else's code: the reader looks for itself.
    let payload = jws::encode(br#"{"format":2,"something":"new"}"#);
    let text = serde_json::json!({"payload": payload, "signatures": []}).to_string();
    assert_eq!(verify_trust(text.as_bytes(), &[]).unwrap_err(), format);
}

#[test]
fn counts_and_sizes_at_the_limit_and_one_past_it() {
    let most: Vec<u8> = (10..10 + u8::try_from(MAX_TRUST_KEYS).unwrap()).collect();
    let claims = TrustClaims { roots: publics(&most), ..trust_claims() };
    let text = document(&claims, &most);
    assert!(text.len() <= MAX_TRUST_BYTES, "{}", text.len());
    assert!(verify_trust(text.as_bytes(), &prints(&most)).is_ok());
    let more: Vec<u8> = (10..11 + u8::try_from(MAX_TRUST_KEYS).unwrap()).collect();
    let claims = TrustClaims { roots: publics(&more), ..trust_claims() };
    let refusal = sign_trust(&claims, &[&key(10)]).unwrap_err();
    let too_large = |what, limit: usize| Refusal::TooLarge {
        what,
        limit: limit as u64,
        actual: limit as u64 + 1,
    };
    assert_eq!(refusal, too_large("number of root keys", MAX_TRUST_KEYS));

    let document = document(&trust_claims(), &[ROOT]);
    let padded = |bytes: usize| format!("{document}{}", " ".repeat(bytes - document.len()));
    let check = |text: String| verify_trust(text.as_bytes(), &prints(&[ROOT])).map(|_| ());
    assert_eq!(check(padded(MAX_TRUST_BYTES)), Ok(()));
    let refusal = check(padded(MAX_TRUST_BYTES + 1));
    assert_eq!(refusal, Err(too_large("trust document", MAX_TRUST_BYTES)));
}

#[test]
fn an_expired_document_says_so_and_serves_on() {
    let trust = trust();
    assert!(!trust.expired(at(999 * HOUR)) && trust.expired(at(1_000 * HOUR)));
}
