//! The page: one embedded file whose only script and style are named by their digests, so that nothing else can run in it.

use super::answer::{self, Answer};
use data_encoding::BASE64;
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const PAGE: &str = include_str!("page.html");

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = |tag: &str| BASE64.encode(&Sha256::digest(inside(tag)));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        digest("script"),
        digest("style")
    );
    HeaderValue::try_from(policy).expect("base64 and ASCII")
});

/// What stands between the file's only pair of these tags.
fn inside(tag: &str) -> &'static str {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let start = PAGE.find(&open).map_or(0, |at| at + open.len());
    let end = PAGE.find(&close).unwrap_or(start);
    &PAGE[start..end]
}

/// The page.
pub(super) fn page() -> Answer {
    let mut answer = answer::of(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    answer
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_script_and_one_style_and_nothing_from_elsewhere() {
        for tag in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{tag}")).count(), 1);
            assert!(inside(tag).len() > 100, "{tag}");
        }
        for foreign in [
            "http://",
            "https://",
            "src=",
            "@import",
            "url(",
            "style=",
            "onclick=",
            "innerHTML",
            "eval(",
        ] {
            assert!(!PAGE.contains(foreign), "{foreign}");
        }
        let policy = POLICY.to_str().expect("ASCII");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
