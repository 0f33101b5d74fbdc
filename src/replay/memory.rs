//! The ledger in this process: bounded, shared fairly among sources, forgotten at restart.
//!
//! Not a cache: an admission policy may refuse or evict a live record, which is a replay hole that nobody sees. Here a
//! record whose delivery is under way is never given up, and every delivered one that is given up early is counted.

mod copies;
mod names;
mod record;
mod shard;
mod successes;
#[cfg(test)]
mod tests;

pub(super) use self::copies::Glance;
use self::{
    names::{Events, Names},
    record::{Found, Instant, Lane, Record, State},
    shard::{Id, Shard, Victim},
};
use super::{
    Ask, Forgotten, Grant, Lately, Ledger, Recalled, Renewal, Renewed, Settled, Settlement, SourceTag, Unavailable,
    Verdict,
    lately::SLACK,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use crate::event::{Clock, DeliveryKey, EventName, Nonce, Variant};
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
    events: Events,
    clock: Arc<dyn Clock>,
    limit: usize,
    records: AtomicUsize,
    copies: Arc<AtomicUsize>,
    forgotten: AtomicU64,
}

impl MemoryLedger {
    /// A ledger of at most `entries` records; about 176 bytes each once they exist.
    pub fn new(clock: Arc<dyn Clock>, entries: NonZeroUsize) -> Self {
        let shards = 1 << (entries.get() / SHARD_RECORDS).clamp(1, SHARDS).ilog2();
        let copies = Arc::default();
        Self {
            shards: (0..shards).map(|_| Mutex::new(Shard::new(&copies))).collect(),
            names: Names::default(),
            events: Events::default(),
            clock,
            limit: entries.get(),
            records: AtomicUsize::new(0),
            copies,
            forgotten: AtomicU64::new(0),
        }
    }

    /// Records of its own held now, those among them whose time is over but that nobody has asked for yet. What it only
    /// remembers of another ledger is not counted.
    pub fn entries(&self) -> usize {
        // Two figures that are not read at one time.
        let records = self.records.load(Ordering::Relaxed);
        records.saturating_sub(self.copies.load(Ordering::Relaxed))
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
        self.with_record(&ask.key, &ask.source, |shard, id, now| match id {
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
        self.with_record(&settlement.key, &settlement.source, |shard, id, now| match id {
            Some(id) => {
                Step::Finished(shard.change(id, |record| record.settle(settlement, now, &self.names, &self.events)))
            }
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
                self.remove(shard, id);
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

    /// [`Ledger::note_repeat`], at once.
    pub fn note_repeat_now(&self, key: &DeliveryKey, variant: Variant, max: usize) {
        let forgotten = self.existing(key, |shard, id, _| {
            shard.change(id, |record| record.note_repeat(variant, max))
        });
        for variant in forgotten.into_iter().flatten() {
            self.existing(&key.of_repeat(&variant), |shard, id, _| {
                if matches!(shard.record(id).lane(), Lane::Delivered | Lane::Copied) {
                    self.remove(shard, id);
                }
            });
        }
    }

    /// [`Ledger::forget_since`], at once.
    pub fn forget_since_now(&self, source: &SourceTag, lately: &Lately) -> Recalled {
        let now = self.now();
        let (earliest, through) = (now.minus(lately.within), now.plus(lately.window).minus(SLACK));
        let mut deliverable = 0;
        for shard in &self.shards {
            let mut shard = lock(shard);
            for id in shard.lane(source, Lane::Delivered) {
                let record = shard.record(id);
                let meant = match &record.state {
                    State::Done {
                        at, event, again_until, ..
                    } if *at >= earliest && record.expires > now && *again_until < through => {
                        !lately.asks_for_events()
                            || lately.means(self.events.name(*event).as_ref().map(EventName::as_str))
                    }
                    _ => false,
                };
                if meant {
                    shard.change(id, |record| record.forget(now, lately.window));
                    deliverable += 1;
                }
            }
        }
        Recalled {
            deliverable,
            complete: true,
        }
    }

    fn grant(&self, record: &Record) -> Grant {
        Grant {
            fence: record.fence,
            attempt: record.attempts,
            delivered: self.names.list(&record.noted),
            redelivery: record.redelivery,
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
        let id = self.find(&mut shard, key, now);
        id.map(|id| act(&mut shard, id, now))
    }

    fn find(&self, shard: &mut Shard, key: &DeliveryKey, now: Instant) -> Option<Id> {
        let mut gone = 0;
        let id = shard.find(key, now, &mut gone);
        if gone > 0 {
            self.records.fetch_sub(gone, Ordering::Relaxed);
        }
        id
    }

    fn remove(&self, shard: &mut Shard, id: Id) {
        shard.remove(id);
        self.records.fetch_sub(1, Ordering::Relaxed);
    }

    /// Runs `step` on the record of a key; if it wants a record that is not there, makes room, inserts it and runs `step`
    /// again, which then finds it.
    fn with_record<T>(
        &self,
        key: &DeliveryKey,
        source: &SourceTag,
        step: impl Fn(&mut Shard, Option<Id>, Instant) -> Step<T>,
    ) -> Result<T, Unavailable> {
        let now = self.now();
        let home = self.shard(key);
        let mut shard = lock(&self.shards[home]);
        let mut room = false;
        loop {
            let id = self.find(&mut shard, key, now);
            match step(&mut shard, id, now) {
                Step::Finished(result) => {
                    if room {
                        // Somebody else inserted it while the lock was free.
                        self.records.fetch_sub(1, Ordering::Relaxed);
                    }
                    return Ok(result);
                }
                Step::Insert(record) if room || self.reserve() || self.make_room(&mut shard, source, now) => {
                    shard.insert(*key, record, source);
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
    fn make_room(&self, shard: &mut MutexGuard<'_, Shard>, source: &SourceTag, now: Instant) -> bool {
        let victim = shard.evict(source, now, false);
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

    async fn release(&self, _: &SourceTag, key: &DeliveryKey, owner: &Nonce) -> Result<(), Unavailable> {
        self.release_now(key, owner);
        Ok(())
    }

    async fn forget(&self, _: &SourceTag, key: &DeliveryKey, window: Duration) -> Result<Forgotten, Unavailable> {
        Ok(self.forget_now(key, window))
    }

    async fn note_repeat(
        &self,
        _: &SourceTag,
        key: &DeliveryKey,
        variant: Variant,
        max: usize,
    ) -> Result<(), Unavailable> {
        self.note_repeat_now(key, variant, max);
        Ok(())
    }

    async fn forget_since(&self, source: &SourceTag, lately: &Lately) -> Result<Recalled, Unavailable> {
        Ok(self.forget_since_now(source, lately))
    }
}
