//! Keys and signatures, held against other people's: RFCs and OpenSSL.

use super::*;
use crate::manifest::jws::Jws;

/// Made by OpenSSL 3.0 (`ecparam -genkey`, `pkcs8 -topk8 -nocrypt`) for this test.
const OPENSSL_SECRET: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGGf2s1XNQ8Vo/8cx
xbBodhJs45gq4bonSjPvC4Rark+hRANCAAT+m4iPTtkfnhJ2WaoYft/agt6+MVv6
Xg21qyZ9ZXhmSokFpN9t7PUaWAyEMuu2/JUa3kEVIsXCOBz5dzKWKqt1
-----END PRIVATE KEY-----
";
const OPENSSL_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE/puIj07ZH54SdlmqGH7f2oLevjFb
+l4NtasmfWV4ZkqJBaTfbez1GlgMhDLrtvyVGt5BFSLFwjgc+XcyliqrdQ==
-----END PUBLIC KEY-----
";
/// `printf message | openssl dgst -sha256 -sign`; its `s` has the leading zero of a positive number.
const OPENSSL_SIGNATURE: &str = "304502205aa03b21fd9b82ab1965a0f5bed8451b4a0ea49d83601cc8f9a710da0799bd7e02210082a92ec6ca1aef4e898798864b315607757ee5fb36c75261de12d1c694c6e0d9";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn signatures_are_those_of_rfc_6979() {
    // Appendix A.2.5, P-256 with SHA-256.
    let secret = hex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
    let key = SecretKey::from_bytes(&secret.try_into().unwrap()).unwrap();
    let signature = key.sign(b"sample");
    assert_eq!(
        signature.to_vec(),
        hex(
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
        )
    );
    assert!(key.public().verify(b"sample", &signature));
    assert!(!key.public().verify(b"Sample", &signature));
    assert!(!super::key(STRANGER).public().verify(b"sample", &signature));
    for hopeless in [[0; 64], [0xff; 64]] {
        assert!(!key.public().verify(b"sample", &hopeless));
    }
}

#[test]
fn the_example_of_rfc_7515_verifies() {
    // Appendix A.3; its header has neither `typ` nor `kid`, so only the parts are used.
    let key: PublicKey = serde_json::from_value(serde_json::json!({
        "kty": "EC", "crv": "P-256", "use": "sig",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    }))
    .unwrap();
    let message = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = jws::decode(
        "signature",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
    assert!(key.verify(message.as_bytes(), &signature.unwrap().try_into().unwrap()));
    // SHA-256 of RFC 7638's text for this key, computed with another tool.
    assert_eq!(key.thumbprint().to_string(), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
}

#[test]
fn openssl_and_this_crate_read_each_other() {
    let secret = SecretKey::from_pem(OPENSSL_SECRET).unwrap();
    let public = PublicKey::from_pem(OPENSSL_PUBLIC).unwrap();
    assert_eq!(secret.public(), public);
    assert_eq!(
        (secret.to_pem().as_str(), public.to_pem().as_str()),
        (OPENSSL_SECRET, OPENSSL_PUBLIC)
    );
    let signature = signature_from_der(&hex(OPENSSL_SIGNATURE)).unwrap();
    assert!(public.verify(b"message", &signature));
    // RFC 5915 lets the public key be left out: the same key is 70 bytes shorter.
    let full = der::from_pem("PRIVATE KEY", OPENSSL_SECRET).unwrap();
    let mut short = hex("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420");
    short.extend(&full[36..68]);
    assert_eq!(SecretKey::from_pem(&der::pem("PRIVATE KEY", &short)).unwrap().public(), public);
}

#[test]
fn what_is_no_key_is_refused() {
    let public = key(ROOT).public();
    let der = public.to_spki_der();
    assert_eq!(PublicKey::from_spki_der(&der).unwrap(), public);
    for bad in [&der[1..], &der[..90], &[&der[..], &[0]].concat(), &[]] {
        assert_eq!(PublicKey::from_spki_der(bad), Err(KeyMaterialError::Public));
    }
    let mut off_curve = der.clone();
    off_curve[90] ^= 1;
    assert_eq!(PublicKey::from_spki_der(&off_curve), Err(KeyMaterialError::Public));
    assert!(SecretKey::from_bytes(&[0; 32]).is_err());
    assert!(SecretKey::from_bytes(&[0xff; 32]).is_err());
    // A file whose public half belongs to another secret was put together by hand.
    let pem = |secret: &SecretKey, of: &SecretKey| {
        let der = der::from_pem("PRIVATE KEY", &secret.to_pem()).unwrap();
        let other = der::from_pem("PRIVATE KEY", &of.to_pem()).unwrap();
        der::pem("PRIVATE KEY", &[&der[..68], &other[68..]].concat())
    };
    assert!(SecretKey::from_pem(&pem(&key(1), &key(1))).is_ok());
    assert!(SecretKey::from_pem(&pem(&key(1), &key(2))).is_err());
    for jwk in [
        serde_json::json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}),
        serde_json::json!({"kty": "oct", "k": "AA"}),
        serde_json::json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
    ] {
        assert!(serde_json::from_value::<PublicKey>(jwk).is_err());
    }
    for text in ["", "AA", &"A".repeat(44), &"=".repeat(43)] {
        assert_eq!(text.parse::<Thumbprint>(), Err(KeyMaterialError::Thumbprint), "{text}");
    }
}

#[test]
fn signatures_in_der_are_padded_and_bounded() {
    assert_eq!(signature_from_der(&hex("3006020101020102")).unwrap()[31], 1);
    for bad in ["", "30", "3006", "300602010102010200", "3006020101030102", "3007020101020102"] {
        assert_eq!(signature_from_der(&hex(bad)), None, "{bad}");
    }
    let long = [&[0x30, 0x26, 0x02, 0x21][..], &[1; 33], &[0x02, 0x01, 1]].concat();
    assert_eq!(signature_from_der(&long), None);
}

#[test]
fn a_secret_key_prints_no_secret() {
    let text = format!("{:?}", key(ROOT));
    assert!(text.starts_with("SecretKey(of ") && !text.contains("0101"), "{text}");
}

#[test]
fn headers_that_switch_something_on_are_refused() {
    let public = key(SIGNING).public();
    let sign = |header: serde_json::Value| {
        let message = format!("{}.{}", jws::encode_json("t", &header).unwrap(), jws::encode(b"{}"));
        jws::seal(&message, &key(SIGNING).sign(message.as_bytes()))
    };
    let check = |header: serde_json::Value| {
        let text = sign(header);
        Jws::compact("t", "t+jwt", &text).and_then(|jws| jws.verify(&public)).map(|_| ())
    };
    let kid = public.thumbprint();
    assert_eq!(check(serde_json::json!({"alg": "ES256", "typ": "t+jwt", "kid": kid})), Ok(()));
    for alg in ["none", "None", "HS256", "ES384", "es256", ""] {
        let refusal = check(serde_json::json!({"alg": alg, "typ": "t+jwt", "kid": kid}));
        assert_eq!(refusal, Err(Refusal::Algorithm { what: "t" }), "{alg}");
    }
    // `none` is refused as such even where the rest of the header is missing too.
    assert_eq!(check(serde_json::json!({"alg": "none"})), Err(Refusal::Algorithm { what: "t" }));
    let refusal = check(serde_json::json!({"alg": "ES256", "typ": "other", "kid": kid}));
    assert_eq!(refusal, Err(Refusal::WrongType { expected: "t+jwt" }));
    let critical = serde_json::json!({"alg": "ES256", "typ": "t+jwt", "kid": kid, "crit": ["b64"]});
    assert!(matches!(check(critical), Err(Refusal::Malformed { .. })));
    // A key that a header brings along is not looked at.
    let own =
        serde_json::json!({"alg": "ES256", "typ": "t+jwt", "kid": kid, "jwk": key(9).public()});
    assert_eq!(check(own), Ok(()));
}
