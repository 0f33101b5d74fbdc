//! The time that a request states for itself, proven or not: captures are judged long after they arrived.

use super::{
    Keys, Provider, Refusal,
    evidence::Finding,
    field::{Place, Scene},
    freshness,
    plan::Plan,
    verify::read_time,
};
use crate::event::{Envelope, Timestamp};

/// Where verification reads it; of a batch, its first element's.
pub fn time(provider: &Provider, envelope: Envelope<'_>, keys: &Keys) -> Option<Timestamp> {
    match provider.plan.time.as_ref()?.field.place {
        // A token is only decoded by proving it: at the beginning of time it is far from fresh, and its age tells the rest.
        Place::Claim(_) => {
            let epoch = Timestamp::from_millis(0);
            match provider.verify(envelope, keys, epoch) {
                Ok(Finding::Authentic(evidence)) => evidence.signed_at,
                Err(Refusal::Stale { age_millis }) => Some(Timestamp::from_millis(age_millis.saturating_neg())),
                Ok(Finding::Challenge(_) | Finding::Confirmation(_)) | Err(_) => None,
            }
        }
        Place::Json(_) | Place::Form(_) => in_body(&provider.plan, envelope),
        _ => read(&provider.plan, &scene(&provider.plan, envelope)),
    }
}

/// Is a request that states this time inside the window at `now`? Where no time is signed, it always is.
pub fn is_fresh(provider: &Provider, stated: Option<Timestamp>, now: Timestamp) -> bool {
    let Some((time, window)) = provider.plan.time.as_ref().and_then(|time| Some((time, time.window?))) else {
        return true;
    };
    stated.is_some_and(|at| freshness::outside(at, time.unit, window, now).is_none())
}

fn in_body(plan: &Plan, envelope: Envelope<'_>) -> Option<Timestamp> {
    let whole = envelope.body.joined();
    let batch = plan
        .each
        .as_ref()
        .map(|(pointers, slot)| (pointers.pick(&whole), *slot));
    let document = match &batch {
        Some((elements, slot)) => elements.slot(*slot).value()?.raw,
        None => &whole[..],
    };
    let picks = plan.proof.pick(document);
    let scene = Scene {
        body: Some(envelope.body),
        form: Some(&whole),
        json: Some(&picks),
        ..scene(plan, envelope)
    };
    read(plan, &scene)
}

fn scene<'a>(plan: &'a Plan, envelope: Envelope<'a>) -> Scene<'a> {
    Scene::of_head(envelope.head, plan.base.as_ref(), plan.signature.as_ref())
}

fn read(plan: &Plan, scene: &Scene<'_>) -> Option<Timestamp> {
    let (_, at) = read_time(plan.time.as_ref()?, scene).ok()?;
    Some(at)
}
