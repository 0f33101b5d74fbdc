//! How a request ends: an outcome, the exact status, what the operator may know, and what the sender gets.

use super::Outcome;
use crate::{
    limit::Limited,
    provider::{Answer, Refusal},
    upstream::Reply,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::borrow::Cow;

/// How a request ends. A stage returns it as its error, so that `?` also ends early on benign endings.
#[derive(Clone, Debug)]
pub struct Ending {
    /// What became of it.
    pub outcome: Outcome,
    /// The status of the answer.
    pub status: StatusCode,
    /// The exact cause, for operators only.
    pub reason: Cow<'static, str>,
    /// `Retry-After`, `Allow`, `RateLimit`, …
    // Boxed, as the bodies are: a stage's error should be no burden to its success, and most endings have none.
    headers: Option<Box<HeaderMap>>,
    /// The rest of the connection cannot be trusted or read on: close it after the answer.
    pub close: bool,
    /// What the sender gets.
    pub body: Body,
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub enum Body {
    /// Ours: JSON, or a problem document.
    Own,
    /// The provider's handshake.
    Challenge(Box<Answer>),
    /// The app's.
    HandedThrough(Box<Reply>),
}

impl Ending {
    /// An ending with the outcome's own status and an answer of ours.
    pub fn new(outcome: Outcome, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            outcome,
            status: outcome.status(),
            reason: reason.into(),
            headers: None,
            close: false,
            body: Body::Own,
        }
    }

    /// The same with another status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with one more header.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().append(name, value);
        self
    }

    /// The same with `Retry-After` in whole seconds, at least 1.
    pub fn with_retry_after(self, seconds: u64) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// The same, closing the connection.
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// Over a limit: `Retry-After`, `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10).
    pub fn limited(outcome: Outcome, reason: impl Into<Cow<'static, str>>, limited: &Limited) -> Self {
        let mut ending = Self::new(outcome, reason).with_retry_after(limited.retry_after());
        for (name, text) in [("ratelimit", limited.state()), ("ratelimit-policy", limited.policy())] {
            if let Ok(value) = HeaderValue::try_from(text) {
                ending = ending.with_header(HeaderName::from_static(name), value);
            }
        }
        ending
    }

    /// What a provider refused.
    pub fn refused(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Unverified(cause) => Self::new(Outcome::Unverified, cause.to_string()),
            Refusal::Malformed(cause) => Self::new(Outcome::Malformed, cause.to_string()),
            Refusal::Stale { age_millis } => {
                let seconds = age_millis.unsigned_abs() / 1000;
                let side = if *age_millis < 0 { "in the future" } else { "ago" };
                Self::new(
                    Outcome::Stale,
                    format!("signed {seconds} s {side}, outside the tolerance"),
                )
            }
        }
    }

    /// The headers that it adds to its body's own.
    pub fn headers(&mut self) -> HeaderMap {
        self.headers.take().map(|headers| *headers).unwrap_or_default()
    }

    /// An answer to a handshake.
    pub fn challenge(answer: Answer) -> Self {
        let mut ending = Self::new(Outcome::Challenge, "handshake answered").with_status(answer.status);
        ending.body = Body::Challenge(Box::new(answer));
        ending
    }
}
