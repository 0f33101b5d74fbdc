//! Every preset's header grammar: an arbitrary request must not panic nor verify; a signed one must not verify once a bit
//! of what is signed was turned over.
#![no_main]

mod head;

use bytes::Bytes;
use hookward::{
    event::{Envelope, Frames, Secret, Timestamp},
    provider::{self, Encoding, Finding, Fresh, KeyText, Keys, Options, Provider, Unsigned, Verified},
};
use http::request::Parts;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

struct Subject {
    provider: Provider,
    secrets: Vec<KeyText>,
    keys: Keys,
    /// Its own request, verified once here; with the headers that the signature is made of.
    own: Option<(Parts, Bytes)>,
}

const NOW: Timestamp = Timestamp::from_secs(1_760_000_000);

static SUBJECTS: LazyLock<Vec<Subject>> = LazyLock::new(|| {
    let subjects: Vec<Subject> = provider::names().filter_map(subject).collect();
    let signing = subjects.iter().filter(|subject| subject.own.is_some()).count();
    assert!(subjects.len() > 80 && signing > 50, "{} presets, {signing} sign", subjects.len());
    subjects
});

fn subject(name: &str) -> Option<Subject> {
    let options = Options {
        public_url: Some("https://hooks.example.test".to_owned()),
        ..Options::default()
    };
    let provider = Provider::compile(provider::preset(name)?, &options).ok()?;
    let texts = ["whsec_YmVuY2ggcGhyYXNlIG9mIGEgdGVzdCE=", "YmVuY2ggcGhyYXNlIG9mIGEgdGVzdCE=", "user:phrase of a test", "0123456789abcdef0123456789abcdef"];
    let (secrets, keys) = texts.iter().find_map(|text| {
        let secrets = vec![KeyText {
            secret: Secret::new(text.as_bytes().to_vec()),
            encoding: Encoding::Preset,
            allow_short: true,
        }];
        let keys = provider.keys(&secrets).ok()?;
        Some((secrets, keys))
    })?;
    let own = signed(&provider, &keys);
    Some(Subject { provider, secrets, keys, own })
}

fn signed(provider: &Provider, keys: &Keys) -> Option<(Parts, Bytes)> {
    let sample = provider.sample(None, Fresh::at(NOW));
    let body = provider.sign_inside(&sample.body, keys).ok()?.unwrap_or(sample.body);
    let method = provider.facts().methods.first()?;
    let target = provider.with_credential("/in", keys);
    let unsigned = Unsigned {
        method,
        target: &target,
        content_type: Some(&sample.content_type),
        body: &body,
        id: Some("evt_0001"),
        event: None,
        at: NOW,
    };
    let mut request = http::Request::builder().method(method).uri(&*target).header("content-type", &*sample.content_type);
    for (name, value) in provider.sign(&unsigned, keys).ok()?.into_iter().chain(provider.described(&unsigned).ok()?) {
        if request.headers_ref().is_some_and(|there| !there.contains_key(&name)) {
            request = request.header(name, value);
        }
    }
    for (name, value) in &sample.headers {
        if request.headers_ref().is_some_and(|there| !there.contains_key(name.as_str())) {
            request = request.header(name, value);
        }
    }
    let (head, ()) = request.body(()).ok()?.into_parts();
    is_authentic(provider, keys, &head, &Frames::from(body.clone())).then_some((head, body))
}

fn is_authentic(provider: &Provider, keys: &Keys, head: &Parts, body: &Frames) -> bool {
    let verdict = provider.verify(Envelope { head, body }, keys, NOW);
    matches!(verdict, Ok(Finding::Authentic(evidence)) if evidence.verified == Verified::Signature)
}

fuzz_target!(|data: &[u8]| {
    let [which, action, rest @ ..] = data else { return };
    let subject = &SUBJECTS[usize::from(*which) % SUBJECTS.len()];
    let (provider, keys) = (&subject.provider, &subject.keys);
    if action % 2 == 0 {
        // Arbitrary headers and body, in two frames.
        let Some((head, body)) = head::of(rest) else { return };
        let mut frames = Frames::default();
        let (left, right) = body.split_at(body.len() / 2);
        frames.push(Bytes::copy_from_slice(left));
        frames.push(Bytes::copy_from_slice(right));
        let envelope = Envelope { head: &head, body: &frames };
        let verdict = provider.verify(envelope, keys, NOW);
        let _ = provider.stated_time(envelope, keys);
        if let Err(refusal) = verdict {
            let _ = refusal.to_string();
            if action % 8 == 0 {
                let _ = provider.diagnose(&subject.secrets, envelope, NOW, &refusal);
            }
        }
        return;
    }
    // Its own request with one bit of the body turned over, or the body cut or lengthened.
    let (Some((head, body)), [at, more, bit, ..]) = (&subject.own, rest) else { return };
    if provider.facts().covers != provider::preset::Covers::Body || body.is_empty() {
        return;
    }
    let mut changed = body.to_vec();
    let at = usize::from(u16::from_be_bytes([*at, *more])) % changed.len();
    match bit % 10 {
        bit @ 0..8 => changed[at] ^= 1 << bit,
        8 => changed.truncate(at),
        _ => changed.insert(at, rest[0]),
    }
    let same = changed == body[..];
    assert!(
        same || !is_authentic(provider, keys, head, &Frames::from(Bytes::from(changed))),
        "{}: another body verified",
        provider.facts().name
    );
});
