//! One record of the in-process ledger and its transitions: pure functions of the record, the question and the time.

use super::names::{Event, Events, Names, Noted};
use crate::{
    event::{MacDigest, Monotonic, Nonce, Values, Variant},
    replay::{
        Ask, Delivered, Forgotten, Marks, Renewal, Renewed, Seen, Settled, Settlement, Standing, Succeeded,
        lately::kept,
    },
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

    pub(super) fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
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
    /// By its tag's digest; the shard has its name.
    pub(super) source: u64,
    /// Destinations that had it; cleared at D, where it matters no more.
    pub(super) noted: Noted,
    /// Variants of the key; `None` for nearly every record.
    pub(super) marks: Option<Box<Marks>>,
    /// An operator's redelivery is under way.
    pub(super) redelivery: bool,
    pub(super) state: State,
}

/// P, F, D, and D as another ledger has told of it.
pub(super) enum State {
    Held {
        owner: Nonce,
        until: Instant,
    },
    Free,
    Done {
        values: Values,
        mac: Option<MacDigest>,
        /// Until when an operator lets it through once more; the past if not at all.
        again_until: Instant,
        at: Instant,
        event: Event,
    },
    /// Redis has it: never written back, given up before all others, and answered from while Redis is out. It is no
    /// delivery of this ledger's own.
    Copy {
        values: Values,
        mac: Option<MacDigest>,
        /// Until then it is believed without a question to Redis.
        believed_until: Instant,
    },
}

/// In which order records may be given up when the ledger is full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Somebody works on it, or a destination has had it: never.
    Pinned,
    /// Failed everywhere: third.
    Failed,
    /// Delivered: second.
    Delivered,
    /// Delivered, and Redis knows it too: first.
    Copied,
}

/// How many lanes there are.
pub(super) const LANES: usize = 4;

/// What a claim finds.
pub(super) enum Found {
    Granted,
    Busy(Duration),
    Done(Seen),
}

impl Record {
    /// The record that a first claim makes.
    pub(super) fn claimed(ask: &Ask, now: Instant, fence: u64) -> Self {
        let mut record = Self {
            fence,
            expires: now.plus(ask.open.max(ask.lease).max(Duration::from_nanos(1))),
            attempts: 1,
            source: ask.source.digest(),
            noted: Noted::default(),
            marks: None,
            redelivery: false,
            state: State::Held {
                owner: ask.owner,
                until: now.plus(ask.lease),
            },
        };
        record.note_pending(ask);
        record
    }

    /// The record that a settlement starts from whose own was lost in between.
    pub(super) fn lost(settlement: &Settlement, now: Instant) -> Self {
        Self {
            fence: settlement.fence,
            // Never at once: it is settled in the same step.
            expires: now.plus(settlement.open.max(Duration::from_nanos(1))),
            attempts: settlement.attempt.max(1),
            source: settlement.source.digest(),
            noted: Noted::default(),
            marks: None,
            redelivery: false,
            state: State::Free,
        }
    }

    /// The record of a delivery that Redis calls delivered. `asked`: before it was asked.
    pub(super) fn copy(source: u64, delivered: &Delivered, asked: Instant, believed: Duration) -> Self {
        Self {
            fence: 0,
            expires: asked.plus(delivered.left),
            attempts: delivered.attempts,
            source,
            noted: Noted::default(),
            marks: (!delivered.marks.is_empty()).then(|| Box::new(delivered.marks.clone())),
            redelivery: false,
            state: State::Copy {
                values: delivered.values,
                mac: delivered.mac,
                believed_until: asked.plus(believed),
            },
        }
    }

    /// Redis has been told of it: from now on it is a copy, which nobody believes unasked. False if there is none to make.
    pub(super) fn become_copy(&mut self, now: Instant) -> bool {
        let State::Done { values, mac, .. } = self.state else {
            return false;
        };
        (self.fence, self.noted) = (0, Noted::default());
        self.state = State::Copy {
            values,
            mac,
            believed_until: now,
        };
        true
    }

    /// What its delivery was like, if it is a delivered one.
    pub(super) fn delivered(&self, now: Instant) -> Option<Delivered> {
        let (State::Done { values, mac, .. } | State::Copy { values, mac, .. }) = &self.state else {
            return None;
        };
        Some(Delivered {
            values: *values,
            marks: self.marks.as_deref().cloned().unwrap_or_default(),
            mac: *mac,
            attempts: self.attempts,
            left: self.expires.left_at(now),
        })
    }

    pub(super) fn lane(&self) -> Lane {
        match self.state {
            State::Copy { .. } => Lane::Copied,
            State::Done { .. } => Lane::Delivered,
            State::Free if self.noted.is_empty() => Lane::Failed,
            State::Free | State::Held { .. } => Lane::Pinned,
        }
    }

    /// `floor` is the smallest fence that this ledger has not given out yet, so larger than the record's own.
    pub(super) fn claim(&mut self, ask: &Ask, now: Instant, floor: u64) -> Found {
        let let_through = matches!(&self.state, State::Done { again_until, .. } if *again_until > now);
        if let Some(delivered) = self.delivered(now) {
            let seen = delivered.seen_by(ask);
            if !let_through || seen.standing == Standing::Repeated {
                return Found::Done(seen);
            }
        }
        self.note_pending(ask);
        match &mut self.state {
            // Its reply was lost: the same grant again, and no further attempt.
            State::Held { owner, until } if *owner == ask.owner => {
                *until = now.plus(ask.lease);
                self.lives(now.plus(ask.open.max(ask.lease)));
                return Found::Granted;
            }
            State::Held { until, .. } if *until > now => return Found::Busy(until.left_at(now)),
            State::Done { .. } | State::Copy { .. } => {
                // An operator's wish: every destination gets it again.
                self.noted = Noted::default();
                self.expires = now;
                self.redelivery = true;
            }
            State::Held { .. } | State::Free => {}
        }
        self.fence = floor;
        self.attempts = self.attempts.saturating_add(1);
        self.state = State::Held {
            owner: ask.owner,
            until: now.plus(ask.lease),
        };
        self.lives(now.plus(ask.open.max(ask.lease)));
        Found::Granted
    }

    pub(super) fn settle(&mut self, settlement: &Settlement, now: Instant, names: &Names, events: &Events) -> Settled {
        if matches!(self.state, State::Done { .. } | State::Copy { .. }) {
            self.note_delivered_twice(settlement);
            return Settled::Done;
        }
        // Success is absorbing: it counts whoever holds the delivery by now.
        let had = |name| settlement.delivered.contains(name) || names.holds(&self.noted, name);
        if !settlement.required.is_empty() && settlement.required.iter().all(had) {
            self.noted = Noted::default();
            self.redelivery = false;
            if let (Some(marks), Some(own)) = (&mut self.marks, settlement.values.pending()) {
                marks.forget_pending(own);
            }
            self.marks.take_if(|marks| marks.is_empty());
            self.expires = now.plus(settlement.keep);
            // Fewer only if the record was lost in between.
            self.attempts = self.attempts.max(settlement.attempt);
            self.state = State::Done {
                values: settlement.values,
                mac: settlement.mac,
                again_until: Instant(0),
                at: match settlement.succeeded {
                    Succeeded::AfterClaim(_) => now,
                    Succeeded::Ago(age) => now.minus(age),
                },
                event: events.event(kept(settlement.event.as_ref())),
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
                let others = self.marks.as_ref().is_some_and(|marks| marks.pending().len() > 1);
                self.attempts == 0 && self.noted.is_empty() && !others
            }
            _ => false,
        }
    }

    pub(super) fn forget(&mut self, now: Instant, window: Duration) -> Forgotten {
        match &mut self.state {
            State::Done { again_until, .. } => {
                *again_until = now.plus(window);
                Forgotten::Deliverable
            }
            State::Held { until, .. } if *until > now => Forgotten::InFlight {
                left: until.left_at(now),
            },
            State::Held { .. } | State::Free => Forgotten::NotDelivered,
            // Redis is to be asked, and has been.
            State::Copy { .. } => Forgotten::Unknown,
        }
    }

    /// Notes a delivered repeat; returns the variants that are forgotten for it.
    pub(super) fn note_repeat(&mut self, variant: Variant, max: usize) -> Vec<Variant> {
        self.marks.get_or_insert_default().note_delivered(variant, max)
    }

    /// Delivered under other values, and now under these too (a lease ran out): these are not pending any more.
    fn note_delivered_twice(&mut self, settlement: &Settlement) {
        let all = !settlement.required.is_empty()
            && settlement
                .required
                .iter()
                .all(|name| settlement.delivered.contains(name));
        if let (true, Some(marks), Some(own)) = (all, &mut self.marks, settlement.values.pending())
            && marks.pending().contains(&own)
        {
            marks.note_delivered(own, usize::MAX);
        }
    }

    /// Notes the unsigned values of an attempt that comes before the delivery is done.
    fn note_pending(&mut self, ask: &Ask) {
        let delivered = matches!(self.state, State::Done { .. } | State::Copy { .. });
        if let Some(variant) = ask.values.pending().filter(|_| !delivered) {
            self.marks.get_or_insert_default().note_pending(variant);
        }
    }

    /// A record's life is only ever made longer before it is delivered: one that knows of a success keeps it.
    fn lives(&mut self, until: Instant) {
        self.expires = self.expires.max(until);
    }
}
