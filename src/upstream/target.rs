//! The target that a destination gets: the request's own bytes, never decoded and encoded again.

use super::TargetRule;
use bytes::Bytes;
use http::{Uri, uri::PathAndQuery};
use std::borrow::Cow;

/// Makes the destination's target of the request's.
///
/// `withheld` names the query parameters that stay behind. The error is a sentence for operators; it never shows the
/// target, which may bear a credential.
pub(super) fn target(rule: &TargetRule, received: &Uri, withheld: &[String]) -> Result<Uri, String> {
    // A query that a credential was all of is gone with it; one that was empty from the start stays as it is.
    let query = received
        .query()
        .map(|query| without(query, withheld))
        .filter(|left| !left.is_empty() || received.query() == Some(""));
    let joined = match rule {
        TargetRule::Append { prefix } => {
            let untouched = prefix.is_empty() && query.as_deref() == received.query();
            if let (true, Some(same)) = (untouched, received.path_and_query()) {
                return Ok(Uri::from(same.clone()));
            }
            join(&[prefix, received.path()], &[query.as_deref()])
        }
        TargetRule::Fixed { path, query: own } => join(
            &[path],
            &[own.as_deref(), query.as_deref().filter(|query| !query.is_empty())],
        ),
    };
    PathAndQuery::from_maybe_shared(Bytes::from(joined))
        .map(Uri::from)
        .map_err(|_| "the joined target is not one that HTTP allows".to_owned())
}

fn join(path: &[&str], queries: &[Option<&str>]) -> String {
    let mut target = path.concat();
    let mut mark = '?';
    for query in queries.iter().flatten() {
        target.push(mark);
        target.push_str(query);
        mark = '&';
    }
    target
}

/// The query without the parameters of these names, every other byte as it was.
fn without<'a>(query: &'a str, withheld: &[String]) -> Cow<'a, str> {
    let is_withheld = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or(pair);
        withheld.iter().any(|withheld| decodes_to(name, withheld.as_bytes()))
    };
    if withheld.is_empty() || !query.split('&').any(|pair| is_withheld(&pair)) {
        return Cow::Borrowed(query);
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_withheld(pair)).collect();
    Cow::Owned(kept.join("&"))
}

/// Is `name`, read as an app would read it, `wanted`? A credential must not slip through as `t%6Fken`.
fn decodes_to(name: &str, wanted: &[u8]) -> bool {
    let mut wanted = wanted.iter();
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, tail),
                _ => (b'%', &rest[1..]),
            },
            (b'+', tail) => (b' ', tail),
            (byte, tail) => (*byte, tail),
        };
        if wanted.next() != Some(&byte) {
            return false;
        }
        rest = tail;
    }
    wanted.next().is_none()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_joined_byte_for_byte() {
        let append = |prefix: &str| TargetRule::Append {
            prefix: prefix.to_owned(),
        };
        let fixed = |path: &str, query: Option<&str>| TargetRule::Fixed {
            path: path.to_owned(),
            query: query.map(str::to_owned),
        };
        for (rule, received, withheld, expected) in [
            (append(""), "/h/a%2Fb?x=%20&x=+&&=", "", "/h/a%2Fb?x=%20&x=+&&="),
            (append(""), "/h%252e;v=1?", "", "/h%252e;v=1?"),
            (append("/base"), "/h?", "", "/base/h?"),
            (append("/base"), "/h?x", "", "/base/h?x"),
            (append(""), "/h?token=s&x=1", "token", "/h?x=1"),
            (append(""), "/h?x=%74&t%6Fken=s&token&y", "token", "/h?x=%74&y"),
            (
                append(""),
                "/h?x=1&token_=2&Token=3&%zz=4",
                "token",
                "/h?x=1&token_=2&Token=3&%zz=4",
            ),
            (fixed("/in", None), "/hooks/deep/er", "", "/in"),
            (fixed("/in", None), "/h?x=%41", "", "/in?x=%41"),
            (fixed("/in", None), "/h?", "", "/in"),
            (fixed("/in", None), "/h?token=s", "token", "/in"),
            (fixed("/in", Some("a=1")), "/h", "", "/in?a=1"),
            (fixed("/in", Some("a=1")), "/h?", "", "/in?a=1"),
            (fixed("/in", Some("a=1&b")), "/h?a=2", "", "/in?a=1&b&a=2"),
            (
                fixed("/in", Some("token=ours")),
                "/h?token=s&q",
                "token",
                "/in?token=ours&q",
            ),
        ] {
            let withheld: Vec<String> = withheld.split_terminator(',').map(str::to_owned).collect();
            let got = target(&rule, &received.parse().expect(received), &withheld).expect(received);
            assert_eq!(got.to_string(), expected, "{received} by {rule:?}");
        }
    }

    #[test]
    fn a_query_that_only_bore_a_credential_is_gone() {
        let rule = TargetRule::Append { prefix: String::new() };
        let got = target(&rule, &"/h?token=s".parse().expect("a URI"), &["token".to_owned()]).expect("a target");
        assert_eq!(got.to_string(), "/h");
    }

    #[test]
    fn a_target_that_grew_too_long_is_an_error() {
        let rule = TargetRule::Append {
            prefix: format!("/{}", "p".repeat(40_000)),
        };
        let received = format!("/{}", "r".repeat(40_000)).parse().expect("a URI");
        assert!(target(&rule, &received, &[]).is_err());
    }
}
