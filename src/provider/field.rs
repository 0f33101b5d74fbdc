//! Where a value stands in a request: a header, a JSON pointer, a form field, a query parameter, a claim.

use super::{
    form,
    pick::{Picks, Pointers},
    second::Second,
    signature::Signature,
    url::PublicUrl,
};
use crate::event::Frames;
use http::{HeaderName, request::Parts};
use std::{borrow::Cow, sync::Arc};

/// A compiled field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Where it stands.
    pub place: Place,
    /// What it is called in messages (`X-Hub-Signature-256`, `/signature/token`); never its value.
    pub name: Arc<str>,
    /// A template reads it as empty where it is absent (`{json./x?}`).
    pub optional: bool,
    /// The second name of a header that has two.
    pub second: Option<Second>,
}

/// Where a field stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header.
    Header(HeaderName),
    /// A slot of the pointers that the scene carries.
    Json(usize),
    /// A field of a form body.
    Form(String),
    /// A parameter of the query.
    Query(String),
    /// A slot of the claims' pointers.
    Claim(usize),
    /// A part of the signature's own field that begins with this.
    Part(String),
}

/// What reading a field gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// Not there, or not a text.
    Missing,
    /// There twice.
    Doubled,
    /// There.
    Text(Cow<'a, [u8]>),
}

/// What there is to read from: all of a request, or what is known of it so far.
#[derive(Clone)]
pub struct Scene<'a> {
    /// Method, raw target, headers.
    pub head: &'a Parts,
    /// The body, once it is whole.
    pub body: Option<&'a Frames>,
    /// The body in one piece, where a form is read.
    pub form: Option<&'a [u8]>,
    /// The form sorted and joined, where a template signs it so.
    pub form_sorted: Option<&'a [u8]>,
    /// The values of the JSON pointers.
    pub json: Option<&'a Picks<'a>>,
    /// The values of the claims' pointers.
    pub claims: Option<&'a Picks<'a>>,
    /// The signed time's text, as received.
    pub time: Option<Cow<'a, [u8]>>,
    /// The secret, for plain digests.
    pub secret: Option<&'a [u8]>,
    /// `public_url`.
    pub base: Option<&'a PublicUrl>,
    /// Where signatures stand, for `signature:PREFIX`.
    pub signature: Option<&'a Signature>,
}

impl Field {
    /// Reads `header:X`, `json:/ptr`, `form:x`, `query:x`, `claim:x` or `signature:x`.
    pub fn parse(text: &str, json: &mut Pointers, claims: &mut Pointers) -> Result<Self, String> {
        let Some((kind, name)) = text.split_once(':') else {
            return Err(format!(
                "`{text}` does not say where to read: write `header:NAME` or `json:/pointer`"
            ));
        };
        let place = match kind {
            "header" => Place::Header(
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header name"))?,
            ),
            "json" => Place::Json(json.add(name)?),
            "form" if !name.is_empty() => Place::Form(name.to_owned()),
            "query" if !name.is_empty() => Place::Query(name.to_owned()),
            "claim" if !name.is_empty() => {
                Place::Claim(claims.add(&format!("/{}", name.replace('~', "~0").replace('/', "~1")))?)
            }
            "signature" if name.starts_with(|c: char| c.is_ascii_whitespace()) => {
                return Err("no part of a signature begins with a space: spaces around them do not count".to_owned());
            }
            "signature" => Place::Part(name.to_owned()),
            _ => {
                return Err(format!(
                    "`{text}` names no place: use `header:`, `json:/`, `form:`, `query:` or `claim:`"
                ));
            }
        };
        Ok(Self {
            place,
            name: name.into(),
            optional: false,
            second: None,
        })
    }

    /// What begins the part of the signature's field that it is, if it is one.
    pub fn part(&self) -> Option<&str> {
        match &self.place {
            Place::Part(prefix) => Some(prefix),
            _ => None,
        }
    }

    /// Is it known before the body?
    pub fn in_head(&self) -> bool {
        matches!(self.place, Place::Header(_) | Place::Query(_) | Place::Part(_))
    }

    /// The header, if it is one.
    pub fn header(&self) -> Option<&HeaderName> {
        match &self.place {
            Place::Header(name) => Some(name),
            _ => None,
        }
    }

    /// Is it one element of a list, so that it names a part of a batch only?
    pub fn is_of_a_batch(&self) -> bool {
        matches!(self.place, Place::Json(_))
            && self
                .name
                .split('/')
                .any(|token| token == "*" || (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit())))
    }
}

impl<'a> Scene<'a> {
    /// What the head alone tells.
    pub fn of_head(head: &'a Parts, base: Option<&'a PublicUrl>, signature: Option<&'a Signature>) -> Self {
        Self {
            head,
            body: None,
            form: None,
            form_sorted: None,
            json: None,
            claims: None,
            time: None,
            secret: None,
            base,
            signature,
        }
    }

    /// Reads a field that must be there at most once.
    pub fn read(&self, field: &Field) -> Found<'a> {
        match &field.place {
            Place::Header(name) => {
                let second = field.second.as_ref().filter(|second| second.holds(self.head));
                let name = second.map_or(name, Second::name);
                let mut values = self.head.headers.get_all(name).iter();
                match (values.next(), values.next()) {
                    (None, _) => Found::Missing,
                    (Some(value), None) => Found::Text(Cow::Borrowed(value.as_bytes())),
                    (Some(_), Some(_)) => Found::Doubled,
                }
            }
            Place::Json(slot) => picked(self.json, *slot),
            Place::Claim(slot) => picked(self.claims, *slot),
            Place::Form(name) => only(form::values(self.form.unwrap_or_default(), name)),
            Place::Query(name) => only(form::values(self.head.uri.query().unwrap_or_default().as_bytes(), name)),
            Place::Part(prefix) => self.signature.map_or(Found::Missing, |one| one.part(self, prefix)),
        }
    }

    /// Is nothing there, not even a value of another kind than a text?
    pub fn lacks(&self, field: &Field) -> bool {
        match &field.place {
            Place::Json(slot) => self.json.is_some_and(|picks| {
                let slot = picks.slot(*slot);
                !slot.doubled && slot.value().is_none_or(|value| value.raw == b"null")
            }),
            _ => self.read(field) == Found::Missing,
        }
    }

    /// The raw path and query.
    pub fn target(&self) -> &'a str {
        self.head
            .uri
            .path_and_query()
            .map_or_else(|| self.head.uri.path(), http::uri::PathAndQuery::as_str)
    }
}

fn picked<'a>(picks: Option<&Picks<'a>>, slot: usize) -> Found<'a> {
    let Some(slot) = picks.map(|picks| picks.slot(slot)) else {
        return Found::Missing;
    };
    if slot.doubled {
        return Found::Doubled;
    }
    match slot.value().and_then(|value| value.text()) {
        Some(Cow::Borrowed(text)) => Found::Text(Cow::Borrowed(text.as_bytes())),
        Some(Cow::Owned(text)) => Found::Text(Cow::Owned(text.into_bytes())),
        None => Found::Missing,
    }
}

fn only<'a>(mut values: impl Iterator<Item = Cow<'a, [u8]>>) -> Found<'a> {
    match (values.next(), values.next()) {
        (None, _) => Found::Missing,
        (Some(value), None) => Found::Text(value),
        (Some(_), Some(_)) => Found::Doubled,
    }
}
