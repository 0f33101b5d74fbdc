//! Places in flight whose requests still wait for their bodies: when none is left, the longest wait ends for a newcomer.
//!
//! Otherwise whoever sends as many slow bodies as there are places shuts everybody out for the whole body timeout, with
//! hardly a byte. An honest body is there within a few round trips; a sender that is told 503 tries again.

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

/// All requests that wait for their bodies, the longest wait first. Bounded by the places in flight; half of these may
/// wait for long.
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
    key: (Monotonic, u64),
    taken: Arc<Notify>,
}

impl Waits {
    /// Of so many places in flight.
    pub fn of(in_flight: usize) -> Self {
        Self(Arc::new(Mutex::new(All {
            most: in_flight.div_ceil(2),
            next: 0,
            lent: BTreeMap::new(),
        })))
    }

    /// Puts a place where others may take it. `since`: when its request came. If more than half of all places are there,
    /// the longest wait ends.
    pub fn lend(&self, share: Share, since: Monotonic) -> Wait {
        let taken = Arc::new(Notify::new());
        let mut all = self.all();
        let key = (since, all.next);
        all.next += 1;
        all.lent.insert(key, (share, Arc::clone(&taken)));
        let crowded = all.lent.len() > all.most;
        drop(all);
        // Given back outside of the lock.
        let _place = if crowded { self.take(since, false) } else { None };
        Wait {
            waits: self.clone(),
            key,
            taken,
        }
    }

    /// The place of the longest wait, which ends; `None` if nobody waits for longer than an honest body does. `known`: the
    /// newcomer is an honest client, who need not wait for strangers at all.
    pub fn take(&self, now: Monotonic, known: bool) -> Option<Share> {
        let mut all = self.all();
        let longest = all.lent.first_entry()?;
        if !known && now.since(longest.key().0) < SAFE {
            return None;
        }
        let (share, taken) = longest.remove();
        taken.notify_one();
        Some(share)
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wait {
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

    #[test]
    fn half_of_all_places_may_wait_and_of_more_the_longest_wait_ends() {
        let (waits, places) = (Waits::of(4), Budget::new(4));
        let lend = |millis| waits.lend(places.take(1).expect("there are four"), at(millis));
        let (longest, _second) = (lend(0), lend(1000));
        assert_eq!(places.used(), 2);
        let _third = lend(1001);
        assert_eq!(places.used(), 2);
        assert!(longest.back().is_none());
    }

    #[test]
    fn two_that_come_at_one_moment_wait_side_by_side() {
        let (waits, places) = (Waits::of(8), Budget::new(8));
        let lend = || waits.lend(places.take(1).expect("there are eight"), at(0));
        let (first, second) = (lend(), lend());
        assert_eq!(places.used(), 2);
        assert!(first.back().is_some() && second.back().is_some());
    }

    #[test]
    fn the_longest_wait_ends_for_a_newcomer_and_no_honest_one() {
        let (budget, waits) = (Budget::new(2), Waits::of(8));
        let place = || budget.take(1).expect("a place");
        let (late, early) = (waits.lend(place(), at(200)), waits.lend(place(), at(100)));
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
        let stranger = waits.lend(budget.take(1).expect("a place"), at(100));
        assert!(waits.take(at(101), false).is_none());
        assert!(waits.take(at(101), true).is_some() && stranger.back().is_none());
        assert!(waits.take(at(101), true).is_none(), "nobody waits");
    }

    #[test]
    fn half_of_the_places_may_wait_for_long() {
        let (budget, waits) = (Budget::new(8), Waits::of(8));
        let lend = |millis| waits.lend(budget.take(1).expect("a place"), at(millis));
        let mut held: Vec<Wait> = (0..4).map(lend).collect();
        held.push(lend(400));
        assert_eq!(budget.used(), 5, "nobody has waited for long");
        held.push(lend(501));
        assert_eq!(budget.used(), 5, "one place was given back");
        assert!(held[0].taken().now_or_never().is_some() && held[1].taken().now_or_never().is_none());
        drop(held);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_wait_that_is_given_up_gives_its_place_back() {
        let (budget, waits) = (Budget::new(1), Waits::of(8));
        drop(waits.lend(budget.take(1).expect("a place"), at(0)));
        assert_eq!(budget.used(), 0);
        assert!(waits.take(at(9000), false).is_none());
    }
}
