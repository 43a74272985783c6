//! Signers: what they sign verifies with the key they name.

use std::sync::Arc;

use flagforge_platform::ports::Signer;

pub(crate) async fn a_signature_verifies_with_the_public_key_and_no_other_message(
    signer: Arc<dyn Signer>,
) {
    let key = signer.public_key().await.unwrap();
    let signature = signer.sign(b"a message").await.unwrap();
    assert!(key.verify(b"a message", &signature));
    assert!(!key.verify(b"a messagf", &signature));
    let mut bent = signature;
    bent[40] ^= 1;
    assert!(!key.verify(b"a message", &bent));
}

pub(crate) async fn messages_of_any_length_are_signed(signer: Arc<dyn Signer>) {
    let key = signer.public_key().await.unwrap();
    // KMS takes at most 4,096 bytes of a message, and none of zero: a signer hashes first.
    for length in [0, 1, 32, 4_096, 4_097, 100_000] {
        let message = vec![b'm'; length];
        let signature = signer.sign(&message).await.unwrap();
        assert!(key.verify(&message, &signature), "{length} bytes");
    }
}

pub(crate) async fn the_public_key_stays(signer: Arc<dyn Signer>) {
    let first = signer.public_key().await.unwrap();
    signer.sign(b"a message").await.unwrap();
    assert_eq!(signer.public_key().await.unwrap(), first);
}
