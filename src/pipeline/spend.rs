//! The source's rate limit: only a delivery that the ledger has not seen spends it, so it stands behind the claim and
//! gives the claim back when it says no. Retries and repetitions have the budget of repetitions.

use super::{
    Worker,
    choose::Chosen,
    claim::{Claimed, Hold, Landing, patience},
};
use crate::{
    limit::{LimitKey, Limited, Per, RateLimit},
    source::{Ending, Outcome, Trail},
};
use http::StatusCode;
use std::time::Duration;
use tokio::time::sleep;

/// A delivery that is claimed and within its limits.
pub(super) struct Cleared(pub Claimed);

/// The longest wait for a place where no deadline of the provider is known.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// A request that waits keeps this much of the provider's deadline for its destinations.
const MIN_FORWARD_TIME: Duration = Duration::from_secs(1);

pub(super) async fn spend(worker: &Worker, mut claimed: Claimed, trail: &Trail) -> Result<Cleared, Ending> {
    let Some(limiter) = claimed.chosen.authentic.source.limiter.clone() else {
        return Ok(Cleared(claimed));
    };
    if is_known(worker, &limiter, &claimed, trail) {
        return Ok(Cleared(claimed));
    }
    let Err(mut over) = check(worker, &limiter, &claimed.chosen).await else {
        return Ok(Cleared(claimed));
    };
    // A provider that never retries by itself would lose the event: it waits within the provider's deadline.
    let waits = !claimed.chosen.authentic.source.provider.facts().automatic_retries;
    let time = patience(&claimed.chosen.authentic, trail).min(MAX_WAIT);
    let mut left = time.saturating_sub(MIN_FORWARD_TIME);
    while waits && over.wait() <= left && waited(worker, &mut claimed, over.wait()).await {
        left -= over.wait();
        match check(worker, &limiter, &claimed.chosen).await {
            Ok(()) => return Ok(Cleared(claimed)),
            Err(longer) => over = longer,
        }
    }
    let mut ending = Ending::limited(Outcome::RateLimited, "over the source's rate limit", &over);
    if limiter.spec().unavailable_status {
        ending = ending.with_status(StatusCode::SERVICE_UNAVAILABLE);
    }
    claimed.hold.release().await;
    if let Some(leader) = claimed.leader {
        leader.land_with(|| Landing::Answer(ending.clone()));
    }
    Err(ending)
}

/// Waits for a place and keeps the claim meanwhile. False where the process ends, or another attempt holds the delivery.
async fn waited(worker: &Worker, claimed: &mut Claimed, wait: Duration) -> bool {
    tokio::select! {
        biased;
        () = worker.shared.cut.cancelled() => return false,
        () = sleep(wait) => {}
    }
    claimed.hold.renew().await
}

/// Has the ledger seen this delivery before, so that it spends nothing of the source's limit? A retry that comes faster
/// than the budget of repetitions allows is no longer told from a new delivery: one captured request of a delivery that
/// keeps failing must not become a flood.
fn is_known(worker: &Worker, limiter: &RateLimit, claimed: &Claimed, trail: &Trail) -> bool {
    let authentic = &claimed.chosen.authentic;
    match &claimed.hold {
        // Spent where the ledger said `done`; a doorbell is not known to be a repeat.
        Hold::Unguarded { .. } => claimed.marks.duplicate,
        // Spent where its record was claimed.
        Hold::Repeat(..) => true,
        Hold::Claim(claim) if claim.attempt() > 1 => {
            let (key, source) = (&authentic.identity.key, &authentic.source.name);
            let spent = worker
                .shared
                .repeats
                .spend(key, source, Some(limiter.spec()), trail.arrived);
            spent.is_ok()
        }
        Hold::Claim(_) => false,
    }
}

async fn check(worker: &Worker, limiter: &RateLimit, chosen: &Chosen) -> Result<(), Limited> {
    let authentic = &chosen.authentic;
    let (lender, pressure) = (worker.lender.as_ref(), worker.shared.under_pressure());
    match &limiter.spec().per {
        Per::Source => limiter.check(lender, LimitKey::Source, pressure).await,
        Per::Client => {
            let key = LimitKey::Client(authentic.client.ip);
            limiter.check(lender, key, pressure).await
        }
        Per::Header(name) => {
            let value = authentic.head.headers.get(name);
            let key = LimitKey::Value(value.map(http::HeaderValue::as_bytes));
            limiter.check(lender, key, pressure).await
        }
        Per::Json(_) => {
            let body = authentic.body.joined();
            let pointer = authentic.source.limit_pointer.as_ref();
            let value = pointer.and_then(|pointer| pointer.text(&body));
            let key = LimitKey::Value(value.as_deref().map(str::as_bytes));
            limiter.check(lender, key, pressure).await
        }
    }
}
