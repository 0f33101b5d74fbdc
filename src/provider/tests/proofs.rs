//! Proofs that are more than one MAC over the body: claims of a JWT, alternatives, batches, bare tokens, handshakes.

use super::*;
use crate::provider::mac::Mac;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};

const SECRET: &str = "a secret of the tests";

fn with(yaml: &str) -> (Provider, Keys) {
    let provider = inline(yaml);
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    (provider, keys)
}

/// `HMAC-SHA-256` under the secret of the tests.
fn mac(message: &[u8]) -> Vec<u8> {
    let mut mac = Mac::new(preset::Algorithm::HmacSha256, SECRET.as_bytes()).expect("a MAC");
    mac.update(message);
    mac.finish().bytes().to_vec()
}

fn jwt(claims: &str) -> String {
    let part = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let signed = format!(
        "{}.{}",
        part(br#"{"alg":"HS256","typ":"JWT"}"#),
        part(claims.as_bytes())
    );
    format!("{signed}.{}", part(&mac(signed.as_bytes())))
}

fn posted(target: &str, body: &[u8]) -> Attempt {
    Attempt {
        method: http::Method::POST,
        target: target.to_owned(),
        headers: Vec::new(),
        body: Bytes::copy_from_slice(body),
    }
}

#[test]
fn id_and_event_may_be_claims() {
    let (provider, keys) = with(
        "name: j\nalgorithm: jwt-hs256\nsignature: {from: header:X-Jwt}\nid: claim:jti\nevent: claim:event\nbody_hash: {from: claim:sha256, encoding: hex}",
    );
    let digest = HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(b"{}"));
    let token = jwt(&format!(r#"{{"jti":"j-1","event":"push","sha256":"{digest}"}}"#));
    let evidence = posted("/", b"{}").set("X-Jwt", &token).evidence(&provider, &keys);
    assert_eq!(evidence.id.expect("the claim").text.as_ref(), "j-1");
    assert_eq!(evidence.events[0].as_str(), "push");
}

#[test]
fn a_jwt_names_the_digest_of_nothing_too_unless_the_preset_says_otherwise() {
    for (name, claims, missing) in [
        ("netlify", r#"{"iss":"netlify"}"#, true),
        // Its own SDK asks for none.
        (
            "messagebird-jwt",
            r#"{"iss":"MessageBird","iat":1760000000,"url_hash":"URL"}"#,
            false,
        ),
    ] {
        let provider = named(name);
        let keys = provider.keys(&[text(SECRET)]).expect("keys");
        let url = HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(b"https://hooks.example.com/h"));
        let header = provider.plan.signature.as_ref().expect("it has one").from[0]
            .header()
            .expect("a header");
        let judge = |body: &[u8]| {
            let attempt = posted("/h", body).set(header.as_str(), &jwt(&claims.replace("URL", &url)));
            attempt.judged(&provider, &keys)
        };
        let empty = judge(b"");
        assert_eq!(
            matches!(empty, Err(Refusal::Unverified(Cause::BodyHashMissing(_)))),
            missing,
            "{name}: {empty:?}"
        );
        assert_eq!(empty.is_ok(), !missing, "{name}: {empty:?}");
        let full = judge(b"{}");
        assert!(
            matches!(full, Err(Refusal::Unverified(Cause::BodyHashMissing(_)))),
            "{name}: {full:?}"
        );
    }
}

#[test]
fn of_alternatives_one_that_lacks_a_field_does_not_spoil_the_others() {
    let (provider, keys) = with(
        "name: a\nsignature: {from: header:X-Sig}\nsigned: ['{header.x-one}{body}', '{body}', '{header.x-two}{body}']",
    );
    let good = posted("/", b"{}").set("X-Sig", &HEXLOWER.encode(&mac(b"{}")));
    assert!(good.judged(&provider, &keys).is_ok());
    assert_eq!(
        good.clone().with_body(b"{ }").refusal(&provider, &keys),
        Refusal::Unverified(Cause::SignatureWrong { tried: 1 })
    );
    let (provider, keys) =
        with("name: a\nsignature: {from: header:X-Sig}\nsigned: ['{header.x-one}{body}', '{header.x-two}{body}']");
    // There was nothing to compare with: that is told.
    let refusal = good.refusal(&provider, &keys);
    assert!(
        matches!(refusal, Refusal::Unverified(Cause::FieldMissing(_))),
        "{refusal:?}"
    );
}

#[test]
fn a_batch_is_proved_element_by_element_and_known_by_its_body() {
    let (provider, keys) = with(
        "name: b\neach: /items/*\nsignature: {from: json:/sig}\nsigned: '{json./id}:{json./sum}'\nevent: 'json:/items/*/event'",
    );
    let item = |id: &str, sum: &str, signed: &str| {
        let sig = HEXLOWER.encode(&mac(signed.as_bytes()));
        format!(r#"{{"id":"{id}","sum":"{sum}","event":"paid","sig":"{sig}"}}"#)
    };
    let judge = |items: &[String]| {
        let body = format!(r#"{{"items":[{}]}}"#, items.join(","));
        posted("/", body.as_bytes()).judged(&provider, &keys)
    };
    let (one, two) = (item("1", "5", "1:5"), item("2", "7", "2:7"));
    for batch in [&[one.clone()][..], &[one.clone(), two.clone()]] {
        match judge(batch) {
            Ok(Finding::Authentic(evidence)) => {
                assert!(evidence.mac.is_none() && evidence.identity.is_some());
                assert_eq!(evidence.events.len(), 1);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(judge(&[]).err(), Some(Refusal::Unverified(Cause::BatchEmpty)));
    for forged in [item("2", "8", "2:7"), item("2", "7", "1:5")] {
        for batch in [[one.clone(), forged.clone()], [forged, one.clone()]] {
            let refusal = judge(&batch).err();
            assert_eq!(refusal, Some(Refusal::Unverified(Cause::SignatureWrong { tried: 1 })));
        }
    }
}

#[test]
fn a_signed_text_that_anybody_can_have_signed_proves_nothing_in_a_header_either() {
    let (provider, keys) = with(
        "name: o\nsignature: {from: header:X-Sig}\nsigned: '{header.x-digest}'\nchallenge: [{auth: none, when: {'query:t': '*'}, method: GET, reply: {body: '{hmac(query.t)}'}}]",
    );
    let token = "abc_1";
    let asked = Attempt {
        method: http::Method::GET,
        ..posted(&format!("/?t={token}"), b"")
    };
    let Ok(Finding::Challenge(answer)) = asked.judged(&provider, &keys) else {
        panic!("it is the handshake");
    };
    let signature = std::str::from_utf8(&answer.body).expect("hex");
    let forged = posted("/", b"{}").set("X-Digest", token).set("X-Sig", signature);
    assert_eq!(
        forged.refusal(&provider, &keys),
        Refusal::Unverified(Cause::SignedForAnybody)
    );
    let event = "no token: it has blanks";
    let sent = posted("/", b"{}")
        .set("X-Digest", event)
        .set("X-Sig", &HEXLOWER.encode(&mac(event.as_bytes())));
    assert!(sent.judged(&provider, &keys).is_ok());
}

#[test]
fn an_open_handshake_may_echo_what_its_body_says() {
    let (provider, keys) = with(
        "name: e\nsignature: {from: header:X-Sig}\nchallenge: [{auth: none, when: {'header:x-verify': '*'}, method: POST, reply: {body: '{json./challenge}'}}]",
    );
    let asked = posted("/", br#"{"challenge":"abc"}"#).set("X-Verify", "1");
    match asked.judged(&provider, &keys) {
        Ok(Finding::Challenge(answer)) => assert_eq!(&answer.body[..], b"abc"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_a_provider_that_publishes_its_keys_wants_one() {
    let wanted = |name: &str, settings: &[(&str, &str)]| {
        let attempt = posted("/", b"{}");
        let (head, body) = (attempt.head(), Frames::from(attempt.body.clone()));
        compiled(preset(name).expect("an embedded preset"), settings).wanted_key(Envelope {
            head: &head,
            body: &body,
        })
    };
    assert_eq!(wanted("github", &[]), Ok(None));
    // What names no key is refused before any is asked for.
    assert!(matches!(
        wanted("aws-sns", &[("topic_arn", "arn:aws:sns:eu-west-1:1:a")]),
        Err(Refusal::Unverified(_))
    ));
}

#[test]
fn a_token_without_its_prefix_is_malformed_and_a_wrong_one_is_wrong() {
    let (provider, keys) =
        with("name: t\nalgorithm: token\nsignature: {from: header:Authorization, prefix: 'Bearer '}");
    let judge = |value: &str| {
        posted("/", b"{}")
            .set("Authorization", value)
            .judged(&provider, &keys)
            .err()
    };
    assert_eq!(judge(&format!("Bearer {SECRET}")), None);
    assert_eq!(
        judge("Bearer x"),
        Some(Refusal::Unverified(Cause::TokenWrong { tried: 1 }))
    );
    for value in [SECRET, "Basic x", "bearer x"] {
        let refusal = judge(value);
        assert!(
            matches!(refusal, Some(Refusal::Unverified(Cause::SignatureMalformed(_)))),
            "{value}: {refusal:?}"
        );
    }
}

#[test]
fn an_unsigned_id_refuses_nothing() {
    let provider = named("github");
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let long = signed(&provider, &keys, b"{}", Some(&"x".repeat(300)), Some("push"));
    assert!(long.evidence(&provider, &keys).id.is_none());
}

#[test]
fn the_head_tells_what_no_signature_proves() {
    let told = |verifier: &Verifier| (verifier.is_handshake(), verifier.is_enrolment());
    let provider = named("x-twitter");
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let begun = |attempt: &Attempt| told(&provider.begin(&attempt.head(), &keys).expect("begun"));
    let asked = Attempt {
        method: http::Method::GET,
        ..posted("/hooks?crc_token=1", b"")
    };
    assert_eq!(begun(&asked), (true, false));
    assert_eq!(begun(&signed(&provider, &keys, b"{}", None, None)), (false, false));
    assert_eq!(told(&provider.begin_enrolment()), (true, true));
}
