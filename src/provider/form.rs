//! `application/x-www-form-urlencoded` bodies and queries, decoded as browsers and providers do.

use super::search;
use http::{HeaderMap, header::CONTENT_TYPE};
use std::{borrow::Cow, cmp::Ordering};

/// A decoded name and value.
pub type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// A form with more fields is nothing a provider sends; sorting it would be work for a forger's sake.
pub const MAX_PAIRS: usize = 4096;

/// The pairs of a form or query, in order. `+` is a blank; an escape that is none stays as it stands.
pub fn pairs(raw: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < raw.len() {
            let (start, mut equals, mut escapes) = (at, None, [false; 2]);
            loop {
                // With these bits flipped, `%` and `&` are 1 and 2; the two beside them are rare.
                at = search::first(raw, at, |word| {
                    word.flipped(0x24).below(4) | word.is(b'=') | word.is(b'+')
                });
                match raw.get(at) {
                    None | Some(b'&') => break,
                    Some(b'=') => equals = equals.or(Some(at)),
                    Some(b'%' | b'+') => escapes[usize::from(equals.is_some())] = true,
                    Some(_) => {}
                }
                at += 1;
            }
            let part = &raw[start..at];
            at += 1;
            if part.is_empty() {
                continue;
            }
            let (name, value) = equals.map_or((part, &part[..0]), |equals| {
                (&raw[start..equals], &part[equals + 1 - start..])
            });
            let decoded = |text, escapes| {
                if escapes {
                    decode(text).into()
                } else {
                    Cow::Borrowed(text)
                }
            };
            return Some((decoded(name, escapes[0]), decoded(value, escapes[1])));
        }
        None
    })
}

/// All values of `name`, decoded.
pub fn values<'a>(raw: &'a [u8], name: &str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    pairs(raw)
        .filter(move |pair| *pair.0 == *name.as_bytes())
        .map(|pair| pair.1)
}

/// Does the request say that its body is a form?
pub fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(first), None) = (types.next(), types.next()) else {
        return false;
    };
    let essence = first.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let (essence, form) = (essence.trim_ascii(), &b"application/x-www-form-urlencoded"[..]);
    // As nearly everybody writes it, or otherwise.
    essence == form || essence.eq_ignore_ascii_case(form)
}

/// Names sorted by UTF-16 code unit (as the signers, written in Java and JavaScript, sort), the values of one name sorted and
/// without repetitions, names and values joined without separators (Twilio, Mandrill). `None`: more than [`MAX_PAIRS`].
pub fn sorted(raw: &[u8]) -> Option<Vec<u8>> {
    // As many as most forms have, at once.
    let mut sorted: Vec<Pair<'_>> = Vec::with_capacity(32);
    sorted.extend(pairs(raw).take(MAX_PAIRS + 1));
    if sorted.len() > MAX_PAIRS {
        return None;
    }
    sorted.sort_by(|a, b| by_unit(&a.0, &b.0).then_with(|| by_unit(&a.1, &b.1)));
    sorted.dedup();
    let mut out = Vec::with_capacity(raw.len());
    for (name, value) in sorted {
        out.extend_from_slice(&name);
        out.extend_from_slice(&value);
    }
    Some(out)
}

fn by_unit(a: &[u8], b: &[u8]) -> Ordering {
    // Up to the first byte that differs or is not ASCII, bytes are code units.
    let same = a.iter().zip(b).take_while(|(a, b)| a == b && a.is_ascii()).count();
    match (a.get(same), b.get(same)) {
        (Some(a), Some(b)) if a.is_ascii() && b.is_ascii() => return a.cmp(b),
        (Some(_), Some(_)) => {}
        (a, b) => return a.is_some().cmp(&b.is_some()),
    }
    let (a, b) = (String::from_utf8_lossy(a), String::from_utf8_lossy(b));
    a.encode_utf16().cmp(b.encode_utf16())
}

fn decode(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(byte) = raw.get(at) {
        at += 1;
        match byte {
            b'+' => out.push(b' '),
            b'%' => match raw.get(at..at + 2).and_then(hex) {
                Some(decoded) => {
                    out.push(decoded);
                    at += 2;
                }
                None => out.push(b'%'),
            },
            other => out.push(*other),
        }
    }
    out
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(digits[0])? * 16 + digit(digits[1])?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted_text(form: &str) -> String {
        String::from_utf8(sorted(form.as_bytes()).expect("short enough")).expect("UTF-8")
    }

    #[test]
    fn a_form_is_decoded_sorted_and_deduplicated() {
        assert_eq!(sorted_text("b=2&a=1&a=0&a=1&c=&d"), "a0a1b2cd");
        assert_eq!(sorted_text("Body=a+b%26%C5%BD&From=%2B1"), "Bodya b&ŽFrom+1");
        assert_eq!(sorted_text("a=%zz%4"), "a%zz%4");
        assert_eq!(sorted_text("&&"), "");
        assert_eq!(sorted_text("it's=1$&$='%20'&a=b=c"), "$' 'ab=cit's1$");
        assert_eq!(sorted_text("ab=1&a=2&aé=3&b=4"), "a2ab1aé3b4");
        assert!(sorted("a&".repeat(MAX_PAIRS).as_bytes()).is_some());
        assert!(sorted("a&".repeat(MAX_PAIRS + 1).as_bytes()).is_none());
        // U+FF5E sorts after U+1F40E by code unit, before it by code point.
        assert_eq!(sorted_text("%EF%BD%9E=1&%F0%9F%90%8E=2"), "🐎2～1");
    }

    #[test]
    fn a_form_is_told_by_its_one_content_type() {
        let headers = |types: &[&'static str]| {
            let mut map = HeaderMap::new();
            for one in types {
                map.append(CONTENT_TYPE, http::HeaderValue::from_static(one));
            }
            map
        };
        let form = "application/x-www-form-urlencoded";
        assert!(is_form(&headers(&[form])));
        assert!(is_form(&headers(&["Application/X-WWW-Form-Urlencoded; charset=UTF-8"])));
        assert!(!is_form(&headers(&[])));
        assert!(!is_form(&headers(&["application/json"])));
        assert!(!is_form(&headers(&[form, "application/json"])));
    }
}
