//! Sends to optional destinations, which may take longer than their attempt: one at a time for each delivery.
//!
//! The required destination may fail, and the sender retry, while the optional one still works on the first copy.

use crate::event::{DeliveryKey, DestinationName};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// At most so many sends of one delivery to one destination: one is under way, and one waits in case it fails.
const MAX_SENDS: usize = 2;

/// The sends to optional destinations that are under way in this process. Bounded by the sends: an entry lives as long as
/// one of its two.
#[derive(Default)]
pub struct Asides(Mutex<Lanes>);

type Lanes = HashMap<(DeliveryKey, DestinationName), Arc<Lane>>;

/// The sends of one delivery to one destination.
#[derive(Default)]
struct Lane {
    sends: AtomicUsize,
    /// Did one of them succeed? Whoever sends holds the lock.
    succeeded: tokio::sync::Mutex<bool>,
}

/// A send's claim to be one of those of its delivery.
pub(super) struct Aside {
    asides: Arc<Asides>,
    key: (DeliveryKey, DestinationName),
    lane: Arc<Lane>,
}

/// The right to send now.
pub(super) struct Turn<'a>(tokio::sync::MutexGuard<'a, bool>);

impl Asides {
    /// `None` if one send is under way and another one waits already.
    pub(super) fn enter(self: &Arc<Self>, key: DeliveryKey, to: &DestinationName) -> Option<Aside> {
        let key = (key, to.clone());
        let mut lanes = self.lanes();
        let lane = lanes.entry(key.clone()).or_default();
        if lane.sends.load(Relaxed) >= MAX_SENDS {
            return None;
        }
        lane.sends.fetch_add(1, Relaxed);
        let lane = lane.clone();
        drop(lanes);
        Some(Aside {
            asides: self.clone(),
            key,
            lane,
        })
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Aside {
    /// Waits for the send that is under way. `None`: it has succeeded.
    pub async fn turn(&self) -> Option<Turn<'_>> {
        let succeeded = self.lane.succeeded.lock().await;
        (!*succeeded).then_some(Turn(succeeded))
    }
}

impl Turn<'_> {
    /// The destination has it: nobody sends it again.
    pub fn succeeded(mut self) {
        *self.0 = true;
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let mut lanes = self.asides.lanes();
        if self.lane.sends.fetch_sub(1, Relaxed) == 1 {
            lanes.remove(&self.key);
        }
    }
}
