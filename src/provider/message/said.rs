//! What a request says of its signatures: labels, parameters, bytes; proven or not.

use super::{
    Message, SIGNATURE, SIGNATURE_INPUT,
    structured::{self, Dictionary, Fault, Item, Member, Params, combined, dictionary},
};
use crate::{
    event::Timestamp,
    provider::{
        evidence::Cause,
        field::{Found, Scene},
    },
};
use http::HeaderName;
use sfv::BareItem;
use std::{borrow::Cow, sync::Arc};

/// The parameter of the first signature that is meant, proven or not.
pub fn stated<'a>(message: &Message, scene: &Scene<'a>, name: &str) -> Found<'a> {
    let Ok(inputs) = read(scene, &SIGNATURE_INPUT) else {
        return Found::Missing;
    };
    let params = inputs.iter().find_map(|(label, member)| match member {
        Member::List(_, params) if message.is_meant(label.as_str(), params) => Some(params),
        _ => None,
    });
    let value = params.and_then(|params| param(params, name));
    match value {
        Some(BareItem::Integer(number)) => Found::Text(Cow::Owned(number.to_string().into_bytes())),
        Some(BareItem::String(text)) => Found::Text(Cow::Owned(text.as_str().as_bytes().to_vec())),
        _ => Found::Missing,
    }
}

/// Seconds since the first signature that is meant was worth something.
pub fn expired(message: &Message, scene: &Scene<'_>, now: Timestamp) -> Option<i64> {
    let Found::Text(text) = stated(message, scene, "expires") else {
        return None;
    };
    let expires: i64 = std::str::from_utf8(&text).ok()?.parse().ok()?;
    let ago = now.as_secs().saturating_sub(expires);
    (ago > 0).then_some(ago)
}

/// The names of what the first signature that is meant covers, for a diagnosis.
pub fn covered_by(message: &Message, scene: &Scene<'_>) -> Vec<Arc<str>> {
    let inputs = read(scene, &SIGNATURE_INPUT).unwrap_or_default();
    let items = inputs.iter().find_map(|(label, member)| match member {
        Member::List(items, params) if message.is_meant(label.as_str(), params) => Some(items),
        _ => None,
    });
    items.into_iter().flatten().map(named).collect()
}

/// Reads one of the two headers.
pub fn read(scene: &Scene<'_>, name: &HeaderName) -> Result<Dictionary, Cause> {
    let called = || Arc::from(name.as_str());
    let text = combined(&scene.head.headers, name).ok_or_else(|| Cause::SignatureMissing(called()))?;
    dictionary(&text).map_err(|fault| match fault {
        Fault::Doubled => Cause::SignatureDoubled(called()),
        Fault::Malformed => Cause::SignatureMalformed(called()),
        Fault::TooLong => Cause::SignaturesTooMany(structured::MAX_MEMBERS + 1),
    })
}

/// The bytes of a signature, which must stand there in the one way of writing them.
pub fn bytes<'m>(scene: &Scene<'_>, member: Option<&'m Member>) -> Result<&'m [u8], Cause> {
    let called = || Arc::from(SIGNATURE.as_str());
    let Some(member) = member else {
        return Err(Cause::SignatureMissing(called()));
    };
    match member {
        Member::Item(Item {
            value: BareItem::ByteSequence(bytes),
            params,
        }) if params.is_empty() => {
            let written = member.text();
            let mut lines = scene.head.headers.get_all(&SIGNATURE).iter();
            let stands = |line: &http::HeaderValue| {
                let line = line.as_bytes();
                line.windows(written.len()).any(|part| part == written.as_bytes())
            };
            if lines.any(stands) {
                Ok(bytes)
            } else {
                Err(Cause::SignatureMalformed(called()))
            }
        }
        _ => Err(Cause::SignatureMalformed(called())),
    }
}

/// A parameter.
pub fn param<'p>(params: &'p Params, name: &str) -> Option<&'p BareItem> {
    params
        .iter()
        .find_map(|(key, value)| (key.as_str() == name).then_some(value))
}

/// A parameter that is a text.
pub fn text<'p>(params: &'p Params, name: &str) -> Option<&'p str> {
    match param(params, name) {
        Some(BareItem::String(text)) => Some(text.as_str()),
        _ => None,
    }
}

/// A time in seconds that is not before 1970.
pub fn whole(params: &Params, name: &str) -> Option<Timestamp> {
    match param(params, name) {
        Some(BareItem::Integer(number)) => {
            let seconds = i64::from(*number);
            (seconds >= 0).then(|| Timestamp::from_secs(seconds))
        }
        _ => None,
    }
}

/// What an unknown component is called: the sender chose it, so it is cut.
pub fn named(item: &Item) -> Arc<str> {
    let BareItem::String(name) = &item.value else {
        return "component".into();
    };
    let mut text = name.as_str().to_owned();
    for (key, _) in &item.params {
        text.push(';');
        text.push_str(key.as_str());
    }
    printable(&text).into()
}

/// A name that may stand in a log.
pub fn printable(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '@' | '-' | '_' | ';' | '.' | '*');
    text.chars().filter(plain).take(64).collect()
}
