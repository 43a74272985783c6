//! Signatures of the Standard Webhooks specification, version `v1`: HMAC-SHA256 over `id.timestamp.body`.

use base64ct::{Base64, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::error::Error;
use crate::fresh;

const PREFIX: &str = "whsec_";

/// A new secret: 32 random bytes, of the 24 to 64 that the specification asks for.
pub(super) fn secret() -> Result<String, Error> {
    Ok(format!("{PREFIX}{}", Base64::encode_string(&fresh::key_bytes()?)))
}

/// One signature, `v1,<base64>`.
pub(super) fn signature(
    secret: &str,
    id: &str,
    timestamp_seconds: i64,
    body: &[u8],
) -> Result<String, Error> {
    let unusable = || Error::Internal { context: "a stored webhook secret is none", source: None };
    let key = secret.strip_prefix(PREFIX).ok_or_else(unusable)?;
    let key = Base64::decode_vec(key).map_err(|_| unusable())?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| unusable())?;
    mac.update(format!("{id}.{timestamp_seconds}.").as_bytes());
    mac.update(body);
    Ok(format!("v1,{}", Base64::encode_string(&mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_the_reference_libraries_make() {
        // The vector of the Standard Webhooks reference libraries; Python's hmac gives the same.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let (id, at) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330);
        let signed = signature(secret, id, at, br#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_ne!(signature(secret, id, at + 1, br#"{"test": 2432232314}"#).unwrap(), signed);
        assert!(signature("MfKQ9r8G", id, at, b"").is_err());
    }
}
