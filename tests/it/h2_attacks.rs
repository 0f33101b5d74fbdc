//! HTTP/2 as no client speaks it: malformed requests cost their stream or the connection, floods the connection, and each
//! is counted.

use super::support::{
    App, Folder, Process, Sidecar,
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, End, Frames, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
        block, frame, literal, remembered,
    },
    process::config,
    signed::{GITHUB, push},
    wait_until,
};
use std::time::Duration;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 0xb;

type Field = (&'static [u8], &'static [u8]);

const PSEUDO: [Field; 4] = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":authority", b"hooks.example.com"),
    (b":path", b"/github"),
];

/// The headers of the `n`-th good event, and its body.
fn good(n: usize) -> (Vec<u8>, Vec<u8>) {
    let request = push(n);
    let mut fields = block(&PSEUDO);
    for (name, value) in &request.headers {
        if name != "Host" {
            fields.extend(literal(name.to_ascii_lowercase().as_bytes(), value.as_bytes()));
        }
    }
    (fields, request.body)
}

/// The same with these fields before its body.
fn with(n: usize, more: &[Field]) -> Vec<u8> {
    [good(n).0, block(more)].concat()
}

fn pseudo(replaced: &[u8], by: &'static [u8]) -> Vec<Field> {
    let replace = |(name, value): Field| if name == replaced { (name, by) } else { (name, value) };
    PSEUDO.into_iter().map(replace).collect()
}

/// HEADERS and DATA on one stream.
fn request(stream: u32, fields: &[u8], body: &[u8]) -> Vec<u8> {
    [
        frame(HEADERS, END_HEADERS, stream, fields),
        frame(DATA, END_STREAM, stream, body),
    ]
    .concat()
}

fn malformed(sidecar: &Sidecar) -> f64 {
    sidecar.counted("", "malformed") + sidecar.counted("github", "malformed")
}

#[test]
fn a_malformed_request_costs_at_most_its_connection_and_is_counted_once() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let body = good(0).1;
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("transfer-encoding", with(0, &[(b"transfer-encoding", b"chunked")])),
        ("connection", with(0, &[(b"connection", b"close")])),
        ("keep-alive", with(0, &[(b"keep-alive", b"1")])),
        ("proxy-connection", with(0, &[(b"proxy-connection", b"close")])),
        ("upgrade", with(0, &[(b"upgrade", b"websocket")])),
        ("te", with(0, &[(b"te", b"gzip")])),
        ("upper case", with(0, &[(b"X-Upper", b"1")])),
        ("space in a name", with(0, &[(b"x y", b"1")])),
        ("colon in a name", with(0, &[(b"x:y", b"1")])),
        ("empty name", with(0, &[(b"", b"1")])),
        ("CR LF in a value", with(0, &[(b"x-a", b"1\r\nx-b: 2")])),
        ("LF in a value", with(0, &[(b"x-a", b"1\n2")])),
        ("NUL in a value", with(0, &[(b"x-a", b"1\x002")])),
        ("two paths", with(0, &[(b":path", b"/github")])),
        ("unknown pseudo header", with(0, &[(b":evil", b"1")])),
        (
            "pseudo header after others",
            [block(&[(b"x-a", b"1")]), good(0).0].concat(),
        ),
        ("a status in a request", with(0, &[(b":status", b"200")])),
        ("spaces in the path", block(&pseudo(b":path", b"/git hub"))),
        (
            "CR LF in the path",
            block(&pseudo(b":path", b"/github HTTP/1.1\r\nx: y")),
        ),
        ("empty path", block(&pseudo(b":path", b""))),
        ("path without a slash", block(&pseudo(b":path", b"github"))),
        ("dots in the path", block(&pseudo(b":path", b"/a/../github"))),
        ("asterisk", block(&pseudo(b":path", b"*"))),
        ("space in the method", block(&pseudo(b":method", b"PO ST"))),
        ("empty method", block(&pseudo(b":method", b""))),
        ("no path", block(&PSEUDO[..3])),
        ("no method", block(&PSEUDO[1..])),
        ("no scheme", block(&[PSEUDO[0], PSEUDO[2], PSEUDO[3]])),
        ("no authority", block(&[PSEUDO[0], PSEUDO[1], PSEUDO[3]])),
        (
            "userinfo in the authority",
            block(&pseudo(b":authority", b"a@hooks.example.com")),
        ),
        ("another host", with(0, &[(b"host", b"evil.example.com")])),
        ("two lengths", with(0, &[(b"content-length", b"1")])),
    ];
    let (mut wrong, mut survived) = (Vec::new(), 0);
    for (n, (what, fields)) in bad.iter().enumerate() {
        let before = malformed(&sidecar);
        let mut client = Frames::open(sidecar.addresses.webhooks, b"");
        client.send(&request(1, fields, &body));
        let end = client.end_of(1);
        // Mostly the connection is none the worse for it.
        let (fields, body) = good(100 + n);
        client.send(&request(3, &fields, &body));
        let next = client.end_of(3);
        drop(client);
        // What HPACK carries and HTTP cannot be is taken for a broken connection, as RFC 9113 (5.4.2) allows.
        let (fine, whole) = match end {
            End::Status(400) | End::Reset(PROTOCOL_ERROR) => (true, End::Status(200)),
            End::Gone(PROTOCOL_ERROR) => (true, End::Closed),
            _ => (false, End::Closed),
        };
        survived += usize::from(next == End::Status(200));
        if !fine || next != whole {
            wrong.push(format!("{what}: {end:?}, then {next:?}"));
            continue;
        }
        wait_until(what, || malformed(&sidecar) > before + 0.5);
        assert!(
            (malformed(&sidecar) - before - 1.0).abs() < f64::EPSILON,
            "{what}: once"
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(survived > 15, "most cost only their stream: {survived}");
    assert_eq!(app.seen().len(), survived, "only what is good comes through");
    assert!(app.seen().iter().all(|seen| seen.header("x-a").is_none()));
}

#[test]
fn a_body_of_another_length_than_declared_reaches_nobody() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let (fields, body) = good(12345);
    for (what, frames) in [
        ("shorter", request(1, &fields, &body[..2])),
        ("longer", request(1, &fields, &[&body[..], b"x"].concat())),
        ("none at all", frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields)),
    ] {
        let before = malformed(&sidecar);
        let mut client = Frames::open(sidecar.addresses.webhooks, b"");
        client.send(&frames);
        let end = client.end_of(1);
        assert!(
            matches!(end, End::Reset(PROTOCOL_ERROR) | End::Status(400)),
            "{what}: {end:?}"
        );
        drop(client);
        wait_until(what, || malformed(&sidecar) > before + 0.5);
    }
    wait_until("all connections are closed", || {
        sidecar.metric("hookward_connections") < 0.5
    });
    assert!((malformed(&sidecar) - 3.0).abs() < f64::EPSILON, "each once");
    assert!(app.seen().is_empty());
}

#[test]
fn trailers_are_dropped_whatever_they_say() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let send = |n: usize, trailers: &[u8]| {
        let (fields, body) = good(n);
        let mut client = Frames::open(sidecar.addresses.webhooks, b"");
        client.send(&frame(HEADERS, END_HEADERS, 1, &fields));
        client.send(&frame(DATA, 0, 1, &body));
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers));
        client.end_of(1)
    };
    assert_eq!(
        send(1, &block(&[(b"x-late", b"1"), (b"x-hub-signature-256", b"sha256=00")])),
        End::Status(200)
    );
    assert_eq!(app.seen()[0].header("x-late"), None);
    assert_eq!(
        send(2, &block(&[(b":path", b"/x"), (b"content-length", b"1")])),
        End::Status(200)
    );
    assert_eq!(app.seen()[1].target, "/github");
    assert_eq!(app.seen()[1].body, good(2).1);
}

#[test]
fn what_breaks_the_protocol_ends_the_connection_and_is_counted_once() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let fields = good(1).0;
    let update = |by: u32| by.to_be_bytes();
    let cases: Vec<(&str, Vec<u8>, &[u32])> = vec![
        ("HEADERS on stream 0", frame(HEADERS, 5, 0, &fields), &[PROTOCOL_ERROR]),
        ("an even stream", frame(HEADERS, 5, 2, &fields), &[PROTOCOL_ERROR]),
        (
            "DATA on a stream that is not there",
            frame(DATA, 1, 1, b"x"),
            &[PROTOCOL_ERROR],
        ),
        (
            "a PING of 7 bytes",
            frame(PING, 0, 0, b"1234567"),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        (
            "SETTINGS of 5 bytes",
            frame(SETTINGS, 0, 0, b"12345"),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        (
            "a frame of 20 KiB",
            frame(DATA, 0, 1, &[0; 20 * 1024]),
            &[FRAME_SIZE_ERROR],
        ),
        (
            "a window beyond all bounds",
            [
                frame(WINDOW_UPDATE, 0, 0, &update(0x7fff_ffff)),
                frame(WINDOW_UPDATE, 0, 0, &update(0x7fff_ffff)),
            ]
            .concat(),
            &[FLOW_CONTROL_ERROR],
        ),
        (
            "an update by nothing",
            frame(WINDOW_UPDATE, 0, 0, &update(0)),
            &[PROTOCOL_ERROR],
        ),
        (
            "an index of no table",
            frame(HEADERS, 5, 1, &[0xff, 0xff, 0x7f]),
            &[COMPRESSION_ERROR, PROTOCOL_ERROR],
        ),
        (
            "a CONTINUATION of nothing",
            frame(CONTINUATION, 4, 1, &fields),
            &[PROTOCOL_ERROR],
        ),
        (
            "something between HEADERS and CONTINUATION",
            [frame(HEADERS, 0, 1, &fields), frame(PING, 0, 0, b"12345678")].concat(),
            &[PROTOCOL_ERROR],
        ),
        (
            "no frame at all",
            b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
    ];
    let mut wrong = Vec::new();
    for (count, (what, bytes, codes)) in cases.iter().enumerate() {
        let mut client = Frames::open(sidecar.addresses.webhooks, b"");
        client.send(bytes);
        let end = client.end_of(u32::MAX);
        if !matches!(end, End::Gone(code) if codes.contains(&code)) {
            wrong.push(format!("{what}: {end:?}"));
        }
        drop(client);
        wait_until(what, || {
            malformed(&sidecar) > f64::from(u32::try_from(count).expect("few")) + 0.5
        });
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    wait_until("all connections are closed", || {
        sidecar.metric("hookward_connections") < 0.5
    });
    let count = f64::from(u32::try_from(cases.len()).expect("few"));
    assert!((malformed(&sidecar) - count).abs() < f64::EPSILON, "each once");
    assert!(app.seen().is_empty());
}

/// A sidecar of its own process, and what it holds of memory (KiB) after it has served.
fn alone(app: &App, folder: &Folder) -> (Process, u64) {
    let process = Process::run(&folder.write("hookward.yaml", &config(app)));
    for n in 0..20 {
        assert_eq!(push(9000 + n).send(process.webhooks).outcome(), "delivered");
    }
    let memory = process.memory();
    (process, memory)
}

/// Still there, and not grown by more than this many MiB.
fn unharmed(process: &Process, before: u64, mib: u64) {
    wait_until("it serves", || push(8000).send(process.webhooks).status == 200);
    let grown = process.memory().saturating_sub(before);
    assert!(grown < mib * 1024, "grown by {grown} KiB");
}

#[test]
fn rapid_resets_and_endless_headers_are_told_to_calm_down() {
    let (app, folder) = (App::start(), Folder::new());
    let (process, memory) = alone(&app, &folder);
    let fields = good(1).0;
    for _ in 0..5 {
        // Rapid reset (CVE-2023-44487): much more at once than is read at once.
        let mut client = Frames::open(process.webhooks, b"");
        let resets: Vec<u8> = (0..2000)
            .flat_map(|n| {
                let stream = 2 * n + 1;
                [
                    frame(HEADERS, END_HEADERS, stream, &fields),
                    frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
                ]
                .concat()
            })
            .collect();
        client.send(&resets);
        assert_eq!(client.end_of(u32::MAX), End::Gone(ENHANCE_YOUR_CALM));
        // A head without an end (CVE-2024-27316).
        let mut client = Frames::open(process.webhooks, b"");
        client.send(&frame(HEADERS, 0, 1, &fields));
        let piece = frame(CONTINUATION, 0, 1, &literal(b"x-more", &[b'x'; 8000]));
        let mut sent = 0;
        while client.send(&piece) && sent < 10_000 {
            sent += 1;
        }
        let end = client.end_of(1);
        assert!(sent < 10_000 || end != End::Closed, "listened to all of it");
        // Empty pieces of it.
        let mut client = Frames::open(process.webhooks, b"");
        client.send(&frame(HEADERS, 0, 1, &fields));
        let piece = frame(CONTINUATION, 0, 1, b"");
        client.send(&piece.repeat(5000));
        assert_eq!(client.end_of(1), End::Gone(ENHANCE_YOUR_CALM));
        // Malformed ones without an end.
        let mut client = Frames::open(process.webhooks, b"");
        let bad = with(1, &[(b"connection", b"close")]);
        let many: Vec<u8> = (0..2000)
            .flat_map(|n| frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &bad))
            .collect();
        client.send(&many);
        assert_eq!(client.end_of(u32::MAX), End::Gone(ENHANCE_YOUR_CALM));
    }
    unharmed(&process, memory, 8);
}

#[test]
fn a_small_block_that_unpacks_to_a_large_head_is_refused() {
    let (app, folder) = (App::start(), Folder::new());
    let (process, memory) = alone(&app, &folder);
    let mut client = Frames::open(process.webhooks, b"");
    // 4000 bytes enter the table, and 4000 references to them make 16 MB.
    let mut fields = block(&PSEUDO);
    fields.extend(remembered(b"x-bomb", &[b'b'; 3900]));
    fields.extend(vec![0xbe; 4000]);
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields));
    let end = client.end_of(1);
    // As it comes out of the decoder: refused by its size or before it.
    assert!(
        matches!(end, End::Status(431) | End::Reset(_) | End::Gone(_)),
        "{end:?}"
    );
    drop(client);
    wait_until("it is counted", || {
        process.metric("hookward_requests_total{source=\"\",outcome=\"malformed\"}") > 0.5
    });
    assert_eq!(app.seen().len(), 20);
    unharmed(&process, memory, 8);
}

#[test]
fn whoever_only_chatters_is_told_to_calm_down() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    for (count, chatter) in [frame(PING, 0, 0, b"12345678"), frame(SETTINGS, 0, 0, b"")]
        .iter()
        .enumerate()
    {
        let mut client = Frames::open(sidecar.addresses.webhooks, b"");
        let mut reader = client.also();
        let heard = std::thread::spawn(move || reader.end_of(u32::MAX));
        let many = chatter.repeat(100);
        let mut sent = 0;
        while client.send(&many) {
            sent += many.len();
            assert!(sent < 64 << 20, "it is listened to without end");
        }
        // A reset may be faster than the last word.
        let end = heard.join().expect("no panic");
        assert!(matches!(end, End::Gone(ENHANCE_YOUR_CALM) | End::Closed), "{end:?}");
        wait_until("it is counted", || {
            malformed(&sidecar) > f64::from(u32::try_from(count).expect("two")) + 0.5
        });
    }
    assert!(app.seen().is_empty());
}

#[test]
fn floods_whose_answers_nobody_reads_cost_no_memory() {
    let (app, folder) = (App::start(), Folder::new());
    let (process, memory) = alone(&app, &folder);
    let brief = Duration::from_millis(300);
    let held: Vec<Frames> = [
        frame(PING, 0, 0, b"12345678"),
        frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x10"),
    ]
    .iter()
    .map(|flood| {
        let mut client = Frames::open(process.webhooks, b"");
        let many = flood.repeat(1000);
        // Until the sidecar reads no more, because nobody reads what it answers; 200 MB at most.
        for _ in 0..12_000 {
            if client.send_within(&many, brief).is_err() {
                break;
            }
        }
        client
    })
    .collect();
    unharmed(&process, memory, 8);
    drop(held);
}
