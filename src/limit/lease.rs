//! Cells that this replica has taken from a shared bucket ahead of need, and how many it takes next.
//!
//! A lease grows while it is used up in time and shrinks to what was used when it was not, so that a replica with few
//! requests holds no cells that another one needs. What is not used within [`LIFE`] is gone: in any time the replicas
//! admit no more than the bucket gives in that time and one life.

use crate::event::Monotonic;
use std::time::Duration;

/// How long a leased cell may be spent, counted from before Redis was asked for it.
const LIFE: Duration = Duration::from_millis(500);
/// What one lease may hold at most: what the bucket gives in this time, …
const AHEAD: Duration = Duration::from_millis(100);
/// … and this part of the bucket, so that no replica hoards a small one.
const PART: u32 = 16;
/// While the bucket is empty Redis is asked this often, however fast it refills: what comes back meanwhile stays in it.
const PAUSE: Duration = Duration::from_millis(5);
/// For so long its word that the bucket is empty is believed; a Redis that was replaced meanwhile may know better.
const BELIEVED: Duration = Duration::from_secs(1);

/// What a bucket of this rate allows its leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// Cells in one lease; at least 1.
    most: u32,
    /// The least time after a question that emptied the bucket or found it empty.
    pause: Duration,
}

impl Terms {
    /// For a bucket of `burst` cells, one of which comes back every `emission`.
    pub(super) fn of(emission: Duration, burst: u32) -> Self {
        let ahead = AHEAD.as_nanos() / emission.as_nanos().max(1);
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        Self {
            most: ahead.min(burst / PART).max(1),
            pause: PAUSE.min(emission.saturating_mul(burst) / 2),
        }
    }
}

/// The cells of one bucket that are here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lease {
    left: u32,
    used: u32,
    /// How many to ask for next; 0 is 1.
    next: u32,
    until: Monotonic,
    /// Redis has none before.
    none_before: Monotonic,
    /// It is asked all the same from here on.
    believed_until: Monotonic,
    /// Somebody asks for `next` already; for no longer than this, because who asks may be gone.
    asked_until: Monotonic,
}

/// What one request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It has its cell.
    Spent,
    /// It has its cell, and Redis is to be asked for so many while others still find some.
    SpentAndAsk(u32),
    /// It must ask Redis for so many, one of which is its own.
    Ask(u32),
    /// There is none for so long.
    Wait(Duration),
}

impl Lease {
    /// Takes a cell, or says what is to be done for one.
    pub(super) fn take(&mut self, now: Monotonic, terms: Terms) -> Step {
        let lives = now < self.until;
        if lives && self.left > 0 {
            self.left -= 1;
            self.used = self.used.saturating_add(1);
            let is_low = self.left <= self.next / 2 && self.next > 1;
            if !is_low || now < self.asked_until || self.is_empty(now) {
                return Step::Spent;
            }
            return Step::SpentAndAsk(self.ask(now, self.next.saturating_mul(2).min(terms.most)));
        }
        if self.is_empty(now) {
            return Step::Wait(self.none_before.since(now));
        }
        if now < self.asked_until {
            // The lease is on its way to somebody else; who waits for it would wait for two answers.
            return Step::Ask(1);
        }
        let next = match (lives, self.left) {
            (true, _) => self.next.max(1).saturating_mul(2).min(terms.most),
            (false, 0) => self.next,
            (false, _) => self.used.min(self.next),
        };
        Step::Ask(self.ask(now, next))
    }

    fn is_empty(&self, now: Monotonic) -> bool {
        now < self.none_before && now < self.believed_until
    }

    fn ask(&mut self, now: Monotonic, next: u32) -> u32 {
        self.next = next.max(1);
        self.asked_until = now.plus(LIFE);
        self.next
    }

    /// Redis, asked for `wanted` at `asked`, granted so many, `own` of which the asking request takes for itself.
    pub(super) fn granted(&mut self, grant: Grant, own: u32, asked: Monotonic, terms: Terms) {
        let fresh = asked.plus(LIFE);
        if asked >= self.until {
            (self.left, self.used) = (0, 0);
        } else if grant.cells > 1 {
            self.used = 0;
        }
        self.used = self.used.saturating_add(own.min(grant.cells));
        self.left = self.left.saturating_add(grant.cells.saturating_sub(own));
        self.until = self.until.max(fresh);
        self.asked_until = Monotonic::default();
        if !grant.wait.is_zero() {
            self.none_before = asked.plus(grant.wait.max(terms.pause));
            self.believed_until = asked.plus(BELIEVED);
        }
    }

    /// Redis did not answer.
    pub(super) fn refused(&mut self) {
        self.asked_until = Monotonic::default();
    }

    /// A cell that was taken here is not needed.
    pub(super) fn give_back(&mut self) {
        self.left = self.left.saturating_add(1);
        self.used = self.used.saturating_sub(1);
    }

    /// Until when it means anything.
    pub(super) fn ends(&self, now: Monotonic) -> Monotonic {
        // How much was needed is remembered a little longer than the cells themselves.
        self.until
            .max(self.believed_until)
            .max(self.asked_until)
            .max(now)
            .plus(LIFE.saturating_mul(4))
    }
}

/// Redis's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) cells: u32,
    /// How long until there is one more; zero: there is.
    pub(super) wait: Duration,
}

#[cfg(test)]
mod tests;
