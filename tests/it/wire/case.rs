//! One case of the attack table: the bytes, and what must become of them; and how a table of them is written down.

use super::super::support::{
    Request,
    signed::{SECRET, hmac_sha256},
};
use data_encoding::HEXLOWER;

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

/// A status, and the outcome that the contract gives it.
pub type Said = (u16, &'static str);

/// One request as it is written, and what must become of it.
#[derive(Clone, Debug)]
pub struct Case {
    pub row: u32,
    pub what: String,
    pub raw: Vec<u8>,
    /// Each answer that must come, in order; none: no answer at all is right too.
    pub answers: Vec<Said>,
    pub forwarded: Option<Forwarded>,
    pub after: After,
    /// The sender says that it is done instead of sending a second request.
    pub ends: bool,
    /// The same as HTTP/2 says it, where the row is about what is said and not about how HTTP/1.1 frames it.
    pub stream: Option<Stream>,
}

/// A request in the terms of HTTP/2.
#[derive(Clone, Debug)]
pub struct Stream {
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    /// HTTP/2 itself forbids it: the stream is reset instead of answered.
    pub is_forbidden: bool,
    /// All of the body that is declared is there.
    pub is_whole: bool,
}

/// What of HTTP/1.1 makes a request of HTTP/2 malformed (RFC 9113, section 8.2.2); beside it bytes that no URI has.
const OF_ONE_CONNECTION: [&[u8]; 5] = [
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"transfer-encoding",
    b"upgrade",
];

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

pub fn signature(body: &[u8]) -> String {
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

    /// A request of any provider.
    pub fn of(request: &Request) -> Self {
        let lines = request.headers.iter();
        Self {
            start: format!("{} {} HTTP/1.1", request.method, request.target).into_bytes(),
            host: Vec::new(),
            signed: lines
                .flat_map(|(name, value)| format!("{name}: {value}\r\n").into_bytes())
                .collect(),
            length: Vec::new(),
            more: Vec::new(),
            payload: request.body.clone(),
            body: request.body.clone(),
            absent: Vec::new(),
        }
    }

    pub fn start(mut self, line: &str) -> Self {
        self.start = line.as_bytes().to_vec();
        self
    }
    pub fn host(mut self, lines: &[u8]) -> Self {
        self.host = lines.to_vec();
        self
    }
    pub fn length(mut self, lines: &[u8]) -> Self {
        self.length = lines.to_vec();
        self
    }
    pub fn more(mut self, lines: &[u8]) -> Self {
        self.more = lines.to_vec();
        self
    }
    pub fn payload(mut self, bytes: &[u8]) -> Self {
        self.payload = bytes.to_vec();
        self
    }
    pub fn absent(mut self, names: &[&'static str]) -> Self {
        self.absent = names.to_vec();
        self
    }
    /// The signature header's value replaced; `None`: the header left out.
    pub fn signature(mut self, value: Option<&[u8]>) -> Self {
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
    pub fn chunks(self) -> Self {
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

    /// The target: all between the method and the version, spaces too.
    fn target(&self) -> &[u8] {
        let mut spaces = self.start.iter().enumerate().filter(|(_, byte)| **byte == b' ');
        let first = spaces.next().map_or(self.start.len(), |(at, _)| at + 1);
        let last = spaces.next_back().map_or(self.start.len(), |(at, _)| at);
        &self.start[first.min(last)..last]
    }

    /// What HTTP/2 would say.
    fn stream(&self) -> Stream {
        let (mut host, mut fields) = (Vec::new(), Vec::new());
        for line in [&self.host, &self.signed, &self.length, &self.more] {
            for line in line.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let colon = line.iter().position(|byte| *byte == b':').expect("a header line");
                let (name, value) = (line[..colon].to_ascii_lowercase(), line[colon + 1..].trim_ascii());
                if name == b"host" {
                    host = value.to_vec();
                } else {
                    fields.push((name, value.to_vec()));
                }
            }
        }
        let method = self.start.split(|byte| *byte == b' ').next().unwrap_or_default();
        let is_forbidden = fields.iter().any(|(name, _)| OF_ONE_CONNECTION.contains(&&name[..]))
            || self
                .target()
                .iter()
                .any(|byte| *byte <= b' ' || b"\"#<>\x7f".contains(byte));
        let declared = fields.iter().find(|(name, _)| name == b"content-length");
        let declared = declared.and_then(|(_, value)| String::from_utf8_lossy(value).parse::<usize>().ok());
        let is_whole = declared.is_none_or(|length| length <= self.payload.len());
        let pseudo = [
            (&b":method"[..], method),
            (b":scheme", b"http"),
            (b":authority", &host[..]),
            (b":path", self.target()),
        ];
        let pseudo = pseudo.iter().map(|(name, value)| (name.to_vec(), value.to_vec()));
        Stream {
            fields: pseudo.chain(fields).collect(),
            body: self.payload.clone(),
            is_forbidden,
            is_whole,
        }
    }
}

/// The outcome that goes with a status where there is one only.
fn outcome_of(status: u16) -> &'static str {
    match status {
        200 => "delivered",
        400 | 411 | 414 | 417 | 421 | 431 | 501 => "malformed",
        401 => "unverified",
        404 => "no_source",
        405 => "method",
        413 => "too_large",
        429 => "rate_limited",
        _ => panic!("{status} has several outcomes"),
    }
}

/// The table as it grows.
pub struct Table {
    pub cases: Vec<Case>,
    n: usize,
    /// What is added now is for HTTP/2 too.
    both: bool,
}

impl Table {
    pub fn new() -> Self {
        Self {
            cases: Vec::new(),
            n: 0,
            both: false,
        }
    }

    /// What `section` adds is asked over HTTP/2 too.
    pub fn over_both(&mut self, section: impl FnOnce(&mut Self)) {
        self.both = true;
        section(self);
        self.both = false;
    }

    pub fn good(&mut self) -> Piece {
        self.n += 1;
        Piece::new(self.n, format!("{{\"n\":{}}}", self.n).as_bytes())
    }

    pub fn add(&mut self, row: u32, what: &str, piece: &Piece, statuses: &[u16], passes: bool, after: After) {
        let said: Vec<Said> = statuses.iter().map(|status| (*status, outcome_of(*status))).collect();
        self.say(row, what, piece, &said, passes, after);
    }

    /// The same with outcomes that the statuses alone do not tell.
    pub fn say(&mut self, row: u32, what: &str, piece: &Piece, said: &[Said], passes: bool, after: After) {
        self.cases.push(Case {
            row,
            what: what.escape_debug().take(60).collect(),
            raw: piece.raw(),
            answers: said.to_vec(),
            forwarded: passes.then(|| Forwarded {
                method: "POST",
                target: piece.target().to_vec(),
                body: piece.body.clone(),
                absent: piece.absent.clone(),
            }),
            after,
            ends: false,
            stream: self.both.then(|| piece.stream()),
        });
    }

    /// Refused, and the connection with it.
    pub fn refused(&mut self, row: u32, what: &str, piece: &Piece, status: u16) {
        self.add(row, what, piece, &[status], false, After::Closes);
    }
    /// Forwarded as it is.
    pub fn passes(&mut self, row: u32, what: &str, piece: &Piece) {
        self.add(row, what, piece, &[200], true, After::Serves);
    }
    /// Refused; whether the connection goes on is free.
    pub fn off(&mut self, row: u32, what: &str, piece: &Piece, status: u16) {
        self.add(row, what, piece, &[status], false, After::Either);
    }
    /// Answered without being forwarded, and the connection goes on.
    pub fn answered(&mut self, row: u32, what: &str, piece: &Piece, said: Said) {
        self.say(row, what, piece, &[said], false, After::Serves);
    }

    /// A request of another provider: forwarded if 200, else refused.
    pub fn other(&mut self, row: u32, what: &str, request: &Request, status: u16) {
        let piece = Piece::of(request);
        if status == 200 {
            self.passes(row, what, &piece);
        } else {
            self.off(row, what, &piece, status);
        }
    }
}
