//! What an operator is told.

use super::*;

const SECRET: &str = "a secret of the tests";

fn told(provider: &Provider, secrets: &[KeyText], attempt: &Attempt) -> String {
    let keys = provider.keys(secrets).expect("keys");
    let head = attempt.head();
    let frames = Frames::from(attempt.body.clone());
    let envelope = Envelope {
        head: &head,
        body: &frames,
    };
    let refusal = provider
        .verify(envelope, &keys, Timestamp::from_secs(NOW))
        .expect_err("refused");
    let said = provider
        .diagnose(secrets, envelope, Timestamp::from_secs(NOW), &refusal)
        .join("\n");
    for canary in [SECRET, "0123456789abcdef0123"] {
        assert!(!said.contains(canary), "{said}");
    }
    said
}

fn good(provider: &Provider, secret: KeyText, body: &[u8]) -> Attempt {
    let keys = provider.keys(&[secret]).expect("keys");
    signed(provider, &keys, body, None, None)
}

#[test]
fn the_secret_is_tried_in_other_forms() {
    let github = named("github");
    let bytes = text("a secret of the tests\n");
    let said = told(&github, &[text(SECRET)], &good(&github, bytes, b"{}"));
    assert!(said.contains("ends with a newline"), "{said}");
    let said = told(
        &github,
        &[text("a secret of the tests\n")],
        &good(&github, text(SECRET), b"{}"),
    );
    assert!(said.contains("without the blanks"), "{said}");
    let encoded = data_encoding::BASE64.encode(SECRET.as_bytes());
    let said = told(&github, &[text(&encoded)], &good(&github, text(SECRET), b"{}"));
    assert!(said.contains("base64-decoded"), "{said}");
    let encoded = data_encoding::HEXLOWER.encode(SECRET.as_bytes());
    let said = told(&github, &[text(&encoded)], &good(&github, text(SECRET), b"{}"));
    assert!(said.contains("hex-decoded"), "{said}");
}

#[test]
fn a_re_encoded_body_is_told() {
    let github = named("github");
    let minified = good(&github, text(SECRET), br#"{"a":1,"b":[true,"x: y"]}"#);
    for body in [
        "{\"a\": 1, \"b\": [true, \"x: y\"]}",
        "{\n  \"a\": 1,\n  \"b\": [\n    true,\n    \"x: y\"\n  ]\n}",
    ] {
        let said = told(&github, &[text(SECRET)], &minified.clone().with_body(body.as_bytes()));
        assert!(said.contains("removing the blanks"), "{said}");
    }
    let python = good(&github, text(SECRET), br#"{"a": 1, "b": [true, "x:y,z"]}"#);
    let said = told(
        &github,
        &[text(SECRET)],
        &python.with_body(br#"{"a":1,"b":[true,"x:y,z"]}"#),
    );
    assert!(said.contains("as Python writes it"), "{said}");
    let crlf = good(&github, text(SECRET), b"a\r\nb\r\n");
    let said = told(&github, &[text(SECRET)], &crlf.with_body(b"a\nb\n"));
    assert!(said.contains("CRLF instead of LF"), "{said}");
}

#[test]
fn missing_and_foreign_headers_are_named() {
    let github = named("github");
    let attempt = good(&github, text(SECRET), b"{}");
    let sha1 = attempt
        .clone()
        .without("X-Hub-Signature-256")
        .add("X-Hub-Signature", "sha1=0123456789abcdef0123");
    let said = told(&github, &[text(SECRET)], &sha1);
    assert!(
        said.contains("only the SHA-1 header") && said.contains("`x-hub-signature`"),
        "{said}"
    );
    let stripe = attempt
        .clone()
        .without("X-Hub-Signature-256")
        .add("Stripe-Signature", "t=1,v1=00");
    let said = told(&github, &[text(SECRET)], &stripe);
    assert!(said.contains("a request of Stripe"), "{said}");
    let nothing = attempt.clone().without("X-Hub-Signature-256");
    assert!(told(&github, &[text(SECRET)], &nothing).contains("no other header that looks like"));
    let cut = attempt.clone().set("X-Hub-Signature-256", "sha256=0011");
    assert!(told(&github, &[text(SECRET)], &cut).contains("2 bytes where this scheme has 32"));
    let twice = attempt.clone().add("X-Hub-Signature-256", "sha256=00");
    assert!(told(&github, &[text(SECRET)], &twice).contains("more than once"));
    let packed = attempt.with_body(&[0x1f, 0x8b, 8, 0]);
    assert!(told(&github, &[text(SECRET)], &packed).contains("compressed"));
}

#[test]
fn clock_url_and_nothing_near_are_told() {
    let stripe = named("stripe");
    let attempt = good(&stripe, text(SECRET), b"{}");
    let head = attempt.head();
    let frames = Frames::from(attempt.body.clone());
    let envelope = Envelope {
        head: &head,
        body: &frames,
    };
    let now = Timestamp::from_secs(NOW + 412);
    let said = stripe.diagnose(&[text(SECRET)], envelope, now, &Refusal::Stale { age_millis: 412_000 });
    assert!(said[0].contains("signed 412 s ago, tolerance 300 s"), "{said:?}");

    let square = named("square");
    let attempt = good(&square, text(SECRET), b"{}");
    let http = compiled(preset("square").expect("square"), &[]);
    let options = Options {
        public_url: Some("http://hooks.example.com".to_owned()),
        ..Options::default()
    };
    let wrong = Provider::compile(preset("square").expect("square"), &options).expect("compiles");
    let said = told(&wrong, &[text(SECRET)], &attempt);
    assert!(said.contains("the other scheme"), "{said}");
    assert!(
        attempt
            .judged(&http, &http.keys(&[text(SECRET)]).expect("keys"))
            .is_ok()
    );

    let said = told(
        &named("github"),
        &[text("an unrelated secret")],
        &good(&named("github"), text(SECRET), b"{}"),
    );
    assert!(said.contains("most likely the secret is another one"), "{said}");
}
