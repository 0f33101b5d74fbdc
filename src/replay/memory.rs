//! The ledger in this process: bounded, shared fairly among sources, forgotten at restart.
//!
//! Not a cache: an admission policy may refuse or evict a live record, which is a replay hole that nobody sees. Here a
//! record whose delivery is under way is never given up, and every delivered one that is given up early is counted.

mod names;
mod record;
mod shard;
#[cfg(test)]
mod tests;

use self::{
    names::Names,
    record::{Found, Instant, Record, State},
    shard::{Id, Shard, Victim},
};
use super::{
    Ask, Forgotten, Grant, Ledger, Renewal, Renewed, Settled, Settlement, Unavailable, Verdict,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use crate::event::{Clock, DeliveryKey, DestinationName, Nonce};
use std::{num::NonZeroUsize, time::Duration};

/// At most this many shards, each behind a lock of its own.
const SHARDS: usize = 64;
/// Fewer records than this are not worth a shard: a small ledger forgets in the exact order of age. Where every order of
/// steps is tried, a ledger of four has more than one.
const SHARD_RECORDS: usize = if cfg!(all(test, feature = "shuttle")) { 2 } else { 256 };

/// A [`Ledger`] in this process.
pub struct MemoryLedger {
    shards: Box<[Mutex<Shard>]>,
    names: Names,
    clock: Arc<dyn Clock>,
    limit: usize,
    records: AtomicUsize,
    forgotten: AtomicU64,
}

impl MemoryLedger {
    /// A ledger of at most `entries` records; about 132 bytes each once they exist.
    pub fn new(clock: Arc<dyn Clock>, entries: NonZeroUsize) -> Self {
        let shards = 1 << (entries.get() / SHARD_RECORDS).clamp(1, SHARDS).ilog2();
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            names: Names::default(),
            clock,
            limit: entries.get(),
            records: AtomicUsize::new(0),
            forgotten: AtomicU64::new(0),
        }
    }

    /// Records held now, those among them whose time is over but that nobody has asked for yet.
    pub fn entries(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    /// Delivered records that were given up before their time because the ledger was full.
    pub fn evicted(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// Drops the records whose time is over. Only memory is at stake: they count for nothing before that either.
    pub fn sweep(&self) {
        let now = self.now();
        for shard in &self.shards {
            let gone = lock(shard).expire(now);
            self.records.fetch_sub(gone, Ordering::Relaxed);
        }
    }

    /// [`Ledger::claim`], at once.
    pub fn claim_now(&self, ask: &Ask) -> Result<Verdict, Unavailable> {
        self.with_record(&ask.key, ask.source, |shard, id, now| match id {
            Some(id) => {
                let floor = shard.next_fence(now);
                let found = shard.change(id, |record| record.claim(ask, now, floor));
                Step::Finished(match found {
                    Found::Granted => Verdict::Claimed(self.grant(shard.record(id))),
                    Found::Busy(left) => Verdict::Busy { left },
                    Found::Done(seen) => Verdict::Done(seen),
                })
            }
            None => Step::Insert(Record::claimed(ask, now, shard.next_fence(now))),
        })
    }

    /// [`Ledger::settle`], at once.
    pub fn settle_now(&self, settlement: &Settlement) -> Result<Settled, Unavailable> {
        self.with_record(&settlement.key, settlement.source, |shard, id, now| match id {
            Some(id) => Step::Finished(shard.change(id, |record| record.settle(settlement, now, &self.names))),
            None if settlement.delivered.is_empty() => Step::Finished(Settled::Open),
            None => Step::Insert(Record::lost(settlement, now)),
        })
    }

    /// [`Ledger::renew`], at once.
    pub fn renew_now(&self, renewal: &Renewal) -> Renewed {
        self.existing(&renewal.key, |shard, id, now| {
            shard.change(id, |record| record.renew(renewal, now))
        })
        .unwrap_or(Renewed::Fenced)
    }

    /// [`Ledger::release`], at once.
    pub fn release_now(&self, key: &DeliveryKey, owner: &Nonce) {
        self.existing(key, |shard, id, _| {
            if shard.change(id, |record| record.release(owner)) {
                shard.remove(id);
                self.records.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }

    /// [`Ledger::forget`], at once.
    pub fn forget_now(&self, key: &DeliveryKey, window: Duration) -> Forgotten {
        self.existing(key, |shard, id, now| {
            shard.change(id, |record| record.forget(now, window))
        })
        .unwrap_or(Forgotten::Unknown)
    }

    /// How long another attempt holds a delivery here at most; `None` if none does.
    pub(super) fn held(&self, ask: &Ask) -> Option<Duration> {
        self.existing(&ask.key, |shard, id, now| match &shard.record(id).state {
            State::Held { owner, until } if *owner != ask.owner && *until > now => Some(until.left_at(now)),
            _ => None,
        })
        .flatten()
    }

    /// What this ledger knows of a delivery's success, as a settlement for another ledger.
    pub(super) fn success(&self, key: &DeliveryKey) -> Option<Settlement> {
        self.existing(key, |shard, id, now| self.success_of(shard, id, now))
            .flatten()
    }

    /// Up to `limit` successes as settlements for another ledger; records that nobody holds and that know of no success
    /// are dropped on the way.
    pub(super) fn successes(&self, limit: usize) -> Vec<Settlement> {
        let now = self.now();
        let mut found = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            for id in shard.ids() {
                if found.len() == limit {
                    return found;
                }
                match self.success_of(&shard, id, now) {
                    Some(settlement) => found.push(settlement),
                    None if !matches!(shard.record(id).state, State::Held { .. }) => {
                        shard.remove(id);
                        self.records.fetch_sub(1, Ordering::Relaxed);
                    }
                    None => {}
                }
            }
        }
        found
    }

    /// Another ledger has taken this success over: drops its record unless something newer has happened to it.
    pub(super) fn written(&self, key: &DeliveryKey, fence: u64) {
        self.existing(key, |shard, id, _| {
            let record = shard.record(id);
            if record.fence == fence && !matches!(record.state, State::Held { .. }) {
                shard.remove(id);
                self.records.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }

    fn success_of(&self, shard: &Shard, id: Id, now: Instant) -> Option<Settlement> {
        let record = shard.record(id);
        let (delivered, id_digest, mac, done) = match &record.state {
            _ if record.expires <= now => return None,
            // Which destinations had it matters no more at D, so any name stands for them.
            State::Done { id, mac, .. } => (vec![DestinationName::upstream()], *id, *mac, true),
            State::Free if !record.noted.is_empty() => (self.names.list(&record.noted), None, None, false),
            State::Free | State::Held { .. } => return None,
        };
        let left = record.expires.left_at(now);
        Some(Settlement {
            key: shard.key(id),
            source: record.source,
            fence: record.fence,
            attempt: record.attempts,
            keep: left,
            open: left,
            required: if done { delivered.clone() } else { Vec::new() },
            delivered,
            // The attempt may be at work still: only it says when it is over.
            last: false,
            id: id_digest,
            mac,
        })
    }

    fn grant(&self, record: &Record) -> Grant {
        Grant {
            fence: record.fence,
            attempt: record.attempts,
            delivered: self.names.list(&record.noted),
        }
    }

    /// Memory held for records, full or vacant.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).bytes()).sum()
    }

    fn now(&self) -> Instant {
        Instant::of(self.clock.monotonic())
    }

    fn shard(&self, key: &DeliveryKey) -> usize {
        let [a, b, ..] = *key.as_bytes();
        usize::from(u16::from_le_bytes([a, b])) & (self.shards.len() - 1)
    }

    fn existing<T>(&self, key: &DeliveryKey, act: impl FnOnce(&mut Shard, Id, Instant) -> T) -> Option<T> {
        let now = self.now();
        let mut shard = lock(&self.shards[self.shard(key)]);
        let mut gone = 0;
        let id = shard.find(key, now, &mut gone);
        self.records.fetch_sub(gone, Ordering::Relaxed);
        id.map(|id| act(&mut shard, id, now))
    }

    /// Runs `step` on the record of a key; if it wants a record that is not there, makes room, inserts it and runs `step`
    /// again, which then finds it.
    fn with_record<T>(
        &self,
        key: &DeliveryKey,
        source: super::SourceTag,
        step: impl Fn(&mut Shard, Option<Id>, Instant) -> Step<T>,
    ) -> Result<T, Unavailable> {
        let now = self.now();
        let home = self.shard(key);
        let mut shard = lock(&self.shards[home]);
        let mut room = false;
        loop {
            let mut gone = 0;
            let id = shard.find(key, now, &mut gone);
            self.records.fetch_sub(gone, Ordering::Relaxed);
            match step(&mut shard, id, now) {
                Step::Finished(result) => {
                    if room {
                        // Somebody else inserted it while the lock was free.
                        self.records.fetch_sub(1, Ordering::Relaxed);
                    }
                    return Ok(result);
                }
                Step::Insert(record) if room || self.reserve() || self.make_room(&mut shard, source, now) => {
                    shard.insert(*key, record);
                    room = false;
                }
                // Nothing to give up in this shard: look into the others, one lock at a time.
                Step::Insert(_) => {
                    drop(shard);
                    let others = (1..self.shards.len()).map(|step| &self.shards[(home + step) % self.shards.len()]);
                    room = others
                        .into_iter()
                        .any(|other| self.make_room(&mut lock(other), source, now));
                    if !room {
                        return Err(Unavailable {
                            reason: format!("all {} records of the in-process ledger are in use", self.limit),
                        });
                    }
                    shard = lock(&self.shards[home]);
                }
            }
        }
    }

    /// Takes the place of one more record, if there is one.
    fn reserve(&self) -> bool {
        let more = |records| (records < self.limit).then_some(records + 1);
        self.records
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    /// Gives a record up and keeps its place.
    fn make_room(&self, shard: &mut MutexGuard<'_, Shard>, source: super::SourceTag, now: Instant) -> bool {
        let victim = shard.evict(source, now);
        if victim == Some(Victim::Delivered) {
            self.forgotten.fetch_add(1, Ordering::Relaxed);
        }
        victim.is_some()
    }
}

enum Step<T> {
    Finished(T),
    Insert(Record),
}

/// A panic under this lock would be a bug of ours; the other records are still worth more than none.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger for MemoryLedger {
    async fn claim(&self, ask: &Ask) -> Result<Verdict, Unavailable> {
        self.claim_now(ask)
    }

    async fn settle(&self, settlement: &Settlement) -> Result<Settled, Unavailable> {
        self.settle_now(settlement)
    }

    async fn renew(&self, renewal: &Renewal) -> Result<Renewed, Unavailable> {
        Ok(self.renew_now(renewal))
    }

    async fn release(&self, key: &DeliveryKey, owner: &Nonce) -> Result<(), Unavailable> {
        self.release_now(key, owner);
        Ok(())
    }

    async fn forget(&self, key: &DeliveryKey, window: Duration) -> Result<Forgotten, Unavailable> {
        Ok(self.forget_now(key, window))
    }
}
