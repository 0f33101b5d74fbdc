//! What a proven request is: a handshake, or an event with its id, its names and the identity that its replays share.

use super::{BodyDigest, Proof, Verifier, open};
use crate::{
    event::{Envelope, Timestamp},
    provider::{
        Provider,
        evidence::{Confirmation, Finding, Refusal},
        field::Scene,
        identity,
        keys::Keys,
        pick::Picks,
        plan::Plan,
    },
};
use bytes::Bytes;

/// A request that [`super::Verifier::prove`] let pass, together with the very bytes that it proved.
pub struct Proven<'a> {
    envelope: Envelope<'a>,
    what: What,
    whole: Option<Bytes>,
    digest: BodyDigest,
}

enum What {
    /// A handshake that no signature proves.
    Opening(usize),
    Signed(Proof),
}

impl<'a> Proven<'a> {
    pub(super) fn opening(index: usize, envelope: Envelope<'a>) -> Self {
        Self {
            envelope,
            what: What::Opening(index),
            whole: None,
            digest: BodyDigest::new(false),
        }
    }

    pub(super) fn signed(proof: Proof, envelope: Envelope<'a>, whole: Option<Bytes>, digest: BodyDigest) -> Self {
        Self {
            envelope,
            what: What::Signed(proof),
            whole,
            digest,
        }
    }

    /// Reads id and event from what was proven, and makes the identity by which the ledger knows it.
    fn known(self, plan: &Plan, keys: &Keys) -> Result<Finding, Refusal> {
        let Self {
            envelope,
            what,
            whole,
            digest,
        } = self;
        let proof = match what {
            What::Opening(index) => {
                let answer = open::answer(plan, index, envelope, keys).map_err(Refusal::Unverified)?;
                return Ok(Finding::Challenge(answer));
            }
            What::Signed(proof) => proof,
        };
        if plan.known.is_empty() {
            return known(plan, &proof, envelope, (whole.as_deref(), None), keys, digest);
        }
        let whole = whole.unwrap_or_else(|| envelope.body.joined());
        let picks = plan.known.pick(&whole);
        identity::refuse_doubled(plan, &picks)?;
        known(plan, &proof, envelope, (Some(&whole), Some(&picks)), keys, digest)
    }
}

impl Provider {
    /// The proof alone, over the whole request: signature first, then time. The envelope's frames must be those that were fed.
    pub fn prove<'a>(
        &self,
        verifier: Verifier,
        envelope: Envelope<'a>,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<Proven<'a>, Refusal> {
        verifier.prove(&self.plan, envelope, keys, now)
    }

    /// What a proven request is: id and event are read, and the identity is made by which the ledger knows it. Only here is
    /// a body digested a second time, where the identity needs it and the body came in one frame.
    pub fn know(&self, proven: Proven<'_>, keys: &Keys) -> Result<Finding, Refusal> {
        proven.known(&self.plan, keys)
    }
}

fn known(
    plan: &Plan,
    proof: &Proof,
    envelope: Envelope<'_>,
    (whole, picks): (Option<&[u8]>, Option<&Picks<'_>>),
    keys: &Keys,
    digest: BodyDigest,
) -> Result<Finding, Refusal> {
    let claims = proof.claims.as_ref().map(|claims| plan.claims.pick(claims));
    let scene = Scene {
        body: Some(envelope.body),
        form: whole,
        json: picks,
        claims: claims.as_ref(),
        ..Scene::of_head(envelope.head, plan.base.as_ref(), plan.signature.as_ref())
    };
    open::refuse_what_it_signs(plan, &scene).map_err(Refusal::Unverified)?;
    if let Some(challenge) = plan.challenges.iter().find(|one| one.is_asked(&scene, scene.json)) {
        let key = proof.secret.and_then(|index| keys.mac(index));
        let answer = challenge.answer(&scene, key).map_err(Refusal::Unverified)?;
        let visit = challenge.visit(&scene).filter(|_| plan.confirms == Some(true));
        return Ok(match visit.transpose().map_err(Refusal::Unverified)? {
            Some(url) => Finding::Confirmation(Confirmation { answer, url }),
            None => Finding::Challenge(answer),
        });
    }
    let evidence = identity::evidence(plan, proof, &scene, || digest.finish(envelope.body))?;
    Ok(Finding::Authentic(evidence))
}
