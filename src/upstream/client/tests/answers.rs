//! What counts as an answer, and how much of it is handed on.

use super::*;

#[tokio::test]
async fn silence_is_a_timeout_and_its_connection_is_gone() {
    let time = Duration::from_millis(100);
    for part in ["", "HTTP/1.1 200 OK\r\nContent-Len", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let (result, app, outbound) = one(part, After::Hang, time).await;
        let Err(DeliveryError::Timeout { after, .. }) = result else {
            panic!("{part:?}: {result:?}");
        };
        assert_eq!((after, outbound.idle()), (time, 0));
        app.all_closed().await;
    }
}

#[tokio::test]
async fn without_time_nothing_is_begun() {
    let (result, app, _) = one(OK, After::Next, Duration::ZERO).await;
    assert!(is_timeout(&result), "{result:?}");
    assert_eq!((app.connections(), app.requests().len()), (0, 0));
}

#[tokio::test]
async fn once_the_head_has_come_its_status_stands() {
    let time = Duration::from_millis(100);
    let piece = |status| format!("HTTP/1.1 {status} X\r\nContent-Length: 10\r\n\r\nabc");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n".to_owned();
    let garbage = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n".to_owned();
    for (answer, after, status) in [
        (piece(200), After::Hang, 200),
        (piece(200), After::Close, 200),
        (piece(500), After::Close, 500),
        (chunked.clone(), After::Hang, 200),
        (chunked, After::Close, 200),
        (garbage, After::Hang, 200),
    ] {
        let (result, app, outbound) = one(answer.clone(), after, time).await;
        let reply = result.expect(&answer);
        assert_eq!(reply.status.as_u16(), status);
        assert_eq!(
            (&reply.body[..], reply.broken, reply.excess.is_some()),
            (&b"abc"[..], true, false),
            "{answer:?}"
        );
        assert_eq!(outbound.idle(), 0, "{answer:?}");
        app.all_closed().await;
    }
}

#[tokio::test]
async fn every_final_status_is_an_answer_and_no_redirect_is_followed() {
    for status in [200, 201, 204, 301, 304, 307, 400, 404, 410, 429, 500, 503] {
        let answer = format!("HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
        let (result, app, outbound) = one(answer, After::Next, TIME).await;
        assert_eq!(result.expect("an answer").status.as_u16(), status);
        assert_eq!((app.requests().len(), outbound.idle()), (1, 1));
    }
}

#[tokio::test]
async fn informational_answers_are_skipped_but_a_switch_is_broken() {
    let early = format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{OK}");
    let (result, ..) = one(early, After::Next, TIME).await;
    let reply = result.expect("an answer");
    assert_eq!(
        (reply.status, reply.headers.contains_key("link")),
        (StatusCode::OK, false)
    );
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    let (result, _, outbound) = one(switch, After::Hang, TIME).await;
    assert!(is_broken(&result), "{result:?}");
    assert_eq!(outbound.idle(), 0);
}

#[tokio::test]
async fn what_http_does_not_allow_is_broken() {
    let large = "x".repeat(70 * 1024);
    let many = "X-Line: y\r\n".repeat(200);
    for answer in [
        format!("HTTP/1.1 200 OK\r\nX-Large: {large}\r\nContent-Length: 0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\n folded: x\r\n\r\n".to_owned(),
        "HTTP/2.0 200 OK\r\n\r\n".to_owned(),
        "no HTTP at all\r\n\r\n".to_owned(),
    ] {
        let (result, _, outbound) = one(answer.clone(), After::Hang, TIME).await;
        assert!(is_broken(&result), "{answer:.80}: {result:?}");
        assert_eq!(outbound.idle(), 0);
    }
    let fits = "x".repeat(60 * 1024);
    let (result, ..) = one(
        format!("HTTP/1.1 200 OK\r\nX: {fits}\r\nContent-Length: 0\r\n\r\n"),
        After::Next,
        TIME,
    )
    .await;
    assert_eq!(result.expect("an answer").headers["x"].len(), fits.len());
}

#[tokio::test]
async fn no_answer_at_all_is_unreachable() {
    for part in ["", "HTTP/1.1 200 OK\r\nContent-Len", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let (result, app, outbound) = one(part, After::Close, TIME).await;
        assert!(is_unreachable(&result), "{part:?}: {result:?}");
        assert_eq!((app.requests().len(), outbound.idle()), (1, 0));
    }
}

fn sized(length: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}",
        "b".repeat(length)
    )
}

#[tokio::test]
async fn a_body_is_read_whole_or_not_at_all() {
    const MAX: usize = 1 << 20;
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "b".repeat(4 * MAX));
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{MAX:x}\r\n{}\r\n0\r\n\r\n",
        "b".repeat(MAX)
    );
    for (answer, length, excess) in [
        (sized(MAX), MAX, None),
        (chunked, MAX, None),
        (sized(MAX + 1), 0, Some(Excess::Limit)),
        (endless, 0, Some(Excess::Limit)),
        // An announced length over the limit is not read.
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n".to_owned(),
            0,
            Some(Excess::Limit),
        ),
    ] {
        let (result, app, outbound) = one(answer, After::Hang, TIME).await;
        let reply = result.expect("an answer");
        assert_eq!((reply.body.len(), reply.excess, reply.broken), (length, excess, false));
        assert!(!reply.headers.contains_key(header::CONTENT_LENGTH));
        assert_eq!(outbound.idle(), usize::from(excess.is_none()));
        outbound.shutdown().await;
        app.all_closed().await;
    }
}

/// So much room as there is, for all answers of a test.
struct Rest(std::sync::Arc<std::sync::atomic::AtomicU64>, u64);

impl Room for Rest {
    fn grow(&mut self, more: u64) -> bool {
        self.1 += more;
        self.0.fetch_add(more, std::sync::atomic::Ordering::SeqCst) + more <= 100_000
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, std::sync::atomic::Ordering::SeqCst);
    }
}

async fn ask(length: usize, limit: AnswerLimit<'_>) -> Reply {
    let app = App::start(move |_| (sized(length).into(), After::Next)).await;
    let reply = outbound().send(&app.spec(), post("x"), TIME, limit).await;
    reply.expect("an answer")
}

#[tokio::test]
async fn a_long_body_holds_room_for_as_long_as_its_reply_lives() {
    const SHORT: usize = 64 * 1024;
    let held = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let room = || -> Box<dyn Room> { Box::new(Rest(held.clone(), 0)) };
    let limit = AnswerLimit { room: &room, ..ANSWER };
    let held = || held.load(std::sync::atomic::Ordering::SeqCst);
    let short = ask(SHORT, limit).await;
    assert_eq!((short.body.len(), held()), (SHORT, 0));
    let long = ask(SHORT + 60_000, limit).await;
    let copy = long.clone();
    assert_eq!((long.body.len(), held()), (SHORT + 60_000, 60_000));
    drop(long);
    // A body without room is dropped as a whole.
    let none = ask(SHORT + 60_000, limit).await;
    assert_eq!((none.body.len(), none.excess, held()), (0, Some(Excess::Room), 60_000));
    // One that nobody wants needs no room.
    let unwanted = ask(SHORT + 60_000, AnswerLimit { keeps: false, ..limit }).await;
    assert_eq!((unwanted.body.len(), unwanted.excess, held()), (0, None, 60_000));
    drop(copy);
    assert_eq!(held(), 0);
}

#[tokio::test]
async fn an_answer_loses_what_is_not_for_the_sender() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\nServer: s\r\n\
         X-Powered-By: p\r\nHookward-Outcome: delivered\r\nhookward_outcome: delivered\r\nHookward.Outcome: delivered\r\nSet.Cookie: a=b\r\nConnection: keep-alive, x-hop\r\n\
         X-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Twice: 1\r\nX-Twice: 2\r\n\
         Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\nok";
    let (result, ..) = one(answer, After::Next, TIME).await;
    let headers = result.expect("an answer").headers;
    let mut names: Vec<&str> = headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "date", "x-twice"]);
    assert_eq!(headers.get_all("x-twice").iter().collect::<Vec<_>>(), ["1", "2"]);
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_is_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let to = spec(&format!("http://{}", listener.local_addr().expect("an address")));
    let outbound = outbound();
    let app = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = [0; 16];
        stream.read_exact(&mut head).await.expect("a head");
        stream
            .write_all(b"HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n")
            .await
            .expect("written");
        stream
    };
    let large = "x".repeat(16 * 1024 * 1024);
    let (reply, held) = tokio::join!(outbound.send(&to, post(&large), TIME, ANSWER), app);
    assert_eq!(reply.expect("an answer").status, StatusCode::PAYLOAD_TOO_LARGE);
    // Its request is not written to the end: whatever the pool holds, the next request must not wait behind it.
    let next = tokio::join!(outbound.send(&to, post("x"), TIME, ANSWER), async {
        let (mut stream, _) = listener.accept().await.expect("a second connection");
        let mut buffer = Vec::new();
        read_request(&mut stream, &mut buffer).await.expect("a request");
        stream.write_all(OK.as_bytes()).await.expect("written");
        stream
    });
    assert_eq!(next.0.expect("an answer").status, StatusCode::OK);
    drop(held);
}
