//! Signatures by public keys: which one made it, by the digest that the request states where a provider uses two.

use super::prove::{Hit, Matched};
use crate::{
    event::{Frames, MacDigest},
    provider::{
        asymmetric::PublicKey,
        evidence::Cause,
        field::{Found, Scene},
        keys::{Key, Keys},
        plan::Plan,
        template,
    },
};

/// Public keys: nothing here is secret, so the first match ends it.
pub fn public(plan: &Plan, scene: &Scene<'_>, keys: &Keys) -> Hit {
    let signature = plan.signature.as_ref().expect("a signature has a place");
    let older = is_older(plan, scene)?;
    let verifies = |public: &PublicKey, message: &[u8], candidate: &[u8]| {
        if older {
            public.verifies_by_older(message, candidate)
        } else {
            public.verifies(message, candidate)
        }
    };
    let mut hit = None;
    let mut fault = None;
    for template in &plan.templates {
        let mut message = Vec::with_capacity(scene.body.map_or(0, Frames::len) + 64);
        if let Err(cause) = template::render(&template.pieces, scene, |bytes| message.extend_from_slice(bytes)) {
            fault = Some(cause);
            continue;
        }
        signature.decoded(scene, |candidate| {
            for (index, key) in keys.iter().enumerate() {
                if let Key::Public(publics) = key
                    && hit.is_none()
                    && publics.iter().any(|public| verifies(public, &message, candidate))
                {
                    hit = Some((index, Matched::Other(MacDigest::of(candidate))));
                }
            }
        })?;
    }
    match (hit, fault) {
        (None, Some(cause)) => Err(cause),
        (hit, _) => Ok(hit),
    }
}

/// Does the request state the older of two digests? A signature by one digest must not pass under the name of the other.
fn is_older(plan: &Plan, scene: &Scene<'_>) -> Result<bool, Cause> {
    let Some(stated) = &plan.digest else { return Ok(false) };
    let name = || stated.field.name.clone();
    match scene.read(&stated.field) {
        Found::Text(text) if *text == *stated.sha256.as_bytes() => Ok(false),
        Found::Text(text) if *text == *stated.sha1.as_bytes() => Ok(true),
        Found::Text(_) => Err(Cause::FieldWrong(name())),
        Found::Missing => Err(Cause::FieldMissing(name())),
        Found::Doubled => Err(Cause::FieldDoubled(name())),
    }
}
