//! Handshakes: when a verified request is one, and what the provider wants to hear.
//!
//! A handshake must never become a signing oracle: what is put through a MAC is a short token of `[A-Za-z0-9_-]`, which is the
//! signed text of no event. What is echoed is short plain text with `nosniff`, so that nothing can be reflected into a browser.

use super::{
    evidence::{Answer, Cause},
    field::{Field, Found, Scene},
    mac::Mac,
    pick::Picks,
    preset::{ChallengeRule, Want},
};
use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;
use std::fmt::Write;

/// The longest answer.
const MAX_ANSWER: usize = 1024;
/// The longest text that is put through a MAC.
const MAX_TOKEN: usize = 128;

/// A compiled handshake.
pub struct Challenge {
    when: Vec<(Field, Want)>,
    status: StatusCode,
    content_type: Option<HeaderValue>,
    body: Reply,
}

enum Reply {
    Empty,
    Text(Vec<Part>),
    Json(Node),
}

/// A JSON value whose texts are templates.
enum Node {
    Plain(Value),
    Text(Vec<Part>),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

enum Part {
    Literal(String),
    Echo(Field),
    Hex(Field),
    Base64(Field),
}

impl Challenge {
    pub fn compile(rule: &ChallengeRule, mut field: impl FnMut(&str) -> Result<Field, String>) -> Result<Self, String> {
        if rule.when.is_empty() {
            return Err("`when` must name at least one field".to_owned());
        }
        let mut when = Vec::new();
        for (name, want) in &rule.when {
            when.push((field(name)?, want.clone()));
        }
        let reply = &rule.reply;
        let (body, kind) = match (&reply.body, &reply.json) {
            (Some(_), Some(_)) => return Err("say `body` or `json`, not both".to_owned()),
            (Some(text), None) => (Reply::Text(parts(text, &mut field)?), Some("text/plain")),
            (None, Some(json)) => (Reply::Json(node(json, &mut field)?), Some("application/json")),
            (None, None) => (Reply::Empty, None),
        };
        let status = StatusCode::from_u16(reply.status.unwrap_or(200))
            .ok()
            .filter(StatusCode::is_success)
            .ok_or("a handshake is answered with a status from 200 to 299")?;
        let content_type = match reply.content_type.as_deref().or(kind) {
            Some(text) => Some(HeaderValue::from_str(text).map_err(|_| "`content_type` is not a header value")?),
            None => None,
        };
        Ok(Self {
            when,
            status,
            content_type,
            body,
        })
    }

    /// Is this request the handshake?
    pub fn is_asked(&self, scene: &Scene<'_>, picks: Option<&Picks<'_>>) -> bool {
        self.when.iter().all(|(field, want)| match want {
            Want::Absent => !exists(field, scene, picks),
            Want::Text(text) => is_text(field, text, scene, picks),
        })
    }

    /// The answer; `key` is the state of the secret that verified the request.
    pub fn answer(&self, scene: &Scene<'_>, key: Option<&Mac>) -> Result<Answer, Cause> {
        let body = match &self.body {
            Reply::Empty => String::new(),
            Reply::Text(parts) => text(parts, scene, key)?,
            Reply::Json(node) => json(node, scene, key)?.to_string(),
        };
        if body.len() > MAX_ANSWER {
            return Err(Cause::ChallengeMalformed(self.when[0].0.name.clone()));
        }
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        if let Some(kind) = &self.content_type {
            headers.push((header::CONTENT_TYPE, kind.clone()));
        }
        headers.push((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
        Ok(Answer {
            status: self.status,
            headers,
            body: Bytes::from(body),
        })
    }
}

/// A field of any kind of value counts, not only a text.
fn exists(field: &Field, scene: &Scene<'_>, picks: Option<&Picks<'_>>) -> bool {
    match field.place {
        super::field::Place::Json(slot) => picks.is_some_and(|picks| picks.slot(slot).value().is_some()),
        _ => scene.read(field) != Found::Missing,
    }
}

fn is_text(field: &Field, text: &str, scene: &Scene<'_>, picks: Option<&Picks<'_>>) -> bool {
    match field.place {
        super::field::Place::Json(slot) => picks
            .and_then(|picks| picks.slot(slot).value())
            .and_then(|value| value.text_or_truth())
            .is_some_and(|value| value == text),
        _ => matches!(scene.read(field), Found::Text(value) if *value == *text.as_bytes()),
    }
}

fn parts(text: &str, field: &mut impl FnMut(&str) -> Result<Field, String>) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, next) = after
            .split_once('}')
            .ok_or_else(|| format!("`{text}` has a brace without its other half"))?;
        parts.push(Part::Literal(before.to_owned()));
        let mut place = |name: &str| {
            let (kind, at) = name
                .split_once('.')
                .ok_or_else(|| format!("`{{{name}}}` is not a place"))?;
            field(&format!("{kind}:{at}"))
        };
        let called = |function: &str| name.strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')');
        parts.push(if let Some(inner) = called("hmac") {
            Part::Hex(place(inner)?)
        } else if let Some(inner) = called("hmac_b64") {
            Part::Base64(place(inner)?)
        } else {
            Part::Echo(place(name)?)
        });
        rest = next;
    }
    parts.push(Part::Literal(rest.to_owned()));
    Ok(parts)
}

fn node(value: &Value, field: &mut impl FnMut(&str) -> Result<Field, String>) -> Result<Node, String> {
    Ok(match value {
        Value::String(text) => Node::Text(parts(text, field)?),
        Value::Array(list) => Node::List(list.iter().map(|one| node(one, field)).collect::<Result<_, _>>()?),
        Value::Object(map) => {
            let pairs = map.iter().map(|(name, one)| Ok((name.clone(), node(one, field)?)));
            Node::Map(pairs.collect::<Result<_, String>>()?)
        }
        plain => Node::Plain(plain.clone()),
    })
}

fn json(node: &Node, scene: &Scene<'_>, key: Option<&Mac>) -> Result<Value, Cause> {
    Ok(match node {
        Node::Plain(value) => value.clone(),
        Node::Text(parts) => Value::String(text(parts, scene, key)?),
        Node::List(list) => Value::Array(list.iter().map(|one| json(one, scene, key)).collect::<Result<_, _>>()?),
        Node::Map(map) => {
            let pairs = map.iter().map(|(name, one)| Ok((name.clone(), json(one, scene, key)?)));
            Value::Object(pairs.collect::<Result<_, Cause>>()?)
        }
    })
}

fn text(parts: &[Part], scene: &Scene<'_>, key: Option<&Mac>) -> Result<String, Cause> {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Literal(text) => out.push_str(text),
            Part::Echo(field) => out.push_str(&plain(field, scene)?),
            Part::Hex(field) => {
                write!(out, "{}", HEXLOWER.encode(&maced(field, scene, key)?))
                    .expect("writing to a String cannot fail");
            }
            Part::Base64(field) => {
                write!(out, "{}", BASE64.encode(&maced(field, scene, key)?)).expect("writing to a String cannot fail");
            }
        }
    }
    Ok(out)
}

/// A value that may be echoed: printable ASCII.
fn plain(field: &Field, scene: &Scene<'_>) -> Result<String, Cause> {
    let malformed = || Cause::ChallengeMalformed(field.name.clone());
    let Found::Text(text) = scene.read(field) else {
        return Err(malformed());
    };
    let fits = text.len() <= MAX_ANSWER && text.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if !fits {
        return Err(malformed());
    }
    String::from_utf8(text.into_owned()).map_err(|_| malformed())
}

/// The MAC of a value that may be signed: a short token, which is no event's signed text.
fn maced(field: &Field, scene: &Scene<'_>, key: Option<&Mac>) -> Result<Vec<u8>, Cause> {
    let malformed = || Cause::ChallengeMalformed(field.name.clone());
    let token = plain(field, scene)?;
    let fits = (1..=MAX_TOKEN).contains(&token.len())
        && token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let mut mac = key.filter(|_| fits).ok_or_else(malformed)?.clone();
    mac.update(token.as_bytes());
    Ok(mac.finish().bytes().to_vec())
}
