//! What a destination gets: as received, or stated by us.

use super::*;

#[test]
fn method_target_headers_and_body_pass_as_received() {
    let head = request(
        "POST",
        "/h/%41?x=%20+&x=",
        &[
            "Content-Type: application/json; charset=utf-8",
            "X-Hub-Signature-256: sha256=ab",
            "X-Twice:  first",
            "X-Other: between",
            "X-Twice: \u{e9}second",
            "User-Agent: GitHub-Hookshot/1",
            "Cookie: a=b",
            "X-Empty: ",
        ],
    );
    let sent = composed(&head, "{\"a\": 1}", &plain(), |_| {});
    assert_eq!(
        (sent.method.as_str(), sent.target.to_string().as_str()),
        ("POST", "/h/%41?x=%20+&x=")
    );
    assert_eq!(&sent.body.joined()[..], b"{\"a\": 1}");
    assert_eq!(
        values(&sent, "x-twice"),
        [" first".as_bytes(), "\u{e9}second".as_bytes()]
    );
    for (name, value) in [
        ("content-type", "application/json; charset=utf-8"),
        ("x-hub-signature-256", "sha256=ab"),
        ("user-agent", "GitHub-Hookshot/1"),
        ("cookie", "a=b"),
        ("x-empty", ""),
    ] {
        assert_value(&sent, name, Some(value));
    }
}

#[test]
fn a_delivery_is_named_by_its_signed_id_or_by_its_key() {
    let key = key(&SourceName::parse("acme").expect("a name"));
    let text = key.to_text();
    for (id, expected) in [
        (Some("evt_1"), "evt_1"),
        (Some("with space, inside"), "with space, inside"),
        (None, &*text),
        (Some(""), &*text),
        (Some(" led by space"), &*text),
        (Some("\u{e9}"), &*text),
        (Some("a\r\nb"), &*text),
    ] {
        assert_eq!(&*delivery(id, &key), expected, "{id:?}");
    }
}

#[test]
fn what_we_know_is_stated() {
    let head = request("POST", "/h", &[]);
    let sent = composed(&head, "x", &plain(), |passage| passage.attempt = 3);
    for (name, value) in [
        ("hookward-source", Some("acme")),
        ("hookward-provider", Some("github")),
        ("hookward-event", Some("pull_request.opened")),
        ("hookward-delivery", Some("evt_1")),
        ("hookward-attempt", Some("3")),
        ("hookward-verified", Some("signature")),
        ("hookward-ledger", None),
        ("hookward-repeat", None),
        ("hookward-duplicate", None),
    ] {
        assert_value(&sent, name, value);
    }
    let flagged = composed(&head, "x", &plain(), |passage| {
        passage.local_ledger = true;
        passage.repeat = Some("true");
        passage.duplicate = true;
    });
    for (name, value) in [
        ("hookward-ledger", "local"),
        ("hookward-repeat", "true"),
        ("hookward-duplicate", "true"),
    ] {
        assert_value(&flagged, name, Some(value));
    }
}

#[test]
fn a_trace_is_passed_on_with_its_state_or_begun_without_one() {
    let head = request(
        "POST",
        "/h",
        &["traceparent: 00-theirs", "tracestate: a=1", "tracestate: b=2"],
    );
    let passed = composed(&head, "x", &plain(), |passage| {
        passage.traceparent = HeaderValue::from_static("00-theirs");
    });
    assert_value(&passed, "traceparent", Some("00-theirs"));
    assert_eq!(values(&passed, "tracestate"), [b"a=1", b"b=2"]);
    let minted = composed(&head, "x", &plain(), |_| {});
    assert_value(&minted, "traceparent", Some("00-ours"));
    assert_value(&minted, "tracestate", None);
}

#[test]
fn host_is_the_received_one_for_the_plain_upstream_and_its_own_for_a_destination() {
    let head = request("POST", "/h/deep?x=1", &[]);
    let to_plain = composed(&head, "x", &plain(), |_| {});
    assert_value(&to_plain, "host", Some("in.example:8443"));
    assert_eq!(to_plain.target.to_string(), "/h/deep?x=1");
    let to_other = composed(&head, "x", &other(), |_| {});
    assert_value(&to_other, "host", Some("billing:3000"));
    assert_value(&to_other, "x-forwarded-host", Some("in.example:8443"));
    assert_eq!(to_other.target.to_string(), "/hooks?ours=1&x=1");
    let hostless = composed(&head, "x", &plain(), |passage| {
        (passage.host, passage.forwarded_host) = (None, None);
    });
    assert_value(&hostless, "host", Some("127.0.0.1:3000"));
    assert_value(&hostless, "x-forwarded-host", None);
}

#[test]
fn the_length_is_that_of_the_body() {
    let head = request(
        "POST",
        "/h",
        &["Content-Length: 99", "Content-Length: 98", "Content_Length: 97"],
    );
    assert_value(&composed(&head, "four", &plain(), |_| {}), "content-length", Some("4"));
    assert_value(&composed(&head, "four", &plain(), |_| {}), "content_length", None);
    assert_value(&composed(&head, "", &plain(), |_| {}), "content-length", Some("0"));
    let get = request("GET", "/h?a=1", &[]);
    assert_value(&composed(&get, "", &plain(), |_| {}), "content-length", None);
    assert_value(&composed(&get, "x", &plain(), |_| {}), "content-length", Some("1"));
}

#[test]
fn fixed_headers_replace_received_ones_but_never_ours() {
    let lines = [
        ("x-team", "data"),
        ("x-team", "more"),
        ("hookward-verified", "none"),
        ("connection", "x"),
        ("host", "evil"),
        ("x-forwarded-prefix", "/ours"),
    ];
    let headers = lines
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let to = DestinationSpec { headers, ..other() };
    let sent = composed(&request("POST", "/h", &["X-Team: theirs"]), "x", &to, |_| {});
    assert_eq!(values(&sent, "x-team"), [&b"data"[..], b"more"]);
    assert_value(&sent, "hookward-verified", Some("signature"));
    assert_value(&sent, "connection", None);
    assert_value(&sent, "host", Some("billing:3000"));
    assert_value(&sent, "x-forwarded-prefix", None);
}

#[test]
fn our_signature_replaces_what_came_in() {
    let head = request(
        "POST",
        "/h",
        &[
            "webhook-id: theirs",
            "Webhook-Timestamp: 1",
            "webhook-signature: v1,theirs",
            "webhook_signature: v1,theirs",
        ],
    );
    let unsigned = composed(&head, "x", &other(), |_| {});
    assert_value(&unsigned, "webhook-id", Some("theirs"));

    let signing = DestinationSpec {
        sign: Some(Secret::new(b"a key of ours".to_vec())),
        ..other()
    };
    let signed = composed(&head, "x", &signing, |_| {});
    let id = format!("acme_{}", key(&SourceName::parse("acme").expect("a name")).to_text());
    assert_value(&signed, "webhook-id", Some(&id));
    assert_value(&signed, "webhook-timestamp", Some("1700000000"));
    assert_value(&signed, "webhook_signature", None);
    assert!(values(&signed, "webhook-signature")[0].starts_with(b"v1,"));

    let none = composed(&head, "x", &signing, |passage| passage.verified = "none");
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        assert_value(&none, name, None);
    }
    let unverified = DestinationSpec {
        sign_unverified: true,
        ..signing
    };
    let signed = composed(&head, "x", &unverified, |passage| passage.verified = "none");
    assert_value(&signed, "webhook-id", Some(&id));
}

#[test]
fn the_time_for_an_answer_is_the_smaller_of_timeout_and_deadline_less_a_margin() {
    for (deadline, spent, expected) in [
        (None, 9_000, 10_000),
        (Some(30_000), 0, 10_000),
        (Some(10_000), 0, 9_000),
        (Some(3_000), 200, 2_500),
        (Some(3_000), 4_000, 0),
    ] {
        let time = plain().time(deadline.map(Duration::from_millis), Duration::from_millis(spent));
        assert_eq!(time, Duration::from_millis(expected), "{deadline:?} less {spent}");
    }
}
