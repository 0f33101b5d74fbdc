//! The nouns of the journey: a live source, its routes, and the ways in which a request can end.

pub mod ending;
mod enrolment;
mod expiry;
mod fetched;
mod identity;
pub mod outcome;
pub mod proven;
pub mod routes;
pub mod trail;

pub use ending::{Body, Ending};
pub use enrolment::{Enrolments, Progress};
pub use expiry::unexpired;
pub use fetched::{Fetched, Missing, Wish};
pub use identity::{DeliveryIdentity, Scope};
pub use outcome::Outcome;
pub use proven::ProvenUrls;
pub use routes::Routes;
pub use trail::{Observers, Trail};

use crate::{
    event::{EventName, Glob, ProviderName, SourceName, Timestamp},
    limit::{RateLimit, SourceBytes, SourceInFlight},
    provider::{JsonPointer, Keys, Provider},
    replay::{OnOutage, ReplayPolicy, SourceTag},
    telemetry::SourceMeters,
    upstream::Route,
};
use ipnet::IpNet;
use std::{net::IpAddr, sync::Arc};

/// A source as it is served: its provider and keys compiled, its limits and meters alive. Shared by all workers and
/// replaced as a whole on a reload.
pub struct Source {
    /// Its name.
    pub name: SourceName,
    /// Its preset's name: `Hookward-Provider`.
    pub provider_name: ProviderName,
    /// What the ledger tells it by.
    pub tag: SourceTag,
    /// Its preset, compiled with its options.
    pub provider: Provider,
    /// Its secrets, compiled, newest first.
    pub keys: Keys,
    /// What its provider publishes, where keys are fetched; `None`: they are pinned, or there is nothing to fetch.
    pub published: Option<Arc<Fetched<Keys>>>,
    /// Subscriptions that were confirmed lately; `None`: nobody asks for it.
    pub confirmed: Option<Arc<Fetched<()>>>,
    /// From when on each secret does not verify any more.
    pub not_after: Vec<Option<Timestamp>>,
    /// A secret is missing and `on_missing_secret: unavailable`: why this source answers 503.
    pub unavailable: Option<String>,
    /// Client networks that may use it; empty: all.
    pub allow_from: Vec<IpNet>,
    /// Events that are forwarded; empty: all.
    pub events: Vec<Glob>,
    /// Where its deliveries go, in the order of the file.
    pub routes: Vec<Route>,
    /// Its requests in flight.
    pub in_flight: SourceInFlight,
    /// Bytes of its bodies in memory.
    pub bytes: SourceBytes,
    /// The longest body, bytes.
    pub max_body: u64,
    /// Its replay ledger; `None`: off.
    pub replay: Option<ReplayPolicy>,
    /// Its rate limit; `None`: off.
    pub limiter: Option<Arc<RateLimit>>,
    /// Where the value that its rate limit counts by stands in the body (`per: {json: …}`).
    pub limit_pointer: Option<JsonPointer>,
    /// What happens while Redis is out.
    pub on_outage: OnOutage,
    /// Its metrics.
    pub meters: SourceMeters,
}

impl Source {
    /// May this client use the source at all (`allow_from`)?
    pub fn allows(&self, client: IpAddr) -> bool {
        self.allow_from.is_empty() || self.allow_from.iter().any(|net| net.contains(&client))
    }
}

/// Does any of the names match any of the globs? No globs select everything, and an unreadable event (no name) is always
/// selected: a filter must never drop what it cannot read.
pub fn selects(globs: &[Glob], names: &[EventName]) -> bool {
    globs.is_empty()
        || names.is_empty()
        || names
            .iter()
            .any(|name| globs.iter().any(|glob| glob.matches(name.as_str())))
}
