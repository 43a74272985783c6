//! The online key in KMS.

use async_trait::async_trait;
use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use flagforge_flags::manifest::{Digest, PublicKey};
use flagforge_platform::ports::{Signer, SignerError};
use thiserror::Error;
use tokio::sync::OnceCell;

use crate::Connection;

/// Bytes of one of the two numbers of a P-256 signature.
const NUMBER_BYTES: usize = 32;

/// A KMS key of spec `ECC_NIST_P256` and usage `SIGN_VERIFY`.
#[derive(Debug)]
pub struct KmsSigner {
    client: Client,
    key: String,
    /// A KMS key's material never changes: asked for once.
    public: OnceCell<PublicKey>,
}

#[derive(Debug, Error)]
enum Fault {
    #[error("KMS answered without {0}")]
    Incomplete(&'static str),
    #[error("KMS answered with what is no DER signature of P-256")]
    Signature,
}

impl KmsSigner {
    /// The key of this id, ARN or alias. Nothing is sent yet.
    pub fn new(connection: &Connection, key: &str) -> Self {
        let client = Client::new(connection.sdk());
        Self { client, key: key.to_owned(), public: OnceCell::new() }
    }

    async fn fetch_public_key(&self) -> Result<PublicKey, SignerError> {
        let answer = self.client.get_public_key().key_id(&self.key).send().await.map_err(fault)?;
        let der = answer.public_key().ok_or_else(|| fault(Fault::Incomplete("a public key")))?;
        PublicKey::from_spki_der(der.as_ref()).map_err(fault)
    }
}

#[async_trait]
impl Signer for KmsSigner {
    async fn public_key(&self) -> Result<PublicKey, SignerError> {
        self.public.get_or_try_init(|| self.fetch_public_key()).await.cloned()
    }

    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        let der = der_signature(&self.client, &self.key, message).await?;
        raw_signature(der.as_ref()).ok_or_else(|| fault(Fault::Signature))
    }
}

/// A signature by a key of spec `ECC_NIST_P256`, in DER as KMS gives it.
pub(crate) async fn der_signature(
    client: &Client,
    key: &str,
    message: &[u8],
) -> Result<Blob, SignerError> {
    // KMS takes at most 4,096 bytes of a message, and none of zero: it is given the digest.
    let digest = Digest::of(message);
    let request = client.sign().key_id(key).message_type(MessageType::Digest);
    let request = request.message(Blob::new(digest.as_bytes().as_slice()));
    let request = request.signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
    let answer = request.send().await.map_err(fault)?;
    answer.signature.ok_or_else(|| fault(Fault::Incomplete("a signature")))
}

fn fault(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SignerError {
    SignerError(error.into())
}

/// `r || s` of an ECDSA signature in DER: a SEQUENCE of two INTEGERs (RFC 3279 §2.2.3), each without leading zeros but for
/// one that keeps it positive.
fn raw_signature(der: &[u8]) -> Option<[u8; 64]> {
    const SEQUENCE: u8 = 0x30;
    let (numbers, rest) = element(der, SEQUENCE)?;
    let (r, numbers) = number(numbers)?;
    let (s, numbers) = number(numbers)?;
    let mut raw = [0; 64];
    let (to_r, to_s) = raw.split_at_mut(NUMBER_BYTES);
    to_r.copy_from_slice(&r);
    to_s.copy_from_slice(&s);
    (rest.is_empty() && numbers.is_empty()).then_some(raw)
}

fn number(der: &[u8]) -> Option<([u8; NUMBER_BYTES], &[u8])> {
    const INTEGER: u8 = 0x02;
    let (content, rest) = element(der, INTEGER)?;
    let digits = match content {
        [] => return None,
        [0, next, ..] if *next < 0x80 => return None,
        [0, digits @ ..] => digits,
        [first, ..] if *first >= 0x80 => return None,
        digits => digits,
    };
    let mut number = [0; NUMBER_BYTES];
    let zeros = NUMBER_BYTES.checked_sub(digits.len())?;
    number.get_mut(zeros..)?.copy_from_slice(digits);
    Some((number, rest))
}

/// The content of an element of this tag, and what follows it. Only short lengths: a signature has at most 72 bytes.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    match der {
        [found, length, rest @ ..] if *found == tag && *length < 0x80 => {
            rest.split_at_checked(usize::from(*length))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
        let mut numbers = vec![0x02, r.len() as u8];
        numbers.extend(r);
        numbers.extend([0x02, s.len() as u8]);
        numbers.extend(s);
        [&[0x30, numbers.len() as u8], numbers.as_slice()].concat()
    }

    fn padded(digits: &[u8]) -> Vec<u8> {
        [vec![0; 32 - digits.len()], digits.to_vec()].concat()
    }

    #[test]
    fn numbers_of_every_length_are_padded_to_32_bytes() {
        for length in 1..=32 {
            let r = vec![0x7f; length];
            let s = [vec![0x01], vec![0xee; length - 1]].concat();
            let expected = [padded(&r), padded(&s)].concat();
            assert_eq!(raw_signature(&der(&r, &s)).unwrap().as_slice(), expected, "{length}");
        }
        // A first bit that is set takes one more byte in DER.
        let high = [vec![0], vec![0xff; 32]].concat();
        assert_eq!(raw_signature(&der(&high, &high)).unwrap(), [0xff; 64]);
    }

    #[test]
    fn what_is_no_signature_is_refused_and_never_panics() {
        let good = der(&[1; 32], &[2; 32]);
        assert!(raw_signature(&good).is_some());
        for end in 0..good.len() {
            assert_eq!(raw_signature(&good[..end]), None, "{end}");
        }
        let long = [vec![0x01], vec![0; 32]].concat();
        let bad = [
            [good.as_slice(), &[0]].concat(),
            der(&[], &[1]),
            der(&[0x80], &[1]),
            der(&[0, 0x7f], &[1]),
            der(&long, &[1]),
            der(&[1], &[1]).iter().map(|b| b ^ 0x10).collect(),
        ];
        for bad in bad {
            assert_eq!(raw_signature(&bad), None, "{bad:?}");
        }
        for position in 0..good.len() {
            for bit in 0..8 {
                let mut bent = good.clone();
                bent[position] ^= 1 << bit;
                let _ = raw_signature(&bent);
            }
        }
    }
}
