//! A signed request as the provider would write it.

use super::target;
use crate::{
    config::settings::SourceSettings,
    event::{Envelope, EventName, Frames, Timestamp},
    provider::{Finding, Keys, Listing, Provider, Refusal, Sample, Unsigned},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use std::borrow::Cow;

pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The body, byte for byte.
    pub body: Bytes,
    /// Its `Content-Type`.
    pub kind: String,
    /// Its event type, for providers that put it into a header.
    pub event: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Is it a sample, whose body may be given a credential?
    pub sample: bool,
    /// Is it one of the preset's file?
    pub known: bool,
}

/// A signed request.
#[derive(Clone)]
pub struct Letter {
    method: Method,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) content: Content,
    pub(super) is_inside: bool,
    at: Timestamp,
}

impl Content {
    /// A body of somebody's own; its type is guessed from what it looks like.
    pub fn of(body: Bytes) -> Self {
        let kind = if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok() {
            "application/json"
        } else if is_form(&body) {
            FORM
        } else if std::str::from_utf8(&body).is_ok() {
            "text/plain"
        } else {
            "application/octet-stream"
        };
        Self {
            body,
            kind: kind.to_owned(),
            event: None,
            headers: Vec::new(),
            sample: false,
            known: false,
        }
    }

    /// A sample.
    pub fn of_sample(sample: Sample) -> Self {
        Self {
            body: sample.body,
            kind: sample.content_type,
            event: Some(sample.event),
            headers: sample.headers,
            sample: true,
            known: sample.known,
        }
    }
}

impl Letter {
    /// Signs with the newest secret. The error says why that cannot be done.
    pub fn write(
        source: &SourceSettings,
        provider: &Provider,
        keys: &Keys,
        mut content: Content,
        at: Timestamp,
    ) -> Result<Self, String> {
        let method = provider.facts().methods.first().cloned().unwrap_or(Method::POST);
        let target = provider.with_credential(&target(source), keys);
        let inside = if content.sample {
            let signed = provider.sign_inside(&content.body, keys);
            signed.map_err(|error| error.to_string())?
        } else {
            None
        };
        let is_inside = inside.is_some();
        content.body = inside.unwrap_or(content.body);
        let unsigned = Unsigned {
            method: &method,
            target: &target,
            content_type: Some(&content.kind),
            body: &content.body,
            id: None,
            event: content.event.as_deref(),
            at,
        };
        let signed = if is_inside {
            provider.described(&unsigned)
        } else {
            provider.sign(&unsigned, keys)
        };
        let signed = signed.map_err(|error| error.to_string())?;
        let listing = source.preset.listing();
        let mut headers = Vec::new();
        for (name, value) in &signed {
            let value = text(value).ok_or_else(|| format!("`{name}` would hold bytes that are no text"))?;
            headers.push((as_written(&listing, name), value));
        }
        for (name, value) in &content.headers {
            if signed
                .iter()
                .all(|(known, _)| !known.as_str().eq_ignore_ascii_case(name))
            {
                headers.push((name.clone(), value.clone()));
            }
        }
        if signed.iter().all(|(name, _)| name != header::CONTENT_TYPE) {
            headers.push(("Content-Type".to_owned(), content.kind.clone()));
        }
        Ok(Self {
            method,
            target,
            headers,
            content,
            is_inside,
            at,
        })
    }

    /// What the sidecar will make of it: the names of its event, `None` for a handshake. The error says why it would be
    /// refused: a provider would not send this body, or not to this path.
    pub fn judged(&self, provider: &Provider, keys: &Keys) -> Result<Option<Vec<EventName>>, Cow<'static, str>> {
        let mut request = Request::builder().method(&self.method).uri(&self.target);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let (head, ()) = request
            .body(())
            .map_err(|_| Cow::Borrowed("it is no HTTP request"))?
            .into_parts();
        let body = Frames::from(self.content.body.clone());
        let envelope = Envelope {
            head: &head,
            body: &body,
        };
        let refused = |refusal: Refusal| crate::source::Ending::refused(&refusal).reason;
        Ok(match provider.verify(envelope, keys, self.at).map_err(refused)? {
            Finding::Authentic(evidence) => Some(evidence.events),
            Finding::Challenge(_) | Finding::Confirmation(_) => None,
        })
    }

    /// Do its headers alone prove it? Otherwise the credential travels in the query or in the body.
    pub fn is_proven_by_headers(&self) -> bool {
        !self.is_inside && !self.target.contains('?')
    }

    /// The method it is sent with.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Its headers, named as the provider's documentation names them.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Its body.
    pub fn body(&self) -> &Bytes {
        &self.content.body
    }

    /// Its event, where it is known.
    pub fn event(&self) -> Option<&str> {
        self.content.event.as_deref()
    }

    /// Is it a sample of the preset's own file?
    pub fn is_known_sample(&self) -> bool {
        self.content.known
    }

    /// The time it is signed at.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

/// `a=1&b=%20`: nothing but what form encoding leaves (WHATWG URL, 5.2).
fn is_form(body: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"*-._+%=&".contains(byte);
    body.contains(&b'=') && body.iter().all(plain)
}

/// The header's name with the capitals that the provider's own documentation, and so the preset, gives it.
fn as_written(listing: &Listing, name: &HeaderName) -> String {
    let places = [&listing.signature, &listing.id, &listing.event]
        .into_iter()
        .flatten()
        .chain(&listing.timestamp);
    let mut written = places.filter_map(|place| place.strip_prefix("header:"));
    let in_templates = || {
        listing.signs.iter().find_map(|template| {
            let mut names = template
                .split("{header.")
                .skip(1)
                .filter_map(|rest| rest.split('}').next());
            names.find(|written| name.as_str().eq_ignore_ascii_case(written))
        })
    };
    written
        .find(|written| name.as_str().eq_ignore_ascii_case(written))
        .or_else(in_templates)
        .unwrap_or(name.as_str())
        .to_owned()
}

fn text(value: &HeaderValue) -> Option<String> {
    std::str::from_utf8(value.as_bytes()).ok().map(str::to_owned)
}
