//! Only this file turns [`Assembled`] into [`Authentic`]: signature, then timestamp; handshakes end here.

use super::{
    Live, Worker, admit,
    assemble::{Assembled, Held},
    keys::Published,
};
use crate::{
    event::{Client, Envelope, Frames, IdentityHasher, Timestamp},
    provider::{Answer, Cause, Confirmation, Evidence, Finding, Refusal, Verified},
    source::{DeliveryIdentity, Ending, Outcome, Scope, Source, Trail, unexpired},
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
    pub held: Held,
}

/// Why a request goes no further.
pub(super) enum Stopped {
    /// It has ended.
    Ended(Ending),
    /// Its sender is proven, and asks for a visit before it ends.
    Unconfirmed(Box<Unconfirmed>),
}

/// A proven handshake that asks for a visit.
pub(super) struct Unconfirmed {
    pub source: Arc<Source>,
    pub asked: Confirmation,
}

impl From<Ending> for Stopped {
    fn from(ending: Ending) -> Self {
        Self::Ended(ending)
    }
}

pub(super) fn authenticate(
    worker: &Worker,
    live: &Live,
    assembled: Assembled,
    published: Option<&Published>,
    trail: &mut Trail,
) -> Result<Authentic, Stopped> {
    let Assembled {
        source,
        key_path,
        head,
        client,
        body,
        verifier,
        mut held,
    } = assembled;
    let envelope = Envelope {
        head: &head,
        body: &body,
    };
    if verifier.is_enrolment() {
        return Err(enrol(worker, &source, &client, envelope, trail).into());
    }
    let now = trail.arrived_wall;
    let keys = published.map_or(&source.keys, |published| &*published.keys);
    let finding = source
        .provider
        .finish(verifier, envelope, keys, now)
        .and_then(|finding| unexpired(finding, &source.not_after, now))
        .map_err(|refusal| refused(worker, &source, &client, trail, &refusal))?;
    if let Some(published) = published {
        published.proved(&worker.shared, &source.name);
    }
    let evidence = match finding {
        Finding::Challenge(answer) => return Err(challenge(&source, answer).into()),
        Finding::Confirmation(asked) => return Err(Stopped::Unconfirmed(Box::new(Unconfirmed { source, asked }))),
        Finding::Authentic(evidence) => evidence,
    };
    held.proven();
    // A token proves its sender anew with every request; a signature of a source without a ledger may be a repeat.
    if source.replay.is_none() && evidence.verified == Verified::Token {
        worker.shared.exempt(&client, &source.name, trail.arrived);
    }
    observe(&source, &evidence, now);
    let scope = Scope {
        namespace: &live.namespace,
        source: &source.name,
        key_path: &key_path,
        ledger: source.replay.is_some(),
    };
    let identity = DeliveryIdentity::of(scope, &evidence, &body, || {
        let mut random = IdentityHasher::new("request");
        random.part("request_id", trail.request_id.as_str().as_bytes());
        random.finish()
    });
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
        held,
    })
}

/// How far our clock may be off Redis's before we distrust it, milliseconds.
const TRUSTED_SKEW: i64 = 30_000;

fn challenge(source: &Source, answer: Answer) -> Ending {
    let mut ending = Ending::challenge(answer);
    if source.provider.facts().confirms == Some(false) {
        ending.reason =
            "answered; the subscription is not confirmed (`settings.confirm_subscription` is not true)".into();
    }
    ending
}

/// Keeps the secret that a handshake hands out for the operator who expects one.
fn enrol(worker: &Worker, source: &Source, client: &Client, envelope: Envelope<'_>, trail: &Trail) -> Ending {
    let shared = &worker.shared;
    let Some(handed) = source.provider.enrolment(envelope.head, envelope.body) else {
        let cause = Cause::ChallengeMalformed("enrolment".into());
        return admit::unverified(shared, source, client, trail, &Refusal::Unverified(cause));
    };
    let now = shared.observers.clock.monotonic();
    if !shared.enrolments.arrive(&source.name, handed.secret, client.ip, now) {
        let reason = "another handshake came in this enrolment window (both are void), or the window is over";
        return Ending::new(Outcome::Unverified, reason);
    }
    Ending::challenge(handed.answer)
}

fn refused(worker: &Worker, source: &Source, client: &Client, trail: &Trail, refusal: &Refusal) -> Ending {
    let ending = admit::unverified(&worker.shared, source, client, trail, refusal);
    let skew = worker.replay.shared().skew_millis().unwrap_or_default();
    if ending.outcome == Outcome::Stale && skew.abs() > TRUSTED_SKEW {
        // The fault may be ours, so the sender should keep the event and come again.
        return ending.with_status(StatusCode::SERVICE_UNAVAILABLE).with_retry_after(30);
    }
    ending
}

fn observe(source: &Source, evidence: &Evidence, now: Timestamp) {
    if let Some(index) = evidence.secret.filter(|_| source.published.is_none()) {
        source.meters.secret_used(index);
    }
    let filters = !source.events.is_empty() || source.routes.iter().any(|route| !route.events.is_empty());
    if filters && evidence.events.is_empty() {
        source.meters.event_unreadable();
    }
    if let Some(signed_at) = evidence.signed_at {
        source.meters.signature_age(now.millis_since(signed_at));
    }
}
