//! The last requests, for the admin page and `tail`: their log lines in two bounded rings, so that no flood of refused
//! requests pushes the deliveries out.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bytes of lines that each of the two rings keeps: 4 MiB in all.
const RING: usize = 2 * 1024 * 1024;

/// Which ring a request's line is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// What a sender proved to be its own.
    Deliveries,
    /// What anybody can send.
    Refused,
}

/// One request that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its place in the order of all requests of this process, from 1.
    pub number: u64,
    /// The ring that keeps it.
    pub shelf: Shelf,
    /// Its log line as JSON, with `destinations` beside the log's own keys.
    pub line: String,
}

/// What came after a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct After {
    /// The next ones, oldest first.
    pub kept: Vec<Kept>,
    /// How many came before the last of these and are no longer kept.
    pub lost: u64,
    /// Where to go on: the number of the last one, kept or lost.
    pub upto: u64,
}

/// The last requests. A clone is another handle on the same rings.
///
/// Readers pull: a request is written down under a short lock and wakes nobody, so a slow reader costs a worker nothing.
#[derive(Clone)]
pub struct Recent(Arc<Mutex<Rings>>);

struct Rings {
    last: u64,
    deliveries: Ring,
    refused: Ring,
}

/// Lines in one piece of memory; the oldest make room.
struct Ring {
    // Zeroed memory that the operating system backs only once it is written to.
    bytes: Box<[u8]>,
    entries: VecDeque<Entry>,
    // Where the next line goes.
    at: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    number: u64,
    start: usize,
    len: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self::new(RING)
    }
}

impl Recent {
    /// Empty, with so many bytes for each of the two rings.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(Rings {
            last: 0,
            deliveries: Ring::new(bytes),
            refused: Ring::new(bytes),
        })))
    }

    /// Keeps a line. One that is longer than a quarter of the ring is counted as lost.
    pub fn push(&self, on: Shelf, line: &[u8]) {
        let mut rings = self.rings();
        rings.last += 1;
        let number = rings.last;
        match on {
            Shelf::Deliveries => rings.deliveries.push(number, line),
            Shelf::Refused => rings.refused.push(number, line),
        }
    }

    /// The number of the last request.
    pub fn last(&self) -> u64 {
        self.rings().last
    }

    /// At most so many that came after this number.
    pub fn after(&self, number: u64, at_most: usize) -> After {
        let rings = self.rings();
        let mut deliveries = rings.deliveries.after(number).peekable();
        let mut refused = rings.refused.after(number).peekable();
        let mut kept = Vec::new();
        while kept.len() < at_most {
            let earlier = match (deliveries.peek(), refused.peek()) {
                (Some(one), Some(other)) => one.number < other.number,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            let (ring, on, next) = if earlier {
                (&rings.deliveries, Shelf::Deliveries, deliveries.next())
            } else {
                (&rings.refused, Shelf::Refused, refused.next())
            };
            kept.extend(next.map(|entry| ring.kept(entry, on)));
        }
        let upto = match kept.last() {
            Some(last) if kept.len() == at_most => last.number,
            _ => rings.last.max(number),
        };
        let lost = (upto - number).saturating_sub(kept.len() as u64);
        After { kept, lost, upto }
    }

    /// At most so many of one ring that came before this number, newest first.
    pub fn before(&self, on: Shelf, number: u64, at_most: usize) -> Vec<Kept> {
        let rings = self.rings();
        let ring = match on {
            Shelf::Deliveries => &rings.deliveries,
            Shelf::Refused => &rings.refused,
        };
        let end = ring.entries.partition_point(|entry| entry.number < number);
        let newest_first = ring.entries.range(..end).rev();
        newest_first.take(at_most).map(|entry| ring.kept(*entry, on)).collect()
    }

    // Whoever panicked while it held the lock had at worst written half a line.
    fn rings(&self) -> MutexGuard<'_, Rings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn new(bytes: usize) -> Self {
        Self {
            bytes: vec![0; bytes].into(),
            entries: VecDeque::new(),
            at: 0,
        }
    }

    fn push(&mut self, number: u64, line: &[u8]) {
        if line.len() > self.bytes.len() / 4 {
            return;
        }
        if self.at + line.len() > self.bytes.len() {
            // What lies between here and the end is the oldest there is.
            let at = self.at;
            self.make_room(|entry| entry.start >= at);
            self.at = 0;
        }
        let (start, end) = (self.at, self.at + line.len());
        self.make_room(|entry| entry.start < end && start < entry.start + entry.len);
        self.bytes[start..end].copy_from_slice(line);
        self.at = end;
        self.entries.push_back(Entry {
            number,
            start,
            len: line.len(),
        });
    }

    fn make_room(&mut self, in_the_way: impl Fn(&Entry) -> bool) {
        while self.entries.front().is_some_and(&in_the_way) {
            self.entries.pop_front();
        }
    }

    fn after(&self, number: u64) -> impl Iterator<Item = Entry> {
        let begin = self.entries.partition_point(|entry| entry.number <= number);
        self.entries.range(begin..).copied()
    }

    fn kept(&self, entry: Entry, on: Shelf) -> Kept {
        let line = &self.bytes[entry.start..entry.start + entry.len];
        Kept {
            number: entry.number,
            shelf: on,
            line: String::from_utf8_lossy(line).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(kept: &[Kept]) -> Vec<&str> {
        kept.iter().map(|one| one.line.as_str()).collect()
    }

    #[test]
    fn a_flood_of_one_kind_leaves_the_other_alone() {
        let recent = Recent::new(64);
        recent.push(Shelf::Deliveries, b"first");
        for _ in 0..1000 {
            recent.push(Shelf::Refused, b"0123456789");
        }
        assert_eq!(lines(&recent.before(Shelf::Deliveries, u64::MAX, 10)), ["first"]);
        let refused = recent.before(Shelf::Refused, u64::MAX, 10);
        assert!((4..=6).contains(&refused.len()), "{}", refused.len());
        assert_eq!(refused[0].number, 1001);
    }

    #[test]
    fn a_reader_gets_both_in_order_and_learns_what_it_missed() {
        let recent = Recent::new(64);
        for (shelf, line) in [
            (Shelf::Deliveries, "a"),
            (Shelf::Refused, "b"),
            (Shelf::Deliveries, "c"),
            (Shelf::Deliveries, "d"),
        ] {
            recent.push(shelf, line.as_bytes());
        }
        let first = recent.after(0, 3);
        assert_eq!(
            (lines(&first.kept), first.lost, first.upto),
            (vec!["a", "b", "c"], 0, 3)
        );
        let rest = recent.after(first.upto, 3);
        assert_eq!((lines(&rest.kept), rest.lost, rest.upto), (vec!["d"], 0, 4));
        assert_eq!(
            recent.after(rest.upto, 3),
            After {
                upto: 4,
                ..After::default()
            }
        );
        // Too long to be kept at all, and then more than the ring holds.
        recent.push(Shelf::Refused, &[b'x'; 17]);
        for _ in 0..8 {
            recent.push(Shelf::Deliveries, &[b'y'; 16]);
        }
        let late = recent.after(rest.upto, 100);
        assert_eq!((late.kept.len(), late.lost, late.upto), (4, 5, 13));
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_was_written(sizes in proptest::collection::vec(1usize..40, 1..200)) {
            let recent = Recent::new(200);
            let line = |number: usize, size: usize| vec![b'a' + u8::try_from(number % 26).expect("small"); size];
            for (number, size) in sizes.iter().enumerate() {
                recent.push(Shelf::Deliveries, &line(number, *size));
            }
            let after = recent.after(0, usize::MAX);
            prop_assert_eq!(after.upto, sizes.len() as u64);
            let lost = usize::try_from(after.lost).expect("small");
            prop_assert_eq!(lost + after.kept.len(), sizes.len());
            // An unbroken run up to the newest, but for the space that is lost where the ring turns.
            let total: usize = after.kept.iter().map(|one| one.line.len()).sum();
            prop_assert!(total <= 200 && (after.lost == 0 || total > 100), "{}", total);
            for (place, one) in after.kept.iter().enumerate() {
                let number = lost + place;
                prop_assert_eq!(one.number, number as u64 + 1);
                prop_assert_eq!(one.line.as_bytes(), &line(number, sizes[number])[..]);
            }
        }
    }
}
