//! Bodies and headers on their way: whole or not at all, byte for byte, whatever either side does in the middle.

use super::support::{
    App, Request, Script, Sidecar,
    signed::{self, GITHUB, push},
    wait_until,
    wire::Connection,
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::mpsc,
};

#[test]
fn a_body_that_breaks_off_is_malformed_and_forwards_nothing() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let request = signed::github("/github", "d-1", b"0123456789");
    for (n, part) in [(1_u32, &b"01234"[..]), (2, b"")] {
        let mut connection = Connection::open(sidecar.addresses.webhooks);
        connection.write(&request.head());
        connection.write(part);
        connection.finish();
        if let Some(answer) = connection.answer() {
            assert_eq!((answer.status, answer.outcome()), (400, "malformed"));
        }
        wait_until("it is counted", || {
            (sidecar.counted("github", "malformed") - f64::from(n)).abs() < f64::EPSILON
        });
    }
    let mut chunked = Connection::open(sidecar.addresses.webhooks);
    chunked.write(
        &request
            .clone()
            .without("Content-Length")
            .header("Transfer-Encoding", "chunked")
            .head(),
    );
    chunked.write(b"zz\r\n0123456789\r\n0\r\n\r\n");
    let answer = chunked.answer().expect("an answer");
    assert_eq!((answer.status, answer.outcome()), (400, "malformed"));
    assert!(chunked.is_closed());
    assert!(app.seen().is_empty());
    assert_eq!(sidecar.send(&request).outcome(), "delivered", "nothing was claimed");
}

#[test]
fn header_values_pass_byte_for_byte_and_in_their_order() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let request = push(1)
        .header("X-Many", "one")
        .header("X-Other", "  spaced\tout  ")
        .header("X-Many", "two, three")
        .header("X-Empty", "")
        .header("Cookie", "a=1; b=\"2\"")
        .header("Content-Type", "application/json; charset=utf-8")
        .header("User-Agent", "GitHub-Hookshot/044aadd")
        .header("X-Latin", "\u{1}");
    let mut head = request.head();
    // Every byte that a value may have and that is no text.
    let latin: Vec<u8> = (0x80..=0xff).collect();
    let at = head.windows(1).position(|byte| byte == [1]).expect("the mark");
    head.splice(at..=at, latin.iter().copied());
    let mut connection = Connection::open(sidecar.addresses.webhooks);
    connection.write(&head);
    connection.write(&request.body);
    assert_eq!(connection.answer().expect("an answer").outcome(), "delivered");
    let seen = &app.seen()[0];
    assert_eq!(seen.all("x-many"), ["one", "two, three"]);
    assert_eq!(
        seen.all("content-type"),
        ["application/json", "application/json; charset=utf-8"]
    );
    assert_eq!(seen.header("x-other"), Some("spaced\tout"));
    assert_eq!(seen.header("x-empty"), Some(""));
    assert_eq!(seen.header("cookie"), Some("a=1; b=\"2\""));
    assert_eq!(seen.header("user-agent"), Some("GitHub-Hookshot/044aadd"));
    assert_eq!(seen.bytes["x-latin"].as_bytes(), latin);
}

#[test]
fn http_1_0_is_served_once_a_connection() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let request = push(1);
    let head = String::from_utf8(request.head())
        .expect("text")
        .replace("HTTP/1.1", "HTTP/1.0");
    let mut connection = Connection::open(sidecar.addresses.webhooks);
    connection.write(head.as_bytes());
    connection.write(&request.body);
    assert_eq!(connection.answer().expect("an answer").outcome(), "delivered");
    assert!(connection.is_closed());
    let mut connection = Connection::open(sidecar.addresses.webhooks);
    let bare = String::from_utf8(request.without("Content-Length").head()).expect("text");
    connection.write(bare.replace("HTTP/1.1", "HTTP/1.0").as_bytes());
    let answer = connection.answer().expect("an answer");
    assert_eq!((answer.status, answer.outcome()), (411, "malformed"));
}

/// It answers as soon as it has the head, and never reads the body; it keeps the connection open.
fn hasty_app() -> (SocketAddr, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let (answered, answers) = mpsc::channel();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
                head.push(byte[0]);
            }
            let _written = stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
            open.push(stream);
            if answered.send(()).is_err() {
                break;
            }
        }
    });
    (address, answers)
}

#[test]
fn an_app_that_answers_before_it_has_the_body_is_heard() {
    let (address, answers) = hasty_app();
    let sidecar = Sidecar::start(&format!("upstream: http://{address}\n{GITHUB}"));
    let large = vec![b'x'; 16 * 1_048_576];
    for n in 0..4 {
        let answer = sidecar.send(&signed::github("/github", &format!("d-{n}"), &large));
        assert_eq!((answer.status, answer.outcome()), (413, "upstream_failed"), "{n}");
        assert_eq!(answer.body, b"no");
        // Each on a connection of its own: the one before still has a body to take.
        answers.recv().expect("it answered");
    }
}

/// Every request ends in exactly one outcome, whatever it was and however its sender left.
#[test]
fn every_request_is_counted_exactly_once() {
    const ROUNDS: usize = 12;
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    std::thread::scope(|scope| {
        for sender in 0..4 {
            let (sidecar, app) = (&sidecar, &app);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let n = sender * ROUNDS + round;
                    if round.is_multiple_of(3) {
                        app.script([Script::status(500)]);
                    }
                    sidecar.send(&push(n));
                    sidecar.send(&push(n).replace("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64))));
                    sidecar.send(&push(n).without("X-Hub-Signature-256"));
                    sidecar.send(&Request::post("/nowhere", "x"));
                    sidecar.send(&Request::get("/github"));
                    sidecar.send(&push(n).without("Host"));
                    let mut leaves = Connection::open(sidecar.addresses.webhooks);
                    leaves.write(&push(1000 + n).head());
                    drop(leaves);
                }
            });
        }
    });
    let total = || -> f64 {
        let text = String::from_utf8(Request::get("/metrics").send(sidecar.addresses.health).body).expect("text");
        let lines = text.lines().filter(|line| line.starts_with("hookward_requests_total{"));
        lines
            .map(|line| {
                line.rsplit(' ')
                    .next()
                    .expect("a value")
                    .parse::<f64>()
                    .expect("a number")
            })
            .sum()
    };
    let sent = f64::from(u32::try_from(4 * ROUNDS * 7).expect("a few"));
    wait_until("all are counted", || total() >= sent);
    wait_until("all connections are gone", || {
        sidecar.metric("hookward_connections") < 0.5
    });
    assert!((total() - sent).abs() < f64::EPSILON, "{} of {sent}", total());
    let logged = sidecar.logged();
    let lines = logged.lines().filter(|line| line.contains("\"outcome\":")).count();
    assert_eq!(lines, 4 * ROUNDS * 7);
    for gauge in ["hookward_in_flight", "hookward_buffered_bytes"] {
        assert!(sidecar.metric(gauge).abs() < f64::EPSILON, "{gauge}");
    }
}

#[test]
fn the_largest_body_of_github_passes_alone_where_half_of_the_memory_would_not_hold_it() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        &format!("limits: {{workers: 2, buffered_bytes: 32MiB}}\n{}", signed::GITHUB),
    );
    let body = vec![b'x'; 25 << 20];
    assert_eq!(
        sidecar.send(&signed::github("/github", "d-1", &body)).outcome(),
        "delivered"
    );
    assert_eq!(app.seen()[0].body.len(), body.len());
}

#[test]
fn where_memory_is_short_forgers_and_loud_sources_take_no_room_from_others() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "
limits: {workers: 2, buffered_bytes: 1MiB}
client_ip: {trust: [127.0.0.0/8]}
sources:
  github: {provider: github, path: /github, secrets: [{env: SECRET}]}
  loud: {provider: github, path: /loud, secrets: [{env: SECRET}]}
",
    );
    let sized = |path: &str, client: &str, n: u8, kib: usize| {
        let delivery = format!("{path}-{n}");
        signed::github(path, &delivery, &vec![n; kib << 10]).header("X-Forwarded-For", client)
    };
    assert_eq!(
        sidecar.send(&sized("/github", "192.0.2.1", 1, 1)).outcome(),
        "delivered"
    );
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| sidecar.send(&sized("/loud", "192.0.2.2", 2, 600)));
        app.wait_for(2);
        let over = |request: &Request| {
            let answer = sidecar.send(request);
            assert_eq!((answer.status, answer.outcome()), (503, "overloaded"));
            assert!(answer.header("retry-after").is_some());
        };
        // An eighth for one client of whom nothing is known, …
        let forged = format!("sha256={}", "0".repeat(64));
        over(&sized("/github", "192.0.2.66", 3, 200).replace("X-Hub-Signature-256", forged));
        over(&sized("/github", "2001:db8::1", 4, 200));
        assert_eq!(
            sidecar.send(&sized("/github", "2001:db8::1", 5, 100)).outcome(),
            "delivered"
        );
        // … half for one source, and what they need for others and for whom we know.
        over(&sized("/loud", "192.0.2.3", 6, 100));
        assert_eq!(
            sidecar.send(&sized("/github", "192.0.2.1", 7, 300)).outcome(),
            "delivered"
        );
        open.send_replace(true);
        assert_eq!(held.join().expect("no panic").outcome(), "delivered");
    });
    // There is no pressure any more.
    assert_eq!(
        sidecar.send(&sized("/github", "2001:db8::1", 4, 200)).outcome(),
        "delivered"
    );
    assert!(sidecar.metric("hookward_buffered_bytes").abs() < f64::EPSILON);
}

#[test]
fn an_honest_sender_of_too_large_a_body_reads_its_413_and_a_forgers_huge_one_is_not_read() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        &format!(
            "limits: {{workers: 2, failed_verifications: {{rate: 1/h, burst: 1}}}}\nclient_ip: {{trust: [127.0.0.0/8]}}\n\
             defaults: {{max_body: 1MiB}}\n{}    max_body: 1MiB\n",
            signed::GITHUB
        ),
    );
    // A sender that writes all before it reads anything, up to twice what is allowed.
    for size in [(1 << 20) + 1, 2 << 20] {
        let answer = sidecar.send(&signed::github("/github", "d-1", &vec![b'x'; size]));
        assert_eq!((answer.status, answer.outcome()), (413, "too_large"), "{size}");
    }
    let forged = push(1)
        .replace("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)))
        .header("X-Forwarded-For", "192.0.2.66");
    assert_eq!(sidecar.send(&forged).outcome(), "unverified");
    let huge = forged.replace("Content-Length", (25 << 20).to_string());
    let mut connection = Connection::open(sidecar.addresses.webhooks);
    connection.write(&huge.head());
    let piece = vec![b'x'; 64 << 10];
    let sent = (0..400).take_while(|_| connection.write_all(&piece).is_ok()).count();
    assert!(sent < 400, "all of it was taken");
    let answer = connection.answer().expect("the answer stood before the end");
    assert_eq!((answer.status, answer.outcome()), (429, "penalized"));
}
