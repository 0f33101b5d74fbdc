//! What another ledger is to be told after an outage.

use super::{Id, Instant, MemoryLedger, Shard, State, lock};
use crate::{
    event::{DeliveryKey, DestinationName, Values},
    replay::{Settlement, Succeeded},
};
use std::time::Duration;

impl MemoryLedger {
    /// What this ledger knows of a delivery's success, as a settlement for another ledger.
    pub(in crate::replay) fn success(&self, key: &DeliveryKey) -> Option<Settlement> {
        self.existing(key, |shard, id, now| self.success_of(shard, id, now))
            .flatten()
    }

    /// Up to `limit` successes as settlements for another ledger; records that nobody holds and that know of no success
    /// are dropped on the way.
    pub(in crate::replay) fn successes(&self, limit: usize) -> Vec<Settlement> {
        let now = self.now();
        let mut found = Vec::new();
        if self.entries() == 0 {
            return found;
        }
        for shard in &self.shards {
            let mut shard = lock(shard);
            for id in shard.own() {
                if found.len() == limit {
                    return found;
                }
                match self.success_of(&shard, id, now) {
                    Some(settlement) => found.push(settlement),
                    None if !matches!(shard.record(id).state, State::Held { .. }) => {
                        self.remove(&mut shard, id);
                    }
                    None => {}
                }
            }
        }
        found
    }

    /// Another ledger has taken this success over: a delivered record is only a copy from now on, any other is dropped,
    /// unless something newer has happened to it.
    pub(in crate::replay) fn written(&self, key: &DeliveryKey, fence: u64) {
        self.existing(key, |shard, id, now| {
            let record = shard.record(id);
            let same = record.fence == fence && matches!(record.state, State::Done { .. } | State::Free);
            if same && !shard.change(id, |record| record.become_copy(now)) {
                self.remove(shard, id);
            }
        });
    }

    pub(super) fn success_of(&self, shard: &Shard, id: Id, now: Instant) -> Option<Settlement> {
        let record = shard.record(id);
        if record.expires <= now {
            return None;
        }
        let (mut age, mut of, mut required) = (Duration::ZERO, None, Vec::new());
        let (mut values_then, mut mac_digest) = (Values::default(), None);
        let delivered = match &record.state {
            State::Done {
                values, mac, at, event, ..
            } => {
                (age, of) = (now.left_at(*at), self.events.name(*event));
                (values_then, mac_digest) = (*values, *mac);
                // Which destinations had it matters no more at D, so any name stands for them.
                required.push(DestinationName::upstream());
                required.clone()
            }
            State::Free if !record.noted.is_empty() => self.names.list(&record.noted),
            State::Free | State::Held { .. } | State::Copy { .. } => return None,
        };
        let left = record.expires.left_at(now);
        Some(Settlement {
            key: shard.key(id),
            source: shard.tag(id).clone(),
            fence: record.fence,
            attempt: record.attempts,
            keep: left,
            open: left,
            required,
            delivered,
            // The attempt may be at work still: only it says when it is over.
            last: false,
            succeeded: Succeeded::Ago(age),
            event: of,
            values: values_then,
            mac: mac_digest,
        })
    }
}
