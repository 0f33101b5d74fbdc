//! Bodies that a sender may have signed in place of the one that arrived.

use crate::provider::form;
use std::fmt::Write;

/// What was done to the body on its way, in words, and the body before it.
pub fn variants(body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut variants = Vec::new();
    let mut add = |words, changed: Vec<u8>| {
        if changed != body {
            variants.push((words, changed));
        }
    };
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) {
        add(
            "after removing the blanks between JSON tokens",
            value.to_string().into_bytes(),
        );
        add("as indented JSON (2 spaces)", indented(&value, b"  "));
        add("as indented JSON (4 spaces)", indented(&value, b"    "));
        add(
            "as JSON with a blank after each `:` and `,` (as Python writes it)",
            spaced(&value.to_string()),
        );
    }
    if let Ok(text) = std::str::from_utf8(body) {
        add(
            "with every character beyond ASCII escaped (`\\u00e9`)",
            escaped(text).into_bytes(),
        );
        add("with its `\\uXXXX` escapes decoded", unescaped(text).into_bytes());
        add(
            "with `/` escaped as `\\/` (as PHP writes it)",
            slashed(text).into_bytes(),
        );
        add("with `\\/` decoded to `/`", text.replace("\\/", "/").into_bytes());
    }
    if let Some(value) = only_field(body) {
        add(
            "as the value of the form field that it came in: it was form-encoded",
            value,
        );
    }
    for name in ["payload", "data"] {
        add(
            "as the form that it was sent in (`payload=…`): something unpacked it",
            packed(name, body),
        );
    }
    add("with LF instead of CRLF line ends", replaced(body, b"\r\n", b"\n"));
    add(
        "with CRLF instead of LF line ends",
        replaced(&replaced(body, b"\r\n", b"\n"), b"\n", b"\r\n"),
    );
    add("without the white space at its end", body.trim_ascii_end().to_vec());
    add("with a newline at its end", [body, b"\n"].concat());
    add("with CRLF at its end", [body, b"\r\n"].concat());
    add(
        "without a byte order mark",
        body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body).to_vec(),
    );
    variants
}

fn indented(value: &serde_json::Value, indent: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent);
    let mut writer = serde_json::Serializer::with_formatter(&mut out, formatter);
    serde::Serialize::serialize(value, &mut writer).expect("a JSON value can be written to memory");
    out
}

/// Blanks after the separators of minified JSON, outside of strings.
fn spaced(json: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + json.len() / 8);
    let (mut inside, mut escaped) = (false, false);
    for byte in json.bytes() {
        out.push(byte);
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b':' | b',' if !inside => out.push(b' '),
            _ => {}
        }
    }
    out
}

fn replaced(body: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(from) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(rest[0]);
            rest = &rest[1..];
        }
    }
    out
}

/// Every character beyond ASCII as JSON escapes it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04x}").expect("writing to a String cannot fail");
        }
    }
    out
}

/// Escapes of characters beyond ASCII decoded; all others stay, because a string needs them.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest
            .strip_prefix("\\u")
            .and_then(|after| u16::from_str_radix(after.get(..4)?, 16).ok())
            .filter(|unit| *unit > 0x7f);
        if let Some(unit) = unit {
            units.push(unit);
            rest = &rest[6..];
            continue;
        }
        out.push_str(&String::from_utf16_lossy(&units));
        units.clear();
        // An escaped backslash is not the beginning of an escape.
        let length = if rest.starts_with("\\\\") {
            2
        } else {
            rest.chars().next().map_or(0, char::len_utf8)
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out + &String::from_utf16_lossy(&units)
}

/// Every slash as PHP's `json_encode` writes it.
fn slashed(text: &str) -> String {
    text.replace("\\/", "/").replace('/', "\\/")
}

/// The value of a form of one field.
fn only_field(body: &[u8]) -> Option<Vec<u8>> {
    let mut pairs = form::pairs(body);
    let (first, more) = (pairs.next()?, pairs.next());
    (more.is_none() && !first.1.is_empty()).then(|| first.1.into_owned())
}

/// The body as the only field of a form.
fn packed(name: &str, body: &[u8]) -> Vec<u8> {
    let mut out = format!("{name}=");
    for byte in body {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(*byte)),
            b' ' => out.push('+'),
            _ => write!(out, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
    }
    out.into_bytes()
}
