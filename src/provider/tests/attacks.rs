//! What a forger or a broken proxy tries, row by row.

use super::*;

const SECRET: &str = "a secret of the tests";

fn with(name: &str) -> (Provider, Keys) {
    let provider = named(name);
    let secret = if name == "standard-webhooks" {
        "whsec_c3RhbmRhcmQtd2ViaG9va3M="
    } else {
        SECRET
    };
    let keys = provider.keys(&[text(secret)]).expect("keys");
    (provider, keys)
}

fn cause(refusal: Refusal) -> Cause {
    match refusal {
        Refusal::Unverified(cause) => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_or_doubled_signature_is_refused_before_the_body() {
    for name in ["github", "stripe", "slack", "shopify", "standard-webhooks"] {
        let (provider, keys) = with(name);
        let attempt = signed(&provider, &keys, b"{}", None, None);
        let header = attempt.headers.last().expect("the signature").0.as_str().to_owned();
        let begin = |attempt: &Attempt| provider.begin(&attempt.head(), &keys).map(|_| ());
        assert_eq!(begin(&attempt), Ok(()), "{name}");
        let missing = begin(&attempt.clone().without(&header)).err().map(cause);
        assert!(
            matches!(missing, Some(Cause::SignatureMissing(_))),
            "{name}: {missing:?}"
        );
        // Good first and bad second, and the reverse.
        for value in [attempt.header(&header), "bad".to_owned()] {
            let doubled = begin(&attempt.clone().add(&header, &value)).err().map(cause);
            assert!(
                matches!(doubled, Some(Cause::SignatureDoubled(_))),
                "{name}: {doubled:?}"
            );
        }
        for value in ["", "garbage", "sha256=zz", "v1=", "v1,", "\u{ff41}"] {
            let malformed = begin(&attempt.clone().set(&header, value)).err().map(cause);
            assert!(
                matches!(
                    malformed,
                    Some(Cause::SignatureMalformed(_) | Cause::TimestampMissing(_))
                ),
                "{name} {value:?}: {malformed:?}"
            );
        }
    }
}

#[test]
fn case_and_confusion_of_encodings_are_refused() {
    let (github, keys) = with("github");
    let good = signed(&github, &keys, b"{}", None, None);
    let value = good.header("X-Hub-Signature-256");
    let digits = value.strip_prefix("sha256=").expect("the prefix").to_owned();
    for bad in [
        value.replace("sha256=", "SHA256="),
        format!("sha256={}", digits.to_uppercase()),
        format!("{value},{value}"),
        format!("{value}, {value}"),
        digits.clone(),
        format!("sha256={}", &digits[..32]),
        format!("sha256={digits}00"),
        format!("sha256= {digits}"),
    ] {
        let refusal = good.clone().set("X-Hub-Signature-256", &bad).refusal(&github, &keys);
        assert!(matches!(refusal, Refusal::Unverified(_)), "{bad}: {refusal:?}");
    }
}

#[test]
fn stripe_takes_one_time_and_sixteen_signatures() {
    let (stripe, keys) = with("stripe");
    let good = signed(&stripe, &keys, b"{}", None, None);
    let value = good.header("Stripe-Signature");
    let (time, mac) = value.split_once(',').expect("time and signature");
    let judged = |value: &str| {
        good.clone()
            .set("Stripe-Signature", value)
            .judged(&stripe, &keys)
            .map(|_| ())
    };
    for fine in [
        format!("{mac},{time}"),
        format!("{time}, {mac}"),
        format!("{time},v0=00,{mac}"),
        format!("{time},v1=,{mac}"),
        format!("{time},{}{mac}", "v1=00,".repeat(15)),
    ] {
        assert_eq!(judged(&fine), Ok(()), "{fine}");
    }
    for bad in [
        format!("{time},{time},{mac}"),
        format!("{time},t=1,{mac}"),
        format!("{time},{}", mac.replace("v1=", "v0=")),
        format!("{time},{}{mac}", "v1=00,".repeat(16)),
        format!("{time},{mac}{}", ",v1=00".repeat(16)),
        format!("{time},{}{mac}", "v1=,".repeat(10_000)),
        mac.to_owned(),
        time.to_owned(),
    ] {
        assert!(
            matches!(judged(&bad), Err(Refusal::Unverified(_))),
            "{}",
            &bad[..40.min(bad.len())]
        );
    }
}

#[test]
fn the_signature_is_judged_before_the_time() {
    let (stripe, keys) = with("stripe");
    let good = signed(&stripe, &keys, b"{}", None, None);
    for (now, age) in [(NOW + 301, 301_000), (NOW - 301, -301_000)] {
        assert_eq!(
            good.judged_at(&stripe, &keys, now).err(),
            Some(Refusal::Stale { age_millis: age })
        );
        let forged = good.clone().with_body(b"{ }").judged_at(&stripe, &keys, now).err();
        assert!(matches!(forged, Some(Refusal::Unverified(_))), "{forged:?}");
    }
    for now in [NOW + 300, NOW - 300] {
        assert!(good.judged_at(&stripe, &keys, now).is_ok());
    }
}

#[test]
fn tolerance_off_and_zero_mean_what_they_say() {
    let preset = preset("stripe").expect("stripe");
    let provider = |tolerance| {
        let options = Options {
            tolerance: Some(tolerance),
            ..Options::default()
        };
        Provider::compile(preset, &options).expect("compiles")
    };
    let exact = provider(Window::Within(Tolerance {
        past: Duration::ZERO,
        future: Duration::ZERO,
    }));
    let keys = exact.keys(&[text(SECRET)]).expect("keys");
    let good = signed(&exact, &keys, b"{}", None, None);
    assert!(good.judged(&exact, &keys).is_ok());
    assert!(good.judged_at(&exact, &keys, NOW + 1).is_err());
    let off = provider(Window::Off);
    assert_eq!(off.facts().tolerance, None);
    assert!(good.judged_at(&off, &keys, NOW + 1_000_000).is_ok());
    let header = good.header("Stripe-Signature");
    let bare = header.split_once(',').expect("two parts").1.to_owned();
    assert!(good.set("Stripe-Signature", &bare).judged(&off, &keys).is_err());
}

#[test]
fn a_signed_id_must_be_there_once_and_be_a_name() {
    let (provider, keys) = with("standard-webhooks");
    let good = signed(&provider, &keys, b"{}", Some("msg_1"), None);
    assert!(good.judged(&provider, &keys).is_ok());
    for bad in [
        good.clone().without("webhook-id"),
        good.clone().add("webhook-id", "msg_1"),
        signed(&provider, &keys, b"{}", Some(&"x".repeat(257)), None),
    ] {
        assert!(matches!(
            provider.begin(&bad.head(), &keys).err(),
            Some(Refusal::Unverified(_))
        ));
    }
    for (name, value) in [
        ("webhook-timestamp", "1760000000"),
        ("webhook-timestamp", "01760000000"),
    ] {
        let doubled = good.clone().add(name, value);
        assert!(matches!(
            doubled.refusal(&provider, &keys),
            Refusal::Unverified(Cause::TimestampDoubled(_))
        ));
    }
}

#[test]
fn a_doubled_key_is_malformed_where_id_or_event_is_read() {
    let (stripe, keys) = with("stripe");
    for body in [
        r#"{"id":"evt_1","id":"evt_2","type":"a"}"#,
        r#"{"id":"evt_1","type":"a","typ\u0065":"b"}"#,
    ] {
        let refusal = signed(&stripe, &keys, body.as_bytes(), None, None).refusal(&stripe, &keys);
        assert!(
            matches!(refusal, Refusal::Malformed(Cause::FieldDoubled(_))),
            "{refusal:?}"
        );
    }
    let harmless = r#"{"id":"evt_1","type":"a","data":{"id":1,"id":2}}"#;
    assert!(
        signed(&stripe, &keys, harmless.as_bytes(), None, None)
            .judged(&stripe, &keys)
            .is_ok()
    );
    // A forger learns nothing of it: unsigned, it is unverified.
    let forged = signed(&stripe, &keys, b"{}", None, None).with_body(br#"{"id":1,"id":2}"#);
    assert!(matches!(forged.refusal(&stripe, &keys), Refusal::Unverified(_)));
}

#[test]
fn the_frames_that_were_fed_must_be_the_body() {
    let (github, keys) = with("github");
    let good = signed(&github, &keys, b"{}", None, None);
    let head = good.head();
    let verifier = github.begin(&head, &keys).expect("begun");
    let frames = Frames::from(good.body.clone());
    let envelope = Envelope {
        head: &head,
        body: &frames,
    };
    let verdict = github.finish(verifier, envelope, &keys, Timestamp::from_secs(NOW));
    assert_eq!(verdict.err(), Some(Refusal::Unverified(Cause::BodyIncomplete)));
}

#[test]
fn causes_never_hold_secrets_or_signatures() {
    let (github, keys) = with("github");
    let good = signed(&github, &keys, b"a very particular body", None, None);
    let signature = good.header("X-Hub-Signature-256");
    let other = github.keys(&[text("another secret of the tests")]).expect("keys");
    for refusal in [
        good.refusal(&github, &other),
        good.clone()
            .set("X-Hub-Signature-256", &signature[..50])
            .refusal(&github, &keys),
        good.clone()
            .add("X-Hub-Signature-256", &signature)
            .refusal(&github, &keys),
    ] {
        let cause = cause(refusal);
        let said = format!("{cause} {cause:?} {}", cause.label());
        for canary in [SECRET, "another secret", &signature[7..20], "particular"] {
            assert!(!said.contains(canary), "{said}");
        }
    }
}

#[test]
fn every_cause_has_a_label_and_a_sentence_of_its_own() {
    let at = || std::sync::Arc::<str>::from("X-At");
    let all = [
        Cause::SignatureMissing(at()),
        Cause::SignatureMalformed(at()),
        Cause::SignatureDoubled(at()),
        Cause::SignaturesTooMany(17),
        Cause::SignatureWrong { tried: 2 },
        Cause::TokenWrong { tried: 1 },
        Cause::AlgorithmWrong,
        Cause::TimestampMissing(at()),
        Cause::TimestampMalformed(at()),
        Cause::TimestampDoubled(at()),
        Cause::FieldMissing(at()),
        Cause::FieldDoubled(at()),
        Cause::FieldWrong(at()),
        Cause::IdMalformed(at()),
        Cause::BodyHashMissing(at()),
        Cause::BodyHashWrong(at()),
        Cause::BodyIncomplete,
        Cause::BatchEmpty,
        Cause::BatchTooLong,
        Cause::FormTooLong,
        Cause::ChallengeMalformed(at()),
        Cause::VerifyTokenWrong(at()),
        Cause::SignedForAnybody,
    ];
    let labels: std::collections::BTreeSet<&str> = all.iter().map(Cause::label).collect();
    let texts: std::collections::BTreeSet<String> = all.iter().map(Cause::to_string).collect();
    assert_eq!((labels.len(), texts.len()), (all.len(), all.len()));
    assert_eq!(
        Refusal::Unverified(Cause::SignatureWrong { tried: 2 }).to_string(),
        "signature does not match any of 2 secrets"
    );
    assert_eq!(Refusal::Stale { age_millis: 412_900 }.to_string(), "signed 412 s ago");
    assert_eq!(
        Refusal::Stale { age_millis: -61_000 }.to_string(),
        "signed 61 s in the future"
    );
}

#[test]
fn an_alternative_that_covers_no_body_is_not_tried_for_other_forms() {
    let mandrill = inline(
        "algorithm: hmac-sha1\nsignature: {from: header:X-Sig, encoding: base64}\nsigned: \"{url}{form_sorted}\"\nname: m",
    );
    let keys = mandrill.keys(&[text(SECRET)]).expect("keys");
    // The signature of a request without a body must not carry any body.
    let empty = signed(&mandrill, &keys, b"", None, None);
    assert!(empty.judged(&mandrill, &keys).is_ok());
    assert!(empty.with_body(b"{\"evil\":1}").judged(&mandrill, &keys).is_err());
}
