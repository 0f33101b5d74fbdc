//! The outbound edge: one request to one destination, and who is to blame when it fails.
//!
//! [`compose`] makes the request that a destination gets, [`Outbound`] sends it. What a destination answers with is a
//! [`Reply`] whatever its status; only the absence of a usable answer is a [`DeliveryError`].

pub mod attest;
pub mod breaker;
pub mod client;
mod connect;
pub mod fetch;
pub mod headers;
mod lane;
mod pool;
mod reply;
mod resolve;
mod secure;
mod target;
mod url;

pub use client::{Outbound, OutboundRequest, PoolSpec};
pub use fetch::{FetchError, Fetcher};
pub use headers::{Passage, compose, reserved};
pub use lane::{Lane, Place, Places};
pub use reply::{AnswerLimit, Excess, Room};
pub use secure::Secure;

use crate::event::{DestinationName, Glob, Secret};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A destination as configured. The connections belong to a worker's `Outbound`; this is shared by all of them.
#[derive(Clone, PartialEq, Eq)]
pub struct DestinationSpec {
    /// Its name; `upstream` for the plain upstream.
    pub name: DestinationName,
    /// Scheme, authority, and what stands before the target.
    pub url: DestinationUrl,
    /// TLS towards it; there is some if and only if the URL is `https`.
    pub tls: Option<Secure>,
    /// Time for an answer.
    pub timeout: Duration,
    /// How long a destination that refuses connections is tried again; counts inside `timeout`.
    pub connect_wait: Duration,
    /// Fixed headers of ours for it.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Statuses of the app that become another one for the sender.
    pub map_status: BTreeMap<u16, StatusCode>,
    /// Forward credentials that are themselves the proof (always true for the plain upstream).
    pub forward_credentials: bool,
    /// Secret of our own Standard Webhooks signature, as written: see [`attest`] for what `whsec_` means.
    pub sign: Option<Secret>,
    /// Sign deliveries of unverified sources too.
    pub sign_unverified: bool,
    /// What is known of it while it is served. A reload that changes nothing about it keeps it.
    pub lane: Lane,
}

impl DestinationSpec {
    /// The time for an answer: `timeout`, or what is left of the time for which the sender waits (`deadline`, of which
    /// `spent` has passed since its request came in) less a tenth, so that our answer still reaches it.
    pub fn time(&self, deadline: Option<Duration>, spent: Duration) -> Duration {
        deadline.map_or(self.timeout, |deadline| {
            let left = deadline.saturating_sub(deadline / 10).saturating_sub(spent);
            self.timeout.min(left)
        })
    }
}

/// Where a destination is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationUrl {
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `https`.
    pub secure: bool,
    /// `Host` of its own (`host[:port]` as written), for a destination `url`.
    pub authority: HeaderValue,
    /// How a request's target becomes the destination's.
    pub target: TargetRule,
}

/// How a request's target becomes the destination's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetRule {
    /// The plain upstream: this prefix (mostly empty) plus the request's own path and query; `Host` as received.
    Append {
        /// Path of the configured URL without a trailing slash.
        prefix: String,
    },
    /// A destination `url`: used as it stands; the request's query is joined to its own by `&`.
    Fixed {
        /// Path of the URL, at least `/`.
        path: String,
        /// Query of the URL, without `?`.
        query: Option<String>,
    },
}

/// One line of a source's `to`.
#[derive(Clone, PartialEq, Eq)]
pub struct Route {
    /// Where.
    pub destination: Arc<DestinationSpec>,
    /// Events for it; empty: all of the source's.
    pub events: Vec<Glob>,
    /// Does its failure fail the delivery?
    pub required: bool,
}

/// A destination's answer, ready to be handed through.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status, before `map_status`.
    pub status: StatusCode,
    /// Its headers less hop-by-hop, `Set-Cookie`, `Server`, `X-Powered-By`, our namespace, and less `Content-Length`:
    /// whoever sends `body` on frames it anew.
    pub headers: HeaderMap,
    /// Its body, whole; empty where [`Self::excess`] says that it was too long, or where nobody wanted it.
    pub body: Bytes,
    /// Why the body was not read to its end.
    pub excess: Option<Excess>,
    /// The room of a long body, held until the last copy of the reply is gone.
    pub room: Option<Arc<dyn Room>>,
    /// The body ended early, or was not over in time. The status counts all the same, because the destination has
    /// decided; but `body` is a piece, and must not be passed off as the whole.
    pub broken: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Refused, reset, DNS, or a target that cannot be sent.
    #[error("{destination} is unreachable: {reason}")]
    Unreachable {
        /// Which destination.
        destination: DestinationName,
        /// What happened, for operators.
        reason: String,
        /// A byte of the request may have gone out.
        sent: bool,
    },
    /// No answer in time.
    #[error("{destination} did not answer within {after:?}")]
    Timeout {
        /// Which destination.
        destination: DestinationName,
        /// The time it had.
        after: Duration,
    },
    /// It did not answer lately, and is left alone for a moment; nothing was sent.
    #[error("{destination} did not answer lately and is left alone for another {left:?}")]
    Resting {
        /// Which destination.
        destination: DestinationName,
        /// When it is worth coming again.
        left: Duration,
    },
    /// So many deliveries are under way to it that others would find no room; nothing was sent.
    #[error("{destination} has as many deliveries under way as it may")]
    Crowded {
        /// Which destination.
        destination: DestinationName,
    },
    /// It answered what HTTP does not allow here (101 instead of an answer, huge headers, broken framing).
    #[error("{destination} gave a broken answer: {reason}")]
    Broken {
        /// Which destination.
        destination: DestinationName,
        /// What was wrong, for operators.
        reason: String,
    },
}
