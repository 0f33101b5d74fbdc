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
fn a_connection_above_the_bound_is_closed_and_room_is_made_again() {
    run(async {
        let bounds = Bounds {
            connections: 1,
            ..Bounds::default()
        };
        let health = start(None, bounds).await;
        let mut first = TcpStream::connect(health.address).await.expect("listening");
        let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
        first.write_all(request).await.expect("sent");
        let mut begun = [0; 12];
        first.read_exact(&mut begun).await.expect("an answer");
        assert_eq!(&begun, b"HTTP/1.1 200");
        assert_eq!(health.raw("GET /livez HTTP/1.1\r\n\r\n").await, "");
        drop(first);
        // The listener hears of the close some time after we did.
        while health
            .raw("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .is_empty()
        {
            tokio::task::yield_now().await;
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
