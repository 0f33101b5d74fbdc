//! Hands the delivery to every destination that has not had it, in parallel, and settles the ledger.

use super::{
    Worker,
    authenticate::Authentic,
    choose::{Chosen, Target},
    claim::{Claimed, Hold, Landing, Mark, time_for},
    origin,
    spend::Cleared,
};
use crate::{
    event::{DestinationName, Frames, Timestamp},
    replay::Witness,
    source::{Body, Ending, Outcome, Trail},
    telemetry::{DeliveryResult, LedgerOp, Level, RequestId, TraceParent},
    upstream::{DeliveryError, DestinationSpec, OutboundRequest, Passage, Reply, breaker::Change, compose},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use http::{HeaderValue, StatusCode};
use std::{sync::Arc, time::Duration};

/// What goes out: the request as it came in, and what is attested of it. Shared by all its destinations.
struct Parcel {
    authentic: Box<Authentic>,
    request_id: RequestId,
    traceparent: TraceParent,
    attempt: u32,
    local_ledger: bool,
    mark: Option<Mark>,
}

/// A destination that had less than this was not given the time to show that it is there.
const FAIR_TIME: Duration = Duration::from_secs(1);

/// What a destination's failure means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The delivery fails with it, and the sender is told so.
    Required,
    /// Nobody hears of it, and nobody comes again.
    Optional,
}

/// How one destination took it.
struct Handover {
    target: Target,
    result: Result<Reply, DeliveryError>,
}

pub(super) async fn deliver(worker: &Arc<Worker>, cleared: Cleared, trail: &mut Trail) -> Ending {
    let Claimed { chosen, hold, leader } = cleared.0;
    let ending = hand_over(worker, chosen, hold, trail).await;
    if let Some(leader) = leader {
        leader.land(&Landing::Answer(ending.clone()));
    }
    ending
}

async fn hand_over(worker: &Arc<Worker>, chosen: Chosen, hold: Hold, trail: &mut Trail) -> Ending {
    let clock = &worker.shared.observers.clock;
    if hold.is_overdue(clock.monotonic()) {
        // A process that was frozen past its lease: another replica may be delivering by now, so nothing is started.
        release(hold).await;
        return Ending::new(Outcome::InFlight, "the lease was over before the forward began").with_retry_after(1);
    }
    let Chosen {
        mut authentic,
        required,
        optional,
    } = chosen;
    let _place_until_the_answer = authentic.held.place();
    let several = required.len() + optional.len() > 1;
    let names: Vec<DestinationName> = required.iter().map(|target| target.to.name.clone()).collect();
    let pending = |targets: Vec<Target>| -> Vec<(Target, Duration)> {
        let targets = targets
            .into_iter()
            .filter(|target| !hold.delivered().contains(&target.to.name));
        let timed = targets.map(|target| {
            let time = time_for(&authentic, &target.to, trail);
            (target, time)
        });
        timed.collect()
    };
    let (required, optional) = (pending(required), pending(optional));
    let parcel = Arc::new(Parcel {
        request_id: trail.request_id,
        traceparent: trail.traceparent.clone(),
        attempt: hold.attempt(),
        local_ledger: matches!(&hold, Hold::Claim(claim) if claim.is_local()),
        mark: match &hold {
            Hold::Unguarded { mark, .. } => *mark,
            Hold::Claim(_) => None,
        },
        authentic,
    });
    // A lone destination has nobody to be noted beside: its settlement says it all.
    let noted = required.len() > 1 || !optional.is_empty();
    let witness = match &hold {
        Hold::Claim(claim) if noted => Some(claim.witness()),
        _ => None,
    };
    for (target, time) in optional {
        send_aside(worker, &parcel, witness.clone(), target, time);
    }
    let begun = clock.monotonic();
    let handovers = send_all(worker, &parcel, witness.as_ref(), required).await;
    trail.upstream = Some(clock.monotonic().since(begun));
    settle(worker, hold, &handovers, &names).await;
    let ending = conclude(worker, &handovers, several);
    if ending.outcome == Outcome::Delivered {
        parcel.authentic.source.meters.delivered(clock.wall());
    }
    ending
}

/// All required destinations at once; each success is noted as it comes while others are still under way.
async fn send_all(
    worker: &Worker,
    parcel: &Parcel,
    witness: Option<&Witness>,
    mut required: Vec<(Target, Duration)>,
) -> Vec<Handover> {
    if required.len() == 1
        && let Some((target, time)) = required.pop()
    {
        return vec![send(worker, parcel, target, time, Standing::Required).await];
    }
    let sends = required
        .into_iter()
        .map(|(target, time)| send(worker, parcel, target, time, Standing::Required));
    let mut under_way: FuturesUnordered<_> = sends.collect();
    let mut handovers = Vec::with_capacity(under_way.len());
    while let Some(handover) = under_way.next().await {
        if !under_way.is_empty() && handover.succeeded() {
            note(witness, &handover.target.to.name).await;
        }
        handovers.push(handover);
    }
    // In configured order again: the first failure, or the first answer, is the sender's.
    handovers.sort_by_key(|handover: &Handover| handover.target.index);
    handovers
}

/// An optional destination: in a tracked task of its own, so that it neither delays nor fails the answer.
fn send_aside(worker: &Arc<Worker>, parcel: &Arc<Parcel>, witness: Option<Witness>, target: Target, time: Duration) {
    let (worker, parcel) = (worker.clone(), parcel.clone());
    let tracker = worker.deliveries.clone();
    tracker.spawn(async move {
        let handover = send(&worker, &parcel, target, time, Standing::Optional).await;
        if handover.succeeded() {
            // Noted even if the attempt is over by now: a retry does not ask it again.
            note(witness.as_ref(), &handover.target.to.name).await;
        }
    });
}

async fn send(worker: &Worker, parcel: &Parcel, target: Target, time: Duration, standing: Standing) -> Handover {
    let clock = &worker.shared.observers.clock;
    let begun = clock.monotonic();
    let result = attempt(worker, parcel, &target.to, time, standing).await;
    let took = clock.monotonic().since(begun);
    let meters = &parcel.authentic.source.meters;
    let (counted, took) = match &result {
        Ok(reply) if reply.status.is_success() => (DeliveryResult::Delivered, Some(took)),
        Ok(_) | Err(DeliveryError::Broken { .. }) => (DeliveryResult::Failed, Some(took)),
        Err(DeliveryError::Timeout { .. }) => (DeliveryResult::Timeout, Some(took)),
        Err(DeliveryError::Unreachable { .. } | DeliveryError::Resting { .. } | DeliveryError::Crowded { .. }) => {
            (DeliveryResult::Unreachable, None)
        }
    };
    meters.delivery(target.index, counted, took);
    if result.as_ref().is_ok_and(|reply| reply.cut) {
        meters.reply_cut(target.index);
    }
    Handover { target, result }
}

/// One request to one destination, if there is room for it and it is not being left alone.
async fn attempt(
    worker: &Worker,
    parcel: &Parcel,
    to: &DestinationSpec,
    time: Duration,
    standing: Standing,
) -> Result<Reply, DeliveryError> {
    let shared = &worker.shared;
    let clock = &shared.observers.clock;
    let destination = || to.name.clone();
    let Some(_place) = to.lane.enter(shared.places()) else {
        return Err(DeliveryError::Crowded {
            destination: destination(),
        });
    };
    let breaker = to.lane.breaker();
    let comes_again = standing == Standing::Required && parcel.authentic.source.provider.facts().automatic_retries;
    let pass = match breaker.ask(clock.monotonic()) {
        Ok(pass) => pass,
        Err(left) if comes_again => {
            return Err(DeliveryError::Resting {
                destination: destination(),
                left,
            });
        }
        // To be refused would be its loss: it waits for the app as ever.
        Err(_) => breaker.beside(),
    };
    let request = parcel.for_destination(to, clock.wall())?;
    let result = worker.outbound.send(to, request, time).await;
    let change = match &result {
        Ok(_) | Err(DeliveryError::Broken { .. }) => pass.succeeded(),
        Err(DeliveryError::Timeout { after, .. }) if *after < to.timeout.min(FAIR_TIME) => None,
        Err(_) => pass.failed(clock.monotonic(), to.connect_wait),
    };
    if let Some(change) = change {
        report(worker, &to.name, change);
    }
    result
}

fn report(worker: &Worker, destination: &DestinationName, change: Change) {
    let log = &worker.shared.observers.log;
    match change {
        Change::Opened(pause) => log.message(
            Level::Warn,
            "a destination does not answer and is left alone",
            &[("destination", destination), ("seconds", &pause.as_secs())],
        ),
        Change::Closed => log.message(
            Level::Info,
            "a destination answers again",
            &[("destination", destination)],
        ),
    }
}

impl Parcel {
    fn for_destination(&self, to: &DestinationSpec, at: Timestamp) -> Result<OutboundRequest, DeliveryError> {
        let Authentic {
            source,
            head,
            client,
            body,
            evidence,
            identity,
            ..
        } = &*self.authentic;
        let facts = source.provider.facts();
        let text = |text: &str| HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        let host = origin::host(head);
        let passage = Passage {
            source: &source.name,
            provider: &source.provider_name,
            event: evidence.events.last(),
            delivery: text(&identity.delivery),
            key: &identity.key,
            attempt: self.attempt,
            verified: evidence.verified.as_str(),
            local_ledger: self.local_ledger,
            repeat: self.mark == Some(Mark::Repeat),
            duplicate: self.mark == Some(Mark::Duplicate),
            forwarded_for: text(&client.forwarded_for()),
            proto: origin::proto(head, client),
            forwarded_host: origin::forwarded_host(head, client).or_else(|| host.clone()),
            host,
            request_id: self.request_id.to_header(),
            traceparent: self.traceparent.value().clone(),
            credential_headers: &facts.credential_headers,
            credential_query: &facts.credential_query,
            at,
        };
        let body: &Frames = body;
        compose(head, body, &passage, to)
    }
}

impl Handover {
    fn succeeded(&self) -> bool {
        self.result.as_ref().is_ok_and(|reply| reply.status.is_success())
    }

    /// Nothing of the request left this process.
    fn unsent(&self) -> bool {
        matches!(
            &self.result,
            Err(DeliveryError::Unreachable { sent: false, .. }
                | DeliveryError::Resting { .. }
                | DeliveryError::Crowded { .. })
        )
    }
}

async fn settle(worker: &Worker, hold: Hold, handovers: &[Handover], names: &[DestinationName]) {
    let Hold::Claim(claim) = hold else { return };
    let clock = &worker.shared.observers.clock;
    let begun = clock.monotonic();
    if !handovers.is_empty() && handovers.iter().all(Handover::unsent) {
        // Nothing was forwarded: the attempt does not count.
        claim.release().await;
    } else {
        let succeeded = handovers.iter().filter(|handover| handover.succeeded());
        let delivered: Vec<DestinationName> = succeeded.map(|handover| handover.target.to.name.clone()).collect();
        claim.settle(names, &delivered).await;
    }
    worker
        .shared
        .metrics
        .ledger(LedgerOp::Settle, clock.monotonic().since(begun));
}

async fn note(witness: Option<&Witness>, destination: &DestinationName) {
    if let Some(witness) = witness {
        witness.note(destination).await;
    }
}

async fn release(hold: Hold) {
    if let Hold::Claim(claim) = hold {
        claim.release().await;
    }
}

/// The sender's answer: of several failures the first in configured order, else the first success. `several`: the event
/// is for more than one destination, optional ones included, so that no single app's refusal is the sender's answer.
fn conclude(worker: &Worker, handovers: &[Handover], several: bool) -> Ending {
    for handover in handovers {
        match &handover.result {
            Ok(reply) if reply.status.is_success() => {}
            Ok(reply) => return failed(reply, &handover.target.to, several),
            Err(error) => return unanswered(worker, error, &handover.target.to),
        }
    }
    let mut ending = Ending::new(Outcome::Delivered, "");
    if let Some(Handover { result: Ok(reply), .. }) = handovers.first() {
        ending.status = reply.status;
        // A body that broke off is not passed off as the whole: the status alone counts.
        if !reply.broken {
            ending.body = Body::HandedThrough(Box::new(reply.clone()));
        }
    }
    ending
}

fn failed(reply: &Reply, to: &DestinationSpec, several: bool) -> Ending {
    let reason = format!("{} answered {}", to.name, reply.status.as_u16());
    let refused = reply.status.is_client_error() || reply.status.is_server_error();
    if several || !refused {
        return Ending::new(Outcome::UpstreamFailed, reason);
    }
    let status = to
        .map_status
        .get(&reply.status.as_u16())
        .copied()
        .unwrap_or(reply.status);
    let mut ending = Ending::new(Outcome::UpstreamFailed, reason).with_status(status);
    if !reply.broken {
        ending.body = Body::HandedThrough(Box::new(reply.clone()));
    }
    ending
}

fn unanswered(worker: &Worker, error: &DeliveryError, to: &DestinationSpec) -> Ending {
    let again_in = match error {
        DeliveryError::Resting { left, .. } => Some(*left),
        // The app of a terminating pod may be gone first: the sender should try another pod.
        DeliveryError::Unreachable { .. } if worker.shared.is_draining() => Some(Duration::ZERO),
        // It went out beside the breaker, or was the one that was let through.
        DeliveryError::Unreachable { .. } => to.lane.breaker().open_for(worker.shared.observers.clock.monotonic()),
        DeliveryError::Crowded { .. } => Some(Duration::ZERO),
        DeliveryError::Timeout { .. } | DeliveryError::Broken { .. } => None,
    };
    let outcome = match error {
        DeliveryError::Unreachable { .. } | DeliveryError::Resting { .. } => Outcome::UpstreamUnreachable,
        DeliveryError::Crowded { .. } => Outcome::Overloaded,
        DeliveryError::Timeout { .. } => Outcome::UpstreamTimeout,
        DeliveryError::Broken { .. } => Outcome::UpstreamFailed,
    };
    let ending = Ending::new(outcome, error.to_string());
    match again_in {
        Some(left) => {
            let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            ending
                .with_status(StatusCode::SERVICE_UNAVAILABLE)
                .with_retry_after(seconds.max(1))
        }
        None => ending,
    }
}
