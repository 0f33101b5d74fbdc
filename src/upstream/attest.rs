//! Our own Standard Webhooks signature (<https://www.standardwebhooks.com>), so that one verifier serves an app for all
//! providers.
//!
//! The secret of `sign` is either `whsec_` and the base64 of the key, as the libraries of Standard Webhooks take it, or
//! any other text, whose bytes are then the key itself (what these libraries call a raw secret).

use crate::event::{DeliveryKey, Frames, Secret, SourceName, Timestamp};
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use zeroize::Zeroizing;

/// `webhook-id`: the same for every attempt, `<source>_<ledger key in base64url>`.
pub const ID: HeaderName = HeaderName::from_static("webhook-id");
/// `webhook-timestamp`: when we signed, whole Unix seconds.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// `webhook-signature`: `v1,` and the base64 of HMAC-SHA-256 over `id.timestamp.body`.
pub const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

const PREFIX: &[u8] = b"whsec_";

/// What is wrong with a secret of `sign`, in words for the writer of the configuration.
pub fn problem(secret: &Secret) -> Option<&'static str> {
    let encoded = secret.expose().strip_prefix(PREFIX)?;
    match BASE64.decode(encoded).map(Zeroizing::new) {
        Ok(key) if key.is_empty() => Some("there is no key after `whsec_`"),
        Ok(_) => None,
        Err(_) => Some("what follows `whsec_` is not base64"),
    }
}

/// Puts the three headers into `headers`, in place of whatever bore their names.
pub(super) fn sign(
    headers: &mut HeaderMap,
    secret: &Secret,
    source: &SourceName,
    key: &DeliveryKey,
    at: Timestamp,
    body: &Frames,
) {
    let id = format!("{source}_{}", key.to_text());
    let seconds = at.as_secs().to_string();
    let mut mac = keyed(secret);
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b"."] {
        mac.update(part);
    }
    for frame in body.iter() {
        mac.update(frame);
    }
    let signature = format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()));
    for (name, text) in [(ID, id), (TIMESTAMP, seconds), (SIGNATURE, signature)] {
        let value = HeaderValue::try_from(text).expect("a name, base64 and digits are header-safe");
        headers.insert(name, value);
    }
}

fn keyed(secret: &Secret) -> Hmac<Sha256> {
    let text = secret.expose();
    // A `whsec_` text that is not base64 is refused at load (`problem`); here it counts as the bytes that it is.
    let decoded = text
        .strip_prefix(PREFIX)
        .and_then(|encoded| BASE64.decode(encoded).ok())
        .map(Zeroizing::new);
    let key = decoded.as_deref().map_or(text, Vec::as_slice);
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::IdentityHasher;
    use bytes::Bytes;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    fn signed(text: &str, body: &[&'static str]) -> HeaderMap {
        let source = SourceName::parse("acme").expect("a name");
        let key = DeliveryKey::new("", &source, "/p", &IdentityHasher::new("id").finish());
        let mut frames = Frames::default();
        for part in body {
            frames.push(Bytes::from_static(part.as_bytes()));
        }
        let mut headers = HeaderMap::new();
        headers.append(ID, HeaderValue::from_static("theirs"));
        headers.append(ID, HeaderValue::from_static("theirs too"));
        sign(
            &mut headers,
            &secret(text),
            &source,
            &key,
            Timestamp::from_millis(1_614_265_330_999),
            &frames,
        );
        headers
    }

    #[test]
    fn the_signature_is_the_one_that_standard_webhooks_computes() {
        // Made by the `sign` of npm standardwebhooks 1.1.1 over an empty body.
        let mut mac = keyed(&secret("whsec_c3RhbmRhcmQtd2ViaG9va3MgdGVzdCBwaHJhc2UuLi4="));
        mac.update(b"msg_test_0001.1760000000.");
        assert_eq!(
            BASE64.encode(&mac.finalize().into_bytes()),
            "dDpgxgzbaW4Dv1NG6cbLUwK3b0zuxkfGuXUg6WZm3d4="
        );
    }

    #[test]
    fn id_and_time_are_signed_with_the_body_and_replace_what_came_in() {
        let headers = signed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLwSw", &["{\"a\"", ":1}"]);
        let text = |name: &HeaderName| headers[name].to_str().expect("text").to_owned();
        assert_eq!(headers.get_all(ID).iter().count(), 1);
        assert!(text(&ID).starts_with("acme_") && text(&ID).len() == "acme_".len() + 43);
        assert_eq!(text(&TIMESTAMP), "1614265330");
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&BASE64.decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLwSw").expect("base64"))
                .expect("a key");
        mac.update(format!("{}.1614265330.{{\"a\":1}}", text(&ID)).as_bytes());
        let given = text(&SIGNATURE);
        let given = given.strip_prefix("v1,").expect("the version of the scheme");
        mac.verify_slice(&BASE64.decode(given.as_bytes()).expect("base64"))
            .expect("the signature over id, time and body");
    }

    #[test]
    fn a_secret_without_the_prefix_is_the_key_itself() {
        let (raw, whsec) = ("a raw secret", format!("whsec_{}", BASE64.encode(b"a raw secret")));
        assert_eq!(signed(raw, &["x"])[SIGNATURE], signed(&whsec, &["x"])[SIGNATURE]);
        assert_ne!(signed(raw, &["x"])[SIGNATURE], signed("another", &["x"])[SIGNATURE]);
        assert_ne!(signed(raw, &["x"])[SIGNATURE], signed(raw, &["y"])[SIGNATURE]);
    }

    #[test]
    fn a_broken_whsec_secret_is_told_at_load() {
        assert_eq!(problem(&secret("whsec_AAAA")), None);
        assert_eq!(problem(&secret("anything else")), None);
        assert!(problem(&secret("whsec_")).is_some());
        assert!(problem(&secret("whsec_not base64")).is_some());
    }
}
