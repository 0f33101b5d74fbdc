//! The main job: authentic requests reach the app byte for byte, and nothing else does.

use super::support::{App, Request, Script, Sidecar, sidecar::NOW, signed};

const GITHUB: &str = "
sources:
  github:
    provider: github
    path: /webhooks/github
    secrets: [{env: SECRET}]
";

#[test]
fn what_was_verified_is_what_the_app_gets() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let bodies: Vec<Vec<u8>> = vec![
        b"{}".to_vec(),
        b"{\r\n \"a\": 10.0,\t\"b\": \"\\u00e9\"\r\n}\r\n".to_vec(),
        "žluťoučký 🐎".as_bytes().to_vec(),
        vec![0, 255, 13, 10, 0],
        (0..300_000_u32).map(|n| (n % 251) as u8).collect(),
    ];
    for (n, body) in bodies.iter().enumerate() {
        let answer = sidecar.send(&signed::github("/webhooks/github?a=%2f&b", &format!("d-{n}"), body));
        assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
        assert_eq!(answer.body, b"from the app");
    }
    let seen = app.seen();
    assert_eq!(seen.len(), bodies.len());
    for (recorded, body) in seen.iter().zip(&bodies) {
        assert!(recorded.body == *body, "the body changed on its way");
        assert_eq!(
            (recorded.method.as_str(), recorded.target.as_str()),
            ("POST", "/webhooks/github?a=%2f&b")
        );
        assert_eq!(recorded.header("host"), Some("hooks.example.com"));
        assert_eq!(recorded.header("hookward-source"), Some("github"));
        assert_eq!(recorded.header("hookward-provider"), Some("github"));
        assert_eq!(recorded.header("hookward-event"), Some("push"));
        assert_eq!(recorded.header("hookward-verified"), Some("signature"));
        assert_eq!(recorded.header("hookward-attempt"), Some("1"));
        assert_eq!(recorded.header("x-forwarded-for"), Some("127.0.0.1"));
        assert!(recorded.header("x-hub-signature-256").is_some());
    }
}

#[test]
fn a_chunked_body_arrives_whole_and_with_its_length() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let request = signed::github("/webhooks/github", "d-1", b"{\"a\":1}")
        .without("Content-Length")
        .header("Transfer-Encoding", "chunked");
    let mut connection = super::support::wire::Connection::open(sidecar.addresses.webhooks);
    connection.write(&request.head());
    connection.write(b"3\r\n{\"a\r\n4;ext=1\r\n\":1}\r\n0\r\nX-Hub-Signature-256: trailer\r\n\r\n");
    assert_eq!(connection.answer().expect("an answer").outcome(), "delivered");
    let seen = app.seen();
    assert_eq!(seen[0].body, b"{\"a\":1}");
    assert_eq!(seen[0].header("content-length"), Some("7"));
    assert_eq!(seen[0].header("transfer-encoding"), None);
}

#[test]
fn spoofed_trust_headers_do_not_pass() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let request = signed::github("/webhooks/github", "d-1", b"{}")
        .header("Hookward-Verified", "none")
        .header("hookward_source", "evil")
        .header("X-Forwarded-For", "203.0.113.9")
        .header("X-Real-IP", "203.0.113.9")
        .header("Forwarded", "for=203.0.113.9")
        .header("X-Request-Id", "mine")
        .header("X-Original-URL", "/admin");
    assert_eq!(sidecar.send(&request).outcome(), "delivered");
    let seen = &app.seen()[0];
    assert_eq!(seen.all("hookward-verified"), ["signature"]);
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    for gone in ["hookward_source", "x-real-ip", "forwarded", "x-original-url"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    assert_ne!(seen.header("x-request-id"), Some("mine"));
}

#[test]
fn an_app_that_fails_first_gets_the_retry() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    app.script([Script::status(500)]);
    let request = signed::github("/webhooks/github", "d-1", b"{}");
    let first = sidecar.send(&request);
    assert_eq!((first.status, first.outcome()), (500, "upstream_failed"));
    assert_eq!(sidecar.send(&request).outcome(), "delivered");
    assert_eq!(sidecar.send(&request).outcome(), "duplicate");
    let attempts: Vec<_> = app
        .seen()
        .iter()
        .map(|seen| seen.header("hookward-attempt").map(str::to_owned))
        .collect();
    assert_eq!(attempts, [Some("1".to_owned()), Some("2".to_owned())]);
    let ids: Vec<_> = app
        .seen()
        .iter()
        .map(|seen| seen.header("hookward-delivery").map(str::to_owned))
        .collect();
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn a_second_attempt_in_flight_gets_the_first_ones_answer() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(201).behind(&open)]);
    let request = signed::github("/webhooks/github", "d-1", b"{}");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| sidecar.send(&request));
        app.wait_for(1);
        let second = scope.spawn(|| sidecar.send(&request));
        while sidecar.metric("hookward_in_flight") < 2.0 {
            std::thread::yield_now();
        }
        open.send_replace(true);
        for attempt in [first, second] {
            let answer = attempt.join().expect("no panic");
            assert_eq!((answer.status, answer.outcome()), (201, "delivered"));
        }
    });
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn a_sender_that_hangs_up_leaves_a_settled_delivery() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    let request = signed::github("/webhooks/github", "d-1", b"{}");
    let mut connection = super::support::wire::Connection::open(sidecar.addresses.webhooks);
    connection.write(&request.head());
    connection.write(&request.body);
    app.wait_for(1);
    drop(connection);
    open.send_replace(true);
    let delivered = "hookward_requests_total{source=\"github\",outcome=\"delivered\"}";
    while sidecar.metric(delivered) < 1.0 {
        std::thread::yield_now();
    }
    assert_eq!(sidecar.send(&request).outcome(), "duplicate");
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn each_destination_gets_its_events_and_a_retry_only_what_it_lacks() {
    let (orders, kitchen, stats) = (App::start(), App::start(), App::start());
    let sidecar = Sidecar::start(&format!(
        "
sources:
  food:
    provider: stripe
    path: /food
    secrets: [{{env: SECRET}}]
    events: [\"order.*\"]
    to:
      - orders
      - {{destination: kitchen, events: [order.confirmed]}}
      - {{destination: stats, required: false}}
destinations:
  orders: {{url: \"{}/orders\"}}
  kitchen: {{url: \"{}/kitchen\"}}
  stats: {{url: \"{}/stats\"}}
",
        orders.url(),
        kitchen.url(),
        stats.url()
    ));
    kitchen.script([Script::status(500)]);
    stats.script([Script::status(500)]);
    let confirmed = |at| signed::stripe("/food", at, br#"{"id":"evt_1","type":"order.confirmed"}"#);
    let first = sidecar.send(&confirmed(NOW));
    assert_eq!((first.status, first.outcome()), (502, "upstream_failed"));
    stats.wait_for(1);
    let second = sidecar.send(&confirmed(NOW + 1));
    // The kitchen alone was asked in this attempt, so the answer is its.
    assert_eq!((second.status, second.outcome()), (200, "delivered"));
    assert_eq!((orders.seen().len(), kitchen.seen().len()), (1, 2));
    let cooking = sidecar.send(&signed::stripe(
        "/food",
        NOW,
        br#"{"id":"evt_2","type":"order.cooking"}"#,
    ));
    assert_eq!(cooking.outcome(), "delivered");
    assert_eq!((orders.seen().len(), kitchen.seen().len()), (2, 2));
    let other = sidecar.send(&signed::stripe(
        "/food",
        NOW,
        br#"{"id":"evt_3","type":"invoice.paid"}"#,
    ));
    assert_eq!((other.status, other.outcome()), (200, "filtered"));
    assert_eq!(orders.seen().len(), 2);
    assert_eq!(orders.seen()[0].target, "/orders");
}

#[test]
fn a_signed_id_makes_a_freshly_signed_retry_the_same_delivery() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "
sources:
  shop:
    provider: standard-webhooks
    path: /shop
    secrets: [{env: WHSEC}]
",
    );
    let attempt = |at| signed::standard("/shop", "msg_1", at, br#"{"type":"order.paid"}"#);
    assert_eq!(sidecar.send(&attempt(NOW)).outcome(), "delivered");
    let honest = sidecar.send(&attempt(NOW + 5));
    assert_eq!((honest.status, honest.outcome()), (200, "duplicate"));
    let replay = sidecar.send(&attempt(NOW));
    assert_eq!((replay.status, replay.outcome()), (409, "replayed"));
    let seen = app.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("hookward-delivery"), Some("msg_1"));
}

#[test]
fn every_request_is_logged_once_and_without_its_secrets() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let good = signed::github("/webhooks/github", "d-1", b"{\"body\":\"canary-body\"}");
    let forged = good
        .clone()
        .replace("X-Hub-Signature-256", format!("sha256={}", "ab".repeat(32)));
    sidecar.send(&good);
    sidecar.send(&forged);
    sidecar.send(&Request::post("/nowhere", "x"));
    let logged = sidecar.logged();
    let lines: Vec<serde_json::Value> = logged
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|line: &serde_json::Value| line.get("outcome").is_some())
        .collect();
    let outcomes: Vec<_> = lines
        .iter()
        .map(|line| line["outcome"].as_str().expect("a word"))
        .collect();
    assert_eq!(outcomes, ["delivered", "unverified", "no_source"]);
    assert_eq!(lines[0]["source"], "github");
    assert_eq!(lines[0]["event"], "push");
    assert_eq!(lines[0]["status"], 200);
    assert_eq!(lines[1]["reason"], "signature does not match the secret");
    for secret in [signed::SECRET, "canary-body", &"ab".repeat(8)] {
        assert!(!logged.contains(secret), "{secret} was logged");
    }
}
