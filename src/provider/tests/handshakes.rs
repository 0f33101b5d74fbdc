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
