//! Finds the first byte of a few kinds, eight bytes at a time: what reading JSON and forms spends most on.

const ONES: u64 = u64::from_le_bytes([1; 8]);

/// Where the first byte from `at` on stands that is one of `bytes` or less than `LIMIT` (at most 128); the length if there is
/// none.
pub fn first_of<const COUNT: usize, const LIMIT: u8>(text: &[u8], mut at: usize, bytes: [u8; COUNT]) -> usize {
    // The top bit of every byte that is less than `limit`. Above the first of them others may be set too.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*word);
        let found = bytes.iter().fold(below(word, LIMIT), |found, byte| {
            found | below(word ^ (ONES * u64::from(*byte)), 1)
        });
        let found = found & (ONES << 7);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while let Some(byte) = text.get(at)
        && *byte >= LIMIT
        && !bytes.contains(byte)
    {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_search_byte_by_byte_finds(text in proptest::collection::vec(any::<u8>(), 0..40), from in 0_usize..40) {
            let from = from.min(text.len());
            let plain = |is: &dyn Fn(u8) -> bool| {
                from + text[from..].iter().position(|byte| is(*byte)).unwrap_or(text.len() - from)
            };
            prop_assert_eq!(
                first_of::<2, 0x20>(&text, from, *b"\"\\"),
                plain(&|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
            );
            prop_assert_eq!(first_of::<1, 0>(&text, from, [0xff]), plain(&|byte| byte == 0xff));
            prop_assert_eq!(first_of::<0, 0x80>(&text, from, []), plain(&|byte| byte < 0x80));
        }

        #[test]
        fn no_neighbour_hides_a_byte(before in 0_usize..17, wanted in any::<u8>(), beside in any::<u8>()) {
            let text: Vec<u8> = std::iter::repeat_n(beside, before).chain([wanted]).chain([beside; 9]).collect();
            let at = if beside == wanted { 0 } else { before };
            prop_assert_eq!(first_of::<1, 0>(&text, 0, [wanted]), at);
        }
    }
}
