//! `hookward explain`: every form of a capture, every outcome, whose time counts, and a whole capture at once.

use crate::program::Folder;
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::io::{BufRead, BufReader, Write};

const SECRET: &str = "the phrase of the explain tests";
const BODY: &str = "{\"id\":\"evt_1\",\"type\":\"invoice.paid\"}";
const NOW: i64 = 1_760_000_000;

fn folder() -> Folder {
    let folder = Folder::with_sources(
        "  stripe: {provider: stripe, path: /in/stripe, events: [\"invoice.*\"], max_body: 1KiB, secrets: [{file: old, not_after: 2025-01-01T00:00:00Z}, {file: key}]}\n  \
           github: {provider: github, path: /in/github, secrets: [{file: key}]}\n  \
           slack: {provider: slack, path: /in/slack, secrets: [{file: key}]}\n  \
           cron: {provider: token, path: /in/cron, secrets: [{file: key}]}\n  \
           open: {provider: none, path: /in/open, allow_unverified: true}\n  \
           below: {provider: github, path: \"/below/*\", secrets: [{file: key}]}\n  \
           twilio: {provider: twilio, path: /in/twilio, public_url: \"https://hooks.example.com\", secrets: [{file: key}]}\n  \
           late: {provider: github, path: /in/late, secrets: [{file: absent}], on_missing_secret: unavailable}\n",
    );
    folder.write("key", SECRET);
    folder.write("old", "the phrase before it");
    folder
}

fn mac(secret: &str, parts: &[&[u8]]) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).expect("any length");
    for part in parts {
        mac.update(part);
    }
    HEXLOWER.encode(&mac.finalize().into_bytes())
}

fn stripe_header(secret: &str, at: i64, body: &str) -> String {
    format!(
        "t={at},v1={}",
        mac(secret, &[at.to_string().as_bytes(), b".", body.as_bytes()])
    )
}

fn stripe(at: i64, body: &str) -> String {
    let signature = stripe_header(SECRET, at, body);
    format!("POST /in/stripe HTTP/1.1\r\nHost: h\r\nStripe-Signature: {signature}\r\n\r\n{body}")
}

fn github(headers: &str, body: &str) -> String {
    let mac = mac(SECRET, &[body.as_bytes()]);
    format!(
        "POST /in/github HTTP/1.1\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: sha256={mac}\r\n{headers}\r\n{body}"
    )
}

#[test]
fn a_good_request_is_verified_with_its_event_and_delivery() {
    let folder = folder();
    folder.write("request", stripe(NOW, BODY));
    let verdict = folder.run(&["explain", "stripe", "--request", "request", "-o", "json"]);
    assert_eq!(verdict.code, 0, "{verdict:?}");
    assert_eq!(
        verdict.json(),
        json!({
            "schema_version": 1, "verified": true, "signature_ok": true, "fresh": true, "outcome": "verified",
            "reason": "signature matches secret 2 of 2", "diagnosis": [], "event": "invoice.paid", "delivery": "evt_1",
        })
    );
    let text = folder.run(&["explain", "stripe", "--request", "request"]);
    text.says(0, "√ verified  stripe: signature matches secret 2 of 2\n");
    text.says(0, "judged at 2025-10-09T08:53:20Z (its own signed time");
    text.says(0, "delivery  evt_1\n");
    // Its path names the source.
    folder
        .run(&["explain", "--request", "request"])
        .says(0, "√ verified  stripe");
}

#[test]
fn heads_with_lf_chunks_and_json_give_the_same_verdict() {
    let folder = folder();
    let signature = stripe_header(SECRET, NOW, BODY);
    let (first, rest) = BODY.split_at(5);
    let chunked = format!(
        "POST /in/stripe HTTP/1.1\r\nStripe-Signature: {signature}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
        rest.len()
    );
    let body = BASE64.encode(BODY.as_bytes());
    let object =
        json!({"method": "POST", "url": "/in/stripe", "headers": {"stripe-signature": signature}, "body_base64": body});
    let pairs =
        json!({"url": "https://h.test/elsewhere", "headers": [["Stripe-Signature", signature]], "body_base64": body});
    for request in [
        stripe(NOW, BODY),
        stripe(NOW, BODY).replace("\r\n", "\n"),
        stripe(NOW, BODY).replace(" /in/", " https://h.test/in/"),
        chunked,
        object.to_string(),
        serde_json::to_string_pretty(&pairs).expect("JSON"),
    ] {
        folder.write("request", &request);
        let verdict = folder.run(&["explain", "stripe", "--request", "request", "-o", "json"]);
        assert_eq!(
            (verdict.code, &verdict.json()["delivery"]),
            (0, &"evt_1".into()),
            "{request}"
        );
        let piped = folder.run_with(
            &["explain", "stripe", "--request", "-", "-o", "json"],
            request.as_bytes(),
        );
        assert_eq!(piped.stdout, verdict.stdout);
    }
}

/// A source, what arrived, and what `explain` makes of it: exit code, outcome, `signature_ok`, `fresh`.
type Expected = (&'static str, String, i32, &'static str, bool, bool);

fn outcomes() -> Vec<Expected> {
    let good = stripe(NOW, BODY);
    let challenge = "{\"type\":\"url_verification\",\"challenge\":\"abc\"}";
    let of_slack = mac(SECRET, &[format!("v0:{NOW}:").as_bytes(), challenge.as_bytes()]);
    let slack = format!(
        "POST /in/slack HTTP/1.1\r\nX-Slack-Signature: v0={of_slack}\r\nX-Slack-Request-Timestamp: {NOW}\r\n\r\n{challenge}"
    );
    let expired = stripe_header("the phrase before it", NOW, BODY);
    let expired = format!("POST /in/stripe HTTP/1.1\r\nStripe-Signature: {expired}\r\n\r\n{BODY}");
    let doubled = stripe(NOW, "{\"id\":\"evt_1\",\"id\":\"evt_2\",\"type\":\"x\"}");
    let old_and_forged = stripe(NOW - 301, BODY).replace("paid", "void");
    let open = "POST /in/open HTTP/1.1\r\n\r\nx".to_owned();
    vec![
        ("slack", slack, 0, "challenge", true, true),
        ("stripe", stripe(NOW - 301, BODY), 1, "stale", true, false),
        ("stripe", stripe(NOW + 301, BODY), 1, "stale", true, false),
        ("stripe", good.replace("paid", "void"), 1, "unverified", false, true),
        ("stripe", old_and_forged, 1, "unverified", false, false),
        ("stripe", expired, 1, "unverified", false, true),
        ("stripe", doubled, 1, "malformed", true, true),
        ("stripe", good.replace("Host: h", "none"), 1, "malformed", false, false),
        ("stripe", good, 0, "verified", true, true),
        ("open", open, 0, "verified", true, true),
    ]
}

#[test]
fn every_outcome_has_its_code() {
    let folder = folder();
    let now = NOW.to_string();
    for (source, request, code, outcome, signature_ok, fresh) in outcomes() {
        folder.write("request", &request);
        let ended = folder.run(&["explain", source, "--request", "request", "-o", "json", "--at", &now]);
        assert_eq!(ended.code, code, "{request}: {ended:?}");
        let verdict = ended.json();
        let which = format!("{request}: {verdict}");
        assert_eq!(verdict["outcome"], outcome, "{which}");
        assert_eq!(verdict["verified"], code == 0, "{which}");
        assert_eq!(verdict["signature_ok"], signature_ok, "{which}");
        assert_eq!(verdict["fresh"], fresh, "{which}");
        let said = verdict["diagnosis"].as_array().expect("a list");
        assert_eq!(said.is_empty(), code == 0, "{which}");
        assert_ne!(verdict["reason"], "", "{which}");
        if code != 0 {
            assert_eq!(
                (&verdict["event"], &verdict["delivery"]),
                (&Value::Null, &Value::Null),
                "{which}"
            );
        }
    }
}

#[test]
fn the_time_is_the_flags_else_the_captures_else_now() {
    let folder = folder();
    let judged = |request: &str, args: &[&str]| {
        folder.write("request", request);
        let args = [&["explain", "--request", "request"], args].concat();
        let text = folder.run(&args).stdout;
        text.lines()
            .find_map(|line| line.trim().strip_prefix("judged at "))
            .expect("a line")
            .to_owned()
    };
    let signed = stripe(NOW, BODY);
    assert!(judged(&signed, &["--at", "1760000100"]).starts_with("2025-10-09T08:55:00Z (--at)"));
    assert!(judged(&signed, &[]).starts_with("2025-10-09T08:53:20Z (its own signed time"));
    // A forged one is judged at its time too, so that its age is not held against it.
    assert!(judged(&signed.replace("paid", "void"), &[]).starts_with("2025-10-09T08:53:20Z (its own signed time"));
    let dated = github("Date: Thu, 09 Oct 2025 08:53:21 GMT\r\n", BODY);
    assert!(judged(&dated, &[]).starts_with("2025-10-09T08:53:21Z (its `Date`"));
    assert!(judged(&github("", BODY), &[]).contains("(now"));
    let with_at = json!({"url": "/in/stripe", "at": 1_760_000_200, "headers": {"Stripe-Signature": stripe_header(SECRET, NOW, BODY)}});
    assert!(judged(&with_at.to_string(), &[]).starts_with("2025-10-09T08:56:40Z (the capture's `at`"));
}

#[test]
fn deliveries_are_known_as_the_app_would_know_them() {
    let folder = folder();
    let delivery = |source: &str, request: &str| {
        folder.write("request", request);
        let ended = folder.run(&["explain", source, "--request", "request", "-o", "json"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.json()["delivery"].clone()
    };
    // An unsigned id names nothing: the same body is the same delivery, on one path.
    let first = delivery("github", &github("X-GitHub-Delivery: a\r\n", BODY));
    assert_eq!(first.as_str().expect("a key").len(), 43);
    assert_eq!(first, delivery("github", &github("X-GitHub-Delivery: b\r\n", BODY)));
    assert_ne!(first, delivery("github", &github("", "{}")));
    // Under a prefix the path is no part of the key.
    let below = |path: &str| delivery("below", &github("", BODY).replace("/in/github", path));
    assert_eq!(below("/below/a"), below("/below/b"));
    assert_ne!(below("/below/a"), first);
    // A bare token proves no content, so each request is a delivery of its own, and none can be named before.
    let cron = format!("POST /in/cron HTTP/1.1\r\nAuthorization: Bearer {SECRET}\r\n\r\n{{}}");
    assert_eq!(delivery("cron", &cron), Value::Null);
}

#[test]
fn what_else_would_stop_a_verified_request_is_said() {
    let folder = folder();
    for (request, told) in [
        (
            stripe(NOW, &BODY.replace("invoice.paid", "charge.refunded")),
            "its event `charge.refunded` is not in `events`",
        ),
        (stripe(NOW, &format!("{BODY}{}", " ".repeat(2000))), "over `max_body`"),
        (stripe(NOW, BODY).replace("POST", "PUT"), "does not take `PUT`"),
    ] {
        folder.write("request", &request);
        folder.run(&["explain", "stripe", "--request", "request"]).says(0, told);
    }
}

#[test]
fn a_capture_that_was_cut_is_told() {
    let folder = folder();
    let whole = github(&format!("Content-Length: {}\r\n", BODY.len()), BODY);
    folder.write("request", format!("{whole}\n"));
    folder
        .run(&["explain", "github", "--request", "request"])
        .says(0, "√ verified");
    folder.write("request", &whole[..whole.len() - 3]);
    folder
        .run(&["explain", "github", "--request", "request"])
        .says(1, "3 of them are missing: the capture is cut off");
}

#[test]
fn an_absolute_url_stands_for_public_url() {
    let folder = folder();
    let sign = folder.run_with(&["sign", "twilio", "-o", "json", "--data", "-"], b"A=1");
    let mut request = sign.json();
    assert_eq!(request["url"], "https://hooks.example.com/in/twilio");
    let mut judged = |url: &str| {
        request["url"] = url.into();
        folder
            .run_with(&["explain", "twilio", "--request", "-"], request.to_string().as_bytes())
            .code
    };
    assert_eq!(judged("https://hooks.example.com/in/twilio"), 0);
    assert_eq!(judged("/in/twilio"), 0);
    assert_eq!(judged("https://other.example.com/in/twilio"), 1);
}

#[test]
fn who_cannot_be_judged_is_no_verdict() {
    let folder = folder();
    folder.write("request", stripe(NOW, BODY).replace("/in/stripe", "/in/nowhere"));
    folder.write("nonsense", "hello\n");
    folder
        .run(&["explain", "--request", "request"])
        .complains(2, "which source?");
    folder
        .run(&["explain", "strip", "--request", "request"])
        .complains(2, "did you mean `stripe`?");
    folder
        .run(&["explain", "late", "--request", "request"])
        .complains(77, "does not exist");
    folder
        .run(&["explain", "stripe", "--request", "nonsense"])
        .complains(2, "is no captured request");
    folder
        .run(&["explain", "stripe", "--request", "absent"])
        .complains(2, "cannot be read");
    folder
        .run(&["explain", "stripe", "--request", "request", "-c", "absent.yaml"])
        .complains(78, "no configuration file");
}

#[test]
fn a_key_that_the_sidecar_would_fetch_is_named_and_not_fetched() {
    let topic = "arn:aws:sns:us-east-1:123456789012:orders";
    let folder = Folder::with_sources(&format!(
        "  sns: {{provider: sns, path: /in/sns, settings: {{topic_arn: \"{topic}\"}}}}\n  \
           pubsub: {{provider: google-pubsub, path: /in/pubsub, settings: {{audience: a, email: e}}}}\n"
    ));
    let sns = |topic: &str, host: &str| {
        let body = json!({
            "Type": "Notification", "MessageId": "m-1", "TopicArn": topic, "Message": "m", "SignatureVersion": "2",
            "Timestamp": "2025-10-09T08:53:20.000Z", "Signature": "AAAA",
            "SigningCertURL": format!("https://{host}/SimpleNotificationService-0123.pem"),
        });
        format!("POST /in/sns HTTP/1.1\r\nHost: h\r\n\r\n{body}")
    };
    let verdict = |source: &str, request: String| {
        folder.write("request", request);
        let verdict = folder.run(&["explain", source, "--request", "request", "-o", "json"]);
        assert_eq!(verdict.code, 1, "{verdict:?}");
        verdict.json()
    };
    let host = "sns.us-east-1.amazonaws.com";
    let unknown = verdict("sns", sns(topic, host));
    assert_eq!(unknown["outcome"], "unverified");
    assert_eq!(
        (&unknown["signature_ok"], &unknown["fresh"]),
        (&json!(false), &json!(true))
    );
    let said = |verdict: &Value, what: &str| {
        let whole = verdict.to_string();
        assert!(whole.contains(what), "{what}: {whole}");
    };
    said(
        &unknown,
        "not known: the sidecar fetches the key from https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123.pem",
    );
    said(&unknown, "certificate: {file: PATH}");
    // What it would refuse without fetching anything is told as ever.
    said(
        &verdict("sns", sns(topic, "evil.example")),
        "`/SigningCertURL` has not the value",
    );
    said(&verdict("sns", sns("arn:other", host)), "`/TopicArn` has not the value");
    // {"alg":"RS256","kid":"k"}.{}.
    let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.e30.AAAA";
    let push = |token: &str| format!("POST /in/pubsub HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n{{}}");
    let unknown = verdict("pubsub", push(token));
    said(&unknown, "https://www.googleapis.com/oauth2/v3/certs (`kid` \\\"k\\\")");
    said(&unknown, "jwks: {file: PATH}");
    said(&verdict("pubsub", push("e30.e30.AAAA")), "names another algorithm");
}

#[test]
fn lines_are_answered_in_order_and_at_once() {
    let folder = folder();
    let line = |source: &str, body: &str| {
        json!({
            "source": source, "method": "POST", "url": "/any/path", "at": NOW,
            "headers": {"Stripe-Signature": stripe_header(SECRET, NOW, BODY)},
            "body_base64": BASE64.encode(body.as_bytes()),
        })
        .to_string()
    };
    let mut child = folder.start(&["explain", "--request", "-"]);
    let mut input = child.stdin.take().expect("piped");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut ask = |text: &str| -> Value {
        writeln!(input, "{text}").expect("it reads");
        let mut answer = String::new();
        // The next line is only written when this one is answered: an answer that waits in a buffer would hang here.
        output.read_line(&mut answer).expect("it answers");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    };
    let good = ask(&line("stripe", BODY));
    assert_eq!(
        (&good["schema_version"], &good["verified"], &good["delivery"]),
        (&1.into(), &true.into(), &"evt_1".into())
    );
    assert_eq!(ask(&line("stripe", "{}"))["outcome"], "unverified");
    let error = ask(&line("strip", BODY));
    assert!(
        error["error"]
            .as_str()
            .is_some_and(|text| text.contains("did you mean `stripe`?")),
        "{error}"
    );
    assert!(ask("{").get("error").is_some());
    assert!(
        ask(&line("late", BODY))["error"]
            .as_str()
            .is_some_and(|text| text.contains("does not exist"))
    );
    assert_eq!(
        ask(&line("stripe", BODY).replace("/any/path", "no path"))["outcome"],
        "malformed"
    );
    assert_eq!(ask(&line("stripe", BODY))["verified"], true);
    drop(input);
    assert_eq!(
        child.wait().expect("it ends").code(),
        Some(1),
        "a line could not be judged"
    );

    let all_judged = folder.run_with(
        &["explain", "--request", "-"],
        format!("{}\n\n{}", line("stripe", BODY), line("stripe", "{}")).as_bytes(),
    );
    assert_eq!(
        (all_judged.code, all_judged.stdout.lines().count()),
        (0, 2),
        "{all_judged:?}"
    );
}
