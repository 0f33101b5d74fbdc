//! governor's state, in a store of our own: bounded, and able to answer what a bucket would say without spending from it.

use governor::{
    nanos::Nanos,
    state::{StateStore, keyed::ShrinkableKeyedStateStore},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

const SHARDS: usize = 16;
/// How many keys one limit tracks.
pub(super) const KEYS: usize = 65_536;

/// Which bucket, and whether a cell is to be taken from it or only looked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Cell {
    /// `None`: the bucket that everybody shares.
    pub(super) key: Option<u64>,
    pub(super) spend: bool,
}

/// The buckets of one limit, as nanoseconds since governor's start; clones are the same buckets.
#[derive(Clone, Default)]
pub(super) struct Cells(Arc<Buckets>);

#[derive(Default)]
struct Buckets {
    // Zero is an untouched bucket, as in governor's own stores.
    shared: AtomicU64,
    shards: [Mutex<HashMap<u64, u64>>; SHARDS],
}

impl Cells {
    /// Is this key tracked, or is there room to track it?
    pub(super) fn has_room(&self, key: u64) -> bool {
        let shard = self.shard(key);
        shard.len() < KEYS / SHARDS || shard.contains_key(&key)
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, u64>> {
        lock(&self.0.shards[usize::try_from(key >> 60).expect("four bits")])
    }
}

fn lock(shard: &Mutex<HashMap<u64, u64>>) -> MutexGuard<'_, HashMap<u64, u64>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn nanos(bucket: u64) -> Option<Nanos> {
    (bucket != 0).then(|| Nanos::new(bucket))
}

impl StateStore for Cells {
    type Key = Cell;

    fn measure_and_replace<T, F, E>(&self, cell: &Cell, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let Some(key) = cell.key else {
            let bucket = &self.0.shared;
            let mut seen = bucket.load(Ordering::Acquire);
            loop {
                let (outcome, new) = decide(nanos(seen))?;
                if !cell.spend {
                    return Ok(outcome);
                }
                match bucket.compare_exchange_weak(seen, new.as_u64(), Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return Ok(outcome),
                    Err(changed) => seen = changed,
                }
            }
        };
        let mut shard = self.shard(key);
        let (outcome, new) = decide(shard.get(&key).copied().and_then(nanos))?;
        if cell.spend {
            shard.insert(key, new.as_u64());
        }
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<Cell> for Cells {
    fn retain_recent(&self, drop_below: Nanos) {
        for shard in &self.0.shards {
            lock(shard).retain(|_, bucket| *bucket > drop_below.as_u64());
        }
    }

    fn shrink_to_fit(&self) {
        for shard in &self.0.shards {
            lock(shard).shrink_to_fit();
        }
    }

    fn len(&self) -> usize {
        self.0.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_is_full_again_takes_no_memory() {
        let cells = Cells::default();
        assert!(cells.is_empty());
        let put = |key, full_at| {
            let cell = Cell {
                key: Some(key),
                spend: true,
            };
            let written: Result<(), ()> = cells.measure_and_replace(&cell, |_| Ok(((), Nanos::new(full_at))));
            assert_eq!(written, Ok(()));
        };
        for (key, full_at) in [(1, 4), (2, 5), (3, 6)] {
            put(key, full_at);
        }
        assert_eq!((cells.len(), cells.is_empty()), (3, false));
        cells.retain_recent(Nanos::new(5));
        assert_eq!(*cells.shard(0), HashMap::from([(3, 6)]));
        for key in 10..1000 {
            put(key, 1);
        }
        cells.retain_recent(Nanos::new(5));
        cells.shrink_to_fit();
        assert!(cells.shard(0).capacity() < 100, "{}", cells.shard(0).capacity());
    }
}
