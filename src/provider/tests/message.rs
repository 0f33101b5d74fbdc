//! HTTP Message Signatures (RFC 9421) as a whole: what is proven, what is refused and why, and what a delivery is known by.

use super::*;
use std::sync::Arc;

mod refusals;

const SECRET: &str = "a secret of the tests";
const SCHEME: &str = "
algorithm: hmac-sha256
message_signature:
  components: [\"@method\", \"@request-target\", content-digest, x-shop]
  parameters: [nonce]
  label: ours
timestamp: {from: signature:created, tolerance: 300}
id: header:x-event-id
event: json:/type
";

fn generic() -> (Provider, Keys) {
    let provider = named("http-message-signatures");
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    (provider, keys)
}

fn cause(attempt: &Attempt, provider: &Provider, keys: &Keys) -> Cause {
    match attempt.refusal(provider, keys) {
        Refusal::Unverified(cause) => cause,
        other => panic!("{other:?}"),
    }
}

fn problems(yaml: &str) -> String {
    let preset = Preset::from_yaml(yaml).expect("a preset");
    let Err(problems) = Provider::compile(&preset, &Options::default()) else {
        panic!("it compiles: {yaml}");
    };
    format!("{problems:?}")
}

#[test]
fn what_is_signed_verifies_and_is_what_the_rfc_writes() {
    let (provider, keys) = generic();
    let good = signed(&provider, &keys, b"{\"type\":\"a.b\"}", None, None);
    let evidence = good.evidence(&provider, &keys);
    assert_eq!(evidence.verified, Verified::Signature);
    assert_eq!(evidence.signed_at, Some(Timestamp::from_secs(NOW)));
    assert_eq!(evidence.events[0].as_str(), "a.b");
    assert_eq!(
        good.header("signature-input"),
        "sig1=(\"@method\" \"@target-uri\" \"content-digest\");created=1760000000"
    );
    assert!(good.header("content-digest").starts_with("sha-256=:"));
    // Without `public_url` the target is what is left to sign.
    let bare = Provider::compile(
        preset("http-message-signatures").expect("a preset"),
        &Options::default(),
    )
    .expect("compiles");
    let other = signed(&bare, &keys, b"{}", None, None);
    assert!(other.header("signature-input").contains("\"@request-target\""));
    other.evidence(&bare, &keys);
    other.evidence(&provider, &keys);
    assert_eq!(
        cause(&good, &bare, &keys),
        Cause::FieldMissing("public_url".into()),
        "the URL is known from nowhere else"
    );
}

#[test]
fn lines_of_a_header_are_joined_without_the_blanks_around_them() {
    let provider = inline("message_signature: {components: [content-digest, x-list], label: ours}");
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let one = inline(
        "message_signature: {components: [content-digest, x-list], label: ours}\nrequire: {header:x-list: \"a, b\"}",
    );
    let good = signed(&one, &keys, b"{}", None, None);
    good.evidence(&provider, &keys);
    let lines = good.clone().without("x-list").add("x-list", "\ta ").add("x-list", " b");
    lines.evidence(&provider, &keys);
    let swapped = good.clone().without("x-list").add("x-list", "b").add("x-list", "a");
    assert_eq!(cause(&swapped, &provider, &keys), Cause::SignatureWrong { tried: 1 });
    let more = good.clone().add("x-list", "");
    assert_eq!(cause(&more, &provider, &keys), Cause::SignatureWrong { tried: 1 });
    let foreign = good.clone().without("x-list").add("x-list", "\u{e9}");
    assert_eq!(
        cause(&foreign, &provider, &keys),
        Cause::ComponentUnfit("x-list".into())
    );
    let ended = good.clone().add("connection", "close, X-List");
    assert_eq!(cause(&ended, &provider, &keys), Cause::ComponentUnfit("x-list".into()));
    let gone = good.without("x-list");
    assert_eq!(cause(&gone, &provider, &keys), Cause::FieldMissing("x-list".into()));
}

/// The right bytes in another way of writing them are another text, and a second signature is none.
#[test]
fn a_signature_stands_in_one_way_only() {
    let (provider, keys) = generic();
    let good = signed(&provider, &keys, b"{}", None, None);
    let value = good.header("signature");
    // The last but one digit of 32 bytes holds two bits that mean nothing.
    let at = value.len() - 3;
    let digit = value.as_bytes()[at];
    let mut refused = 0;
    for other in *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
        if other == digit {
            continue;
        }
        let mut bytes = value.clone().into_bytes();
        bytes[at] = other;
        let forged = good.clone().set("signature", &String::from_utf8(bytes).expect("text"));
        assert!(forged.judged(&provider, &keys).is_err());
        refused += 1;
    }
    assert_eq!(refused, 63);
    let unpadded = good.clone().set("signature", &value.replace("=:", ":"));
    assert!(unpadded.judged(&provider, &keys).is_err());
    let twice = good.clone().add("signature", &value);
    assert_eq!(
        cause(&twice, &provider, &keys),
        Cause::SignatureDoubled("signature".into())
    );
    let with_more = good.set("signature", &format!("{value};x"));
    assert_eq!(
        cause(&with_more, &provider, &keys),
        Cause::SignatureMalformed("signature".into())
    );
}

/// A public key is no shared secret, whatever the message says.
#[test]
fn the_algorithm_is_never_the_messages() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----";
    let (shared, _) = generic();
    let Err(problems) = shared.keys(&[text(pem)]) else {
        panic!("a public key was taken for a secret");
    };
    assert!(problems[0].message.contains("public key"), "{problems:?}");
    // Signed with the public key's text as the secret, and named so.
    let other =
        inline("message_signature: {components: [\"@method\", \"@target-uri\", content-digest], parameters: [alg]}");
    let forged = signed(
        &other,
        &other
            .keys(&[text("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs")])
            .expect("keys"),
        b"{}",
        None,
        None,
    );
    assert!(forged.header("signature-input").contains("alg=\"hmac-sha256\""));
    let public = named("http-message-signatures-ed25519");
    let keys = public.keys(&[text(pem)]).expect("keys");
    assert_eq!(cause(&forged, &public, &keys), Cause::AlgorithmWrong);
    let unnamed = forged.clone().set(
        "signature-input",
        &forged.header("signature-input").replace(";alg=\"hmac-sha256\"", ""),
    );
    assert_eq!(cause(&unnamed, &public, &keys), Cause::SignatureWrong { tried: 1 });
    let unsigned = Unsigned {
        method: &http::Method::POST,
        target: "/",
        content_type: None,
        body: &Bytes::new(),
        id: None,
        event: None,
        at: Timestamp::from_secs(NOW),
    };
    let error = public.sign(&unsigned, &keys).expect_err("a public key signs nothing");
    assert!(error.0.contains("private key"), "{error}");
}

#[test]
fn a_delivery_is_known_by_what_must_be_covered() {
    let provider = inline(SCHEME);
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let make = |shop: &str, body: &[u8], at: i64| {
        let shop = format!("{SCHEME}require: {{header:x-shop: {shop}}}\n");
        let signer = inline(&shop);
        let body = Bytes::copy_from_slice(body);
        let unsigned = Unsigned {
            method: &http::Method::POST,
            target: "/hooks/a",
            content_type: None,
            body: &body,
            id: Some("e-1"),
            event: None,
            at: Timestamp::from_secs(at),
        };
        let headers = signer.sign(&unsigned, &keys).expect("signed");
        Attempt {
            method: http::Method::POST,
            target: "/hooks/a".to_owned(),
            headers,
            body,
        }
    };
    let first = make("one", b"{}", NOW);
    let identity = |attempt: &Attempt| attempt.evidence(&provider, &keys).identity.expect("an identity");
    assert!(first.header("signature-input").starts_with("ours=("));
    assert!(first.header("signature-input").contains(";nonce=\""));
    // A retry is signed anew; another shop's event of the same body is another one.
    assert!(identity(&first) == identity(&make("one", b"{}", NOW + 60)));
    assert!(identity(&first) != identity(&make("two", b"{}", NOW)));
    assert!(identity(&first) != identity(&make("one", b"{ }", NOW)));
    // The id is not covered: whoever changes it has the same delivery still.
    let evidence = first.evidence(&provider, &keys);
    assert_eq!(evidence.id.as_ref().map(|id| id.signed), Some(false));
    let renamed = first.clone().set("x-event-id", "e-2");
    assert!(identity(&first) == identity(&renamed));
    assert!(!provider.signs_id());
    let signs = inline(&SCHEME.replace("x-shop]", "x-event-id]"));
    assert!(signs.signs_id());
    assert_eq!(signs.facts().covers, preset::Covers::Body);
    for name in ["signature", "signature-input", "content-digest", "x-shop", "x-event-id"] {
        assert!(provider.reads_header(&HeaderName::from_static(name)), "{name}");
    }
}

#[test]
fn time_and_expiry_are_the_tolerances() {
    let provider = inline(
        "message_signature: {components: [content-digest], parameters: [expires]}\ntimestamp: {from: signature:created, tolerance: 600}",
    );
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let good = signed(&provider, &keys, b"{}", None, None);
    for (now, fresh) in [
        (NOW, true),
        (NOW + 300, true),
        (NOW + 301, false),
        (NOW - 600, true),
        (NOW - 601, false),
    ] {
        let verdict = good.judged_at(&provider, &keys, now);
        assert_eq!(verdict.is_ok(), fresh, "{now}");
        assert!(
            fresh || matches!(verdict, Err(Refusal::Stale { .. })),
            "{now}: {verdict:?}"
        );
    }
    // A wrong signature is told before its time.
    let old = good.clone().set("signature", "sig1=:AAAA:");
    assert!(matches!(
        old.judged_at(&provider, &keys, NOW + 9999),
        Err(Refusal::Unverified(_))
    ));
    let off = Options {
        tolerance: Some(Window::Off),
        ..Options::default()
    };
    let timeless = Provider::compile(&provider.preset, &off).expect("compiles");
    assert!(good.judged_at(&timeless, &keys, NOW + 9_999_999).is_ok());
    let head = good.head();
    let frames = Frames::from(good.body.clone());
    let envelope = Envelope {
        head: &head,
        body: &frames,
    };
    assert_eq!(provider.stated_time(envelope, &keys), Some(Timestamp::from_secs(NOW)));
}

/// A signature is refused before the body is there.
#[test]
fn a_wrong_signature_is_refused_by_its_head() {
    let (provider, keys) = generic();
    let good = signed(&provider, &keys, b"{}", None, None);
    assert!(provider.begin(&good.head(), &keys).is_ok());
    let forged = good.set("signature", "sig1=:AAAA:");
    assert!(matches!(
        provider.begin(&forged.head(), &keys),
        Err(Refusal::Unverified(Cause::SignatureWrong { tried: 1 }))
    ));
}

#[test]
fn several_secrets_and_settings_pick_the_signature() {
    let (provider, _) = generic();
    let keys = provider
        .keys(&[text("the newest secret of all"), text(SECRET)])
        .expect("keys");
    let old = provider.keys(&[text(SECRET)]).expect("keys");
    let good = signed(&provider, &old, b"{}", None, None);
    assert_eq!(good.evidence(&provider, &keys).secret, Some(1));
    let preset = preset("http-message-signatures").expect("a preset");
    for (name, value) in [("label", "ours"), ("tag", "shop"), ("keyid", "key 1")] {
        let picky = compiled(preset, &[(name, value)]);
        let made = signed(&picky, &old, b"{}", None, None);
        made.evidence(&picky, &old);
        made.evidence(&provider, &old);
        assert_eq!(cause(&good, &picky, &old), Cause::SignatureOfOthers, "{name}");
    }
}
