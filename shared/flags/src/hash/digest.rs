//! The numbers that vendors read off SHA-1, MD5 and SHA-256 of several pieces as if they were one text.

use sha2::Digest as _;

/// The first eight bytes as a big-endian number.
pub(super) fn sha1_first<'t>(pieces: impl IntoIterator<Item = &'t [u8]>) -> u64 {
    let digest = sha1(pieces);
    u64::from_be_bytes(*digest.first_chunk().unwrap_or(&[0; 8]))
}

/// The last four bytes as a big-endian number.
pub(super) fn sha1_last<'t>(pieces: impl IntoIterator<Item = &'t [u8]>) -> u32 {
    let digest = sha1(pieces);
    u32::from_be_bytes(*digest.last_chunk().unwrap_or(&[0; 4]))
}

/// The first eight bytes as a big-endian number.
pub(super) fn sha256_first<'t>(pieces: impl IntoIterator<Item = &'t [u8]>) -> u64 {
    let mut state = sha2::Sha256::new();
    pieces.into_iter().for_each(|piece| state.update(piece));
    let digest: [u8; 32] = state.finalize().into();
    u64::from_be_bytes(*digest.first_chunk().unwrap_or(&[0; 8]))
}

/// The whole as a big-endian number.
pub(super) fn md5<'t>(pieces: impl IntoIterator<Item = &'t [u8]>) -> u128 {
    let mut state = md5::Md5::new();
    pieces.into_iter().for_each(|piece| state.update(piece));
    u128::from_be_bytes(state.finalize().into())
}

fn sha1<'t>(pieces: impl IntoIterator<Item = &'t [u8]>) -> [u8; 20] {
    let mut state = sha1::Sha1::new();
    pieces.into_iter().for_each(|piece| state.update(piece));
    state.finalize().into()
}
