//! Headers that say how they want to be verified.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use flagforge_flags::manifest::SecretKey;
use serde_json::{Value as Json, json};

use super::{ROOT, Scene};
use crate::kit::secret_key;

type Edit = Box<dyn Fn(&mut Json)>;

/// The next root with its header edited, and signed again by whomever.
fn forged(root: &[u8], signer: Option<&SecretKey>, edit: &dyn Fn(&mut Json)) -> Vec<u8> {
    let text = String::from_utf8(root.to_vec()).unwrap();
    let [header, payload, signature] = text.split('.').collect::<Vec<_>>().try_into().unwrap();
    let header = Base64UrlUnpadded::decode_vec(header).unwrap();
    let mut header: Json = serde_json::from_slice(&header).unwrap();
    edit(&mut header);
    let header = Base64UrlUnpadded::encode_string(header.to_string().as_bytes());
    let message = format!("{header}.{payload}");
    let signature = match signer {
        Some(key) => Base64UrlUnpadded::encode_string(&key.sign(message.as_bytes())),
        None => signature.to_owned(),
    };
    format!("{message}.{signature}").into_bytes()
}

#[tokio::test]
async fn no_header_chooses_how_it_is_verified() {
    let mut scene = Scene::new().await;
    let (root, signing, stranger) =
        (scene.next[ROOT].clone(), scene.publisher.signing.clone(), secret_key(99));
    let of = json!(stranger.public());
    let edits: Vec<(&str, Edit)> = vec![
        ("none", Box::new(|h| h["alg"] = json!("none"))),
        ("HS256", Box::new(|h| h["alg"] = json!("HS256"))),
        ("ES384", Box::new(|h| h["alg"] = json!("ES384"))),
        ("RS256", Box::new(|h| h["alg"] = json!("RS256"))),
        ("a jwk", Box::new(move |h| h["jwk"] = of.clone())),
        ("an x5c", Box::new(|h| h["x5c"] = json!(["MIIB"]))),
        ("a jku", Box::new(|h| h["jku"] = json!("http://127.0.0.1:1/keys"))),
        ("crit", Box::new(|h| h["crit"] = json!(["alg"]))),
        ("another type", Box::new(|h| h["typ"] = json!("flagforge-key+jwt"))),
    ];
    for (what, edit) in &edits {
        for signer in [None, Some(&stranger)] {
            let offered = scene.with(ROOT, forged(&root, signer, edit.as_ref()));
            scene.refuses(what, &offered).await;
        }
    }
    // Without any signature, and with an empty one.
    let unsigned = forged(&root, None, &|h| h["alg"] = json!("none"));
    let end = unsigned.iter().rposition(|byte| *byte == b'.').unwrap();
    for bytes in [&unsigned[..end], &unsigned[..=end]] {
        let offered = scene.with(ROOT, bytes.to_vec());
        scene.refuses("none, unsigned", &offered).await;
    }
    // Signed by the right key, a header may say what nobody asks for; it may not say how.
    for (what, edit) in &edits {
        let offered = scene.with(ROOT, forged(&root, Some(&signing), edit.as_ref()));
        if ["a jwk", "an x5c", "a jku"].contains(what) {
            scene.origin.offer(&offered);
            scene.loader.refresh().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        } else {
            scene.refuses(what, &offered).await;
        }
    }
}
