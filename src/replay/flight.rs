//! Single flight within the process: the first attempt of a delivery leads, a few more wait for its answer.

use super::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::event::DeliveryKey;
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};
use tokio::sync::oneshot;

/// How many attempts wait for one leader; further ones are told at once.
pub const WAITERS: usize = 4;
const SHARDS: usize = 64;

/// The deliveries under way in this process, over all its workers. `T` is the answer that all attempts of one share.
pub struct Flights<T> {
    shards: Box<[Mutex<Waiting<T>>]>,
}

type Waiting<T> = HashMap<DeliveryKey, Vec<oneshot::Sender<T>>, BuildHasherDefault<DigestHasher>>;

/// What an attempt finds.
#[must_use]
pub enum Boarding<T: Clone + Send> {
    /// Nobody else is at it: go on, and tell the others how it ended.
    Lead(Leader<T>),
    /// Somebody is: wait for the answer. The body is not needed any more.
    Join(Joiner<T>),
    /// Somebody is, and enough others wait already.
    Full,
}

/// The attempt that does the work. Dropped without an answer, it leaves its waiters with none.
#[must_use]
pub struct Leader<T: Clone + Send> {
    flights: Arc<Flights<T>>,
    key: DeliveryKey,
    /// The key may belong to the next leader by now.
    landed: bool,
}

/// An attempt that waits.
pub struct Joiner<T>(oneshot::Receiver<T>);

impl<T: Clone + Send> Flights<T> {
    /// None under way.
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Leads or joins the flight of a delivery.
    pub fn board(self: &Arc<Self>, key: DeliveryKey) -> Boarding<T> {
        let mut flights = self.shard(&key);
        let Some(waiting) = flights.get_mut(&key) else {
            flights.insert(key, Vec::new());
            drop(flights);
            return Boarding::Lead(Leader {
                flights: Arc::clone(self),
                key,
                landed: false,
            });
        };
        // Attempts whose sender hung up make room.
        waiting.retain(|waiter| !waiter.is_closed());
        if waiting.len() >= WAITERS {
            return Boarding::Full;
        }
        let (answer, receiver) = oneshot::channel();
        waiting.push(answer);
        Boarding::Join(Joiner(receiver))
    }

    /// Deliveries under way.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// True if nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &DeliveryKey) -> MutexGuard<'_, Waiting<T>> {
        lock(&self.shards[usize::from(key.as_bytes()[0]) % SHARDS])
    }
}

impl<T: Clone + Send> Default for Flights<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone + Send> Leader<T> {
    /// Ends the flight: everybody who waits gets `answer`, and the next attempt leads again.
    pub fn land(self, answer: &T) {
        self.land_with(|| answer.clone());
    }

    /// The same with an answer that is only made if somebody waits for it, which is rare.
    pub fn land_with(mut self, answer: impl FnOnce() -> T) {
        self.landed = true;
        let waiters = self.leave();
        if waiters.is_empty() {
            return;
        }
        let answer = answer();
        for waiter in waiters {
            // A waiter may have gone; that is its own affair.
            let _gone = waiter.send(answer.clone());
        }
    }

    fn leave(&self) -> Vec<oneshot::Sender<T>> {
        self.flights.shard(&self.key).remove(&self.key).unwrap_or_default()
    }
}

impl<T: Clone + Send> Drop for Leader<T> {
    fn drop(&mut self) {
        if !self.landed {
            self.leave();
        }
    }
}

impl<T> Joiner<T> {
    /// The leader's answer; `None` if it went away without one, which the sender is told as `in_flight`.
    pub async fn answer(self) -> Option<T> {
        self.0.await.ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A key is a SHA-256 digest already: its bytes are the hash.
#[derive(Default)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some((_, last)) = bytes.split_last_chunk() {
            self.0 = u64::from_le_bytes(*last);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    fn key(first: u8) -> DeliveryKey {
        DeliveryKey::from_bytes([first; 32])
    }

    fn lead(flights: &Arc<Flights<u16>>, first: u8) -> Leader<u16> {
        match flights.board(key(first)) {
            Boarding::Lead(leader) => leader,
            Boarding::Join(_) | Boarding::Full => panic!("somebody leads"),
        }
    }

    fn join(flights: &Arc<Flights<u16>>, first: u8) -> Joiner<u16> {
        match flights.board(key(first)) {
            Boarding::Join(joiner) => joiner,
            Boarding::Lead(_) => panic!("nobody leads"),
            Boarding::Full => panic!("too many wait"),
        }
    }

    #[tokio::test]
    async fn four_get_the_leaders_answer_and_the_fifth_is_told_at_once() {
        let flights = Arc::new(Flights::new());
        let leader = lead(&flights, 1);
        let mut waiting: Vec<_> = (0..WAITERS).map(|_| join(&flights, 1)).collect();
        assert!(matches!(flights.board(key(1)), Boarding::Full));
        // One whose sender hung up makes room; other deliveries are no matter.
        waiting.pop();
        waiting.push(join(&flights, 1));
        let other = lead(&flights, 65);
        leader.land(&200);
        for joiner in waiting {
            assert_eq!(joiner.answer().await, Some(200));
        }
        assert_eq!(flights.len(), 1);
        drop(other);
        assert!(flights.is_empty());
    }

    #[test]
    fn deliveries_are_spread_over_the_locks_and_by_their_own_bytes() {
        let flights = Arc::new(Flights::<u16>::new());
        assert!(flights.is_empty());
        let leaders: Vec<_> = (0..=255).map(|first| lead(&flights, first)).collect();
        assert_eq!((flights.len(), flights.is_empty()), (256, false));
        assert!(flights.shards.iter().all(|shard| lock(shard).len() == 256 / SHARDS));
        drop(leaders);
        let hash = |key: DeliveryKey| BuildHasherDefault::<DigestHasher>::default().hash_one(key);
        assert_eq!(hash(key(7)), u64::from_le_bytes([7; 8]));
    }

    #[tokio::test]
    async fn a_leader_that_goes_away_leaves_its_waiters_without_an_answer() {
        let flights = Arc::new(Flights::new());
        let leader = lead(&flights, 1);
        let joiner = join(&flights, 1);
        drop(leader);
        assert_eq!(joiner.answer().await, None);
        assert!(flights.is_empty());
    }

    #[tokio::test]
    async fn a_flight_that_has_landed_takes_nothing_from_the_next_one() {
        let flights = Arc::new(Flights::new());
        let first = lead(&flights, 1);
        first.land(&200);
        let second = lead(&flights, 1);
        let joiner = join(&flights, 1);
        second.land(&503);
        assert_eq!(joiner.answer().await, Some(503));
    }

    #[test]
    fn of_many_threads_one_leads() {
        let flights = Arc::new(Flights::<u16>::new());
        for round in 0..100 {
            let leaders = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| flights.board(key(round)))).collect();
                let boardings: Vec<_> = threads
                    .into_iter()
                    .map(|thread| thread.join().expect("no panic"))
                    .collect();
                boardings
                    .iter()
                    .filter(|boarding| matches!(boarding, Boarding::Lead(_)))
                    .count()
            });
            assert_eq!(leaders, 1);
        }
        assert!(flights.is_empty());
    }
}
