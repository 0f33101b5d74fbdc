//! Signature schemes as data: a preset is compiled once and then proves, sans-IO, who sent a request.
//!
//! `begin(head, keys)` refuses what the headers alone can refuse; `update(frame)` hashes the body as it arrives;
//! `finish(…, now)` proves it and reads what it is: [`Evidence`] (a proof that only this module can mint), a handshake's
//! [`Answer`], or a [`Refusal`].

pub mod evidence;
pub mod preset;

mod asymmetric;
mod canonical;
mod diagnose;
mod enrolment;
mod facts;
mod field;
mod form;
mod freshness;
mod handshake;
mod identity;
mod jwt;
mod key_url;
mod keys;
mod mac;
mod message;
mod pick;
mod plan;
mod registry;
mod sample;
mod search;
mod second;
mod sign;
mod signature;
mod stated;
mod template;
mod url;
mod verify;

pub use enrolment::HandedOut;
pub use evidence::{Answer, Cause, Confirmation, Evidence, Finding, ProviderId, Refusal, Verified};
pub use facts::{Facts, Listing};
pub use keys::{Keys, MAX_SECRETS};
pub use pick::JsonPointer;
pub use preset::{IdentityKind, NewEvent, NewId, Preset};
pub use registry::{alias_of, names, preset, yaml};
pub use sample::{EVENT as SAMPLE_EVENT, Fresh, Sample};
pub use verify::{Proven, Verifier, WantedKey};

use crate::event::{Envelope, Frames, Identity, Secret, Timestamp};
use bytes::Bytes;
use enrolment::Enrolment;
use http::{HeaderName, HeaderValue, request::Parts};
use key_url::KeyUrl;
use plan::Plan;
use std::{collections::BTreeMap, time::Duration};

/// Something wrong with a preset, a source's settings or a secret, for whoever knows where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer into the value that was given (`/verify/signed/0`, `/settings/webhook_id`, `/secrets/1`).
    pub at: String,
    /// What is wrong, in words.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The bounds of the time window, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// How old a signed timestamp may be.
    pub past: Duration,
    /// How far ahead of our clock it may be.
    pub future: Duration,
}

/// `tolerance` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// `off`: signed time is not looked at.
    Off,
    /// Both ends enforced.
    Within(Tolerance),
}

/// What a source adds to its preset. No `Debug`: `settings` may hold secrets (a verify token).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `public_url`: scheme, host and, where a proxy rewrote it, a path prefix; for providers that sign the URL.
    pub public_url: Option<String>,
    /// `settings`, by name (`header`, `query`, `audience`, …).
    pub settings: BTreeMap<String, String>,
    /// `tolerance` of the source, which goes before the preset's.
    pub tolerance: Option<Window>,
    /// The tolerance where neither source nor preset names one (`defaults.tolerance`).
    pub default_tolerance: Option<Window>,
    /// `id` of the source, which goes before the preset's: `header:X`, `json:/ptr`, first one present wins.
    pub id: Option<Vec<String>>,
    /// `event` of the source, which goes before the preset's.
    pub event: Option<Vec<String>>,
}

/// How a configured secret's text is to be turned into key bytes before the preset's own `key` rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Encoding {
    /// As the preset says (its `key`); plain UTF-8 for a custom scheme.
    #[default]
    Preset,
    /// The text's bytes.
    Utf8,
    /// Base64 of the key.
    Base64,
    /// Hex of the key.
    Hex,
}

/// One secret of a source, as read from its file, variable or value (one trailing newline already stripped).
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText {
    /// The text.
    pub secret: Secret,
    /// `encoding` of the configuration.
    pub encoding: Encoding,
    /// `allow_short`: fewer than 8 bytes are meant.
    pub allow_short: bool,
}

/// What `sign` needs to know of the request to be.
pub struct Unsigned<'a> {
    /// The method that will be used.
    pub method: &'a http::Method,
    /// Path and query that will be used, as in the request line.
    pub target: &'a str,
    /// The body's `Content-Type`, if any.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a Bytes,
    /// The provider's id of the event where the scheme puts it into a header; made up where absent.
    pub id: Option<&'a str>,
    /// The event type where the scheme puts it into a header.
    pub event: Option<&'a str>,
    /// The time to sign.
    pub at: Timestamp,
}

/// Why a signature cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CannotSign(pub String);

/// A compiled preset together with one source's options. Immutable; shared by all requests of the source.
pub struct Provider {
    plan: Plan,
    facts: Facts,
    enrolment: Option<Enrolment>,
    preset: Preset,
    options: Options,
}

impl Provider {
    /// Compiles a preset; every problem at once. Those of the preset's own fields are at `/verify/…`.
    pub fn compile(preset: &Preset, options: &Options) -> Result<Self, Vec<Problem>> {
        let (plan, mut problems) = Plan::compile(preset, options);
        let enrolment = Enrolment::compile(preset).unwrap_or_else(|message| {
            problems.push(Problem {
                at: "/verify/enrolment".to_owned(),
                message,
                hint: None,
            });
            None
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            enrolment,
            facts: Facts::new(preset, options, &plan),
            plan,
            preset: preset.clone(),
            options: options.clone(),
        })
    }

    /// What is known of this provider beside its signature.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Compiles the secrets, newest first; every problem at once (`at` is `/0`, `/1`, …).
    pub fn keys(&self, secrets: &[KeyText]) -> Result<Keys, Vec<Problem>> {
        Keys::compile(self.plan.algorithm, self.plan.key, secrets)
    }

    /// Is it made of the same preset and options?
    pub fn is_same(&self, other: &Self) -> bool {
        self.preset == other.preset && self.options == other.options
    }

    /// The one URL where its keys are published, if it is not the requests that name it.
    pub fn key_url(&self) -> Option<&str> {
        match &self.plan.key_url {
            Some(KeyUrl::Fixed(url)) => Some(url),
            _ => None,
        }
    }

    /// Which key this request wants to be verified with, of a provider whose keys are fetched. Refuses what no key could
    /// prove (a missing signature, a URL elsewhere), so that it costs no fetch.
    pub fn wanted_key(&self, envelope: Envelope<'_>) -> Result<Option<WantedKey>, Refusal> {
        verify::wanted(&self.plan, envelope)
    }

    /// Reads what stands where the provider publishes its keys; the reason if none of ours is in it.
    pub fn published_keys(&self, document: &[u8]) -> Result<Keys, String> {
        Keys::published(self.plan.algorithm, self.plan.key, document)
    }

    /// Does this head ask for a handshake that no signature proves? Only then are [`Facts::handshake_methods`] let through.
    pub fn asks_for_handshake(&self, head: &Parts) -> bool {
        verify::asked(&self.plan, head).is_some()
    }

    /// Does this provider hand its secret out in a handshake?
    pub fn enrols(&self) -> bool {
        self.enrolment.is_some()
    }

    /// Could this head be of the handshake that hands a secret out?
    pub fn asks_to_enrol(&self, head: &Parts) -> bool {
        self.enrolment
            .as_ref()
            .is_some_and(|enrolment| enrolment.is_asked(head))
    }

    /// What takes the place of a verifier for such a handshake: it can verify nothing.
    pub fn begin_enrolment(&self) -> Verifier {
        Verifier::enrolling()
    }

    /// The secret that the handshake hands out; `None`: it is none. Nothing proves who sent it.
    pub fn enrolment(&self, head: &Parts, body: &Frames) -> Option<HandedOut> {
        self.enrolment.as_ref()?.take(head, body)
    }

    /// Refuses what the headers alone can refuse: a missing, doubled or malformed signature, timestamp or id, a wrong token.
    /// Never the time.
    pub fn begin(&self, head: &Parts, keys: &Keys) -> Result<Verifier, Refusal> {
        Verifier::begin(&self.plan, head, keys)
    }

    /// Feeds one frame of the body as it arrives.
    pub fn update(&self, verifier: &mut Verifier, frame: &Bytes) {
        verifier.update(frame);
    }

    /// The verdict over the whole request: [`Self::prove`], then [`Self::know`].
    pub fn finish(
        &self,
        verifier: Verifier,
        envelope: Envelope<'_>,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<Finding, Refusal> {
        self.know(self.prove(verifier, envelope, keys, now)?, keys)
    }

    /// `begin`, `update` and `finish` in one, for a request that is whole already.
    pub fn verify(&self, envelope: Envelope<'_>, keys: &Keys, now: Timestamp) -> Result<Finding, Refusal> {
        let mut verifier = self.begin(envelope.head, keys)?;
        for frame in envelope.body.iter() {
            self.update(&mut verifier, frame);
        }
        self.finish(verifier, envelope, keys, now)
    }

    /// Sentences for an operator on why a request was refused: what it would have matched with, what is missing. Costs many
    /// verifications, changes no verdict, and never holds an expected signature or a byte of a secret.
    pub fn diagnose(
        &self,
        secrets: &[KeyText],
        envelope: Envelope<'_>,
        now: Timestamp,
        refusal: &Refusal,
    ) -> Vec<String> {
        diagnose::diagnose(self, secrets, envelope, now, refusal)
    }

    /// The time that a request states where verification reads it, proven or not: when a capture was young.
    pub fn stated_time(&self, envelope: Envelope<'_>, keys: &Keys) -> Option<Timestamp> {
        stated::time(self, envelope, keys)
    }

    /// Is a request that states this time inside the window at `now`? Where no time is signed, it always is.
    pub fn is_fresh(&self, stated: Option<Timestamp>, now: Timestamp) -> bool {
        stated::is_fresh(self, stated, now)
    }

    /// The headers that this provider would send for this body, in order.
    pub fn sign(&self, request: &Unsigned<'_>, keys: &Keys) -> Result<Vec<(HeaderName, HeaderValue)>, CannotSign> {
        sign::headers(&self.plan, request, keys)
    }

    /// The body of a sample with the credential in it, where it travels inside; `None`: elsewhere, and [`Self::sign`] makes
    /// it.
    pub fn sign_inside(&self, body: &Bytes, keys: &Keys) -> Result<Option<Bytes>, CannotSign> {
        sign::inside::filled(&self.plan, self.preset.each.as_deref(), body, keys)
    }

    /// The headers that go with it: id and event.
    pub fn described(&self, request: &Unsigned<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, CannotSign> {
        sign::described(&self.plan, request)
    }

    /// The request target with the newest credential in its query, where it travels there (`settings: {query: token}`); any
    /// other target as it is.
    pub fn with_credential(&self, target: &str, keys: &Keys) -> String {
        sign::with_credential(&self.plan, target, keys)
    }

    /// The identities of the delivery that bears this signed id; empty where an id alone identifies nothing.
    pub fn identities_of(&self, id: &str) -> Vec<Identity> {
        identity::of_id(&self.plan, id.as_bytes())
    }

    /// Does the signature cover every place where an id is read?
    pub fn signs_id(&self) -> bool {
        !self.plan.id.is_empty() && self.plan.id.iter().all(|id| id.signed)
    }

    /// Does verification, id or event read this header?
    pub fn reads_header(&self, name: &HeaderName) -> bool {
        self.facts.read_headers.contains(name)
    }
}

/// What `hookward providers` prints: every embedded preset, sorted by name.
pub fn listings() -> Vec<Listing> {
    names().filter_map(preset).map(Preset::listing).collect()
}

#[cfg(test)]
mod tests;
