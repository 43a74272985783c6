//! Values that say whose they are, and finding them again in whatever was made of them.

/// What begins a marker in a text. Letters and digits only: no encoding of a text changes them.
const TEXT: &str = "ffmark";
/// What begins a marker that is a number, of fifteen digits, so that a number with a fraction holds it exactly.
const NUMBER: &str = "7313";
/// Digits of a tenant in a number; of a generation seven are left.
const TENANT_DIGITS: usize = 4;
const GENERATION_DIGITS: usize = 7;
/// As many tenants as a number tells apart.
pub(super) const MAX_TENANTS: usize = 10_000;
const GENERATIONS: u64 = 10_000_000;

pub(super) fn text(tenant: usize, generation: u64) -> String {
    format!("{TEXT}{tenant}g{}z", generation % GENERATIONS)
}

pub(super) fn number(tenant: usize, generation: u64) -> i64 {
    let digits =
        format!("{NUMBER}{tenant:0TENANT_DIGITS$}{:0GENERATION_DIGITS$}", generation % GENERATIONS);
    // Fifteen digits are below 2^63.
    digits.parse().unwrap_or_default()
}

/// The tenants whose markers stand in a text.
pub(super) fn tenants(output: &str) -> impl Iterator<Item = usize> + '_ {
    let texts = output.match_indices(TEXT).filter_map(|(at, _)| in_text(output.get(at..)?));
    let numbers = output.match_indices(NUMBER).filter_map(|(at, _)| in_number(output, at));
    texts.chain(numbers)
}

fn in_text(rest: &str) -> Option<usize> {
    let rest = rest.strip_prefix(TEXT)?;
    let (tenant, rest) = rest.split_once('g')?;
    let (generation, _) = rest.split_once('z')?;
    generation.parse::<u64>().ok()?;
    tenant.parse().ok()
}

fn in_number(output: &str, at: usize) -> Option<usize> {
    // In the middle of a longer number it is none.
    let digit = |byte: u8| byte.is_ascii_digit();
    if output.as_bytes().get(at.wrapping_sub(1)).copied().is_some_and(digit) {
        return None;
    }
    let digits = output.get(at..)?;
    let length = digits.bytes().take_while(|byte| digit(*byte)).count();
    let whole = NUMBER.len() + TENANT_DIGITS + GENERATION_DIGITS;
    if length != whole {
        return None;
    }
    digits.get(NUMBER.len()..NUMBER.len() + TENANT_DIGITS)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_marked_is_found_in_whatever_was_made_of_it() {
        let (one, two) = (text(3, 77), number(12, 9_999_999));
        let output = format!("{{\"a\":\"<{one}>\",\"b\":{two},\"c\":[{}.0]}}", number(0, 0));
        assert_eq!(tenants(&output).collect::<Vec<_>>(), [3, 12, 0]);
        assert_eq!(number(9_999, GENERATIONS - 1).to_string().len(), 15);
        assert_eq!(number(9_999, GENERATIONS) as f64 as i64, number(9_999, 0));
        let none = ["", "ffmark", "ffmark1", "ffmark1g2", "ffmarkgz", "7313", "1731300010000001"];
        for text in none.into_iter().chain(["73130001000000", "7313000100000011", "é7313é"]) {
            assert_eq!(tenants(text).next(), None, "{text}");
        }
    }
}
