//! CRC-32 as in IEEE 802.3 (polynomial 0x04C11DB7, bits reflected), a byte at a time.

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        // Bounded by 256: no loss.
        let mut remainder = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            let carry = remainder & 1;
            remainder >>= 1;
            if carry == 1 {
                remainder ^= 0xedb8_8320;
            }
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
};

/// The checksum of a text that goes on where another, of checksum `before`, ended. 0 begins.
pub(super) fn crc32(before: u32, text: &[u8]) -> u32 {
    !text.iter().fold(!before, |remainder, byte| {
        let [low, ..] = remainder.to_le_bytes();
        let step = TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default();
        (remainder >> 8) ^ step
    })
}
