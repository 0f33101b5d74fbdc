//! The verdict over a capture: the provider's own, told with its reason, what would have made it right, and the delivery.

use super::{capture::Capture, neighbours};
use crate::{
    cli::{moment, subject::Subject},
    config::Settings,
    event::{Clock, DeliveryKey, Envelope, EventName, IdentityHasher, PathRule, Timestamp},
    provider::{Evidence, Finding, Provider, Refusal, Verified, WantedKey, preset::KeyRule},
    source::{DeliveryIdentity, Ending, Scope, selects, unexpired},
};
use http::header;
use serde_json::{Value, json};

/// What a verdict depends on beside the request.
pub(super) struct Circumstances<'a> {
    /// `redis.namespace`: part of every ledger key.
    pub namespace: &'a str,
    /// `--at`.
    pub at: Option<Timestamp>,
    pub clock: &'a dyn Clock,
    /// All sources: a request may be another one's.
    pub settings: &'a Settings,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Verified,
    Unverified,
    Stale,
    Challenge,
    Malformed,
}

/// A verdict with its reasons.
pub(super) struct Verdict {
    /// Authentic and fresh, or a right handshake.
    pub verified: bool,
    pub signature_ok: bool,
    pub fresh: bool,
    pub outcome: Outcome,
    pub reason: String,
    pub diagnosis: Vec<String>,
    pub event: Option<String>,
    /// `Hookward-Delivery`; absent where each request is a delivery of its own.
    pub delivery: Option<String>,
    /// The ledger keys, which name a delivery where its id alone would not: of a repeat, and of its first delivery.
    pub keys: Vec<DeliveryKey>,
    /// For people: when it was judged, and why then.
    pub judged_at: Option<String>,
}

impl Outcome {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified => "unverified",
            Self::Stale => "stale",
            Self::Challenge => "challenge",
            Self::Malformed => "malformed",
        }
    }
}

impl Verdict {
    /// HTTP does not allow the request: nothing of it is verified.
    pub(super) fn malformed(reason: String) -> Self {
        Self {
            verified: false,
            signature_ok: false,
            fresh: false,
            outcome: Outcome::Malformed,
            diagnosis: vec!["it is refused before anything is verified (400)".to_owned()],
            reason,
            event: None,
            delivery: None,
            keys: Vec::new(),
            judged_at: None,
        }
    }

    /// A right handshake.
    fn challenge() -> Self {
        Self {
            verified: true,
            signature_ok: true,
            fresh: true,
            outcome: Outcome::Challenge,
            reason: "a right handshake, which is answered and not forwarded".to_owned(),
            diagnosis: Vec::new(),
            event: None,
            delivery: None,
            keys: Vec::new(),
            judged_at: None,
        }
    }

    /// As the contract has it.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "schema_version": 1,
            "verified": self.verified,
            "signature_ok": self.signature_ok,
            "fresh": self.fresh,
            "outcome": self.outcome.label(),
            "reason": self.reason,
            "diagnosis": self.diagnosis,
            "event": self.event,
            "delivery": self.delivery,
        })
    }
}

/// Judges a capture as the sidecar would have, at the time that it arrived.
pub(super) fn judge(subject: &Subject<'_>, capture: &Capture, circumstances: &Circumstances<'_>) -> Verdict {
    let elsewhere = match &capture.seen_at {
        // Where the provider saw it stands in the capture itself, and only the URL's signers care.
        Some(base) if subject.provider.facts().reads_url => match subject.seen_at(base) {
            Ok(provider) => Some(provider),
            Err(reason) => return Verdict::malformed(format!("malformed: the URL: {reason}")),
        },
        _ => None,
    };
    let case = Case {
        subject,
        provider: elsewhere.as_ref().unwrap_or(&subject.provider),
        capture,
        envelope: Envelope {
            head: &capture.head,
            body: &capture.body,
        },
    };
    let (at, whose) = case.time(circumstances);
    let mut verdict = match case.key_elsewhere() {
        Ok(Some(key)) => case.unknown(&key, at),
        Err(refusal) => case.refused(&refusal, at, circumstances.settings),
        Ok(None) => match case.verify(at) {
            Ok(Finding::Authentic(evidence)) => case.authentic(&evidence, circumstances.namespace),
            Ok(Finding::Challenge(_) | Finding::Confirmation(_)) => Verdict::challenge(),
            Err(refusal) => case.refused(&refusal, at, circumstances.settings),
        },
    };
    verdict.judged_at = Some(format!("{} ({whose})", moment::shown(at)));
    verdict
}

struct Case<'a> {
    subject: &'a Subject<'a>,
    provider: &'a Provider,
    capture: &'a Capture,
    envelope: Envelope<'a>,
}

impl Case<'_> {
    fn verify(&self, at: Timestamp) -> Result<Finding, Refusal> {
        let finding = self.provider.verify(self.envelope, &self.subject.keys, at)?;
        unexpired(finding, &self.subject.not_after, at)
    }

    /// The key that the sidecar would fetch for it. Refuses what it would refuse before that.
    fn key_elsewhere(&self) -> Result<Option<WantedKey>, Refusal> {
        let fetched = self.provider.facts().fetches_keys && self.subject.keys.count() == 0;
        if !fetched
            || self
                .provider
                .begin(self.envelope.head, &self.subject.keys)?
                .is_handshake()
        {
            return Ok(None);
        }
        self.provider.wanted_key(self.envelope)
    }

    /// Without the key nothing can be said of the signature; and nothing is fetched here.
    fn unknown(&self, key: &WantedKey, at: Timestamp) -> Verdict {
        let pin = match self.subject.settings.preset.key {
            KeyRule::Certificate => "certificate",
            _ => "jwks",
        };
        let url = &key.url;
        let kid = key
            .kid
            .as_ref()
            .map(|kid| format!(" (`kid` {kid:?})"))
            .unwrap_or_default();
        Verdict {
            verified: false,
            signature_ok: false,
            fresh: self.is_fresh(at),
            outcome: Outcome::Unverified,
            reason: format!("not known: the sidecar fetches the key from {url}{kid}, and explain is offline"),
            diagnosis: vec![format!(
                "what can be told without the key is right; save what stands at that URL, pin it as `{pin}: {{file: PATH}}`, and ask again"
            )],
            event: None,
            delivery: None,
            keys: Vec::new(),
            judged_at: None,
        }
    }

    fn is_fresh(&self, at: Timestamp) -> bool {
        let stated = self.provider.stated_time(self.envelope, &self.subject.keys);
        self.provider.is_fresh(stated, at)
    }

    /// When it is judged, and whose word that is.
    fn time(&self, circumstances: &Circumstances<'_>) -> (Timestamp, &'static str) {
        if let Some(at) = circumstances.at {
            return (at, "--at");
        }
        if let Some(at) = self.capture.at {
            return (at, "the capture's `at`");
        }
        if let Some(at) = self.provider.stated_time(self.envelope, &self.subject.keys) {
            return (at, "its own signed time; --at for another");
        }
        let date = self.capture.head.headers.get(header::DATE);
        if let Some(at) = date.and_then(|date| moment::of_http(date.to_str().ok()?)) {
            return (at, "its `Date`; --at for another");
        }
        (circumstances.clock.wall(), "now; --at for another")
    }

    fn authentic(&self, evidence: &Evidence, namespace: &str) -> Verdict {
        let settings = self.subject.settings;
        let path = self
            .subject
            .rule_for(self.capture.head.uri.path())
            .map_or("", PathRule::key_path);
        let scope = Scope {
            namespace,
            source: &settings.name,
            key_path: path,
            ledger: settings.replay.is_some(),
        };
        let alone = || IdentityHasher::new("request").finish();
        let identity = DeliveryIdentity::of(scope, evidence, &self.capture.body, alone);
        let named = identity.tracked || evidence.id.as_ref().is_some_and(|id| id.signed);
        Verdict {
            verified: true,
            signature_ok: true,
            fresh: true,
            outcome: Outcome::Verified,
            reason: proven_by(evidence, self.subject.keys.count()),
            diagnosis: self.besides(evidence),
            event: evidence.events.last().map(ToString::to_string),
            delivery: named.then(|| identity.delivery.to_string()),
            keys: keys(&identity),
            judged_at: None,
        }
    }

    fn refused(&self, refusal: &Refusal, at: Timestamp, settings: &Settings) -> Verdict {
        let outcome = match refusal {
            Refusal::Unverified(_) => Outcome::Unverified,
            Refusal::Stale { .. } => Outcome::Stale,
            Refusal::Malformed(_) => Outcome::Malformed,
        };
        let mut diagnosis = self.provider.diagnose(&self.subject.texts, self.envelope, at, refusal);
        if outcome == Outcome::Unverified {
            diagnosis.splice(0..0, neighbours::fitting(settings, self.subject, self.capture, at));
        }
        diagnosis.extend(self.capture.notes.iter().cloned());
        diagnosis.extend(self.odd_length());
        Verdict {
            verified: false,
            // The signature comes before the time, and both before a doubled key.
            signature_ok: outcome != Outcome::Unverified,
            fresh: match outcome {
                Outcome::Stale => false,
                Outcome::Unverified => self.is_fresh(at),
                _ => true,
            },
            outcome,
            reason: Ending::refused(refusal).reason.into_owned(),
            diagnosis,
            event: None,
            delivery: None,
            keys: Vec::new(),
            judged_at: None,
        }
    }

    /// `Content-Length` tells how long the body was when it was sent.
    fn odd_length(&self) -> Option<String> {
        let declared = self.capture.head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
        let (declared, length) = (declared.trim().parse::<usize>().ok()?, self.capture.body.len());
        let told = !self.capture.notes.is_empty() || declared == length;
        (!told).then(|| {
            format!(
                "`Content-Length` says {declared} bytes and the body has {length}: it is not the body that was sent"
            )
        })
    }

    /// What else would keep an authentic request from the app, or surprise somebody.
    fn besides(&self, evidence: &Evidence) -> Vec<String> {
        let (settings, facts, head) = (self.subject.settings, self.provider.facts(), &self.capture.head);
        let mut said = Vec::new();
        if facts.methods.iter().all(|method| *method != head.method) {
            said.push(format!(
                "the source does not take `{}`: it would be answered 405",
                head.method
            ));
        }
        if self.capture.body.len() as u64 > settings.max_body {
            said.push(format!(
                "its body is over `max_body` ({} bytes): it would be answered 413",
                settings.max_body
            ));
        }
        if !selects(&settings.events, &evidence.events) {
            let event = evidence.events.last().map_or("", EventName::as_str);
            said.push(format!(
                "its event `{event}` is not in `events`: it would be answered 200 (filtered) and not forwarded"
            ));
        }
        said
    }
}

fn proven_by(evidence: &Evidence, secrets: usize) -> String {
    let what = match evidence.verified {
        Verified::Signature => "signature",
        Verified::Token => "token",
        Verified::None => return "nothing is verified (provider `none`)".to_owned(),
    };
    match evidence.secret {
        Some(index) if secrets > 1 => format!("{what} matches secret {} of {secrets}", index + 1),
        _ => format!("{what} matches"),
    }
}

/// The record of the repeat that this request may be, then that of the first delivery.
fn keys(identity: &DeliveryIdentity) -> Vec<DeliveryKey> {
    if !identity.tracked {
        return Vec::new();
    }
    let own = identity
        .values
        .variant()
        .map(|variant| identity.key.of_repeat(&variant));
    own.into_iter().chain([identity.key]).collect()
}
