//! The delivery that a request belongs to, and the name by which its destinations know it.

use crate::{
    event::{DeliveryKey, Frames, Identity, IdentityHasher, SourceName, Values},
    provider::{Evidence, IdentityKind},
    upstream::headers,
};
use std::sync::Arc;

/// The delivery that a request belongs to.
pub struct DeliveryIdentity {
    /// The ledger's key. Where `tracked` is false, the key of this request alone.
    pub key: DeliveryKey,
    /// The ledger keeps a record of it: all attempts of the event have this key.
    pub tracked: bool,
    /// A doorbell: the key that all requests with this content share, by which their number is limited.
    pub doorbell: Option<DeliveryKey>,
    /// `Hookward-Delivery`.
    pub delivery: Arc<str>,
    /// The values that distinguish this attempt from others with the same key.
    pub values: Values,
}

/// The place within which deliveries are told apart.
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
        let key = |identity: &Identity| DeliveryKey::new(scope.namespace, scope.source, scope.key_path, identity);
        // A source that proves no content has a ledger only where the configuration asks for one: then by its body.
        let shared = evidence.identity.or_else(|| scope.ledger.then(|| of_body(body)));
        if let (IdentityKind::Doorbell, Some(content)) = (evidence.kind, &shared) {
            let own = key(&alone());
            return Self {
                key: own,
                tracked: false,
                doorbell: Some(key(content)),
                delivery: headers::delivery(None, &own),
                values: Values::default(),
            };
        }
        let tracked = shared.is_some();
        let key = key(&shared.unwrap_or_else(alone));
        let signed_id = evidence.id.as_ref().filter(|id| id.signed).map(|id| &*id.text);
        // Elsewhere the id does not tell one event from another.
        let named = evidence.kind == IdentityKind::SignedId;
        Self {
            key,
            tracked,
            doorbell: None,
            delivery: headers::delivery(signed_id.filter(|_| named), &key),
            values: evidence.values(),
        }
    }

    /// Makes it the identity of a repeat, which has a record and a name of its own.
    pub fn become_repeat(&mut self, key: DeliveryKey) {
        (self.key, self.delivery, self.values) = (key, headers::delivery(None, &key), Values::default());
    }
}

fn of_body(body: &Frames) -> Identity {
    let mut hasher = IdentityHasher::new("unsigned body");
    for frame in body.iter() {
        hasher.raw(frame);
    }
    hasher.finish()
}
