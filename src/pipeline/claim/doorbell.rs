//! Forwards a doorbell: nothing distinguishes an honest repeat from a replay, so each request is a delivery of its own.

use super::{Claimed, Hold, Marks, repeat};
use crate::{
    event::DeliveryKey,
    limit::Pace,
    pipeline::{Worker, choose::Chosen},
    source::{Ending, Trail},
};

/// Forwards the request by itself, within the budget of its content: no ledger is asked, and no other request waits for
/// its answer.
pub(super) async fn forward(
    worker: &Worker,
    chosen: Chosen,
    content: &DeliveryKey,
    trail: &mut Trail,
) -> Result<Claimed, Ending> {
    repeat::place(worker, &chosen.authentic, content, Pace::Doorbell, trail).await?;
    trail.attempt = Some(1);
    Ok(Claimed {
        chosen,
        hold: Hold::Unguarded { attempt: 1 },
        marks: Marks {
            repeat: Some("unknown"),
            ..Marks::default()
        },
        leader: None,
    })
}
