//! Places in flight whose requests still wait for their bodies: few of all, and the longest wait ends for a newcomer.
//!
//! Otherwise whoever sends as many slow bodies as there are places shuts everybody out for the whole body timeout, with
//! hardly a byte. An honest body is there within a few round trips, mostly with its head, and then its request does not
//! wait at all; a sender that is told 503 tries again. Each wait holds 30 KiB of buffers besides.

use super::Share;
use crate::event::Monotonic;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// So long nobody's place is taken: three round trips round the world, or a lost packet.
const SAFE: Duration = Duration::from_millis(500);

/// What a body has brought counts like time: whoever sends at least so many bytes a second does not grow older here, and
/// sixteen KiB are worth as much as [`SAFE`]. To hold a place against such a one costs an attacker as many.
const BYTES_A_SECOND: u64 = 32 * 1024;

/// However few places there are, so many requests may wait for their bodies.
const LEAST: usize = 128;

/// All requests that wait for their bodies, the longest wait first: at most a quarter of the places in flight. How long
/// one has waited, what it brought is taken off from.
#[derive(Clone)]
pub struct Waits(Arc<Mutex<All>>);

struct All {
    most: usize,
    next: u64,
    lent: BTreeMap<(Monotonic, u64), (Share, Arc<Notify>)>,
}

/// A place that its request does not hold itself while it waits; given back when dropped, if it was not taken.
#[must_use = "a place is given back when it is dropped"]
pub struct Wait {
    waits: Waits,
    since: Monotonic,
    key: (Monotonic, u64),
    taken: Arc<Notify>,
}

impl Waits {
    /// Of so many places in flight.
    pub fn of(in_flight: usize) -> Self {
        Self(Arc::new(Mutex::new(All {
            most: in_flight.div_ceil(4).max(LEAST),
            next: 0,
            lent: BTreeMap::new(),
        })))
    }

    /// Puts a place where others may take it. `since`: when its request came; `brought`: bytes of its body since then.
    /// Where as many wait as may, the longest wait ends; `None` if that is not much longer than this one: then this place
    /// was given back.
    pub fn lend(&self, share: Share, since: Monotonic, brought: u64) -> Option<Wait> {
        let taken = Arc::new(Notify::new());
        let counted = counted(since, brought);
        let mut all = self.all();
        let longest = if all.lent.len() < all.most {
            None
        } else {
            Some(all.take(counted, false)?)
        };
        let key = (counted, all.next);
        all.next += 1;
        all.lent.insert(key, (share, Arc::clone(&taken)));
        // Its place is given back outside of the lock.
        drop(all);
        drop(longest);
        Some(Wait {
            waits: self.clone(),
            since,
            key,
            taken,
        })
    }

    /// The place of the longest wait, which ends; `None` if nobody waits for longer than an honest body does. `known`: the
    /// newcomer is an honest client, who need not wait for strangers at all.
    pub fn take(&self, now: Monotonic, known: bool) -> Option<Share> {
        self.all().take(now, known)
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn take(&mut self, now: Monotonic, known: bool) -> Option<Share> {
        let longest = self.lent.first_entry()?;
        if !known && now.since(longest.key().0) < SAFE {
            return None;
        }
        let (share, taken) = longest.remove();
        taken.notify_one();
        Some(share)
    }
}

/// Since when a request counts as waiting.
fn counted(since: Monotonic, brought: u64) -> Monotonic {
    since.plus(Duration::from_micros(
        brought.saturating_mul(1_000_000) / BYTES_A_SECOND,
    ))
}

impl Wait {
    /// So many bytes of the body are there by now.
    pub fn brought(&mut self, bytes: u64) {
        let mut all = self.waits.all();
        if let Some(place) = all.lent.remove(&self.key) {
            self.key.0 = counted(self.since, bytes);
            all.lent.insert(self.key, place);
        }
    }

    /// Returns when the place was taken.
    pub async fn taken(&self) {
        self.taken.notified().await;
    }

    /// The place again, unless it was taken.
    pub fn back(self) -> Option<Share> {
        self.waits.all().lent.remove(&self.key).map(|(share, _)| share)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        // The share is dropped outside of the lock.
        let _place = self.waits.all().lent.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Budget;
    use futures_util::FutureExt as _;

    fn at(millis: u64) -> Monotonic {
        Monotonic::default().plus(Duration::from_millis(millis))
    }

    /// Places, and a quarter of them taken by requests that wait for their bodies since 100 ms.
    fn crowded() -> (Budget, Waits, Vec<Wait>) {
        let (places, waits) = (Budget::new(1000), Waits::of(1000));
        let lend = |_| waits.lend(places.take(1).expect("a place"), at(100), 0);
        let held: Vec<Wait> = (0..250).map(|number| lend(number).expect("it is a quarter")).collect();
        (places, waits, held)
    }

    #[test]
    fn a_quarter_of_all_places_may_wait_and_for_one_more_the_longest_wait_ends() {
        let (places, waits, mut held) = crowded();
        let newcomer = waits
            .lend(places.take(1).expect("a place"), at(600), 0)
            .expect("half a second is over");
        assert_eq!(places.used(), 250);
        assert!(held[0].taken().now_or_never().is_some() && held[1].taken().now_or_never().is_none());
        assert!(held.remove(0).back().is_none() && newcomer.back().is_some());
        drop(held);
        assert_eq!(places.used(), 0);
    }

    #[test]
    fn where_a_quarter_waits_and_nobody_for_long_the_newcomer_does_not() {
        let (places, waits, held) = crowded();
        assert!(waits.lend(places.take(1).expect("a place"), at(599), 0).is_none());
        assert_eq!(places.used(), 250, "its place was given back");
        assert!(held.iter().all(|wait| wait.taken().now_or_never().is_none()));
    }

    #[test]
    fn a_body_that_brings_much_is_no_long_wait() {
        let (places, waits, mut held) = crowded();
        let lend = |brought| waits.lend(places.take(1).expect("a place"), at(101), brought);
        assert!(lend(16_000).is_none());
        let fast = lend(16_384).expect("it brought as much as half a second is worth");
        assert!(held[0].taken().now_or_never().is_some() && places.used() == 250);
        for wait in &mut held[1..] {
            wait.brought(32 * 1024);
        }
        assert!(
            waits.take(at(1101), false).is_some() && fast.back().is_none(),
            "the others brought more"
        );
        assert!(waits.take(at(1599), false).is_none() && waits.take(at(1600), false).is_some());
    }

    #[test]
    fn where_there_are_few_places_all_of_them_may_wait() {
        let (places, waits) = (Budget::new(4), Waits::of(4));
        let held: Vec<_> = (0..4)
            .map(|_| waits.lend(places.take(1).expect("there are four"), at(0), 0))
            .collect();
        assert!(held.iter().all(Option::is_some) && places.used() == 4);
    }

    #[test]
    fn two_that_come_at_one_moment_wait_side_by_side() {
        let (waits, places) = (Waits::of(8), Budget::new(8));
        let lend = || {
            waits
                .lend(places.take(1).expect("there are eight"), at(0), 0)
                .expect("few wait")
        };
        let (first, second) = (lend(), lend());
        assert_eq!(places.used(), 2);
        assert!(first.back().is_some() && second.back().is_some());
    }

    #[test]
    fn the_longest_wait_ends_for_a_newcomer_and_no_honest_one() {
        let (budget, waits) = (Budget::new(2), Waits::of(8));
        let place = || budget.take(1).expect("a place");
        let lend = |millis| waits.lend(place(), at(millis), 0).expect("few wait");
        let (late, early) = (lend(200), lend(100));
        assert!(budget.take(1).is_none() && waits.take(at(599), false).is_none());
        assert!(early.taken().now_or_never().is_none());
        let taken = waits.take(at(600), false).expect("half a second is over");
        assert!(early.taken().now_or_never().is_some() && late.taken().now_or_never().is_none());
        assert!(early.back().is_none() && budget.used() == 2, "it is the newcomer's");
        assert!(waits.take(at(600), false).is_none());
        let mine = late.back().expect("nobody took it");
        assert!(waits.take(at(9000), false).is_none(), "nobody waits any more");
        drop((mine, taken));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn whoever_is_known_waits_for_no_stranger() {
        let (budget, waits) = (Budget::new(1), Waits::of(8));
        let stranger = waits
            .lend(budget.take(1).expect("a place"), at(100), 0)
            .expect("few wait");
        assert!(waits.take(at(101), false).is_none());
        assert!(waits.take(at(101), true).is_some() && stranger.back().is_none());
        assert!(waits.take(at(101), true).is_none(), "nobody waits");
    }

    #[test]
    fn a_wait_that_is_given_up_gives_its_place_back() {
        let (budget, waits) = (Budget::new(1), Waits::of(8));
        drop(
            waits
                .lend(budget.take(1).expect("a place"), at(0), 0)
                .expect("few wait"),
        );
        assert_eq!(budget.used(), 0);
        assert!(waits.take(at(9000), false).is_none());
    }
}
