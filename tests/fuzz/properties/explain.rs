//! `hookward explain`: whatever a capture holds, its verdict is the provider's own, told either way it is written down, and
//! with no secret in the explanation.
#[expect(dead_code, reason = "the suite reads more of a vector")]
#[path = "../../vectors/case.rs"]
mod case;

use case::Case;
use hookward::{
    cli::{Explained, explained},
    config::{Fixed, Settings, load},
    event::{Envelope, Frames, Timestamp},
    provider::{self, Finding, Options, Provider, Refusal},
};
use http::request::Parts;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// One configured source, under the secrets of its preset's vectors.
struct Subject {
    name: &'static str,
    settings: Settings,
    now: Timestamp,
}

static SUBJECTS: LazyLock<Vec<Subject>> = LazyLock::new(|| {
    let own = provider::names().filter(|name| provider::alias_of(name).is_none());
    let subjects: Vec<Subject> = own.filter_map(subject).collect();
    assert!(subjects.len() > 80, "{} presets", subjects.len());
    subjects
});

fn subject(name: &'static str) -> Option<Subject> {
    let file = case::folder().join(format!("{name}.json"));
    let case: Case = case::read(&file).into_iter().find(|case| case.expect == "accept")?;
    let place: String = case.url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let mut env = Fixed::default();
    let mut secrets = Vec::new();
    for (index, secret) in case.secrets.iter().enumerate() {
        env.files
            .insert(PathBuf::from(format!("secret-{index}")), secret.as_bytes().to_vec());
        secrets.push(json!({"file": format!("secret-{index}"), "allow_short": true}));
    }
    let mut source = json!({"provider": name, "path": format!("/in/{name}"), "public_url": place});
    if !secrets.is_empty() {
        source["secrets"] = secrets.into();
    }
    let mut options = serde_json::Map::new();
    for (name, value) in case.config.iter().filter(|(name, _)| *name != "kid") {
        options.insert(name.clone(), json!(value));
    }
    if !options.is_empty() {
        source["settings"] = options.into();
    }
    let yaml = json!({"version": 1, "upstream": "http://127.0.0.1:3000", "client_ip": {"trust": []}, "sources": {name: source}});
    env.files
        .insert(PathBuf::from("hookward.yaml"), yaml.to_string().into_bytes());
    let settings = load(Path::new("hookward.yaml"), &env).ok()?.settings;
    Some(Subject {
        name,
        settings,
        now: Timestamp::from_secs(case.now_unix),
    })
}

pub fn check(data: &[u8]) {
    // The preset's name, the end of the line, the capture.
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (which, capture) = (&data[..end], &data[end + 1..]);
    let named = SUBJECTS.iter().find(|subject| subject.name.as_bytes() == which);
    let any = which
        .iter()
        .fold(7_usize, |hash, byte| hash.wrapping_mul(31) ^ usize::from(*byte));
    let subject = named.unwrap_or_else(|| &SUBJECTS[any % SUBJECTS.len()]);

    let Some(told) = explained(&subject.settings, subject.name, capture, subject.now) else {
        return;
    };
    assert!(!told.text.is_empty());
    let Some((head, body, seen_at)) = &told.request else {
        assert_eq!(told.json["outcome"], "malformed");
        assert_eq!(told.json["verified"], false);
        return;
    };
    judged(subject, &told, head, body, seen_at.as_deref());
    keeps_secrets(subject, &told, head, body);
    if let Some(written) = written(head, body, seen_at.as_deref()) {
        let again = explained(
            &subject.settings,
            subject.name,
            written.to_string().as_bytes(),
            subject.now,
        );
        let again = again.expect("it is a capture, whichever way it is written");
        for member in [
            "verified",
            "signature_ok",
            "fresh",
            "outcome",
            "reason",
            "event",
            "delivery",
        ] {
            assert_eq!(again.json[member], told.json[member], "{member}");
        }
    }
}

/// The diagnosis changes no verdict.
fn judged(subject: &Subject, told: &Explained, head: &Parts, body: &Frames, seen_at: Option<&str>) {
    let source = &subject.settings.sources[0];
    let own = Provider::compile(&source.preset, &source.options).expect("it was loaded");
    let elsewhere = seen_at.filter(|_| own.facts().reads_url).map(|place| {
        let options = Options {
            public_url: Some(place.to_owned()),
            ..source.options.clone()
        };
        Provider::compile(&source.preset, &options)
    });
    let provider = match elsewhere {
        Some(Err(_)) => {
            assert_eq!(told.json["outcome"], "malformed");
            return;
        }
        Some(Ok(provider)) => provider,
        None => own,
    };
    let texts: Vec<_> = source.secrets.iter().map(|secret| secret.text.clone()).collect();
    let keys = provider.keys(&texts).unwrap_or_else(|problems| panic!("{problems:?}"));
    let (outcome, verified) = match provider.verify(Envelope { head, body }, &keys, subject.now) {
        Ok(Finding::Authentic(_)) => ("verified", true),
        Ok(Finding::Challenge(_) | Finding::Confirmation(_)) => ("challenge", true),
        Err(Refusal::Unverified(_)) => ("unverified", false),
        Err(Refusal::Stale { .. }) => ("stale", false),
        Err(Refusal::Malformed(_)) => ("malformed", false),
    };
    assert_eq!(told.json["outcome"], outcome);
    assert_eq!(told.json["verified"], verified);
    assert_eq!(told.json["signature_ok"], outcome != "unverified");
    assert!(verified || told.json["diagnosis"].as_array().is_some_and(|said| !said.is_empty()));
}

/// What the capture itself says is shown (its event, its Host); what only we know is not.
fn keeps_secrets(subject: &Subject, told: &Explained, head: &Parts, body: &Frames) {
    let contains = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|window| window == part);
    let (json, body) = (told.json.to_string(), body.joined());
    let texts = subject.settings.sources[0]
        .secrets
        .iter()
        .map(|secret| secret.text.secret.expose());
    for secret in texts.filter(|secret| secret.len() >= 8) {
        let shown = head.headers.values().any(|value| contains(value.as_bytes(), secret)) || contains(&body, secret);
        assert!(
            shown || !(contains(json.as_bytes(), secret) || contains(told.text.as_bytes(), secret)),
            "{json}"
        );
    }
}

/// The same request as JSON; `None` where a value is no text.
fn written(head: &Parts, body: &Frames, seen_at: Option<&str>) -> Option<Value> {
    let mut headers = Vec::new();
    for (name, value) in &head.headers {
        headers.push(json!([name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?]));
    }
    let target = head.uri.path_and_query()?.as_str();
    Some(json!({
        "method": head.method.as_str(),
        "url": format!("{}{target}", seen_at.unwrap_or_default()),
        "headers": headers,
        "body_base64": data_encoding::BASE64.encode(&body.joined()),
    }))
}
