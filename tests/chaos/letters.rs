//! The events of a run and how their providers sign them; all of it follows from seed and number.

use crate::{dice::Dice, wire::now};
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::{fmt::Write as _, time::Duration};

/// What the sidecars verify with; `whsec_` and base64 for Standard Webhooks.
pub const SECRET: &str = "chaos-run-secret-of-32-bytes-yes";

/// A provider as its sidecar's preset knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Signs every attempt anew; its id is in the signed body.
    Stripe,
    /// Repeats the very bytes, and only when somebody asks it to.
    GitHub,
    /// Signs every attempt anew; its id is a signed header.
    Standard,
}

impl Provider {
    /// Stripe 4, GitHub 3, Standard Webhooks 3 of 10.
    pub fn of(event: u32) -> Self {
        match event % 10 {
            0..4 => Self::Stripe,
            4..7 => Self::GitHub,
            _ => Self::Standard,
        }
    }

    /// Pause before attempt 2, 3, … as documented, in seconds; the last one repeats. GitHub's is its operator's.
    const fn schedule(self) -> &'static [u64] {
        const M: u64 = 60;
        const H: u64 = 3600;
        match self {
            Self::Stripe => &[5 * M, 30 * M, 2 * H, 5 * H, 10 * H, 12 * H],
            Self::GitHub => &[30 * M, H, 2 * H, 6 * H],
            Self::Standard => &[5, 5 * M, 30 * M, 2 * H, 5 * H, 10 * H, 14 * H, 20 * H, 24 * H],
        }
    }

    /// Pause after attempt `attempt` (from 1), `scale` times shorter than it really is and up to a tenth longer.
    pub fn pause(self, attempt: u32, scale: u64, dice: &mut Dice) -> Duration {
        let schedule = self.schedule();
        let step = usize::try_from(attempt.saturating_sub(1))
            .expect("a small number")
            .min(schedule.len() - 1);
        let micros = schedule[step] * 1_000_000 / scale;
        Duration::from_micros(micros + dice.below(micros / 10 + 1))
    }
}

/// The body of an event.
pub fn body(seed: u64, event: u32) -> String {
    let mut dice = Dice::new(seed, u64::from(event) | 1 << 40);
    let mut body = String::with_capacity(2048);
    let kind = ["invoice.paid", "charge.refunded", "contact.created"][dice.index(3)];
    write!(
        body,
        r#"{{"id":"evt_{seed:x}_{event}","type":"{kind}","n":{event},"data":""#
    )
    .expect("memory");
    for _ in 0..2 + dice.below(60) {
        write!(body, "{:016x}", dice.next()).expect("memory");
    }
    body.push_str("\"}");
    body
}

/// The number of the event that this is the body of, if it is that body to the last byte.
pub fn read(seed: u64, bytes: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(bytes).ok()?;
    let number = text.split_once(r#""n":"#)?.1.split_once(',')?.0.parse().ok()?;
    (body(seed, number) == text).then_some(number)
}

/// A request as it goes out.
#[derive(Clone)]
pub struct Letter {
    pub bytes: Vec<u8>,
    /// Where its body begins.
    pub body_at: usize,
}

/// Writes and signs requests.
pub struct Desk {
    seed: u64,
    key: Hmac<Sha256>,
}

impl Desk {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            key: Hmac::new_from_slice(SECRET.as_bytes()).expect("any length will do"),
        }
    }

    /// Attempt `attempt` (from 1) of an event. Attempts of the same event are some hours apart for their provider and some
    /// milliseconds for us: its clock is a second further at each, so that no two of them have the same signature.
    pub fn write(&self, event: u32, attempt: u32) -> Letter {
        let body = body(self.seed, event);
        let at = now() / 1_000_000 - 120 + u64::from(attempt);
        let headers = match Provider::of(event) {
            Provider::Stripe => {
                let sum = HEXLOWER.encode(&self.sign(&[at.to_string().as_bytes(), b".", body.as_bytes()]));
                format!("Stripe-Signature: t={at},v1={sum}\r\n")
            }
            Provider::GitHub => self.github(&format!("{:08x}-{event:08x}", self.seed), &body),
            Provider::Standard => {
                let id = format!("msg_{:x}_{event}", self.seed);
                let sum = self.sign(&[id.as_bytes(), b".", at.to_string().as_bytes(), b".", body.as_bytes()]);
                let sum = BASE64.encode(&sum);
                format!("webhook-id: {id}\r\nwebhook-timestamp: {at}\r\nwebhook-signature: v1,{sum}\r\n")
            }
        };
        assemble(Provider::of(event), &headers, &body)
    }

    /// The content of a GitHub event under another, unsigned id: what whoever captured it can send.
    pub fn disguise(&self, event: u32) -> Letter {
        let body = body(self.seed, event);
        let headers = self.github(&format!("{:08x}-{event:08x}-again", self.seed), &body);
        assemble(Provider::GitHub, &headers, &body)
    }

    fn github(&self, id: &str, body: &str) -> String {
        let sum = HEXLOWER.encode(&self.sign(&[body.as_bytes()]));
        format!("X-GitHub-Event: push\r\nX-GitHub-Delivery: {id}\r\nX-Hub-Signature-256: sha256={sum}\r\n")
    }

    fn sign(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut mac = self.key.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().to_vec()
    }
}

fn assemble(provider: Provider, headers: &str, body: &str) -> Letter {
    let path = match provider {
        Provider::Stripe => "stripe",
        Provider::GitHub => "github",
        Provider::Standard => "shop",
    };
    let head = format!(
        "POST /{path} HTTP/1.1\r\nHost: hooks.example\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    Letter {
        body_at: head.len(),
        bytes: [head.as_bytes(), body.as_bytes()].concat(),
    }
}

/// The sources of a sidecar's configuration that verify what a [`Desk`] signs.
pub fn sources() -> String {
    let standard = BASE64.encode(SECRET.as_bytes());
    let to = "to: [billing, mail]";
    format!(
        "sources:\n  stripe: {{provider: stripe, path: /stripe, secrets: [{{value: \"{SECRET}\"}}], {to}}}\n  \
         github: {{provider: github, path: /github, secrets: [{{value: \"{SECRET}\"}}], {to}}}\n  \
         shop: {{provider: standard-webhooks, path: /shop, secrets: [{{value: \"whsec_{standard}\"}}], {to}}}\n"
    )
}
