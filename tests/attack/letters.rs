//! Requests as providers sign them, and as forgers do not.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

/// What the sidecar verifies with.
pub const SECRET: &str = "attack-run-secret-of-32-bytes-ok";

/// The sources of the sidecar's configuration.
pub fn sources() -> String {
    format!(
        "sources:\n  github: {{provider: github, path: /github, secrets: [{{value: \"{SECRET}\"}}]}}\n  \
         unlimited: {{provider: github, path: /unlimited, secrets: [{{value: \"{SECRET}\"}}], rate_limit: off}}\n  \
         stripe: {{provider: stripe, path: /stripe, secrets: [{{value: \"{SECRET}\"}}]}}\n  \
         open: {{provider: none, path: /open, allow_unverified: true}}\n  \
         anonymous: {{provider: none, path: /anonymous, allow_unverified: true, rate_limit: off}}\n"
    )
}

/// Signs requests.
pub struct Pen(Hmac<Sha256>);

impl Default for Pen {
    fn default() -> Self {
        Self(Hmac::new_from_slice(SECRET.as_bytes()).expect("any length will do"))
    }
}

impl Pen {
    /// An authentic event of Stripe, `size` bytes of body or somewhat more, from this client.
    pub fn stripe(&self, client: &str, event: &str, size: usize) -> Vec<u8> {
        let mut body = format!(r#"{{"id":"evt_{event}","type":"invoice.paid","data":""#);
        body.push_str(&"x".repeat(size.saturating_sub(body.len() + 2)));
        body.push_str("\"}");
        let at = seconds();
        let sum = self.sign(&[at.to_string().as_bytes(), b".", body.as_bytes()]);
        let signature = format!("Stripe-Signature: t={at},v1={sum}\r\n");
        post("stripe", client, &signature, body.as_bytes())
    }

    /// An authentic event of GitHub, for one of its sources.
    pub fn github(&self, source: &str, client: &str, event: &str, size: usize) -> Vec<u8> {
        let mut body = format!(r#"{{"n":"{event}","data":""#);
        body.push_str(&"x".repeat(size.saturating_sub(body.len() + 2)));
        body.push_str("\"}");
        let sum = self.sign(&[body.as_bytes()]);
        let signature =
            format!("X-GitHub-Event: push\r\nX-GitHub-Delivery: {event}\r\nX-Hub-Signature-256: sha256={sum}\r\n");
        post(source, client, &signature, body.as_bytes())
    }

    fn sign(&self, parts: &[&[u8]]) -> String {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        HEXLOWER.encode(&mac.finalize().into_bytes())
    }
}

/// A well-formed signature of GitHub that is wrong.
pub fn forged_headers() -> String {
    format!(
        "X-GitHub-Event: push\r\nX-GitHub-Delivery: f\r\nX-Hub-Signature-256: sha256={}\r\n",
        "ab".repeat(32)
    )
}

/// An anonymous request for which the app takes so long.
pub fn slow(client: &str, seconds: u64) -> Vec<u8> {
    post("anonymous", client, &format!("X-Slow: {seconds}\r\n"), b"{}")
}

/// A forged event.
pub fn forged(client: &str, body: &[u8]) -> Vec<u8> {
    post("github", client, &forged_headers(), body)
}

/// A head without its end: a body of this length is still to come.
pub fn forged_head(client: &str, length: usize) -> Vec<u8> {
    head("github", client, &forged_headers(), length).into_bytes()
}

/// The same for chunks.
pub fn forged_chunked(client: &str) -> String {
    forged_text(client).replace("Content-Length: 0", "Transfer-Encoding: chunked")
}

fn forged_text(client: &str) -> String {
    head("github", client, &forged_headers(), 0)
}

fn post(source: &str, client: &str, signature: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = head(source, client, signature, body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn head(source: &str, client: &str, signature: &str, length: usize) -> String {
    format!(
        "POST /{source} HTTP/1.1\r\nHost: hooks.example\r\nX-Forwarded-For: {client}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n{signature}\r\n"
    )
}

/// Since 1970.
fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is later than 1970").as_secs()
}
