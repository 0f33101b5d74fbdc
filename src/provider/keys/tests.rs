//! Keys as they are written, and which of them a request is judged by.

use super::*;

fn text(secret: &str) -> KeyText {
    KeyText {
        secret: Secret::new(secret.as_bytes().to_vec()),
        encoding: Encoding::Preset,
        allow_short: false,
    }
}

#[test]
fn unfit_secrets_are_refused_without_being_quoted() {
    let spki = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";
    for (algorithm, rule, secret) in [
        (Algorithm::HmacSha256, KeyRule::Utf8, ""),
        (Algorithm::HmacSha256, KeyRule::Utf8, "  "),
        (Algorithm::HmacSha256, KeyRule::Utf8, "abc"),
        (Algorithm::HmacSha256, KeyRule::Whsec, "whsec_"),
        (Algorithm::HmacSha256, KeyRule::Whsec, "whsec_not base64"),
        (Algorithm::HmacSha256, KeyRule::Whsec, "whsec_YWJj"),
        (Algorithm::HmacSha256, KeyRule::Hex, "0123456789abcdef0"),
        (
            Algorithm::HmacSha256,
            KeyRule::Utf8,
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        ),
        (
            Algorithm::HmacSha256,
            KeyRule::Whsec,
            "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTI=",
        ),
        (Algorithm::Basic, KeyRule::Utf8, "no-colon-here"),
        (Algorithm::Ed25519, KeyRule::Hex, "0011"),
        (Algorithm::EcdsaP256Sha256, KeyRule::Spki, spki),
        (
            Algorithm::RsaSha256,
            KeyRule::Pem,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        ),
        (Algorithm::JwtEs256, KeyRule::Jwk, "{\"kty\":\"RSA\"}"),
    ] {
        let problems = Keys::compile(algorithm, rule, &[text(secret)]).err().expect(secret);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].at, "/0");
        if secret.trim().len() > 3 {
            assert!(!format!("{problems:?}").contains(secret), "{problems:?}");
        }
    }
}

#[test]
fn a_set_knows_its_keys_by_name_and_one_without_may_be_any() {
    // The key of RFC 8037, appendix A.2.
    let key = |kid: &str| {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        format!(r#"{{"kty":"OKP","crv":"Ed25519",{kid}"x":"{x}"}}"#)
    };
    let published = |text: &str| Keys::published(Algorithm::Ed25519, KeyRule::Jwk, text.as_bytes()).expect("a key");
    let named = published(&format!(
        r#"{{"keys":[{},{}]}}"#,
        key(r#""kid":"a","#),
        key(r#""kid":"b","#)
    ));
    assert!(named.knows("a") && named.knows("b") && !named.knows("c"));
    assert!(published(&key("")).knows("c"));
    let shared = Keys::compile(Algorithm::HmacSha256, KeyRule::Utf8, &[text("a long enough secret")]);
    assert!(!shared.expect("a key").knows("a"));
}

#[test]
fn a_published_certificate_holds_while_it_is_valid() {
    let mut params = rcgen::CertificateParams::new(vec!["keys.example".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 1, 1);
    let pair = rcgen::KeyPair::generate().expect("a key");
    let pem = params.self_signed(&pair).expect("a certificate").pem();
    let published = |rule, text: &str| Keys::published(Algorithm::EcdsaP256Sha256, rule, text.as_bytes());
    let keys = published(KeyRule::Certificate, &pem).expect("a certificate");
    for (secs, holds) in [
        (1_735_689_599, false),
        (1_735_689_600, true),
        (1_767_225_600, true),
        (1_767_225_601, false),
    ] {
        assert_eq!(keys.hold(Timestamp::from_secs(secs)), holds, "{secs}");
    }
    // A bare key has no time of its own.
    let bare = published(KeyRule::Pem, &pair.public_key_pem()).expect("a key");
    assert!(bare.hold(Timestamp::from_secs(0)));
}

#[test]
fn encodings_and_short_keys_are_taken_at_their_word() {
    let mut short = text("abc");
    short.allow_short = true;
    assert!(Keys::compile(Algorithm::HmacSha256, KeyRule::Utf8, &[short]).is_ok());
    let mut base64 = text("bm90IGEgc2VjcmV0");
    base64.encoding = Encoding::Base64;
    assert!(Keys::compile(Algorithm::HmacSha256, KeyRule::Utf8, &[base64]).is_ok());
    assert!(Keys::compile(Algorithm::HmacSha256, KeyRule::Utf8, &[text("8 bytes.")]).is_ok());
    let most = vec![text("a long enough secret"); MAX_SECRETS];
    assert!(Keys::compile(Algorithm::HmacSha256, KeyRule::Utf8, &most).is_ok());
    let many = vec![text("a long enough secret"); MAX_SECRETS + 1];
    let problems = Keys::compile(Algorithm::HmacSha256, KeyRule::Utf8, &many)
        .err()
        .expect("too many");
    assert_eq!(problems[0].at, "/8");
}

#[test]
#[ignore = "a measurement; tests/timing/run"]
fn tokens_are_compared_in_constant_time() {
    let right = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let others = ["0".repeat(64), "another token of the same source".to_owned()];
    let all: Vec<KeyText> = [right, &others[0], &others[1]].map(text).into();
    let keys = Keys::compile(Algorithm::Token, KeyRule::Utf8, &all).unwrap_or_else(|bad| panic!("{bad:?}"));
    let judge = |guess: &String| keys.token(guess.as_bytes()).is_some();
    crate::event::timing::holds("Keys::token", right, |guess| guess, judge);
}
