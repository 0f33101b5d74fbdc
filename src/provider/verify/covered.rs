//! A signed digest that stands in for the body, or for method, path and query.

use crate::{
    event::Envelope,
    provider::{
        canonical,
        evidence::Cause,
        field::{Found, Place, Scene},
        form,
        plan::Plan,
        preset::{Digested, Encoded, Unless},
    },
};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Holds the signed digest against what it is of.
pub fn body_hash(plan: &Plan, scene: &Scene<'_>, envelope: Envelope<'_>) -> Result<(), Cause> {
    let Some(hash) = &plan.body_hash else {
        // `{form_sorted}` is nothing for a body that is no form: the signature would not cover it.
        if plan.signs_form && scene.form_sorted.is_none() && !envelope.body.is_empty() {
            return Err(Cause::FieldMissing("form".into()));
        }
        return Ok(());
    };
    // A digest that is there is always held against the body: a sender may call any body a form.
    let text = match scene.read(&hash.field) {
        Found::Text(text) => text,
        Found::Doubled => return Err(Cause::FieldDoubled(hash.field.name.clone())),
        Found::Missing if hash.unless == Some(Unless::Form) && form::is_form(&envelope.head.headers) => return Ok(()),
        // Nothing is left uncovered where there is nothing; a JWT of the body family names even the digest of nothing.
        Found::Missing if hash.of == Digested::Body && envelope.body.is_empty() && covers_nothing(plan) => {
            return Ok(());
        }
        Found::Missing => return Err(Cause::BodyHashMissing(hash.field.name.clone())),
    };
    let wrong = || Cause::BodyHashWrong(hash.field.name.clone());
    let claimed = match hash.encoding {
        Encoded::Hex => HEXLOWER.decode(&text),
        Encoded::Base64 => BASE64.decode(&text),
        Encoded::Base64url => BASE64URL_NOPAD.decode(&text),
    };
    let claimed = claimed.map_err(|_| wrong())?;
    let mut digest = Sha256::new();
    match hash.of {
        Digested::Body => envelope.body.iter().for_each(|frame| digest.update(frame)),
        Digested::Request => digest.update(canonical::request(scene)?),
    }
    if bool::from(digest.finalize()[..].ct_eq(&claimed)) {
        Ok(())
    } else {
        Err(wrong())
    }
}

/// May the digest of an empty body be missing?
fn covers_nothing(plan: &Plan) -> bool {
    plan.body_hash
        .as_ref()
        .is_some_and(|hash| hash.unless.is_some() || matches!(hash.field.place, Place::Query(_)))
}
