//! Keeping trust: from the pinned root keys to the current trust document, step by step where root
//! keys were changed since they were pinned.

use std::time::Duration;

use flagforge_flags::manifest::{Refusal, ScopeId, Thumbprint, Trust, verify_trust};
use tokio::time::Instant;

use crate::loader::LoadError;
use crate::origin::Origin;

/// How often the trust document is asked for when nothing else gives cause: a revoked online key is
/// known after that at the latest.
const ASK_EVERY: Duration = Duration::from_secs(5 * 60);
/// Documents walked through at once. One a week would need five years of sleep to fill it.
const MAX_STEPS: u64 = 256;
/// Numbers without a document, in a row, after which the walk ends: numbers may be skipped, but hardly so many.
const MAX_GAP: u64 = 8;

/// The trust that one reader has come to, and how.
#[derive(Debug)]
pub(crate) struct TrustKeeper {
    pinned: Vec<Thumbprint>,
    /// From the first document that the pinned roots signed to the current one, each vouching for the next.
    chain: Vec<Trust>,
    asked: Option<Instant>,
}

impl TrustKeeper {
    pub(crate) fn new(pinned: Vec<Thumbprint>) -> Self {
        Self { pinned, chain: Vec::new(), asked: None }
    }

    pub(crate) fn current(&self) -> Option<&Trust> {
        self.chain.last()
    }

    pub(crate) fn chain(&self) -> impl Iterator<Item = &str> {
        self.chain.iter().map(Trust::text)
    }

    /// Whether it is time to ask the origin again.
    pub(crate) fn due(&self) -> bool {
        self.chain.is_empty() || self.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY)
    }

    /// Makes it time to ask again, of another origin than before.
    pub(crate) const fn ask_again(&mut self) {
        self.asked = None;
    }

    /// Takes up a chain that was stored, verifying every step again.
    pub(crate) fn restore<'t>(
        &mut self,
        texts: impl Iterator<Item = &'t str>,
    ) -> Result<(), Refusal> {
        let mut chain: Vec<Trust> = Vec::new();
        for text in texts {
            let next = match chain.last() {
                Some(held) => held.succeed(text.as_bytes())?,
                None => verify_trust(text.as_bytes(), &self.pinned)?,
            };
            chain.push(next);
        }
        self.chain = chain;
        Ok(())
    }

    /// Asks the origin for the current document. Answers whether it is a new one. After an error the
    /// trust held before stands, or that of a verified step towards the current one.
    pub(crate) async fn refresh(
        &mut self,
        origin: &dyn Origin,
        scope: &ScopeId,
    ) -> Result<bool, LoadError> {
        let offered =
            origin.trust(scope, None).await?.ok_or(LoadError::Absent("trust document"))?;
        self.asked = Some(Instant::now());
        if self.current().is_some_and(|held| held.text().as_bytes() == offered) {
            return Ok(false);
        }
        let refusal = match self.step(&offered) {
            Ok(()) => return Ok(true),
            Err(refusal) => refusal,
        };
        // Only too few signatures of the roots that are held can be cured by the documents between.
        if !matches!(refusal, Refusal::TooFewSignatures { .. }) {
            return Err(refusal.into());
        }
        self.walk(origin, scope, &offered).await?.then_some(true).ok_or(refusal.into())
    }

    /// Goes to the document, if the last one of the chain, or the pinned roots, vouch for it.
    fn step(&mut self, text: &[u8]) -> Result<(), Refusal> {
        match self.current() {
            Some(held) => {
                let next = held.succeed(text)?;
                self.chain.push(next);
            }
            None => self.chain.push(verify_trust(text, &self.pinned)?),
        }
        self.shorten();
        Ok(())
    }

    /// Forgets the steps before a document that the pinned roots signed themselves.
    fn shorten(&mut self) {
        let direct = |trust: &Trust| verify_trust(trust.text().as_bytes(), &self.pinned).is_ok();
        if self.chain.len() > 1 && self.chain.last().is_some_and(direct) {
            self.chain.drain(..self.chain.len() - 1);
        }
    }

    /// Walks up the numbered documents until one vouches for the offered one. Answers whether it got there.
    async fn walk(
        &mut self,
        origin: &dyn Origin,
        scope: &ScopeId,
        offered: &[u8],
    ) -> Result<bool, LoadError> {
        let first = self.current().map_or(1, |held| held.claims().number.saturating_add(1));
        let mut gap = 0;
        for number in first..first.saturating_add(MAX_STEPS) {
            let Some(text) = origin.trust(scope, Some(number)).await? else {
                gap += 1;
                if gap >= MAX_GAP {
                    break;
                }
                continue;
            };
            gap = 0;
            // A document from before the pinned roots' time is passed over.
            if self.step(&text).is_ok() && (text == offered || self.step(offered).is_ok()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
