//! Hands the delivery to every destination that has not had it, in parallel, and settles the ledger.

mod aside;
mod send;

pub use aside::Asides;

use super::{
    Worker,
    choose::{Chosen, Target},
    claim::{Claimed, Hold, Landing, Marks, time_for},
    origin::Origin,
    spend::Cleared,
};
use crate::{
    event::{DestinationName, Monotonic},
    replay::{Claim, Witness},
    source::{Body, Ending, Outcome, Trail},
    telemetry::LedgerOp,
    upstream::{DeliveryError, DestinationSpec, Excess, Reply},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use http::StatusCode;
use send::{Handover, Parcel, Standing, send};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

pub(super) async fn deliver(worker: &Arc<Worker>, cleared: Cleared, trail: &mut Trail) -> Ending {
    let Claimed {
        chosen,
        hold,
        marks,
        leader,
    } = cleared.0;
    let ending = hand_over(worker, chosen, hold, marks, trail).await;
    if let Some(leader) = leader {
        leader.land_with(|| Landing::Answer(ending.clone()));
    }
    ending
}

async fn hand_over(worker: &Arc<Worker>, chosen: Chosen, hold: Hold, marks: Marks, trail: &mut Trail) -> Ending {
    let clock = &worker.shared.observers.clock;
    if hold.is_overdue(clock.monotonic()) {
        // A process that was frozen past its lease: another replica may be delivering by now, so nothing is started.
        hold.release().await;
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
    let origin = Origin::of(&authentic.head, &authentic.client);
    // Of several destinations each gets a copy.
    let alone = required.len() == 1 && optional.is_empty();
    let headers = alone.then(|| std::mem::take(&mut authentic.head.headers));
    let parcel = Arc::new(Parcel {
        request_id: trail.request_id,
        traceparent: trail.traceparent.clone(),
        attempt: hold.attempt(),
        local_ledger: hold.claim().is_some_and(Claim::is_local),
        marks,
        origin,
        headers: Mutex::new(headers),
        authentic,
    });
    // A lone destination has nobody to be noted beside: its settlement says it all.
    let noted = required.len() > 1 || !optional.is_empty();
    let claim = hold.claim().filter(|_| noted);
    for (target, time) in optional {
        send_aside(worker, &parcel, claim, target, time);
    }
    let witness = claim.map(Claim::witness);
    let begun = clock.monotonic();
    let handovers = send_all(worker, &parcel, witness.as_ref(), required).await;
    trail.upstream = Some(clock.monotonic().since(begun));
    trail.handed = handovers.iter().map(Handover::told).collect();
    settle(worker, hold, &handovers, names).await;
    let delivered = handovers.iter().all(Handover::succeeded);
    let ending = conclude(worker, handovers, several);
    if delivered {
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
        return vec![send(worker, parcel, target, time, Standing::Answering).await];
    }
    // Of several the first one's answer is the sender's, or none.
    let sends = required.into_iter().enumerate().map(|(index, (target, time))| {
        let standing = if index == 0 {
            Standing::Answering
        } else {
            Standing::Required
        };
        send(worker, parcel, target, time, standing)
    });
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

/// An optional destination: in a tracked task of its own, so that it neither delays nor fails the answer. While it still
/// works on the copy of an earlier attempt, this one waits: what that succeeds with is not sent again.
fn send_aside(worker: &Arc<Worker>, parcel: &Arc<Parcel>, claim: Option<&Claim>, target: Target, time: Duration) {
    let claim = claim.map(|claim| (*claim.key(), claim.deadline(), claim.witness()));
    let (worker, parcel) = (worker.clone(), parcel.clone());
    let tracker = worker.deliveries.clone();
    let Some((key, deadline, witness)) = claim else {
        tracker.spawn(async move {
            send(&worker, &parcel, target, time, Standing::Optional).await;
        });
        return;
    };
    let Some(aside) = worker.shared.asides.enter(key, &target.to.name) else {
        return;
    };
    tracker.spawn(async move {
        let Some(turn) = aside.turn().await else { return };
        let now: Monotonic = worker.shared.observers.clock.monotonic();
        if now >= deadline {
            // Another replica may be at it by now.
            return;
        }
        let handover = send(&worker, &parcel, target, time, Standing::Optional).await;
        if handover.succeeded() {
            // Noted even if the attempt is over by now: a retry does not ask it again.
            witness.note(&handover.target.to.name).await;
            turn.succeeded();
        }
    });
}

async fn settle(worker: &Worker, hold: Hold, handovers: &[Handover], names: Vec<DestinationName>) {
    if hold.claim().is_none() {
        return;
    }
    let clock = &worker.shared.observers.clock;
    let begun = clock.monotonic();
    if !handovers.is_empty() && handovers.iter().all(Handover::unsent) {
        // Nothing was forwarded: the attempt does not count.
        hold.release().await;
    } else {
        let succeeded = handovers.iter().filter(|handover| handover.succeeded());
        let delivered: Vec<DestinationName> = succeeded.map(|handover| handover.target.to.name.clone()).collect();
        hold.settle(worker, names, delivered).await;
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

/// The sender's answer: of several failures the first in configured order, else the first success. `several`: the event
/// is for more than one destination, optional ones included, so that no single app's refusal is the sender's answer.
fn conclude(worker: &Worker, handovers: Vec<Handover>, several: bool) -> Ending {
    let decides = handovers.iter().position(|handover| !handover.succeeded());
    let mut ending = Ending::new(Outcome::Delivered, "");
    let Some(Handover { target, result, .. }) = handovers.into_iter().nth(decides.unwrap_or(0)) else {
        return ending;
    };
    match result {
        Err(error) => unanswered(worker, &error, &target.to),
        Ok(reply) if decides.is_some() => failed(reply, &target.to, several),
        Ok(Reply {
            excess: Some(excess),
            status,
            ..
        }) => too_large(&target.to, status, excess),
        Ok(reply) => {
            ending.status = reply.status;
            // A body that broke off is not passed off as the whole: the status alone counts.
            if !reply.broken {
                ending.body = Body::HandedThrough(Box::new(reply));
            }
            ending
        }
    }
}

/// An answer that cannot be handed through whole is not handed through at all.
fn too_large(to: &DestinationSpec, status: StatusCode, excess: Excess) -> Ending {
    let reason = format!("{} answered {}, but {excess}", to.name, status.as_u16());
    Ending::new(Outcome::UpstreamFailed, reason)
}

fn failed(reply: Reply, to: &DestinationSpec, several: bool) -> Ending {
    let reason = format!("{} answered {}", to.name, reply.status.as_u16());
    let refused = reply.status.is_client_error() || reply.status.is_server_error();
    if several || !refused {
        return Ending::new(Outcome::UpstreamFailed, reason);
    }
    if let Some(excess) = reply.excess {
        return too_large(to, reply.status, excess);
    }
    let status = to
        .map_status
        .get(&reply.status.as_u16())
        .copied()
        .unwrap_or(reply.status);
    let mut ending = Ending::new(Outcome::UpstreamFailed, reason).with_status(status);
    if !reply.broken {
        ending.body = Body::HandedThrough(Box::new(reply));
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
