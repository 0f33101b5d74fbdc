//! How large a request may be, how many connections there are, and how each ends.

use super::*;

#[test]
fn bodies_and_heads_are_bounded() {
    run(async {
        let bounds = Bounds {
            body: Duration::from_millis(100),
            head: Duration::from_millis(200),
            ..Bounds::default()
        };
        let admin = start(Some(Access::Loopback), bounds).await;
        let target = "/api/v1/sources/stripe/forget";
        let long = format!("{{\"delivery\": \"{}\"}}", "x".repeat(64 * 1024));
        assert_eq!(admin.post(target, CHANGE, &long).await.0, 413);
        let chunked = format!("{CHANGE}Transfer-Encoding: chunked\r\n");
        let head = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{chunked}\r\n");
        let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000)).repeat(3);
        assert_eq!(split(&admin.raw(&format!("{head}{chunk}0\r\n\r\n")).await).0, 413);
        let unfinished = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n{CHANGE}\r\n{{");
        assert_eq!(split(&admin.raw(&unfinished).await).0, 408);
        // The rest of this head never comes, so the connection must be closed by the listener.
        let closed = admin.raw("GET / HTTP/1.1\r\nHost: local").await;
        assert!(closed.is_empty() || closed.starts_with("HTTP/1.1 408"), "{closed}");
        let fat = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
            "x".repeat(64 * 1024)
        );
        assert!(admin.raw(&fat).await.starts_with("HTTP/1.1 431"));
    });
}

#[test]
fn silent_connections_never_keep_a_probe_out() {
    run(async {
        let health = start(None, Bounds::default()).await;
        let mut silent = Vec::new();
        for n in 0..300 {
            let mut stream = TcpStream::connect(health.address).await.expect("listening");
            // Half of them begin a head that does not end.
            if n % 2 == 0 {
                stream.write_all(b"GET /livez HTTP/1.1\r\nHost: l").await.expect("sent");
            }
            silent.push(stream);
        }
        for _ in 0..3 {
            assert_eq!(health.get("/livez", "").await.0, 200);
        }
        // The oldest have gone.
        let mut rest = Vec::new();
        drop(silent[1].read_to_end(&mut rest).await);
        assert_eq!(rest, b"");
    });
}

/// A connection whose first request has been answered, from an address of loopback.
async fn answered(to: SocketAddr, from: [u8; 4]) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("an address of loopback");
    let mut stream = socket.connect(to).await.expect("listening");
    assert!(answers(&mut stream).await);
    stream
}

/// Is a further request answered?
async fn answers(stream: &mut TcpStream) -> bool {
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut answer = [0; 1024];
    stream.write_all(request).await.is_ok() && matches!(stream.read(&mut answer).await, Ok(1..))
}

#[test]
fn at_its_bound_a_peer_loses_its_own_oldest_idle_connection_and_no_other() {
    run(async {
        let bounds = Bounds {
            connections: 4,
            of_a_peer: 2,
            ..Bounds::default()
        };
        let health = start(None, bounds).await;
        let (ours, theirs) = ([127, 0, 0, 1], [127, 0, 0, 2]);
        let mut first = answered(health.address, ours).await;
        let mut second = answered(health.address, ours).await;
        let mut flood = Vec::new();
        for _ in 0..10 {
            flood.push(answered(health.address, theirs).await);
        }
        // Now the second is the one that has been idle for longer.
        assert!(answers(&mut first).await);
        let mut third = answered(health.address, ours).await;
        assert!(!answers(&mut second).await);
        assert!(answers(&mut first).await && answers(&mut third).await);
        // A third peer takes the oldest idle one of all.
        assert!(answers(&mut flood[9]).await);
        answered(health.address, [127, 0, 0, 3]).await;
        assert!(!answers(&mut flood[8]).await);
        assert!(answers(&mut flood[9]).await);
    });
}

#[test]
fn a_connection_with_an_answer_under_way_is_not_evicted() {
    run(async {
        let bounds = Bounds {
            connections: 2,
            of_a_peer: 2,
            ..Bounds::default()
        };
        let admin = start(Some(Access::Loopback), bounds).await;
        let mut readers = Vec::new();
        for _ in 0..2 {
            let mut reader = TcpStream::connect(admin.address).await.expect("listening");
            let request = b"GET /api/v1/tail HTTP/1.1\r\nHost: localhost\r\n\r\n";
            reader.write_all(request).await.expect("sent");
            assert_ne!(reader.read(&mut [0; 4096]).await.expect("a head"), 0);
            readers.push(reader);
        }
        assert_eq!(admin.raw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await, "");
        admin
            .sidecar
            .recent
            .push(crate::telemetry::Shelf::Deliveries, br#"{"source":"stripe"}"#);
        for reader in &mut readers {
            assert_ne!(reader.read(&mut [0; 4096]).await.expect("it goes on"), 0);
        }
    });
}

#[test]
fn a_connection_has_an_end_whatever_the_client_does() {
    run(async {
        let bounds = Bounds {
            connection: Duration::from_millis(150),
            ..Bounds::default()
        };
        let health = start(None, bounds).await;
        // Ends without a byte; a listener that waited for a head would outlast this test's own time.
        assert_eq!(health.raw("").await, "");
        let mut busy = TcpStream::connect(health.address).await.expect("listening");
        let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
        while busy.write_all(request).await.is_ok() {
            let mut answer = [0; 1024];
            if !busy.read(&mut answer).await.is_ok_and(|read| read > 0) {
                return;
            }
        }
    });
}

#[test]
fn a_reader_of_tail_outlives_the_usual_life_of_a_connection() {
    run(async {
        let life = Duration::from_secs(1);
        let bounds = Bounds {
            connection: life,
            ..Bounds::default()
        };
        let admin = start(Some(Access::Loopback), bounds).await;
        let mut stream = TcpStream::connect(admin.address).await.expect("listening");
        let request = b"GET /api/v1/tail HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request).await.expect("sent");
        let clock = crate::event::SystemClock::new();
        let begun = clock.monotonic();
        let mut buffer = [0; 4096];
        while clock.monotonic().since(begun) < life * 3 {
            let kept = br#"{"source":"stripe"}"#;
            admin.sidecar.recent.push(crate::telemetry::Shelf::Deliveries, kept);
            assert_ne!(stream.read(&mut buffer).await.expect("it goes on"), 0);
        }
        admin.stop.cancel();
        admin.task.await.expect("no panic");
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    });
}

#[test]
fn a_stopped_listener_closes_its_idle_connections_and_ends() {
    run(async {
        let health = start(None, Bounds::default()).await;
        let mut idle = TcpStream::connect(health.address).await.expect("listening");
        idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .expect("sent");
        let mut begun = [0; 12];
        idle.read_exact(&mut begun).await.expect("an answer");
        health.stop.cancel();
        health.task.await.expect("no panic");
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await.expect("closed in order");
        assert!(TcpStream::connect(health.address).await.is_err());
    });
}
