//! The rows of the attack table that exist in HTTP/2, frame by frame.

use super::super::support::{
    App, Sidecar,
    frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, End, Frames, HEADERS, block, frame, literal},
    signed::{github, push},
    wait_until,
};

type Field<'a> = (&'a [u8], &'a [u8]);

/// What must become of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Refused: an error of the stream or the connection, or an answer that is no success.
    Refused,
    Delivered,
}

struct Case {
    row: u32,
    what: String,
    frames: Vec<u8>,
    fate: Fate,
    body: Vec<u8>,
}

struct Table {
    cases: Vec<Case>,
}

impl Table {
    /// A good event with one pseudo header replaced (an empty name: none) and these fields added.
    fn add(&mut self, row: u32, pseudo: Field<'_>, more: &[Field<'_>], fate: Fate) {
        let request = push(self.cases.len());
        let mut fields = Vec::new();
        for (name, value) in [
            (&b":method"[..], &b"POST"[..]),
            (b":scheme", b"http"),
            (b":authority", b"hooks.example.com"),
            (b":path", b"/github"),
        ] {
            fields.extend(literal(name, if name == pseudo.0 { pseudo.1 } else { value }));
        }
        for (name, value) in request.headers.iter().filter(|(name, _)| name != "Host") {
            let name = name.to_ascii_lowercase();
            if !more.iter().any(|(other, _)| *other == name.as_bytes()) {
                fields.extend(literal(name.as_bytes(), value.as_bytes()));
            }
        }
        fields.extend(block(more));
        let what = format!(
            "{:?}",
            [&[pseudo][..], more]
                .concat()
                .iter()
                .map(|(a, b)| {
                    (
                        String::from_utf8_lossy(a).into_owned(),
                        String::from_utf8_lossy(b).into_owned(),
                    )
                })
                .collect::<Vec<_>>()
        );
        let mut frames = Vec::new();
        let mut parts = fields.chunks(16_000).peekable();
        let mut kind = HEADERS;
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_none() { END_HEADERS } else { 0 };
            frames.extend(frame(kind, flags, 1, part));
            kind = CONTINUATION;
        }
        frames.extend(frame(DATA, END_STREAM, 1, &request.body));
        self.cases.push(Case {
            row,
            what: what.chars().take(120).collect(),
            frames,
            fate,
            body: request.body,
        });
    }
}

const NONE: Field<'static> = (b"", b"");

fn all() -> Vec<Case> {
    let mut t = Table { cases: Vec::new() };
    for length in ["+2", "-1", "0x2", "1_0", "", "99999999999999999999", "2, 2", "0", "999"] {
        t.add(5, NONE, &[(b"content-length", length.as_bytes())], Fate::Refused);
    }
    let connection: [Field<'_>; 9] = [
        (b"transfer-encoding", b"chunked"),
        (b"transfer-encoding", b"gzip, chunked"),
        (b"connection", b"close"),
        (b"keep-alive", b"1"),
        (b"proxy-connection", b"close"),
        (b"upgrade", b"websocket"),
        (b"te", b"gzip"),
        (b"connection", b"x-hub-signature-256"),
        (b"transfer-encoding", b""),
    ];
    for field in connection {
        t.add(19, NONE, &[field], Fate::Refused);
    }
    let fields: [Field<'_>; 15] = [
        (b"X-Upper", b"1"),
        (b"x y", b"1"),
        (b"x:y", b"1"),
        (b"", b"1"),
        (b"x-a", b"1\r\nx-b: 2"),
        (b"x-a", b"1\n2"),
        (b"x-a", b"1\r2"),
        (b"x-a", b"1\x002"),
        (b":path", b"/github"),
        (b":evil", b"1"),
        (b":status", b"200"),
        (b"x\r\ny", b"1"),
        (b"x\0", b"1"),
        (b"x\xe9", b"1"),
        (b"x-a", b"\x7f"),
    ];
    for field in fields {
        t.add(20, NONE, &[field], Fate::Refused);
    }
    let pseudo: [(u32, Field<'_>); 24] = [
        (21, (b":path", b"/git hub")),
        (21, (b":path", b"/github HTTP/1.1\r\nx: y")),
        (21, (b":path", b"")),
        (21, (b":path", b"github")),
        (21, (b":path", b"*")),
        (21, (b":method", b"PO ST")),
        (21, (b":method", b"")),
        (21, (b":method", b"POST / HTTP/1.1\r\nx:")),
        (28, (b":method", b"P!ST")),
        (26, (b":method", b"CONNECT")),
        (27, (b":method", b"TRACE")),
        (27, (b":method", b"post")),
        (27, (b":method", b"PUT")),
        (27, (b":method", b"GET")),
        (21, (b":authority", b"a@hooks.example.com")),
        (31, (b":authority", b"hooks.example.com/x")),
        (31, (b":authority", b"hooks.example.com:8x")),
        (31, (b":authority", b"")),
        (32, (b":authority", b"evil.example")),
        (32, (b":authority", b"localhost")),
        (32, (b":authority", b"[::1]:80")),
        (21, (b":scheme", b"ht tp")),
        (31, (b":authority", b"hooks.example.com, evil")),
        (31, (b":authority", b"[fe80::1%25eth0]")),
    ];
    for (row, field) in pseudo {
        t.add(row, field, &[], Fate::Refused);
    }
    for path in [
        "/github/../admin",
        "/github/%2e%2e/admin",
        "/github/..;/admin",
        "//github",
        "/github\\..\\x",
        "/github%2fx",
        "/github%5cx",
        "/github%00",
        "/h/\u{e9}",
        "/x/../github",
        "/github/.",
        "/github%",
        "/github%zz",
        "/%252e%252e/github",
        "/GITHUB",
        "/github/",
        "/metrics",
        "/readyz",
        "/v1/status",
    ] {
        t.add(35, (b":path", path.as_bytes()), &[], Fate::Refused);
    }
    for value in ["200-ok", ""] {
        t.add(24, NONE, &[(b"expect", value.as_bytes())], Fate::Refused);
    }
    t.add(21, NONE, &[(b"host", b"evil.example")], Fate::Refused);
    t.add(33, NONE, &[(b"x-long", "v".repeat(70_000).as_bytes())], Fate::Refused);
    for value in [
        "",
        "sha256=",
        "sha256=00",
        "SHA256=00",
        "sha1=00",
        "v0=00",
        "sha256=\u{ff10}",
    ] {
        t.add(47, NONE, &[(b"x-hub-signature-256", value.as_bytes())], Fate::Refused);
    }
    for (name, value) in [
        ("hookward-evil", "1"),
        ("hookward_verified", "signature"),
        ("hookward-verified", "none"),
        ("forwarded", "for=10.9.9.9"),
        ("x-real-ip", "10.9.9.9"),
        ("te", "trailers"),
        ("host", "hooks.example.com"),
        ("content-encoding", "gzip"),
        ("x-plain", "a\tb"),
        ("x-latin", "\u{e9}"),
    ] {
        t.add(37, NONE, &[(name.as_bytes(), value.as_bytes())], Fate::Delivered);
    }
    t.cases
}

pub fn run() -> (usize, Vec<String>) {
    let app = App::start();
    let sidecar = Sidecar::before(&app, super::YAML);
    assert_eq!(sidecar.send(&push(2_000_000)).status, 200);
    let cases = all();
    let mut wrong = Vec::new();
    for (n, case) in cases.iter().enumerate() {
        let before = app.seen().len();
        let mut client = Frames::open(sidecar.addresses.webhooks, b"");
        client.send(&case.frames);
        let end = client.end_of(1);
        let seen = app.seen().split_off(before);
        let right = match case.fate {
            Fate::Refused => end != End::Status(200) && seen.is_empty(),
            Fate::Delivered => {
                end == End::Status(200)
                    && matches!(seen.as_slice(), [one] if one.body == case.body && one.target == "/github"
                        && one.method == "POST" && one.header("hookward-verified") == Some("signature")
                        && ["hookward-evil", "hookward_verified", "forwarded", "x-real-ip", "te"]
                            .iter().all(|name| one.header(name).is_none()))
            }
        };
        if !right {
            wrong.push(format!(
                "h2, row {}, {}: {end:?}, the app got {seen:?}",
                case.row, case.what
            ));
        }
        drop(client);
        // Whatever it was, the next connection is served.
        if n % 10 == 0 {
            let body = format!("{{\"after\":{n}}}");
            assert_eq!(
                sidecar
                    .send(&github("/github", &format!("after-{n}"), body.as_bytes()))
                    .status,
                200
            );
        }
    }
    let count = app.seen().len();
    wait_until("the connections are closed", || {
        sidecar.metric("hookward_connections") < 0.5
    });
    assert_eq!(app.seen().len(), count, "nothing comes through late");
    (cases.len(), wrong)
}
