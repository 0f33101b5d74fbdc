//! What a provider's handshake is answered, and what it is not.

use super::*;

const SECRET: &str = "a secret of the tests";

fn answer(attempt: &Attempt, provider: &Provider, keys: &Keys) -> Answer {
    match attempt.judged(provider, keys) {
        Ok(Finding::Challenge(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn slack_hears_its_challenge_only_when_signed() {
    let provider = named("slack");
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let body = br#"{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
    let asked = signed(&provider, &keys, body, None, None);
    let answer = answer(&asked, &provider, &keys);
    assert_eq!(answer.status, 200);
    assert_eq!(
        &answer.body[..],
        b"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"
    );
    let header = |name: &str| {
        answer
            .headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_bytes())
    };
    assert_eq!(header("content-type"), Some(&b"text/plain"[..]));
    assert_eq!(header("x-content-type-options"), Some(&b"nosniff"[..]));
    let unsigned = asked
        .clone()
        .set("X-Slack-Signature", &format!("v0={}", "00".repeat(32)));
    assert!(matches!(unsigned.refusal(&provider, &keys), Refusal::Unverified(_)));
    assert!(matches!(
        asked.judged_at(&provider, &keys, NOW + 301).err(),
        Some(Refusal::Stale { .. })
    ));
    for challenge in [
        format!("\"{}\"", "x".repeat(1025)),
        "\"a\\nb\"".to_owned(),
        "{}".to_owned(),
        "\"é\"".to_owned(),
    ] {
        let body = format!(r#"{{"challenge":{challenge},"type":"url_verification"}}"#);
        let refusal = signed(&provider, &keys, body.as_bytes(), None, None).refusal(&provider, &keys);
        assert!(
            matches!(refusal, Refusal::Unverified(Cause::ChallengeMalformed(_))),
            "{refusal:?}"
        );
    }
}

#[test]
fn discord_pings_are_told_from_events() {
    // Only the handshake is of interest here, so that the key may be a shared one.
    let yaml = yaml("discord")
        .expect("discord")
        .replace("algorithm: ed25519", "")
        .replace("key: hex", "");
    let provider = inline(&yaml);
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let of = |body: &str| signed(&provider, &keys, body.as_bytes(), None, None);
    let ping = answer(
        &of(r#"{"type":1,"id":"1","application_id":"2","token":"x","version":1}"#),
        &provider,
        &keys,
    );
    assert_eq!((ping.status.as_u16(), &ping.body[..]), (200, &br#"{"type":1}"#[..]));
    let ping = answer(&of(r#"{"version":1,"application_id":"2","type":0}"#), &provider, &keys);
    assert_eq!((ping.status.as_u16(), ping.body.len()), (204, 0));
    let event = of(r#"{"version":1,"type":1,"event":{"type":"APPLICATION_AUTHORIZED","data":{}}}"#);
    assert_eq!(
        event.evidence(&provider, &keys).events[0].as_str(),
        "APPLICATION_AUTHORIZED"
    );
}

#[test]
fn zoom_signs_short_tokens_only() {
    let provider = named("zoom");
    let keys = provider.keys(&[text("zoom test phrase")]).expect("keys");
    let of = |token: &str| {
        let body = format!(r#"{{"payload":{{"plainToken":"{token}"}},"event":"endpoint.url_validation"}}"#);
        signed(&provider, &keys, body.as_bytes(), None, None)
    };
    let said: serde_json::Value =
        serde_json::from_slice(&answer(&of("qgg8vlvZRS6UYooatFL8Aw"), &provider, &keys).body).expect("JSON");
    // As the provider's own SDK answers.
    assert_eq!(said["plainToken"], "qgg8vlvZRS6UYooatFL8Aw");
    assert_eq!(
        said["encryptedToken"],
        "e1c3bbec4fb270dda1e062ccb8d85d4b6173fc8183bdb222204372284299e12e"
    );
    for oracle in ["v0:1760000000:{}", "a b", "", &"x".repeat(129)] {
        let refusal = of(oracle).refusal(&provider, &keys);
        assert!(
            matches!(refusal, Refusal::Unverified(Cause::ChallengeMalformed(_))),
            "{oracle}: {refusal:?}"
        );
    }
}

/// Whatever a handshake signs for anybody, no event is authentic by it.
#[test]
fn no_open_handshake_is_a_signing_oracle() {
    let provider = named("x-twitter");
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let head_of = |method: http::Method, target: &str| Attempt {
        method,
        target: target.to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
    };
    for token in ["0", "true", "null", "eyJ9", "a-b_c", &"x".repeat(128)] {
        let asked = head_of(http::Method::GET, &format!("/hooks?crc_token={token}"));
        let said: serde_json::Value = serde_json::from_slice(&answer(&asked, &provider, &keys).body).expect("JSON");
        let signature = said["response_token"].as_str().expect("a text");
        let forged = head_of(http::Method::POST, "/hooks")
            .with_body(token.as_bytes())
            .set("x-twitter-webhooks-signature", signature);
        assert_eq!(
            forged.refusal(&provider, &keys),
            Refusal::Unverified(Cause::SignedForAnybody),
            "{token}"
        );
    }
    let event = signed(&provider, &keys, b"{}", None, None);
    assert!(matches!(event.judged(&provider, &keys), Ok(Finding::Authentic(_))));
}

#[test]
fn a_preset_cannot_declare_an_oracle() {
    let when = "signature: {from: header:X-S}\nchallenge: [{auth: none, when: {'query:t': '*'}, method: GET, ";
    for (yaml, words) in [
        (
            format!("signed: '{{body}}{{header.x-b}}'\n{when}reply: {{body: '{{hmac(query.t)}}'}}}}]"),
            "anybody could have it sign",
        ),
        (format!("{when}reply: {{body: '{{json./a}}'}}}}]"), "has no body to read"),
        (
            "signature: {from: header:X-S}\nchallenge: [{auth: none, when: {'json:/a': '*'}, reply: {}}]".to_owned(),
            "`when` reads more",
        ),
        (
            "signature: {from: header:X-S}\nchallenge: [{auth: none, when: {'query:t': '*'}, reply: {body: '{hmac(json./a)}'}}]".to_owned(),
            "nothing of the body",
        ),
        (format!("{when}token: 'query:t', reply: {{}}}}]"), "belongs to `auth: verify_token`"),
        (
            "signature: {from: header:X-S}\nchallenge: [{auth: none, method: GET, reply: {}}]".to_owned(),
            "at least one field",
        ),
        (
            "signature: {from: header:X-S}\nchallenge: [{auth: verify_token, when: {'query:t': '*'}, reply: {}}]".to_owned(),
            "needs `token`",
        ),
        (
            "signature: {from: header:X-S}\nchallenge: [{method: GET, when: {'query:t': '*'}, reply: {}}]".to_owned(),
            "that no signature proves",
        ),
        (
            "signature: {from: header:X-S}\nchallenge: [{auth: none, method: DELETE, when: {'query:t': '*'}, reply: {}}]".to_owned(),
            "no method of handshakes",
        ),
    ] {
        let preset = Preset::from_yaml(&yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
        let problems = Provider::compile(&preset, &Options::default()).err().expect(&yaml);
        assert!(problems.iter().any(|one| one.message.contains(words)), "{yaml}: {problems:?}");
    }
}

#[test]
fn a_missing_verify_token_is_a_problem_of_the_settings() {
    let problems = Provider::compile(preset("meta").expect("meta"), &Options::default())
        .err()
        .expect("a problem");
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].at, "/settings/verify_token");
    // One that is empty lets nobody in.
    let meta = compiled(preset("meta").expect("meta"), &[("verify_token", "")]);
    let keys = meta.keys(&[text(SECRET)]).expect("keys");
    let asked = Attempt {
        method: http::Method::GET,
        target: "/hooks?hub.mode=subscribe&hub.challenge=1&hub.verify_token=".to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
    };
    assert!(matches!(
        asked.refusal(&meta, &keys),
        Refusal::Unverified(Cause::VerifyTokenWrong(_))
    ));
}
