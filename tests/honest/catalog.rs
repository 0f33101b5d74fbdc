//! The presets as senders: how each signs, which events it sends, and which of these may have equal bodies.

use super::private::PrivateKey;
use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use hookward::{
    event::{Envelope, Frames, Secret, Timestamp},
    provider::{
        self, Encoding, Finding, Fresh, IdentityKind, KeyText, Keys, NewEvent, Options, Preset, Provider, Unsigned,
        preset::KeyRule,
    },
};
use http::{HeaderName, Method, Request};
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

/// The URL that providers sign, as `public_url` states it.
const BASE: &str = "https://hooks.example.test";
/// Signed times are at most so old, seconds: nearly every preset's tolerance is wider.
const MAX_AGE: i64 = 25;
const PHRASE: &str = "a phrase of the honest senders";

/// Presets whose requests this generator cannot sign, each with the reason.
pub const NOT_SIGNED: [(&str, &str); 8] = [
    ("aws-sns", "a certificate of AWS signs"),
    (
        "braintree",
        "the signature stands in a form, which Provider::sign does not write",
    ),
    ("google-pubsub", "a JWT of Google signs, RS256"),
    ("http-message-signatures-ecdsa-p256", "RFC 9421 with a private key"),
    ("http-message-signatures-ed25519", "RFC 9421 with a private key"),
    ("http-message-signatures-rsa-pss", "RFC 9421 with a private key"),
    ("paypal", "a certificate of PayPal signs"),
    ("travis", "RSA with SHA-1, which the library verifies only"),
];

/// One preset as a sender.
pub struct Sender {
    pub name: String,
    pub kind: IdentityKind,
    /// Is each attempt freshly signed? `None`: the documentation does not say.
    pub resigns: Option<bool>,
    pub automatic: bool,
    /// One content goes out under several topics.
    pub several_topics: bool,
    /// A new signed time changes nothing else that is signed.
    pub can_resign: bool,
    /// The age of a signed time that every preset accepts, seconds.
    pub max_age: i64,
    /// The id stands in a header, so that events with equal bodies have ids of their own.
    pub id_header: Option<HeaderName>,
    /// Headers of id, event and tenant that the signature does not cover.
    pub unsigned: UnsignedHeaders,
    pub templates: Vec<Template>,
    /// Known event names.
    pub events: Vec<String>,
    provider: Provider,
    keys: Keys,
    target: String,
    private: Option<PrivateKey>,
}

#[derive(Default)]
pub struct UnsignedHeaders {
    pub id: Option<HeaderName>,
    pub event: Option<HeaderName>,
    pub tenant: Option<HeaderName>,
}

/// An event type of a sender.
pub struct Template {
    pub event: Option<String>,
    /// Two events of this type may have equal bodies.
    pub repeats: bool,
    content: Content,
}

enum Content {
    /// The product's own sample of this event.
    Sample,
    /// An official example, whose value at the pointer makes it unique.
    Example { body: Value, pointer: Option<String> },
}

/// A body with what goes with it.
#[derive(Clone)]
pub struct Written {
    pub body: Bytes,
    pub content_type: String,
    pub headers: Vec<(String, String)>,
}

/// A request as it goes over the wire.
#[derive(Clone)]
pub struct Letter {
    pub target: String,
    pub headers: Vec<(HeaderName, Bytes)>,
    pub body: Bytes,
}

/// The senders of all presets, and the presets of which there is none.
pub fn senders(now: Timestamp) -> (Vec<Sender>, Vec<String>) {
    let (mut senders, mut without) = (Vec::new(), Vec::new());
    for name in provider::names().filter(|name| provider::alias_of(name).is_none()) {
        let preset = provider::preset(name).expect("it is in the list");
        if NOT_SIGNED.iter().any(|(other, _)| *other == name) {
            without.push(name.to_owned());
            continue;
        }
        match Sender::new(preset, now) {
            Ok(sender) => senders.push(sender),
            Err(reason) => panic!("{name}: {reason}"),
        }
    }
    (senders, without)
}

/// A preset's settings as this test makes them up, and as YAML.
fn settings(preset: &Preset) -> (BTreeMap<String, String>, String) {
    let (mut settings, mut yaml) = (BTreeMap::new(), String::new());
    for name in preset.listing().settings {
        let value = "a-setting-of-the-test";
        settings.insert(name.clone(), value.to_owned());
        let shown = if name == "verify_token" {
            format!("{{value: {value}}}")
        } else {
            value.to_owned()
        };
        write!(yaml, "{name}: {shown}, ").expect("a string");
    }
    (settings, yaml)
}

fn secret(preset: &Preset, private: Option<&PrivateKey>) -> String {
    let algorithm = preset.algorithm.as_str();
    if let Some(key) = private {
        return key.public(preset.key);
    }
    match preset.key {
        KeyRule::Whsec => format!("whsec_{}", BASE64.encode(PHRASE.as_bytes())),
        KeyRule::Base64 => BASE64.encode(PHRASE.as_bytes()),
        KeyRule::Hex => HEXLOWER.encode(PHRASE.as_bytes()),
        _ if algorithm == "basic" => format!("sender:{}", PHRASE.replace(' ', "-")),
        _ if algorithm == "token" => PHRASE.replace(' ', "-"),
        _ => PHRASE.to_owned(),
    }
}

impl Sender {
    fn new(preset: &Preset, now: Timestamp) -> Result<Self, String> {
        let listing = preset.listing();
        let options = Options {
            public_url: Some(BASE.to_owned()),
            settings: settings(preset).0,
            ..Options::default()
        };
        let provider = Provider::compile(preset, &options).map_err(|problems| format!("{problems:?}"))?;
        let private = PrivateKey::of(preset);
        let secrets = if provider.facts().takes_secrets {
            vec![KeyText {
                secret: Secret::new(secret(preset, private.as_ref()).into_bytes()),
                encoding: Encoding::Preset,
                allow_short: false,
            }]
        } else {
            Vec::new()
        };
        let keys = provider.keys(&secrets).map_err(|problems| format!("{problems:?}"))?;
        let target = provider.with_credential(&format!("/{}", preset.name), &keys);
        let header = |places: &[String]| {
            let place = places.iter().find_map(|place| place.strip_prefix("header:"))?;
            HeaderName::try_from(place).ok()
        };
        let id_header = header(&listing.id);
        let tenant = preset
            .tenant
            .as_ref()
            .map(|tenant| tenant.0.clone())
            .unwrap_or_default();
        let mut sender = Self {
            name: preset.name.clone(),
            kind: preset.identity.as_ref().ok_or("no identity")?.kind,
            resigns: preset.retries.resigns,
            automatic: preset.retries.automatic.unwrap_or(true),
            several_topics: preset.on_new_event == NewEvent::Deliver,
            max_age: provider.facts().tolerance.map_or(MAX_AGE, |window| {
                MAX_AGE.min(i64::try_from(window.past.as_secs()).expect("small") - 1)
            }),
            can_resign: provider.facts().signs_time && {
                let id = id_header
                    .as_ref()
                    .map_or(String::new(), |id| format!("{{header.{id}}}"));
                let signs = listing.signs.iter().map(|signs| signs.to_lowercase().replace(&id, ""));
                signs
                    .into_iter()
                    .all(|signs| !signs.contains("{header") && !signs.contains("{json./timestamp"))
            },
            unsigned: UnsignedHeaders {
                id: id_header.clone().filter(|_| !listing.id_signed),
                event: header(&listing.event).filter(|_| !listing.event_signed),
                tenant: header(&tenant),
            },
            id_header,
            templates: Vec::new(),
            events: provider.facts().known_events.clone(),
            provider,
            keys,
            target,
            private,
        };
        sender.templates = sender.find_templates(now)?;
        Ok(sender)
    }

    /// Event types whose requests are verified as events: handshakes among the samples are left out.
    fn find_templates(&self, now: Timestamp) -> Result<Vec<Template>, String> {
        let may_repeat = matches!(self.kind, IdentityKind::BodyAndTime | IdentityKind::Doorbell);
        let sample = |event| Template {
            event,
            repeats: may_repeat,
            content: Content::Sample,
        };
        let mut templates: Vec<Template> = self.events.iter().cloned().map(Some).map(sample).collect();
        if templates.is_empty() {
            templates.extend(["sample", "thing.created"].map(|event| sample(Some(event.to_owned()))));
        }
        templates.extend(self.examples());
        let mut reason = String::new();
        templates.retain(|template| {
            let written = template.write(self, now, [7; 16]);
            match self.judged(&written, template, now) {
                Ok(()) => true,
                Err(refusal) => {
                    reason = refusal;
                    false
                }
            }
        });
        if templates.is_empty() {
            Err(reason)
        } else {
            Ok(templates)
        }
    }

    fn examples(&self) -> Vec<Template> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/identity/{}.json", self.name));
        let Ok(text) = fs::read(file) else {
            return Vec::new();
        };
        let file: Value = serde_json::from_slice(&text).expect("JSON");
        let examples = file["examples"].as_array().expect("a list");
        let template = |example: &Value| Template {
            event: example["event"].as_str().map(str::to_owned),
            repeats: example["verdict"] == "repeatable",
            content: Content::Example {
                body: example["body"].clone(),
                pointer: example["pointer"].as_str().map(str::to_owned),
            },
        };
        examples.iter().map(template).collect()
    }

    fn judged(&self, written: &Written, template: &Template, now: Timestamp) -> Result<(), String> {
        let letter = self.letter(written, template.event.as_deref(), "an-id", now)?;
        let mut builder = Request::post(&letter.target);
        for (name, value) in &letter.headers {
            builder = builder.header(name, &value[..]);
        }
        let (head, ()) = builder.body(()).map_err(|error| error.to_string())?.into_parts();
        let body = Frames::from(letter.body);
        let envelope = Envelope {
            head: &head,
            body: &body,
        };
        match self.provider.verify(envelope, &self.keys, now) {
            Ok(Finding::Authentic(_)) => Ok(()),
            Ok(_) => Err("a handshake".to_owned()),
            Err(refusal) => Err(format!("refused: {refusal:?}")),
        }
    }

    /// The request that the provider would send.
    pub fn letter(&self, written: &Written, event: Option<&str>, id: &str, at: Timestamp) -> Result<Letter, String> {
        let inside = self
            .provider
            .sign_inside(&written.body, &self.keys)
            .map_err(|error| error.to_string())?;
        let is_inside = inside.is_some();
        let body = inside.unwrap_or_else(|| written.body.clone());
        let unsigned = Unsigned {
            method: &Method::POST,
            target: &self.target,
            content_type: Some(&written.content_type),
            body: &body,
            id: Some(id),
            event,
            at,
        };
        let signed = if is_inside || self.private.is_some() {
            self.provider.described(&unsigned)
        } else {
            self.provider.sign(&unsigned, &self.keys)
        };
        let mut headers = signed.map_err(|error| error.to_string())?;
        if let Some(private) = &self.private {
            headers.extend(private.sign(&body, id, at));
        }
        let mut headers: Vec<(HeaderName, Bytes)> = headers
            .into_iter()
            .map(|(name, value)| (name, Bytes::copy_from_slice(value.as_bytes())))
            .collect();
        let further = written
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in further.chain([("Content-Type", written.content_type.as_str())]) {
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            if headers.iter().all(|(known, _)| *known != name) {
                headers.push((name, Bytes::copy_from_slice(value.as_bytes())));
            }
        }
        Ok(Letter {
            target: self.target.clone(),
            headers,
            body,
        })
    }

    /// The source of this sender in the configuration.
    pub fn yaml(&self) -> String {
        let preset = provider::preset(&self.name).expect("it is in the list");
        let listing = preset.listing();
        let name = &self.name;
        let mut yaml = format!("  {name}: {{provider: {name}, path: /{name}");
        if listing.needs_public_url || self.provider.facts().reads_url {
            write!(yaml, ", public_url: \"{BASE}\"").expect("a string");
        }
        if self.provider.facts().takes_secrets {
            let secret = secret(preset, self.private.as_ref());
            write!(yaml, ", secrets: [{{value: {}}}]", Value::from(secret)).expect("a string");
        } else {
            yaml.push_str(", allow_unverified: true");
        }
        let (_, settings) = settings(preset);
        if !settings.is_empty() {
            write!(yaml, ", settings: {{{}}}", settings.trim_end_matches(", ")).expect("a string");
        }
        yaml.push_str("}\n");
        yaml
    }
}

impl Template {
    /// A body of this type that no other `nonce` has.
    pub fn write(&self, sender: &Sender, at: Timestamp, nonce: [u8; 16]) -> Written {
        match &self.content {
            Content::Sample => {
                let sample = sender.provider.sample(self.event.as_deref(), Fresh { at, nonce });
                Written {
                    body: sample.body,
                    content_type: sample.content_type,
                    headers: sample.headers,
                }
            }
            Content::Example { body, pointer } => {
                let mut body = body.clone();
                let hex = HEXLOWER.encode(&nonce);
                if let Some(value) = pointer.as_ref().and_then(|pointer| body.pointer_mut(pointer)) {
                    *value = if value.is_string() {
                        hex.into()
                    } else {
                        (u64::from_le_bytes(*nonce.first_chunk().expect("16 bytes")) >> 12).into()
                    };
                } else if let Some(object) = body.as_object_mut() {
                    // Outside of what any shape looks at: the contents of this run differ, its events do not.
                    object.insert("workspace_of_the_test".to_owned(), hex.into());
                }
                Written {
                    body: serde_json::to_vec(&body).expect("JSON").into(),
                    content_type: "application/json".to_owned(),
                    headers: Vec::new(),
                }
            }
        }
    }
}
