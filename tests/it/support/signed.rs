//! Signed requests, made here with bare HMAC and not by the code under test.

use super::Request;
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub const SECRET: &str = "integration test phrase";

pub const TOKEN: &str = "a token of some length";

pub fn hmac_sha256(secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret).expect("any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// A GitHub `push`, signed with [`SECRET`].
pub fn github(path: &str, delivery: &str, body: &[u8]) -> Request {
    github_event(path, "push", delivery, body)
}

pub fn github_event(path: &str, event: &str, delivery: &str, body: &[u8]) -> Request {
    let mac = hmac_sha256(SECRET.as_bytes(), &[body]);
    Request::post(path, body)
        .header("Content-Type", "application/json")
        .header("X-GitHub-Event", event)
        .header("X-GitHub-Delivery", delivery)
        .header("X-Hub-Signature-256", format!("sha256={}", HEXLOWER.encode(&mac)))
}

/// A Stripe event signed at `at` (Unix seconds) with [`SECRET`].
pub fn stripe(path: &str, at: i64, body: &[u8]) -> Request {
    let mac = hmac_sha256(SECRET.as_bytes(), &[at.to_string().as_bytes(), b".", body]);
    Request::post(path, body)
        .header("Content-Type", "application/json")
        .header("Stripe-Signature", format!("t={at},v1={}", HEXLOWER.encode(&mac)))
}

/// A Standard Webhooks delivery signed at `at` with the bytes of [`SECRET`] as the key.
pub fn standard(path: &str, id: &str, at: i64, body: &[u8]) -> Request {
    let mac = hmac_sha256(SECRET.as_bytes(), &[format!("{id}.{at}.").as_bytes(), body]);
    Request::post(path, body)
        .header("Content-Type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", at.to_string())
        .header("webhook-signature", format!("v1,{}", BASE64.encode(&mac)))
}

/// [`SECRET`] as Standard Webhooks writes it.
pub fn standard_secret() -> String {
    format!("whsec_{}", BASE64.encode(SECRET.as_bytes()))
}

/// GitHub at `/github`.
pub const GITHUB: &str = "
sources:
  github:
    provider: github
    path: /github
    secrets: [{env: SECRET}]
";

/// The `n`-th event for [`GITHUB`].
pub fn push(n: usize) -> Request {
    github("/github", &format!("d-{n}"), n.to_string().as_bytes())
}
