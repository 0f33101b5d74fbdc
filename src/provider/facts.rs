//! What is known of a provider beside its signature, for the pipeline, `check` and `hookward providers`.

use super::{
    Options, Preset, Tolerance, Window,
    key_url::KeyUrl,
    plan::Plan,
    preset::{Covers, IdentityKind, NewEvent, NewId},
};
use http::{HeaderName, Method};
use serde::Serialize;
use std::time::Duration;

/// The window where neither source nor preset nor `defaults` names one.
const BUILT_IN: Tolerance = Tolerance {
    past: Duration::from_mins(5),
    future: Duration::from_mins(5),
};

/// What is known of a provider beside its signature.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own; no two make a state"
)]
pub struct Facts {
    /// The preset's name (`Hookward-Provider`).
    pub name: String,
    /// Methods that it sends events with (POST; Twilio also GET).
    pub methods: Vec<Method>,
    /// Methods of its handshakes (GET for Meta).
    pub handshake_methods: Vec<Method>,
    /// Its own limit of a body, bytes.
    pub max_body: Option<u64>,
    /// The window in force for its signed time; `None`: no time is signed, or `off`.
    pub tolerance: Option<Tolerance>,
    /// Does it sign a time at all?
    pub signs_time: bool,
    /// Is each attempt freshly signed, documented so?
    pub resigns: bool,
    /// How long retries go on that are known to keep their first timestamp; `None`: none are known to.
    pub stale_retries: Option<Duration>,
    /// How long to remember a delivery.
    pub keep: Option<Duration>,
    /// Does it retry by itself?
    pub automatic_retries: bool,
    /// How long it waits for an answer.
    pub deadline: Option<Duration>,
    /// The answer to delivered content that bears a new unsigned id.
    pub new_id: NewId,
    /// The answer to delivered content that bears a new unsigned event name.
    pub new_event: NewEvent,
    /// The event names that the preset lists exactly.
    pub known_events: Vec<String>,
    /// Which requests are attempts of the same event, where a request bears all that the scheme reads.
    pub kind: IdentityKind,
    /// Does a source of this provider have a replay ledger when the configuration is silent?
    pub ledger: bool,
    /// Is the credential itself the proof (token, basic, JWT): it is kept from destinations other than the plain upstream.
    pub credential_headers: Vec<HeaderName>,
    /// Query parameters that bear the credential.
    pub credential_query: Vec<String>,
    /// `WWW-Authenticate` of a 401 (RFC 9110, section 11.6.1); `None` where a signature proves the sender, for which HTTP
    /// has no scheme.
    pub www_authenticate: Option<String>,
    /// Every header that verification, id or event read: a request may not name one in `Connection`.
    pub read_headers: Vec<HeaderName>,
    /// Body of all own answers, where the provider insists on one.
    pub own_body: Option<String>,
    /// Does it sign the URL (needs `public_url`)?
    pub signs_url: bool,
    /// Does every signature cover the path: a captured request passes on no other one?
    pub signs_path: bool,
    /// Is the URL, or a part of it that only `public_url` tells, among what may be signed?
    pub reads_url: bool,
    /// Does it take secrets at all (`none` does not)?
    pub takes_secrets: bool,
    /// Does it need secrets: it takes some, and none can be fetched?
    pub needs_secrets: bool,
    /// Are its keys fetched from where it publishes them, unless the source pins some?
    pub fetches_keys: bool,
    /// Does the source have its subscriptions confirmed; `None`: there are none to confirm.
    pub confirms: Option<bool>,
    /// What its signature covers.
    pub covers: Covers,
}

/// A preset as `hookward providers` lists it.
#[derive(Clone, Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "it is a row of a table")]
pub struct Listing {
    /// The preset's name.
    pub name: String,
    /// The provider's name as people write it.
    pub title: String,
    /// Its algorithm.
    pub scheme: &'static str,
    /// What the signature covers.
    pub covers: Covers,
    /// What is signed, as templates.
    pub signs: Vec<String>,
    /// Where the signature stands.
    pub signature: Vec<String>,
    /// Where the signed time stands.
    pub timestamp: Option<String>,
    /// The window of the signed time: past, seconds.
    pub tolerance_seconds: Option<u64>,
    /// Where the id stands.
    pub id: Vec<String>,
    /// Does the signature cover the id?
    pub id_signed: bool,
    /// Where the event type stands.
    pub event: Vec<String>,
    /// Does the signature cover the event type?
    pub event_signed: bool,
    /// Which requests are attempts of the same event.
    pub identity: IdentityKind,
    /// The documented fact that `identity` rests on.
    pub identity_reason: String,
    /// Is every attempt freshly signed?
    pub resigns: bool,
    /// Does it retry by itself?
    pub retries: bool,
    /// How long a delivery is remembered, seconds.
    pub keep_seconds: Option<u64>,
    /// How long it waits for an answer, milliseconds.
    pub deadline_ms: Option<u64>,
    /// Its own limit of a body, bytes.
    pub max_body: Option<u64>,
    /// Does it need `public_url`?
    pub needs_public_url: bool,
    /// Are its keys fetched, unless the source pins some?
    pub fetches_keys: bool,
    /// Names of the `settings` that it needs.
    pub settings: Vec<String>,
    /// Names of the `settings` that it takes and can do without.
    pub optional_settings: Vec<String>,
    /// Is a handshake answered?
    pub handshake: bool,
    /// How the signature is proven.
    pub proof: String,
    /// Facts that nobody has checked against the documentation.
    pub unverified: Vec<String>,
    /// The provider's documentation.
    pub docs: String,
    /// How to set it up.
    pub setup: String,
    /// Event types of its samples.
    pub samples: Vec<String>,
}

impl Facts {
    pub(super) fn new(preset: &Preset, options: &Options, plan: &Plan) -> Self {
        let bare = preset.algorithm.is_bare();
        let (credential_headers, credential_query) = if bare || preset.algorithm.is_jwt() {
            plan.credential_places()
        } else {
            (Vec::new(), Vec::new())
        };
        let named_id = options.id.is_some();
        let takes_secrets = preset.algorithm != super::preset::Algorithm::None;
        let fetches_keys = plan.key_url.as_ref().is_some_and(KeyUrl::is_fetched);
        Self {
            name: preset.name.clone(),
            methods: plan.methods.clone(),
            handshake_methods: plan.handshake_methods(),
            max_body: preset.max_body.map(|size| size.0),
            tolerance: plan.time.as_ref().and_then(|time| time.window),
            signs_time: plan.time.is_some(),
            resigns: preset.retries.resigns == Some(true),
            stale_retries: stale_retries(preset),
            keep: preset.retries.keep.map(|span| span.0),
            automatic_retries: preset.retries.automatic.unwrap_or(true),
            deadline: preset.retries.deadline.map(|span| span.0),
            new_id: preset.on_new_id,
            new_event: preset.on_new_event,
            known_events: {
                let samples = preset.samples.iter().map(|sample| &sample.event);
                samples.chain(&preset.known_events).cloned().collect()
            },
            kind: plan.kind(),
            ledger: named_id
                || !(preset.answer_is_command || matches!(plan.kind(), IdentityKind::None | IdentityKind::Doorbell)),
            credential_headers,
            credential_query,
            www_authenticate: plan.www_authenticate(),
            read_headers: plan.read_headers(),
            own_body: preset.answers.clone(),
            signs_url: plan.needs_url,
            signs_path: plan.signs_path(),
            reads_url: plan.needs_url || plan.message().is_some(),
            takes_secrets,
            needs_secrets: takes_secrets && !fetches_keys,
            fetches_keys,
            confirms: plan.confirms,
            covers: plan.covers,
        }
    }
}

impl Preset {
    /// The facts of the preset alone, without a source's options.
    pub fn facts(&self) -> Facts {
        let options = Options::default();
        Facts::new(self, &options, &Plan::compile(self, &options).0)
    }

    /// Is there an `id` whose value the signature covers? Facts of the preset alone.
    pub fn signs_id(&self) -> bool {
        Plan::compile(self, &Options::default()).0.id.iter().any(|id| id.signed)
    }

    /// The preset as `hookward providers` lists it.
    pub fn listing(&self) -> Listing {
        let options = Options::default();
        let (plan, _) = Plan::compile(self, &options);
        let facts = Facts::new(self, &options, &plan);
        let texts = |texts: Option<&super::preset::OneOrMany>| texts.map(|texts| texts.0.clone()).unwrap_or_default();
        Listing {
            name: self.name.clone(),
            title: self.title.clone(),
            scheme: self.algorithm.as_str(),
            covers: plan.covers,
            signs: plan.signs(self),
            signature: match plan.message() {
                Some(_) => vec!["header:Signature".to_owned()],
                None => texts(self.signature.as_ref().map(|rule| &rule.from)),
            },
            timestamp: match (&self.timestamp, plan.message()) {
                (Some(rule), _) => Some(rule.from.clone()),
                (None, message) => message.map(|_| "signature:created".to_owned()),
            },
            tolerance_seconds: facts.tolerance.map(|window| window.past.as_secs()),
            id: texts(self.id.as_ref().map(|rule| &rule.from)),
            id_signed: plan.id.iter().any(|id| id.signed),
            event: texts(self.event.as_ref().map(|rule| &rule.from)),
            event_signed: plan.event_signed,
            identity: facts.kind,
            identity_reason: self
                .identity
                .as_ref()
                .map_or_else(String::new, |rule| rule.reason.clone()),
            resigns: facts.resigns,
            retries: facts.automatic_retries,
            keep_seconds: facts.keep.map(|keep| keep.as_secs()),
            deadline_ms: facts
                .deadline
                .map(|deadline| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX)),
            max_body: facts.max_body,
            needs_public_url: facts.signs_url,
            fetches_keys: facts.fetches_keys,
            settings: plan
                .settings
                .iter()
                .filter(|name| !is_optional(name))
                .cloned()
                .collect(),
            optional_settings: plan.settings.iter().filter(|name| is_optional(name)).cloned().collect(),
            handshake: !self.challenge.is_empty(),
            proof: self.proof.clone(),
            unverified: self.unverified.clone(),
            docs: self.docs.clone(),
            setup: self.setup.clone(),
            samples: self.samples.iter().map(|sample| sample.event.clone()).collect(),
        }
    }
}

/// Where a movable token stands, and which of several signatures is meant, are choices.
fn is_optional(setting: &str) -> bool {
    matches!(setting, "header" | "query" | "label" | "tag" | "keyid")
}

/// A guess is no reason to warn anybody: what the preset lists as unverified does not count.
fn stale_retries(preset: &Preset) -> Option<Duration> {
    let known = |fact: &str| {
        let doubted = |one: &String| one == "retries" || *one == format!("retries.{fact}");
        !preset.unverified.iter().any(doubted)
    };
    let retries = &preset.retries;
    let keeps_its_time = retries.resigns == Some(false) && retries.automatic != Some(false);
    let horizon = retries.keep.map(|span| span.0);
    horizon.filter(|_| keeps_its_time && known("resigns") && known("keep"))
}

/// The window in force: the source's, else the preset's, else the default.
pub(super) fn window(preset: Option<Tolerance>, options: &Options) -> Option<Tolerance> {
    let chosen = options
        .tolerance
        .or_else(|| preset.map(Window::Within))
        .or(options.default_tolerance)
        .unwrap_or(Window::Within(BUILT_IN));
    match chosen {
        Window::Off => None,
        Window::Within(tolerance) => Some(tolerance),
    }
}
