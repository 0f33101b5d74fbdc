//! The rows of the attack table that HTTP/1.1 can carry: bytes, and what must become of them.

use super::super::support::{
    sidecar::NOW,
    signed::{SECRET, hmac_sha256, standard, stripe},
};
use data_encoding::{BASE64, HEXLOWER};

/// What the connection does after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The next request is answered.
    Serves,
    /// Nothing that follows is read as a request.
    Closes,
    /// Either: HTTP leaves it open, and what follows is either a request as it stands or nothing.
    Either,
}

/// What the app must get.
#[derive(Clone, Debug)]
pub struct Forwarded {
    pub method: &'static str,
    pub target: Vec<u8>,
    pub body: Vec<u8>,
    /// Headers that must not arrive.
    pub absent: Vec<&'static str>,
}

/// One request as it is written, and what must become of it.
#[derive(Clone, Debug)]
pub struct Case {
    pub row: u32,
    pub what: String,
    pub raw: Vec<u8>,
    /// Statuses that are right; empty: no answer at all is right too.
    pub statuses: Vec<u16>,
    pub forwarded: Option<Forwarded>,
    pub after: After,
    /// The sender says that it is done instead of sending a second request.
    pub ends: bool,
}

/// A good GitHub event in pieces; a case replaces what it attacks.
#[derive(Clone)]
pub struct Piece {
    pub start: Vec<u8>,
    pub host: Vec<u8>,
    pub signed: Vec<u8>,
    pub length: Vec<u8>,
    pub more: Vec<u8>,
    pub payload: Vec<u8>,
    pub body: Vec<u8>,
    pub absent: Vec<&'static str>,
}

pub fn chunked(body: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
}

fn signature(body: &[u8]) -> String {
    HEXLOWER.encode(&hmac_sha256(SECRET.as_bytes(), &[body]))
}

impl Piece {
    pub fn new(n: usize, body: &[u8]) -> Self {
        Self {
            start: b"POST /github HTTP/1.1".to_vec(),
            host: b"Host: hooks.example.com\r\n".to_vec(),
            signed: format!(
                "X-GitHub-Event: push\r\nX-GitHub-Delivery: w-{n}\r\nX-Hub-Signature-256: sha256={}\r\n",
                signature(body)
            )
            .into_bytes(),
            length: format!("Content-Length: {}\r\n", body.len()).into_bytes(),
            more: Vec::new(),
            payload: body.to_vec(),
            body: body.to_vec(),
            absent: Vec::new(),
        }
    }

    fn start(mut self, line: &str) -> Self {
        self.start = line.as_bytes().to_vec();
        self
    }
    fn host(mut self, lines: &[u8]) -> Self {
        self.host = lines.to_vec();
        self
    }
    fn length(mut self, lines: &[u8]) -> Self {
        self.length = lines.to_vec();
        self
    }
    fn more(mut self, lines: &[u8]) -> Self {
        self.more = lines.to_vec();
        self
    }
    fn payload(mut self, bytes: &[u8]) -> Self {
        self.payload = bytes.to_vec();
        self
    }
    fn absent(mut self, names: &[&'static str]) -> Self {
        self.absent = names.to_vec();
        self
    }
    /// The signature header's value replaced; `None`: the header left out.
    fn signature(mut self, value: Option<&[u8]>) -> Self {
        let text = String::from_utf8(self.signed).expect("text");
        let at = text.find("X-Hub-Signature-256").expect("it is there");
        self.signed = text.as_bytes()[..at].to_vec();
        if let Some(value) = value {
            self.signed
                .extend([&b"X-Hub-Signature-256: "[..], value, b"\r\n"].concat());
        }
        self
    }
    /// In chunks.
    fn chunks(self) -> Self {
        let payload = chunked(&self.body);
        self.length(b"Transfer-Encoding: chunked\r\n").payload(&payload)
    }
    pub fn raw(&self) -> Vec<u8> {
        let line: &[u8] = b"\r\n";
        [
            &self.start,
            line,
            &self.host,
            &self.signed,
            &self.length,
            &self.more,
            line,
            &self.payload,
        ]
        .concat()
    }
}

/// The table as it grows.
pub struct Table {
    pub cases: Vec<Case>,
    n: usize,
}

impl Table {
    fn good(&mut self) -> Piece {
        self.n += 1;
        Piece::new(self.n, format!("{{\"n\":{}}}", self.n).as_bytes())
    }

    fn add(&mut self, row: u32, what: &str, piece: &Piece, statuses: &[u16], passes: bool, after: After) {
        let start = String::from_utf8_lossy(&piece.start).into_owned();
        let target = start.split(' ').nth(1).unwrap_or_default().as_bytes().to_vec();
        self.cases.push(Case {
            row,
            what: what.escape_debug().take(60).collect(),
            raw: piece.raw(),
            statuses: statuses.to_vec(),
            forwarded: passes.then(|| Forwarded {
                method: "POST",
                target,
                body: piece.body.clone(),
                absent: piece.absent.clone(),
            }),
            after,
            ends: false,
        });
    }

    /// Refused, and the connection with it.
    fn refused(&mut self, row: u32, what: &str, piece: &Piece, status: u16) {
        self.add(row, what, piece, &[status], false, After::Closes);
    }
    /// Forwarded as it is.
    fn passes(&mut self, row: u32, what: &str, piece: &Piece) {
        self.add(row, what, piece, &[200], true, After::Serves);
    }
    /// Refused; whether the connection goes on is free.
    fn off(&mut self, row: u32, what: &str, piece: &Piece, status: u16) {
        self.add(row, what, piece, &[status], false, After::Either);
    }
}

/// Every case.
pub fn all() -> Vec<Case> {
    let mut table = Table {
        cases: Vec::new(),
        n: 0,
    };
    framing(&mut table);
    chunks(&mut table);
    lines(&mut table);
    heads(&mut table);
    paths(&mut table);
    trust(&mut table);
    signatures(&mut table);
    content(&mut table);
    table.cases
}

fn framing(t: &mut Table) {
    for (row, first) in [(1, false), (2, true)] {
        for length in ["0", "1", "4", "400"] {
            let p = t.good();
            let payload = chunked(&p.body);
            let (te, cl) = (
                "Transfer-Encoding: chunked\r\n",
                format!("Content-Length: {length}\r\n"),
            );
            let lines = if first {
                format!("{te}{cl}")
            } else {
                format!("{cl}{te}")
            };
            let p = p
                .length(lines.as_bytes())
                .payload(&payload)
                .absent(&["transfer-encoding"]);
            t.add(row, length, &p, &[200], true, After::Closes);
        }
    }
    for (a, b) in [("1", "2"), ("7", "8"), ("8", "7"), ("0", "8")] {
        let p = t
            .good()
            .length(format!("Content-Length: {a}\r\nContent-Length: {b}\r\n").as_bytes());
        t.refused(3, a, &p, 400);
    }
    let p = t.good();
    let twice = p.length.repeat(2);
    t.passes(4, "equal lengths", &p.length(&twice));
    for list in ["2, 2", "2,2", "2 , 2", "7,"] {
        let p = t.good().length(format!("Content-Length: {list}\r\n").as_bytes());
        t.refused(4, list, &p, 400);
    }
    for length in [
        "+2",
        "-1",
        "0x2",
        "1_0",
        "",
        "99999999999999999999",
        "2 2",
        "2;",
        "1e1",
        "\u{ff12}",
        "2.0",
        "abc",
    ] {
        let p = t.good().length(format!("Content-Length: {length}\r\n").as_bytes());
        t.refused(5, length, &p, 400);
    }
    let p = t.good().length(b"Content-Length: \r\nContent-Length: 2\r\n");
    t.refused(5, "empty, then 2", &p, 400);
    for coding in [
        "gzip, chunked",
        "deflate,chunked",
        "gzip,deflate,chunked",
        "br , chunked",
    ] {
        let p = t
            .good()
            .chunks()
            .length(format!("Transfer-Encoding: {coding}\r\n").as_bytes());
        t.refused(6, coding, &p, 501);
    }
    for lines in [
        ",chunked",
        "chunked,",
        ", chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked, chunked",
        "gzip\r\nTransfer-Encoding: gzip",
    ] {
        let p = t
            .good()
            .chunks()
            .length(format!("Transfer-Encoding: {lines}\r\n").as_bytes());
        t.refused(7, lines, &p, 400);
    }
    for line in [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: ",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding: chunked\x0c",
        "Transfer-Encoding: ch unked",
    ] {
        let p = t.good().chunks().length(format!("{line}\r\n").as_bytes());
        t.refused(8, line, &p, 400);
    }
    let p = t.good().chunks().length(b"Transfer-Encoding: \xa0chunked\r\n");
    t.refused(8, "no-break space", &p, 400);
    for case in ["CHUNKED", "Chunked"] {
        let p = t
            .good()
            .chunks()
            .length(format!("Transfer-Encoding: {case}\r\n").as_bytes());
        t.passes(8, case, &p.absent(&["transfer-encoding"]));
    }
    let p = t.good().chunks().start("POST /github HTTP/1.0");
    t.refused(9, "chunked in 1.0", &p, 400);
}

fn chunks(t: &mut Table) {
    for (row, form) in [
        (10, "0x{}\r\n"),
        (10, "+{}\r\n"),
        (10, "0_{}\r\n"),
        (10, "\r\n"),
        (10, " {}\r\n"),
        (10, "-{}\r\n"),
        (10, "{}g\r\n"),
        (10, "10000000000000000\r\n"),
        (10, "ffffffffffffffff1\r\n"),
        (10, "{},{}\r\n"),
        (11, "{}\n"),
        (12, "{};a=\rb\r\n"),
        (12, "{};a=\nb\r\n"),
    ] {
        let p = t.good();
        let size = form.replace("{}", &format!("{:x}", p.body.len()));
        let payload = [size.as_bytes(), &p.body, b"\r\n0\r\n\r\n"].concat();
        t.refused(row, form, &p.chunks().payload(&payload), 400);
    }
    let p = t.good();
    let payload = [format!("{:x}\r\n", p.body.len()).as_bytes(), &p.body, b"\n0\r\n\r\n"].concat();
    t.refused(11, "data ended by LF", &p.chunks().payload(&payload), 400);
    let p = t.good();
    let payload = [format!("{:x}\r\n", p.body.len()).as_bytes(), &p.body, b"x\r\n0\r\n\r\n"].concat();
    t.refused(11, "data longer than its size", &p.chunks().payload(&payload), 400);
    let p = t.good();
    let payload = [
        format!("{:x};{}\r\n", p.body.len(), "a".repeat(20_000)).as_bytes(),
        &p.body,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    t.refused(12, "20 kB of extension", &p.chunks().payload(&payload), 400);
    for extension in [";a", ";a=b", ";a=\"b c\"", ";a=b;c=d"] {
        let p = t.good();
        let payload = [
            format!("{:x}{extension}\r\n", p.body.len()).as_bytes(),
            &p.body,
            b"\r\n0\r\n\r\n",
        ]
        .concat();
        t.passes(12, extension, &p.chunks().payload(&payload));
    }
    for size in ["00000", ""] {
        let p = t.good();
        let payload = [
            format!("{size}{:x}\r\n", p.body.len()).as_bytes(),
            &p.body,
            b"\r\n0\r\n\r\n",
        ]
        .concat();
        t.passes(12, "leading zeros", &p.chunks().payload(&payload));
    }
    let p = t.good();
    let each: Vec<u8> = p
        .body
        .iter()
        .flat_map(|byte| [b"1\r\n", &[*byte][..], b"\r\n"].concat())
        .collect();
    t.passes(
        12,
        "a byte a chunk",
        &p.chunks().payload(&[&each[..], b"0\r\n\r\n"].concat()),
    );
    for (name, trailer) in [
        ("x-any", "X-Any: 1"),
        ("x-any", "Content-Length: 5"),
        ("x-any", "Transfer-Encoding: chunked"),
        ("x-any", "Host: evil"),
        ("hookward-evil", "Hookward-Evil: 1"),
        ("x-late", "X-Late: 1\r\nX-Later: 2"),
    ] {
        let p = t.good();
        let payload = [
            format!("{:x}\r\n", p.body.len()).as_bytes(),
            &p.body,
            b"\r\n0\r\n",
            trailer.as_bytes(),
            b"\r\n\r\n",
        ]
        .concat();
        t.passes(
            13,
            trailer,
            &p.chunks()
                .payload(&payload)
                .absent(&[name, "transfer-encoding", "trailer"]),
        );
    }
    let p = t.good();
    let trailer = format!("X-Hub-Signature-256: sha256={}\r\n\r\n", signature(&p.body));
    let payload = [
        format!("{:x}\r\n", p.body.len()).as_bytes(),
        &p.body,
        b"\r\n0\r\n",
        trailer.as_bytes(),
    ]
    .concat();
    t.off(
        13,
        "the signature in a trailer",
        &p.chunks().payload(&payload).signature(None),
        401,
    );
}

fn lines(t: &mut Table) {
    let p = t.good();
    let raw = String::from_utf8(p.raw())
        .expect("text")
        .replace("\r\n", "\n")
        .into_bytes();
    t.passes(14, "bare LF", &p);
    t.cases.last_mut().expect("just added").raw = raw;
    for line in [
        &b"X: a\r\n b"[..],
        b"X: a\r\n\tb",
        b"X: a\0b",
        b"X: a\rb",
        b"X\x01: a",
        b"no colon",
        b": a",
        b"X Y: a",
        b" X: a",
        b"X\0: a",
        b"X: \x01",
        b"X: \x7f",
        b"X(: a",
        b"X@: a",
        b"X\": a",
        b"X\xe9: a",
        b"X\x7f: a",
        b"\tX: a",
        b"X : a",
        b"X\t: a",
        b"X: a\x0b",
    ] {
        let p = t.good().more(&[line, b"\r\n"].concat());
        t.refused(15, &String::from_utf8_lossy(line), &p, 400);
    }
    for line in [
        &b"X: \xe9"[..],
        b"X: \xff\xfe",
        b"X:",
        b"X: ",
        b"X: a\tb",
        b"X~: a",
        b"X!: a",
        b"X'`^|: a",
    ] {
        let p = t.good().more(&[line, b"\r\n"].concat());
        t.passes(15, &String::from_utf8_lossy(line), &p);
    }
    let smuggled = Piece::new(999_999, b"smuggled").raw();
    for (what, signature) in [("forged", Some(&b"sha256=00"[..])), ("unsigned", None)] {
        let mut p = Piece::new(0, &smuggled).signature(signature);
        // A signature that is missing is seen in the head, before the body is read: then the connection is closed.
        let after = if signature.is_some() {
            After::Serves
        } else {
            After::Closes
        };
        t.add(16, &format!("{what}, a request in its body"), &p, &[401], false, after);
        p = Piece::new(0, &smuggled).chunks().signature(signature);
        t.add(
            16,
            &format!("{what}, a request in its chunks"),
            &p,
            &[401],
            false,
            after,
        );
    }
    let p = Piece::new(0, &smuggled).start("POST /nowhere HTTP/1.1");
    t.off(16, "nowhere, a request in its body", &p, 404);
    let p = Piece::new(0, &smuggled).start("POST /a//b HTTP/1.1");
    t.refused(16, "refused by the gate, a request in its body", &p, 400);
    for (what, piece) in [("length", t.good()), ("chunks", t.good().chunks())] {
        for left in [1, 5] {
            let mut piece = piece.clone();
            piece.payload.truncate(piece.payload.len() - left);
            t.add(
                17,
                &format!("{what}, {left} bytes missing"),
                &piece,
                &[],
                false,
                After::Closes,
            );
            t.cases.last_mut().expect("just added").ends = true;
        }
    }
    for junk in ["\x01", "junk\r\n\r\n", "\0", "GET\r\n\r\n"] {
        let p = t.good();
        let payload = [&p.body, junk.as_bytes()].concat();
        t.add(18, junk, &p.payload(&payload), &[200, 400], true, After::Closes);
    }
}

fn heads(t: &mut Table) {
    let p = t_expect(t, "100-continue");
    t.passes(23, "100-continue", &p);
    let p = t_expect(t, "100-Continue");
    t.passes(23, "100-Continue", &p);
    let p = t_expect(t, "100-continue").signature(None);
    t.off(23, "without a signature", &p, 401);
    let p = t_expect(t, "100-continue").start("POST /nowhere HTTP/1.1");
    t.off(23, "nowhere", &p, 404);
    let p = t_expect(t, "100-continue").length(b"Content-Length: 999999999\r\n");
    t.refused(23, "too large", &p, 413);
    for value in ["200-ok", "", "100-continue, x", "100-continue\r\nExpect: 100-continue"] {
        let p = t_expect(t, value);
        t.refused(24, value, &p, 417);
    }
    for upgrade in ["websocket", "h2c", "foo", "TLS/1.0"] {
        let lines = format!(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        );
        let p = t
            .good()
            .more(lines.as_bytes())
            .absent(&["upgrade", "http2-settings", "connection"]);
        t.passes(25, upgrade, &p);
    }
    for target in ["evil:80", "hooks.example.com:443", "127.0.0.1:22"] {
        let p = t.good().start(&format!("CONNECT {target} HTTP/1.1"));
        t.refused(26, target, &p, 405);
    }
    for start in ["TRACE /github", "OPTIONS *", "TRACE *"] {
        let p = t.good().start(&format!("{start} HTTP/1.1"));
        t.refused(27, start, &p, 405);
    }
    for method in [
        "PUT", "PATCH", "DELETE", "OPTIONS", "post", "Post", "M-SEARCH", "PRI", "GET",
    ] {
        let p = t.good().start(&format!("{method} /github HTTP/1.1"));
        t.off(27, method, &p, 405);
    }
    for method in [
        "P!ST", "POST~", "PO'ST", "$", "P@ST", "PO(ST", "PO\"ST", "P\0ST", "PO:ST",
    ] {
        let p = t.good().start(&format!("{method} /github HTTP/1.1"));
        t.refused(28, method, &p, 400);
    }
    for target in [
        "http://evil/github",
        "http://hooks.example.com/github",
        "https://hooks.example.com/github",
        "evil:80",
        "github",
        "*",
        "file:///github",
    ] {
        let p = t.good().start(&format!("POST {target} HTTP/1.1"));
        t.refused(29, target, &p, 400);
    }
    let p = t.good().start("POST /github HTTP/1.0").length(b"");
    t.refused(30, "1.0 without a length", &p, 411);
    let p = t.good().start("POST /github HTTP/1.0");
    t.add(30, "1.0 with a length", &p, &[200], true, After::Closes);
    for version in [
        "HTTP/1.2",
        "HTTP/2.0",
        "HTTP/0.9",
        "HTTP/9.9",
        "http/1.1",
        "HTTP/1.1x",
        "HTTP/1",
        "HTTP/01.1",
        "HTTP /1.1",
        "HTTPS/1.1",
        "",
    ] {
        let p = t.good().start(format!("POST /github {version}").trim_end());
        t.refused(30, version, &p, 400);
    }
    for hosts in [
        "",
        "Host: hooks.example.com\r\nHost: hooks.example.com\r\n",
        "Host: hooks.example.com\r\nHost: evil\r\n",
        "Host: \r\n",
        "Host: hooks.example.com/x\r\n",
        "Host: a@hooks.example.com\r\n",
        "Host: hooks.example.com:8x\r\n",
        "Host: hooks.example.com:\r\n",
        "Host: hooks.example.com:+80\r\n",
        "Host: hooks.example.com:65536\r\n",
        "Host: hooks.example.com, evil\r\n",
        "Host: hooks example\r\n",
        "Host: hooks.example.com\0\r\n",
        "Host: [fe80::1%25eth0]\r\n",
        "Host: [::1\r\n",
        "Host: hooks.example.com?x\r\n",
        "Host: hooks.example.com#x\r\n",
    ] {
        let p = t.good().host(hosts.as_bytes());
        t.refused(31, hosts, &p, 400);
    }
    for host in ["HOOKS.Example.com", "hooks.example.com:8443", "hooks.example.com."] {
        let p = t.good().host(format!("Host: {host}\r\n").as_bytes());
        t.passes(31, host, &p);
    }
    for host in [
        "evil.example",
        "localhost",
        "127.0.0.1",
        "[::1]:80",
        "hooks.example.com.evil",
        "xhooks.example.com",
    ] {
        let p = t.good().host(format!("Host: {host}\r\n").as_bytes());
        t.refused(32, host, &p, 421);
    }
    let fields = |count: usize| (0..count).map(|n| format!("X-{n}: v\r\n")).collect::<String>();
    // Ours are added on the way, and the app behind has a limit of its own: hyper's is 100.
    let p = t.good().more(fields(80).as_bytes());
    t.passes(33, "85 headers", &p);
    for count in [96, 200] {
        let p = t.good().more(fields(count).as_bytes());
        t.refused(33, "too many headers", &p, 431);
    }
    let p = t.good().more(format!("X: {}\r\n", "v".repeat(60_000)).as_bytes());
    t.passes(33, "a long header", &p);
    for size in [66_000, 130_000] {
        let p = t.good().more(format!("X: {}\r\n", "v".repeat(size)).as_bytes());
        t.refused(33, "a header too long", &p, 431);
        let p = t.good().start(&format!("POST /{} HTTP/1.1", "a".repeat(size)));
        t.refused(33, "a target too long", &p, 414);
    }
}

fn t_expect(t: &mut Table, value: &str) -> Piece {
    t.good()
        .more(format!("Expect: {value}\r\n").as_bytes())
        .absent(&["expect"])
}

fn paths(t: &mut Table) {
    for path in [
        "/github/../admin",
        "/github/..",
        "/..",
        "/github/./x",
        "/github/.",
        "/x/../github",
        "/./github",
        "/github/%2e%2e/admin",
        "/github/%2E%2e",
        "/github/.%2E/x",
        "/github/%2e",
        "/github/..;/admin",
        "/github/..;x=1/admin",
        "/github/..%3b/admin",
        "/github/.;/x",
        "//github",
        "/github//x",
        "/github///",
        "/github\\..\\x",
        "/github%2fx",
        "/github%2Fx",
        "/github%5cx",
        "/github%00",
        "/github%0d%0aX:%20y",
        "/github%7f",
        "/github%",
        "/github%2",
        "/github%zz",
        "/github%u002e",
        "/h/\u{e9}",
        "/\u{ff0e}\u{ff0e}/x",
        "/github?q=\u{e9}",
        "/github?a=\"",
        "/github?<",
        "/github?>",
    ] {
        let p = t.good().start(&format!("POST {path} HTTP/1.1"));
        t.refused(35, path, &p, 400);
    }
    for path in ["/git hub", "/github\tx", "/github\x01", "/github\0"] {
        let p = t.good().start(&format!("POST {path} HTTP/1.1"));
        t.refused(35, path, &p, 400);
    }
    for path in [
        "/github/",
        "/GITHUB",
        "/github;v=1",
        "/github/x",
        "/%67ithub",
        "/githu%62",
        "/metrics",
        "/livez",
        "/readyz",
        "/admin",
        "/v1/status",
    ] {
        let p = t.good().start(&format!("POST {path} HTTP/1.1"));
        t.off(87, path, &p, 404);
    }
    for path in ["/%252e%252e/github", "/github/%252e%252e/x", "/%2567ithub"] {
        let p = t.good().start(&format!("POST {path} HTTP/1.1"));
        t.off(36, path, &p, 404);
    }
    for query in [
        "?",
        "?a=b",
        "?u=http%3A%2F%2Fx//../y",
        "?%00",
        "?a&a&a",
        "?%zz",
        "?'`{}|\\^[]",
        "??",
        "?a=%2e%2e/",
    ] {
        let p = t.good().start(&format!("POST /github{query} HTTP/1.1"));
        t.passes(35, query, &p);
    }
}

fn trust(t: &mut Table) {
    for name in [
        "Hookward-Evil",
        "hookward-evil",
        "HOOKWARD-EVIL",
        "hookward_evil",
        "Hookward_Evil",
        "Hookward-Verified-By",
        "hookward_delivery_x",
        "Hookward-X_Y",
    ] {
        let lower: &'static str = match name.to_ascii_lowercase().as_str() {
            "hookward-evil" => "hookward-evil",
            "hookward_evil" => "hookward_evil",
            "hookward-verified-by" => "hookward-verified-by",
            "hookward_delivery_x" => "hookward_delivery_x",
            _ => "hookward-x_y",
        };
        let p = t.good().more(format!("{name}: 1\r\n").as_bytes()).absent(&[lower]);
        t.passes(37, name, &p);
    }
    for line in [
        "Hookward-Verified: none",
        "hookward_verified: none",
        "Hookward-Source: evil",
        "Hookward-Attempt: 99",
        "Hookward-Delivery: evil",
        "Connection: hookward-verified",
        "Connection: hookward-delivery, close-not",
    ] {
        let p = t
            .good()
            .more(format!("{line}\r\n").as_bytes())
            .absent(&["hookward_verified", "connection"]);
        t.passes(37, line, &p);
    }
    for named in [
        "x-hub-signature-256",
        "X-Hub-Signature-256",
        "keep-alive, x-hub-signature-256",
        "x-github-event",
        "x-github-delivery",
    ] {
        let p = t.good().more(format!("Connection: {named}\r\n").as_bytes());
        t.off(38, named, &p, 400);
    }
    for line in [
        "X-Forwarded-For: 10.9.9.9",
        "X-Real-IP: 10.9.9.9",
        "Forwarded: for=10.9.9.9",
        "X-Forwarded-For: unknown",
        "X-Forwarded-For: [::1]:80",
    ] {
        let p = t
            .good()
            .more(format!("{line}\r\n").as_bytes())
            .absent(&["x-real-ip", "forwarded"]);
        t.passes(39, line, &p);
    }
    let p = t
        .good()
        .more(format!("X-Forwarded-For: {}\r\n", "1.2.3.4, ".repeat(5_000)).as_bytes());
    t.passes(40, "5,000 hops", &p);
    for line in [
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2",
        "PROXY UNKNOWN",
        "PROXY TCP6 ::1 ::1 1 2",
    ] {
        let p = t.good();
        let start = format!("{line}\r\n{}", String::from_utf8_lossy(&p.start));
        t.refused(41, line, &p.start(&start), 400);
    }
    let p = t.good();
    let raw = [
        &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x02"[..],
        &p.raw(),
    ]
    .concat();
    t.refused(41, "version 2", &p, 400);
    t.cases.last_mut().expect("just added").raw = raw;
}

fn signatures(t: &mut Table) {
    let right = |t: &mut Table| {
        let p = t.good();
        let hex = signature(&p.body);
        (p, hex)
    };
    let forms: [(u32, fn(&str) -> Vec<u8>); 24] = [
        (42, |hex| {
            format!("sha256={hex}\r\nX-Hub-Signature-256: sha256=00").into_bytes()
        }),
        (42, |hex| {
            format!("sha256=00\r\nX-Hub-Signature-256: sha256={hex}").into_bytes()
        }),
        (42, |hex| {
            format!("sha256={hex}\r\nX-Hub-Signature-256: sha256={hex}").into_bytes()
        }),
        (43, |hex| format!("sha256={hex}, sha256={hex}").into_bytes()),
        (43, |hex| format!("sha256={hex},").into_bytes()),
        (45, |hex| format!("v0={hex}").into_bytes()),
        (45, |hex| format!("sha1={}", &hex[..40]).into_bytes()),
        (45, |hex| hex.as_bytes().to_vec()),
        (46, |hex| format!("SHA256={hex}").into_bytes()),
        (46, |hex| format!("sha256={}", hex.to_uppercase()).into_bytes()),
        (46, |hex| format!("sha256= {hex}").into_bytes()),
        (46, |hex| format!("sha256 ={hex}").into_bytes()),
        (46, |hex| format!("sha256=\u{ff10}{}", &hex[1..]).into_bytes()),
        (46, |hex| [b"sha256=\xff", hex[1..].as_bytes()].concat()),
        (46, |hex| format!("sha256=\"{hex}\"").into_bytes()),
        (47, |_| b"sha256=".to_vec()),
        (47, |_| b"".to_vec()),
        (47, |hex| format!("sha256={}", &hex[..32]).into_bytes()),
        (47, |hex| format!("sha256={}", &hex[..63]).into_bytes()),
        (47, |hex| format!("sha256={hex}0").into_bytes()),
        (47, |hex| format!("sha256={hex}{hex}").into_bytes()),
        (48, |hex| {
            format!(
                "sha256={}",
                BASE64.encode(&HEXLOWER.decode(hex.as_bytes()).expect("hex"))
            )
            .into_bytes()
        }),
        (48, |hex| format!("sha256=0x{}", &hex[2..]).into_bytes()),
        (50, |hex| format!("none={hex}").into_bytes()),
    ];
    for (row, form) in forms {
        let (p, hex) = right(t);
        let value = form(&hex);
        let what = String::from_utf8_lossy(&value).into_owned();
        t.off(row, &what, &p.signature(Some(&value)), 401);
    }
    let (p, hex) = right(t);
    let p = p
        .signature(None)
        .more(format!("X-Hub-Signature: sha1={}\r\n", &hex[..40]).as_bytes());
    t.off(49, "SHA-1 only", &p, 401);
    for name in ["X_Hub_Signature_256", "X-Hub-Signature", "X-Hub-Signature-256-"] {
        let (p, hex) = right(t);
        let p = p.signature(None).more(format!("{name}: sha256={hex}\r\n").as_bytes());
        t.off(54, name, &p, 401);
    }
    let p = t.good().signature(None);
    t.off(54, "missing", &p, 401);
}

/// A request of another provider with its headers edited.
fn other(t: &mut Table, row: u32, what: &str, request: &super::super::support::Request, status: u16) {
    let mut piece = t.good().start(&format!("POST {} HTTP/1.1", request.target));
    piece.host = Vec::new();
    piece.length = Vec::new();
    piece.signed = request
        .headers
        .iter()
        .flat_map(|(name, value)| format!("{name}: {value}\r\n").into_bytes())
        .collect();
    piece.payload.clone_from(&request.body);
    piece.body.clone_from(&request.body);
    if status == 200 {
        t.passes(row, what, &piece);
    } else {
        t.off(row, what, &piece, status);
    }
}

fn content(t: &mut Table) {
    for sent in [
        &b"{\"n\": 1}"[..],
        b"{\"n\":1} ",
        b"\xef\xbb\xbf{\"n\":1}",
        b"{\"n\":1}\r\n",
        b"{\"n\":\t1}",
        b"{\"n\":1.0}",
        b"",
    ] {
        let mut p = Piece::new(0, b"{\"n\":1}");
        p.length = format!("Content-Length: {}\r\n", sent.len()).into_bytes();
        t.off(57, &String::from_utf8_lossy(sent), &p.payload(sent), 401);
    }
    for (n, body) in [
        &b"\xff\xfe\0"[..],
        b"\0",
        b"a\r\nb",
        b"{\"\\u00e9\":1}",
        b"\xc3\x28",
        b"{\"a\":1,\"a\":2}",
        b"1e400",
        b"[[[[[[[[[[[[[[",
    ]
    .into_iter()
    .enumerate()
    {
        t.passes(58, &String::from_utf8_lossy(body), &Piece::new(50_000 + n, body));
    }
    let p = t.good().more(b"Content-Encoding: gzip\r\n");
    t.passes(59, "content-encoding", &p);
    for length in ["999999999", "1099511627776"] {
        let p = t.good().length(format!("Content-Length: {length}\r\n").as_bytes());
        t.refused(60, length, &p, 413);
    }
    let body = b"{\"id\":\"evt_w1\",\"type\":\"x\"}";
    let good = stripe("/stripe", NOW, body);
    let value = good.headers.last().expect("signed").1.clone();
    let v1 = value.split("v1=").nth(1).expect("signed").to_owned();
    for (row, form) in [
        (44, format!("t={NOW},t={NOW},v1={v1}")),
        (44, format!("t={NOW},v1=")),
        (44, format!("t = {NOW}, v1 = {v1}")),
        (45, format!("t={NOW},v0={v1}")),
        (44, format!("t={NOW}{},v1={v1}", ",v1=00".repeat(40))),
        (62, format!("v1={v1}")),
        (62, format!("t=,v1={v1}")),
        (62, format!("t=+{NOW},v1={v1}")),
        (62, format!("t=0{NOW},v1={v1}")),
        (62, format!("t={NOW}.0,v1={v1}")),
        (62, format!("t={NOW}000,v1={v1}")),
        (62, format!("t=-9223372036854775808,v1={v1}")),
        (62, format!("t=99999999999999999999,v1={v1}")),
        (62, format!("t=abc,v1={v1}")),
        (64, format!("t={NOW},v1={v1}\r\nStripe-Signature: t={NOW},v1={v1}")),
    ] {
        other(t, row, &form, &good.clone().replace("Stripe-Signature", &form), 401);
    }
    for (what, at) in [
        ("301 s old", NOW - 301),
        ("an hour old", NOW - 3600),
        ("an hour ahead", NOW + 3600),
        ("at zero", 0),
    ] {
        other(t, 63, what, &stripe("/stripe", at, body), 401);
    }
    other(
        t,
        44,
        "order is free",
        &good.clone().replace("Stripe-Signature", format!("v1={v1},t={NOW}")),
        200,
    );
    let good = standard("/standard", "msg_1", NOW, b"{\"n\":1}");
    for (row, name, value) in [
        (47, "webhook-signature", "v1,"),
        (47, "webhook-signature", "v1"),
        (47, "webhook-signature", ""),
        (45, "webhook-signature", "v2,AAAA"),
        (62, "webhook-timestamp", ""),
        (62, "webhook-timestamp", "+1760000000"),
        (62, "webhook-timestamp", "01760000000"),
        (62, "webhook-timestamp", "1760000000.0"),
        (63, "webhook-timestamp", "1759990000"),
        (63, "webhook-timestamp", "1760009000"),
        (65, "webhook-id", "msg_2"),
        (65, "webhook-id", ""),
        (74, "webhook-id", "{x}"),
    ] {
        other(
            t,
            row,
            &format!("{name}: {value}"),
            &good.clone().replace(name, value),
            401,
        );
    }
    other(
        t,
        64,
        "two timestamps",
        &good.clone().header("webhook-timestamp", NOW.to_string()),
        401,
    );
    other(t, 74, "two ids", &good.clone().header("webhook-id", "msg_1"), 401);
    other(
        t,
        74,
        "a long id",
        &standard("/standard", &"i".repeat(257), NOW, b"{\"n\":1}"),
        401,
    );
    other(
        t,
        65,
        "dots in an id",
        &standard("/standard", "msg.1.2", NOW, b"{\"n\":1}"),
        200,
    );
    for form in ["url alphabet", "no padding", "space"] {
        let value = good.headers.last().expect("signed").1.clone();
        let value = match form {
            "no padding" => value.trim_end_matches('=').to_owned(),
            "space" => value.replace("v1,", "v1, "),
            _ => format!("v1,{}", data_encoding::BASE64URL.encode(&[0xff; 32])),
        };
        other(t, 48, form, &good.clone().replace("webhook-signature", value), 401);
    }
}
