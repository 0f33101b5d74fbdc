//! What verifying a request of 1 KiB costs beside a bare HMAC over the signed bytes; `tests/bench/run` counts instructions.
//!
//! `verify PRESET verify|bare|unkeyed ROUNDS`: the script runs each with two numbers of rounds under callgrind and takes the
//! difference, so that start-up and the compiling of presets count for nothing.
#![allow(missing_docs, reason = "a measurement, no library")]

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use hookward::{
    event::{Envelope, Frames, Secret, Timestamp},
    provider::{Encoding, Finding, KeyText, Options, Provider, Unsigned, preset},
};
use http::Method;
use sha2::Sha256;
use std::hint::black_box;

/// Preset, secret as configured, its key, and what comes before the body in the signed text.
type Before = fn(&http::HeaderMap) -> String;
const SUBJECTS: [(&str, &str, &[u8], Before); 5] = [
    ("github", "bench phrase of a test", b"bench phrase of a test", |_| {
        String::new()
    }),
    ("stripe", "whsec_bench_phrase", b"whsec_bench_phrase", |head| {
        let signature = text(head, "stripe-signature");
        let time = signature.split(',').find_map(|part| part.strip_prefix("t="));
        format!("{}.", time.expect("a time"))
    }),
    ("slack", "bench phrase of a test", b"bench phrase of a test", |head| {
        format!("v0:{}:", text(head, "x-slack-request-timestamp"))
    }),
    ("shopify", "bench phrase of a test", b"bench phrase of a test", |_| {
        String::new()
    }),
    (
        "standard-webhooks",
        "whsec_YmVuY2ggcGhyYXNlIG9mIGEgdGVzdCE=",
        b"bench phrase of a test!",
        |head| format!("{}.{}.", text(head, "webhook-id"), text(head, "webhook-timestamp")),
    ),
];

fn text<'a>(head: &'a http::HeaderMap, name: &str) -> &'a str {
    head[name].to_str().expect("text")
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let [name, what, rounds] = &args[..] else {
        // `cargo test --benches` and the like: one round of each, to see that they agree.
        for (name, ..) in SUBJECTS {
            for what in ["verify", "bare", "unkeyed"] {
                measure(name, what, 1);
            }
        }
        return;
    };
    measure(name, what, rounds.parse().expect("a number of rounds"));
}

fn measure(name: &str, what: &str, rounds: u32) {
    let (_, secret, key, before) = SUBJECTS.iter().find(|subject| subject.0 == name).expect("a subject");
    let options = Options::default();
    let provider = Provider::compile(preset(name).expect("a preset"), &options).unwrap_or_else(|bad| panic!("{bad:?}"));
    let secret = KeyText {
        secret: Secret::new(secret.as_bytes().to_vec()),
        encoding: Encoding::Preset,
        allow_short: false,
    };
    let keys = provider.keys(&[secret]).unwrap_or_else(|bad| panic!("{bad:?}"));
    let body = body();
    let now = Timestamp::from_secs(1_760_000_000);
    let unsigned = Unsigned {
        method: &Method::POST,
        target: "/in",
        content_type: Some("application/json"),
        body: &body,
        id: Some("evt_0001"),
        event: Some("ping.done"),
        at: now,
    };
    let mut request = http::Request::post("/in")
        .header("Host", "hooks.example.test")
        .header("Content-Type", "application/json")
        .header("User-Agent", "bench/1.0");
    let described = provider.described(&unsigned).expect("described");
    for (name, value) in provider
        .sign(&unsigned, &keys)
        .expect("signed")
        .into_iter()
        .chain(described)
    {
        if request.headers_ref().is_some_and(|there| !there.contains_key(&name)) {
            request = request.header(name, value);
        }
    }
    let (head, ()) = request.body(()).expect("a request").into_parts();
    let signed = [before(&head.headers).as_bytes(), &body].concat();
    let keyed = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    // The bare HMAC is over the signed bytes: its tag is what the request bears.
    let tag = keyed.clone().chain_update(&signed).finalize().into_bytes();
    let borne = |shown: &str| {
        head.headers
            .values()
            .any(|value| value.to_str().is_ok_and(|text| text.contains(shown)))
    };
    assert!(
        borne(&HEXLOWER.encode(&tag)) || borne(&BASE64.encode(&tag)),
        "{name}: not the signed bytes"
    );
    let frames = Frames::from(body.clone());
    for _ in 0..rounds {
        match what {
            "verify" => {
                let envelope = Envelope {
                    head: black_box(&head),
                    body: black_box(&frames),
                };
                let verdict = provider.verify(envelope, &keys, now);
                assert!(matches!(black_box(verdict), Ok(Finding::Authentic(_))), "{name}");
            }
            "bare" => {
                let mac = black_box(&keyed).clone().chain_update(black_box(&signed));
                assert!(mac.verify_slice(&tag).is_ok());
            }
            "unkeyed" => {
                let mac = Hmac::<Sha256>::new_from_slice(black_box(key)).expect("any length");
                assert!(mac.chain_update(black_box(&signed)).verify_slice(&tag).is_ok());
            }
            other => panic!("no such measurement: {other}"),
        }
    }
}

/// 1 KiB of JSON as providers send it.
fn body() -> Bytes {
    let mut text = r#"{"id":"evt_0001","type":"ping.done","created":1760000000,"data":{"object":{"note":""#.to_owned();
    let end = r#""}}}"#;
    while text.len() + end.len() < 1024 {
        text.push(char::from(b'a' + u8::try_from(text.len() % 26).expect("small")));
    }
    text.push_str(end);
    Bytes::from(text)
}
