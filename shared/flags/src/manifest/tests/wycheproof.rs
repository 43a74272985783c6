//! Project Wycheproof's vectors, most of them attacks, against what verifies manifests. They are data that stays where
//! it is: `FLAGFORGE_CONFORMANCE` names the folder.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::*;
use crate::manifest::jws::{Jws, decode};

/// A file's groups of tests; `None`, loudly, where the files are not on this machine.
fn groups(name: &str) -> Option<Vec<Json>> {
    let unsaid = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let root = std::env::var_os("FLAGFORGE_CONFORMANCE").map_or_else(unsaid, PathBuf::from);
    let file = root.join("wycheproof").join(name);
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!(
            "SKIPPED: {} is not there; FLAGFORGE_CONFORMANCE names the folder",
            file.display()
        );
        return None;
    };
    let file: Json = serde_json::from_str(&text).unwrap();
    Some(file["testGroups"].as_array().unwrap().clone())
}

fn tests(group: &Json) -> &[Json] {
    group["tests"].as_array().unwrap()
}

fn text<'j>(json: &'j Json, name: &str) -> &'j str {
    json[name].as_str().unwrap()
}

fn is_valid(test: &Json) -> bool {
    match text(test, "result") {
        "valid" => true,
        "invalid" => false,
        other => unreachable!("these files have no {other} results"),
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// `r || s` as an ECDSA-Sig-Value, as KMS writes it.
fn to_der(signature: &[u8; 64]) -> Vec<u8> {
    let integer = |half: &[u8]| {
        let digits: Vec<u8> = half.iter().copied().skip_while(|byte| *byte == 0).collect();
        // A positive number, and zero, has a first bit of 0.
        let padded = digits.first().is_none_or(|byte| *byte >= 0x80);
        let digits = if padded { [&[0], &digits[..]].concat() } else { digits };
        [&[0x02, u8::try_from(digits.len()).unwrap()], &digits[..]].concat()
    };
    let body = [integer(&signature[..32]), integer(&signature[32..])].concat();
    [&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}

#[test]
fn signatures_are_accepted_and_refused_alike() {
    let Some(groups) = groups("ecdsa_secp256r1_sha256_p1363_test.json") else { return };
    let (mut run, mut in_der) = (0, 0);
    for group in &groups {
        let key = PublicKey::from_spki_der(&hex(text(group, "publicKeyDer"))).unwrap();
        // The same key in its other forms; the members of a JWK that say nothing to us are passed over.
        if let Some(jwk) = group.get("publicKeyJwk") {
            assert_eq!(serde_json::from_value::<PublicKey>(jwk.clone()).unwrap(), key);
        }
        assert_eq!(PublicKey::from_pem(text(group, "publicKeyPem")).unwrap(), key);
        for test in tests(group) {
            let (message, signature) = (hex(text(test, "msg")), hex(text(test, "sig")));
            let fixed: Result<[u8; 64], _> = signature.as_slice().try_into();
            let accepted = fixed.is_ok_and(|signature| key.verify(&message, &signature));
            assert_eq!(accepted, is_valid(test), "{}: {}", test["tcId"], test["comment"]);
            run += 1;
            if let Ok(signature) = fixed {
                // The same in DER comes to the same.
                assert_eq!(signature_from_der(&to_der(&signature)), Some(signature), "{test}");
                in_der += 1;
            }
        }
    }
    assert_eq!((run, in_der), (262, 241));
}

/// What is asked of a compact JWS before its header says what it is for: three parts, a header of ES256, and a
/// signature of 64 bytes that fits.
fn verifies(key: &PublicKey, jws: &str) -> bool {
    let Some((signed, signature)) = jws.rsplit_once('.') else { return false };
    let Some((header, payload)) = signed.split_once('.') else { return false };
    let read = |part| decode("vector", part);
    let (Ok(header), Ok(_), Ok(signature)) = (read(header), read(payload), read(signature)) else {
        return false;
    };
    let es256 =
        serde_json::from_slice::<Json>(&header).is_ok_and(|header| header["alg"] == "ES256");
    let signature: Result<[u8; 64], _> = signature.try_into();
    es256 && signature.is_ok_and(|signature| key.verify(signed.as_bytes(), &signature))
}

/// Whether a JWK is one of ours, and its signature over the JWS fits.
fn believes(jwk: &Json, jws: &str) -> bool {
    let key: Result<PublicKey, _> = serde_json::from_value(jwk.clone());
    key.is_ok_and(|key| verifies(&key, jws))
}

#[test]
fn web_signatures_are_accepted_and_refused_alike() {
    let Some(groups) = groups("json_web_signature_test.json") else { return };
    let (mut run, mut passed_over) = (0, Vec::new());
    for group in &groups {
        let key = group.get("public").unwrap_or(&group["private"]);
        let tests = tests(group);
        // Not ours, even if they are valid: keys of RSA and of texts, and P-521 (RFC 7520's examples).
        if key["crv"] != "P-256" {
            passed_over.push((text(key, "kty"), tests.len()));
            for test in tests.iter().filter_map(|test| test["jws"].as_str()) {
                assert!(!believes(key, test), "a key that is not on P-256 was believed: {test}");
            }
            continue;
        }
        for test in tests {
            let jws = text(test, "jws");
            assert_eq!(believes(key, jws), is_valid(test), "{}: {}", test["tcId"], test["comment"]);
            // Ours says what it is for, and by whom: none of these does, so none is a manifest.
            assert!(Jws::compact("vector", "flagforge-manifest+jwt", jws).is_err(), "{test}");
            run += 1;
        }
    }
    assert_eq!(run, 41, "two groups of ES256, and two of keys that are for something else");
    let of = |kty: &str| -> usize {
        passed_over.iter().filter(|(held, _)| *held == kty).map(|(_, count)| count).sum()
    };
    assert_eq!((of("oct"), of("EC"), run + of("oct") + of("EC") + of("RSA")), (40, 2, 401));
}

#[test]
fn web_keys_are_accepted_and_refused_alike() {
    let Some(groups) = groups("json_web_key_test.json") else { return };
    let (mut run, mut symmetric_or_rsa) = (0, 0);
    for group in &groups {
        let keys = group.get("public").unwrap_or(&group["private"])["keys"].as_array().unwrap();
        for test in tests(group) {
            let jws = text(test, "jws");
            let believed = keys.iter().any(|key| believes(key, jws));
            // What signs with a text or with RSA is never believed here, be it as good as it may.
            let ours = keys.iter().any(|key| key["crv"].is_string());
            assert_eq!(believed, ours && is_valid(test), "{}: {}", test["tcId"], test["comment"]);
            if ours { run += 1 } else { symmetric_or_rsa += 1 }
        }
    }
    assert_eq!((run, symmetric_or_rsa), (7, 19));
}
