//! The variants of a delivery key that its record remembers: delivered as repeats, and seen before the first delivery.

use crate::event::Variant;

/// Unsigned values that a record remembers of attempts before it was delivered. Four cover a provider's own webhook, a
/// second hook of the same app and two strangers; an attacker can fill the rest, which only costs a marked repeat.
pub(super) const MAX_PENDING: usize = 4;

const DELIVERED: u8 = b'+';
const PENDING: u8 = b'?';
const REDELIVERY: u8 = b'*';

/// The marks of one record. In Redis they stand behind its fifth word: `+` and 11 characters for a delivered variant, `?`
/// and 11 characters for a pending one, `*` while an operator's redelivery is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    delivered: Vec<Variant>,
    pending: Vec<Variant>,
}

impl Marks {
    /// Notes the values of an attempt that came before the delivery was done. Returns whether they were noted now.
    pub(super) fn note_pending(&mut self, variant: Variant) -> bool {
        let noted = self.pending.len() < MAX_PENDING && !self.pending.contains(&variant);
        if noted {
            self.pending.push(variant);
        }
        noted
    }

    /// Notes a delivered repeat as the newest of at most `max`; returns those that fell off.
    pub(super) fn note_delivered(&mut self, variant: Variant, max: usize) -> Vec<Variant> {
        self.pending.retain(|other| *other != variant);
        self.delivered.retain(|other| *other != variant);
        self.delivered.push(variant);
        let beyond = self.delivered.len().saturating_sub(max.max(1));
        self.delivered.drain(..beyond).collect()
    }

    /// The record is delivered under this variant, which is not pending any more.
    pub(super) fn forget_pending(&mut self, variant: Variant) {
        self.pending.retain(|other| *other != variant);
    }

    /// Repeats that the record remembers as delivered.
    pub(super) fn delivered(&self) -> &[Variant] {
        &self.delivered
    }

    /// Variants that came before the record was delivered.
    pub(super) fn pending(&self) -> &[Variant] {
        &self.pending
    }

    pub(super) fn is_empty(&self) -> bool {
        self.delivered.is_empty() && self.pending.is_empty()
    }

    /// Splits the fifth word of a record in Redis into the word itself, its marks, and whether a redelivery is under way.
    pub(super) fn read(word: &[u8]) -> Option<(&[u8], Self, bool)> {
        let at = word
            .iter()
            .position(|byte| matches!(*byte, DELIVERED | PENDING | REDELIVERY));
        let (base, mut rest) = word.split_at(at.unwrap_or(word.len()));
        let (mut marks, mut redelivery) = (Self::default(), false);
        while let Some((&kind, after)) = rest.split_first() {
            if kind == REDELIVERY {
                (redelivery, rest) = (true, after);
                continue;
            }
            let (text, after) = after.split_at_checked(Variant::TEXT_LENGTH)?;
            let variant = Variant::parse(text)?;
            match kind {
                DELIVERED => marks.delivered.push(variant),
                PENDING => marks.pending.push(variant),
                _ => return None,
            }
            rest = after;
        }
        Some((base, marks, redelivery))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Timestamp;

    fn variant(number: i64) -> Variant {
        Variant::of_time(Timestamp::from_secs(number))
    }

    #[test]
    fn the_oldest_repeat_falls_off_and_one_that_comes_again_is_the_newest() {
        let mut marks = Marks::default();
        for number in 0..4 {
            assert!(marks.note_delivered(variant(number), 4).is_empty());
        }
        assert!(marks.note_delivered(variant(0), 4).is_empty());
        assert_eq!(marks.note_delivered(variant(9), 4), [variant(1)]);
        assert_eq!(marks.delivered(), [variant(2), variant(3), variant(0), variant(9)]);
    }

    #[test]
    fn four_pending_variants_are_remembered_and_a_delivered_one_is_pending_no_more() {
        let mut marks = Marks::default();
        for number in 0..6 {
            assert_eq!(marks.note_pending(variant(number)), number < 4, "{number}");
        }
        assert!(!marks.note_pending(variant(0)));
        marks.note_delivered(variant(0), 4);
        assert_eq!(marks.pending().len(), 3);
    }

    #[test]
    fn a_word_of_redis_is_read_strictly() {
        let text = |number| {
            let mut text = String::new();
            variant(number).write_text(&mut text);
            text
        };
        let word = format!("0abc+{}*?{}", text(1), text(2));
        let (base, marks, redelivery) = Marks::read(word.as_bytes()).expect("marks");
        assert_eq!((base, redelivery), (&b"0abc"[..], true));
        assert_eq!(
            (marks.delivered(), marks.pending()),
            (&[variant(1)][..], &[variant(2)][..])
        );
        assert_eq!(Marks::read(b"0"), Some((&b"0"[..], Marks::default(), false)));
        for bad in ["0+short", "0+AAAAAAAAAA!", "0+AAAAAAAAAAAx"] {
            assert!(Marks::read(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
