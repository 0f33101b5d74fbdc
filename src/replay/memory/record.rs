//! One record of the in-process ledger and its transitions: pure functions of the record, the question and the time.

use super::names::{Names, Noted};
use crate::{
    event::{IdDigest, MacDigest, Monotonic, Nonce},
    replay::{Ask, Forgotten, Renewal, Renewed, Seen, Settled, Settlement, SourceTag},
};
use std::time::Duration;

/// Nanoseconds of the monotonic clock: half the size of a `Duration`, and there are 65,536 of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant(u64);

impl Instant {
    pub(super) fn of(at: Monotonic) -> Self {
        Self(u64::try_from(at.since_start().as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }

    pub(super) fn left_at(self, now: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(now.0))
    }

    /// The fence that this moment would give: microseconds, as Redis gives them.
    pub(super) const fn as_fence(self) -> u64 {
        self.0 / 1000
    }
}

/// What is remembered of one delivery.
pub(super) struct Record {
    pub(super) fence: u64,
    pub(super) expires: Instant,
    pub(super) attempts: u32,
    pub(super) source: SourceTag,
    /// Destinations that had it; cleared at D, where it matters no more.
    pub(super) noted: Noted,
    pub(super) state: State,
}

/// P, F and D.
pub(super) enum State {
    Held {
        owner: Nonce,
        until: Instant,
    },
    Free,
    Done {
        id: Option<IdDigest>,
        mac: Option<MacDigest>,
        /// Until when an operator lets it through once more.
        again_until: Option<Instant>,
    },
}

/// In which order records may be given up when the ledger is full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Somebody works on it, or a destination has had it: never.
    Pinned,
    /// Failed everywhere: second.
    Failed,
    /// Delivered: first.
    Delivered,
}

/// What a claim finds.
pub(super) enum Found {
    Granted,
    Busy(Duration),
    Done(Seen),
}

impl Record {
    /// The record that a first claim makes.
    pub(super) fn claimed(ask: &Ask, now: Instant, fence: u64) -> Self {
        Self {
            fence,
            expires: now.plus(ask.open.max(ask.lease).max(Duration::from_nanos(1))),
            attempts: 1,
            source: ask.source,
            noted: Noted::default(),
            state: State::Held {
                owner: ask.owner,
                until: now.plus(ask.lease),
            },
        }
    }

    /// The record that a settlement starts from whose own was lost in between.
    pub(super) fn lost(settlement: &Settlement, now: Instant) -> Self {
        Self {
            fence: settlement.fence,
            // Never at once: it is settled in the same step.
            expires: now.plus(settlement.open.max(Duration::from_nanos(1))),
            attempts: settlement.attempt.max(1),
            source: settlement.source,
            noted: Noted::default(),
            state: State::Free,
        }
    }

    pub(super) fn lane(&self) -> Lane {
        match self.state {
            State::Done { .. } => Lane::Delivered,
            State::Free if self.noted.is_empty() => Lane::Failed,
            State::Free | State::Held { .. } => Lane::Pinned,
        }
    }

    /// `floor` is the smallest fence that this ledger has not given out yet.
    pub(super) fn claim(&mut self, ask: &Ask, now: Instant, floor: u64) -> Found {
        match &mut self.state {
            State::Done { id, mac, again_until } if again_until.is_none_or(|until| until <= now) => {
                return Found::Done(Seen {
                    same_mac: mac.is_some() && *mac == ask.mac,
                    same_id: *id == ask.id,
                    attempts: self.attempts,
                });
            }
            // Its reply was lost: the same grant again, and no further attempt.
            State::Held { owner, until } if *owner == ask.owner => {
                *until = now.plus(ask.lease);
                self.lives(now.plus(ask.open.max(ask.lease)));
                return Found::Granted;
            }
            State::Held { until, .. } if *until > now => return Found::Busy(until.left_at(now)),
            State::Done { .. } => {
                // An operator's wish: every destination gets it again.
                self.noted = Noted::default();
                self.expires = now;
            }
            State::Held { .. } | State::Free => {}
        }
        self.fence = floor.max(self.fence + 1);
        self.attempts = self.attempts.saturating_add(1);
        self.state = State::Held {
            owner: ask.owner,
            until: now.plus(ask.lease),
        };
        self.lives(now.plus(ask.open.max(ask.lease)));
        Found::Granted
    }

    pub(super) fn settle(&mut self, settlement: &Settlement, now: Instant, names: &Names) -> Settled {
        if matches!(self.state, State::Done { .. }) {
            return Settled::Done;
        }
        // Success is absorbing: it counts whoever holds the delivery by now.
        let had = |name| settlement.delivered.contains(name) || names.holds(&self.noted, name);
        if !settlement.required.is_empty() && settlement.required.iter().all(had) {
            self.noted = Noted::default();
            self.expires = now.plus(settlement.keep);
            self.state = State::Done {
                id: settlement.id,
                mac: settlement.mac,
                again_until: None,
            };
            return Settled::Done;
        }
        if !settlement.delivered.is_empty() {
            names.add(&mut self.noted, &settlement.delivered);
            self.lives(now.plus(settlement.keep));
        }
        if self.fence != settlement.fence {
            return Settled::Fenced;
        }
        if settlement.last {
            self.state = State::Free;
            self.lives(now.plus(settlement.open));
        }
        Settled::Open
    }

    pub(super) fn renew(&mut self, renewal: &Renewal, now: Instant) -> Renewed {
        match &mut self.state {
            State::Held { until, .. } if self.fence == renewal.fence => {
                *until = now.plus(renewal.lease);
                self.lives(now.plus(renewal.open.max(renewal.lease)));
                Renewed::Held
            }
            _ => Renewed::Fenced,
        }
    }

    /// True if nothing is left that is worth a record: no other attempt ever held it, so no old fence is about either.
    pub(super) fn release(&mut self, owner: &Nonce) -> bool {
        match &self.state {
            State::Held { owner: holder, .. } if holder == owner => {
                self.attempts = self.attempts.saturating_sub(1);
                self.state = State::Free;
                self.attempts == 0 && self.noted.is_empty()
            }
            _ => false,
        }
    }

    pub(super) fn forget(&mut self, now: Instant, window: Duration) -> Forgotten {
        match &mut self.state {
            State::Done { again_until, .. } => {
                *again_until = Some(now.plus(window));
                Forgotten::Deliverable
            }
            State::Held { until, .. } if *until > now => Forgotten::InFlight {
                left: until.left_at(now),
            },
            State::Held { .. } | State::Free => Forgotten::NotDelivered,
        }
    }

    /// A record's life is only ever made longer before it is delivered: one that knows of a success keeps it.
    fn lives(&mut self, until: Instant) {
        self.expires = self.expires.max(until);
    }
}
