//! The proof itself: which secret made the signature over these bytes, and when.

use super::{States, covered::body_hash, fields::SignedFields, public, read_time, required, token};
use crate::{
    event::{Envelope, MacDigest, Timestamp},
    provider::{
        evidence::{Cause, Refusal, Verified},
        field::Scene,
        form, freshness,
        keys::{Key, Keys},
        mac::{Mac, Tag},
        message::Opened,
        plan::Plan,
        template::{self, Piece},
    },
};

/// What was proven.
pub struct Proof {
    pub verified: Verified,
    pub secret: Option<usize>,
    pub mac: Option<Matched>,
    pub signed_at: Option<Timestamp>,
    /// The claims of a JWT.
    pub claims: Option<Vec<u8>>,
    /// The digest of the signed fields, where the signature covers fields only and no id keys the ledger.
    pub signed: Option<[u8; 32]>,
}

impl Proof {
    /// The proof of a sender who proves nothing of the request.
    fn of_sender(verified: Verified, secret: Option<usize>) -> Self {
        Self {
            verified,
            secret,
            mac: None,
            signed_at: None,
            claims: None,
            signed: None,
        }
    }
}

/// The signature that matched. Its digest is for the ledger, so it is not made while proving.
pub enum Matched {
    /// A MAC, decoded.
    Mac(Tag),
    /// What else was decoded.
    Other(MacDigest),
}

impl Matched {
    /// Its digest.
    pub fn digest(&self) -> MacDigest {
        match self {
            Self::Mac(tag) => MacDigest::of(tag.bytes()),
            Self::Other(digest) => *digest,
        }
    }
}

/// Proves the request, or each element of its batch.
pub fn prove(
    plan: &Plan,
    states: States,
    envelope: Envelope<'_>,
    whole: Option<&[u8]>,
    keys: &Keys,
    now: Timestamp,
) -> Result<Proof, Refusal> {
    // Sorted once, whatever the number of secrets and alternatives.
    let sorted = if plan.signs_form && form::is_form(&envelope.head.headers) {
        let sorted = form::sorted(whole.unwrap_or_default());
        Some(sorted.ok_or(Refusal::Unverified(Cause::FormTooLong))?)
    } else {
        None
    };
    let scene = || Scene {
        body: Some(envelope.body),
        form: whole,
        form_sorted: sorted.as_deref(),
        ..Scene::of_head(envelope.head, plan.base.as_ref(), plan.signature.as_ref())
    };
    let mut fields = SignedFields::of(plan);
    let Some((pointers, slot)) = &plan.each else {
        let picks = whole
            .filter(|_| !plan.proof.is_empty())
            .map(|whole| plan.proof.pick(whole));
        let scene = Scene {
            json: picks.as_ref(),
            ..scene()
        };
        fields.add(plan, &scene);
        let proof = one(plan, states, scene, envelope, keys, now)?;
        let signed = fields.digest();
        return Ok(Proof { signed, ..proof });
    };
    let elements = pointers.pick(whole.unwrap_or_default());
    let elements = elements.slot(*slot);
    if elements.doubled {
        return Err(Refusal::Unverified(Cause::FieldDoubled("each".into())));
    }
    if elements.cut {
        return Err(Refusal::Unverified(Cause::BatchTooLong));
    }
    let mut proof = None;
    for element in elements.values() {
        let picks = plan.proof.pick(element.raw);
        let scene = Scene {
            json: Some(&picks),
            ..scene()
        };
        fields.add(plan, &scene);
        let this = one(plan, States::None, scene, envelope, keys, now)?;
        // Several signatures make no one digest: a batch is known by its body.
        proof.get_or_insert(Proof { mac: None, ..this });
    }
    let proof = proof.ok_or(Refusal::Unverified(Cause::BatchEmpty))?;
    let signed = fields.digest();
    Ok(Proof { signed, ..proof })
}

fn one<'a>(
    plan: &'a Plan,
    states: States,
    mut scene: Scene<'a>,
    envelope: Envelope<'_>,
    keys: &'a Keys,
    now: Timestamp,
) -> Result<Proof, Refusal> {
    let unverified = Refusal::Unverified;
    let Some(signature) = &plan.signature else {
        return Ok(Proof::of_sender(Verified::None, None));
    };
    if plan.algorithm.is_jwt() {
        return super::bearer::bearer(plan, &scene, envelope, keys, now);
    }
    if let States::Message(opened) = states {
        return message(plan, *opened, &scene, now);
    }
    required(plan, &scene, false).map_err(unverified)?;
    if let Some(url) = &plan.key_url {
        url.believe(&scene).map_err(unverified)?;
    }
    if plan.algorithm.is_bare() {
        let secret = token(plan, &scene, keys).map_err(unverified)?;
        return Ok(Proof::of_sender(Verified::Token, Some(secret)));
    }
    let mut signed_at = None;
    if let Some(time) = &plan.time {
        let (text, at) = read_time(time, &scene).map_err(unverified)?;
        scene.time = Some(text);
        signed_at = Some(at);
    }
    let hit = if plan.algorithm.is_asymmetric() {
        public::public(plan, &scene, keys)
    } else if let (Some(at), false) = (plan.streams_at, matches!(states, States::None)) {
        streamed(plan, states, &scene, at, keys)
    } else {
        late(plan, &mut scene, keys)
    };
    let (secret, mac) = hit.map_err(unverified)?.ok_or_else(|| {
        // Whether there was anything to compare with is told first: that is the more useful cause.
        let cause = signature.decoded(&scene, |_| {}).err();
        unverified(cause.unwrap_or(Cause::SignatureWrong { tried: keys.count() }))
    })?;
    body_hash(plan, &scene, envelope).map_err(unverified)?;
    fresh(plan, signed_at, now)?;
    Ok(Proof {
        verified: Verified::Signature,
        secret: Some(secret),
        mac: Some(mac),
        signed_at,
        claims: None,
        signed: None,
    })
}

pub(super) type Hit = Result<Option<(usize, Matched)>, Cause>;

/// The body has gone through the states already: the rest of the text, then compare.
fn streamed(plan: &Plan, states: States, scene: &Scene<'_>, at: usize, keys: &Keys) -> Hit {
    let rest = &plan.templates[0].pieces[at + 1..];
    let mut hit = None;
    match states {
        // That one has no template.
        States::None | States::Message(_) => {}
        States::One(mac) => compare(plan, mac, rest, scene, 0, &mut hit)?,
        // Every secret is tried, also after a match: time must not tell which one it was.
        States::Many(macs) => {
            debug_assert_eq!(macs.len(), keys.count());
            for (index, mac) in macs.into_iter().enumerate() {
                compare(plan, mac, rest, scene, index, &mut hit)?;
            }
        }
    }
    Ok(hit)
}

/// Every secret over every template, from the whole body. The alternatives after the one that matches are left out: which
/// one it is lies in how the URL is written, not in a secret.
fn late<'a>(plan: &Plan, scene: &mut Scene<'a>, keys: &'a Keys) -> Hit {
    let mut hit = None;
    let mut rendered = false;
    let mut fault = None;
    for (index, key) in keys.iter().enumerate() {
        for template in &plan.templates {
            let mac = match key {
                Key::Mac(keyed) => keyed.clone(),
                Key::Plain(secret) => {
                    scene.secret = Some(secret.expose());
                    match Mac::new(plan.algorithm, &[]) {
                        Some(mac) => mac,
                        None => continue,
                    }
                }
                Key::Token { .. } | Key::Public(_) => continue,
            };
            match compare(plan, mac, &template.pieces, scene, index, &mut hit) {
                Ok(()) => rendered = true,
                Err(cause) => fault = Some(cause),
            }
            if hit.as_ref().is_some_and(|(matched, _)| *matched == index) {
                break;
            }
        }
    }
    scene.secret = None;
    match fault {
        Some(cause) if !rendered => Err(cause),
        _ => Ok(hit),
    }
}

fn compare(
    plan: &Plan,
    mut mac: Mac,
    pieces: &[Piece],
    scene: &Scene<'_>,
    index: usize,
    hit: &mut Option<(usize, Matched)>,
) -> Result<(), Cause> {
    template::render(pieces, scene, |bytes| mac.update(bytes))?;
    let tag = mac.finish();
    let signature = plan.signature.as_ref().expect("a MAC has a place");
    let mut is_one = false;
    signature.decoded(scene, |candidate| is_one |= tag.is(candidate))?;
    if is_one && hit.is_none() {
        *hit = Some((index, Matched::Mac(tag)));
    }
    Ok(())
}

/// A signature of RFC 9421 was right: the body, then the time.
fn message(plan: &Plan, mut opened: Opened, scene: &Scene<'_>, now: Timestamp) -> Result<Proof, Refusal> {
    required(plan, scene, false).map_err(Refusal::Unverified)?;
    opened.check_body().map_err(Refusal::Unverified)?;
    fresh(plan, Some(opened.created), now)?;
    let honoured = plan.time.as_ref().is_some_and(|time| time.window.is_some());
    if honoured && opened.expires.is_some_and(|expires| now > expires) {
        let age_millis = now.millis_since(opened.created);
        return Err(Refusal::Stale { age_millis });
    }
    Ok(Proof {
        verified: Verified::Signature,
        secret: Some(opened.secret),
        mac: Some(Matched::Other(opened.mac)),
        signed_at: Some(opened.created),
        claims: None,
        signed: None,
    })
}

pub(super) fn fresh(plan: &Plan, signed_at: Option<Timestamp>, now: Timestamp) -> Result<(), Refusal> {
    let (Some(time), Some(at)) = (&plan.time, signed_at) else {
        return Ok(());
    };
    match time
        .window
        .and_then(|window| freshness::outside(at, time.unit, window, now))
    {
        Some(age_millis) => Err(Refusal::Stale { age_millis }),
        None => Ok(()),
    }
}
