//! The trust document as the platform holds it: stored, not decided. Readers hold the pins.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use bytes::Bytes;
use flagforge_flags::manifest::{MAX_TRUST_BYTES, Thumbprint, Trust, TrustClaims, verify_trust};
use serde::Deserialize;

use crate::Platform;
use crate::caller::Caller;
use crate::error::Error;
use crate::ports::{ETag, Fetched, PutIf};

/// Where the current document stands; every number also stands under `trust/<number>.json`.
pub(crate) const CURRENT: &str = "trust.json";

/// Reads a document and checks it against itself: signed by the roots it names. Whether those are the
/// right roots is for its readers, who pin them.
pub(crate) fn consistent(text: &[u8]) -> Result<Trust, Error> {
    #[derive(Deserialize)]
    struct Envelope {
        payload: String,
    }
    let refuse = |reason: String| Error::invalid("the trust document", reason);
    if text.len() > MAX_TRUST_BYTES {
        return Err(Error::OverLimit {
            field: "the trust document".to_owned(),
            unit: "bytes",
            limit: MAX_TRUST_BYTES as u64,
            actual: text.len() as u64,
        });
    }
    let envelope: Envelope = serde_json::from_slice(text).map_err(|e| refuse(e.to_string()))?;
    let payload = Base64UrlUnpadded::decode_vec(&envelope.payload)
        .map_err(|_| refuse("its payload is not base64url".to_owned()))?;
    let claims: TrustClaims =
        serde_json::from_slice(&payload).map_err(|e| refuse(e.to_string()))?;
    let own: Vec<Thumbprint> = claims.roots.iter().map(|root| root.thumbprint()).collect();
    verify_trust(text, &own).map_err(|refusal| refuse(refusal.to_string()))
}

pub(crate) fn numbered(number: u64) -> String {
    format!("trust/{number}.json")
}

impl Platform {
    /// The current trust document and its tag.
    pub(crate) async fn trust(&self) -> Result<Option<(Trust, ETag)>, Error> {
        match self.objects().get(CURRENT, None).await? {
            Fetched::Found { bytes, etag } => Ok(Some((consistent(&bytes)?, etag))),
            Fetched::NotModified | Fetched::Absent => Ok(None),
        }
    }

    /// Installs a trust document: the first, or one that succeeds the current (signed by the old roots and
    /// the new). Repeating it is harmless.
    pub async fn install_trust(&self, caller: &Caller, text: Bytes) -> Result<u64, Error> {
        caller.may_operate()?;
        let offered = consistent(&text)?;
        let current = self.trust().await?;
        let condition = match &current {
            None => PutIf::Absent,
            Some((current, _)) if current.text().as_bytes() == &text[..] => {
                return Ok(current.claims().number);
            }
            Some((current, etag)) => {
                current
                    .succeed(&text)
                    .map_err(|refusal| Error::invalid("the trust document", refusal))?;
                PutIf::Matches(etag.clone())
            }
        };
        let number = offered.claims().number;
        // By number first: a reader that walks the chain finds every link once the current names it.
        self.objects().put(&numbered(number), text.clone(), "application/json", PutIf::Any).await?;
        self.objects().put(CURRENT, text, "application/json", condition).await?;
        tracing::info!(number, by = ?caller.actor, "a trust document was installed");
        Ok(number)
    }
}
