//! Finds the first byte of some kinds, eight bytes at a time: what reading JSON and forms spends most on.

const ONES: u64 = u64::from_le_bytes([1; 8]);

/// Eight bytes of a text.
#[derive(Clone, Copy)]
pub struct Word(u64);

impl Word {
    /// Marks every byte that is less than `limit` (at most 128), and perhaps some above the first of them.
    #[inline]
    pub const fn below(self, limit: u8) -> u64 {
        self.0.wrapping_sub(ONES * limit as u64) & !self.0
    }

    /// Marks every byte that is this one, and perhaps some above the first of them.
    #[inline]
    pub const fn is(self, byte: u8) -> u64 {
        self.flipped(byte).below(1)
    }

    /// Every byte with these bits flipped.
    #[inline]
    pub const fn flipped(self, bits: u8) -> Self {
        Self(self.0 ^ (ONES * bits as u64))
    }
}

/// Where the first byte from `at` on stands that `marks` marks; the length if there is none. Made of [`Word::below`] and
/// [`Word::is`], it must not mark `0xff`.
#[inline]
pub fn first(text: &[u8], mut at: usize, marks: impl Fn(Word) -> u64) -> usize {
    let marked = |bytes| marks(Word(u64::from_le_bytes(bytes))) & (ONES << 7);
    while let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let found = marked(*bytes);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    let mut last = [0xff; 8];
    last[..rest.len()].copy_from_slice(rest);
    at + rest.len().min(marked(last).trailing_zeros() as usize / 8)
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
                first(&text, from, |word| word.flipped(2).below(0x21) | word.is(b'\\')),
                plain(&|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
            );
            prop_assert_eq!(first(&text, from, |word| word.is(0xfe)), plain(&|byte| byte == 0xfe));
            prop_assert_eq!(first(&text, from, |word| word.below(0x80)), plain(&|byte| byte < 0x80));
        }

        #[test]
        fn no_neighbour_hides_a_byte_or_looks_like_it(before in 0_usize..17, wanted in 0_u8..0xff, beside in any::<u8>()) {
            let text: Vec<u8> = std::iter::repeat_n(beside, before).chain([wanted]).chain([beside; 9]).collect();
            let at = if beside == wanted { 0 } else { before };
            prop_assert_eq!(first(&text, 0, |word| word.is(wanted)), at);
        }
    }
}
