//! Another replica has the delivery in hand: who never comes again by itself waits for what becomes of it.

use super::{patience, put};
use crate::{
    pipeline::{Worker, choose::Chosen},
    replay::{Ask, Decision, Unavailable},
    source::Trail,
};
use std::{pin::pin, time::Duration};
use tokio::time::sleep;

/// While another replica is at a delivery, the ledger is asked after this, and then after ever longer pauses.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A request that waits for another attempt stops while so much of its time is left, to forward in case the other attempt
/// fails; at most half of its time (Sentry waits one second for an answer).
const TIME_TO_FORWARD: Duration = Duration::from_secs(1);
/// The longest wait for another replica where no deadline of the provider is known.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// As [`put`]. But a provider that never comes again by itself is not sent away while another replica is at its delivery:
/// it waits, within its own deadline, for what becomes of that. Its body is kept, in case the other one fails.
pub(super) async fn put_patiently(
    worker: &Worker,
    ask: &Ask,
    chosen: &Chosen,
    trail: &mut Trail,
) -> Result<Decision, Unavailable> {
    let decision = put(worker, ask, chosen).await?;
    let Decision::Busy { mut left } = decision else {
        return Ok(decision);
    };
    if chosen.authentic.source.provider.facts().automatic_retries {
        return Ok(Decision::Busy { left });
    }
    let begun = trail.elapsed();
    let time = patience(&chosen.authentic, trail).min(LONGEST_WAIT);
    let mut over = pin!(sleep(time - TIME_TO_FORWARD.min(time / 2)));
    let mut pause = FIRST_PAUSE;
    let decided = loop {
        tokio::select! {
            biased;
            () = worker.shared.cut.cancelled() => break Ok(Decision::Busy { left }),
            () = &mut over => break Ok(Decision::Busy { left }),
            () = sleep(pause.min(left)) => {}
        }
        // Not within the select: a question that is given up may be granted all the same, and block the next one.
        match put(worker, ask, chosen).await {
            Ok(Decision::Busy { left: rest }) => left = rest.max(FIRST_PAUSE),
            decided => break decided,
        }
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    };
    // It waited for destinations, not for us.
    trail.upstream = Some(trail.elapsed().saturating_sub(begun));
    decided
}
