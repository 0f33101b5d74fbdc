//! How an app's answer comes back: late, mapped, cut, broken, or not at all.

use super::{
    destinations::github,
    support::{
        App, Request, Script, Sidecar,
        sidecar::NOW,
        signed::{self, GITHUB, push},
        wait_until,
        wire::Connection,
    },
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

/// An app that answers every connection with these bytes, whatever it was asked.
fn raw_app(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
                head.push(byte[0]);
            }
            // The body is a digit; read, so that closing resets nothing.
            let _read = stream.read(&mut byte);
            let _written = stream.write_all(answer);
        }
    });
    address
}

/// It answers the first request of a connection, and leaves without a word once it has read the second.
fn leaving_app() -> (SocketAddr, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let counted = counted.clone();
            std::thread::spawn(move || {
                for n in 0..2 {
                    let (mut read, mut byte) = (Vec::new(), [0]);
                    // The body is one digit.
                    while !read.ends_with(b"\r\n\r\n") {
                        if stream.read(&mut byte).map_or(0, |read| read) == 0 {
                            return;
                        }
                        read.push(byte[0]);
                    }
                    let _body = stream.read(&mut byte);
                    counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    if n == 0 {
                        let _written = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                    }
                }
            });
        }
    });
    (address, seen)
}

#[test]
fn answers_that_would_make_a_provider_give_up_are_mapped() {
    let app = App::start();
    let sidecar = github(&format!("url: \"{}\", map_status: {{404: 503, 410: 500}}", app.url()));
    for (n, (status, mapped)) in [(404, 503), (410, 500), (400, 400), (599, 599)].into_iter().enumerate() {
        app.script([Script {
            headers: vec![("retry-after", "17".to_owned())],
            ..Script::status(status)
        }]);
        let answer = sidecar.send(&push(n));
        assert_eq!((answer.status, answer.outcome()), (mapped, "upstream_failed"));
        assert_eq!(answer.header("retry-after"), Some("17"));
        assert_eq!(answer.body, b"from the app");
    }
}

#[test]
fn an_app_that_comes_up_late_is_waited_for() {
    let reserved = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = reserved.local_addr().expect("it is bound");
    drop(reserved);
    let sidecar = github(&format!("url: \"http://{address}\", timeout: 20s, connect_wait: 20s"));
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| sidecar.send(&push(1)));
        wait_until("it is under way", || sidecar.metric("hookward_in_flight") > 0.5);
        let app = App::start_at(address);
        let answer = sent.join().expect("no panic");
        assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
        assert_eq!(app.seen().len(), 1);
        assert_eq!(app.seen()[0].header("hookward-attempt"), Some("1"));
    });
}

#[test]
fn an_app_that_restarts_between_two_requests_costs_neither() {
    let mut app = App::start();
    let address = app.address;
    let sidecar = github(&format!("url: \"http://{address}\""));
    for n in 0..6 {
        let answer = sidecar.send(&push(n));
        assert_eq!((answer.status, answer.outcome()), (200, "delivered"), "{n}");
        assert_eq!(app.seen().len(), 1);
        // Its end of the kept connections is closed; ours only learns of it.
        drop(app);
        app = App::start_at(address);
    }
    let unreachable =
        sidecar.metric("hookward_deliveries_total{source=\"github\",destination=\"app\",result=\"unreachable\"}");
    assert!(unreachable.abs() < f64::EPSILON);
}

/// An answer of the app with a body of this length.
fn long(status: u16, length: usize) -> Script {
    Script {
        body: (0..length)
            .map(|n| b'a' + u8::try_from(n % 26).expect("a letter"))
            .collect(),
        ..Script::status(status)
    }
}

#[test]
fn answers_are_handed_through_whole_or_not_at_all() {
    const MAX: usize = 1 << 20;
    let app = App::start();
    let sidecar = github(&format!("url: \"{}\"", app.url()));
    for (n, length) in [65_536, 65_537, MAX, 3, 0].into_iter().enumerate() {
        let script = long(200, length);
        app.script([script.clone()]);
        let answer = sidecar.send(&push(n));
        assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
        assert!(
            answer.body == script.body,
            "{length} of which {} came",
            answer.body.len()
        );
    }
    // Beyond the limit the sender gets none of it, whatever its status; where that is a 2xx the delivery counts.
    for (n, (status, again)) in [(200, "duplicate"), (500, "delivered")].into_iter().enumerate() {
        app.script([long(status, MAX + 1)]);
        let answer = sidecar.send(&push(10 + n));
        assert_eq!((answer.status, answer.outcome()), (502, "upstream_failed"));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(sidecar.send(&push(10 + n)).outcome(), again, "after {status}");
    }
    let result = |word: &str| {
        let series = format!("hookward_deliveries_total{{source=\"github\",destination=\"app\",result=\"{word}\"}}");
        sidecar.metric(&series)
    };
    assert!(
        (result("delivered") - 7.0).abs() < f64::EPSILON,
        "{}",
        result("delivered")
    );
    assert!((result("failed") - 1.0).abs() < f64::EPSILON);
    let too_large = sidecar.metric("hookward_replies_too_large_total{destination=\"app\"}");
    assert!((too_large - 2.0).abs() < f64::EPSILON, "{too_large}");
    let logged = sidecar.logged();
    let reason = "app answered 200, but the body is longer than `limits.answer_bytes`";
    assert_eq!(logged.matches(reason).count(), 1, "{logged}");
}

#[test]
fn the_longest_answer_is_configured_and_all_of_them_share_their_room() {
    let app = App::start();
    let yaml = format!("limits: {{workers: 2, answer_bytes: 16MiB, buffered_bytes: 32MiB}}\n{GITHUB}");
    let sidecar = Sidecar::before(&app, &yaml);
    // More than the kernel's buffers hold of what nobody reads.
    let script = long(200, 15 << 20);
    app.script([script.clone(), script.clone(), script.clone()]);
    let answer = sidecar.send(&push(1));
    assert!(answer.outcome() == "delivered" && answer.body == script.body);
    // Half of 32 MiB is for answers: while a sender does not read its answer, there is no room for another long one.
    let mut slow = Connection::open(sidecar.addresses.webhooks);
    slow.write(&[push(2).head(), push(2).body].concat());
    let held = || sidecar.metric("hookward_buffered_bytes");
    wait_until("the answer is held", || held() > 15e6);
    let answer = sidecar.send(&push(3));
    assert_eq!((answer.status, answer.outcome()), (502, "upstream_failed"));
    assert!(sidecar.logged().contains("there is no room for the body"));
    // A short one needs none.
    assert_eq!(sidecar.send(&push(4)).outcome(), "delivered");
    assert_eq!(slow.answer().expect("an answer").body.len(), script.body.len());
    wait_until("the room is given back", || held() < 1.0);
    app.script([script.clone()]);
    assert_eq!(sidecar.send(&push(5)).outcome(), "delivered");
    assert_eq!(sidecar.send(&push(3)).outcome(), "duplicate");
}

#[test]
fn what_is_between_the_app_and_us_stays_there() {
    let app = App::start();
    let sidecar = github(&format!("url: \"{}\"", app.url()));
    app.script([Script {
        headers: [
            ("content-type", "text/x-own"),
            ("x-app", "one"),
            ("x-app", "two"),
            ("set-cookie", "session=1"),
            ("server", "app/1.0"),
            ("x-powered-by", "php"),
            ("hookward-outcome", "delivered-by-me"),
            ("hookward_verified", "x"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .to_vec(),
        ..Script::status(503)
    }]);
    let answer = sidecar.send(&push(1));
    assert_eq!((answer.status, answer.outcome()), (503, "upstream_failed"));
    assert_eq!(answer.header("content-type"), Some("text/x-own"));
    let both: Vec<&str> = answer
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("x-app"))
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(both, ["one", "two"]);
    for gone in [
        "set-cookie",
        "server",
        "x-powered-by",
        "hookward_verified",
        "keep-alive",
        "proxy-authenticate",
        "connection",
        "x-hop",
    ] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
}

#[test]
fn answers_that_are_none() {
    for (bytes, outcome) in [
        (
            &b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"[..],
            "upstream_failed",
        ),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "upstream_failed"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 2\r\n\r\nno",
            "upstream_failed",
        ),
        (b"HTTP/1.1 199 Early\r\n\r\n", "upstream_unreachable"),
        (b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n", "upstream_failed"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "upstream_failed"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            "upstream_failed",
        ),
        (b"", "upstream_unreachable"),
    ] {
        let sidecar = github(&format!("url: \"http://{}\"", raw_app(bytes)));
        let answer = sidecar.send(&push(1));
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!((answer.status, answer.outcome()), (502, outcome), "{shown:?}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{shown:?}"
        );
        assert_eq!(answer.header("location"), None, "{shown:?}");
    }
}

/// The worst that an app can do with its answer costs the time it was given, and a bounded amount of memory.
#[test]
fn answers_without_an_end_are_over_in_time() {
    let endless = |head: &'static [u8], piece: &'static [u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                std::thread::spawn(move || {
                    let mut asked = [0; 4096];
                    let _read = stream.read(&mut asked);
                    let mut written = stream.write_all(head);
                    while written.is_ok() {
                        written = stream.write_all(piece);
                        std::thread::sleep(Duration::from_millis(2));
                    }
                });
            }
        });
        address
    };
    let cases: [(_, _, u16, &str); 7] = [
        // Drop by drop; the status stands.
        (
            &b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"[..],
            &b"."[..],
            200,
            "delivered",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1;ext=value\r\n.\r\n",
            200,
            "delivered",
        ),
        (
            b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"X-Trailer: 1\r\n",
            500,
            "upstream_failed",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            b"extension",
            200,
            "delivered",
        ),
        // A head that never is over, and one that never comes.
        (b"HTTP/1.1 200 OK\r\n", b"X-Line: 1\r\n", 504, "upstream_timeout"),
        (
            b"",
            b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n",
            504,
            "upstream_timeout",
        ),
        // A valid beginning however the bytes are cut: with another one the parser may see that at once, or not.
        (b"HTTP/1.1 200 O", b"K", 504, "upstream_timeout"),
    ];
    std::thread::scope(|scope| {
        for (head, piece, status, outcome) in cases {
            let address = endless(head, piece);
            scope.spawn(move || {
                let sidecar = github(&format!("url: \"http://{address}\", timeout: 3s"));
                let begun = Instant::now();
                let answer = sidecar.send(&push(1));
                let shown = String::from_utf8_lossy(piece);
                assert_eq!((answer.status, answer.outcome()), (status, outcome), "{shown:?}");
                assert!(begun.elapsed() < Duration::from_secs(20), "{shown:?}");
                assert!(answer.body.len() <= 65_536, "{shown:?}");
            });
        }
    });
}

#[test]
fn answers_of_every_other_form_are_heard() {
    for (bytes, status, body) in [
        (
            &b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..],
            200,
            &b"ok"[..],
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
            202,
            b"",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n",
            200,
            b"abc",
        ),
        (b"HTTP/1.1 299 \r\nContent-Length: 2\r\n\r\nok", 299, b"ok"),
    ] {
        let sidecar = github(&format!("url: \"http://{}\"", raw_app(bytes)));
        let answer = sidecar.send(&push(1));
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!((answer.status, answer.outcome()), (status, "delivered"), "{shown:?}");
        assert_eq!(answer.body, body, "{shown:?}");
        assert_eq!(answer.header("x-trailer"), None);
    }
}

/// The app has done the work when it said 200, whatever becomes of its words.
#[test]
fn a_2xx_whose_body_breaks_off_is_delivered() {
    let sidecar = github(&format!(
        "url: \"http://{}\"",
        raw_app(b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\nonly this")
    ));
    let answer = sidecar.send(&push(1));
    assert_eq!((answer.status, answer.outcome()), (201, "delivered"));
    assert_eq!(sidecar.send(&push(1)).outcome(), "duplicate");
}

/// The app may be working on it: only the sender, whose retry is told from a first attempt, may send it again.
#[test]
fn a_request_of_which_a_byte_was_sent_is_not_sent_again() {
    let (address, seen) = leaving_app();
    let sidecar = github(&format!("url: \"http://{address}\""));
    let mut connection = Connection::open(sidecar.addresses.webhooks);
    // One connection is one worker, which has one kept connection to the app.
    let mut say = |n: usize| {
        let answer = connection.exchange(&push(n)).expect("an answer");
        (answer.status, answer.outcome().to_owned())
    };
    assert_eq!(say(1), (200, "delivered".to_owned()));
    assert_eq!(say(2), (502, "upstream_unreachable".to_owned()));
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 2);
    assert_eq!(say(2), (200, "delivered".to_owned()));
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 3);
}

#[test]
fn the_providers_deadline_bounds_the_wait() {
    let app = App::start();
    let sidecar = Sidecar::start(&format!(
        "
upstream: {{url: \"{}\", timeout: 25s}}
sources:
  hasty:
    provider: custom
    path: /hasty
    secrets: [{{env: SECRET}}]
    verify:
      signature: {{from: header:X-Signature}}
      signed: \"{{body}}\"
      body: unique
      retries: {{resigns: false, keep: 24h, automatic: true, deadline: 400ms}}
  slack:
    provider: slack
    path: /slack
    secrets: [{{env: SECRET}}]
",
        app.url()
    ));
    let (never, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&never), Script::status(200).behind(&never)]);
    let mac = data_encoding::HEXLOWER.encode(&signed::hmac_sha256(signed::SECRET.as_bytes(), &[b"{}"]));
    let begun = Instant::now();
    let answer = sidecar.send(&Request::post("/hasty", "{}").header("X-Signature", mac));
    assert_eq!((answer.status, answer.outcome()), (504, "upstream_timeout"));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let mac = signed::hmac_sha256(signed::SECRET.as_bytes(), &[format!("v0:{NOW}:").as_bytes(), b"{}"]);
    let begun = Instant::now();
    let answer = sidecar.send(
        &Request::post("/slack", "{}")
            .header("X-Slack-Request-Timestamp", NOW.to_string())
            .header(
                "X-Slack-Signature",
                format!("v0={}", data_encoding::HEXLOWER.encode(&mac)),
            ),
    );
    assert_eq!((answer.status, answer.outcome()), (504, "upstream_timeout"));
    println!(
        "Slack, which waits for three seconds, had its answer after {:?}",
        begun.elapsed()
    );
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
