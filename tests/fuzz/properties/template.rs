//! The template engine: a custom preset from YAML is refused or works: what it signs it verifies, in any frames, and a
//! request that it did not sign it refuses.

use crate::head;
use bytes::Bytes;
use hookward::{
    event::{Envelope, Frames, Secret, Timestamp},
    provider::{Encoding, Finding, Fresh, KeyText, Keys, Options, Preset, Provider, Refusal, Unsigned, Verified},
};
use http::request::Parts;

const NOW: Timestamp = Timestamp::from_secs(1_760_000_000);
const SECRET: &str = "whsec_YmVuY2ggcGhyYXNlIG9mIGEgdGVzdCE=";

pub fn check(data: &[u8]) {
    let (yaml, request) = match data.windows(2).position(|pair| pair == b"\n%") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (
            data,
            &b"POST /in?a=b&c=d\nContent-Type: application/json\n\n{\"a\":\"b\",\"id\":\"evt_1\"}"[..],
        ),
    };
    let Ok(yaml) = std::str::from_utf8(yaml) else { return };
    let Ok(preset) = Preset::from_yaml(yaml) else { return };
    let options = Options {
        public_url: Some("https://hooks.example.test".to_owned()),
        ..Options::default()
    };
    let provider = match Provider::compile(&preset, &options) {
        Ok(provider) => provider,
        Err(problems) => {
            assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.message.is_empty()));
            assert!(
                problems.iter().all(|problem| problem.at.starts_with('/')),
                "{problems:?}"
            );
            return;
        }
    };
    let _ = (preset.listing(), preset.facts(), provider.signs_id());
    let secret = KeyText {
        secret: Secret::new(SECRET.as_bytes().to_vec()),
        encoding: Encoding::Utf8,
        allow_short: true,
    };
    let Ok(keys) = provider.keys(&[secret]) else { return };
    let _ = provider.sample(None, Fresh::at(NOW));
    let Some((head, body)) = head::of(request) else { return };
    let body = Bytes::copy_from_slice(body);

    let verdict = judged(&provider, &keys, &head, &body);
    if let Ok(Finding::Authentic(evidence)) = &verdict {
        let holds = match evidence.verified {
            // Nobody can make one without our key, and none was made yet.
            Verified::Signature => false,
            Verified::Token => {
                request.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()) || bears_encoded(request)
            }
            Verified::None => preset.algorithm == hookward::provider::preset::Algorithm::None,
        };
        assert!(holds, "accepted as {}", evidence.verified.as_str());
    }

    if signable(&preset) {
        signed(&provider, &keys, &head, &body);
    }
}

/// Basic credentials travel in base64, those in a query escaped.
fn bears_encoded(request: &[u8]) -> bool {
    let basic = data_encoding::BASE64.encode(SECRET.as_bytes());
    let bears = |part: &[u8]| request.windows(part.len()).any(|window| window == part);
    bears(basic.as_bytes()) || bears(b"%")
}

/// In one frame and in others the verdict is the same.
fn judged(provider: &Provider, keys: &Keys, head: &Parts, body: &Bytes) -> Result<Finding, Refusal> {
    let verify = |frames: &Frames| provider.verify(Envelope { head, body: frames }, keys, NOW);
    let whole = verify(&Frames::from(body.clone()));
    for size in [1, 7] {
        if body.len() > 200 && size == 1 {
            continue;
        }
        let mut frames = Frames::default();
        body.chunks(size)
            .for_each(|piece| frames.push(Bytes::copy_from_slice(piece)));
        let cut = verify(&frames);
        match (&whole, &cut) {
            (Ok(Finding::Authentic(one)), Ok(Finding::Authentic(other))) => {
                assert!(one.identity == other.identity && one.id == other.id && one.events == other.events);
            }
            (Ok(Finding::Challenge(one)), Ok(Finding::Challenge(other))) => assert_eq!(one, other),
            (Err(one), Err(other)) => assert_eq!(one, other),
            _ => panic!("frames change the verdict"),
        }
    }
    whole
}

/// What `sign` cannot know of is left out: fields of the body that must have a value, and handshakes.
fn signable(preset: &Preset) -> bool {
    let in_head =
        |place: &str| place.starts_with("header:") || place.starts_with("claim:") || place.starts_with("signature:");
    preset.challenge.is_empty()
        && preset.require.keys().all(|place| in_head(place))
        && preset.timestamp.as_ref().is_none_or(|rule| in_head(&rule.from))
        && preset.body_hash.as_ref().is_none_or(|rule| in_head(&rule.from))
        && preset.key_url.is_none()
}

fn signed(provider: &Provider, keys: &Keys, head: &Parts, body: &Bytes) {
    let Some(method) = provider.facts().methods.first() else {
        return;
    };
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let target = provider.with_credential(target, keys);
    let content_type = head.headers.get("content-type").and_then(|value| value.to_str().ok());
    let unsigned = Unsigned {
        method,
        target: &target,
        content_type,
        body,
        id: None,
        event: None,
        at: NOW,
    };
    let Ok(headers) = provider.sign(&unsigned, keys) else {
        return;
    };
    let mut request = http::Request::builder().method(method).uri(&*target);
    if let Some(kind) = content_type {
        request = request.header("content-type", kind);
    }
    for (name, value) in headers {
        // One name for two things: whoever writes such a preset reads its own signature as doubled.
        if request.headers_ref().is_some_and(|there| there.contains_key(&name)) {
            return;
        }
        request = request.header(name, value);
    }
    let Ok(request) = request.body(()) else { return };
    let (head, ()) = request.into_parts();
    match judged(provider, keys, &head, body) {
        Ok(_) | Err(Refusal::Malformed(_)) => {}
        Err(refusal) => panic!("what it signed it refuses: {refusal}"),
    }
}
