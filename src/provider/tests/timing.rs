//! Whole verifications, by time: what a wrong guess has right does not show.

use super::*;
use crate::event::timing;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::{Digest, Sha256};

const SECRET: &str = "a secret of the tests";

/// What is judged again and again.
struct Guess {
    head: Parts,
    body: Frames,
}

impl Guess {
    fn of(attempt: &Attempt) -> Self {
        Self {
            head: attempt.head(),
            body: Frames::from(attempt.body.clone()),
        }
    }

    fn is_taken(&self, provider: &Provider, keys: &Keys) -> bool {
        let envelope = Envelope {
            head: &self.head,
            body: &self.body,
        };
        provider.verify(envelope, keys, Timestamp::from_secs(NOW)).is_ok()
    }
}

fn sum(text: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length will do");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

#[test]
#[ignore = "a measurement; tests/timing/run"]
fn signatures_are_judged_in_constant_time() {
    let provider = named("github");
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let attempt = signed(&provider, &keys, b"{}", Some("1"), Some("push"));
    let right = HEXLOWER.encode(&sum(b"{}"));
    let prepare = |guess: String| Guess::of(&attempt.clone().set("X-Hub-Signature-256", &format!("sha256={guess}")));
    timing::holds("verify, github", &right, prepare, |guess| {
        guess.is_taken(&provider, &keys)
    });
}

#[test]
#[ignore = "a measurement; tests/timing/run"]
fn verify_tokens_are_judged_in_constant_time() {
    let right = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let provider = compiled(preset("meta").expect("a preset"), &[("verify_token", right)]);
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let prepare = |guess: String| {
        Guess::of(&Attempt {
            method: http::Method::GET,
            target: format!("/in?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={guess}"),
            headers: Vec::new(),
            body: Bytes::new(),
        })
    };
    timing::holds("verify token, meta", right, prepare, |guess| {
        guess.is_taken(&provider, &keys)
    });
}

#[test]
#[ignore = "a measurement; tests/timing/run"]
fn signed_digests_are_judged_in_constant_time() {
    let provider = named("netlify");
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let right = HEXLOWER.encode(&Sha256::digest(b"{}"));
    // Whoever could sign this needs no timing: it is measured because it is a compare.
    let prepare = |guess: String| {
        let head = BASE64URL_NOPAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let claims = BASE64URL_NOPAD.encode(format!(r#"{{"iss":"netlify","sha256":"{guess}"}}"#).as_bytes());
        let text = format!("{head}.{claims}");
        let jws = format!("{text}.{}", BASE64URL_NOPAD.encode(&sum(text.as_bytes())));
        let attempt = Attempt {
            method: http::Method::POST,
            target: "/in".to_owned(),
            headers: Vec::new(),
            body: Bytes::from_static(b"{}"),
        };
        Guess::of(&attempt.set("X-Webhook-Signature", &jws))
    };
    timing::holds("covered digest, netlify", &right, prepare, |guess| {
        guess.is_taken(&provider, &keys)
    });
}
