//! What a verified request proves: identity, id and events.

use super::*;

const SECRET: &str = "a secret of the tests";
const WHSEC: &str = "whsec_c3RhbmRhcmQtd2ViaG9va3M=";

fn github() -> (Provider, Keys) {
    let provider = named("github");
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    (provider, keys)
}

fn names(evidence: &Evidence) -> Vec<&str> {
    evidence.events.iter().map(crate::event::EventName::as_str).collect()
}

#[test]
fn github_is_known_by_its_body_and_by_nothing_unsigned() {
    let (provider, keys) = github();
    let body = br#"{"action":"opened","number":2,"pull_request":{"updated_at":"2026-11-25T00:00:00Z"}}"#;
    let one = signed(&provider, &keys, body, Some("d-1"), Some("pull_request.opened"));
    let first = one.evidence(&provider, &keys);
    assert_eq!(names(&first), ["pull_request", "pull_request.opened"]);
    let id = first.id.as_ref().expect("an id");
    assert_eq!((&*id.text, id.signed), ("d-1", false));
    assert_eq!(first.verified, Verified::Signature);
    assert_eq!(
        (first.secret, first.signed_at, first.repeatable),
        (Some(0), None, false)
    );
    let renamed = one.clone().set("X-GitHub-Delivery", "d-2").evidence(&provider, &keys);
    assert!(renamed.identity == first.identity && renamed.mac == first.mac && first.mac.is_some());
    let relabelled = one.clone().set("X-GitHub-Event", "issues").evidence(&provider, &keys);
    assert!(relabelled.identity == first.identity);
    let variant = |evidence: &Evidence| evidence.values().variant();
    assert!(variant(&renamed) != variant(&first) && variant(&relabelled) != variant(&first));
    assert!(variant(&renamed) != variant(&relabelled));
    let other = signed(&provider, &keys, b"{}", Some("d-1"), Some("pull_request")).evidence(&provider, &keys);
    assert!(other.identity != first.identity);
    assert!(matches!(
        one.add("X-GitHub-Event", "push").refusal(&provider, &keys),
        Refusal::Malformed(_)
    ));
}

#[test]
fn frames_do_not_change_the_identity() {
    let (provider, keys) = github();
    // On both sides of the length at which the digest changes.
    for length in [0, 1, 3072, 3073, 10_000] {
        frames_of(&provider, &keys, &vec![b'x'; length]);
    }
}

fn frames_of(provider: &Provider, keys: &Keys, body: &[u8]) {
    let attempt = signed(provider, keys, body, Some("d"), Some("push"));
    let whole = attempt.evidence(provider, keys);
    let head = attempt.head();
    for size in [1, 7, 1000, 2999] {
        let mut frames = Frames::default();
        let mut verifier = provider.begin(&head, keys).expect("begun");
        let mut rest = attempt.body.clone();
        while !rest.is_empty() {
            let frame = rest.split_to(size.min(rest.len()));
            provider.update(&mut verifier, &Bytes::new());
            provider.update(&mut verifier, &frame);
            frames.push(frame);
        }
        let envelope = Envelope {
            head: &head,
            body: &frames,
        };
        match provider.finish(verifier, envelope, keys, Timestamp::from_secs(NOW)) {
            Ok(Finding::Authentic(evidence)) => {
                assert!(evidence.identity == whole.identity && evidence.mac == whole.mac);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_repeatable_event_is_proved_by_its_body() {
    let (provider, keys) = github();
    let repeatable = |body: &[u8], event| {
        signed(&provider, &keys, body, None, Some(event))
            .evidence(&provider, &keys)
            .repeatable
    };
    let ping = br#"{"zen":"Keep it logically awesome.","hook_id":1}"#;
    let edited = br#"{"action":"edited","issue":{"updated_at":"2026-11-25T00:00:00Z"}}"#;
    // The header is not signed, so the name in it changes nothing.
    for event in ["ping", "issues", "push"] {
        assert!(repeatable(ping, event) && !repeatable(b"{}", event));
        assert!(!repeatable(edited, event));
    }
    // Pinned, unpinned and pinned again, an issue keeps its time.
    assert!(repeatable(
        br#"{"action":"pinned","issue":{"updated_at":"2026-11-25T00:00:00Z"}}"#,
        "issues"
    ));
    assert!(repeatable(
        br#"{"issue":{"updated_at":"2026-11-25T00:00:00Z"},"sender":{}}"#,
        "issues"
    ));
    assert!(repeatable(
        br#"{"workflow":".github/workflows/a.yml","ref":"refs/heads/main","inputs":null}"#,
        "workflow_dispatch"
    ));
}

#[test]
fn a_signed_id_is_the_identity() {
    let provider = named("stripe");
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let of = |body: &str| signed(&provider, &keys, body.as_bytes(), None, None).evidence(&provider, &keys);
    let one = of(r#"{"id":"evt_1","type":"invoice.paid"}"#);
    assert_eq!(
        one.id,
        Some(ProviderId {
            text: "evt_1".into(),
            signed: true
        })
    );
    assert_eq!(names(&one), ["invoice.paid"]);
    assert_eq!(one.signed_at, Some(Timestamp::from_secs(NOW)));
    // A retry may differ in what does not matter.
    assert!(of(r#"{"id":"evt_1","type":"invoice.paid","pending_webhooks":0}"#).identity == one.identity);
    assert!(of(r#"{"id":"evt_2","type":"invoice.paid"}"#).identity != one.identity);
    // Without an id, with one that is no text, or in a broken document, the body is the identity.
    for body in ["{}", r#"{"id":{}}"#, "{", ""] {
        let evidence = of(body);
        assert!(evidence.id.is_none() && evidence.identity.is_some(), "{body}");
    }
    // Too long to stand in a header, it is hashed all the same.
    let long = "x".repeat(300);
    let evidence = of(&format!(r#"{{"id":"{long}"}}"#));
    assert!(evidence.id.is_none());
    assert!(of(&format!(r#"{{"id":"{long}","a":1}}"#)).identity == evidence.identity);
}

#[test]
fn an_id_that_holds_the_separator_is_never_the_key_alone() {
    let provider = named("standard-webhooks");
    let keys = provider.keys(&[text(WHSEC)]).expect("keys");
    let of = |id: &str, body: &[u8]| {
        signed(&provider, &keys, body, Some(id), None)
            .evidence(&provider, &keys)
            .identity
    };
    assert!(of("msg_1", b"{}") == of("msg_1", b"{ }"));
    assert!(of("msg.1", b"{}") == of("msg.1", b"{}"));
    assert!(of("msg.1", b"{}") != of("msg.1", b"{ }"));
    assert!(of("msg_1", b"{}") != of("msg_2", b"{}"));
    // Twitch signs id, time and body without separators: the body always enters.
    let twitch = named("twitch");
    let keys = twitch.keys(&[text(SECRET)]).expect("keys");
    let of = |id: &str, body: &[u8]| {
        signed(&twitch, &keys, body, Some(id), None)
            .evidence(&twitch, &keys)
            .identity
    };
    assert!(of("1", b"{}") != of("1", b"{ }"));
    assert!(of("1", b"{}") == of("1", b"{}"));
}

#[test]
fn a_batch_is_known_by_its_body_and_has_the_events_of_all() {
    let provider = inline("name: batch\nsignature: {from: header:X-Sig}\nid: json:/0/id\nevent: json:/*/event");
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let of = |body: &str| signed(&provider, &keys, body.as_bytes(), None, None).evidence(&provider, &keys);
    let one = of(r#"[{"id":"1","event":"open"},{"id":"2","event":"click"},{"id":"3","event":"open"}]"#);
    assert_eq!(names(&one), ["open", "click"]);
    assert!(one.id.is_none());
    assert!(of(r#"[{"id":"1","event":"open"}]"#).identity != one.identity);
    let many: Vec<String> = (0..100).map(|n| format!(r#"{{"event":"e{n}"}}"#)).collect();
    assert!(
        of(&format!("[{}]", many.join(","))).events.is_empty(),
        "too many kinds are forwarded unfiltered"
    );
    for unreadable in [
        r#"[{"event":"open"},{"event":null}]"#,
        r#"[{"event":"ouv\u00e9"},{"event":"open"}]"#,
    ] {
        assert!(
            of(unreadable).events.is_empty(),
            "a filter may not drop what it cannot read: {unreadable}"
        );
    }
}

#[test]
fn fields_and_urls_that_are_signed_enter_the_identity() {
    let provider = inline(
        "name: url\nsignature: {from: header:X-Sig}\nsigned: '{method}{url}{header.X-Nonce}{timestamp}{body}'\ntimestamp: {from: header:X-Time}",
    );
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let sign = |target: &str, nonce: &str, at: i64| {
        let body = Bytes::from_static(b"{}");
        let unsigned = Unsigned {
            method: &http::Method::POST,
            target,
            content_type: None,
            body: &body,
            id: None,
            event: None,
            at: Timestamp::from_secs(at),
        };
        let headers = provider.sign(&unsigned, &keys).expect("signed");
        let attempt = Attempt {
            method: http::Method::POST,
            target: target.to_owned(),
            headers,
            body,
        };
        let made_up = attempt.header("X-Nonce");
        // A nonce of our own: signed by hand through the same template.
        let mut mac = super::super::mac::Mac::new(preset::Algorithm::HmacSha256, SECRET.as_bytes()).expect("a MAC");
        mac.update(format!("POSThttps://hooks.example.com{target}{nonce}{at}{{}}").as_bytes());
        assert!(!made_up.is_empty());
        let sig = data_encoding::HEXLOWER.encode(mac.finish().bytes());
        attempt
            .set("X-Nonce", nonce)
            .set("X-Sig", &sig)
            .evidence(&provider, &keys)
            .identity
    };
    let one = sign("/a?x=1", "n1", NOW);
    assert!(
        one == sign("/a?x=1", "n1", NOW - 5),
        "a re-signed retry is the same delivery"
    );
    assert!(one != sign("/a?x=2", "n1", NOW) && one != sign("/a?x=1", "n2", NOW));
}

#[test]
fn no_unsigned_header_of_shopify_is_part_of_the_identity() {
    let provider = named("shopify");
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let one =
        signed(&provider, &keys, b"{}", Some("w-1"), Some("orders/create")).set("X-Shopify-Shop-Domain", "a.example");
    let first = one.evidence(&provider, &keys);
    for other in [
        one.clone().set("X-Shopify-Shop-Domain", "b.example"),
        one.clone().without("X-Shopify-Shop-Domain"),
        one.clone().set("X-Shopify-Topic", "orders/updated"),
    ] {
        let other = other.evidence(&provider, &keys);
        assert!(other.identity == first.identity && other.values() != first.values());
    }
    // One id for each subscription: it distinguishes nothing.
    let other = one.set("X-Shopify-Webhook-Id", "w-2").evidence(&provider, &keys);
    assert!(other.identity == first.identity && other.values() == first.values());
}

#[test]
fn a_body_that_may_repeat_is_told_apart_by_its_signed_time() {
    let provider = inline(
        "signature: {from: header:X-Sig}\nsigned: '{timestamp}.{body}'\ntimestamp: {from: header:X-Time}\nid: header:X-Id",
    );
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let sign = |at: i64| {
        let mut mac = super::super::mac::Mac::new(preset::Algorithm::HmacSha256, SECRET.as_bytes()).expect("a MAC");
        mac.update(format!("{at}.{{}}").as_bytes());
        let sig = data_encoding::HEXLOWER.encode(mac.finish().bytes());
        signed(&provider, &keys, b"{}", Some("1"), None)
            .set("X-Time", &at.to_string())
            .set("X-Sig", &sig)
    };
    let (first, second) = (sign(NOW), sign(NOW - 1).evidence(&provider, &keys));
    // An unsigned id is not what tells them apart.
    let relabelled = first.clone().set("X-Id", "2").evidence(&provider, &keys);
    let first = first.evidence(&provider, &keys);
    assert_eq!(first.kind, IdentityKind::BodyAndTime);
    assert!(first.identity == second.identity && first.values() != second.values());
    assert!(first.values() == relabelled.values());
}

#[test]
fn a_body_that_may_repeat_without_a_time_is_a_doorbell_unless_the_operator_names_an_id() {
    let preset = Preset::from_yaml("signature: {from: header:X-Sig}\nid: header:X-Id").expect("a preset");
    let options = Options {
        id: Some(vec!["header:X-Id".to_owned()]),
        ..Options::default()
    };
    for (options, kind, repeatable) in [
        (Options::default(), IdentityKind::Doorbell, false),
        (options, IdentityKind::UniqueBody, true),
    ] {
        let provider = Provider::compile(&preset, &options).unwrap_or_else(|problems| panic!("{problems:?}"));
        let keys = provider.keys(&[text(SECRET)]).expect("keys");
        let one = signed(&provider, &keys, b"{}", Some("1"), None).evidence(&provider, &keys);
        assert_eq!((one.kind, one.repeatable), (kind, repeatable));
        assert!(one.identity.is_some());
    }
}

#[test]
fn a_bare_token_has_an_identity_only_by_an_id() {
    let token = named("token");
    let keys = token.keys(&[text(SECRET)]).expect("keys");
    let attempt = signed(&token, &keys, b"{}", None, None);
    let evidence = attempt.evidence(&token, &keys);
    assert!(evidence.identity.is_none() && evidence.mac.is_none());
    assert_eq!((evidence.verified, evidence.secret), (Verified::Token, Some(0)));
    assert!(!token.facts().ledger);

    let telegram = named("telegram");
    let keys = telegram.keys(&[text(SECRET)]).expect("keys");
    let of = |body: &[u8]| signed(&telegram, &keys, body, None, None).evidence(&telegram, &keys);
    let one = of(br#"{"update_id":10000,"x":1}"#);
    assert!(one.identity.is_some() && one.identity == of(br#"{"update_id":10000}"#).identity);
    assert!(one.identity != of(br#"{"update_id":10001}"#).identity);
    assert!(of(b"{}").identity.is_none());
    assert!(telegram.facts().ledger);

    let none = named("none");
    let keys = none.keys(&[]).expect("no keys");
    let evidence = signed(&none, &keys, b"{}", None, None).evidence(&none, &keys);
    assert!(evidence.identity.is_none() && evidence.verified == Verified::None && evidence.secret.is_none());
}

#[test]
fn the_older_of_two_secrets_is_named() {
    let provider = named("github");
    let old = provider.keys(&[text(SECRET)]).expect("keys");
    let both = provider.keys(&[text("the newer secret"), text(SECRET)]).expect("keys");
    let evidence = signed(&provider, &old, b"{}", None, None).evidence(&provider, &both);
    assert_eq!(evidence.secret, Some(1));
    let other = provider.keys(&[text("neither of"), text("these two")]).expect("keys");
    let refusal = signed(&provider, &old, b"{}", None, None).refusal(&provider, &other);
    assert_eq!(refusal, Refusal::Unverified(Cause::SignatureWrong { tried: 2 }));
}

#[test]
fn a_named_id_that_is_unique_for_one_tenant_is_keyed_with_it() {
    let provider = named("cloudevents-webhook");
    let keys = provider.keys(&[text(SECRET)]).expect("keys");
    let of = |source: &str| {
        let one = signed(&provider, &keys, b"{}", Some("1"), None).set("ce-source", source);
        one.evidence(&provider, &keys)
    };
    assert_eq!(of("/a").kind, IdentityKind::NamedId);
    assert!(of("/a").identity == of("/a").identity && of("/a").identity != of("/b").identity);
}
