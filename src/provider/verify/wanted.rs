//! Which key a request wants to be verified with, where it is fetched; refuses first what no key could prove.

use super::{read_time, required};
use crate::{
    event::Envelope,
    provider::{
        evidence::{Cause, Refusal},
        field::Scene,
        jwt,
        plan::Plan,
    },
};

/// The key that a request wants to be verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedKey {
    /// The `https` URL where it is published.
    pub url: String,
    /// Which one of a set; `None`: any.
    pub kid: Option<String>,
    /// The request itself names the URL, so that strangers choose what is asked for.
    pub named: bool,
}

/// The key, of a plan that has one to fetch; `None`: it has not.
pub fn wanted(plan: &Plan, envelope: Envelope<'_>) -> Result<Option<WantedKey>, Refusal> {
    let (Some(rule), Some(signature)) = (&plan.key_url, &plan.signature) else {
        return Ok(None);
    };
    if !rule.is_fetched() {
        return Ok(None);
    }
    let whole = plan.reads_body.then(|| envelope.body.joined());
    let picks = whole.as_deref().map(|whole| plan.proof.pick(whole));
    let scene = Scene {
        body: Some(envelope.body),
        form: whole.as_deref(),
        json: picks.as_ref(),
        ..Scene::of_head(envelope.head, plan.base.as_ref(), plan.signature.as_ref())
    };
    let judge = || {
        let mut kid = None;
        if plan.algorithm.is_jwt() {
            let mut fault = None;
            signature.candidates(&scene, |token| {
                match jwt::kid(token, plan.algorithm, signature.name()) {
                    Ok(named) => kid = named,
                    Err(cause) => fault = Some(cause),
                }
            })?;
            fault.map_or(Ok(()), Err)?;
        } else {
            required(plan, &scene, false)?;
            signature.decoded(&scene, |_| {})?;
            if let Some(time) = &plan.time {
                read_time(time, &scene)?;
            }
        }
        Ok(WantedKey {
            url: rule.place(&scene)?,
            kid,
            named: rule.field().is_some(),
        })
    };
    judge().map(Some).map_err(|cause: Cause| Refusal::Unverified(cause))
}
