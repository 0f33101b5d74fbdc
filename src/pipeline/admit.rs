//! Cheap refusals first: route, method, client, penalty, and what the headers alone can refuse.

use super::{Live, Shared};
use crate::{
    event::Client,
    limit::{NoPlace, Permit, Wants},
    provider::{Refusal, Verifier},
    source::{Ending, Outcome, Source, Trail},
};
use http::{HeaderName, HeaderValue, Method, header, request::Parts};
use std::sync::Arc;

/// A request that may be read.
pub(super) struct Admitted {
    pub source: Arc<Source>,
    /// The path that enters the ledger key.
    pub key_path: String,
    pub head: Parts,
    pub client: Client,
    pub verifier: Verifier,
    /// Its place; not here while it waits for its body.
    pub in_flight: Option<Permit>,
}

pub(super) fn admit(
    shared: &Shared,
    live: &Live,
    head: Parts,
    client: Client,
    trail: &mut Trail,
) -> Result<Admitted, Ending> {
    let found = live.routes.find(head.uri.path());
    let (source, key_path) =
        found.map_err(|unrouted| Ending::new(Outcome::NoSource, unrouted.to_string()).closing_unread(&head))?;
    trail.source = Some(source.clone());
    allowed_method(source, &head).map_err(|ending| ending.closing_unread(&head))?;
    let enrols = shared.enrolments.expects(&source.name, trail.arrived) && source.provider.asks_to_enrol(&head);
    headers(shared, source, &head, &client, trail, enrols).map_err(|ending| ending.closing_unread(&head))?;
    let verifier = if enrols {
        source.provider.begin_enrolment()
    } else {
        source
            .provider
            .begin(&head, &source.keys)
            .map_err(|refusal| unverified(shared, source, &client, trail, &refusal).closing_unread(&head))?
    };
    if verifier.is_handshake() {
        let asked = shared.handshakes.spend(&client, &source.name, trail.arrived);
        asked.map_err(|over| {
            Ending::limited(Outcome::RateLimited, "too many handshakes of this client", &over).closing_unread(&head)
        })?;
    }
    let wants = wants(source, &verifier);
    let in_flight =
        place(shared, live, source, &client, trail, wants).map_err(|none| no_place(none).closing_unread(&head))?;
    Ok(Admitted {
        source: source.clone(),
        key_path: key_path.to_owned(),
        verifier,
        client,
        in_flight: Some(in_flight),
        head,
    })
}

/// Everything that the head alone decides, but for the signature.
fn headers(
    shared: &Shared,
    source: &Arc<Source>,
    head: &Parts,
    client: &Client,
    trail: &Trail,
    enrols: bool,
) -> Result<(), Ending> {
    if !source.allows(client.ip) {
        return Err(Ending::new(Outcome::ClientDenied, "client is not in allow_from"));
    }
    // The secret that it waits for may be the very one that is about to be handed out.
    if let Some(reason) = source.unavailable.as_ref().filter(|_| !enrols) {
        return Err(Ending::new(Outcome::Overloaded, reason.clone()).with_retry_after(30));
    }
    if let Some(penalties) = shared.penalties_of(client)
        && let Some(limited) = penalties.check(client.ip, &source.name, trail.arrived, shared.under_pressure())
        && (source.provider.facts().automatic_retries
            || shared.under_pressure()
            || !penalties.may_verify_anyway(client.ip, &source.name, trail.arrived))
    {
        return Err(Ending::limited(
            Outcome::Penalized,
            "too many failed verifications",
            &limited,
        ));
    }
    if let Some(named) = connection_names(head).find(|name| source.provider.reads_header(name)) {
        // A proxy would remove the very header that proves the sender (attack 38).
        return Err(Ending::new(Outcome::Malformed, format!("`Connection` names `{named}`")));
    }
    if declared_length(head).is_some_and(|length| length > source.max_body) {
        return Err(Ending::new(
            Outcome::TooLarge,
            format!("declared body over max_body {}", source.max_body),
        ));
    }
    Ok(())
}

/// The kind of request, as places in flight are counted.
pub(super) fn wants(source: &Source, verifier: &Verifier) -> Wants {
    if verifier.is_handshake() {
        Wants::Handshake
    } else if source.provider.facts().takes_secrets {
        Wants::Verified
    } else {
        Wants::Unverified
    }
}

fn place(
    shared: &Shared,
    live: &Live,
    source: &Source,
    client: &Client,
    trail: &Trail,
    wants: Wants,
) -> Result<Permit, NoPlace> {
    let counted = shared
        .in_flight
        .count(&source.in_flight, wants, live.is_lone_source())?;
    shared.in_flight.place(counted, || {
        let penalties = shared.penalties.as_ref();
        let known = penalties.is_some_and(|table| table.knows(client.ip, &source.name, trail.arrived));
        shared.waits.take(trail.arrived, known)
    })
}

/// 503: the process, or the source's share of it, is full.
pub(super) fn no_place(none: NoPlace) -> Ending {
    Ending::new(Outcome::Overloaded, none.to_string()).with_retry_after(1)
}

fn allowed_method(source: &Source, head: &Parts) -> Result<(), Ending> {
    let facts = source.provider.facts();
    let event = facts.methods.contains(&head.method);
    if event || facts.handshake_methods.contains(&head.method) && source.provider.asks_for_handshake(head) {
        return Ok(());
    }
    let mut allowed = facts.methods.iter().chain(&facts.handshake_methods);
    let mut list = allowed.next().map(Method::to_string).unwrap_or_default();
    for candidate in allowed {
        list.push_str(", ");
        list.push_str(candidate.as_str());
    }
    let allow = HeaderValue::try_from(list).unwrap_or_else(|_| HeaderValue::from_static("POST"));
    Err(Ending::new(Outcome::Method, "the source does not take this method").with_header(header::ALLOW, allow))
}

/// Turns a provider's refusal into the one answer that all of them share, and lets the client pay for it.
pub(super) fn unverified(
    shared: &Shared,
    source: &Source,
    client: &Client,
    trail: &Trail,
    refusal: &Refusal,
) -> Ending {
    if let (Refusal::Unverified(_), Some(penalties)) = (refusal, shared.penalties_of(client)) {
        penalties.charge(client.ip, &source.name, trail.arrived);
    }
    Ending::refused(refusal)
}

fn connection_names(head: &Parts) -> impl Iterator<Item = HeaderName> {
    head.headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
}

fn declared_length(head: &Parts) -> Option<u64> {
    head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Ending {
    /// Closes the connection if a body is still to come, so that it is never parsed as the next request.
    fn closing_unread(self, head: &Parts) -> Self {
        let has_body = head.headers.contains_key(header::TRANSFER_ENCODING)
            || declared_length(head).is_some_and(|length| length > 0);
        if has_body { self.closing() } else { self }
    }
}
