//! What verifying a request of 1 KiB costs beside a bare HMAC over the signed bytes; `tests/bench/run` counts instructions.
//!
//! Three things are measured of every HMAC preset whose requests can be signed here: `bare`, the HMAC over the signed bytes by a
//! key that is set up already; `verify`, from the envelope to the proof; `whole`, up to the delivery's key, which is what the
//! ledger needs (id and event are read, the body is digested where the key needs it). The script takes the instructions of
//! each from callgrind, which counts within [`measured`] only. `cargo bench --bench verify -- time` measures time instead, on
//! the CPU as it is; names of presets restrict either.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    reason = "a measurement: no library, and it reads clocks"
)]

use bytes::Bytes;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use hookward::{
    event::{Envelope, Frames, IdentityHasher, Secret, SourceName, Timestamp},
    provider::{
        Encoding, Finding, KeyText, Keys, Options, Preset, Provider, Unsigned, alias_of, names, preset,
        preset::{Algorithm, KeyRule, Unit},
    },
    source::{DeliveryIdentity, Scope},
};
use http::{Method, request::Parts};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// Calls of one measurement under callgrind, which the script divides by.
const ROUNDS: u32 = 10;
const NOW: i64 = 1_760_000_000;
const BASE: &str = "https://hooks.example.test";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let timed = args.iter().any(|arg| arg == "time");
    if timed {
        println!(
            "{:<20} {:>9} {:>9} {:>9}  nanoseconds, best of many",
            "preset", "bare", "verify", "whole"
        );
    }
    let wanted = |name: &&str| args.iter().all(|arg| arg == "time") || args.iter().any(|arg| arg == name);
    for name in names().filter(|name| alias_of(name).is_none()).filter(wanted) {
        let preset = preset(name).expect("it is in the list");
        if !matches!(
            preset.algorithm,
            Algorithm::HmacSha1 | Algorithm::HmacSha256 | Algorithm::HmacSha512
        ) {
            continue;
        }
        let subject = match Subject::new(preset) {
            Ok(subject) => subject,
            Err(reason) => {
                println!("- {name} {reason}");
                continue;
            }
        };
        let (mut bare, mut verify, mut whole) = (|| subject.bare(), || subject.verify(), || subject.whole());
        let measurements: [(&str, &mut dyn FnMut()); 3] =
            [("bare", &mut bare), ("verify", &mut verify), ("whole", &mut whole)];
        if timed {
            let [bare, verify, whole] = measurements.map(|(_, what)| best(what).as_nanos());
            println!("{name:<20} {bare:>9} {verify:>9} {whole:>9}");
            continue;
        }
        for (label, what) in measurements {
            // What is made once is made now.
            what();
            let allocations = allocation_counter::measure(&mut *what).count_total;
            measured(what);
            settled();
            println!("+ {name} {label} {ROUNDS} {allocations} {}", subject.text);
        }
    }
}

/// Callgrind collects in here only, and writes its counts down at the end.
#[inline(never)]
fn measured(what: &mut dyn FnMut()) {
    for _ in 0..ROUNDS {
        what();
    }
}

/// Entering this, callgrind writes down what [`measured`] cost.
#[inline(never)]
fn settled() {
    black_box(());
}

/// The best of many short spans: other work on the machine lengthens most of them, but not all.
fn best(what: &mut dyn FnMut()) -> Duration {
    let span = || {
        let start = Instant::now();
        (0..50).for_each(|_| what());
        start.elapsed() / 50
    };
    std::iter::repeat_with(span).take(400).min().unwrap_or_default()
}

/// A signed request of one preset.
struct Subject {
    provider: Provider,
    keys: Keys,
    head: Parts,
    body: Frames,
    bare: Box<dyn Fn()>,
    /// What its signature is over.
    text: &'static str,
    source: SourceName,
}

impl Subject {
    fn new(preset: &Preset) -> Result<Self, String> {
        let compiled = |settings: &[(&str, &str)]| {
            let settings = settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let options = Options {
                public_url: Some(BASE.to_owned()),
                settings: settings.collect(),
                ..Options::default()
            };
            Provider::compile(preset, &options).map_err(|problems| problems[0].message.clone())
        };
        let provider = compiled(&[]).or_else(|_| compiled(&[("verify_token", "a token of the bench")]))?;
        let (secret, key) = secret(preset.key);
        let secret = KeyText {
            secret: Secret::new(secret.as_bytes().to_vec()),
            encoding: Encoding::Preset,
            allow_short: false,
        };
        let keys = provider
            .keys(&[secret])
            .map_err(|problems| problems[0].message.clone())?;
        let templates = match &preset.signed {
            Some(signed) => &signed.0[..],
            None => &["{body}".to_owned()],
        };
        let form = templates.iter().any(|template| template.contains("{form_sorted}"));
        let body = if form { form_body() } else { json_body() };
        let head = signed(&provider, &keys, &body, form)?;
        let text = rendered(&templates[0], preset, &head, &body)?;
        // The bare HMAC is over the signed bytes: its tag is what the request bears.
        let bare = match preset.algorithm {
            Algorithm::HmacSha1 => bare::<Hmac<Sha1>>(&key, text, &head),
            Algorithm::HmacSha512 => bare::<Hmac<Sha512>>(&key, text, &head),
            _ => bare::<Hmac<Sha256>>(&key, text, &head),
        }?;
        Ok(Self {
            provider,
            keys,
            head,
            body: Frames::from(body),
            bare,
            text: if form { "form" } else { "body" },
            source: SourceName::parse("payments").map_err(|error| error.to_string())?,
        })
    }

    fn bare(&self) {
        (self.bare)();
    }

    fn verify(&self) {
        let envelope = self.envelope();
        let mut verifier = self.provider.begin(envelope.head, &self.keys).expect("admitted");
        for frame in envelope.body.iter() {
            self.provider.update(&mut verifier, frame);
        }
        let proven = self
            .provider
            .prove(verifier, envelope, &self.keys, Timestamp::from_secs(NOW));
        assert!(black_box(proven).is_ok());
    }

    fn whole(&self) {
        let finding = self
            .provider
            .verify(self.envelope(), &self.keys, Timestamp::from_secs(NOW));
        let Ok(Finding::Authentic(evidence)) = finding else {
            panic!("{}: not an event", self.provider.facts().name);
        };
        let scope = Scope {
            namespace: "",
            source: &self.source,
            key_path: "/in",
            ledger: true,
        };
        let alone = || IdentityHasher::new("request").finish();
        black_box(DeliveryIdentity::of(scope, &evidence, &self.body, alone));
    }

    fn envelope(&self) -> Envelope<'_> {
        Envelope {
            head: black_box(&self.head),
            body: black_box(&self.body),
        }
    }
}

/// A secret as configured, and the bytes of its key.
fn secret(rule: KeyRule) -> (String, Vec<u8>) {
    let phrase = "a bench phrase, long enough";
    let key = phrase.as_bytes().to_vec();
    match rule {
        KeyRule::Whsec => (format!("whsec_{}", BASE64.encode(&key)), key),
        KeyRule::Base64 => (BASE64.encode(&key), key),
        KeyRule::Hex => (HEXLOWER.encode(&key), key),
        _ => (phrase.to_owned(), key),
    }
}

/// The head of a request that the provider would send.
fn signed(provider: &Provider, keys: &Keys, body: &Bytes, form: bool) -> Result<Parts, String> {
    let kind = if form {
        "application/x-www-form-urlencoded"
    } else {
        "application/json"
    };
    let unsigned = Unsigned {
        method: &Method::POST,
        target: "/in",
        content_type: Some(kind),
        body,
        id: Some("evt_0001"),
        event: Some("ping.done"),
        at: Timestamp::from_secs(NOW),
    };
    let mut request = http::Request::post("/in")
        .header("Host", "hooks.example.test")
        .header("Content-Type", kind)
        .header("Content-Length", body.len())
        .header("Accept", "*/*")
        .header("User-Agent", "bench/1.0");
    let described = provider.described(&unsigned).map_err(|error| error.to_string())?;
    let headers = provider.sign(&unsigned, keys).map_err(|error| error.to_string())?;
    for (name, value) in headers.into_iter().chain(described) {
        if request.headers_ref().is_some_and(|there| !there.contains_key(&name)) {
            request = request.header(name, value);
        }
    }
    let (head, ()) = request.body(()).map_err(|error| error.to_string())?.into_parts();
    Ok(head)
}

/// The text that a preset signs, filled by this file and not by what it measures.
fn rendered(template: &str, preset: &Preset, head: &Parts, body: &[u8]) -> Result<Vec<u8>, String> {
    if !template.contains("{body}") && !template.contains("{form_sorted}") {
        return Err("it does not sign the bytes of the body".to_owned());
    }
    let mut text = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.extend_from_slice(before.as_bytes());
        let (name, after) = after.split_once('}').ok_or("half a brace")?;
        rest = after;
        match name {
            "body" => text.extend_from_slice(body),
            // The form's body is written in the order of its names.
            "form_sorted" => text.extend(body.iter().filter(|byte| !b"=&".contains(byte))),
            "method" => text.extend_from_slice(head.method.as_str().as_bytes()),
            "url" => text.extend_from_slice(format!("{BASE}{}", head.uri).as_bytes()),
            "timestamp" => text.extend_from_slice(match preset.timestamp.as_ref().map(|time| time.unit) {
                Some(Unit::Ms) => b"1760000000000",
                Some(Unit::Iso) => b"2025-10-09T08:53:20.000Z",
                _ => b"1760000000",
            }),
            name => {
                let header = name.strip_prefix("header.").and_then(|name| head.headers.get(name));
                let header = header.ok_or_else(|| format!("it signs {{{name}}}, which is not written here"))?;
                text.extend_from_slice(header.as_bytes());
            }
        }
    }
    text.extend_from_slice(rest.as_bytes());
    Ok(text)
}

fn bare<M: Mac + KeyInit + Clone + 'static>(key: &[u8], text: Vec<u8>, head: &Parts) -> Result<Box<dyn Fn()>, String> {
    let keyed = <M as KeyInit>::new_from_slice(key).map_err(|error| error.to_string())?;
    let tag = keyed.clone().chain_update(&text).finalize().into_bytes();
    let shown = [HEXLOWER.encode(&tag), BASE64.encode(&tag), BASE64URL_NOPAD.encode(&tag)];
    let borne = |value: &http::HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        shown.iter().any(|shown| text.contains(shown.as_str()))
    };
    if !head.headers.values().any(borne) {
        return Err("its signature is not over the bytes that are thought to be signed".to_owned());
    }
    Ok(Box::new(move || {
        let mac = black_box(&keyed).clone().chain_update(black_box(&text));
        assert!(mac.verify_slice(&tag).is_ok());
    }))
}

/// 1 KiB of JSON, a fifth of it structure, as providers send it.
fn json_body() -> Bytes {
    let mut text = format!(
        r#"{{"id":"evt_0001","object":"event","type":"ping.done","created":{NOW},"webhookTimestamp":{NOW}000,"livemode":false,"data":{{"object":{{"items":["#
    );
    let end = r#"],"customer":"cus_0001","note":""}}}"#;
    for at in 0.. {
        let comma = if at == 0 { "" } else { "," };
        let item = format!(
            r#"{comma}{{"id":"it_{at:04}","amount":{},"currency":"eur","description":"Tea of the {at}. day"}}"#,
            100 + at
        );
        if text.len() + item.len() + end.len() > 1024 {
            break;
        }
        text.push_str(&item);
    }
    text.push_str(&end[..end.len() - 4]);
    while text.len() + 4 < 1024 {
        text.push('x');
    }
    text.push_str(&end[end.len() - 4..]);
    Bytes::from(text)
}

/// 1 KiB of a form, sorted by name and without escapes.
fn form_body() -> Bytes {
    let mut text = "AccountSid=AC0001".to_owned();
    for name in 'B'..'K' {
        text.push('&');
        text.push(name);
        text.push_str("ame=value");
        let to = text.len() + 90;
        while text.len() < to {
            text.push('v');
        }
    }
    text.truncate(1024);
    Bytes::from(text)
}
