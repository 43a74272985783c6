//! The trust document: which online keys may certify signing keys, in which epoch. Signed by offline
//! root keys, of which a reader pins the thumbprints and nothing else.

use serde::{Deserialize, Serialize};

use super::jws::{self, GeneralWire, Header, Jws, SignatureWire};
use super::{PublicKey, Refusal, SecretKey, Thumbprint};
use crate::time::Timestamp;

/// Bytes of a trust document: 16 roots and 16 online keys of 130 bytes each in base64, and 32 signatures
/// of 250 bytes, come to 14 KB.
pub const MAX_TRUST_BYTES: usize = 64 * 1024;
/// Root keys, and online keys, of one trust document. Keys of more people than this have another problem.
pub const MAX_TRUST_KEYS: usize = 16;
/// Signatures of one trust document: those of all the old roots and of all the new ones.
pub const MAX_TRUST_SIGNATURES: usize = 2 * MAX_TRUST_KEYS;

const WHAT: &str = "trust document";
const TYPE: &str = "flagforge-trust+jwt";

/// What a trust document says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustClaims {
    /// 1: the format described here.
    pub format: u32,
    /// Grows by at least one with every document.
    pub number: u64,
    /// Manifests carry it. Raising it makes every older manifest worthless, whatever its revision.
    pub epoch: u64,
    /// When it was signed.
    pub issued: Timestamp,
    /// When its authors promise to have replaced it. A reader goes on past it, and says that it is stale.
    pub expires: Timestamp,
    /// How many of `roots` must sign: 1 or more.
    pub threshold: u16,
    /// The offline root keys, 1 to 16.
    pub roots: Vec<PublicKey>,
    /// The online keys, 1 to 16: they certify signing keys.
    pub online: Vec<PublicKey>,
}

impl TrustClaims {
    fn check(&self) -> Result<(), Refusal> {
        let malformed = |why: &str| Err(Refusal::malformed(WHAT, why));
        Refusal::over("number of root keys", MAX_TRUST_KEYS, self.roots.len())?;
        Refusal::over("number of online keys", MAX_TRUST_KEYS, self.online.len())?;
        if self.format != 1 {
            return Err(Refusal::UnknownFormat { what: WHAT, format: self.format.into() });
        }
        if self.online.is_empty() {
            return malformed("it names no online key");
        }
        if self.threshold == 0 || usize::from(self.threshold) > self.roots.len() {
            return malformed("its threshold is not between 1 and the number of its roots");
        }
        // A key that stood twice in the list would count twice.
        let twice = |keys: &[PublicKey]| {
            keys.iter().enumerate().any(|(i, key)| keys.iter().skip(i + 1).any(|k| k == key))
        };
        if twice(&self.roots) || twice(&self.online) {
            return malformed("it names a key twice");
        }
        if self.roots.iter().any(|root| self.online.contains(root)) {
            return malformed("a root key is also an online key");
        }
        if self.expires <= self.issued {
            malformed("it expires before it is issued")
        } else {
            Ok(())
        }
    }
}

/// Signs a trust document with every key of `roots`, in the general JSON serialization. Whatever a
/// reader would refuse for its form is refused here. Takes time (a signature each), blocks on nothing.
pub fn sign_trust(claims: &TrustClaims, roots: &[&SecretKey]) -> Result<String, Refusal> {
    claims.check()?;
    Refusal::over("number of signatures", MAX_TRUST_SIGNATURES, roots.len())?;
    let payload = jws::encode_json(WHAT, claims)?;
    let mut signatures = Vec::with_capacity(roots.len());
    for root in roots {
        let header = Header::new(TYPE, root.public().thumbprint(), None);
        let protected = jws::encode_json(WHAT, &header)?;
        let signature = root.sign(format!("{protected}.{payload}").as_bytes());
        signatures.push(SignatureWire { protected, signature: jws::encode(&signature) });
    }
    serde_json::to_string(&GeneralWire { payload, signatures })
        .map_err(|e| Refusal::malformed(WHAT, e))
}

/// A verified trust document.
#[derive(Debug, Clone)]
pub struct Trust {
    claims: TrustClaims,
    text: Box<str>,
}

/// Verifies a trust document at first contact: it needs its own threshold of signatures, by roots that it
/// names and whose thumbprints are `pinned`. A reader that holds a verified document uses
/// [`Trust::succeed`] instead.
///
/// The threshold of the first document is its authors' word: with several pins and a stolen root key a
/// document of threshold 1 passes here. Whoever wants `k` signatures from the first contact on pins
/// through a bundled trust document, which only `succeed` replaces.
pub fn verify_trust(text: &[u8], pinned: &[Thumbprint]) -> Result<Trust, Refusal> {
    let offer = Offer::read(text)?;
    let trusted: Vec<PublicKey> =
        offer.claims.roots.iter().copied().filter(|r| pinned.contains(&r.thumbprint())).collect();
    offer.need("the pinned roots", &trusted, offer.claims.threshold)?;
    Ok(offer.accept())
}

impl Trust {
    /// What the document says.
    pub const fn claims(&self) -> &TrustClaims {
        &self.claims
    }

    /// The document's text as it was received, to be kept or passed on.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether its authors promised to have replaced it by now. Served on, marked stale.
    pub fn expired(&self, now: Timestamp) -> bool {
        now >= self.claims.expires
    }

    /// The document that follows this one: of a higher number and no lower epoch, signed by the threshold
    /// of this one's roots *and* by the threshold of its own (TUF specification §5.3.4–5.3.5).
    pub fn succeed(&self, text: &[u8]) -> Result<Self, Refusal> {
        let offer = Offer::read(text)?;
        let (held, offered) = (&self.claims, &offer.claims);
        offer.need("the held document's roots", &held.roots, held.threshold)?;
        offer.need("its own roots", &offered.roots, offered.threshold)?;
        if offered.number <= held.number || offered.epoch < held.epoch {
            return Err(Refusal::TrustRollback {
                held: held.number,
                held_epoch: held.epoch,
                offered: offered.number,
                offered_epoch: offered.epoch,
            });
        }
        Ok(offer.accept())
    }

    pub(super) fn online(&self, thumbprint: &Thumbprint) -> Option<&PublicKey> {
        self.claims.online.iter().find(|key| key.thumbprint() == *thumbprint)
    }
}

/// A document that was read and not yet believed.
struct Offer<'t> {
    text: &'t str,
    wire: GeneralWire,
    claims: TrustClaims,
}

impl<'t> Offer<'t> {
    fn read(text: &'t [u8]) -> Result<Self, Refusal> {
        Refusal::over(WHAT, MAX_TRUST_BYTES, text.len())?;
        let text = jws::utf8(WHAT, text)?;
        let wire: GeneralWire = jws::parse(WHAT, text.as_bytes())?;
        Refusal::over("number of signatures", MAX_TRUST_SIGNATURES, wire.signatures.len())?;
        let claims: TrustClaims = jws::parse_format_1(WHAT, &jws::decode(WHAT, &wire.payload)?)?;
        claims.check()?;
        Ok(Self { text, wire, claims })
    }

    /// Counts the keys of `trusted` that signed; a key counts once however often it signed. A signature by
    /// an unknown key, or with an algorithm that a later reader may know, counts for nothing and harms
    /// nothing; a bad one by a trusted key is an attack or a defect, and refuses.
    fn need(&self, whose: &'static str, trusted: &[PublicKey], needed: u16) -> Result<(), Refusal> {
        let mut signers: Vec<Thumbprint> = Vec::new();
        for signature in &self.wire.signatures {
            let jws = match Jws::one_of(WHAT, TYPE, &self.wire.payload, signature) {
                Err(Refusal::Algorithm { .. }) => continue,
                read => read?,
            };
            let kid = jws.header.kid;
            let Some(key) = trusted.iter().find(|key| key.thumbprint() == kid) else { continue };
            jws.verify(key)?;
            if !signers.contains(&kid) {
                signers.push(kid);
            }
        }
        let valid = u16::try_from(signers.len()).unwrap_or(u16::MAX);
        if valid >= needed {
            Ok(())
        } else {
            Err(Refusal::TooFewSignatures { whose, needed, valid })
        }
    }

    fn accept(self) -> Trust {
        Trust { text: self.text.into(), claims: self.claims }
    }
}
