//! Bounds on text that came from elsewhere and goes into an error.

/// Bytes of a message that quotes foreign input: a screenful, never the input itself.
pub(crate) const MAX_QUOTED_BYTES: usize = 400;

/// The text, cut at a character's boundary when it is long.
pub(crate) fn clipped(text: &str) -> String {
    if text.len() <= MAX_QUOTED_BYTES {
        return text.into();
    }
    let end = text.floor_char_boundary(MAX_QUOTED_BYTES);
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(clipped("short"), "short");
        let cut = clipped(&"é".repeat(MAX_QUOTED_BYTES));
        assert_eq!(cut.len(), MAX_QUOTED_BYTES + '…'.len_utf8());
    }
}
