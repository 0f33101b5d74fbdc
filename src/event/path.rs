//! Raw request paths: percent-encoding (RFC 3986), and the form in which lenient parsers read two paths as one.

use std::borrow::Cow;

/// Is this byte unreserved (RFC 3986, section 2.3): never in need of percent-encoding?
pub const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The same path without percent-encoded unreserved characters (RFC 3986, section 6.2.2.2). Other escapes stay as written.
pub fn without_needless_escapes(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        if let Some(byte) = escaped(escape.as_bytes()).filter(|byte| is_unreserved(*byte)) {
            plain.push(char::from(byte));
            rest = &escape[3..];
        } else {
            plain.push('%');
            rest = &escape[1..];
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// A path as a lenient app may read it, for comparison only: percent-decoded once, without `;parameters`, without empty
/// segments (so without a trailing slash), case folded. Two paths with one reading may be one route of that app.
/// The root, and a path of parameters alone, read as "".
pub fn lenient_reading(path: &str) -> String {
    let mut reading = String::with_capacity(path.len());
    for segment in path.split('/') {
        let decoded = decoded(segment);
        let name = decoded.split(';').next().unwrap_or_default();
        if !name.is_empty() {
            reading.push('/');
            fold_case(name, &mut reading);
        }
    }
    reading
}

/// Upper case first, because some letters (U+017F, a long s) have an ASCII letter there and nowhere else.
fn fold_case(name: &str, into: &mut String) {
    if name.is_ascii() {
        into.extend(name.chars().map(|letter| letter.to_ascii_lowercase()));
    } else {
        into.push_str(&name.to_uppercase().to_lowercase());
    }
}

fn decoded(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        if let Some(byte) = escaped(rest) {
            bytes.push(byte);
            rest = &rest[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// The byte that an escape at the beginning of `text` stands for; `None`: it does not begin with one.
fn escaped(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_needless_escapes_are_removed() {
        for (path, plain) in [
            ("/a", "/a"),
            ("/%67ithub", "/github"),
            ("/a%2Db%7E%2e%5F", "/a-b~._"),
            ("/a%20b%2Fc%3B%25", "/a%20b%2Fc%3B%25"),
            ("/%2567", "/%2567"),
            ("/%c3%a9%61", "/%c3%a9a"),
            ("/%", "/%"),
            ("/%6", "/%6"),
            ("/%zz%61", "/%zza"),
        ] {
            assert_eq!(without_needless_escapes(path), plain, "{path}");
        }
    }

    #[test]
    fn paths_that_a_lenient_app_takes_for_one_have_one_reading() {
        for path in [
            "/hooks/slack",
            "/Hooks/SLACK/",
            "/hooks;v=1/slack;x;y/;z",
            "/;a/hooks/;b/slack//",
            "/hooks/slac%4b",
            "/hooks/%73lack%3Bx",
            "/hooks/%C5%BFlack",
            "/hooks/slac%e2%84%aa",
        ] {
            assert_eq!(lenient_reading(path), "/hooks/slack", "{path}");
        }
        for path in [
            "/hooks",
            "/hooks/slacks",
            "/hooks/slack/x",
            "/hooks/slack%20",
            "/hooksslack",
        ] {
            assert_ne!(lenient_reading(path), "/hooks/slack", "{path}");
        }
        for path in ["/", "/;x", "/;/;"] {
            assert_eq!(lenient_reading(path), "", "{path}");
        }
        assert_eq!(lenient_reading("/caf%C3%89"), lenient_reading("/caf%c3%a9"));
        assert_eq!(lenient_reading("/a%FFb"), lenient_reading("/A%ffB"));
    }
}
