//! What a handshake is answered with: texts, JSON and headers whose places are filled from the request.

use crate::provider::{
    evidence::Cause,
    field::{Field, Found, Scene},
    mac::Mac,
    preset::Grammar,
};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::Value;
use std::fmt::Write;

/// The longest answer, and the longest value in it.
pub(super) const MAX_ANSWER: usize = 1024;
/// The longest text that is put through a MAC.
pub const MAX_TOKEN: usize = 128;

/// A template of an answer.
pub(super) struct Text(Vec<Part>);

/// A JSON value whose texts are templates.
pub(super) enum Node {
    Plain(Value),
    Text(Text),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

enum Part {
    Literal(String),
    Echo(Field),
    Hex(Field),
    Base64(Field),
}

/// What fills the places of an answer.
pub(super) struct Filling<'a, 'b> {
    pub scene: &'a Scene<'b>,
    /// The state of the secret that answers.
    pub key: Option<&'a Mac>,
    /// What may be put through the MAC.
    pub grammar: Grammar,
    /// Anybody may have asked, so nothing that a browser could take for markup is echoed.
    pub open: bool,
}

impl Text {
    /// Reads a template: `{json./x}`, `{query.x}`, `{header.x}`, `{config.x}`, `{hmac(json./x)}`, `{hmac_b64(json./x)}`.
    pub fn parse(
        text: &str,
        field: &mut dyn FnMut(&str) -> Result<Field, String>,
        setting: &mut dyn FnMut(&str) -> String,
    ) -> Result<Self, String> {
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
            parts.push(if let Some(name) = name.strip_prefix("config.") {
                Part::Literal(setting(name))
            } else if let Some(inner) = called("hmac") {
                Part::Hex(place(inner)?)
            } else if let Some(inner) = called("hmac_b64") {
                Part::Base64(place(inner)?)
            } else {
                Part::Echo(place(name)?)
            });
            rest = next;
        }
        parts.push(Part::Literal(rest.to_owned()));
        Ok(Self(parts))
    }

    /// Hands every field that is read to `take`, and whether it is put through the MAC.
    pub fn fields<'a>(&'a self, take: &mut dyn FnMut(&'a Field, bool)) {
        for part in &self.0 {
            match part {
                Part::Literal(_) => {}
                Part::Echo(field) => take(field, false),
                Part::Hex(field) | Part::Base64(field) => take(field, true),
            }
        }
    }

    pub fn fill(&self, with: &Filling<'_, '_>) -> Result<String, Cause> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Echo(field) => out.push_str(&with.plain(field)?),
                Part::Hex(field) => {
                    write!(out, "{}", HEXLOWER.encode(&with.maced(field)?)).expect("writing to a String cannot fail");
                }
                Part::Base64(field) => {
                    write!(out, "{}", BASE64.encode(&with.maced(field)?)).expect("writing to a String cannot fail");
                }
            }
        }
        Ok(out)
    }
}

impl Node {
    pub fn parse(
        value: &Value,
        field: &mut dyn FnMut(&str) -> Result<Field, String>,
        setting: &mut dyn FnMut(&str) -> String,
    ) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => Self::Text(Text::parse(text, field, setting)?),
            Value::Array(list) => {
                let nodes = list.iter().map(|one| Self::parse(one, field, setting));
                Self::List(nodes.collect::<Result<_, _>>()?)
            }
            Value::Object(map) => {
                let pairs = map
                    .iter()
                    .map(|(name, one)| Ok((name.clone(), Self::parse(one, field, setting)?)));
                Self::Map(pairs.collect::<Result<_, String>>()?)
            }
            plain => Self::Plain(plain.clone()),
        })
    }

    /// As [`Text::fields`].
    pub fn fields<'a>(&'a self, take: &mut dyn FnMut(&'a Field, bool)) {
        match self {
            Self::Plain(_) => {}
            Self::Text(text) => text.fields(take),
            Self::List(list) => list.iter().for_each(|node| node.fields(take)),
            Self::Map(map) => map.iter().for_each(|(_, node)| node.fields(take)),
        }
    }

    pub fn fill(&self, with: &Filling<'_, '_>) -> Result<Value, Cause> {
        Ok(match self {
            Self::Plain(value) => value.clone(),
            Self::Text(text) => Value::String(text.fill(with)?),
            Self::List(list) => Value::Array(list.iter().map(|one| one.fill(with)).collect::<Result<_, _>>()?),
            Self::Map(map) => {
                let pairs = map.iter().map(|(name, one)| Ok((name.clone(), one.fill(with)?)));
                Value::Object(pairs.collect::<Result<_, Cause>>()?)
            }
        })
    }
}

impl Filling<'_, '_> {
    /// A value that may be echoed: short printable ASCII.
    fn plain(&self, field: &Field) -> Result<String, Cause> {
        let malformed = || Cause::ChallengeMalformed(field.name.clone());
        let Found::Text(text) = self.scene.read(field) else {
            return Err(malformed());
        };
        let harmless = |byte: &u8| matches!(byte, b' '..=b'~') && !(self.open && matches!(byte, b'<' | b'>'));
        if text.len() > MAX_ANSWER || !text.iter().all(harmless) {
            return Err(malformed());
        }
        String::from_utf8(text.into_owned()).map_err(|_| malformed())
    }

    /// The MAC of a value that may be signed.
    fn maced(&self, field: &Field) -> Result<Vec<u8>, Cause> {
        let malformed = || Cause::ChallengeMalformed(field.name.clone());
        let token = self.plain(field)?;
        let key = self.key.filter(|_| fits(self.grammar, token.as_bytes()));
        let mut mac = key.ok_or_else(malformed)?.clone();
        mac.update(token.as_bytes());
        Ok(mac.finish().bytes().to_vec())
    }
}

/// Is it a text that a handshake may put through the MAC?
pub fn fits(grammar: Grammar, text: &[u8]) -> bool {
    match grammar {
        Grammar::Token => (1..=MAX_TOKEN).contains(&text.len()) && text.iter().all(|byte| is_of(grammar, *byte)),
        Grammar::Hex => (20..=32).contains(&text.len()) && text.iter().all(|byte| is_of(grammar, *byte)),
    }
}

/// Is it a byte of such a text?
pub fn is_of(grammar: Grammar, byte: u8) -> bool {
    match grammar {
        Grammar::Token => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
        Grammar::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    }
}
