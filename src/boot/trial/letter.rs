//! A signed request as the provider would write it, and the ways in which it can be made wrong.

use super::{Bad, MARGIN, target};
use crate::{
    config::settings::SourceSettings,
    event::{Envelope, EventName, Frames, Timestamp},
    provider::{Finding, Keys, Listing, Provider, Refusal, Sample, Unsigned, preset::Covers},
    replay::Duplicates,
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use std::{borrow::Cow, time::Duration};

const FORM: &str = "application/x-www-form-urlencoded";

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
    target: String,
    headers: Vec<(String, String)>,
    content: Content,
    is_inside: bool,
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
            Finding::Challenge(_) => None,
        })
    }

    /// The same with another character in the signature or credential.
    pub(super) fn missigned(mut self, source: &SourceSettings) -> Self {
        let places = source.preset.listing().signature;
        let named = |name: &str| {
            let mut headers = places.iter().filter_map(|place| place.strip_prefix("header:"));
            headers.any(|header| header.eq_ignore_ascii_case(name))
        };
        let moved = source.options.settings.get("header");
        let mut changed = false;
        for (name, value) in &mut self.headers {
            if named(name) || moved.is_some_and(|moved| moved.eq_ignore_ascii_case(name)) {
                *value = miswritten(value);
                changed = true;
            }
        }
        if self.is_inside {
            // Any other text will do, of the same form.
            let body = String::from_utf8_lossy(&self.content.body).into_owned();
            let key = places.first().and_then(|place| place.rsplit('/').next()).unwrap_or("");
            let (open, close) = (format!("\"{key}\":\""), '"');
            if let Some(start) = body.rfind(&open).map(|at| at + open.len())
                && let Some(length) = body[start..].find(close)
            {
                let value = miswritten(&body[start..start + length]);
                self.content.body = format!("{}{value}{}", &body[..start], &body[start + length..]).into();
            }
        } else if !changed && let Some((path, query)) = self.target.split_once('?') {
            self.target = format!("{path}?{}", miswritten(query));
        }
        self
    }

    /// The same with a body that was changed on its way.
    pub(super) fn tampered(mut self) -> Self {
        let more: &[u8] = if self.content.kind == FORM { b"&changed=1" } else { b" " };
        self.content.body = [&self.content.body[..], more].concat().into();
        self
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

/// The time to sign at, if the source can tell this wrong from right at all.
pub(super) fn possible(
    bad: Bad,
    source: &SourceSettings,
    provider: &Provider,
    now: Timestamp,
) -> Result<Timestamp, String> {
    let facts = provider.facts();
    match bad {
        Bad::Signature if !facts.takes_secrets => {
            Err("this source verifies nothing, so nothing can be wrong".to_owned())
        }
        Bad::Body if facts.covers != Covers::Body => {
            Err("this source's credential does not cover the body, so a changed one is not told".to_owned())
        }
        Bad::Timestamp => match facts.tolerance {
            None if facts.signs_time => Err("`tolerance` is off: an old timestamp is not refused".to_owned()),
            None => Err("this provider signs no time, so an old request is not told".to_owned()),
            Some(window) => Ok(earlier(now, window.past + MARGIN)),
        },
        Bad::Replay => match source.replay {
            None => Err("this source has no replay ledger, so a repetition is not told".to_owned()),
            Some(policy) if policy.duplicates == Duplicates::Forward => {
                Err("`duplicates: forward`: repetitions are let through, and marked".to_owned())
            }
            Some(_) => Ok(now),
        },
        Bad::Signature | Bad::Body => Ok(now),
    }
}

fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(by))
}

/// Another value of the same form. The change stays away from the end, where base64 has bits that must be zero.
fn miswritten(value: &str) -> String {
    let at = value
        .char_indices()
        .rev()
        .skip(4)
        .find(|(_, c)| c.is_ascii_alphanumeric())
        .or_else(|| value.char_indices().next_back());
    let Some((at, old)) = at else {
        return "x".to_owned();
    };
    let new = match old {
        '0'..='8' | 'a'..='e' | 'g'..='y' | 'A'..='Y' => char::from(u8::try_from(old).unwrap_or(b'0') + 1),
        '9' => '0',
        'f' => 'a',
        'z' => 'g',
        'Z' => 'A',
        _ => 'x',
    };
    let mut changed = value.to_owned();
    changed.replace_range(at..at + old.len_utf8(), new.encode_utf8(&mut [0; 4]));
    changed
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_miswritten_keeps_its_form() {
        for (right, wrong) in [
            ("sha256=00ff09af", "sha256=00fa09af"),
            ("t=1,v1=abcdef092345", "t=1,v1=abcdef002345"),
            ("v1,9o8p7azQWERTY=", "v1,9o8p7azQWFRTY="),
            ("Bearer abcdefZhijk", "Bearer abcdefAhijk"),
            ("Bearer abcdefzhijk", "Bearer abcdefghijk"),
            ("abc", "abd"),
            ("", "x"),
        ] {
            assert_eq!(miswritten(right), wrong);
        }
    }
}
