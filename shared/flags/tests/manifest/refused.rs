//! The bad vectors: each is an attack or a defect, and the reader has one word for it.

mod content;

use flagforge_flags::manifest::{Refusal, Scope, flag_shard};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::author::{
    Author, Given, HOUR, ONLINE, ROOTS, SIGNING, STRANGER, at, base64, certificate_of, jws, part,
    print, public, trust_header, trust_json,
};
use crate::vectors::File;

/// A refusal's name in vectors: that of the variant.
pub(crate) fn name(refusal: &Refusal) -> String {
    let text = format!("{refusal:?}");
    text.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap().to_owned()
}

/// What is attacked: two flags, a tenant, each in a chunk of its own.
pub(crate) fn victim() -> Author {
    let mut author = Author::new(Scope::Environment);
    let first = (0..).map(|n| format!("flag-{n}")).find(|key| flag_shard(key, 2) == 0).unwrap();
    author.flags(2, &[first.as_str(), "flag-1"].map(crate::author::flag));
    author.tenants(1, &[crate::author::tenant("acme", &json!({"flag-0": "on"}))]);
    author
}

type Cases = Vec<(&'static str, Given)>;

pub(crate) fn file() -> File {
    let author = victim();
    File::new("what a reader refuses, and in which word", &author.given(), cases(&author))
}

pub(crate) fn cases(author: &Author) -> Cases {
    let mut cases = trust_documents(author);
    cases.extend(signatures(author));
    cases.extend(headers(author));
    cases.extend(content::places(author));
    cases.extend(content::claims(author));
    cases.extend(content::lists(author));
    cases.extend(content::chunks(author));
    cases.extend(content::indexes(author));
    cases
}

fn trust_documents(author: &Author) -> Cases {
    let given = author.given();
    let two = || vec![(trust_header(ROOTS[0]), ROOTS[0]), (trust_header(ROOTS[1]), ROOTS[1])];
    let claims = serde_json::to_value(&author.trust).unwrap();
    let with = |edit: &dyn Fn(&mut Json), signers: &[(Json, u8)]| {
        let mut claims = claims.clone();
        edit(&mut claims);
        Given { trust: trust_json(&claims, signers), ..given.clone() }
    };
    let after = |held: Json, edit: &dyn Fn(&mut Json), signers: &[(Json, u8)]| {
        let mut before = claims.clone();
        before.as_object_mut().unwrap().extend(held.as_object().unwrap().clone());
        Given { held: vec![trust_json(&before, &two())], ..with(edit, signers) }
    };
    let strangers = [11, 12].map(|byte| (trust_header(byte), byte));
    let new_roots = |claims: &mut Json| {
        claims["number"] = json!(2);
        claims["roots"] = json!([public(11), public(12)]);
    };
    let twice = [two()[0].clone(), two()[0].clone()];
    let tampered = {
        let mut wire: Json = serde_json::from_str(&given.trust).unwrap();
        let mut claims = claims.clone();
        claims["online"] = json!([public(STRANGER)]);
        wire["payload"] = json!(base64(claims.to_string()));
        Given { trust: wire.to_string(), ..given.clone() }
    };
    vec![
        (
            "trust: roots that are not pinned",
            Given { pins: vec![print(STRANGER)], ..given.clone() },
        ),
        ("trust: one signature of two", with(&|_| {}, &two()[..1])),
        ("trust: one signature twice", with(&|_| {}, &twice)),
        ("trust: signed by roots that it names and nobody pins", with(&new_roots, &strangers)),
        ("trust: another online key under the old signatures", tampered),
        ("trust: a format of tomorrow", with(&|c| c["format"] = json!(2), &two())),
        ("trust: a threshold of none", with(&|c| c["threshold"] = json!(0), &two())),
        ("trust: a threshold above its roots", with(&|c| c["threshold"] = json!(4), &two())),
        ("trust: a root named twice", with(&|c| c["roots"][1] = c["roots"][0].clone(), &two())),
        (
            "trust: a root that is an online key",
            with(&|c| c["online"] = json!([public(ROOTS[2])]), &two()),
        ),
        ("trust: no online key", with(&|c| c["online"] = json!([]), &two())),
        ("trust: expires when issued", with(&|c| c["expires"] = c["issued"].clone(), &two())),
        ("trust: a lower number than held", after(json!({"number": 2}), &|_| {}, &two())),
        ("trust: the same number, other words", after(json!({"epoch": 0}), &|_| {}, &two())),
        ("trust: a lower epoch", after(json!({"epoch": 2}), &|c| c["number"] = json!(2), &two())),
        ("trust: new roots that vouch for themselves", after(json!({}), &new_roots, &strangers)),
        (
            "trust: old roots that vouch for new ones, which do not sign",
            after(json!({}), &new_roots, &two()),
        ),
        ("trust: not JSON", Given { trust: "{".into(), ..given.clone() }),
    ]
}

fn signatures(author: &Author) -> Cases {
    let (given, certificate) =
        (author.given(), |signing, online| certificate_of(signing, online, -HOUR, 23 * HOUR));
    let cert = |text: String| author.forged(SIGNING, |header, _| header["cert"] = json!(text));
    let (message, signature) = given.root.rsplit_once('.').unwrap();
    let (protected, _) = message.split_once('.').unwrap();
    let mut claims = part(&given.root, 1);
    claims["revision"] = json!("99.99");
    let other = format!("{protected}.{}.{signature}", base64(claims.to_string()));
    let impostor = {
        // The online key's name over another key's signature.
        let claims = json!({"key": public(SIGNING), "issued": at(-HOUR), "expires": at(23 * HOUR)});
        jws(
            &json!({"alg": "ES256", "typ": "flagforge-key+jwt", "kid": print(ONLINE)}),
            &claims,
            STRANGER,
        )
    };
    vec![
        ("root: another payload under the old signature", Given { root: other, ..given.clone() }),
        ("root: the signature of a stranger", author.forged(STRANGER, |_, _| {})),
        (
            "root: a stranger's key, which nobody certified",
            author.forged(STRANGER, |h, _| h["kid"] = json!(print(STRANGER))),
        ),
        (
            "root: signed by the online key itself",
            author.forged(ONLINE, |h, _| h["kid"] = json!(print(ONLINE))),
        ),
        ("root: no signature", Given { root: format!("{message}."), ..given.clone() }),
        ("root: two parts", Given { root: message.into(), ..given.clone() }),
        ("root: four parts", Given { root: format!("{}.x", given.root), ..given.clone() }),
        (
            "root: a signature of 63 bytes",
            Given { root: format!("{message}.{}", base64([1; 63])), ..given.clone() },
        ),
        (
            "root: a signature of zeros",
            Given { root: format!("{message}.{}", base64([0; 64])), ..given.clone() },
        ),
        ("certificate: by a stranger", cert(certificate(SIGNING, STRANGER))),
        ("certificate: by the certified key itself", cert(certificate(SIGNING, SIGNING))),
        ("certificate: by an offline root", cert(certificate(SIGNING, ROOTS[0]))),
        ("certificate: of another key", cert(certificate(STRANGER, ONLINE))),
        ("certificate: the online key's name, another's signature", cert(impostor)),
        (
            "certificate: absent",
            author.forged(SIGNING, |h, _| _ = h.as_object_mut().unwrap().remove("cert")),
        ),
        ("certificate: a root in its place", cert(given.root.clone())),
        (
            "certificate: the root was issued before it",
            cert(certificate_of(SIGNING, ONLINE, 1, 23 * HOUR)),
        ),
        (
            "certificate: the root was issued after it",
            cert(certificate_of(SIGNING, ONLINE, -HOUR, -1)),
        ),
    ]
}

/// HMAC-SHA-256 (RFC 2104) with a key of at most a block: what a confused verifier would compute.
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let block = |mask: u8| {
        let mut block = [mask; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(block(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block(0x5c)).chain_update(inner).finalize().into()
}

fn headers(author: &Author) -> Cases {
    let given = author.given();
    let header = |edit: &dyn Fn(&mut Json)| author.forged(SIGNING, |header, _| edit(header));
    let message = |edit: &dyn Fn(&mut Json)| {
        let mut header = part(&given.root, 0);
        edit(&mut header);
        format!("{}.{}", base64(header.to_string()), given.root.split('.').nth(1).unwrap())
    };
    let hs256 = message(&|h| h["alg"] = json!("HS256"));
    let point = json!(public(SIGNING));
    let mac = hmac(point["x"].as_str().unwrap().as_bytes(), hs256.as_bytes());
    let stranger = |edit: &dyn Fn(&mut Json)| author.forged(STRANGER, |header, _| edit(header));
    vec![
        (
            "header: alg none, no signature",
            Given { root: message(&|h| h["alg"] = json!("none")) + ".", ..given.clone() },
        ),
        ("header: alg None", header(&|h| h["alg"] = json!("None"))),
        (
            "header: HS256 keyed with the public key",
            Given { root: format!("{hs256}.{}", base64(mac)), ..given.clone() },
        ),
        ("header: ES384", header(&|h| h["alg"] = json!("ES384"))),
        ("header: RS256", header(&|h| h["alg"] = json!("RS256"))),
        ("header: alg in lower case", header(&|h| h["alg"] = json!("es256"))),
        ("header: a jwk of the attacker's", stranger(&|h| h["jwk"] = json!(public(STRANGER)))),
        ("header: an x5c of the attacker's", stranger(&|h| h["x5c"] = json!(["MIIB"]))),
        (
            "header: a jku of the attacker's",
            stranger(&|h| h["jku"] = json!("https://example.com/keys")),
        ),
        ("header: a critical extension", header(&|h| h["crit"] = json!(["exp"]))),
        (
            "header: an unencoded payload (RFC 7797)",
            header(&|h| {
                h["b64"] = json!(false);
                h["crit"] = json!(["b64"]);
            }),
        ),
        ("header: the type of a certificate", header(&|h| h["typ"] = json!("flagforge-key+jwt"))),
        ("header: the type of any JWT", header(&|h| h["typ"] = json!("JWT"))),
        ("header: no type", header(&|h| _ = h.as_object_mut().unwrap().remove("typ"))),
        ("header: not base64url", Given { root: format!("?{}", given.root), ..given.clone() }),
    ]
}
