//! Rates: what a source may send, and what a client may get wrong.
//!
//! Everything here is bounded in memory, whoever calls: the tables that strangers can write to ([`penalty`], [`handshakes`],
//! [`fetches`]) or that one captured request could fill ([`repeats`]) have a fixed size.

mod budget;
mod cells;
pub mod fetches;
pub mod forwards;
mod gcra;
pub mod handshakes;
mod in_flight;
mod lease;
pub mod limited;
pub mod penalty;
mod prefix;
mod rate_limit;
pub mod repeats;
mod room;
mod shared;
pub mod source;
mod table;
mod waits;

pub use budget::{Budget, Share};
pub use fetches::Fetches;
pub use forwards::{Forwards, Pace};
pub use handshakes::Handshakes;
pub use in_flight::{InFlight, NoPlace, Permit, SourceInFlight, Wants};
pub use limited::Limited;
pub use penalty::Penalties;
pub use rate_limit::RateLimit;
pub use repeats::{Repeat, Repeats};
pub use room::{AnswerRoom, Crowded, Room, Rooms, SourceBytes};
pub use shared::Lender;
pub use source::{LimitKey, SourceLimiter};
pub use waits::{Wait, Waits};

use std::time::Duration;

/// `200/s`, `30/m`, `5/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

/// What a rate limit counts by (`per`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Per {
    /// One bucket for the source.
    Source,
    /// One for each client address.
    Client,
    /// One for each value of a header of the verified request.
    Header(http::HeaderName),
    /// One for each value at a JSON pointer of the verified body.
    Json(String),
}

/// Where a rate limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Scope {
    /// In each replica by itself.
    #[default]
    Replica,
    /// In Redis, over all replicas; in each replica by itself while Redis does not answer.
    Shared,
}

/// `rate_limit` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSpec {
    /// What is counted by.
    pub per: Per,
    /// How fast the bucket refills.
    pub rate: Rate,
    /// Its size.
    pub burst: u32,
    /// Where it is kept.
    pub scope: Scope,
    /// Answer 503 instead of 429.
    pub unavailable_status: bool,
}

/// `limits.failed_verifications` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PenaltySpec {
    /// How fast failures are forgiven.
    pub rate: Rate,
    /// How many are forgiven at once.
    pub burst: u32,
}
