//! Somebody who signs messages as SNS does, with a certificate made here.

use base64ct::{Base64, Encoding as _};
use flagforge_flags::time::Timestamp;
use rcgen::{CertificateParams, PublicKeyData, SignatureAlgorithm, SigningKey};
use rsa::signature::{SignatureEncoding as _, Signer as _};
use rsa::traits::PublicKeyParts as _;
use rsa::{BoxedUint, RsaPrivateKey, pkcs1v15};
use serde_json::{Value as Json, json};
use sha1::Sha1;
use sha2::Sha256;

/// Primes of two keys of 2,048 bits, drawn for these tests: drawing some takes unoptimized arithmetic a minute.
const PRIMES: [[&str; 2]; 2] = [
    [
        "f3acd1d08588e5d7371597b99fa162d57e39a4e4ed2380e80b84d0a447acccfc338fc20949d6c1cf2961a0990a3264ed\
         7fb558d43115f9c2e796aae319c9e5ecf7a02e4ae38f0b6c7e597fa14c91b6801f51d0e50f4a4087a1fc0ced44dd0b62\
         56c68616a47f3cdc8db2f31c95683111af545b70403e17fe0487a89d5e50dfd7",
        "da320ea87410663cee585a67312377406bdbb7d57f0739c940b50a6d1e7d9c2c8da7d1b6f4216cbbac3e249a643b4330\
         235b59cb04c114e8f7c7820d92005a64514cc326a3b11fea6b176a26fd3e841f02250b16b5973c9771f9b622ab966bc0\
         b4906c90d32d9c2fdde04b2e07cf811fc5a048e89a3a12585a40e04b618d9a09",
    ],
    [
        "e176fee496464286b45c38e1e7320d76cf3f1dd6d4c77e819b4c96865dc6f36438596e9d78671748b66509d9fb8ef3a2\
         6228c4448e7197db974b42afab7c335edb3f6d88ea994358743185245d649a20624d3857caa1a64ccd9707a054281301\
         f45df2cdbeab26886cd5ce6b9343524800ae989c8b550767a6c20c515c4c3349",
        "d6704bfe5e24009c3dd5c9e5deb10d24ee46f60838adde2a74587392c713a2b399ffb0206921a43d5a9301e27e082ba8\
         f4406ee70f9cb01716d1542c5a84154238b73a7acc04e9335e006c3631fb8ca02e85c7f8427f2b7b2181823dd96c91ba\
         60ad5b039b0cb350e1599f1157c69f6afa47229f3031c1d0dc75c120e17bb20f",
    ],
];

pub(super) const TOPIC: &str = "arn:aws:sns:eu-central-1:111122223333:flagforge-roots";
pub(super) const CERTIFICATE: &str =
    "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-9c6465fa7f48f5.pem";

pub(super) struct Signer {
    key: RsaPrivateKey,
    /// `RSAPublicKey` (RFC 8017).
    public: Vec<u8>,
}

impl Signer {
    pub(super) fn new(number: usize) -> Self {
        let prime = |text: &str| {
            let byte = |place: usize| u8::from_str_radix(&text[place..place + 2], 16).unwrap();
            let bytes: Vec<u8> = (0..text.len()).step_by(2).map(byte).collect();
            BoxedUint::from_be_slice_vartime(&bytes)
        };
        let [p, q] = PRIMES[number].map(prime);
        let key = RsaPrivateKey::from_p_q(p, q, BoxedUint::from(65_537_u64)).unwrap();
        let number = |bytes: &[u8]| {
            let sign: &[u8] = if bytes[0] < 0x80 { &[] } else { &[0] };
            der(0x02, &[sign, bytes].concat())
        };
        let public = der(0x30, &[number(&key.n_bytes()), number(&key.e_bytes())].concat());
        Self { key, public }
    }

    /// A certificate in PEM, valid in these years.
    pub(super) fn certificate(&self, from: i32, until: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["sns.amazonaws.com".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        params.self_signed(self).unwrap().pem().into_bytes()
    }

    /// A message as SNS sends it, of this minute, signed with a version of signatures, once the fields were edited.
    pub(super) fn message(&self, version: &str, edit: impl FnOnce(&mut Json)) -> Json {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let mut message = json!({
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Message": r#"{"notice":"published","org":"demo","env":"prod","revision":"1.2"}"#,
            "Timestamp": Timestamp::from_millis(0).plus(now).to_string(),
            "SignatureVersion": version,
            "SigningCertURL": CERTIFICATE,
            "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe",
            "MessageAttributes": {"org": {"Type": "String", "Value": "demo"}},
        });
        edit(&mut message);
        message["Signature"] = self.signature(&message).into();
        message
    }

    /// The text that is signed, put together here a second time, after SNS's documentation.
    fn signature(&self, message: &Json) -> String {
        let names: &[&str] = if message["Type"] == "Notification" {
            &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
        } else {
            &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
        };
        let mut text = String::new();
        for name in names {
            if let Some(value) = message[name].as_str() {
                text.push_str(&format!("{name}\n{value}\n"));
            }
        }
        let signature = if message["SignatureVersion"] == "1" {
            pkcs1v15::SigningKey::<Sha1>::new(self.key.clone()).sign(text.as_bytes())
        } else {
            pkcs1v15::SigningKey::<Sha256>::new(self.key.clone()).sign(text.as_bytes())
        };
        Base64::encode_string(&signature.to_bytes())
    }
}

impl PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

impl SigningKey for Signer {
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let key = pkcs1v15::SigningKey::<Sha256>::new(self.key.clone());
        Ok(key.sign(text).to_bytes().into_vec())
    }
}

/// A value of DER of under 64 KiB.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head: Vec<u8> = match content.len() {
        0..0x80 => vec![tag, length[1]],
        0x80..0x100 => vec![tag, 0x81, length[1]],
        _ => vec![tag, 0x82, length[0], length[1]],
    };
    [head.as_slice(), content].concat()
}
