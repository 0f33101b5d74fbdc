//! The verdict: begin with the head, hash frames as they arrive, finish with signature, body digest, then time.

mod bearer;
mod covered;
mod digest;
mod fields;
mod know;
mod open;
mod prove;
mod public;
mod wanted;

use super::{
    evidence::{Cause, Refusal},
    field::{Found, Place, Scene},
    identity,
    keys::{Key, Keys},
    mac::Mac,
    message::Opened,
    plan::{Plan, Time},
    preset::Algorithm,
    template::{self, Piece},
};
use crate::event::{Envelope, Timestamp};
use bytes::Bytes;
use data_encoding::BASE64;
use http::request::Parts;

use digest::BodyDigest;
pub use know::Proven;
pub use open::asked;
pub use prove::{Matched, Proof};
pub use wanted::{WantedKey, wanted};

/// The state of one verification between `begin` and `finish`. Sans-IO and without borrows, so that stages can move it.
pub struct Verifier {
    /// Which handshake it is that no signature proves.
    opening: Option<usize>,
    /// Nothing is verified: it may hand a secret out.
    enrolling: bool,
    states: States,
    fed: usize,
    digest: BodyDigest,
}

/// The MAC states that the body streams through, one a secret. Nearly every source has one: no allocation then.
#[expect(clippy::large_enum_variant, reason = "boxing would cost every request an allocation")]
pub(super) enum States {
    None,
    One(Mac),
    Many(Vec<Mac>),
    /// A signature of RFC 9421, right already; the body is held against its digest.
    Message(Box<Opened>),
}

impl Verifier {
    /// Refuses what the head alone can refuse, and feeds what is signed before the body.
    pub(super) fn begin(plan: &Plan, head: &Parts, keys: &Keys) -> Result<Self, Refusal> {
        let opening = open::admitted(plan, head).map_err(Refusal::Unverified)?;
        let states = match opening {
            Some(_) => States::None,
            None => Self::open(plan, head, keys).map_err(Refusal::Unverified)?,
        };
        Ok(Self {
            opening,
            enrolling: false,
            states,
            fed: 0,
            digest: BodyDigest::new(plan.digests_body),
        })
    }

    fn open(plan: &Plan, head: &Parts, keys: &Keys) -> Result<States, Cause> {
        let Some(signature) = &plan.signature else {
            return Ok(States::None);
        };
        let mut scene = Scene::of_head(head, plan.base.as_ref(), Some(signature));
        if let Some(message) = &signature.message {
            required(plan, &scene, true)?;
            signed_headers(plan, &scene)?;
            return Ok(States::Message(Box::new(message.open(&scene, keys)?)));
        }
        if signature.in_head() {
            if plan.algorithm.is_bare() {
                token(plan, &scene, keys)?;
            } else if plan.algorithm.is_jwt() {
                signature.candidates(&scene, |_| {})?;
            } else {
                signature.decoded(&scene, |_| {})?;
            }
        }
        required(plan, &scene, true)?;
        if let Some(time) = &plan.time
            && time.field.in_head()
        {
            scene.time = Some(read_time(time, &scene)?.0);
        }
        signed_headers(plan, &scene)?;
        let Some(at) = plan.streams_at else {
            return Ok(States::None);
        };
        let before = &plan.templates[0].pieces[..at];
        let start = |key: &Key| {
            let Key::Mac(keyed) = key else {
                return Ok(None);
            };
            let mut mac = keyed.clone();
            template::render(before, &scene, |bytes| mac.update(bytes))?;
            Ok(Some(mac))
        };
        if keys.count() == 1 {
            let mac = keys.iter().map(start).next().transpose()?.flatten();
            return Ok(mac.map_or(States::None, States::One));
        }
        let macs = keys.iter().filter_map(|key| start(key).transpose());
        Ok(States::Many(macs.collect::<Result<_, Cause>>()?))
    }

    /// For a handshake that hands a secret out: can verify nothing.
    pub(super) fn enrolling() -> Self {
        Self {
            opening: None,
            enrolling: true,
            states: States::None,
            fed: 0,
            digest: BodyDigest::new(false),
        }
    }

    /// Is it a handshake that no signature proves?
    pub fn is_handshake(&self) -> bool {
        self.opening.is_some() || self.enrolling
    }

    /// Is it the one that hands a secret out?
    pub fn is_enrolment(&self) -> bool {
        self.enrolling
    }

    /// Feeds one frame.
    pub(super) fn update(&mut self, frame: &Bytes) {
        if frame.is_empty() {
            return;
        }
        match &mut self.states {
            States::None => {}
            States::One(mac) => mac.update(frame),
            States::Many(macs) => macs.iter_mut().for_each(|mac| mac.update(frame)),
            States::Message(opened) => opened.update(frame),
        }
        self.digest.update(frame);
        self.fed += frame.len();
    }

    /// The proof over the whole request: signature, body digest, then time. What the request is, is not looked at yet.
    pub(super) fn prove<'a>(
        self,
        plan: &Plan,
        envelope: Envelope<'a>,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<Proven<'a>, Refusal> {
        if self.enrolling || self.fed != envelope.body.len() {
            return Err(Refusal::Unverified(Cause::BodyIncomplete));
        }
        if let Some(index) = self.opening {
            return Ok(Proven::opening(index, envelope));
        }
        if !keys.hold(now) {
            return Err(Refusal::Unverified(Cause::CertificateExpired));
        }
        let whole = plan.reads_body.then(|| envelope.body.joined());
        let proof = prove::prove(plan, self.states, envelope, whole.as_deref(), keys, now)?;
        Ok(Proven::signed(proof, envelope, whole, self.digest))
    }
}

/// The index of the token (or basic credentials) that the request bears.
pub(super) fn token(plan: &Plan, scene: &Scene<'_>, keys: &Keys) -> Result<usize, Cause> {
    let signature = plan.signature.as_ref().expect("a bare credential has a place");
    let mut found = None;
    signature.candidates(scene, |candidate| {
        let index = if plan.algorithm == Algorithm::Basic {
            BASE64.decode(candidate).ok().and_then(|decoded| keys.token(&decoded))
        } else {
            keys.token(candidate)
        };
        found = found.or(index);
    })?;
    found.ok_or(Cause::TokenWrong { tried: keys.count() })
}

/// Checks the fields that must have a fixed value, those of the head or the others.
pub(super) fn required(plan: &Plan, scene: &Scene<'_>, of_head: bool) -> Result<(), Cause> {
    for (field, values) in &plan.require {
        if field.in_head() != of_head {
            continue;
        }
        match scene.read(field) {
            Found::Text(text) => {
                let mut fits = false;
                for want in values {
                    fits |= match &want.pieces[..] {
                        [Piece::Literal(wanted)] => *text == **wanted,
                        pieces => {
                            let mut wanted = Vec::new();
                            template::render(pieces, scene, |bytes| wanted.extend_from_slice(bytes))?;
                            *text == *wanted
                        }
                    };
                }
                if !fits {
                    return Err(Cause::FieldWrong(field.name.clone()));
                }
            }
            Found::Missing => return Err(Cause::FieldMissing(field.name.clone())),
            Found::Doubled => return Err(Cause::FieldDoubled(field.name.clone())),
        }
    }
    Ok(())
}

/// The signed time's text and value.
pub(super) fn read_time<'a>(time: &Time, scene: &Scene<'a>) -> Result<(std::borrow::Cow<'a, [u8]>, Timestamp), Cause> {
    match scene.read(&time.field) {
        Found::Text(text) => {
            let at = super::freshness::parse(&text, time.unit)
                .ok_or_else(|| Cause::TimestampMalformed(time.field.name.clone()))?;
            Ok((text, at))
        }
        Found::Missing => Err(Cause::TimestampMissing(time.field.name.clone())),
        Found::Doubled => Err(Cause::TimestampDoubled(time.field.name.clone())),
    }
}

/// Signed headers must be there once, and a signed id must be one that can be a name.
fn signed_headers(plan: &Plan, scene: &Scene<'_>) -> Result<(), Cause> {
    if let [template] = &plan.templates[..] {
        for piece in &template.pieces {
            if let Piece::Field(field) = piece
                && matches!(field.place, Place::Header(_) | Place::Query(_))
            {
                match scene.read(field) {
                    Found::Text(_) => {}
                    Found::Missing => return Err(Cause::FieldMissing(field.name.clone())),
                    Found::Doubled => return Err(Cause::FieldDoubled(field.name.clone())),
                }
            }
        }
    }
    for id in plan.id.iter().filter(|id| id.signed && id.field.header().is_some()) {
        match scene.read(&id.field) {
            Found::Text(text) if !identity::is_printable(&text) => {
                return Err(Cause::IdMalformed(id.field.name.clone()));
            }
            Found::Doubled => return Err(Cause::FieldDoubled(id.field.name.clone())),
            Found::Text(_) | Found::Missing => {}
        }
    }
    Ok(())
}
