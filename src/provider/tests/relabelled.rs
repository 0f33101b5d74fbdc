//! Captured requests under another label: another `Content-Type`, another family of headers.

use super::*;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn a_json_body_of_twilio_that_is_called_a_form_is_held_against_its_digest() {
    let provider = named("twilio");
    let keys = provider.keys(&[text("a secret of the tests")]).expect("keys");
    let body = Bytes::from_static(b"{\"call\":1}");
    let target = format!("/a?bodySHA256={}", HEXLOWER.encode(&Sha256::digest(&body)));
    let unsigned = Unsigned {
        method: &http::Method::POST,
        target: &target,
        content_type: Some("application/json"),
        body: &body,
        id: None,
        event: None,
        at: Timestamp::from_secs(NOW),
    };
    let headers = provider.sign(&unsigned, &keys).expect("signed");
    let good = Attempt {
        method: http::Method::POST,
        target: target.clone(),
        headers,
        body: body.clone(),
    };
    let json = good.clone().set("content-type", "application/json");
    assert!(json.judged(&provider, &keys).is_ok());
    // Forms whose fields have neither names nor values: the text that Twilio signs is the same without them.
    for other in [&b""[..], b"&", b"&&&", b"=", b"=&="] {
        let forged = good.clone().set("content-type", FORM).with_body(other);
        let refusal = forged.refusal(&provider, &keys);
        let cause = Refusal::Unverified(Cause::BodyHashWrong("bodySHA256".into()));
        assert_eq!(refusal, cause, "{other:?}");
    }
    assert!(good.clone().set("content-type", FORM).judged(&provider, &keys).is_err());
}

/// The three headers under `prefix`, with the values of `from`.
fn family(from: &Attempt, prefix: &str) -> Vec<(String, String)> {
    let parts = ["id", "timestamp", "signature"].into_iter();
    parts
        .map(|part| (format!("{prefix}-{part}"), from.header(&format!("svix-{part}"))))
        .collect()
}

#[test]
fn svix_is_read_under_either_family_of_headers_as_its_libraries_do() {
    let provider = named("svix");
    let keys = provider.keys(&[text("whsec_c3RhbmRhcmQtd2ViaG9va3M=")]).expect("keys");
    let good = signed(&provider, &keys, b"{\"type\":\"a\"}", Some("msg_1"), None);
    let bare = ["svix-id", "svix-timestamp", "svix-signature"]
        .into_iter()
        .fold(good.clone(), Attempt::without);
    let with = |attempt: &Attempt, headers: &[(String, String)]| {
        headers
            .iter()
            .fold(attempt.clone(), |attempt, (name, value)| attempt.add(name, value))
    };
    let (svix, webhook) = (family(&good, "svix"), family(&good, "webhook"));
    let forged: Vec<_> = webhook.iter().map(|(name, _)| (name.clone(), "1".to_owned())).collect();
    let first = good.evidence(&provider, &keys);
    let second = with(&bare, &webhook).evidence(&provider, &keys);
    // The family is no part of what the ledger knows an event by.
    assert!(first.id == second.id && first.events == second.events);
    assert!(first.identity.is_some() && first.identity == second.identity);
    // Whole first family: the second one is not looked at.
    assert!(with(&good, &forged).judged(&provider, &keys).is_ok());
    let wrong = with(
        &bare,
        &[&svix[..2], &[("svix-signature".to_owned(), "v1,AAAA".to_owned())]].concat(),
    );
    assert!(with(&wrong, &webhook).judged(&provider, &keys).is_err());
    // One of the first family is missing or empty: the second one is read, all of it.
    for lost in 0..3 {
        let mut rest = svix.clone();
        let name = rest.remove(lost).0;
        let part = with(&bare, &rest);
        assert!(part.judged(&provider, &keys).is_err(), "{name}");
        assert!(
            with(&part, &webhook[lost..=lost]).judged(&provider, &keys).is_err(),
            "{name}"
        );
        assert!(with(&part, &webhook).judged(&provider, &keys).is_ok(), "{name}");
        assert!(
            with(&part, &webhook).add(&name, "").judged(&provider, &keys).is_ok(),
            "{name}"
        );
        assert!(with(&part, &forged).judged(&provider, &keys).is_err(), "{name}");
    }
    for name in ["webhook-id", "svix-id"] {
        let name = HeaderName::from_static(name);
        assert!(provider.facts().read_headers.contains(&name), "{name}");
    }
}
