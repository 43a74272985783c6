//! MurmurHash3 of several pieces as if they were one text: the 32-bit form for x86 and the 128-bit
//! form for x64 (Austin Appleby, public domain; the reference `MurmurHash3.cpp`).

/// A text in pieces, read in blocks across their seams.
struct Blocks<'t, const N: usize> {
    pieces: [&'t [u8]; N],
}

impl<const N: usize> Blocks<'_, N> {
    /// Fills `block` with the next bytes; how many there were.
    fn fill(&mut self, block: &mut [u8]) -> usize {
        let mut filled = 0;
        for piece in &mut self.pieces {
            let Some(room) = block.get_mut(filled..) else { break };
            let (taken, left) = piece.split_at(piece.len().min(room.len()));
            for (place, byte) in room.iter_mut().zip(taken) {
                *place = *byte;
            }
            filled += taken.len();
            *piece = left;
        }
        filled
    }
}

/// MurmurHash3 x86 32.
pub(super) fn murmur3_32<const N: usize>(pieces: [&[u8]; N], seed: u32) -> u32 {
    let mix = |block: [u8; 4]| {
        u32::from_le_bytes(block)
            .wrapping_mul(0xcc9e_2d51)
            .rotate_left(15)
            .wrapping_mul(0x1b87_3593)
    };
    let mut blocks = Blocks { pieces };
    let (mut hash, mut length) = (seed, 0_u32);
    loop {
        let mut block = [0; 4];
        let filled = blocks.fill(&mut block);
        // Lengths past 2^32 wrap, as the reference's `int` would; attributes are far shorter.
        length = length.wrapping_add(u32::try_from(filled).unwrap_or(0));
        hash ^= mix(block);
        if filled < block.len() {
            break;
        }
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    hash ^= length;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// The first 64 bits of MurmurHash3 x64 128.
pub(super) fn murmur3_128_first<const N: usize>(pieces: [&[u8]; N], seed: u32) -> u64 {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let mix_1 = |k: u64| k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let mix_2 = |k: u64| k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let last = |mut k: u64| {
        k = (k ^ (k >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        k = (k ^ (k >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        k ^ (k >> 33)
    };
    let mut blocks = Blocks { pieces };
    let (mut h1, mut h2, mut length) = (u64::from(seed), u64::from(seed), 0_u64);
    loop {
        let mut block = [0; 16];
        let filled = blocks.fill(&mut block);
        length = length.wrapping_add(u64::try_from(filled).unwrap_or(0));
        let both = u128::from_le_bytes(block);
        // The low half, then the high half: exact, not a loss.
        let (k1, k2) = (both as u64, (both >> 64) as u64);
        h1 ^= mix_1(k1);
        if filled < block.len() {
            h2 ^= mix_2(k2);
            break;
        }
        h1 = h1.rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 ^= mix_2(k2);
        h2 = h2.rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    h1 ^= length;
    h2 ^= length;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    h1 = last(h1);
    h2 = last(h2);
    h1.wrapping_add(h2)
}
