//! The proof of a JWT (RFC 7519): its signature, its claims, the body's digest, then its times.

use super::{
    covered::body_hash,
    prove::{Matched, Proof, fresh},
    read_time, required,
};
use crate::{
    event::{Envelope, Timestamp},
    provider::{
        evidence::{Cause, Refusal, Verified},
        field::Scene,
        jwt,
        keys::Keys,
        plan::Plan,
    },
};

pub(super) fn bearer(
    plan: &Plan,
    scene: &Scene<'_>,
    envelope: Envelope<'_>,
    keys: &Keys,
    now: Timestamp,
) -> Result<Proof, Refusal> {
    let unverified = Refusal::Unverified;
    let signature = plan.signature.as_ref().expect("a JWT has a place");
    let mut opened = None;
    signature
        .candidates(scene, |candidate| {
            if !matches!(opened, Some(Ok(_))) {
                opened = Some(jwt::open(candidate, plan.algorithm, keys, signature.name()));
            }
        })
        .map_err(unverified)?;
    let opened = opened
        .unwrap_or_else(|| Err(Cause::SignatureMissing(signature.name().clone())))
        .map_err(unverified)?;
    let picks = plan.claims.pick(&opened.claims);
    let validity = jwt::validity(&opened.claims, signature.name()).map_err(unverified)?;
    if picks.any_doubled() {
        return Err(unverified(Cause::FieldDoubled("claim".into())));
    }
    let scene = Scene {
        claims: Some(&picks),
        ..scene.clone()
    };
    required(plan, &scene, false).map_err(unverified)?;
    let signed_at = match &plan.time {
        Some(time) => Some(read_time(time, &scene).map_err(unverified)?.1),
        None => None,
    };
    body_hash(plan, &scene, envelope).map_err(unverified)?;
    fresh(plan, signed_at, now)?;
    if let Some(age_millis) = validity.outside(plan.leeway, now) {
        return Err(Refusal::Stale { age_millis });
    }
    Ok(Proof {
        verified: Verified::Signature,
        secret: Some(opened.secret),
        mac: Some(Matched::Other(opened.mac)),
        signed_at,
        claims: Some(opened.claims),
        signed: None,
    })
}
