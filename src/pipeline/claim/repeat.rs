//! Claims a repeat of a delivered event: a record of its own, within the budget of forwarded repeats.

use super::{
    Case, Claimed, Hold, Landing, Marks, Parent, in_flight, landed, ledger_unavailable, limit, patience,
    repeated_too_often, wait::put_patiently,
};
use crate::{
    event::DeliveryKey,
    limit::Pace,
    pipeline::{Worker, authenticate::Authentic, choose::Chosen},
    replay::{Decision, Leader, Standing},
    source::{Ending, Outcome, Trail},
    telemetry::{Entropy, entropy},
};
use http::StatusCode;
use std::time::Duration;
use tokio::time::sleep;

/// The longest wait for a place where no deadline of the provider is known.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Spends the budget of forwarded repeats, once.
pub(super) async fn pay(
    worker: &Worker,
    authentic: &Authentic,
    case: &mut Case,
    trail: &mut Trail,
) -> Result<(), Ending> {
    if !case.paid {
        place(worker, authentic, &case.ask.key, Pace::Repeat, trail).await?;
        case.paid = true;
    }
    Ok(())
}

/// Takes a place for one forwarded repeat of `key`. Waits for it within the provider's deadline, then refuses.
pub(super) async fn place(
    worker: &Worker,
    authentic: &Authentic,
    key: &DeliveryKey,
    pace: Pace,
    trail: &mut Trail,
) -> Result<(), Ending> {
    let (shared, client) = (&worker.shared, authentic.client.ip);
    let take = || {
        shared
            .forwards
            .take(key, client, pace, shared.observers.clock.monotonic())
    };
    let Err(mut wait) = take() else {
        return Ok(());
    };
    let Some(_waiting) = shared.forwards.wait() else {
        return Err(crowded(wait));
    };
    let mut left = patience(authentic, trail).min(MAX_WAIT);
    loop {
        if wait > left {
            return Err(crowded(wait));
        }
        tokio::select! {
            biased;
            () = shared.cut.cancelled() => return Err(crowded(wait)),
            () = sleep(wait) => left -= wait,
        }
        match take() {
            Ok(()) => return Ok(()),
            Err(longer) => wait = longer,
        }
    }
}

fn crowded(wait: Duration) -> Ending {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Ending::new(Outcome::RateLimited, "repeats of this content are forwarded too often")
        .with_status(StatusCode::SERVICE_UNAVAILABLE)
        .with_retry_after(seconds.max(1))
}

/// Claims the repeat's own record. `standing` is what the event's record says of the repeat, which may be in flight still.
pub(super) async fn claim(
    worker: &Worker,
    mut chosen: Chosen,
    case: &mut Case,
    (standing, max): (Standing, usize),
    leader: Leader<Landing>,
    trail: &mut Trail,
) -> Result<Claimed, Ending> {
    if standing != Standing::Repeated
        && let Err(ending) = pay(worker, &chosen.authentic, case, trail).await
    {
        return Err(landed(leader, ending));
    }
    let Some(variant) = case.ask.values.variant() else {
        return Err(landed(leader, duplicate()));
    };
    let parent = Parent {
        key: case.ask.key,
        variant,
        max,
    };
    chosen.authentic.identity.become_repeat(case.flight);
    trail.delivery = Some(chosen.authentic.identity.delivery.clone());
    let ask = crate::replay::Ask {
        key: case.flight,
        owner: entropy(Entropy::nonce),
        values: crate::event::Values::default(),
        ..case.ask.clone()
    };
    match put_patiently(worker, &ask, &chosen, trail).await {
        Ok(Decision::Claimed(claim)) => {
            // The record of a remembered repeat is gone (a restart, an eviction): it was delivered all the same.
            if standing == Standing::Repeated && !claim.is_redelivery() {
                claim.release().await;
                return Err(landed(leader, answered(worker, &chosen, case, trail)));
            }
            trail.attempt = Some(claim.attempt());
            let marks = Marks {
                repeat: Some("true"),
                redelivery: claim.is_redelivery(),
                ..Marks::default()
            };
            Ok(Claimed {
                chosen,
                hold: Hold::Repeat(Box::new(claim), parent),
                marks,
                leader: Some(leader),
            })
        }
        Ok(Decision::Busy { left }) => Err(landed(leader, in_flight(left))),
        Ok(Decision::Done(own)) => {
            let ending = answered(worker, &chosen, case, trail);
            let resigns = chosen.authentic.source.provider.facts().resigns;
            if ending.outcome == Outcome::Duplicate && own.same_mac && resigns {
                let reason = "delivered before under this very signature, and this provider signs every attempt anew";
                return Err(landed(leader, Ending::new(Outcome::Replayed, reason)));
            }
            Err(landed(leader, ending))
        }
        Err(unavailable) => Err(landed(leader, ledger_unavailable(&unavailable))),
    }
}

/// A repeat that was delivered before is answered, within the budget of answered repeats.
fn answered(worker: &Worker, chosen: &Chosen, case: &Case, trail: &Trail) -> Ending {
    let (repeats, source) = (&worker.shared.repeats, &chosen.authentic.source);
    if !case.known {
        repeats.learn(&case.flight, (), super::REMEMBERED, trail.arrived);
        if let Err(limited) = repeats.spend(&case.flight, &source.name, limit(source), trail.arrived) {
            return repeated_too_often(&limited);
        }
    }
    duplicate()
}

fn duplicate() -> Ending {
    Ending::new(Outcome::Duplicate, "delivered before, as a repeat")
}
