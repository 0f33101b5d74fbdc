//! A table of fixed size for things that pass by themselves: a bucket that refills, a memory that fades.
//!
//! Each tag belongs to one set of eight places; a place whose time is over is free. Nothing that anybody sends can make
//! the table grow, and a tag costs one short lock. The memory is taken shard by shard as it is first written to, so an
//! unused table costs next to nothing.

use super::{Limited, gcra::Gcra};
use crate::event::Monotonic;
use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

const WAYS: usize = 8;
const SHARDS: usize = 64;

pub(super) struct Table<T> {
    // Random per table: nobody outside can aim at one set.
    hasher: RandomState,
    sets_per_shard: usize,
    shards: Box<[Mutex<Shard<T>>]>,
}

/// Sets side by side; empty until something is written to one of them.
type Shard<T> = Vec<Option<Place<T>>>;

struct Place<T> {
    tag: Tag,
    until: Monotonic,
    value: T,
}

/// Names a thing in one table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tag(u64);

/// Bits of a tag that say which group it belongs to; neither the shard nor, in any table of ours, the set depends on them.
const GROUP: u64 = 0xffff << 40;

/// Which place of a full set is given up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Evict {
    /// None: nothing is written.
    Nothing,
    /// The one that would be free first.
    First,
    /// The one that would be free first of the group that has most places in this set. A newcomer's own group, where none
    /// has more.
    OfTheLargestGroup,
}

/// What the table holds under a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found<T> {
    /// This value, until then.
    Held(Monotonic, T),
    /// Nothing, and there is a place for it.
    Free,
    /// Nothing, and the places of its set are taken.
    Full,
}

impl Table<()> {
    /// Takes a cell of the bucket that is named so, if there is one, in one step. A new bucket is full.
    pub(super) fn take(&self, named: impl Hash, gcra: Gcra, now: Monotonic) -> Result<(), Limited> {
        self.take_or_wait(named, gcra, now).map_err(|wait| gcra.limited(wait))
    }

    /// As [`Self::take`]; over the limit, the exact time until there is a cell.
    pub(super) fn take_or_wait(&self, named: impl Hash, gcra: Gcra, now: Monotonic) -> Result<(), Duration> {
        let mut wait = None;
        self.change(self.tag(named), now, true, |held| {
            let full_at = held.map_or(now, |(full_at, ())| full_at);
            wait = gcra.wait(full_at, now);
            wait.is_none().then(|| (gcra.spend(full_at, now), ()))
        });
        wait.map_or(Ok(()), Err)
    }

    /// The time until the bucket has a cell; `None`: now. Takes nothing.
    pub(super) fn wait(&self, named: impl Hash, gcra: Gcra, now: Monotonic) -> Option<Duration> {
        match self.look(self.tag(named), now) {
            Found::Held(full_at, ()) => gcra.wait(full_at, now),
            Found::Free | Found::Full => None,
        }
    }
}

impl<T: Clone> Table<T> {
    /// A table of at least `places` places.
    pub(super) fn new(places: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            sets_per_shard: places.div_ceil(SHARDS * WAYS).max(1),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    pub(super) fn tag(&self, named: impl Hash) -> Tag {
        Tag(self.hasher.hash_one(named))
    }

    /// A tag that stands beside others of one group, for [`Self::change_fairly`].
    pub(super) fn tag_in(&self, group: impl Hash, named: impl Hash) -> Tag {
        let group = self.hasher.hash_one(group) & GROUP;
        Tag(self.hasher.hash_one(named) & !GROUP | group)
    }

    /// Looks without writing.
    pub(super) fn look(&self, tag: Tag, now: Monotonic) -> Found<T> {
        let shard = self.shard(tag);
        if shard.is_empty() {
            return Found::Free;
        }
        let set = &shard[self.set(tag)];
        match set.iter().flatten().find(|place| place.tag == tag && place.until > now) {
            Some(place) => Found::Held(place.until, place.value.clone()),
            None if set
                .iter()
                .all(|place| place.as_ref().is_some_and(|place| place.until > now)) =>
            {
                Found::Full
            }
            None => Found::Free,
        }
    }

    /// Writes what `change` makes of the held value, in one step; `None` from it leaves the place as it was (or frees
    /// one whose time is over). Where the set is full, the place that would be free first is given up if `evict`;
    /// otherwise nothing is written. True if it was written.
    pub(super) fn change(
        &self,
        tag: Tag,
        now: Monotonic,
        evict: bool,
        change: impl FnOnce(Option<(Monotonic, T)>) -> Option<(Monotonic, T)>,
    ) -> bool {
        self.write(tag, now, if evict { Evict::First } else { Evict::Nothing }, change)
    }

    /// As [`Self::change`] with `evict`, but no group of tags takes the places of another that has fewer.
    pub(super) fn change_fairly(
        &self,
        tag: Tag,
        now: Monotonic,
        change: impl FnOnce(Option<(Monotonic, T)>) -> Option<(Monotonic, T)>,
    ) -> bool {
        self.write(tag, now, Evict::OfTheLargestGroup, change)
    }

    fn write(
        &self,
        tag: Tag,
        now: Monotonic,
        evict: Evict,
        change: impl FnOnce(Option<(Monotonic, T)>) -> Option<(Monotonic, T)>,
    ) -> bool {
        let mut shard = self.shard(tag);
        if shard.is_empty() {
            shard.resize_with(self.sets_per_shard * WAYS, || None);
        }
        let range = self.set(tag);
        let set = &mut shard[range];
        let held = set.iter().position(|place| {
            place
                .as_ref()
                .is_some_and(|place| place.tag == tag && place.until > now)
        });
        // `None` is before every `Some`, and a time that is over is before one that is not.
        let first = (0..set.len()).min_by_key(|index| set[*index].as_ref().map(|place| place.until));
        let mut index = held.or(first).expect("a set has eight places");
        let is_taken = held.is_none() && set[index].as_ref().is_some_and(|place| place.until > now);
        match evict {
            _ if !is_taken => {}
            Evict::Nothing => return false,
            Evict::First => {}
            Evict::OfTheLargestGroup => index = of_the_largest_group(set, tag),
        }
        let old = held.and_then(|index| set[index].as_ref().map(|place| (place.until, place.value.clone())));
        match change(old) {
            Some((until, value)) => {
                set[index] = Some(Place { tag, until, value });
                true
            }
            None => false,
        }
    }

    /// Forgets a tag.
    pub(super) fn remove(&self, tag: Tag) {
        let mut shard = self.shard(tag);
        if shard.is_empty() {
            return;
        }
        let range = self.set(tag);
        for place in &mut shard[range] {
            if place.as_ref().is_some_and(|place| place.tag == tag) {
                *place = None;
            }
        }
    }

    /// How many places there are memory for now.
    #[cfg(test)]
    pub(super) fn allocated(&self) -> usize {
        let places = |shard: &Mutex<Shard<T>>| shard.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.shards.iter().map(places).sum()
    }

    fn shard(&self, tag: Tag) -> MutexGuard<'_, Shard<T>> {
        // The top bits choose the shard, the lower ones the set within it.
        let index = usize::try_from(tag.0 >> 58).expect("six bits");
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, tag: Tag) -> std::ops::Range<usize> {
        let sets = u64::try_from(self.sets_per_shard).expect("a usize is at most 64 bits");
        let set = usize::try_from(tag.0 % sets).expect("smaller than a usize");
        set * WAYS..(set + 1) * WAYS
    }
}

/// The place of a full set that goes for this tag.
fn of_the_largest_group<T>(set: &[Option<Place<T>>], tag: Tag) -> usize {
    let groups = || set.iter().flatten().map(|place| place.tag.group());
    let size = |group: u64| groups().filter(|other| *other == group).count();
    let largest = groups().max_by_key(|group| (size(*group), *group == tag.group()));
    let goes = |index: &usize| set[*index].as_ref().map(|place| place.tag.group()) == largest;
    let oldest = (0..set.len())
        .filter(goes)
        .min_by_key(|index| set[*index].as_ref().map(|place| place.until));
    oldest.expect("a full set has a largest group")
}

impl Tag {
    fn group(self) -> u64 {
        self.0 & GROUP
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::HashMap, time::Duration};

    fn at(secs: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(secs))
    }

    #[test]
    fn a_full_set_refuses_or_gives_up_what_ends_first() {
        // One set in each shard: the tags of one shard all meet in it.
        let table = Table::new(1);
        let tags: Vec<Tag> = (1..=9).map(Tag).collect();
        for (tag, until) in tags.iter().zip([30, 20, 40, 50, 60, 70, 80, 90]) {
            assert_eq!(table.look(*tag, at(0)), Found::Free);
            assert!(table.change(*tag, at(0), false, |_| Some((at(until), until))));
        }
        assert_eq!(table.look(tags[8], at(0)), Found::Full);
        assert!(!table.change(tags[8], at(0), false, |_| Some((at(99), 99))));
        assert!(table.change(tags[8], at(0), true, |_| Some((at(99), 99))));
        assert_eq!(table.look(tags[1], at(0)), Found::Full, "20 ended first");
        assert_eq!(table.look(tags[0], at(0)), Found::Held(at(30), 30));
        assert_eq!(table.look(tags[0], at(30)), Found::Free, "its time is over");
        assert!(table.change(tags[1], at(30), false, |old| old.or(Some((at(31), 31)))));
        table.remove(tags[1]);
        assert_eq!(table.look(tags[1], at(30)), Found::Free);
    }

    #[test]
    fn a_newcomer_takes_a_place_of_the_largest_group() {
        let table = Table::new(1);
        let tag = |group: u64, number: u64| Tag(group << 40 | number);
        let held = |group: u64, numbers: std::ops::Range<u64>| {
            numbers
                .filter(|number| matches!(table.look(tag(group, *number), at(0)), Found::Held(..)))
                .collect::<Vec<_>>()
        };
        let come = |group: u64, number: u64, until: u64| {
            assert!(table.change_fairly(tag(group, number), at(0), |_| Some((at(until), ()))));
        };
        // The oldest of all is of a small group.
        come(1, 0, 10);
        for number in 0..20 {
            come(2, number, 20 + number);
        }
        assert_eq!((held(1, 0..1), held(2, 0..20)), (vec![0], (13..20).collect()));
        for number in 1..20 {
            come(1, number, 60 + number);
        }
        assert_eq!(
            (held(1, 0..20), held(2, 0..20)),
            ((16..20).collect(), (16..20).collect()),
            "half each"
        );
        come(3, 0, 5);
        come(3, 1, 5);
        assert_eq!(
            (held(1, 0..20).len(), held(2, 0..20).len(), held(3, 0..2).len()),
            (3, 3, 2)
        );
    }

    #[test]
    fn a_tag_is_looked_for_in_eight_places() {
        let table = Table::<()>::new(65_536);
        for number in 0..1000_u32 {
            let set = table.set(table.tag(number));
            assert_eq!((set.len(), set.start % WAYS), (WAYS, 0));
        }
    }

    #[test]
    fn what_is_over_is_not_handed_on() {
        let table = Table::new(1);
        let tag = Tag(1);
        assert!(table.change(tag, at(0), false, |_| Some((at(5), 7))));
        for (now, held) in [(4, Some((at(5), 7))), (5, None)] {
            let mut handed = None;
            assert!(!table.change(tag, at(now), false, |old| {
                handed = old;
                None
            }));
            assert_eq!(handed, held, "{now}");
        }
    }

    proptest! {
        #[test]
        fn a_table_with_room_remembers_as_a_map_does(
            steps in prop::collection::vec((0_u16..40, 0_u64..20, 0_u64..3), 1..200)
        ) {
            let table = Table::new(65_536);
            let mut map: HashMap<u16, (u64, u64)> = HashMap::new();
            let mut now = 0;
            for (index, (key, life, step)) in (0_u64..).zip(steps) {
                now += step;
                let tag = table.tag(key);
                let expected = map.get(&key).filter(|(until, _)| *until > now);
                match (table.look(tag, at(now)), expected) {
                    (Found::Held(until, value), Some((wanted, held))) => prop_assert_eq!((until, value), (at(*wanted), *held)),
                    (Found::Free, None) => {}
                    (found, expected) => prop_assert!(false, "{:?} instead of {:?}", found, expected),
                }
                prop_assert!(table.change(tag, at(now), false, |_| Some((at(now + life), index))));
                map.insert(key, (now + life, index));
            }
        }
    }
}
