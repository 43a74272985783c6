//! FNV-1a, 32 bits.

/// What the hash of no bytes is.
pub(super) const BASIS: u32 = 0x811c_9dc5;

/// The hash of a text that goes on where another, of hash `before`, ended. [`BASIS`] begins.
pub(super) fn fnv1a(before: u32, text: &[u8]) -> u32 {
    text.iter().fold(before, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
