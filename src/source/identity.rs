//! Which delivery a request belongs to, and what its destinations know it by.

use crate::{
    event::{DeliveryKey, Frames, IdDigest, Identity, IdentityHasher, SourceName},
    provider::Evidence,
    upstream::headers,
};
use std::sync::Arc;

/// Which delivery a request belongs to.
pub struct DeliveryIdentity {
    /// The ledger's key; of one request only where nothing identifies it.
    pub key: DeliveryKey,
    /// Is `key` stable over attempts? Otherwise there is nothing to ask the ledger.
    pub stable: bool,
    /// `Hookward-Delivery`.
    pub delivery: Arc<str>,
    /// The provider's unsigned id.
    pub unsigned_id: Option<IdDigest>,
}

/// Where a delivery has to be told from others.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// `redis.namespace`.
    pub namespace: &'a str,
    /// The source.
    pub source: &'a SourceName,
    /// The path that enters the ledger's key; empty under a prefix.
    pub key_path: &'a str,
    /// Has the source a replay ledger?
    pub ledger: bool,
}

impl DeliveryIdentity {
    /// `alone` makes an identity for a request that proves none: two equal bodies may both be honest, so each request is
    /// then a delivery of its own.
    pub fn of(scope: Scope<'_>, evidence: &Evidence, body: &Frames, alone: impl FnOnce() -> Identity) -> Self {
        // A source that proves no content has a ledger only where the configuration asks for one; then the body is its word.
        let identity = evidence.identity.or_else(|| scope.ledger.then(|| of_body(body)));
        let stable = identity.is_some();
        let identity = identity.unwrap_or_else(alone);
        let key = DeliveryKey::new(scope.namespace, scope.source, scope.key_path, &identity);
        let (signed_id, unsigned_id) = match &evidence.id {
            Some(id) if id.signed => (Some(&*id.text), None),
            Some(id) => (None, Some(IdDigest::of(id.text.as_bytes()))),
            None => (None, None),
        };
        Self {
            key,
            stable,
            delivery: headers::delivery(signed_id, &key),
            unsigned_id,
        }
    }
}

fn of_body(body: &Frames) -> Identity {
    let mut hasher = IdentityHasher::new("unsigned body");
    for frame in body.iter() {
        hasher.raw(frame);
    }
    hasher.finish()
}
