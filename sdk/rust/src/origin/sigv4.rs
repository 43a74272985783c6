//! AWS Signature Version 4, as much of it as reading objects and asking a queue needs.
//! (AWS General Reference, "Create a signed AWS API request"; S3 API Reference, "Signature Calculations
//! for the Authorization Header: Transferring Payload in a Single Chunk".)

use std::fmt::Write as _;

use flagforge_flags::manifest::Digest;
use flagforge_flags::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use sha2::Sha256;

/// What is signed. It has no query.
pub(super) struct Signing<'a> {
    /// `GET` or `POST`.
    pub(super) method: &'a str,
    /// The service, say `s3`.
    pub(super) service: &'a str,
    /// The digest of the body; [`nothing`] of a read.
    pub(super) body: &'a str,
    /// The path, percent-encoded by [`encode_path`].
    pub(super) path: &'a str,
    /// Lower-case names and trimmed values, in order of name; `host` and every `x-amz-*` among them.
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// The region, say `eu-central-1`.
    pub(super) region: &'a str,
    /// When.
    pub(super) at: Timestamp,
}

/// The value of the `Authorization` header.
pub(super) fn authorization(signing: &Signing<'_>, access_key_id: &str, secret: &str) -> String {
    let stamp = stamp(signing.at);
    let day = stamp.get(..8).unwrap_or_default();
    let Signing { method, service, region, path, .. } = signing;
    let scope = format!("{day}/{region}/{service}/aws4_request");

    let signed = signing.headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let mut canonical = format!("{method}\n{path}\n\n");
    for (name, value) in signing.headers {
        // Writing to a String cannot fail.
        let _ = writeln!(canonical, "{name}:{value}");
    }
    let _ = write!(canonical, "\n{signed}\n{}", signing.body);
    let digest = Digest::of(canonical.as_bytes());
    let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}");

    let key = signing_key(secret, day, region, service);
    let signature = hex(&hmac(&key, to_sign.as_bytes()));
    format!(
        "AWS4-HMAC-SHA256 Credential={access_key_id}/{scope}, SignedHeaders={signed}, Signature={signature}"
    )
}

/// The hash of an empty body, which `x-amz-content-sha256` must carry.
pub(super) fn nothing() -> String {
    Digest::of(b"").to_string()
}

/// `20130524T000000Z`: ISO 8601's basic form.
pub(super) fn stamp(at: Timestamp) -> String {
    let text = Timestamp::from_seconds(at.as_seconds()).to_string();
    let mut stamp: String =
        text.chars().take_while(|c| *c != '.').filter(|c| !matches!(c, '-' | ':')).collect();
    stamp.push('Z');
    stamp
}

/// Exactly what the client will send as Host, which is signed: no port when it is the scheme's own.
pub(super) fn host(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// Every byte but `A-Z a-z 0-9 - . _ ~ /` as `%XX`; S3 encodes a path once.
pub(super) fn encode_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

fn signing_key(secret: &str, day: &str, region: &str, service: &str) -> [u8; 32] {
    let day_key = hmac(format!("AWS4{secret}").as_bytes(), day.as_bytes());
    let region_key = hmac(&day_key, region.as_bytes());
    let service_key = hmac(&region_key, service.as_bytes());
    hmac(&service_key, b"aws4_request")
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(message);
            mac.finalize().into_bytes().into()
        }
        // HMAC takes keys of every length (RFC 2104 §2), so this is never reached.
        Err(_) => [0; 32],
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Credentials and results are AWS's own, from the pages named on top.
    const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn published(path: &str, range: &str) -> String {
        let headers = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", range),
            ("x-amz-content-sha256", &nothing()),
            ("x-amz-date", "20130524T000000Z"),
        ];
        let at = Timestamp::from_seconds(1_369_353_600);
        let (method, service, body, region) = ("GET", "s3", &nothing(), "us-east-1");
        let signing = Signing { method, service, body, path, headers: &headers, region, at };
        authorization(&signing, KEY_ID, SECRET)
    }

    #[test]
    fn the_published_example_of_reading_an_object() {
        assert_eq!(
            published("/test.txt", "bytes=0-9"),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        assert_ne!(published("/test.txt", "bytes=0-9"), published("/test.txt", "bytes=0-8"));
        assert_ne!(published("/test.txt", "bytes=0-9"), published("/tesu.txt", "bytes=0-9"));
    }

    #[test]
    fn the_published_example_of_a_signing_key() {
        let key =
            signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20120215", "us-east-1", "iam");
        assert_eq!(hex(&key), "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d");
    }

    #[test]
    fn paths_and_stamps() {
        assert_eq!(encode_path("/b/a b=c/ü~."), "/b/a%20b%3Dc/%C3%BC~.");
        assert_eq!(stamp(Timestamp::from_millis(1_369_353_600_999)), "20130524T000000Z");
        assert_eq!(nothing(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
