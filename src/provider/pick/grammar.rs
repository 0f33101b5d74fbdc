//! The grammar of JSON (RFC 8259), as steps from one position to the next; `None` where the document breaks it.

use super::Kind;
use crate::provider::search;
use std::borrow::Cow;

/// Moves past a value that nobody asked for, of at most `levels` levels: nearly all of a document. As strict as the rest, but
/// all that it knows of an open container is which kind it is of, one bit each.
pub(super) fn skip(json: &[u8], mut at: usize, levels: usize) -> Option<usize> {
    let (mut objects, mut depth, mut key) = (0_u64, 0, false);
    loop {
        // A key or a value.
        match *json.get(at)? {
            b'"' => {
                at = string(json, at)?.0;
                if key {
                    at = blanks(json, colon(json, at)?);
                    key = false;
                    continue;
                }
            }
            _ if key => return None,
            opening @ (b'{' | b'[') => {
                if depth >= levels {
                    return None;
                }
                let object = opening == b'{';
                at = blanks(json, at + 1);
                if *json.get(at)? != closing(object) {
                    depth += 1;
                    objects = objects << 1 | u64::from(object);
                    key = object;
                    continue;
                }
                at += 1;
            }
            _ => at = plain(json, at)?.0,
        }
        // The value has ended, and perhaps what it stands in.
        loop {
            if depth == 0 {
                return Some(at);
            }
            at = blanks(json, at);
            let (byte, object) = (*json.get(at)?, objects & 1 == 1);
            at += 1;
            if byte == b',' {
                at = blanks(json, at);
                key = object;
                break;
            }
            if byte != closing(object) {
                return None;
            }
            depth -= 1;
            objects >>= 1;
        }
    }
}

/// Moves past blanks. Most documents have none, so nearly always one comparison.
#[inline]
pub(super) fn blanks(json: &[u8], mut at: usize) -> usize {
    while let Some(byte) = json.get(at)
        && *byte <= b' '
        && matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
    {
        at += 1;
    }
    at
}

/// Moves past the colon between a key, which ends here, and its value.
pub(super) fn colon(json: &[u8], at: usize) -> Option<usize> {
    let at = blanks(json, at);
    (*json.get(at)? == b':').then_some(at + 1)
}

/// Moves past a value that is no container; what is it?
pub(super) fn scalar(json: &[u8], at: usize) -> Option<(usize, Kind)> {
    if *json.get(at)? == b'"' {
        return string(json, at).map(|(end, _)| (end, Kind::Text));
    }
    plain(json, at)
}

/// The same of one that is no string either.
fn plain(json: &[u8], at: usize) -> Option<(usize, Kind)> {
    let word = |word: &[u8], kind| json[at..].starts_with(word).then_some((at + word.len(), kind));
    match json.get(at)? {
        b't' => word(b"true", Kind::Truth),
        b'f' => word(b"false", Kind::Truth),
        b'n' => word(b"null", Kind::Null),
        _ => number(json, at),
    }
}

/// Moves past a string that begins here; does it hold an escape?
#[expect(clippy::inline_always, reason = "a call costs as much as most strings are long")]
#[inline(always)]
pub(super) fn string(json: &[u8], mut at: usize) -> Option<(usize, bool)> {
    if *json.get(at)? != b'"' {
        return None;
    }
    at += 1;
    let mut escapes = false;
    loop {
        // With that bit flipped, the quote comes right behind the control characters, which would have to be escaped.
        at = search::first(json, at, |word| word.flipped(2).below(0x21) | word.is(b'\\'));
        match *json.get(at)? {
            b'"' => return Some((at + 1, escapes)),
            b'\\' => match json.get(at + 1)? {
                b'u' => {
                    let digits = json.get(at + 2..at + 6)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    at += 6;
                }
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                _ => return None,
            },
            _ => return None,
        }
        escapes = true;
    }
}

/// Moves past digits, at least one.
fn digits(json: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while json.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    (at > from).then_some(at)
}

/// Moves past a number.
fn number(json: &[u8], mut at: usize) -> Option<(usize, Kind)> {
    let mut kind = Kind::Integer;
    if json.get(at) == Some(&b'-') {
        at += 1;
    }
    at = if *json.get(at)? == b'0' {
        at + 1
    } else {
        digits(json, at)?
    };
    if json.get(at) == Some(&b'.') {
        at = digits(json, at + 1)?;
        kind = Kind::Float;
    }
    if matches!(json.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(json.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = digits(json, at)?;
        kind = Kind::Float;
    }
    Some((at, kind))
}

pub(super) fn closing(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}

/// The text between the quotes of a well-formed string; `None` where it is not UTF-8 or holds half a surrogate pair.
pub(super) fn unescape(raw: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(raw).ok()?;
    if !raw.contains(&b'\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1)?;
        rest = &rest[at + 2..];
        out.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = unit(rest)?;
                rest = &rest[4..];
                if (0xd800..0xdc00).contains(&unit) {
                    let low = unit_after_escape(rest)?;
                    rest = &rest[6..];
                    char::decode_utf16([unit, low]).next()?.ok()?
                } else {
                    char::from_u32(u32::from(unit))?
                }
            }
            other => char::from(*other),
        });
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

fn unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.get(..4)?, 16).ok()
}

fn unit_after_escape(text: &str) -> Option<u16> {
    unit(text.strip_prefix("\\u")?)
}
