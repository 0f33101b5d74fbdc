//! The sender's side of a connection: deadlines, keep-alive, early refusals.

use super::support::{
    Answer, App, Request, Script, Sidecar,
    sidecar::NOW,
    signed::{self, GITHUB, push},
    wait_until,
    wire::Connection,
};

fn outcome(answer: Option<Answer>) -> (u16, String) {
    let answer = answer.expect("an answer");
    (answer.status, answer.outcome().to_owned())
}

fn is(status: u16, outcome: &str) -> (u16, String) {
    (status, outcome.to_owned())
}

fn close_to(value: f64, wanted: f64) -> bool {
    (value - wanted).abs() < f64::EPSILON
}

#[test]
fn the_header_deadline_ends_a_slow_head_and_spares_idle_connections() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        &format!("limits: {{workers: 2, header_timeout: 100ms}}\n{GITHUB}"),
    );
    let mut silent = Connection::open(sidecar.addresses.webhooks);
    let mut kept = Connection::open(sidecar.addresses.webhooks);
    assert_eq!(outcome(kept.exchange(&push(1))), is(200, "delivered"));
    // Three slow heads one after the other: what idles has outlived the deadline by far.
    for part in [
        &b"P"[..],
        b"POST /github HTTP/1.1\r\n",
        b"POST /github HTTP/1.1\r\nHost: hooks.example.com\r\nX: ",
    ] {
        let mut slow = Connection::open(sidecar.addresses.webhooks);
        slow.write(part);
        let answer = slow.answer().expect("an answer");
        assert_eq!((answer.status, answer.outcome()), (408, "too_slow"));
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(slow.is_closed());
    }
    // The second head on a connection has the same deadline.
    let mut second = Connection::open(sidecar.addresses.webhooks);
    assert_eq!(outcome(second.exchange(&push(2))), is(200, "delivered"));
    second.write(b"POST /github");
    assert_eq!(outcome(second.answer()), is(408, "too_slow"));
    assert_eq!(outcome(kept.exchange(&push(3))), is(200, "delivered"));
    assert_eq!(outcome(silent.exchange(&push(4))), is(200, "delivered"));
    drop(silent);
    drop(kept);
    wait_until("all connections are gone", || {
        close_to(sidecar.metric("hookward_connections"), 0.0)
    });
    assert!(
        close_to(sidecar.counted("", "too_slow"), 4.0),
        "only heads that had begun"
    );
    assert!(close_to(sidecar.counted("", "malformed"), 0.0));
}

#[test]
fn a_connection_closed_without_a_byte_is_not_counted() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    for _ in 0..20 {
        drop(Connection::open(sidecar.addresses.webhooks));
    }
    assert_eq!(sidecar.send(&push(1)).outcome(), "delivered");
    wait_until("all connections are gone", || {
        close_to(sidecar.metric("hookward_connections"), 0.0)
    });
    let text = String::from_utf8(Request::get("/metrics").send(sidecar.addresses.health).body).expect("text");
    let counted: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("hookward_requests_total{") && !line.ends_with(" 0"))
        .collect();
    assert_eq!(
        counted,
        ["hookward_requests_total{source=\"github\",outcome=\"delivered\"} 1"]
    );
}

#[test]
fn bytes_that_are_no_http_are_malformed() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    for (n, bytes) in (1_u32..).zip([
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /github HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n",
        b"POST /github HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /github HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /github HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
    ]) {
        let mut connection = Connection::open(sidecar.addresses.webhooks);
        connection.write(bytes);
        connection.finish();
        if let Some(answer) = connection.answer() {
            assert_eq!(answer.status, 400, "{n}");
        }
        assert!(connection.is_closed());
        wait_until("it is counted", || {
            close_to(sidecar.counted("", "malformed"), f64::from(n))
        });
    }
    assert!(app.seen().is_empty());
}

#[test]
fn the_body_is_asked_for_only_when_the_head_is_let_in() {
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
    let good = push(1).header("Expect", "100-continue");
    let mut connection = Connection::open(sidecar.addresses.webhooks);
    connection.write(&good.head());
    let answer = connection.answer().expect("an answer");
    assert_eq!(answer.status, 100);
    connection.write(&good.body);
    assert_eq!(outcome(connection.answer()), is(200, "delivered"));
    // The next one on the same connection is a request like any other.
    assert_eq!(outcome(connection.exchange(&push(2))), is(200, "delivered"));
    assert_eq!(app.seen()[0].header("expect"), None);

    let unsigned = good.clone().without("X-Hub-Signature-256");
    let large = good.clone().replace("Content-Length", "1025");
    let elsewhere = Request {
        target: "/nowhere".to_owned(),
        ..good.clone()
    };
    for (request, status, word) in [
        (&unsigned, 401, "unverified"),
        (&large, 413, "too_large"),
        (&elsewhere, 404, "no_source"),
    ] {
        let mut connection = Connection::open(sidecar.addresses.webhooks);
        connection.write(&request.head());
        let answer = connection.answer().expect("an answer");
        assert_eq!(
            (answer.status, answer.outcome()),
            (status, word),
            "without a 100 before it"
        );
        assert_eq!(answer.header("connection"), Some("close"), "{word}");
        connection.finish();
        assert!(connection.is_closed());
    }
    assert_eq!(app.seen().len(), 2);
}

#[test]
fn a_body_that_was_refused_unread_is_never_parsed_as_a_request() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let hidden = [push(1).head(), push(1).body].concat();
    let unsigned = push(2).without("X-Hub-Signature-256");
    for (target, word) in [
        ("/nowhere", "no_source"),
        ("/github", "unverified"),
        ("/github/../x", "malformed"),
    ] {
        let request = Request {
            target: target.to_owned(),
            ..unsigned.clone().replace("Content-Length", hidden.len().to_string())
        };
        let mut connection = Connection::open(sidecar.addresses.webhooks);
        // The body is a request, and one more follows it.
        connection.write(&[request.head(), hidden.clone(), hidden.clone()].concat());
        let answer = connection.answer().expect("an answer");
        assert_eq!((answer.outcome(), answer.header("connection")), (word, Some("close")));
        assert!(connection.answer().is_none(), "{word}: a second answer came");
    }
    // Chunked, whose end nobody has looked for.
    let request = unsigned
        .without("Content-Length")
        .header("Transfer-Encoding", "chunked");
    let mut connection = Connection::open(sidecar.addresses.webhooks);
    connection.write(&[request.head(), b"0\r\n\r\n".to_vec(), hidden].concat());
    assert_eq!(outcome(connection.answer()), is(401, "unverified"));
    assert!(connection.answer().is_none());
    assert!(app.seen().is_empty());
    assert!(close_to(sidecar.counted("github", "delivered"), 0.0));
}

#[test]
fn a_large_refused_body_does_not_cost_the_sender_its_answer() {
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
    // Twice the limit: closed at once, the sender might not get to read why. In segments as a network has them the
    // kernel's buffers hold little of it.
    let request = signed::standard("/shop", "msg_1", NOW, &vec![b'x'; 2 * 1_048_576]);
    for n in 0..20 {
        let mut connection = if n % 2 == 0 {
            Connection::open(sidecar.addresses.webhooks)
        } else {
            Connection::open_in_segments(sidecar.addresses.webhooks, 1460)
        };
        connection.write_all(&request.head()).expect("the head is taken");
        connection.write_all(&request.body).expect("the body is taken");
        assert_eq!(outcome(connection.answer()), is(413, "too_large"));
    }
    assert!(app.seen().is_empty());
}

#[test]
fn connections_are_kept_over_many_requests_and_all_workers() {
    const CONNECTIONS: usize = 16;
    const EACH: usize = 25;
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    std::thread::scope(|scope| {
        for sender in 0..CONNECTIONS {
            let to = sidecar.addresses.webhooks;
            scope.spawn(move || {
                let mut connection = Connection::open(to);
                for n in 0..EACH {
                    let answer = connection.exchange(&push(sender * EACH + n)).expect("an answer");
                    assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
                    assert_ne!(answer.header("connection"), Some("close"));
                    // A refusal whose body was read costs no connection either.
                    if n == 0 {
                        let forged = push(0).replace("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)));
                        let answer = connection.exchange(&forged).expect("an answer");
                        assert_eq!((answer.status, answer.header("connection")), (401, None));
                    }
                }
            });
        }
    });
    assert_eq!(app.seen().len(), CONNECTIONS * EACH);
    let each = sidecar.metric("hookward_request_duration_seconds_count{source=\"github\"}");
    assert!(close_to(each, 416.0), "{each}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let mut connection = Connection::open(sidecar.addresses.webhooks);
    app.script((0..3).map(|n| Script::status(200 + n)));
    let bytes: Vec<u8> = (0..3).flat_map(|n| [push(n).head(), push(n).body].concat()).collect();
    connection.write(&bytes);
    for n in 0..3 {
        assert_eq!(outcome(connection.answer()), is(200 + n, "delivered"));
    }
}

#[test]
fn a_sender_that_says_it_is_done_still_gets_its_answer() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    let mut connection = Connection::open(sidecar.addresses.webhooks);
    let request = push(1);
    connection.write(&[request.head(), request.body].concat());
    connection.finish();
    app.wait_for(1);
    open.send_replace(true);
    assert_eq!(outcome(connection.answer()), is(200, "delivered"));
    assert!(connection.is_closed());
}

#[test]
fn heads_beyond_the_limits_have_their_own_status() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let many = (0..101).fold(push(1), |request, n| request.header(&format!("X-{n}"), "1"));
    let long = push(2).header("X-Long", "v".repeat(70_000));
    let absolute = Request {
        target: "http://elsewhere.example.com/github".to_owned(),
        ..push(3)
    };
    for (request, status) in [(many, 431), (long, 431), (absolute, 400)] {
        let answer = sidecar.send(&request);
        assert_eq!((answer.status, answer.outcome()), (status, "malformed"));
        assert_eq!(answer.header("connection"), Some("close"));
    }
    // Within them, and within those of the app (a hundred headers, ours among them).
    let many = (0..70).fold(push(4), |request, n| request.header(&format!("X-{n}"), "1"));
    let long = push(5).header("X-Long", "v".repeat(60_000));
    for request in [many, long] {
        assert_eq!(sidecar.send(&request).outcome(), "delivered");
    }
    assert_eq!(app.seen().len(), 2);
}

#[test]
fn an_absolute_target_of_our_own_host_is_forwarded_in_origin_form() {
    let app = App::start();
    let yaml = "
hosts: [hooks.example.com]
sources:
  square:
    provider: square
    path: /square
    public_url: https://hooks.example.com
    secrets: [{env: SECRET}]
  github:
    provider: github
    path: /github
    secrets: [{env: SECRET}]
";
    let sidecar = Sidecar::before(&app, yaml);
    for (n, target) in [
        "http://hooks.example.com/github?a=b",
        "https://HOOKS.example.com:443/github?a=b",
    ]
    .into_iter()
    .enumerate()
    {
        let request = Request {
            target: target.to_owned(),
            ..push(n)
        };
        assert_eq!(sidecar.send(&request).outcome(), "delivered", "{target}");
        assert_eq!(app.seen()[n].target, "/github?a=b");
    }
    // The provider signs the public URL and the path, in whatever form the target comes.
    let text = "https://hooks.example.com/square?a=b{\"event_id\":\"1\"}";
    let body = &text[text.find('{').expect("a body")..];
    let signature = data_encoding::BASE64.encode(&signed::hmac_sha256(signed::SECRET.as_bytes(), &[text.as_bytes()]));
    let request =
        Request::post("http://hooks.example.com/square?a=b", body).header("X-Square-HmacSha256-Signature", signature);
    assert_eq!(sidecar.send(&request).outcome(), "delivered");
    assert_eq!(app.seen()[2].target, "/square?a=b");
}

#[test]
fn a_fragment_in_the_target_is_malformed() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    for target in ["/github#x", "/github?a#x", "/github#"] {
        let request = Request {
            target: target.to_owned(),
            ..push(1)
        };
        let mut connection = Connection::open(sidecar.addresses.webhooks);
        assert_eq!(outcome(connection.exchange(&request)), is(400, "malformed"), "{target}");
        assert!(connection.is_closed());
    }
    assert!(app.seen().is_empty());
    assert!(close_to(sidecar.counted("", "malformed"), 3.0));
}
