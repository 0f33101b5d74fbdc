//! HTTP/2 with prior knowledge: the same gate, the same app, deadlines of the connection as a whole.

use super::*;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

type Sender = http2::SendRequest<Full<Bytes>>;

async fn connect(house: &House) -> Sender {
    let stream = tokio::net::TcpStream::connect(house.address).await.expect("a listener");
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("HTTP/2");
    #[expect(
        clippy::disallowed_methods,
        reason = "the client's end of a test; its runtime ends with the test"
    )]
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut Sender, path: &str, body: &'static str) -> Result<(u16, Bytes), hyper::Error> {
    let request = Request::post(format!("http://h{path}"))
        .body(Full::from(body))
        .expect("a request");
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        read.extend_from_slice(&frame?.into_data().unwrap_or_default());
    }
    Ok((status, read.into()))
}

#[test]
fn requests_are_served_side_by_side_and_judged() {
    let house = House::open();
    runtime().block_on(async {
        let mut sender = connect(&house).await;
        let mut other = sender.clone();
        let (held, read) = tokio::join!(ask(&mut other, "/hold", ""), async {
            let read = ask(&mut sender, "/read", "ZZ").await;
            house.app.released.add_permits(1);
            read
        });
        assert_eq!(held.expect("an answer"), (200, Bytes::from("held")));
        assert_eq!(read.expect("an answer"), (200, Bytes::from("read 2")));
        assert_eq!(ask(&mut sender, "/early", "ZZ").await.expect("an answer").0, 401);
        assert_eq!(ask(&mut sender, "/a/%2e%2e/b", "").await.expect("an answer").0, 400);
        assert_eq!(
            ask(&mut sender, "/read", "after a refusal").await.expect("an answer").0,
            200
        );
    });
    assert_eq!(house.close(), 0);
}

#[test]
fn idle_is_between_the_last_stream_and_the_next() {
    let house = House::open();
    runtime().block_on(async {
        let mut sender = connect(&house).await;
        assert_eq!(ask(&mut sender, "/read", "").await.expect("an answer").0, 200);
        house.until_census(|census| census.idle == 1);
        house.tick(300);
        assert_eq!(ask(&mut sender, "/read", "").await.expect("still served").0, 200);
        house.until_census(|census| census.idle == 1);
        house.tick(301);
        house.until_noted(&Note::Ended(ConnectionEnd::Idle));
        assert!(ask(&mut sender, "/read", "").await.is_err());
    });
    assert_eq!(house.close(), 0);
}

#[test]
fn a_drain_sends_goaway_and_serves_the_streams_that_are_open() {
    let house = House::open();
    runtime().block_on(async {
        let mut sender = connect(&house).await;
        let mut other = sender.clone();
        let (held, ()) = tokio::join!(ask(&mut other, "/hold", ""), async {
            // One that is answered shows that the one before it has arrived.
            assert_eq!(ask(&mut sender, "/read", "").await.expect("an answer").0, 200);
            house.app.shutdown.drain();
            house.app.released.add_permits(1);
        });
        assert_eq!(held.expect("an answer").0, 200);
    });
    let mut house = house;
    assert_eq!(house.joined(), 0);
}

#[test]
fn a_stream_that_is_stuck_is_cut_with_its_connection() {
    let short = Timeouts {
        grace: Duration::from_millis(50),
        parting: Duration::from_millis(50),
        ..timeouts()
    };
    let mut house = House::with(short, 100);
    runtime().block_on(async {
        let mut sender = connect(&house).await;
        let (answer, ()) = tokio::join!(ask(&mut sender, "/stuck", ""), async {
            while !house.asked().contains(&"/stuck".to_owned()) {
                tokio::task::yield_now().await;
            }
            house.app.shutdown.drain();
        });
        assert!(answer.is_err());
    });
    assert_eq!(house.joined(), 1);
}

#[test]
fn a_preface_may_come_in_pieces_and_junk_after_it_ends_the_connection() {
    let house = House::open();
    let mut client = house.connect();
    for piece in ["P", "RI * HTTP/2.0\r\n", "\r\nSM\r\n\r\n"] {
        client.send(piece);
        house.until_census(|census| census.idle + census.head == 1);
    }
    client.send("this is no frame at all, whatever it may look like");
    let mut rest = Vec::new();
    client.0.read_to_end(&mut rest).expect("an end");
    assert!(!rest.starts_with(b"HTTP/1.1"), "HTTP/2 was understood");
    assert!(rest.windows(6).any(|six| six == [7, 0, 0, 0, 0, 0]), "GOAWAY");
    // It is given the time to hear it, and no more.
    house.until_census(|census| census.parting == 1);
    house.tick(5);
    house.until_noted(&Note::Ended(ConnectionEnd::Malformed));
    house.until_census(|census| census == Census::default());
    assert_eq!(house.asked(), [""; 0]);
    assert_eq!(house.close(), 0);
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

/// One frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short frame");
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A literal header that enters no table (RFC 7541, section 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        field.push(u8::try_from(text.len()).expect("a short text"));
        field.extend_from_slice(text.as_bytes());
    }
    field
}

/// The preface and no settings.
fn hello() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, b"")].concat()
}

/// A request without a body.
fn asking(stream: u8, path: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "h"),
        (":path", path),
    ];
    let fields: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
    // The ends of the stream and of its headers.
    frame(HEADERS, 1 | 4, stream, &fields)
}

/// The next frame's kind and stream; what has to be acknowledged is.
fn next(client: &mut Client) -> Option<(u8, u8)> {
    let mut head = [0; 9];
    client.0.read_exact(&mut head).ok()?;
    let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    client.0.read_exact(&mut payload).expect("a whole frame");
    match (head[3], head[4]) {
        (SETTINGS, 0) => client.send(frame(SETTINGS, 1, 0, b"")),
        (PING, 0) => client.send(frame(PING, 1, 0, &payload)),
        (GOAWAY, _) => assert_eq!(payload[4..8], [0; 4], "no error"),
        _ => {}
    }
    Some((head[3], head[8]))
}

#[test]
fn close_to_a_bound_an_answer_ends_its_connection_after_the_streams_beside_it() {
    let house = House::with(timeouts(), 16);
    // Thirteen and one: an eighth of the places is left.
    let mut held: Vec<Client> = (0..13).map(|_| house.connect()).collect();
    house.until_census(|census| census.idle == 13);
    let mut client = house.connect();
    client.send([hello(), asking(1, "/hold"), asking(3, "/read")].concat());
    let (mut answered, mut told) = (false, false);
    while !(answered && told) {
        match next(&mut client).expect("a stream is open") {
            (HEADERS, 3) => answered = true,
            (GOAWAY, 0) => told = true,
            (kind, stream) => assert_ne!((kind, stream), (HEADERS, 1), "it is held"),
        }
    }
    house.app.released.add_permits(1);
    let rest: Vec<(u8, u8)> = std::iter::from_fn(|| next(&mut client)).collect();
    assert!(rest.contains(&(HEADERS, 1)), "{rest:?}");
    house.until_noted(&Note::Ended(ConnectionEnd::Closed));
    // With room for others a connection is kept.
    held.truncate(8);
    until(|| house.occupancy.connections() == 8, || "they stay".into());
    let mut client = house.connect();
    client.send(hello());
    for stream in [1, 3, 5] {
        client.send(asking(stream, "/read"));
        while next(&mut client).expect("it is kept") != (HEADERS, stream) {}
    }
    drop((client, held));
    assert_eq!(house.close(), 0);
}

#[test]
fn a_head_that_has_begun_has_to_end_and_a_ping_does_not_help() {
    const HEAD: u32 = 20;
    let house = House::open();
    let mut client = house.connect();
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend(frame(4, 0, 0, b""));
    client.send(hello);
    house.until_census(|census| census.idle == 1);
    // HEADERS without END_HEADERS, then CONTINUATION by CONTINUATION.
    client.send(frame(1, 1, 1, &literal(":method", "POST")));
    house.until_census(|census| census.head == 1);
    house.tick(HEAD / 2);
    client.send(frame(9, 0, 1, &literal(":scheme", "http")));
    house.tick(HEAD / 2);
    assert_eq!(house.census().head, 1, "not before its time");
    house.tick(1);
    house.until_noted(&Note::Ended(ConnectionEnd::HeaderTimeout));
    house.until_census(|census| census == Census::default());
    assert_eq!(house.close(), 0);
}

#[test]
fn an_answer_that_the_window_never_lets_out_has_the_write_deadline() {
    const WRITE: u32 = 40;
    let house = House::open();
    let mut client = house.connect();
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "h"),
        (":path", "/read"),
    ];
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE 0.
    hello.extend(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    hello.extend(frame(1, 5, 1, &block));
    client.send(hello);
    house.until_census(|census| census.stalled == 1);
    house.tick(WRITE / 2);
    // A PING is no progress.
    client.send(frame(6, 0, 0, b"are you?"));
    house.tick(WRITE / 2);
    assert_eq!(house.census().stalled, 1, "not before its time");
    house.tick(1);
    house.until_noted(&Note::Ended(ConnectionEnd::WriteTimeout));
    house.until_census(|census| census == Census::default());
    assert_eq!(house.close(), 0);
}

#[test]
fn an_answer_of_which_the_window_lets_out_a_part_has_the_write_deadline_and_keeps_what_it_holds() {
    const WRITE: u32 = 40;
    let house = House::open();
    let kept = || house.app.kept.load(SeqCst);
    let mut client = house.connect();
    // The window is 64 KiB, and is never opened further.
    client.send([hello(), asking(1, "/kept")].concat());
    while next(&mut client).expect("a stream is open") != (0, 1) {}
    house.until_census(|census| census.stalled == 1);
    assert_eq!(kept(), 1);
    house.tick(WRITE + 1);
    house.until_noted(&Note::Ended(ConnectionEnd::WriteTimeout));
    until(|| kept() == 0, || format!("{} are kept", kept()));
    assert_eq!(house.close(), 0);
}

#[test]
fn an_early_answer_is_not_reset_while_its_sender_still_sends() {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    // Longer than the test takes: only the end of the body ends the stream.
    let patient = Timeouts {
        parting: Duration::from_mins(1),
        ..timeouts()
    };
    let house = House::with(patient, 100);
    let mut client = house.connect();
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "h"),
        (":path", "/early"),
    ];
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend(frame(SETTINGS, 0, 0, b""));
    hello.extend(frame(HEADERS, 4, 1, &block));
    hello.extend(frame(DATA, 0, 1, b"the beginning"));
    client.send(hello);
    let mut kinds = Vec::new();
    while kinds.last() != Some(&PING) {
        let mut head = [0; 9];
        client.0.read_exact(&mut head).expect("a frame");
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        client.0.read_exact(&mut payload).expect("its payload");
        if head[8] == 1 || head[3] == PING {
            kinds.push(head[3]);
        }
        if head[3] == DATA {
            assert_eq!(
                (head[4], payload.as_slice()),
                (1, b"early".as_slice()),
                "the whole answer"
            );
            client.send(frame(DATA, 1, 1, b"the end"));
            client.send(frame(PING, 0, 0, b"are you?"));
        }
    }
    assert_eq!(kinds, [HEADERS, DATA, PING], "nothing else came for the stream");
    drop(client);
    assert_eq!(house.close(), 0);
}
