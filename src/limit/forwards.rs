//! The budget of repeats that are forwarded: one captured request must not flood an app, nor push the honest sender out.

use super::{Rate, gcra::Gcra, prefix::Prefix, table::Table};
use crate::event::{DeliveryKey, Monotonic};
use std::{
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// Delivery keys, and pairs of key and client, that have a bucket at one time. Beyond it the fullest bucket starts anew.
const MAX_BUCKETS: usize = 8192;
/// Requests of the process that wait for a place at one time; more are refused at once, so that they hold no memory.
const MAX_WAITING: usize = 64;
/// A delivery key has as much as this many clients: three strangers with a captured request leave the fourth share.
const CLIENTS_PER_KEY: u32 = 4;

/// The pace of one kind of repeat: its burst, which refills within a minute. Source: `replay` of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A repeat that a signed time or an unsigned value distinguishes: a burst of 10, then 10 a minute.
    Repeat,
    /// A request that nothing distinguishes from a replay (a doorbell): a burst of 60, then 60 a minute.
    Doorbell,
}

impl Pace {
    fn gcra(self) -> Gcra {
        let count = match self {
            Self::Repeat => 10,
            Self::Doorbell => 60,
        };
        let per = Duration::from_mins(1);
        Gcra::new(Rate { count, per }, count)
    }
}

/// Forwarded repeats of the whole process, by delivery key, and by key and client prefix.
pub struct Forwards {
    keys: Table<()>,
    clients: Table<()>,
    waiting: AtomicUsize,
}

/// Held while a request waits for a place.
#[must_use]
pub struct Waiting<'a>(&'a AtomicUsize);

impl Forwards {
    /// Full buckets for each client.
    pub fn new() -> Self {
        Self {
            keys: Table::new(MAX_BUCKETS),
            clients: Table::new(MAX_BUCKETS),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Takes a place for one repeat; else the time until there is one.
    pub fn take(&self, key: &DeliveryKey, client: IpAddr, pace: Pace, now: Monotonic) -> Result<(), Duration> {
        let of_client = (key, Prefix::of(client));
        let (narrow, wide) = (pace.gcra(), pace.gcra().widened(CLIENTS_PER_KEY));
        // Both before either is spent: a client that waits for the key does not lose its own places meanwhile.
        let wait = self
            .clients
            .wait(of_client, narrow, now)
            .max(self.keys.wait(key, wide, now));
        if let Some(wait) = wait {
            return Err(wait);
        }
        self.clients.take_or_wait(of_client, narrow, now)?;
        self.keys.take_or_wait(key, wide, now)
    }

    /// Permission to wait for a place; `None` while enough others wait.
    pub fn wait(&self) -> Option<Waiting<'_>> {
        let more = |waiting| (waiting < MAX_WAITING).then_some(waiting + 1);
        let waits = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        waits.ok().map(|_| Waiting(&self.waiting))
    }
}

impl Default for Forwards {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(first: u8) -> DeliveryKey {
        DeliveryKey::from_bytes([first; 32])
    }

    fn client(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_client_has_ten_places_of_a_key_and_one_every_six_seconds() {
        let forwards = Forwards::new();
        let take = |first, last, now| forwards.take(&key(first), client(last), Pace::Repeat, at(now));
        for _ in 0..10 {
            assert_eq!(take(1, 1, 0), Ok(()));
        }
        assert_eq!(take(1, 1, 0), Err(Duration::from_secs(6)));
        assert_eq!(take(2, 1, 0), Ok(()), "another key has its own");
        assert_eq!(take(1, 2, 0), Ok(()), "another client has its own");
        assert_eq!(take(1, 1, 6), Ok(()));
        assert!(take(1, 1, 6).is_err());
    }

    #[test]
    fn a_key_has_the_places_of_four_clients_and_waiting_spends_none() {
        let forwards = Forwards::new();
        let take = |last, now| forwards.take(&key(1), client(last), Pace::Repeat, at(now));
        for last in 0..4 {
            for _ in 0..10 {
                assert_eq!(take(last, 0), Ok(()));
            }
        }
        for _ in 0..20 {
            assert_eq!(take(9, 0), Err(Duration::from_millis(1500)));
        }
        assert_eq!(take(9, 2), Ok(()));
    }

    #[test]
    fn a_doorbell_rings_sixty_times() {
        let forwards = Forwards::new();
        for _ in 0..60 {
            assert_eq!(forwards.take(&key(1), client(1), Pace::Doorbell, at(0)), Ok(()));
        }
        assert_eq!(
            forwards.take(&key(1), client(1), Pace::Doorbell, at(0)),
            Err(Duration::from_secs(1))
        );
    }

    #[test]
    fn few_wait_at_one_time() {
        let forwards = Forwards::new();
        let waiting: Vec<_> = (0..MAX_WAITING).map_while(|_| forwards.wait()).collect();
        assert_eq!((waiting.len(), forwards.wait().is_none()), (MAX_WAITING, true));
        drop(waiting);
        assert!(forwards.wait().is_some());
    }
}
