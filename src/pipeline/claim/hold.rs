//! The right to forward one delivery, and its end: settled, or given back.

use crate::{
    event::{DeliveryKey, DestinationName, Monotonic, Variant},
    pipeline::Worker,
    replay::{Claim, Renewed, Settled},
};

/// The right by which a request is forwarded.
pub enum Hold {
    /// The ledger granted it.
    Claim(Box<Claim>),
    /// The ledger granted it as a repeat of a delivery.
    Repeat(Box<Claim>, Parent),
    /// No ledger was asked, or it said `done` and the delivery is forwarded all the same.
    Unguarded { attempt: u32 },
}

/// The record that remembers a repeat once it is delivered.
pub struct Parent {
    pub key: DeliveryKey,
    pub variant: Variant,
    /// Repeats that the record remembers.
    pub max: usize,
}

/// Why a delivery comes again, as its destinations see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// `Hookward-Duplicate: true`: delivered before, and `duplicates: forward`.
    pub duplicate: bool,
    /// `Hookward-Repeat`: `true`, or `unknown` where nothing tells an honest repeat from a replay.
    pub repeat: Option<&'static str>,
    /// `Hookward-Redelivery: true`: an operator lets a delivered one through once more.
    pub redelivery: bool,
}

impl Hold {
    /// The ledger's claim, if it granted one.
    pub fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Claim(claim) | Self::Repeat(claim, _) => Some(claim),
            Self::Unguarded { .. } => None,
        }
    }

    pub fn attempt(&self) -> u32 {
        match self {
            Self::Unguarded { attempt } => *attempt,
            Self::Claim(claim) | Self::Repeat(claim, _) => claim.attempt(),
        }
    }

    /// Destinations that had it in an earlier attempt.
    pub fn delivered(&self) -> &[DestinationName] {
        self.claim().map_or(&[], Claim::delivered)
    }

    /// The lease is over, or nearly: no forward may start.
    pub fn is_overdue(&self, now: Monotonic) -> bool {
        self.claim().is_some_and(|claim| now >= claim.deadline())
    }

    /// Extends a claim's lease, after a wait. False if another attempt holds the delivery by now.
    pub async fn renew(&mut self) -> bool {
        match self {
            Self::Claim(claim) | Self::Repeat(claim, _) => matches!(claim.renew().await, Ok(Renewed::Held)),
            Self::Unguarded { .. } => true,
        }
    }

    /// Gives a claim back that forwarded nothing.
    pub async fn release(self) {
        match self {
            Self::Claim(claim) | Self::Repeat(claim, _) => claim.release().await,
            Self::Unguarded { .. } => {}
        }
    }

    /// Settles the claim. A repeat that is delivered is noted at the record of its first delivery.
    pub async fn settle(self, worker: &Worker, required: Vec<DestinationName>, delivered: Vec<DestinationName>) {
        match self {
            Self::Claim(claim) => {
                claim.settle(required, delivered).await;
            }
            Self::Repeat(claim, parent) => {
                let source = claim.source().clone();
                if claim.settle(required, delivered).await == Settled::Done {
                    worker
                        .replay
                        .note_repeat(&source, &parent.key, parent.variant, parent.max)
                        .await;
                }
            }
            Self::Unguarded { .. } => {}
        }
    }
}
