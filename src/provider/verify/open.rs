//! Handshakes that no signature proves: told by the head, answered without a verdict, and never worth a signature.

use crate::{
    event::Envelope,
    provider::{
        evidence::{Answer, Cause},
        field::{Found, Scene},
        handshake,
        keys::Keys,
        plan::Plan,
        template::Piece,
    },
};
use http::request::Parts;

/// The index of the handshake that this head asks for.
pub fn asked(plan: &Plan, head: &Parts) -> Option<usize> {
    let scene = Scene::of_head(head, plan.base.as_ref(), plan.signature.as_ref());
    plan.challenges.iter().position(|one| one.is_asked_openly(&scene))
}

/// The same, if it bears the token that it must bear.
pub(super) fn admitted(plan: &Plan, head: &Parts) -> Result<Option<usize>, Cause> {
    let Some(index) = asked(plan, head) else {
        return Ok(None);
    };
    let scene = Scene::of_head(head, plan.base.as_ref(), plan.signature.as_ref());
    plan.challenges[index].admits(&scene)?;
    Ok(Some(index))
}

/// The answer, by the newest secret where one is needed.
pub(super) fn answer(plan: &Plan, index: usize, envelope: Envelope<'_>, keys: &Keys) -> Result<Answer, Cause> {
    let challenge = &plan.challenges[index];
    if !challenge.takes_body(envelope.body.len()) {
        return Err(Cause::ChallengeMalformed("body".into()));
    }
    let whole = envelope.body.joined();
    let picks = plan.known.pick(&whole);
    let scene = Scene {
        json: Some(&picks),
        ..Scene::of_head(envelope.head, plan.base.as_ref(), plan.signature.as_ref())
    };
    challenge.answer(&scene, keys.mac(0))
}

/// Whoever asks gets the MAC of any token, so a signed text that is a token proves nothing (attack 75). No event of such a
/// provider is one: they are JSON objects, or base64 with line ends.
pub(super) fn refuse_what_it_signs(plan: &Plan, scene: &Scene<'_>) -> Result<(), Cause> {
    let Some(grammar) = plan.challenges.iter().find_map(handshake::Challenge::signs_for_anybody) else {
        return Ok(());
    };
    for template in &plan.templates {
        let could_be_one = match &template.pieces[..] {
            [Piece::Body] => scene
                .body
                .is_some_and(|body| body.len() <= handshake::MAX_TOKEN && handshake::fits(grammar, &body.joined())),
            [Piece::Field(field)] => {
                matches!(scene.read(field), Found::Text(text) if handshake::fits(grammar, &text))
            }
            // `check` saw to it that no token is such a text.
            _ => false,
        };
        if could_be_one {
            return Err(Cause::SignedForAnybody);
        }
    }
    Ok(())
}
