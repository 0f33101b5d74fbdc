//! The source's rate limit: only a delivery that the ledger has not seen spends it, so it stands behind the claim and
//! gives the claim back when it says no.

use super::{
    Shared,
    choose::Chosen,
    claim::{Claimed, Hold, Landing},
};
use crate::{
    limit::{LimitKey, Limited, Per, SourceLimiter},
    source::{Ending, Outcome},
};
use http::StatusCode;

/// A delivery that is claimed and within its limits.
pub(super) struct Cleared(pub Claimed);

pub(super) async fn spend(shared: &Shared, claimed: Claimed) -> Result<Cleared, Ending> {
    let Some(limiter) = claimed.chosen.authentic.source.limiter.clone() else {
        return Ok(Cleared(claimed));
    };
    let Err(over) = check(&limiter, &claimed.chosen, shared.under_pressure()) else {
        return Ok(Cleared(claimed));
    };
    let mut ending = Ending::limited(Outcome::RateLimited, "over the source's rate limit", &over);
    if limiter.spec().unavailable_status {
        ending = ending.with_status(StatusCode::SERVICE_UNAVAILABLE);
    }
    if let Hold::Claim(claim) = claimed.hold {
        claim.release().await;
    }
    if let Some(leader) = claimed.leader {
        leader.land(&Landing::Answer(ending.clone()));
    }
    Err(ending)
}

fn check(limiter: &SourceLimiter, chosen: &Chosen, pressure: bool) -> Result<(), Limited> {
    let authentic = &chosen.authentic;
    match &limiter.spec().per {
        Per::Source => limiter.check(LimitKey::Source, pressure),
        Per::Client => limiter.check(LimitKey::Client(authentic.client.ip), pressure),
        Per::Header(name) => {
            let value = authentic.head.headers.get(name);
            limiter.check(LimitKey::Value(value.map(http::HeaderValue::as_bytes)), pressure)
        }
        Per::Json(_) => {
            let body = authentic.body.joined();
            let pointer = authentic.source.limit_pointer.as_ref();
            let value = pointer.and_then(|pointer| pointer.text(&body));
            limiter.check(LimitKey::Value(value.as_deref().map(str::as_bytes)), pressure)
        }
    }
}
