//! How requests are sent, and what becomes of the connections.

use super::*;
use crate::event::{TestClock, Timestamp};

#[tokio::test]
async fn the_request_arrives_byte_for_byte_and_the_connection_serves_again() {
    let app = App::start(|_| (OK.into(), After::Next)).await;
    let outbound = outbound();
    let mut request = post("");
    let parts = ["{\"a\"", ":", "\"\\u00e9 é\"}\n"];
    for part in parts {
        request.body.push(Bytes::from_static(part.as_bytes()));
    }
    request
        .headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(request.body.len()));
    let reply = outbound
        .send(&app.spec(), request, TIME, ANSWER)
        .await
        .expect("an answer");
    assert_eq!(
        (reply.status, &reply.body[..], reply.excess.is_some(), reply.broken),
        (StatusCode::OK, &b"ok"[..], false, false)
    );
    let body = parts.concat();
    let length = body.len();
    assert_eq!(
        app.requests(),
        [format!(
            "POST /h/%41?x=+ HTTP/1.1\r\nhost: app.example\r\ncontent-length: {length}\r\n\r\n{body}"
        )]
    );
    for _ in 0..20 {
        outbound
            .send(&app.spec(), post("next"), TIME, ANSWER)
            .await
            .expect("an answer");
    }
    assert_eq!((app.connections(), outbound.idle()), (1, 1));
}

#[tokio::test]
async fn requests_at_once_have_a_connection_each_and_the_last_used_is_used_next() {
    let app = App::start(|_| (OK.into(), After::Next)).await;
    let clock = Arc::new(TestClock::at(Timestamp::from_secs(0)));
    let outbound = Outbound::new(PoolSpec::default(), clock.clone());
    let (pool, spec) = (&outbound.0.pool, app.spec());
    let three = futures_util::future::join_all((0..3).map(|_| outbound.send(&spec, post("x"), TIME, ANSWER))).await;
    assert!(three.iter().all(Result::is_ok));
    assert_eq!((app.connections(), outbound.idle()), (3, 3));
    clock.advance(Duration::from_secs(1));
    outbound.send(&spec, post("x"), TIME, ANSWER).await.expect("an answer");
    clock.advance(Duration::from_secs(1));
    let idle: Vec<_> = std::iter::from_fn(|| pool.take(&spec))
        .map(|(_, idle)| idle.as_secs())
        .collect();
    assert_eq!((app.connections(), idle), (3, vec![1, 2, 2]));
}

#[tokio::test]
async fn an_empty_body_and_a_get_are_framed_as_such() {
    let app = App::start(|_| (OK.into(), After::Next)).await;
    let outbound = outbound();
    outbound
        .send(&app.spec(), post(""), TIME, ANSWER)
        .await
        .expect("an answer");
    let mut get = post("");
    get.method = Method::GET;
    get.headers.remove(header::CONTENT_LENGTH);
    outbound.send(&app.spec(), get, TIME, ANSWER).await.expect("an answer");
    let requests = app.requests();
    assert!(requests[0].ends_with("content-length: 0\r\n\r\n"), "{}", requests[0]);
    assert_eq!(requests[1], "GET /h/%41?x=+ HTTP/1.1\r\nhost: app.example\r\n\r\n");
}

#[tokio::test]
async fn a_connection_that_the_app_closed_is_replaced() {
    let app = App::start(|number| (OK.into(), if number == 0 { After::Close } else { After::Next })).await;
    let outbound = outbound();
    outbound
        .send(&app.spec(), post("1"), TIME, ANSWER)
        .await
        .expect("an answer");
    app.all_closed().await;
    outbound
        .send(&app.spec(), post("2"), TIME, ANSWER)
        .await
        .expect("an answer");
    assert_eq!((app.connections(), app.requests().len()), (2, 2));
}

/// An app in a thread, so that the end of its first connection can arrive while the runtime looks elsewhere.
struct ClosingApp {
    spec: DestinationSpec,
    close: mpsc::Sender<()>,
    closed: mpsc::Receiver<()>,
    second: std::thread::JoinHandle<Vec<u8>>,
}

impl ClosingApp {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let spec = spec(&format!("http://{}", listener.local_addr().expect("an address")));
        let (close, closing) = mpsc::channel::<()>();
        let (tell, closed) = mpsc::channel::<()>();
        let second = std::thread::spawn(move || {
            let answer = |stream: &mut std::net::TcpStream| {
                let mut request = [0; 1024];
                let read = stream.read(&mut request).expect("a request");
                stream.write_all(OK.as_bytes()).expect("an answer");
                request[..read].to_vec()
            };
            let (mut first, _) = listener.accept().expect("a connection");
            answer(&mut first);
            closing.recv().expect("a word");
            drop(first);
            tell.send(()).expect("somebody waits");
            let (mut second, _) = listener.accept().expect("a connection");
            answer(&mut second)
        });
        Self {
            spec,
            close,
            closed,
            second,
        }
    }

    /// Returns when the first connection is closed, without a look at any socket of the runtime.
    fn close_first(&self) {
        self.close.send(()).expect("the app waits");
        self.closed.recv().expect("the app closed its end");
    }
}

#[tokio::test]
async fn a_request_handed_back_unsent_is_sent_once_more() {
    let app = ClosingApp::start();
    let (outbound, spec) = (outbound(), app.spec.clone());
    outbound
        .send(&spec, post("first"), TIME, ANSWER)
        .await
        .expect("an answer");

    // A socket of this test wakes it in the same turn in which the end of the idle connection is noticed.
    let other = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut peer = std::net::TcpStream::connect(other.local_addr().expect("an address")).expect("a connection");
    let (woken, _) = other.accept().await.expect("a connection");
    // A new socket counts as readable until it is tried.
    woken.try_read(&mut [0]).expect_err("nothing was written yet");
    app.close_first();
    peer.write_all(b"x").expect("written");
    woken.readable().await.expect("readable");
    let (dying, _) = outbound.0.pool.take(&spec).expect("not noticed yet");
    assert!(
        !dying.is_closed() && dying.is_ready(),
        "the request will be taken and handed back"
    );
    assert!(!outbound.0.pool.put(&spec, dying));

    outbound
        .send(&spec, post("second"), TIME, ANSWER)
        .await
        .expect("an answer");
    assert!(app.second.join().expect("no panic").ends_with(b"second"));
}

#[tokio::test]
async fn a_connection_that_was_idle_is_looked_at_before_it_is_used() {
    let clock = Arc::new(TestClock::at(Timestamp::from_secs(0)));
    let outbound = Outbound::new(PoolSpec::default(), clock.clone());
    let app = ClosingApp::start();
    outbound
        .send(&app.spec, post("first"), TIME, ANSWER)
        .await
        .expect("an answer");
    app.close_first();
    clock.advance(Duration::from_secs(1));
    outbound
        .send(&app.spec, post("second"), TIME, ANSWER)
        .await
        .expect("an answer");
    assert!(app.second.join().expect("no panic").ends_with(b"second"));
}

#[tokio::test]
async fn a_request_of_which_a_byte_was_sent_is_not_sent_again() {
    // The second request is read and not answered: on a connection that had served before.
    let app = App::start(|number| {
        if number == 1 {
            (Vec::new(), After::Close)
        } else {
            (OK.into(), After::Next)
        }
    })
    .await;
    let outbound = outbound();
    outbound
        .send(&app.spec(), post("1"), TIME, ANSWER)
        .await
        .expect("an answer");
    let result = outbound.send(&app.spec(), post("2"), TIME, ANSWER).await;
    assert!(is_unreachable(&result), "{result:?}");
    assert_eq!((app.connections(), app.requests().len(), outbound.idle()), (1, 2, 0));
    outbound
        .send(&app.spec(), post("3"), TIME, ANSWER)
        .await
        .expect("an answer");
    assert_eq!(app.requests().len(), 3);
}

#[tokio::test]
async fn an_app_that_restarts_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let outbound = outbound();
    let patient = DestinationSpec {
        connect_wait: TIME,
        ..spec(&format!("http://{address}"))
    };
    let (reply, app) = tokio::join!(outbound.send(&patient, post("x"), TIME, ANSWER), async {
        // Long enough for refusals; were there none, the test would still be right.
        tokio::time::sleep(Duration::from_millis(80)).await;
        App::on(TcpListener::bind(address).await.expect("the same port"), |_| {
            (OK.into(), After::Next)
        })
    });
    assert_eq!(reply.expect("an answer").status, StatusCode::OK);
    assert_eq!(app.requests().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_unreachable_after_connect_wait_and_inside_the_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let refused = spec(&format!("http://{}", listener.local_addr().expect("an address")));
    drop(listener);
    let clock = SystemClock::new();
    // How long it may take at most, for each pair of connect_wait and time.
    for (wait, time, least) in [(0, 5000, 0), (150, 5000, 150), (5000, 150, 150)] {
        let impatient = DestinationSpec {
            connect_wait: Duration::from_millis(wait),
            ..refused.clone()
        };
        let before = clock.monotonic();
        let result = outbound()
            .send(&impatient, post("x"), Duration::from_millis(time), ANSWER)
            .await;
        let took = clock.monotonic().since(before);
        assert!(is_unreachable(&result), "{wait} in {time}: {result:?}");
        assert!(
            took >= Duration::from_millis(least) && took < Duration::from_secs(3),
            "{wait} in {time}: {took:?}"
        );
    }
}

#[tokio::test]
async fn names_are_resolved_and_every_address_is_tried() {
    let app = App::start(|_| (OK.into(), After::Next)).await;
    // `localhost` is `::1` first on most machines, where nobody listens.
    let by_name = spec(&format!("http://localhost:{}", app.address.port()));
    outbound()
        .send(&by_name, post("x"), TIME, ANSWER)
        .await
        .expect("an answer");
    // A label may have 63 characters: no name server needs to be asked.
    let nobody = spec(&format!("http://{}", "x".repeat(64)));
    let result = outbound().send(&nobody, post("x"), TIME, ANSWER).await;
    assert!(is_unreachable(&result), "{result:?}");
}

#[tokio::test]
async fn metadata_addresses_are_not_connected_to() {
    for url in [
        "http://169.254.169.254",
        "http://[fe80::1]",
        "http://[::ffff:169.254.169.254]:80",
    ] {
        let patient = DestinationSpec {
            connect_wait: TIME,
            ..spec(url)
        };
        match outbound().send(&patient, post("x"), TIME, ANSWER).await {
            Err(DeliveryError::Unreachable { reason, .. }) => assert!(reason.contains("metadata"), "{url}: {reason}"),
            other => panic!("{url}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn idle_connections_are_closed_in_time() {
    let app = App::start(|_| (OK.into(), After::Next)).await;
    let pool = PoolSpec {
        idle_timeout: Duration::from_millis(50),
        max_idle: 2,
    };
    let outbound = Outbound::new(pool, Arc::new(SystemClock::new()));
    let spec = app.spec();
    let four = futures_util::future::join_all((0..4).map(|_| outbound.send(&spec, post("x"), TIME, ANSWER))).await;
    assert!(four.iter().all(Result::is_ok));
    assert_eq!((app.connections(), outbound.idle()), (4, 2));
    app.all_closed().await;
    assert_eq!(outbound.idle(), 0);
    outbound.send(&spec, post("x"), TIME, ANSWER).await.expect("an answer");
    app.all_closed().await;
}

#[tokio::test]
async fn a_shutdown_closes_what_is_idle_and_waits_for_what_is_not() {
    let app = App::start(|_| (OK.into(), After::Next)).await;
    let outbound = outbound();
    outbound
        .send(&app.spec(), post("x"), TIME, ANSWER)
        .await
        .expect("an answer");
    let spec = app.spec();
    let during = tokio::join!(outbound.send(&spec, post("y"), TIME, ANSWER), outbound.shutdown());
    assert_eq!(during.0.expect("an answer").status, StatusCode::OK);
    assert_eq!(outbound.idle(), 0);
    app.all_closed().await;
}

#[tokio::test]
async fn a_dropped_request_leaves_no_connection_behind() {
    let (result, app, outbound) = one("", After::Hang, Duration::from_millis(20)).await;
    assert!(is_timeout(&result));
    app.all_closed().await;
    outbound.shutdown().await;
}

#[test]
fn two_workers_each_have_their_own_connections() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("non-blocking");
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let served = runtime();
    let app = served.block_on(async {
        App::on(TcpListener::from_std(listener).expect("a listener"), |_| {
            (OK.into(), After::Next)
        })
    });
    let (done, over) = tokio::sync::oneshot::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(|| served.block_on(over));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    runtime().block_on(async {
                        let outbound = outbound();
                        for _ in 0..200 {
                            outbound
                                .send(&app.spec(), post("x"), TIME, ANSWER)
                                .await
                                .expect("an answer");
                        }
                        outbound.shutdown().await;
                    });
                })
            })
            .collect();
        for worker in workers {
            worker.join().expect("no panic");
        }
        done.send(()).expect("the app runs");
    });
    assert_eq!((app.connections(), app.requests().len()), (2, 400));
}
