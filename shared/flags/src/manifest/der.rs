//! P-256 keys in the encodings of other tools. Keys of one curve have one DER form each, so the
//! encodings are prefixes to compare, not a grammar to parse.

use base64ct::{Base64, Encoding};

/// SubjectPublicKeyInfo (RFC 5480 §2) of a P-256 key up to the uncompressed point's bytes.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// PrivateKeyInfo (RFC 5958) with an ECPrivateKey (RFC 5915) that names the public key too, up to the
/// 32 secret bytes: what OpenSSL writes, and what is written here.
const PKCS8_PREFIX: [u8; 36] = [
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
    0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02,
    0x01, 0x01, 0x04, 0x20,
];
/// What stands between the secret bytes and the uncompressed point.
const PKCS8_MIDDLE: [u8; 5] = [0xa1, 0x44, 0x03, 0x42, 0x00];
/// The same without the public key, as some libraries write it.
const PKCS8_SHORT_PREFIX: [u8; 35] = [
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01,
    0x01, 0x04, 0x20,
];
/// Characters of one line of PEM (RFC 7468 §2).
const PEM_LINE: usize = 64;

/// An uncompressed point: `04 || x || y`.
pub(super) type Point = [u8; 65];

/// The point in a SubjectPublicKeyInfo; `None` when it is not an uncompressed P-256 key.
pub(super) fn spki_point(der: &[u8]) -> Option<Point> {
    der.strip_prefix(&SPKI_PREFIX)?.try_into().ok()
}

pub(super) fn spki(point: &Point) -> Vec<u8> {
    [SPKI_PREFIX.as_slice(), point].concat()
}

pub(super) fn pkcs8(secret: &[u8; 32], point: &Point) -> Vec<u8> {
    [PKCS8_PREFIX.as_slice(), secret, &PKCS8_MIDDLE, point].concat()
}

/// The secret bytes in a PrivateKeyInfo, and the point when it names one.
pub(super) fn pkcs8_secret(der: &[u8]) -> Option<([u8; 32], Option<Point>)> {
    if let Some(secret) = der.strip_prefix(&PKCS8_SHORT_PREFIX) {
        return Some((secret.try_into().ok()?, None));
    }
    let (secret, rest) = der.strip_prefix(&PKCS8_PREFIX)?.split_first_chunk::<32>()?;
    let point = rest.strip_prefix(&PKCS8_MIDDLE)?.try_into().ok()?;
    Some((*secret, Some(point)))
}

/// `r || s` of an ECDSA-Sig-Value (RFC 3279 §2.2.3): two integers of at most 32 bytes each.
pub(super) fn signature(der: &[u8]) -> Option<[u8; 64]> {
    let (&[0x30, length], rest) = der.split_first_chunk::<2>()? else { return None };
    if usize::from(length) != rest.len() {
        return None;
    }
    let (r, rest) = integer(rest)?;
    let (s, rest) = integer(rest)?;
    let mut raw = [0; 64];
    let (first, second) = raw.split_at_mut(32);
    first.copy_from_slice(&r);
    second.copy_from_slice(&s);
    rest.is_empty().then_some(raw)
}

fn integer(der: &[u8]) -> Option<([u8; 32], &[u8])> {
    let (&[0x02, length], rest) = der.split_first_chunk::<2>()? else { return None };
    let (digits, rest) = rest.split_at_checked(usize::from(length))?;
    // A leading zero keeps a positive number positive.
    let digits = digits.strip_prefix(&[0]).unwrap_or(digits);
    let mut padded = [0; 32];
    let start = padded.len().checked_sub(digits.len())?;
    padded.get_mut(start..)?.copy_from_slice(digits);
    Some((padded, rest))
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let body = Base64::encode_string(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(PEM_LINE) {
        // Base64 is ASCII, so every chunk is text.
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// The bytes between the lines that carry `label`; text before and after is ignored (RFC 7468 §2).
pub(super) fn from_pem(label: &str, text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    Base64::decode_vec(&body).ok()
}
