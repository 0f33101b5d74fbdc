//! Room for bodies in memory, and fair shares of it where it is short.
//!
//! While others hold at most half of it, whoever comes first has what he needs, so that the largest honest body passes.
//! Over half the rest is shared: bodies that nothing has proven yet may hold half of all, one source half, and one
//! client's unproven bodies an eighth. So forgers cannot take the room of what is authentic, one source not that of the
//! others, and one client not that of other clients. A short body, as nearly every webhook is, needs no share but room,
//! and several large ones that nothing has proven leave some for it.

use super::{Budget, Share, prefix::Prefix};
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

const SHARDS: usize = 16;
/// Up to here a body is short, if that is not more than a sixty-fourth of all.
const SHORT: u64 = 64 * 1024;

/// All bodies of the process. Clones are the same room.
#[derive(Clone)]
pub struct Rooms(Arc<Inner>);

struct Inner {
    all: Budget,
    answers: Budget,
    bound: u64,
    unproven: AtomicU64,
    hasher: RandomState,
    // Bounded by the requests in flight: whoever holds nothing stands nowhere.
    clients: [Mutex<HashMap<Prefix, u64>>; SHARDS],
}

/// Bytes of the bodies of one source.
#[derive(Clone, Default)]
pub struct SourceBytes(Arc<AtomicU64>);

/// What one body holds; given back when dropped.
#[must_use = "room is given back when it is dropped"]
pub struct Room {
    rooms: Rooms,
    share: Share,
    source: SourceBytes,
    client: Option<Prefix>,
    size: u64,
    unproven: bool,
}

/// The room that one long answer of an app holds; given back when dropped.
#[must_use = "room is given back when it is dropped"]
pub struct AnswerRoom {
    of_answers: Share,
    of_all: Share,
}

impl AnswerRoom {
    /// Makes room for `more` bytes. After a refusal it is of no use any more.
    #[must_use]
    pub fn grow(&mut self, more: u64) -> bool {
        self.of_answers.grow(more) && self.of_all.grow(more)
    }
}

/// Why a body may not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Crowded {
    /// There is no room at all.
    #[error("limits.buffered_bytes is exhausted")]
    All,
    /// The bodies that nothing has proven yet hold half of it.
    #[error("limits.buffered_bytes: over half is in use, and bodies still unverified hold what they may have")]
    Unproven,
    /// The bodies of this source hold half of it.
    #[error("limits.buffered_bytes: over half is in use, and this source holds half of all")]
    Source,
    /// The unproven bodies of this client hold an eighth of it.
    #[error("limits.buffered_bytes: over half is in use, and this client holds an eighth of all")]
    Client,
}

impl Rooms {
    /// Room for `bound` bytes.
    pub fn new(bound: u64) -> Self {
        Self(Arc::new(Inner {
            all: Budget::new(bound),
            answers: Budget::new(bound / 2),
            bound,
            unproven: AtomicU64::new(0),
            hasher: RandomState::new(),
            clients: Default::default(),
        }))
    }

    /// An empty body of this source. `client`: whose it is; `None` where that says nothing, because its address may stand
    /// for many.
    pub fn open(&self, source: &SourceBytes, client: Option<IpAddr>) -> Room {
        Room {
            rooms: self.clone(),
            share: self.0.all.take(0).expect("nothing always fits"),
            source: source.clone(),
            client: client.map(Prefix::of),
            size: 0,
            unproven: true,
        }
    }

    /// An empty long answer of an app. All long answers together may have half of the room, so that requests always find
    /// some.
    pub fn answer(&self) -> AnswerRoom {
        let nothing = |budget: &Budget| budget.take(0).expect("nothing always fits");
        AnswerRoom {
            of_answers: nothing(&self.0.answers),
            of_all: nothing(&self.0.all),
        }
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.0.all.used()
    }

    /// More than half is in use.
    pub fn under_pressure(&self) -> bool {
        self.0.all.under_pressure()
    }

    fn clients(&self, client: Prefix) -> MutexGuard<'_, HashMap<Prefix, u64>> {
        let shard = usize::try_from(self.0.hasher.hash_one(client) >> 60).expect("four bits");
        self.0.clients[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Makes room for `more` bytes of a body that is being read. `known`: is the client an honest one, whose bodies are
    /// bounded by their source alone? Asked only where an eighth is not enough for it.
    pub fn grow(&mut self, more: u64, known: impl FnOnce() -> bool) -> Result<(), Crowded> {
        let inner = &self.rooms.0;
        let others = inner.all.used().saturating_sub(self.size);
        let whole = self.size.saturating_add(more);
        let is_short = whole <= SHORT.min(inner.bound / 64);
        if !is_short && inner.unproven.load(Relaxed) > self.size {
            let left = inner.bound.saturating_sub(others).saturating_sub(whole);
            if left < inner.bound / 16 {
                return Err(Crowded::Unproven);
            }
        }
        if !is_short && others > inner.bound / 2 {
            if inner.unproven.load(Relaxed).saturating_add(more) > inner.bound / 2 {
                return Err(Crowded::Unproven);
            }
            if self.source.0.load(Relaxed).saturating_add(more) > inner.bound / 2 {
                return Err(Crowded::Source);
            }
            if let Some(client) = self.client {
                let held = self.rooms.clients(client).get(&client).copied().unwrap_or_default();
                if held.saturating_add(more) > inner.bound / 8 && !known() {
                    return Err(Crowded::Client);
                }
            }
        }
        if !self.share.grow(more) {
            return Err(Crowded::All);
        }
        self.size += more;
        inner.unproven.fetch_add(more, Relaxed);
        self.source.0.fetch_add(more, Relaxed);
        if let Some(client) = self.client {
            *self.rooms.clients(client).entry(client).or_default() += more;
        }
        Ok(())
    }

    /// The body was verified: it is its source's from here on, and nobody else's.
    pub fn proven(&mut self) {
        if !std::mem::take(&mut self.unproven) {
            return;
        }
        self.rooms.0.unproven.fetch_sub(self.size, Relaxed);
        if let Some(client) = self.client.filter(|_| self.size > 0) {
            let mut clients = self.rooms.clients(client);
            if let Some(held) = clients.get_mut(&client) {
                *held = held.saturating_sub(self.size);
                if *held == 0 {
                    clients.remove(&client);
                }
            }
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.proven();
        self.source.0.fetch_sub(self.size, Relaxed);
    }
}

#[cfg(test)]
mod tests;
