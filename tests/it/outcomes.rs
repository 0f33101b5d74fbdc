//! One test an outcome of the contract's table: status, header, body, and whether the app saw it.

use super::support::{Answer, App, Request, Script, Sidecar, sidecar::NOW, signed, wire::Connection};
use std::time::Duration;

const SOURCES: &str = "
sources:
  github:
    provider: github
    path: /github
    secrets: [{env: SECRET}]
  stripe:
    provider: stripe
    path: /stripe
    secrets: [{env: SECRET}]
  slack:
    provider: slack
    path: /slack
    secrets: [{env: SECRET}]
  shop:
    provider: standard-webhooks
    path: /shop
    secrets: [{env: WHSEC}]
    events: [\"order.*\"]
  cron:
    provider: token
    path: /cron
    secrets: [{env: TOKEN}]
  legacy:
    provider: none
    path: /legacy
    allow_unverified: true
";

fn stand() -> (App, Sidecar) {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    (app, sidecar)
}

/// A refusal of ours: the problem document, counted once.
fn assert_problem(sidecar: &Sidecar, answer: &Answer, status: u16, source: &str, outcome: &str) {
    assert_eq!((answer.status, answer.outcome()), (status, outcome));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let document = answer.json();
    assert_eq!(document["type"], format!("urn:hookward:outcome:{outcome}"));
    assert_eq!(document["status"], status);
    assert!(document["title"].is_string() && document["request_id"].is_string());
    assert_eq!(
        document.as_object().expect("an object").len(),
        4,
        "nothing else: {document}"
    );
    assert!(
        counted(sidecar, source, outcome) >= 1.0,
        "{outcome} was not counted for {source:?}"
    );
}

fn counted(sidecar: &Sidecar, source: &str, outcome: &str) -> f64 {
    sidecar.metric(&format!(
        "hookward_requests_total{{source=\"{source}\",outcome=\"{outcome}\"}}"
    ))
}

#[test]
fn delivered() {
    let (app, sidecar) = stand();
    app.script([Script {
        headers: vec![
            ("x-app", "yes".to_owned()),
            ("set-cookie", "a=b".to_owned()),
            ("server", "x".to_owned()),
        ],
        ..Script::status(202)
    }]);
    let answer = sidecar.send(&signed::github("/github", "d-1", b"{}"));
    assert_eq!((answer.status, answer.outcome()), (202, "delivered"));
    assert_eq!(
        (
            answer.header("x-app"),
            answer.header("set-cookie"),
            answer.header("server")
        ),
        (Some("yes"), None, None)
    );
    assert_eq!(answer.body, b"from the app");
    assert!((counted(&sidecar, "github", "delivered") - 1.0).abs() < f64::EPSILON);
}

#[test]
fn duplicate() {
    let (app, sidecar) = stand();
    let request = signed::github("/github", "d-1", b"{}");
    sidecar.send(&request);
    let answer = sidecar.send(&request);
    assert_eq!((answer.status, answer.outcome()), (200, "duplicate"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json()["outcome"], "duplicate");
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn replayed() {
    let (app, sidecar) = stand();
    let request = signed::stripe("/stripe", NOW, br#"{"id":"evt_1","type":"invoice.paid"}"#);
    assert_eq!(sidecar.send(&request).outcome(), "delivered");
    assert_problem(&sidecar, &sidecar.send(&request), 409, "stripe", "replayed");
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn replayed_where_duplicates_are_to_be_rejected() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "
sources:
  github:
    provider: github
    path: /github
    secrets: [{env: SECRET}]
    replay: {keep: 7d, duplicates: reject}
",
    );
    let request = signed::github("/github", "d-1", b"{}");
    sidecar.send(&request);
    assert_problem(&sidecar, &sidecar.send(&request), 409, "github", "replayed");
}

#[test]
fn duplicates_are_forwarded_where_asked_for() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "
sources:
  github:
    provider: github
    path: /github
    secrets: [{env: SECRET}]
    replay: {keep: 7d, duplicates: forward}
",
    );
    let request = signed::github("/github", "d-1", b"{}");
    sidecar.send(&request);
    assert_eq!(sidecar.send(&request).outcome(), "delivered");
    let seen = app.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(
        (
            seen[0].header("hookward-duplicate"),
            seen[1].header("hookward-duplicate")
        ),
        (None, Some("true"))
    );
}

#[test]
fn conflict() {
    let (app, sidecar) = stand();
    assert_eq!(
        sidecar.send(&signed::github("/github", "d-1", b"{}")).outcome(),
        "delivered"
    );
    let disguised = signed::github("/github", "d-2", b"{}");
    assert_problem(&sidecar, &sidecar.send(&disguised), 409, "github", "conflict");
    assert_eq!(app.seen().len(), 1);
}

/// Judged earlier it would let a second hook, or whoever captured a request, block the honest one.
#[test]
fn there_is_no_conflict_before_it_is_delivered() {
    let (app, sidecar) = stand();
    app.script([Script::status(500)]);
    let attempt = |id| sidecar.send(&signed::github("/github", id, b"{}"));
    assert_eq!(attempt("d-1").outcome(), "upstream_failed");
    assert_eq!(
        attempt("d-2").outcome(),
        "delivered",
        "at a failed one another id goes on"
    );
    // The id of the delivered attempt is the one that counts.
    assert_eq!(attempt("d-2").outcome(), "duplicate");
    // The other one came before the delivery, and nobody has had it: it is delivered once, as a repeat.
    assert_eq!(attempt("d-1").outcome(), "delivered");
    assert_eq!(attempt("d-1").outcome(), "duplicate");
    assert_eq!(attempt("d-9").outcome(), "conflict");
    // One with other values does not join one under way: it waits, and is delivered as a repeat.
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| sidecar.send(&signed::github("/github", "d-3", b"[]")));
        app.wait_for(4);
        let second = scope.spawn(|| sidecar.send(&signed::github("/github", "d-4", b"[]")));
        while sidecar.metric("hookward_in_flight") < 2.0 {
            std::thread::yield_now();
        }
        open.send_replace(true);
        assert_eq!(first.join().expect("no panic").outcome(), "delivered");
        assert_eq!(second.join().expect("no panic").outcome(), "delivered");
    });
    let seen = app.seen();
    let marks: Vec<_> = seen.iter().map(|seen| seen.header("hookward-repeat")).collect();
    assert_eq!(marks, [None, None, Some("true"), None, Some("true")]);
    let names: Vec<_> = seen.iter().map(|seen| seen.header("hookward-delivery")).collect();
    assert!(names[0] == names[1] && names[1] != names[2] && names[3] != names[4]);
}

#[test]
fn an_honest_repeat_is_no_conflict() {
    let (app, sidecar) = stand();
    let ping = br#"{"zen":"Speak like a human.","hook_id":1,"hook":{"type":"Repository"}}"#;
    assert_eq!(
        sidecar
            .send(&signed::github_event("/github", "ping", "d-1", ping))
            .outcome(),
        "delivered"
    );
    assert_eq!(
        sidecar
            .send(&signed::github_event("/github", "ping", "d-2", ping))
            .outcome(),
        "delivered"
    );
    assert_eq!(app.seen()[1].header("hookward-repeat"), Some("true"));
    // The same body under another event is another delivery, and a push cannot borrow the licence of a ping.
    let push = br#"{"ref":"refs/heads/main"}"#;
    assert_eq!(
        sidecar
            .send(&signed::github_event("/github", "ping", "d-3", push))
            .outcome(),
        "delivered"
    );
    assert_eq!(
        sidecar
            .send(&signed::github_event("/github", "ping", "d-4", push))
            .outcome(),
        "conflict"
    );
}

#[test]
fn in_flight() {
    let (app, sidecar) = stand();
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    let request = signed::github("/github", "d-1", b"{}");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| sidecar.send(&request));
        app.wait_for(1);
        let joiners: Vec<_> = (0..4).map(|_| scope.spawn(|| sidecar.send(&request))).collect();
        while sidecar.metric("hookward_in_flight") < 5.0 {
            std::thread::yield_now();
        }
        // Four wait; the fifth is told to come again. Which of them enters the wait last is not to be seen from here,
        // so further ones are sent until one is refused.
        let refused = loop {
            let mut connection = Connection::open(sidecar.addresses.webhooks);
            connection.write(&request.head());
            connection.write(&request.body);
            if let Some(answer) = connection.answer() {
                break answer;
            }
        };
        assert_problem(&sidecar, &refused, 503, "github", "in_flight");
        assert!(refused.header("retry-after").is_some());
        open.send_replace(true);
        assert_eq!(first.join().expect("no panic").outcome(), "delivered");
        for joiner in joiners {
            assert_eq!(joiner.join().expect("no panic").outcome(), "delivered");
        }
    });
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn filtered() {
    let (app, sidecar) = stand();
    let answer = sidecar.send(&signed::standard(
        "/shop",
        "m-1",
        NOW,
        br#"{"type":"customer.created"}"#,
    ));
    assert_eq!((answer.status, answer.outcome()), (200, "filtered"));
    assert_eq!(answer.json()["outcome"], "filtered");
    assert!(app.seen().is_empty());
    // What cannot be read is forwarded: a filter never drops what it does not understand.
    assert_eq!(
        sidecar
            .send(&signed::standard("/shop", "m-2", NOW, b"not json"))
            .outcome(),
        "delivered"
    );
}

#[test]
fn challenge() {
    let (app, sidecar) = stand();
    let body = br#"{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
    let mac = signed::hmac_sha256(signed::SECRET.as_bytes(), &[format!("v0:{NOW}:").as_bytes(), body]);
    let request = Request::post("/slack", body)
        .header("Content-Type", "application/json")
        .header("X-Slack-Request-Timestamp", NOW.to_string())
        .header(
            "X-Slack-Signature",
            format!("v0={}", data_encoding::HEXLOWER.encode(&mac)),
        );
    let answer = sidecar.send(&request);
    assert_eq!((answer.status, answer.outcome()), (200, "challenge"));
    assert_eq!(answer.body, b"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let forged = sidecar.send(&request.replace("X-Slack-Signature", format!("v0={}", "0".repeat(64))));
    assert_eq!((forged.status, forged.outcome()), (401, "unverified"));
    assert!(app.seen().is_empty());
}

#[test]
fn malformed() {
    let (app, sidecar) = stand();
    let good = signed::github("/github", "d-1", b"{}");
    for (request, status) in [
        (good.clone().without("Host"), 400),
        (good.clone().header("Host", "two.example.com"), 400),
        (good.clone().header("Expect", "miracles"), 417),
        (
            good.clone()
                .without("Content-Length")
                .header("Transfer-Encoding", "gzip, chunked"),
            501,
        ),
        (
            Request {
                target: "/github/../github".to_owned(),
                ..good.clone()
            },
            400,
        ),
        (
            Request {
                target: format!("/github?{}", "q".repeat(66_000)),
                ..good.clone()
            },
            414,
        ),
        (good.clone().header("Connection", "x-hub-signature-256"), 400),
    ] {
        let answer = sidecar.send(&request);
        assert_eq!(
            (answer.status, answer.outcome()),
            (status, "malformed"),
            "{} {:?}",
            request.target,
            request.headers
        );
    }
    assert!(app.seen().is_empty());
}

#[test]
fn malformed_where_a_verified_body_has_a_doubled_key() {
    let (app, sidecar) = stand();
    let answer = sidecar.send(&signed::stripe(
        "/stripe",
        NOW,
        br#"{"id":"evt_1","type":"a","id":"evt_2"}"#,
    ));
    assert_problem(&sidecar, &answer, 400, "stripe", "malformed");
    assert!(app.seen().is_empty());
}

#[test]
fn malformed_host() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, &format!("hosts: [hooks.example.com]\n{SOURCES}"));
    assert_eq!(
        sidecar.send(&signed::github("/github", "d-1", b"{}")).outcome(),
        "delivered"
    );
    let other = sidecar.send(&signed::github("/github", "d-2", b"{}").replace("Host", "other.example.com"));
    assert_problem(&sidecar, &other, 421, "", "malformed");
}

#[test]
fn no_source() {
    let (app, sidecar) = stand();
    for target in ["/", "/nowhere", "/github/", "/GITHUB", "/githu"] {
        assert_problem(
            &sidecar,
            &sidecar.send(&Request::post(target, "{}")),
            404,
            "",
            "no_source",
        );
    }
    assert!(app.seen().is_empty());
}

#[test]
fn method() {
    let (app, sidecar) = stand();
    for name in ["GET", "PUT", "DELETE", "post", "FOO"] {
        let answer = sidecar.send(&Request::post("/github", "").method(name));
        assert_problem(&sidecar, &answer, 405, "github", "method");
        assert_eq!(answer.header("allow"), Some("POST"), "{name}");
    }
    for (name, target) in [("CONNECT", "example.com:443"), ("TRACE", "/github"), ("OPTIONS", "*")] {
        let request = Request {
            method: name,
            ..Request::post(target, "")
        };
        let answer = sidecar.send(&request);
        assert_eq!((answer.status, answer.outcome()), (405, "method"), "{name}");
        assert_eq!(answer.header("connection"), Some("close"), "{name}");
    }
    assert!(app.seen().is_empty());
}

#[test]
fn client_denied() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "
sources:
  legacy:
    provider: none
    path: /legacy
    allow_unverified: true
    allow_from: [192.0.2.0/24]
client_ip: {trust: [127.0.0.0/8]}
",
    );
    let request = Request::post("/legacy", "{}");
    assert_problem(&sidecar, &sidecar.send(&request), 403, "legacy", "client_denied");
    let allowed = request.header("X-Forwarded-For", "203.0.113.1, 192.0.2.7");
    assert_eq!(sidecar.send(&allowed).outcome(), "delivered");
    assert_eq!(app.seen()[0].header("hookward-verified"), Some("none"));
    assert_eq!(app.seen()[0].header("x-forwarded-for"), Some("192.0.2.7, 127.0.0.1"));
}

#[test]
fn unverified() {
    let (app, sidecar) = stand();
    let good = signed::github("/github", "d-1", b"{}");
    let wrong = format!("sha256={}", "0".repeat(64));
    let bodies: Vec<serde_json::Value> = [
        good.clone().without("X-Hub-Signature-256"),
        good.clone().replace("X-Hub-Signature-256", wrong.clone()),
        good.clone().replace("X-Hub-Signature-256", "sha256="),
        good.clone().header("X-Hub-Signature-256", wrong),
        good.clone().replace("X-Hub-Signature-256", "\u{fc}\u{fc}"),
        Request {
            body: b"[]".to_vec(),
            ..good.clone()
        },
        Request::post("/cron", "{}").header("Authorization", "Bearer wrong"),
        Request::post("/stripe", "{}").header("Stripe-Signature", format!("t={NOW},v0={}", "0".repeat(64))),
    ]
    .iter()
    .map(|request| {
        let answer = sidecar.send(request);
        let source = request.target.trim_start_matches('/');
        assert_problem(&sidecar, &answer, 401, source, "unverified");
        let mut document = answer.json();
        document["request_id"] = serde_json::Value::Null;
        document
    })
    .collect();
    assert!(
        bodies.windows(2).all(|pair| pair[0] == pair[1]),
        "one body for all of them: {bodies:?}"
    );
    assert!(app.seen().is_empty());
}

#[test]
fn stale() {
    let (app, sidecar) = stand();
    for at in [NOW - 301, NOW + 301] {
        let request = signed::stripe("/stripe", at, br#"{"id":"evt_1"}"#);
        assert_problem(&sidecar, &sidecar.send(&request), 401, "stripe", "stale");
    }
    for (n, at) in [NOW - 300, NOW + 300].into_iter().enumerate() {
        let body = format!(r#"{{"id":"evt_{n}"}}"#);
        assert_eq!(
            sidecar.send(&signed::stripe("/stripe", at, body.as_bytes())).outcome(),
            "delivered"
        );
    }
    assert_eq!(app.seen().len(), 2);
}

#[test]
fn penalized() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "
client_ip: {trust: [127.0.0.0/8]}
limits: {workers: 2, failed_verifications: {rate: 6/m, burst: 3}}
sources:
  github:
    provider: github
    path: /github
    secrets: [{env: SECRET}]
  other:
    provider: github
    path: /other
    secrets: [{env: SECRET}]
",
    );
    let from = |client: &str, request: Request| request.header("X-Forwarded-For", client);
    let forged =
        || signed::github("/github", "d-1", b"{}").replace("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)));
    for _ in 0..3 {
        assert_eq!(sidecar.send(&from("192.0.2.1", forged())).outcome(), "unverified");
    }
    let answer = sidecar.send(&from("192.0.2.1", signed::github("/github", "d-1", b"{}")));
    assert_problem(&sidecar, &answer, 429, "github", "penalized");
    assert_eq!(answer.header("retry-after"), Some("10"));
    assert!(
        answer
            .header("ratelimit")
            .expect("RateLimit")
            .starts_with("\"source\";r=0;t=")
    );
    assert_eq!(answer.header("ratelimit-policy"), Some("\"source\";q=3;w=30"));
    assert_eq!(
        sidecar
            .send(&from("192.0.2.2", signed::github("/github", "d-2", b"[2]")))
            .outcome(),
        "delivered"
    );
    assert_eq!(
        sidecar
            .send(&from("192.0.2.1", signed::github("/other", "d-3", b"{}")))
            .outcome(),
        "delivered"
    );
    sidecar.advance(Duration::from_secs(10));
    assert_eq!(
        sidecar
            .send(&from("192.0.2.1", signed::github("/github", "d-1", b"{}")))
            .outcome(),
        "delivered"
    );
    // It verified within 24 h: from now on it is not penalized for what it gets wrong.
    for _ in 0..10 {
        assert_eq!(sidecar.send(&from("192.0.2.1", forged())).outcome(), "unverified");
    }
}

#[test]
fn rate_limited() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "
sources:
  github:
    provider: github
    path: /github
    secrets: [{env: SECRET}]
    rate_limit: {per: source, rate: 1/s, burst: 2}
",
    );
    let request = |n: u32| signed::github("/github", &format!("d-{n}"), n.to_string().as_bytes());
    for n in 0..2 {
        assert_eq!(sidecar.send(&request(n)).outcome(), "delivered");
    }
    // A duplicate spends nothing, and is not refused either.
    assert_eq!(sidecar.send(&request(0)).outcome(), "duplicate");
    let answer = sidecar.send(&request(2));
    assert_problem(&sidecar, &answer, 429, "github", "rate_limited");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("ratelimit-policy"), Some("\"source\";q=2;w=2"));
    sidecar.advance(Duration::from_secs(1));
    assert_eq!(sidecar.send(&request(2)).outcome(), "delivered");
    assert_eq!(app.seen().last().expect("three").header("hookward-attempt"), Some("1"));
}

#[test]
fn too_slow() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, &format!("limits: {{workers: 2, body_timeout: 50ms}}\n{SOURCES}"));
    let request = signed::github("/github", "d-1", b"{\"a\":1}");
    let mut connection = Connection::open(sidecar.addresses.webhooks);
    connection.write(&request.head());
    connection.write(&request.body[..3]);
    let answer = connection.answer().expect("an answer");
    assert_problem(&sidecar, &answer, 408, "github", "too_slow");
    assert!(connection.is_closed());
    assert!(app.seen().is_empty());
}

#[test]
fn too_large() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "
sources:
  github:
    provider: github
    path: /github
    secrets: [{env: SECRET}]
    max_body: 1KiB
",
    );
    let exact = vec![b'x'; 1024];
    assert_eq!(
        sidecar.send(&signed::github("/github", "d-1", &exact)).outcome(),
        "delivered"
    );
    let over = signed::github("/github", "d-2", &vec![b'x'; 1025]);
    assert_problem(&sidecar, &sidecar.send(&over), 413, "github", "too_large");
    let mut chunked = Connection::open(sidecar.addresses.webhooks);
    chunked.write(
        &over
            .clone()
            .without("Content-Length")
            .header("Transfer-Encoding", "chunked")
            .head(),
    );
    chunked.write(b"401\r\n");
    chunked.write(&over.body);
    chunked.write(b"\r\n0\r\n\r\n");
    assert_problem(
        &sidecar,
        &chunked.answer().expect("an answer"),
        413,
        "github",
        "too_large",
    );
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn overloaded() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, &format!("limits: {{workers: 2, in_flight: 1}}\n{SOURCES}"));
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| sidecar.send(&signed::github("/github", "d-1", b"{}")));
        app.wait_for(1);
        let answer = sidecar.send(&signed::github("/github", "d-2", b"[]"));
        assert_problem(&sidecar, &answer, 503, "github", "overloaded");
        assert!(answer.header("retry-after").is_some());
        open.send_replace(true);
        assert_eq!(first.join().expect("no panic").outcome(), "delivered");
    });
}

#[test]
fn overloaded_by_bodies() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        &format!("limits: {{workers: 2, buffered_bytes: 64KiB}}\n{SOURCES}"),
    );
    let answer = sidecar.send(&signed::github("/github", "d-1", &vec![b'x'; 100_000]));
    assert_problem(&sidecar, &answer, 503, "github", "overloaded");
    assert_eq!(
        sidecar
            .send(&signed::github("/github", "d-2", &vec![b'x'; 60_000]))
            .outcome(),
        "delivered"
    );
}

#[test]
fn upstream_unreachable() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &App::start(),
        &format!(
            "
sources:
  github:
    provider: github
    path: /github
    secrets: [{{env: SECRET}}]
    to: [gone]
destinations:
  gone: {{url: \"{}\", connect_wait: 10ms}}
",
            app.url()
        ),
    );
    let address = app.address;
    drop(app);
    let request = signed::github("/github", "d-1", b"{}");
    assert_problem(&sidecar, &sidecar.send(&request), 502, "github", "upstream_unreachable");
    let back = App::start_at(address);
    assert_eq!(sidecar.send(&request).outcome(), "delivered");
    assert_eq!(back.seen().len(), 1);
}

#[test]
fn upstream_timeout() {
    let app = App::start();
    let sidecar = Sidecar::start(&format!(
        "
upstream: {{url: \"{}\", timeout: 50ms}}
sources:
  github:
    provider: github
    path: /github
    secrets: [{{env: SECRET}}]
",
        app.url()
    ));
    let (never, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&never)]);
    let request = signed::github("/github", "d-1", b"{}");
    assert_problem(&sidecar, &sidecar.send(&request), 504, "github", "upstream_timeout");
    assert_eq!(sidecar.send(&request).outcome(), "delivered");
    assert_eq!(app.seen()[1].header("hookward-attempt"), Some("2"));
}

#[test]
fn upstream_failed() {
    let app = App::start();
    let sidecar = Sidecar::start(&format!(
        "
upstream: {{url: \"{}\", map_status: {{404: 503}}}}
sources:
  github:
    provider: github
    path: /github
    secrets: [{{env: SECRET}}]
",
        app.url()
    ));
    let request = signed::github("/github", "d-1", b"{}");
    for (status, expected) in [(500, 500), (422, 422), (410, 410), (404, 503)] {
        app.script([Script::status(status)]);
        let answer = sidecar.send(&request);
        assert_eq!((answer.status, answer.outcome()), (expected, "upstream_failed"));
        assert_eq!(answer.body, b"from the app");
    }
    app.script([Script {
        headers: vec![("location", "http://127.0.0.1:1/".to_owned())],
        ..Script::status(302)
    }]);
    assert_problem(&sidecar, &sidecar.send(&request), 502, "github", "upstream_failed");
    assert_eq!(sidecar.send(&request).outcome(), "delivered");
}
