//! HTTP/2 with prior knowledge, end to end.

use super::support::{
    App, Request, Script, Sidecar,
    signed::{self, GITHUB, push},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};

#[test]
fn http_2_with_prior_knowledge_works_end_to_end() {
    const STREAMS: usize = 40;
    let app = App::start();
    let sidecar = Sidecar::before(&app, &format!("hosts: [hooks.example.com]\n{GITHUB}"));
    let to = sidecar.addresses.webhooks;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(to).await.expect("it listens");
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("it speaks HTTP/2");
        let driver = tokio::spawn(connection);
        let send = |signed: Request, host: &str| {
            let mut request = http::Request::builder()
                .method(signed.method)
                .uri(format!("http://{host}{}", signed.target));
            for (name, value) in &signed.headers {
                if !matches!(name.as_str(), "Host" | "Content-Length") {
                    request = request.header(name, value);
                }
            }
            let request = request.body(Full::new(Bytes::from(signed.body))).expect("a request");
            let mut sender = sender.clone();
            async move {
                let response = sender.send_request(request).await.expect("an answer");
                let (head, body) = response.into_parts();
                let outcome = head.headers["hookward-outcome"].to_str().expect("a word").to_owned();
                let body = body.collect().await.expect("a body").to_bytes();
                (head.status.as_u16(), outcome, body)
            }
        };
        let streams = (0..STREAMS).map(|n| tokio::spawn(send(push(n), "hooks.example.com")));
        for stream in streams.collect::<Vec<_>>() {
            let (status, outcome, body) = stream.await.expect("no panic");
            assert_eq!((status, outcome.as_str()), (200, "delivered"));
            assert_eq!(&body[..], b"from the app");
        }
        let forged = push(1).replace("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)));
        let (status, outcome, _) = send(forged, "hooks.example.com").await;
        assert_eq!((status, outcome.as_str()), (401, "unverified"));
        let (status, outcome, _) = send(push(1), "other.example.com").await;
        assert_eq!((status, outcome.as_str()), (421, "malformed"));
        // A refusal costs a stream and not the connection.
        let (status, outcome, _) = send(push(1), "hooks.example.com").await;
        assert_eq!((status, outcome.as_str()), (200, "duplicate"));
        drop(sender);
        driver.abort();
    });
    let seen = app.seen();
    assert_eq!(seen.len(), STREAMS);
    for recorded in &seen {
        assert_eq!(recorded.header("host"), Some("hooks.example.com"));
        assert_eq!(recorded.header("x-forwarded-host"), Some("hooks.example.com"));
        assert_eq!(recorded.target, "/github");
        assert_eq!(
            recorded.header("content-length"),
            Some(recorded.body.len().to_string().as_str())
        );
    }
}

#[test]
fn a_reset_stream_of_http_2_leaves_a_settled_delivery() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let to = sidecar.addresses.webhooks;
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(to).await.expect("it listens");
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("it speaks HTTP/2");
        let driver = tokio::spawn(connection);
        let signed = push(1);
        let mut request = http::Request::post("http://hooks.example.com/github");
        for (name, value) in signed.headers.iter().filter(|(name, _)| name.starts_with("X-")) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(signed.body))).expect("a request");
        let sent = tokio::spawn(sender.send_request(request));
        while app.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        // Dropping the response resets the stream; the connection stays.
        sent.abort();
        assert!(sent.await.is_err());
        open.send_replace(true);
        while sidecar.counted("github", "delivered") < 0.5 {
            tokio::task::yield_now().await;
        }
        drop(sender);
        driver.abort();
    });
    assert_eq!(sidecar.send(&push(1)).outcome(), "duplicate");
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn a_large_body_comes_over_http_2_and_one_that_is_too_large_costs_its_stream_only() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "
sources:
  github:
    provider: github
    path: /github
    secrets: [{env: SECRET}]
    max_body: 2MiB
",
    );
    let to = sidecar.addresses.webhooks;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(to).await.expect("it listens");
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("it speaks HTTP/2");
        let driver = tokio::spawn(connection);
        for (n, length, status) in [
            (1, 2 << 20, 200),
            (2, (2 << 20) + 1, 413),
            (3, 5 << 20, 413),
            (4, 1 << 20, 200),
        ] {
            let body: Vec<u8> = (0..length)
                .map(|at| u8::try_from((at * n) % 251).expect("small"))
                .collect();
            let signed = signed::github("/github", &format!("d-{n}"), &body);
            let mut request = http::Request::post("http://hooks.example.com/github");
            for (name, value) in signed.headers.iter().filter(|(name, _)| name.starts_with("X-")) {
                request = request.header(name, value);
            }
            let request = request.body(Full::new(Bytes::from(body))).expect("a request");
            let answer = sender.send_request(request).await.expect("an answer");
            assert_eq!(answer.status(), status, "{length}");
        }
        drop(sender);
        driver.abort();
    });
    let lengths: Vec<usize> = app.seen().iter().map(|seen| seen.body.len()).collect();
    assert_eq!(lengths, [2 << 20, 1 << 20]);
}

#[test]
fn a_drain_ends_http_2_when_its_streams_have_ended() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let to = sidecar.addresses.webhooks;
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let connect = async || {
            let stream = tokio::net::TcpStream::connect(to).await.expect("it listens");
            hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("it speaks HTTP/2")
        };
        let (idle, idle_connection) = connect().await;
        let idle_connection = tokio::spawn(idle_connection);
        let (mut sender, connection) = connect().await;
        let connection = tokio::spawn(connection);
        let signed = push(1);
        let mut request = http::Request::post("http://hooks.example.com/github");
        for (name, value) in signed.headers.iter().filter(|(name, _)| name.starts_with("X-")) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(signed.body))).expect("a request");
        let sent = tokio::spawn(sender.send_request(request));
        while app.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        sidecar.drain();
        open.send_replace(true);
        let answer = sent.await.expect("no panic").expect("an answer");
        assert_eq!(answer.status(), 200);
        // GOAWAY: both connections end though their clients hold them.
        connection.await.expect("no panic").expect("closed in order");
        idle_connection.await.expect("no panic").expect("closed in order");
        drop((idle, sender));
    });
    assert_eq!(sidecar.stop().cut, 0);
}
