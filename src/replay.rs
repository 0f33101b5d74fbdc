//! The replay ledger: a delivery is claimed, forwarded and settled, and neither lost nor doubled without a fault.
//!
//! Unsafe directions of failure: forgetting a D record lets a replay through (a duplicate); keeping a P record without an
//! owner blocks an honest retry (a loss). Every rule here prefers the first to the second.
//!
//! States of a record: none, P (in progress: fence, owner, lease), F (free: an attempt failed, the destinations that had
//! it are kept), D (delivered). D is absorbing until its time is over; a success makes D whatever the fence.
//!
//! A record also keeps the values by which attempts of one key differ (see [`Values`]): those of the delivered attempt, those
//! of the first four attempts before the delivery, and those of the last repeats. An honest repeat has a record of its own,
//! under the key [`DeliveryKey::of_repeat`], with the same states; when it is delivered, [`Ledger::note_repeat`] enters it
//! at the record of the first delivery, which bounds the state of a key.
//!
//! With Redis, a process also remembers for which deliveries it has heard of D: it answers from that for a second without
//! asking again, and in an outage by the rules of its own ledger.
//! [`memory`] and [`redis`] keep the same states, `tests/ledger_contract.rs` holds both to them, and
//! `tests/ledger_model.rs` checks the protocol itself.

mod claim;
pub mod flight;
mod front;
mod lately;
mod marks;
pub mod memory;
pub mod outage;
pub mod redis;
#[cfg(all(test, feature = "shuttle"))]
mod shuttled;
mod sync;
mod tag;

pub use claim::{Claim, Witness};
pub use flight::{Boarding, Flights, Joiner, Leader};
pub use front::{Decision, Replay};
pub use lately::{Lately, Recalled};
use marks::Marks;
pub use memory::MemoryLedger;
pub use outage::{Recovery, Replays};
pub use redis::RedisLedger;
pub use tag::SourceTag;

use crate::event::{DeliveryKey, DestinationName, EventName, MacDigest, Nonce, Values, Variant};
use std::{future::Future, time::Duration};

/// Where the states are kept. Every operation is one step: it happens or it does not, and repeating it does no harm.
///
/// An error says that the outcome is unknown: the operation may have happened.
pub trait Ledger: Send + Sync {
    /// Asks whether this attempt may forward.
    fn claim(&self, ask: &Ask) -> impl Future<Output = Result<Verdict, Unavailable>> + Send;
    /// Reports what became of an attempt.
    fn settle(&self, settlement: &Settlement) -> impl Future<Output = Result<Settled, Unavailable>> + Send;
    /// Extends the lease of the attempt that still holds the delivery.
    fn renew(&self, renewal: &Renewal) -> impl Future<Output = Result<Renewed, Unavailable>> + Send;
    /// Gives a claim back that forwarded nothing, together with its attempt number. Does nothing if `owner` holds it no
    /// more, or never did.
    fn release(
        &self,
        source: &SourceTag,
        key: &DeliveryKey,
        owner: &Nonce,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
    /// Makes a delivered record deliverable once more if an attempt comes within `window`.
    fn forget(
        &self,
        source: &SourceTag,
        key: &DeliveryKey,
        window: Duration,
    ) -> impl Future<Output = Result<Forgotten, Unavailable>> + Send;
    /// Notes that a repeat of this delivery, `variant`, was delivered under a record of its own. The record remembers the
    /// last `max` of them; the own records of those that it forgets are removed. Does nothing without a record.
    fn note_repeat(
        &self,
        source: &SourceTag,
        key: &DeliveryKey,
        variant: Variant,
        max: usize,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
    /// The same for all that a source delivered lately; one that is under way is no delivered record and stays as it is.
    fn forget_since(
        &self,
        source: &SourceTag,
        lately: &Lately,
    ) -> impl Future<Output = Result<Recalled, Unavailable>> + Send;
}

/// What happens to a request while Redis is out (`on_outage`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnOutage {
    /// The same state machine in this process, written back on recovery.
    #[default]
    Local,
    /// 503 with `Retry-After`.
    Reject,
    /// Forward without a ledger.
    Allow,
}

/// `replay` of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayPolicy {
    /// How long a delivery is remembered.
    pub keep: Duration,
    /// What a repeated delivery gets.
    pub duplicates: Duplicates,
}

/// `duplicates` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// 200, not forwarded.
    #[default]
    Acknowledge,
    /// 409, not forwarded.
    Reject,
    /// Forwarded with `Hookward-Duplicate: true`.
    Forward,
}

/// The question that an attempt puts to the ledger.
#[derive(Clone)]
pub struct Ask {
    /// Which delivery.
    pub key: DeliveryKey,
    /// Who asks: the same nonce again is the same question.
    pub owner: Nonce,
    /// How long the claim is held without a sign of life: upstream timeout + ledger timeout + 1 s.
    pub lease: Duration,
    /// How long an unfinished record lives; at least the lease.
    pub open: Duration,
    /// How long a delivered record is remembered.
    pub keep: Duration,
    /// Whose it is: part of the record's name in Redis, and the sources share an in-process ledger fairly.
    pub source: SourceTag,
    /// What happened, for who asks by that; `None` where it cannot be read.
    pub event: Option<EventName>,
    /// The values that tell this attempt from others of the same key.
    pub values: Values,
    /// The verified signature of this attempt.
    pub mac: Option<MacDigest>,
}

impl Ask {
    /// The lease that an attempt needs: the longest time for an answer of its destinations, one call of the ledger before
    /// and a second of margin after.
    pub const fn lease_for(upstream: Duration, ledger: Duration) -> Duration {
        upstream.saturating_add(ledger).saturating_add(claim::MARGIN)
    }
}

/// The ledger's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on: this attempt holds the delivery.
    Claimed(Grant),
    /// Another attempt holds it, for at most this long.
    Busy {
        /// Rest of its lease.
        left: Duration,
    },
    /// It was delivered before.
    Done(Seen),
}

/// What a claimed attempt knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Strictly increasing per key; only the current one releases or renews.
    pub fence: u64,
    /// Claims granted for this delivery so far, this one included.
    pub attempt: u32,
    /// Destinations that have had it.
    pub delivered: Vec<DestinationName>,
    /// It was delivered before, and an operator lets it through once more.
    pub redelivery: bool,
}

/// What a D record says of this attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// This attempt bears the very signature of the delivered one; false where there is none.
    pub same_mac: bool,
    /// Whether the attempt's values are those of the delivered one, or of a repeat.
    pub standing: Standing,
    /// The values of the delivered attempt.
    pub values: Values,
    /// Delivered repeats that the record remembers.
    pub repeats: usize,
    /// Claims granted for the delivery.
    pub attempts: u32,
}

/// How an attempt's values stand to those that a D record remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// They are those of the delivered attempt.
    Same,
    /// They are those of a repeat that was delivered under a record of its own.
    Repeated,
    /// They came before the delivery was done, and were not delivered themselves.
    Pending,
    /// The record does not know them.
    New,
}

/// What a D record holds, enough to judge any attempt by.
#[derive(Clone)]
struct Delivered {
    values: Values,
    marks: Marks,
    mac: Option<MacDigest>,
    attempts: u32,
    /// Rest of the record's life.
    left: Duration,
}

impl Delivered {
    fn seen_by(&self, ask: &Ask) -> Seen {
        Seen {
            same_mac: self.mac.is_some() && self.mac == ask.mac,
            standing: self.standing(ask),
            values: self.values,
            repeats: self.marks.delivered().len(),
            attempts: self.attempts,
        }
    }

    fn standing(&self, ask: &Ask) -> Standing {
        if self.values == ask.values {
            return Standing::Same;
        }
        match ask.values.variant() {
            Some(variant) if self.marks.delivered().contains(&variant) => Standing::Repeated,
            Some(variant) if self.marks.pending().contains(&variant) => Standing::Pending,
            _ => Standing::New,
        }
    }
}

/// What an attempt reports.
#[derive(Clone)]
pub struct Settlement {
    /// Which delivery.
    pub key: DeliveryKey,
    /// Whose it is, as in [`Ask`].
    pub source: SourceTag,
    /// The grant's fence.
    pub fence: u64,
    /// The grant's attempt number, for a record that was lost in between.
    pub attempt: u32,
    /// How long a delivered record is remembered.
    pub keep: Duration,
    /// How long an unfinished record lives.
    pub open: Duration,
    /// Destinations that must have had it before it counts as delivered. Empty: it never does; successes are only noted.
    pub required: Vec<DestinationName>,
    /// Destinations that answered 2xx in this attempt.
    pub delivered: Vec<DestinationName>,
    /// The attempt is over: what is missing is free for the next one.
    pub last: bool,
    /// When they did.
    pub succeeded: Succeeded,
    /// As in [`Ask`].
    pub event: Option<EventName>,
    /// As in [`Ask`].
    pub values: Values,
    /// As in [`Ask`].
    pub mac: Option<MacDigest>,
}

/// When an attempt succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succeeded {
    /// So long after the ledger that is told was asked for the claim.
    AfterClaim(Duration),
    /// So long ago: the ledger hears of it later.
    Ago(Duration),
}

/// What became of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Every required destination has had it.
    Done,
    /// Some have not.
    Open,
    /// Another attempt holds it by now; successes were noted all the same.
    Fenced,
}

/// A wish to hold a delivery longer.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// Which delivery.
    pub key: DeliveryKey,
    /// Whose it is, as in [`Ask`].
    pub source: SourceTag,
    /// The grant's fence.
    pub fence: u64,
    /// The new lease, counted from now.
    pub lease: Duration,
    /// How long an unfinished record lives.
    pub open: Duration,
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The lease runs anew.
    Held,
    /// Another attempt holds the delivery, or it is settled, or its record is lost: start no forward any more.
    Fenced,
}

/// What became of the wish to forget a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// It will be forwarded once more if it comes in time.
    Deliverable,
    /// It was never delivered: the next attempt is forwarded anyway.
    NotDelivered,
    /// It is being delivered at this moment, for at most this long: refused.
    InFlight {
        /// Rest of its lease.
        left: Duration,
    },
    /// No such record.
    Unknown,
}

/// The ledger cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger is unavailable: {reason}")]
pub struct Unavailable {
    /// Why, for operators.
    pub reason: String,
}
