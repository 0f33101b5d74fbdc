//! What a destination never gets.

use super::*;
use proptest::prelude::*;

#[test]
fn hop_by_hop_headers_stay_behind_with_what_connection_names() {
    let head = request(
        "POST",
        "/h",
        &[
            "Connection: keep-alive, X-Named",
            "Connection: x-NAMED-too , Close",
            "X-Named: 1",
            "X-Named-Too: 1",
            "X-Unnamed: 1",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "Proxy-Authorization: Basic x",
            "Proxy-Anything: x",
            "TE: trailers",
            "Trailer: x-sum",
            "Transfer-Encoding: chunked",
            "Upgrade: h2c",
            "HTTP2-Settings: AAA",
            "Expect: 100-continue",
        ],
    );
    let sent = composed(&head, "x", &plain(), |_| {});
    for name in [
        "connection",
        "x-named",
        "x-named-too",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "proxy-anything",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "expect",
    ] {
        assert_value(&sent, name, None);
    }
    assert_value(&sent, "x-unnamed", Some("1"));
}

#[test]
fn our_namespace_is_ours_in_every_spelling() {
    let head = request(
        "POST",
        "/h",
        &[
            "Hookward-Verified: signature",
            "HOOKWARD_VERIFIED: signature",
            "hookward_source: evil",
            "Hookward-Ledger: local",
            "Hookward-Duplicate: true",
            "Hookward_Repeat: true",
            "hookward-anything: x",
            "hookward__x: x",
            // PHP reads all of these as HTTP_HOOKWARD_EVENT.
            "Hookward.Event: evil",
            "hookward~event: evil",
            "HOOKWARD'Event: evil",
            "Hookwards: not ours",
            "hookward0-x: not ours",
        ],
    );
    let sent = composed(&head, "x", &plain(), |passage| {
        passage.verified = "token";
        passage.event = None;
    });
    let mut ours: Vec<&str> = sent
        .headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|name| name.starts_with("hookward"))
        .collect();
    ours.sort_unstable();
    assert_eq!(
        ours,
        [
            "hookward-attempt",
            "hookward-delivery",
            "hookward-provider",
            "hookward-source",
            "hookward-verified",
            "hookward0-x",
            "hookwards"
        ]
    );
    assert_value(&sent, "hookward-verified", Some("token"));
    assert_value(&sent, "hookward-source", Some("acme"));
}

#[test]
fn connection_cannot_name_our_headers_away() {
    let head = request(
        "POST",
        "/h",
        &["Connection: hookward-verified, x-forwarded-for, host, content-length"],
    );
    let sent = composed(&head, "x", &plain(), |_| {});
    assert_value(&sent, "hookward-verified", Some("signature"));
    assert_value(&sent, "x-forwarded-for", Some("203.0.113.7, 10.0.0.2"));
    assert_value(&sent, "host", Some("in.example:8443"));
    assert_value(&sent, "content-length", Some("1"));
}

#[test]
fn forwarding_headers_are_ours_alone() {
    let head = request(
        "POST",
        "/h",
        &[
            "X-Forwarded-For: 6.6.6.6",
            "X_Forwarded_For: 6.6.6.6",
            "X.Forwarded.For: 6.6.6.6",
            "X-Forwarded-Proto: ftp",
            "X-Forwarded-Host: evil",
            "X-Forwarded-Port: 1",
            "X-Forwarded-Prefix: /evil",
            "Forwarded: for=6.6.6.6",
            "X-Real-IP: 6.6.6.6",
            "X_Real_IP: 6.6.6.6",
            "X-Original-URL: /admin",
            "X-Rewrite-URL: /admin",
            "X-HTTP-Method-Override: DELETE",
            "X-Request-Id: theirs",
        ],
    );
    let sent = composed(&head, "x", &plain(), |_| {});
    for (name, value) in [
        ("x-forwarded-for", Some("203.0.113.7, 10.0.0.2")),
        ("x-forwarded-proto", Some("https")),
        ("x-forwarded-host", Some("in.example:8443")),
        ("x-request-id", Some("our-request")),
        ("x_forwarded_for", None),
        ("x-forwarded-port", None),
        ("x-forwarded-prefix", None),
        ("forwarded", None),
        ("x-real-ip", None),
        ("x_real_ip", None),
        ("x-original-url", None),
        ("x-rewrite-url", None),
        ("x-http-method-override", None),
    ] {
        assert_value(&sent, name, value);
    }
}

#[test]
fn credentials_reach_the_plain_upstream_and_no_other() {
    let head = request(
        "POST",
        "/h?token=s3cret&x=1",
        &[
            "Authorization: Bearer s3cret",
            "X-Gitlab-Token: s3cret",
            "X_Gitlab_Token: s3cret",
            "X-Else: 1",
        ],
    );
    let kept = composed(&head, "x", &plain(), |_| {});
    assert_value(&kept, "authorization", Some("Bearer s3cret"));
    assert_value(&kept, "x-gitlab-token", Some("s3cret"));
    assert_eq!(kept.target.to_string(), "/h?token=s3cret&x=1");

    let withheld = composed(&head, "x", &other(), |_| {});
    assert_eq!(withheld.target.to_string(), "/hooks?ours=1&x=1");
    assert_value(&withheld, "x-else", Some("1"));
    let leaks = withheld
        .headers
        .values()
        .any(|value| value.as_bytes().windows(6).any(|window| window == b"s3cret"));
    assert!(!leaks, "no header bears it, however it is spelled");

    let asked_for = DestinationSpec {
        forward_credentials: true,
        ..other()
    };
    let kept = composed(&head, "x", &asked_for, |_| {});
    assert_value(&kept, "authorization", Some("Bearer s3cret"));
    assert_eq!(kept.target.to_string(), "/hooks?ours=1&token=s3cret&x=1");
}

#[test]
fn what_cannot_be_sent_is_an_error_and_not_a_panic() {
    let mut head = request("POST", "/h", &[]);
    for number in 0..=MOST_HEADERS {
        let name = HeaderName::try_from(format!("x-{number}")).expect("a name");
        head.headers.insert(name, HeaderValue::from_static("x"));
    }
    let source = SourceName::parse("acme").expect("a name");
    let passage = Passage {
        source: &source,
        provider: &ProviderName::parse("github").expect("a name"),
        event: None,
        delivery: HeaderValue::from_static("d"),
        key: &key(&source),
        attempt: 1,
        verified: "signature",
        local_ledger: false,
        repeat: None,
        redelivery: false,
        duplicate: false,
        forwarded_for: HeaderValue::from_static("::1"),
        proto: "http",
        host: None,
        forwarded_host: None,
        request_id: HeaderValue::from_static("r"),
        traceparent: HeaderValue::from_static("t"),
        credential_headers: &[],
        credential_query: &[],
        at: Timestamp::from_secs(0),
    };
    assert!(matches!(
        compose(&head, head.headers.clone(), &Frames::default(), passage, &plain()),
        Err(DeliveryError::Unreachable { .. })
    ));
}

/// A header name that somebody might try, in any case and with either dash.
fn tried_name() -> impl Strategy<Value = String> {
    let stem = prop::sample::select(vec![
        "hookward-verified",
        "hookward-delivery",
        "hookward--x",
        "x-forwarded-for",
        "x-real-ip",
        "x-request-id",
        "connection",
        "te",
        "webhook-signature",
        "content-length",
        "x-else",
    ]);
    (stem, any::<u64>()).prop_map(|(stem, bits)| {
        let change = |(index, letter): (usize, char)| match (bits >> (index % 64) & 1, letter) {
            (1, '-') if index % 2 == 0 => '_',
            (1, '-') => '.',
            (1, letter) => letter.to_ascii_uppercase(),
            (_, letter) => letter,
        };
        stem.chars().enumerate().map(change).collect()
    })
}

proptest! {
    #[test]
    fn nothing_that_comes_in_stands_in_for_what_we_state(
        lines in prop::collection::vec((tried_name(), "[ -~]{0,20}"), 0..30),
        connection in "[a-zA-Z_, -]{0,60}",
    ) {
        let mut head = request("POST", "/h", &[]);
        for (name, value) in &lines {
            let name = HeaderName::try_from(name).expect("a name");
            head.headers.append(name, HeaderValue::try_from(format!("evil{value}")).expect("a value"));
        }
        head.headers.append(header::CONNECTION, HeaderValue::try_from(connection).expect("a value"));
        let signing = DestinationSpec { sign: Some(Secret::new(b"a key of ours".to_vec())), ..other() };
        let sent = composed(&head, "x", &signing, |_| {});
        for (name, value) in &sent.headers {
            let came_in = value.as_bytes().starts_with(b"evil");
            prop_assert!(!came_in || folded(name) == "x-else", "{name}: {value:?}");
            prop_assert!(!name.as_str().starts_with("hookward_") && !name.as_str().starts_with("hookward."), "{name}");
        }
        for name in ["hookward-verified", "hookward-delivery", "x-forwarded-for", "x-request-id", "webhook-signature", "host"] {
            prop_assert_eq!(sent.headers.get_all(name).iter().count(), 1, "{}", name);
        }
    }
}
