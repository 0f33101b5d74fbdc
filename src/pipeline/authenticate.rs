//! Only this file turns [`Assembled`] into [`Authentic`]: signature, then timestamp; handshakes end here.

use super::{
    Live, Worker, admit,
    assemble::{Assembled, Held},
};
use crate::{
    event::{Client, DeliveryKey, Envelope, Frames, IdDigest, Identity, IdentityHasher, Timestamp},
    provider::{Cause, Evidence, Finding, Refusal},
    source::{Ending, Outcome, Source, Trail},
};
use http::{StatusCode, request::Parts};
use std::{sync::Arc, time::Duration};

/// A request whose sender is proven.
pub(super) struct Authentic {
    pub source: Arc<Source>,
    pub head: Parts,
    pub client: Client,
    pub body: Frames,
    pub evidence: Evidence,
    /// Which delivery it is, and whether the ledger keeps it.
    pub identity: DeliveryIdentity,
    /// Time that a call to the ledger may take.
    pub ledger_timeout: Duration,
    /// Given back to the process when the last destination has been served.
    pub _held: Held,
}

/// Which delivery a request belongs to.
pub(super) struct DeliveryIdentity {
    /// The ledger's key; random where nothing identifies it.
    pub key: DeliveryKey,
    /// Is `key` stable over attempts? Otherwise there is nothing to ask the ledger.
    pub stable: bool,
    /// `Hookward-Delivery`.
    pub delivery: Arc<str>,
    /// The provider's unsigned id.
    pub unsigned_id: Option<IdDigest>,
}

pub(super) fn authenticate(
    worker: &Worker,
    live: &Live,
    assembled: Assembled,
    trail: &mut Trail,
) -> Result<Authentic, Ending> {
    let Assembled {
        source,
        key_path,
        head,
        client,
        body,
        verifier,
        held,
    } = assembled;
    let envelope = Envelope {
        head: &head,
        body: &body,
    };
    let now = trail.arrived_wall;
    let finding = source
        .provider
        .finish(verifier, envelope, &source.keys, now)
        .and_then(|finding| still_valid(&source, finding, now))
        .map_err(|refusal| refused(worker, &source, &client, trail, &refusal))?;
    let evidence = match finding {
        Finding::Challenge(answer) => return Err(Ending::challenge(answer)),
        Finding::Authentic(evidence) => *evidence,
    };
    if let Some(penalties) = &worker.shared.penalties {
        penalties.pardon(client.ip, &source.name, trail.arrived);
    }
    observe(&source, &evidence, now);
    let identity = identify(&live.namespace, &source, &key_path, &evidence, &body, trail);
    trail.event = evidence.events.last().cloned();
    trail.delivery = Some(identity.delivery.clone());
    Ok(Authentic {
        source,
        head,
        client,
        body,
        evidence,
        identity,
        ledger_timeout: live.ledger_timeout,
        _held: held,
    })
}

/// How far our clock may be off Redis's before we distrust it, milliseconds.
const TRUSTED_SKEW: i64 = 30_000;

fn refused(worker: &Worker, source: &Source, client: &Client, trail: &Trail, refusal: &Refusal) -> Ending {
    let ending = admit::unverified(&worker.shared, source, client, trail, refusal);
    let skew = worker.replay.shared().skew_millis().unwrap_or_default();
    if ending.outcome == Outcome::Stale && skew.abs() > TRUSTED_SKEW {
        // The fault may be ours, so the sender should keep the event and come again.
        return ending.with_status(StatusCode::SERVICE_UNAVAILABLE).with_retry_after(30);
    }
    ending
}

/// A secret past its `not_after` does not verify any more.
fn still_valid(source: &Source, finding: Finding, now: Timestamp) -> Result<Finding, Refusal> {
    match &finding {
        Finding::Authentic(evidence) if evidence.secret.is_some_and(|index| !source.secret_is_valid(index, now)) => {
            Err(Refusal::Unverified(Cause::SecretExpired))
        }
        _ => Ok(finding),
    }
}

fn observe(source: &Source, evidence: &Evidence, now: Timestamp) {
    if let Some(index) = evidence.secret {
        source.meters.secret_used(index);
    }
    if evidence.events.is_empty() && !source.events.is_empty() {
        source.meters.event_unreadable();
    }
    if let Some(signed_at) = evidence.signed_at {
        source.meters.signature_age(now.millis_since(signed_at));
    }
}

fn identify(
    namespace: &str,
    source: &Source,
    key_path: &str,
    evidence: &Evidence,
    body: &Frames,
    trail: &Trail,
) -> DeliveryIdentity {
    // A source that proves no content has a ledger only where the configuration asks for one; then the body is its word.
    let identity = evidence.identity.or_else(|| source.replay.map(|_| of_body(body)));
    let stable = identity.is_some();
    // Without an identity two equal bodies may both be honest, so each request is a delivery of its own.
    let identity = identity.unwrap_or_else(|| {
        let mut random = IdentityHasher::new("request");
        random.part("request_id", trail.request_id.as_str().as_bytes());
        random.finish()
    });
    let key = DeliveryKey::new(namespace, &source.name, key_path, &identity);
    let (signed_id, unsigned_id) = match &evidence.id {
        Some(id) if id.signed => (Some(id.text.clone()), None),
        Some(id) => (None, Some(IdDigest::of(id.text.as_bytes()))),
        None => (None, None),
    };
    DeliveryIdentity {
        key,
        stable,
        delivery: signed_id.unwrap_or_else(|| key.to_text().into()),
        unsigned_id,
    }
}

fn of_body(body: &Frames) -> Identity {
    let mut hasher = IdentityHasher::new("unsigned body");
    for frame in body.iter() {
        hasher.raw(frame);
    }
    hasher.finish()
}
