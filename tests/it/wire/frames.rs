//! The rows of the attack table that exist in HTTP/2, frame by frame.

use super::super::support::{
    frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, End, Frames, HEADERS, block, frame, literal, request},
    signed::push,
};
use super::{case::Forwarded, judge::Judge, rows};
use std::net::SocketAddr;

type Field<'a> = (&'a [u8], &'a [u8]);

/// `RST_STREAM` with it is what a malformed request gets (RFC 9113, section 8.1.1).
const PROTOCOL_ERROR: u32 = 1;

/// What must become of a stream. Only [`Fate::Gone`] takes the connection with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// This answer.
    Said(u16, &'static str),
    /// An answer of h2's own, which bears no outcome.
    Bare(u16),
    /// No request ever: the stream is reset.
    Reset,
    /// The connection is ended with this code.
    Gone(u32),
    Delivered,
}

pub struct Case {
    pub row: u32,
    pub what: String,
    pub frames: Vec<u8>,
    pub fate: Fate,
    pub forwarded: Option<Forwarded>,
}

struct Table {
    cases: Vec<Case>,
}

/// The frames of one request on stream 1. Of a long body only what fits into the first window: its sender would wait, as
/// one does whose body is not whole.
fn framed(fields: &[u8], body: &[u8], is_whole: bool) -> Vec<u8> {
    const WINDOW: usize = 60_000;
    let mut frames = Vec::new();
    let mut parts = fields.chunks(16_000).peekable();
    let mut kind = HEADERS;
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_none() { END_HEADERS } else { 0 };
        frames.extend(frame(kind, flags, 1, part));
        kind = CONTINUATION;
    }
    if body.is_empty() {
        frames.extend(frame(DATA, END_STREAM, 1, b""));
    }
    let mut parts = body[..body.len().min(WINDOW)].chunks(16_000).peekable();
    while let Some(part) = parts.next() {
        let ends = parts.peek().is_none() && body.len() <= WINDOW;
        frames.extend(frame(DATA, if ends && is_whole { END_STREAM } else { 0 }, 1, part));
    }
    frames
}

impl Table {
    /// A good event with one pseudo header replaced (an empty name: none) and these fields added.
    fn add(&mut self, row: u32, pseudo: Field<'_>, more: &[Field<'_>], fate: Fate) {
        let good = push(self.cases.len());
        let mut fields = Vec::new();
        for (name, value) in [
            (&b":method"[..], &b"POST"[..]),
            (b":scheme", b"http"),
            (b":authority", b"hooks.example.com"),
            (b":path", b"/github"),
        ] {
            fields.extend(literal(name, if name == pseudo.0 { pseudo.1 } else { value }));
        }
        for (name, value) in good.headers.iter().filter(|(name, _)| name != "Host") {
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
        let frames = framed(&fields, &good.body, true);
        let forwarded = (fate == Fate::Delivered).then(|| Forwarded {
            method: "POST",
            target: b"/github".to_vec(),
            body: good.body,
            absent: vec!["hookward-evil", "hookward_verified", "forwarded", "x-real-ip", "te"],
        });
        self.cases.push(Case {
            row,
            what: what.chars().take(120).collect(),
            frames,
            fate,
            forwarded,
        });
    }
}

const NONE: Field<'static> = (b"", b"");

/// Every case: the rows as frames, then what HTTP/1.1 says of other rows, said in HTTP/2.
pub fn all() -> Vec<Case> {
    let mut t = Table { cases: Vec::new() };
    own(&mut t);
    for case in rows() {
        let Some(stream) = case.stream else { continue };
        let fields: Vec<Field<'_>> = stream
            .fields
            .iter()
            .map(|(name, value)| (&name[..], &value[..]))
            .collect();
        let fate = match case.answers[..] {
            _ if stream.is_forbidden => Fate::Reset,
            [(200, "delivered")] => Fate::Delivered,
            [(status, outcome)] => Fate::Said(status, outcome),
            _ => panic!("one stream, one answer: {}", case.what),
        };
        t.cases.push(Case {
            row: case.row,
            what: case.what,
            frames: framed(&block(&fields), &stream.body, stream.is_whole),
            fate,
            forwarded: case.forwarded.filter(|_| !stream.is_forbidden),
        });
    }
    t.cases
}

fn own(t: &mut Table) {
    // Contradicted by the frames, or no number: no request (RFC 9113, section 8.1.1).
    for length in ["+2", "-1", "0x2", "1_0", "", "99999999999999999999", "2, 2", "0", "999"] {
        t.add(5, NONE, &[(b"content-length", length.as_bytes())], Fate::Reset);
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
        t.add(19, NONE, &[field], Fate::Reset);
    }
    // A field that cannot be read takes the connection with it: h2 does not go on after a block that it gave up in, for
    // both ends must have read the same into their tables.
    let gone = Fate::Gone(PROTOCOL_ERROR);
    let fields: [(Field<'_>, Fate); 15] = [
        ((b"X-Upper", b"1"), gone),
        ((b"x y", b"1"), gone),
        ((b"x:y", b"1"), gone),
        ((b"", b"1"), gone),
        ((b"x-a", b"1\r\nx-b: 2"), gone),
        ((b"x-a", b"1\n2"), gone),
        ((b"x-a", b"1\r2"), gone),
        ((b"x-a", b"1\x002"), gone),
        ((b":path", b"/github"), Fate::Reset),
        ((b":evil", b"1"), gone),
        ((b":status", b"200"), Fate::Reset),
        ((b"x\r\ny", b"1"), gone),
        ((b"x\0", b"1"), gone),
        ((b"x\xe9", b"1"), gone),
        ((b"x-a", b"\x7f"), gone),
    ];
    for (field, fate) in fields {
        t.add(20, NONE, &[field], fate);
    }
    // What h2 can read as a method, a target or an authority reaches the gate, which answers.
    let (malformed, method) = (Fate::Said(400, "malformed"), Fate::Said(405, "method"));
    let misdirected = Fate::Said(421, "malformed");
    let pseudo: [(u32, Field<'_>, Fate); 24] = [
        (21, (b":path", b"/git hub"), Fate::Reset),
        (21, (b":path", b"/github HTTP/1.1\r\nx: y"), Fate::Reset),
        (21, (b":path", b""), Fate::Reset),
        (21, (b":path", b"github"), Fate::Reset),
        (21, (b":path", b"*"), malformed),
        (21, (b":method", b"PO ST"), gone),
        (21, (b":method", b""), gone),
        (21, (b":method", b"POST / HTTP/1.1\r\nx:"), gone),
        (28, (b":method", b"P!ST"), malformed),
        // Not with a path.
        (26, (b":method", b"CONNECT"), Fate::Reset),
        (27, (b":method", b"TRACE"), method),
        (27, (b":method", b"post"), method),
        (27, (b":method", b"PUT"), method),
        (27, (b":method", b"GET"), method),
        (21, (b":authority", b"a@hooks.example.com"), malformed),
        (31, (b":authority", b"hooks.example.com/x"), Fate::Reset),
        (31, (b":authority", b"hooks.example.com:8x"), malformed),
        (31, (b":authority", b""), Fate::Reset),
        (32, (b":authority", b"evil.example"), misdirected),
        (32, (b":authority", b"localhost"), misdirected),
        (32, (b":authority", b"[::1]:80"), misdirected),
        (21, (b":scheme", b"ht tp"), Fate::Reset),
        (31, (b":authority", b"hooks.example.com, evil"), Fate::Reset),
        (31, (b":authority", b"[fe80::1%25eth0]"), malformed),
    ];
    for (row, field, fate) in pseudo {
        t.add(row, field, &[], fate);
    }
    let tunnels: [(&[Field<'_>], Fate); 3] = [
        (&[(b":method", b"CONNECT"), (b":authority", b"evil:80")], method),
        (&[(b":method", b"CONNECT"), (b":authority", b"127.0.0.1:22")], method),
        // RFC 8441, which nobody has agreed on.
        (
            &[
                (b":method", b"CONNECT"),
                (b":protocol", b"websocket"),
                (b":scheme", b"http"),
                (b":authority", b"hooks.example.com"),
                (b":path", b"/github"),
            ],
            Fate::Reset,
        ),
    ];
    for (fields, fate) in tunnels {
        t.cases.push(Case {
            row: 26,
            what: format!("CONNECT, {} fields", fields.len()),
            frames: framed(&block(fields), b"", true),
            fate,
            forwarded: None,
        });
    }
    let nowhere = Fate::Said(404, "no_source");
    for (path, fate) in [
        ("/github/../admin", malformed),
        ("/github/%2e%2e/admin", malformed),
        ("/github/..;/admin", malformed),
        ("//github", malformed),
        ("/github\\..\\x", malformed),
        ("/github%2fx", malformed),
        ("/github%5cx", malformed),
        ("/github%00", malformed),
        ("/h/\u{e9}", malformed),
        ("/x/../github", malformed),
        ("/github/.", malformed),
        ("/github%", malformed),
        ("/github%zz", malformed),
        ("/%252e%252e/github", nowhere),
        ("/GITHUB", nowhere),
        ("/github/", nowhere),
        ("/metrics", nowhere),
        ("/readyz", nowhere),
        ("/v1/status", nowhere),
    ] {
        t.add(35, (b":path", path.as_bytes()), &[], fate);
    }
    for value in ["200-ok", ""] {
        t.add(24, NONE, &[(b"expect", value.as_bytes())], Fate::Said(417, "malformed"));
    }
    t.add(21, NONE, &[(b"host", b"evil.example")], malformed);
    t.add(33, NONE, &[(b"x-long", "v".repeat(70_000).as_bytes())], Fate::Bare(431));
    for value in [
        "",
        "sha256=",
        "sha256=00",
        "SHA256=00",
        "sha1=00",
        "v0=00",
        "sha256=\u{ff10}",
    ] {
        let field: Field<'_> = (b"x-hub-signature-256", value.as_bytes());
        t.add(47, NONE, &[field], Fate::Said(401, "unverified"));
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
}

/// Sends one case and a second request after it on the same connection; tells what is wrong.
pub fn judge(judge: &mut Judge<'_>, case: &Case, n: usize, to: SocketAddr) -> Result<(), String> {
    let before = judge.upstream.count();
    let probe = push(3_000_000 + n);
    let mut client = Frames::open(to, b"");
    client.send(&case.frames);
    client.send(&request(3, &probe));
    let [first, second] = client.ends_of([1, 3]);
    let outcome = |fields: &[(String, String)]| {
        let found = fields.iter().find(|(name, _)| name == "hookward-outcome");
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let right = match case.fate {
        Fate::Said(status, name) => {
            judge.expects(name);
            first.0 == End::Status(status) && outcome(&first.1) == name
        }
        Fate::Delivered => {
            judge.expects("delivered");
            first.0 == End::Status(200) && outcome(&first.1) == "delivered"
        }
        Fate::Bare(status) => {
            judge.expects("malformed");
            first.0 == End::Status(status)
        }
        Fate::Reset => {
            judge.expects("malformed");
            first.0 == End::Reset(PROTOCOL_ERROR)
        }
        Fate::Gone(code) => {
            judge.expects("malformed");
            first.0 == End::Gone(code)
        }
    };
    if !right {
        return Err(format!("{:?} {:?}, not {:?}", first.0, outcome(&first.1), case.fate));
    }
    let served = !matches!(case.fate, Fate::Gone(_));
    if served {
        judge.expects("delivered");
        if second.0 != End::Status(200) {
            return Err(format!("the stream beside it got {:?}", second.0));
        }
    }
    judge.arrived(before, case.forwarded.as_ref(), served.then_some(&probe))
}
