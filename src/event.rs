//! The vocabulary of the journey: names, bodies, keys, clocks and secrets; no IO, no clock reads, no status codes.

pub mod body;
pub mod client;
pub mod clock;
pub mod key;
pub mod name;
pub mod path;
pub mod pattern;
pub mod secret;
#[cfg(test)]
pub(crate) mod timing;
pub mod variant;

pub use body::Frames;
pub use client::Client;
pub use clock::{Clock, Monotonic, SystemClock, TestClock, Timestamp};
pub use key::{DeliveryKey, IdDigest, Identity, IdentityHasher, MacDigest, Nonce};
pub use name::{DestinationName, EventName, NameError, ProviderName, SourceName};
pub use pattern::{Glob, PathRule};
pub use secret::Secret;
pub use variant::{LabelDigest, UnsignedValues, Values, Variant};

/// What a provider may look at: the request head and the exact bytes of the body.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    /// Method, raw target and headers as they arrived.
    pub head: &'a http::request::Parts,
    /// The body, byte for byte, in the frames in which it arrived.
    pub body: &'a Frames,
}
