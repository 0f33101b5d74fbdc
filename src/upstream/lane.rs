//! What all workers share about a destination while it is served: its breaker, and how many deliveries are under way.

use super::breaker::Breaker;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The way to one destination. Clones are the same way.
//
// It hangs on the destination as configured, because that is what a request holds on to; but it is no part of what was
// configured, so any two are equal.
#[derive(Clone, Default)]
pub struct Lane(Arc<Inner>);

#[derive(Default)]
struct Inner {
    breaker: Breaker,
    under_way: AtomicU64,
}

/// How many deliveries may be under way to one destination, so that a slow app leaves room for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// At any time. It binds only optional deliveries: the others have a place of `limits.in_flight` each.
    pub most: u64,
    /// While more than half of what the process may use is in use.
    pub share: u64,
}

/// A delivery that is under way; it makes room when dropped.
#[must_use = "a place is given back when it is dropped"]
pub struct Place(Lane);

impl Lane {
    /// Its breaker.
    pub fn breaker(&self) -> &Breaker {
        &self.0.breaker
    }

    /// How many deliveries are under way.
    pub fn under_way(&self) -> u64 {
        self.0.under_way.load(Ordering::Relaxed)
    }

    /// One more delivery; `None` if there are `bound` already.
    pub fn enter(&self, bound: u64) -> Option<Place> {
        // Taken before it is compared: of two that come at once, no more than fit get in.
        let place = Place(self.clone());
        (self.0.under_way.fetch_add(1, Ordering::Relaxed) < bound).then_some(place)
    }
}

impl Places {
    /// For so many destinations and `limits.in_flight`. Half of it is divided among them: when slow ones have taken all
    /// of the other half, each still gets through what one app works on at once.
    pub fn of(in_flight: u64, destinations: usize) -> Self {
        let share = match u64::try_from(destinations).unwrap_or(u64::MAX) {
            0 | 1 => in_flight,
            several => (in_flight / 2 / several).max(1),
        };
        let most = in_flight;
        Self { most, share }
    }
}

impl PartialEq for Lane {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Lane {}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_takes_as_many_as_there_are_places() {
        let lane = Lane::default();
        let (first, second) = (lane.enter(2), lane.clone().enter(2));
        assert!(first.is_some() && second.is_some() && lane.enter(2).is_none());
        assert_eq!(lane.under_way(), 2, "who did not get in left nothing behind");
        drop(first);
        assert!(lane.enter(2).is_some());
        drop(second);
        assert_eq!(lane.under_way(), 0);
    }

    #[test]
    fn however_many_are_slow_there_is_room_for_the_last_one() {
        for (in_flight, destinations, share) in [(1024, 1, 1024), (1024, 2, 256), (1024, 4, 128), (3, 5, 1), (0, 0, 0)]
        {
            assert_eq!(Places::of(in_flight, destinations).share, share);
        }
        for destinations in 2..100 {
            let Places { share, .. } = Places::of(1024, destinations);
            // One takes everything until half is in use, the other slow ones their share.
            let slow = 1024 / 2 + 1 + share * (destinations as u64 - 2);
            assert!(slow + share <= 1024, "{destinations}: {share}");
        }
    }
}
