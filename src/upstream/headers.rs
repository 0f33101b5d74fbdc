//! The request that a destination gets: what came in, less what must not pass, plus what we know of it.

use super::{DeliveryError, DestinationSpec, OutboundRequest, TargetRule, attest, target::target};
use crate::event::{DeliveryKey, EventName, Frames, ProviderName, SourceName, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts};
use std::{borrow::Cow, sync::Arc};

const SOURCE: HeaderName = HeaderName::from_static("hookward-source");
const PROVIDER: HeaderName = HeaderName::from_static("hookward-provider");
const EVENT: HeaderName = HeaderName::from_static("hookward-event");
const DELIVERY: HeaderName = HeaderName::from_static("hookward-delivery");
const ATTEMPT: HeaderName = HeaderName::from_static("hookward-attempt");
const VERIFIED: HeaderName = HeaderName::from_static("hookward-verified");
const LEDGER: HeaderName = HeaderName::from_static("hookward-ledger");
const REPEAT: HeaderName = HeaderName::from_static("hookward-repeat");
const REDELIVERY: HeaderName = HeaderName::from_static("hookward-redelivery");
const DUPLICATE: HeaderName = HeaderName::from_static("hookward-duplicate");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// More lines than any server of ours lets in; `HeaderMap` itself would panic at 32,768.
const MOST_HEADERS: usize = 4096;

/// What is known of a delivery when it is forwarded: plain values, whoever found them out.
pub struct Passage<'a> {
    /// `Hookward-Source`.
    pub source: &'a SourceName,
    /// `Hookward-Provider`.
    pub provider: &'a ProviderName,
    /// `Hookward-Event`, when known.
    pub event: Option<&'a EventName>,
    /// `Hookward-Delivery`: the provider's id where it is signed and header-safe, else the text of `key`.
    pub delivery: HeaderValue,
    /// The ledger's key of the delivery, which `sign` puts into `webhook-id`; where there is no ledger, one that is made
    /// of the request's id.
    pub key: &'a DeliveryKey,
    /// `Hookward-Attempt`.
    pub attempt: u32,
    /// `Hookward-Verified`: `signature`, `token` or `none`.
    pub verified: &'static str,
    /// `Hookward-Ledger: local`: let through in an outage of Redis.
    pub local_ledger: bool,
    /// `Hookward-Repeat`: `true` for known content that may honestly repeat, `unknown` where nothing tells an honest repeat
    /// from a replay.
    pub repeat: Option<&'static str>,
    /// `Hookward-Redelivery: true`: delivered before, and let through once more by `hookward forget`.
    pub redelivery: bool,
    /// `Hookward-Duplicate: true`: delivered before, and `duplicates: forward`.
    pub duplicate: bool,
    /// `X-Forwarded-For`: the believed hops and the peer, joined by `, `.
    pub forwarded_for: HeaderValue,
    /// `X-Forwarded-Proto`: `http` or `https`.
    pub proto: &'static str,
    /// `Host` (or `:authority`) as received.
    pub host: Option<HeaderValue>,
    /// `X-Forwarded-Host`: what a trusted peer says that it received, else `host`.
    pub forwarded_host: Option<HeaderValue>,
    /// `X-Request-Id`: of a trusted peer, else ours.
    pub request_id: HeaderValue,
    /// `traceparent`: the received one if it is valid, else a minted one.
    pub traceparent: HeaderValue,
    /// Headers that bear the proof itself (token, basic, JWT).
    pub credential_headers: &'a [HeaderName],
    /// Query parameters that bear the proof itself.
    pub credential_query: &'a [String],
    /// Wall-clock time of this attempt, for the signature of ours.
    pub at: Timestamp,
}

/// How many lines are stated, less `Host` and `Content-Length`, which nearly every request has already. A map that is
/// made for a few more is twice as large.
const STATED: usize = 12;

/// Makes the request for one destination: its target, its headers, and the body as it was verified. `received` are the
/// headers of `head`, whose own are not looked at: the last destination gets them as they are, and nothing is copied.
///
/// Fails with [`DeliveryError::Unreachable`] only where the joined target or the number of headers is beyond what can be
/// sent at all.
pub fn compose(
    head: &Parts,
    received: HeaderMap,
    body: &Frames,
    passage: Passage<'_>,
    to: &DestinationSpec,
) -> Result<OutboundRequest, DeliveryError> {
    let unsendable = |reason| DeliveryError::Unreachable {
        destination: to.name.clone(),
        reason,
        sent: false,
    };
    if received.len() > MOST_HEADERS {
        return Err(unsendable(format!("more than {MOST_HEADERS} header lines")));
    }
    let withheld = if to.forward_credentials {
        &[]
    } else {
        passage.credential_query
    };
    let target = target(&to.url.target, &head.uri, withheld).map_err(unsendable)?;

    let length = length(&received, body.len());
    let mut headers = received;
    headers.reserve(to.headers.len() + STATED);
    withhold(&mut headers, &passage, to);
    for (name, _) in &to.headers {
        headers.remove(name);
    }
    let signs = to.sign.is_some();
    for (name, value) in to.headers.iter().filter(|(name, _)| reserved(name, signs).is_none()) {
        headers.append(name, value.clone());
    }
    if let Some(secret) = &to.sign
        && (passage.verified != "none" || to.sign_unverified)
    {
        attest::sign(&mut headers, secret, passage.source, passage.key, passage.at, body);
    }
    let host = match (&to.url.target, &passage.host) {
        (TargetRule::Append { .. }, Some(received)) => received,
        _ => &to.url.authority,
    };
    headers.insert(header::HOST, host.clone());
    state(&mut headers, passage);
    // Stated for an empty body too (a POST without one would be read as "length unknown" by some servers), but not for a
    // GET that has none.
    if !body.is_empty() || !matches!(head.method, Method::GET | Method::HEAD) {
        headers.insert(header::CONTENT_LENGTH, length);
    }
    Ok(OutboundRequest {
        method: head.method.clone(),
        target,
        headers,
        body: body.clone(),
    })
}

/// Why a destination's fixed `headers` must not name this header; `None`: they may. `signs`: the destination has `sign`.
pub fn reserved(name: &HeaderName, signs: bool) -> Option<&'static str> {
    let name = folded(name);
    let is_framing = matches!(&*name, "host" | "content-length");
    if is_hop_by_hop(&name) || is_framing {
        Some("it frames the request")
    } else if is_ours(&name) || is_stated(&name) {
        Some("hookward sets it itself")
    } else if is_unbelieved(&name) {
        Some("hookward removes forwarding headers that it does not set itself")
    } else if signs && is_attested(&name) {
        Some("`sign` of this destination sets it")
    } else {
        None
    }
}

/// The value of `Hookward-Delivery`: the provider's id where it is signed and arrives as it was sent, else the text of
/// the ledger's key.
pub fn delivery(signed_id: Option<&str>, key: &DeliveryKey) -> Arc<str> {
    let is_safe = |id: &&str| {
        let is_printable = id.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        // The space around a value is not part of it.
        is_printable && !id.is_empty() && id.trim() == *id
    };
    signed_id.filter(is_safe).map_or_else(|| key.shared_text(), Into::into)
}

/// Our own namespace: `hookward` and a byte that is neither a letter nor a digit. The argument is folded (see `folded`).
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with("hookward-")
}

/// Headers of one connection (RFC 9110 section 7.6.1), and what belongs to an upgrade or to a proxy. `Expect` is among
/// them because the body is here already. The argument is folded.
pub(super) fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "http2-settings" | "expect"
    ) || name.starts_with("proxy-")
}

/// The name with every byte but letters and digits read as `-`: CGI and WSGI apps cannot tell `hookward_verified` from
/// `hookward-verified`, and PHP reads `hookward.verified` as the same name.
pub(super) fn folded(name: &HeaderName) -> Cow<'_, str> {
    let name = name.as_str();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.bytes().all(is_plain) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"))
    }
}

/// The headers that `Connection` names beside its own keywords; mostly none.
pub(super) fn named_by_connection(headers: &HeaderMap) -> Vec<&[u8]> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.eq_ignore_ascii_case(b"close") && !token.eq_ignore_ascii_case(b"keep-alive"))
        .collect()
}

/// Beside our namespace, what is set anew for every request.
fn is_stated(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "content-length"
            | "x-forwarded-for"
            | "x-forwarded-proto"
            | "x-forwarded-host"
            | "x-request-id"
            | "traceparent"
    )
}

/// Not to be believed from whoever sent it. A trusted peer's X-Forwarded-For has become part of
/// [`Passage::forwarded_for`] by now; the rest of what it passes on may be its client's invention.
fn is_unbelieved(name: &str) -> bool {
    name.starts_with("x-forwarded-")
        || matches!(
            name,
            "forwarded" | "x-real-ip" | "x-original-url" | "x-rewrite-url" | "x-http-method-override"
        )
}

/// The headers of our own Standard Webhooks signature.
fn is_attested(name: &str) -> bool {
    matches!(name, "webhook-id" | "webhook-timestamp" | "webhook-signature")
}

/// Removes what must not pass. What is left stands byte for byte as it came, repeated lines in their order.
fn withhold(headers: &mut HeaderMap, passage: &Passage<'_>, to: &DestinationSpec) {
    let named = named_by_connection(headers);
    // It qualifies the traceparent that it came with, and no other (W3C Trace Context, 3.3).
    let tracestate = headers.get(TRACEPARENT) == Some(&passage.traceparent);
    let is_withheld = |name: &&HeaderName| {
        let text = &*folded(name);
        is_hop_by_hop(text)
            || is_ours(text)
            || is_stated(text)
            || is_unbelieved(text)
            || named.iter().any(|token| token.eq_ignore_ascii_case(name.as_str().as_bytes()))
            || (!to.forward_credentials && passage.credential_headers.iter().any(|bears| *folded(bears) == *text))
            // Also where this delivery is not signed: what a sender puts there is never ours.
            || (to.sign.is_some() && is_attested(text))
            || (text == "tracestate" && !tracestate)
    };
    let withheld: Vec<HeaderName> = headers.keys().filter(is_withheld).cloned().collect();
    for name in withheld {
        headers.remove(name);
    }
}

/// States what we know. Last, so that nothing that came in can stand beside it.
fn state(headers: &mut HeaderMap, passage: Passage<'_>) {
    let text = |text: &str| HeaderValue::from_str(text).expect("names and events are printable ASCII");
    headers.insert(SOURCE, text(passage.source.as_str()));
    headers.insert(PROVIDER, text(passage.provider.as_str()));
    if let Some(event) = passage.event {
        headers.insert(EVENT, text(event.as_str()));
    }
    headers.insert(DELIVERY, passage.delivery);
    headers.insert(ATTEMPT, attempt(passage.attempt));
    headers.insert(VERIFIED, HeaderValue::from_static(passage.verified));
    for (flag, name, value) in [
        (passage.local_ledger, LEDGER, "local"),
        (passage.repeat.is_some(), REPEAT, passage.repeat.unwrap_or_default()),
        (passage.redelivery, REDELIVERY, "true"),
        (passage.duplicate, DUPLICATE, "true"),
    ] {
        if flag {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    headers.insert(FORWARDED_FOR, passage.forwarded_for);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(passage.proto));
    if let Some(host) = passage.forwarded_host {
        headers.insert(FORWARDED_HOST, host);
    }
    headers.insert(REQUEST_ID, passage.request_id);
    headers.insert(TRACEPARENT, passage.traceparent);
}

/// The length as it came in is nearly always the body's, and costs nothing to say again.
fn length(received: &HeaderMap, length: usize) -> HeaderValue {
    let same = received.get(header::CONTENT_LENGTH).filter(|received| {
        // Without leading zeros, and nothing but digits: as we would write it.
        let digits = received.as_bytes();
        let is_plain = digits.iter().all(u8::is_ascii_digit) && (digits.len() == 1 || digits.first() != Some(&b'0'));
        is_plain && received.to_str().is_ok_and(|text| text.parse() == Ok(length))
    });
    same.cloned().unwrap_or_else(|| HeaderValue::from(length))
}

/// Nearly always the first one, which costs nothing to write.
fn attempt(number: u32) -> HeaderValue {
    match number {
        1 => HeaderValue::from_static("1"),
        later => HeaderValue::from(later),
    }
}

#[cfg(test)]
mod tests;
