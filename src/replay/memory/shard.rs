//! One shard of the in-process ledger: a slab of records, an index over their keys, and per source the order in which
//! they may be given up.

use super::record::{Instant, LANES, Lane, Record};
use crate::{
    event::DeliveryKey,
    replay::{
        SourceTag,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    },
};
use hashbrown::HashTable;

/// No neighbour.
const NONE: u32 = u32::MAX;
/// The slab grows by this many slots: doubling would cost twice the memory of a full ledger.
const CHUNK: usize = 64;

/// A place in the slab.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(u32);

#[derive(Default)]
pub(super) struct Shard {
    index: HashTable<u32>,
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    /// Sorted by tag; only sources that have records here.
    sources: Vec<Source>,
    last_fence: u64,
    /// Records of all shards in [`Lane::Copied`].
    copies: Arc<AtomicUsize>,
}

pub(super) struct Slot {
    key: DeliveryKey,
    /// `None`: vacant.
    record: Option<Record>,
    before: u32,
    after: u32,
}

struct Source {
    tag: SourceTag,
    records: u32,
    /// By [`Lane`]: the oldest and the newest.
    lanes: [(u32, u32); LANES],
}

/// What was given up to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Expired,
    Copied,
    Delivered,
    Failed,
}

impl Shard {
    /// An empty one that counts its copies there.
    pub(super) fn new(copies: &Arc<AtomicUsize>) -> Self {
        Self {
            copies: Arc::clone(copies),
            ..Self::default()
        }
    }

    /// The record of a key, unless its time is over; `gone` counts what is removed for that.
    pub(super) fn find(&mut self, key: &DeliveryKey, now: Instant, gone: &mut usize) -> Option<Id> {
        let slots = &self.slots;
        let id = Id(*self.index.find(hash(key), |&id| slots[id as usize].key == *key)?);
        if self.record(id).expires <= now {
            self.remove(id);
            *gone += 1;
            return None;
        }
        Some(id)
    }

    pub(super) fn record(&self, id: Id) -> &Record {
        let record = &self.slots[id.0 as usize].record;
        record.as_ref().expect("an id is handed out for an occupied slot only")
    }

    pub(super) fn key(&self, id: Id) -> DeliveryKey {
        self.slots[id.0 as usize].key
    }

    /// Changes a record; one that changes its lane or its time becomes the newest of its lane.
    pub(super) fn change<T>(&mut self, id: Id, change: impl FnOnce(&mut Record) -> T) -> T {
        let slot = &mut self.slots[id.0 as usize];
        let record = slot
            .record
            .as_mut()
            .expect("an id is handed out for an occupied slot only");
        let before = (record.lane(), record.expires);
        let result = change(record);
        let after = (record.lane(), record.expires);
        self.last_fence = self.last_fence.max(record.fence);
        // A delivered record that is only asked for keeps its age.
        if before != after {
            self.unlink(id, before.0);
            self.link(id);
        }
        result
    }

    pub(super) fn insert(&mut self, key: DeliveryKey, record: Record, tag: &SourceTag) -> Id {
        let slot = Slot {
            key,
            record: Some(record),
            before: NONE,
            after: NONE,
        };
        let id = Id(if let Some(place) = self.vacant.pop() {
            self.slots[place as usize] = slot;
            place
        } else {
            if self.slots.len() == self.slots.capacity() {
                self.slots.reserve_exact(CHUNK);
            }
            self.slots.push(slot);
            u32::try_from(self.slots.len() - 1).expect("a shard holds fewer than 2^32 records")
        });
        let slots = &self.slots;
        self.index
            .insert_unique(hash(&key), id.0, |&id| hash(&slots[id as usize].key));
        self.last_fence = self.last_fence.max(self.record(id).fence);
        let place = self.place(tag.digest()).unwrap_or_else(|place| {
            let source = Source {
                tag: tag.clone(),
                records: 0,
                lanes: [(NONE, NONE); LANES],
            };
            self.sources.insert(place, source);
            place
        });
        self.sources[place].records += 1;
        self.link(id);
        id
    }

    pub(super) fn remove(&mut self, id: Id) {
        self.unlink(id, self.record(id).lane());
        let tag = self.record(id).source;
        let place = self.place_of(tag);
        self.sources[place].records -= 1;
        if self.sources[place].records == 0 {
            self.sources.remove(place);
        }
        let key = self.slots[id.0 as usize].key;
        if let Ok(entry) = self.index.find_entry(hash(&key), |&other| other == id.0) {
            entry.remove();
        }
        self.slots[id.0 as usize].record = None;
        self.vacant.push(id.0);
    }

    /// The smallest fence that is larger than all before it, in this shard and so for every key in it.
    pub(super) fn next_fence(&self, now: Instant) -> u64 {
        (self.last_fence + 1).max(now.as_fence())
    }

    /// Gives one record up for a new one of `source`: what is over anyway, else the oldest copy, else the oldest
    /// delivered, else the oldest that failed everywhere, each of the source that has the most; never of one that has
    /// less than `source` itself. `copies`: for a new copy, which is worth no other record than a copy.
    pub(super) fn evict(&mut self, source: &SourceTag, now: Instant, copies: bool) -> Option<Victim> {
        if let Some(id) = self.stale(now) {
            self.remove(id);
            return Some(Victim::Expired);
        }
        let own = self.place(source.digest()).ok();
        let own = own.map_or(0, |place| self.sources[place].records);
        let lanes = [
            (Lane::Copied, Victim::Copied),
            (Lane::Delivered, Victim::Delivered),
            (Lane::Failed, Victim::Failed),
        ];
        for (lane, victim) in lanes.into_iter().take(if copies { 1 } else { lanes.len() }) {
            // What this process alone knows is worth any copy.
            let least = if lane == Lane::Copied && !copies { 0 } else { own };
            let oldest = self
                .sources
                .iter()
                .filter(|other| other.records >= least && other.lanes[lane as usize].0 != NONE)
                .map(|other| (other.records, Id(other.lanes[lane as usize].0)))
                .max_by_key(|&(records, id)| (records, std::cmp::Reverse(self.record(id).fence)));
            if let Some((_, id)) = oldest {
                self.remove(id);
                return Some(victim);
            }
        }
        None
    }

    /// Drops all records whose time is over; returns how many.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let mut over = self.ids();
        over.retain(|&id| self.record(id).expires <= now);
        for &id in &over {
            self.remove(id);
        }
        over.len()
    }

    /// A record whose time is over, if one is the oldest of its lane: nearly always so, and cheap to see.
    fn stale(&self, now: Instant) -> Option<Id> {
        let heads = self
            .sources
            .iter()
            .flat_map(|source| source.lanes.map(|(oldest, _)| oldest));
        heads
            .filter(|&id| id != NONE)
            .map(Id)
            .find(|&id| self.record(id).expires <= now)
    }

    /// All records, in no order.
    fn ids(&self) -> Vec<Id> {
        self.index.iter().map(|&id| Id(id)).collect()
    }

    /// The records that are no copies, source by source.
    pub(super) fn own(&self) -> Vec<Id> {
        let lanes = [Lane::Pinned, Lane::Failed, Lane::Delivered];
        let walks = self
            .sources
            .iter()
            .map(|source| lanes.map(|lane| self.walk(source, lane)));
        walks.flatten().flatten().collect()
    }

    /// One lane of a source, the oldest first.
    pub(super) fn lane(&self, source: &SourceTag, lane: Lane) -> Vec<Id> {
        let place = self.place(source.digest());
        place.map_or_else(|_| Vec::new(), |place| self.walk(&self.sources[place], lane).collect())
    }

    fn walk(&self, source: &Source, lane: Lane) -> impl Iterator<Item = Id> + use<'_> {
        let id = |place| (place != NONE).then_some(Id(place));
        let first = id(source.lanes[lane as usize].0);
        std::iter::successors(first, move |&Id(place)| id(self.slots[place as usize].after))
    }

    /// Whose a record is.
    pub(super) fn tag(&self, id: Id) -> &SourceTag {
        &self.sources[self.place_of(self.record(id).source)].tag
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.index.allocation_size() + self.vacant.capacity() * 4
    }

    fn place(&self, digest: u64) -> Result<usize, usize> {
        self.sources.binary_search_by_key(&digest, |source| source.tag.digest())
    }

    fn place_of(&self, digest: u64) -> usize {
        self.place(digest).expect("a source is listed while it has records")
    }

    fn link(&mut self, id: Id) {
        let (source, lane) = (self.record(id).source, self.record(id).lane());
        if lane == Lane::Copied {
            self.copies.fetch_add(1, Ordering::Relaxed);
        }
        let (place, lane) = (self.place_of(source), lane as usize);
        let (oldest, newest) = self.sources[place].lanes[lane];
        let slot = &mut self.slots[id.0 as usize];
        (slot.before, slot.after) = (newest, NONE);
        if newest != NONE {
            self.slots[newest as usize].after = id.0;
        }
        self.sources[place].lanes[lane] = (if oldest == NONE { id.0 } else { oldest }, id.0);
    }

    fn unlink(&mut self, id: Id, lane: Lane) {
        if lane == Lane::Copied {
            self.copies.fetch_sub(1, Ordering::Relaxed);
        }
        let place = self.place_of(self.record(id).source);
        let Slot { before, after, .. } = self.slots[id.0 as usize];
        let ends = &mut self.sources[place].lanes[lane as usize];
        if before == NONE {
            ends.0 = after;
        } else {
            self.slots[before as usize].after = after;
        }
        if after == NONE {
            ends.1 = before;
        } else {
            self.slots[after as usize].before = before;
        }
    }
}

/// A key is a SHA-256 digest: any eight bytes of it are a hash. The shard was chosen by others.
fn hash(key: &DeliveryKey) -> u64 {
    let (_, last) = key.as_bytes().split_last_chunk().expect("a key has 32 bytes");
    u64::from_le_bytes(*last)
}
