//! Sample events for a trial: those of a preset's file made fresh, or one made up so that the preset finds its id and event.

use super::{
    Provider,
    field::{Field, Place},
    freshness,
    plan::Plan,
    preset::{Preset, SampleRule},
    template::Piece,
};
use crate::event::Timestamp;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::HeaderName;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The event of a sample where nobody names one.
pub const EVENT: &str = "sample";

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// What makes a sample a new event and not the one of last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// When it happens.
    pub at: Timestamp,
    /// What its ids are made of.
    pub nonce: [u8; 16],
}

/// A realistic event of a preset, for `send`, `sign` and the admin page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its event type.
    pub event: String,
    /// Its body, byte for byte.
    pub body: Bytes,
    /// Its `Content-Type`.
    pub content_type: String,
    /// Further headers that the provider sends with it, unsigned ones (`X-GitHub-Event`).
    pub headers: Vec<(String, String)>,
    /// Is it one of the preset's own? Otherwise its body is made up.
    pub known: bool,
}

impl Fresh {
    /// The same for the same time: `sign --at` gives the same headers twice.
    pub fn at(at: Timestamp) -> Self {
        let hash = blake3::hash(&at.as_millis().to_le_bytes());
        let nonce = *hash.as_bytes().first_chunk().expect("a digest has 32 bytes");
        Self { at, nonce }
    }

    /// A value for a place `{{name}}` of a sample.
    fn value(&self, name: &str) -> Option<String> {
        let hex = || HEXLOWER.encode(&self.nonce);
        let millis = self.at.as_millis();
        Some(match name {
            "id" => hex()[..24].to_owned(),
            "uuid" => uuid(&hex()),
            // Twelve digits, so that any parser holds it exactly.
            "number" => {
                let number = u64::from_le_bytes(*self.nonce.first_chunk().expect("16 bytes hold 8"));
                (100_000_000_000 + number % 900_000_000_000).to_string()
            }
            "unix" => self.at.as_secs().to_string(),
            "ms" => millis.to_string(),
            "time" => freshness::write(Timestamp::from_secs(self.at.as_secs()), super::preset::Unit::Iso),
            _ => return None,
        })
    }

    /// The text with every place `{{name}}` filled; unknown ones stay.
    fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            filled.push_str(before);
            match after.split_once("}}") {
                Some((name, tail)) if self.value(name).is_some() => {
                    filled.push_str(&self.value(name).unwrap_or_default());
                    rest = tail;
                }
                _ => {
                    filled.push_str("{{");
                    rest = after;
                }
            }
        }
        filled.push_str(rest);
        filled
    }
}

fn uuid(hex: &str) -> String {
    let parts = [&hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32]];
    format!("{}-{}-4{}-8{}-{}", parts[0], parts[1], parts[2], parts[3], parts[4])
}

impl Provider {
    /// The header in which this provider sends the event type; `None`: it does not stand in a header.
    pub fn event_header(&self) -> Option<&HeaderName> {
        self.plan.event.first().and_then(Field::header)
    }

    /// Event types of the preset's own samples, in the order of its file.
    pub fn sample_events(&self) -> impl Iterator<Item = &str> {
        self.preset.samples.iter().map(|sample| sample.event.as_str())
    }

    /// A sample of this event, or the preset's first one; made up where the preset has none.
    pub fn sample(&self, event: Option<&str>, fresh: Fresh) -> Sample {
        sample(&self.plan, &self.preset, event, fresh)
    }
}

/// The preset's own sample of this event (the first of all if none is named); one that is made up where it has none.
pub fn sample(plan: &Plan, preset: &Preset, event: Option<&str>, fresh: Fresh) -> Sample {
    let named = |rule: &&SampleRule| match event {
        None => true,
        // The type alone names a sample of any of its actions.
        Some(event) => {
            rule.event == event
                || plan.action.is_some() && rule.event.split_once('.').is_some_and(|(kind, _)| kind == event)
        }
    };
    match preset.samples.iter().find(named) {
        Some(rule) => own(rule, fresh),
        None => made_up(
            plan,
            preset.each.as_deref().unwrap_or(""),
            event.unwrap_or(EVENT),
            fresh,
        ),
    }
}

fn own(rule: &SampleRule, fresh: Fresh) -> Sample {
    Sample {
        event: rule.event.clone(),
        body: Bytes::from(fresh.fill(&rule.body)),
        content_type: rule.content_type.clone().unwrap_or_else(|| JSON.to_owned()),
        headers: rule
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), fresh.fill(value)))
            .collect(),
        known: true,
    }
}

/// Values by the pointers and form fields that a preset reads.
#[derive(Default)]
struct Wanted {
    json: Vec<(String, Value)>,
    form: Vec<(String, String)>,
}

impl Wanted {
    /// The first value of a place has it; `prefix` leads to the element that a relative pointer is of.
    fn add(&mut self, prefix: &str, field: &Field, value: Value) {
        match &field.place {
            Place::Json(_) => self.json.push((format!("{prefix}{}", field.name), value)),
            Place::Form(name) if self.form.iter().all(|(known, _)| known != name) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                self.form.push((name.clone(), text));
            }
            _ => {}
        }
    }
}

/// A body in which the preset finds this event, an id and what it signs. Headers are `sign`'s. `each` points at the
/// elements that are signed one by one.
fn made_up(plan: &Plan, each: &str, event: &str, fresh: Fresh) -> Sample {
    let hex = HEXLOWER.encode(&fresh.nonce);
    let (kind, action) = match (&plan.action, event.split_once('.')) {
        (Some(action), Some((kind, rest))) => (kind, Some((action, rest))),
        _ => (event, None),
    };
    let mut fields = Wanted::default();
    if let Some(id) = plan.id.first() {
        fields.add("", &id.field, format!("sample_{}", &hex[..24]).into());
    }
    if let Some(field) = plan.event.first() {
        fields.add("", field, kind.into());
    }
    if let Some((field, action)) = action {
        fields.add("", field, action.into());
    }
    if let Some(time) = &plan.time {
        let text = freshness::write(fresh.at, time.unit);
        fields.add(each, &time.field, text.parse::<i64>().map_or(text.into(), Value::from));
    }
    for piece in plan.templates.iter().flat_map(|template| &template.pieces) {
        if let Piece::Field(field) = piece {
            fields.add(each, field, hex[..16].into());
        }
    }
    let is_form = plan.signs_form || !fields.form.is_empty();
    let (body, content_type) = if is_form {
        (form(&fields.form, &hex), FORM)
    } else {
        (document(&fields.json, each, &hex, fresh), JSON)
    };
    Sample {
        event: event.to_owned(),
        body: Bytes::from(body),
        content_type: content_type.to_owned(),
        headers: Vec::new(),
        known: false,
    }
}

fn document(fields: &[(String, Value)], each: &str, hex: &str, fresh: Fresh) -> String {
    let mut root = Value::Null;
    for (pointer, value) in fields {
        place(&mut root, pointer, value);
    }
    // Elements are signed even where nothing in them is read.
    place(&mut root, each, &Value::Object(Map::new()));
    // Where the preset reads a list, its first element is the event.
    let mut event = &mut root;
    if event.is_array() {
        event = &mut event[0];
    }
    if event.is_null() {
        *event = Value::Object(Map::new());
    }
    if let Value::Object(event) = event {
        let about = json!({
            "note": "a sample event, made up by hookward",
            "nonce": hex,
            "created": fresh.value("time"),
        });
        event.entry("sample").or_insert(about);
    }
    root.to_string()
}

/// Sets the value that a pointer names, and whatever is missing on the way; an element of a list is its first.
pub fn place(root: &mut Value, pointer: &str, value: &Value) {
    let mut at = root;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if token == "*" || token == "0" {
            if at.is_null() {
                *at = json!([null]);
            }
        } else if at.is_null() {
            *at = json!({});
        }
        at = match at {
            Value::Array(list) => &mut list[0],
            Value::Object(map) => map.entry(token).or_insert(Value::Null),
            // Two pointers that no document satisfies: the first one has it.
            _ => return,
        };
    }
    if at.is_null() {
        *at = value.clone();
    }
}

fn form(fields: &[(String, String)], hex: &str) -> String {
    let own = ("Sample", hex);
    let pairs = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let pairs: Vec<String> = std::iter::once(own)
        .chain(pairs)
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    pairs.join("&")
}

/// `application/x-www-form-urlencoded` (WHATWG URL, 5.2).
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => write!(out, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_everything_else_stays() {
        let fresh = Fresh {
            at: Timestamp::from_secs(1_760_000_000),
            nonce: [7; 16],
        };
        let filled = fresh.fill(concat!(
            r#"{"id":"evt_{{id}}","n":{{number}},"at":{{unix}},"ms":{{ms}},"t":"{{time}}","u":"{{uuid}}","#,
            r#""x":{"{{odd}}":{}}}"#
        ));
        let document: Value = serde_json::from_str(&filled).expect("JSON");
        assert_eq!(document["id"], "evt_070707070707070707070707");
        assert_eq!(
            (&document["at"], &document["ms"]),
            (&1_760_000_000.into(), &1_760_000_000_000_i64.into())
        );
        assert_eq!(document["t"], "2025-10-09T08:53:20.000Z");
        assert_eq!(document["u"], "07070707-0707-4707-8707-070707070707");
        assert!(document["n"].as_u64().is_some_and(|n| n.to_string().len() == 12));
        assert_eq!(document["x"], json!({"{{odd}}": {}}));
        assert_eq!(fresh.fill("a {{ b {{id"), "a {{ b {{id");
    }

    #[test]
    fn pointers_make_the_document_that_they_read() {
        let mut root = Value::Null;
        for (pointer, value) in [("/a/*/b", 1), ("/a/0/c", 2), ("/d~1e", 3), ("/a/x", 4)] {
            place(&mut root, pointer, &value.into());
        }
        assert_eq!(root, json!({"a": [{"b": 1, "c": 2}], "d/e": 3}));
    }

    #[test]
    fn a_form_is_encoded() {
        assert_eq!(encoded("a b&c=ü/*"), "a+b%26c%3D%C3%BC%2F*");
    }
}
