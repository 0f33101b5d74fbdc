//! Turns an [`Ending`] into the sender's answer, and ends its trail: one counter, one log line.

use super::Pipeline;
use crate::{
    event::Client,
    source::{Body, Ending, Outcome, Trail},
    telemetry::{Entropy, TraceParent, entropy},
    upstream::Room,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use serde_json::json;
use std::sync::Arc;

/// The body of every answer: in one piece, its length known.
pub type AnswerBody = Full<Bytes>;

/// In the extensions of a long answer: the room that its body holds. Whoever serves the answer keeps it until the sender
/// has the body.
#[derive(Clone, Debug)]
pub struct HeldRoom(pub Arc<dyn Room>);

const OUTCOME: HeaderName = HeaderName::from_static("hookward-outcome");

impl Pipeline {
    /// The answer to what never became a request: counted by [`Self::count_unasked`], because its connection may be gone
    /// before it can be written.
    pub fn answer_unasked(&self, outcome: Outcome, status: StatusCode) -> Response<AnswerBody> {
        let request_id = entropy(Entropy::request_id);
        render(
            Ending::new(outcome, "").with_status(status).closing(),
            request_id.as_str(),
            None,
        )
    }

    /// Counts and logs what never became a request, for the source "".
    pub fn count_unasked(&self, client: &Client, outcome: Outcome, reason: &'static str) {
        let ids = entropy(|entropy| (entropy.request_id(), TraceParent::mint(entropy)));
        let trail = Trail::begin(&self.worker().shared.observers, client.ip, ids.0, ids.1);
        trail.end(&Ending::new(outcome, reason));
    }

    /// There is no way to serve this request here and now: its sender is told to come again.
    pub fn turn_away(&self) -> Response<AnswerBody> {
        let request_id = entropy(Entropy::request_id);
        render(turned_away(""), request_id.as_str(), None)
    }

    /// Answers a request that the gate refused: counted for the source "".
    pub fn refuse(&self, head: &Parts, client: &Client, status: StatusCode, reason: String) -> Response<AnswerBody> {
        let trail = self.trail(head, client);
        let ending = if status == StatusCode::METHOD_NOT_ALLOWED {
            let allow = HeaderValue::from_static("POST");
            Ending::new(Outcome::Method, reason).with_header(header::ALLOW, allow)
        } else {
            Ending::new(Outcome::Malformed, reason).with_status(status)
        };
        respond(ending.closing(), Box::new(trail))
    }
}

/// 503: the sender should come again, to another replica.
pub(super) fn turned_away(reason: &'static str) -> Ending {
    Ending::new(Outcome::Overloaded, reason).with_retry_after(1).closing()
}

pub(super) fn respond(mut ending: Ending, trail: Box<Trail>) -> Response<AnswerBody> {
    let facts = trail.source.as_ref().map(|source| source.provider.facts());
    let own_body = facts.and_then(|facts| facts.own_body.clone());
    let refuses =
        matches!(ending.outcome, Outcome::Unverified | Outcome::Stale) && ending.status == StatusCode::UNAUTHORIZED;
    let challenge = facts
        .and_then(|facts| facts.www_authenticate.as_deref())
        .filter(|_| refuses);
    // The same one whatever the cause.
    if let Some(value) = challenge.and_then(|challenge| HeaderValue::from_str(challenge).ok()) {
        ending = ending.with_header(header::WWW_AUTHENTICATE, value);
    }
    let request_id = trail.request_id;
    trail.end(&ending);
    render(ending, request_id.as_str(), own_body)
}

/// The answer itself. `own_body` stands in for every body of ours where a provider insists on one.
pub(super) fn render(mut ending: Ending, request_id: &str, own_body: Option<String>) -> Response<AnswerBody> {
    let extra = ending.headers();
    let Ending {
        outcome,
        status,
        close,
        body,
        ..
    } = ending;
    let mut room = None;
    let (mut headers, body) = match body {
        Body::Own => own(outcome, status, request_id, own_body),
        Body::HandedThrough(reply) => {
            room = reply.room;
            (reply.headers, reply.body)
        }
        Body::Challenge(answer) => {
            let mut headers: HeaderMap = answer.headers.into_iter().collect();
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            (headers, answer.body)
        }
    };
    headers.extend(extra);
    headers.insert(OUTCOME, HeaderValue::from_static(outcome.label()));
    if close {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if let Some(room) = room {
        response.extensions_mut().insert(HeldRoom(room));
    }
    response
}

fn own(outcome: Outcome, status: StatusCode, request_id: &str, own_body: Option<String>) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    if let Some(fixed) = own_body {
        if !fixed.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        return (headers, Bytes::from(fixed));
    }
    let (content_type, document) = if status.is_success() {
        (
            "application/json",
            json!({"outcome": outcome.label(), "request_id": request_id}),
        )
    } else {
        let document = json!({
            "type": outcome.urn(),
            "title": outcome.title(),
            "status": status.as_u16(),
            "request_id": request_id,
        });
        ("application/problem+json", document)
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    (headers, Bytes::from(document.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_problem_document_without_its_reason() {
        let ending = Ending::new(Outcome::Unverified, "signature does not match any of 2 secrets");
        let response = render(ending, "req-1", None);
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["hookward-outcome"], "unverified");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let (_, body) = own(Outcome::Unverified, StatusCode::UNAUTHORIZED, "req-1", None);
        let document: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
        let expected = json!({"type": "urn:hookward:outcome:unverified", "title": "Not verified", "status": 401, "request_id": "req-1"});
        assert_eq!(document, expected);
    }

    #[test]
    fn a_provider_may_fix_the_body_of_own_answers() {
        let (headers, body) = own(
            Outcome::Duplicate,
            StatusCode::OK,
            "req-1",
            Some("[accepted]".to_owned()),
        );
        assert_eq!((&body[..], headers.len()), (&b"[accepted]"[..], 1));
        let (headers, body) = own(
            Outcome::Unverified,
            StatusCode::UNAUTHORIZED,
            "req-1",
            Some(String::new()),
        );
        assert!(body.is_empty() && headers.is_empty());
    }
}
