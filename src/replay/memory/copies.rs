//! What this process remembers of another ledger: deliveries that Redis has called delivered. In an outage they are
//! answered as Redis would have answered, and for a second after Redis has spoken nobody asks it again.

use super::{Instant, Lane, MemoryLedger, Record, State, lock};
use crate::replay::sync::atomic::Ordering;
use crate::{
    event::{DeliveryKey, Monotonic},
    replay::{Ask, Delivered, Settlement, SourceTag},
};
use std::time::Duration;

/// What this process knows of a delivery before Redis is asked.
pub(in crate::replay) enum Glance {
    /// Nothing.
    Nothing,
    /// Another attempt holds it here, granted in an outage, for at most this long.
    Held(Duration),
    /// It succeeded here, in an outage, and Redis does not know.
    Owed(Box<Settlement>),
    /// Redis has called it delivered.
    Copy {
        delivered: Delivered,
        /// So lately that it need not be asked again.
        believed: bool,
    },
}

impl MemoryLedger {
    /// True if it holds nothing at all, of its own or of another ledger's.
    pub(in crate::replay) fn is_blank(&self) -> bool {
        self.records.load(Ordering::Relaxed) == 0
    }

    /// Delivered records of another ledger that are remembered.
    pub fn copies(&self) -> usize {
        self.copies.load(Ordering::Relaxed)
    }

    pub(in crate::replay) fn glance(&self, ask: &Ask) -> Glance {
        let known = self.existing(&ask.key, |shard, id, now| {
            let record = shard.record(id);
            match &record.state {
                State::Held { owner, until } if *owner != ask.owner && *until > now => Glance::Held(until.left_at(now)),
                State::Copy { believed_until, .. } => match record.delivered(now) {
                    Some(delivered) => Glance::Copy {
                        delivered,
                        believed: *believed_until > now,
                    },
                    None => Glance::Nothing,
                },
                _ => self
                    .success_of(shard, id, now)
                    .map_or(Glance::Nothing, |success| Glance::Owed(Box::new(success))),
            }
        });
        known.unwrap_or(Glance::Nothing)
    }

    /// Remembers that another ledger called a delivery delivered. `asked`: before it was asked, so that the copy neither
    /// outlives the record nor is believed for longer than `believed` after the answer was true. What this ledger has of
    /// its own on the delivery stays; where there is no room but by giving up more than a copy, nothing is remembered.
    pub(in crate::replay) fn learn(
        &self,
        source: &SourceTag,
        key: &DeliveryKey,
        delivered: &Delivered,
        asked: Monotonic,
        believed: Duration,
    ) {
        let (now, asked) = (self.now(), Instant::of(asked));
        let copy = Record::copy(source.digest(), delivered, asked, believed);
        if copy.expires <= now {
            return;
        }
        let mut shard = lock(&self.shards[self.shard(key)]);
        match self.find(&mut shard, key, now) {
            Some(id) if shard.record(id).lane() == Lane::Copied => shard.change(id, |record| *record = copy),
            None if self.reserve() || shard.evict(source, now, true).is_some() => {
                shard.insert(*key, copy, source);
            }
            Some(_) | None => {}
        }
    }

    /// Forgets a copy; what is this ledger's own stays.
    pub(in crate::replay) fn unlearn(&self, key: &DeliveryKey) {
        self.existing(key, |shard, id, _| {
            if shard.record(id).lane() == Lane::Copied {
                self.remove(shard, id);
            }
        });
    }

    /// Forgets all copies of a source.
    pub(in crate::replay) fn unlearn_all(&self, source: &SourceTag) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            for id in shard.lane(source, Lane::Copied) {
                self.remove(&mut shard, id);
            }
        }
    }
}
