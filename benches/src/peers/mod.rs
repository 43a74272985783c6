//! Other vendors' engines, each asked in the cheapest way that its public interface has.

pub(crate) mod eppo;
pub(crate) mod growthbook;
pub(crate) mod launchdarkly;
pub(crate) mod yggdrasil;
