//! A client of HTTP/2 that writes frames as a test makes them up, right or wrong, and reads what comes back.

use super::{
    Request,
    hpack::{Decoder, Field},
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// How a stream, or with it the connection, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// An answer.
    Status(u16),
    /// `RST_STREAM` with this code.
    Reset(u32),
    /// GOAWAY with this code.
    Gone(u32),
    /// The connection was closed without a word.
    Closed,
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A literal header that enters no table (RFC 7541, section 6.2.2).
pub fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        length(text.len(), &mut field);
        field.extend_from_slice(text);
    }
    field
}

/// A literal header that enters the dynamic table.
pub fn remembered(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut field = literal(name, value);
    field[0] = 0x40;
    field
}

/// An integer with a prefix of seven bits.
fn length(mut number: usize, field: &mut Vec<u8>) {
    if number < 127 {
        return field.push(u8::try_from(number).expect("small"));
    }
    field.push(127);
    number -= 127;
    while number >= 128 {
        field.push(u8::try_from(number % 128).expect("small") | 0x80);
        number /= 128;
    }
    field.push(u8::try_from(number).expect("small"));
}

/// A block of headers.
pub fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// The frames of a request on this stream.
pub fn request(stream: u32, request: &Request) -> Vec<u8> {
    let host = request.headers.iter().find(|(name, _)| name == "Host");
    let mut fields = block(&[
        (b":method", request.method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", host.map_or("", |(_, value)| value).as_bytes()),
        (b":path", request.target.as_bytes()),
    ]);
    for (name, value) in request.headers.iter().filter(|(name, _)| name != "Host") {
        fields.extend(literal(name.to_ascii_lowercase().as_bytes(), value.as_bytes()));
    }
    [
        frame(HEADERS, END_HEADERS, stream, &fields),
        frame(DATA, END_STREAM, stream, &request.body),
    ]
    .concat()
}

/// The four bytes of a payload from here on.
fn word(payload: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(payload[at..at + 4].try_into().expect("a word"))
}

/// One connection.
pub struct Frames {
    stream: TcpStream,
    decoder: Decoder,
    /// The code of a GOAWAY that was among the frames read so far.
    goaway: Option<u32>,
}

impl Frames {
    /// With the preface and these settings.
    pub fn open(to: SocketAddr, settings: &[u8]) -> Self {
        let stream = TcpStream::connect(to).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a socket");
        let mut frames = Self {
            stream,
            decoder: Decoder::default(),
            goaway: None,
        };
        frames.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frames.send(&frame(SETTINGS, 0, 0, settings));
        frames
    }

    /// The same connection for another thread; only one of them reads answers.
    pub fn also(&self) -> Self {
        Self {
            stream: self.stream.try_clone().expect("a socket"),
            decoder: Decoder::default(),
            goaway: None,
        }
    }

    /// Sends bytes; false if the other side has closed.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The same, for so long at most.
    pub fn send_within(&mut self, bytes: &[u8], time: Duration) -> std::io::Result<()> {
        self.stream.set_write_timeout(Some(time)).expect("a socket");
        self.stream.write_all(bytes)
    }

    /// The next frame; `None` at the end.
    pub fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        self.stream.read_exact(&mut payload).ok()?;
        if head[3] == GOAWAY {
            self.goaway = Some(word(&payload, 4));
        }
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// Reads until this stream or the connection ends.
    pub fn end_of(&mut self, stream: u32) -> End {
        self.ends_of([stream])[0].0
    }

    /// Reads until the other side says that it wants no further streams: with which code, if it says so.
    pub fn goaway(&mut self) -> Option<u32> {
        while self.goaway.is_none() && self.next().is_some() {}
        self.goaway
    }

    /// Reads until each of these streams, or the connection, has ended: how, and the headers of the answers.
    pub fn ends_of<const N: usize>(&mut self, streams: [u32; N]) -> [(End, Vec<Field>); N] {
        let mut ends: [Option<(End, Vec<Field>)>; N] = std::array::from_fn(|_| None);
        let mut last = End::Closed;
        while ends.iter().any(Option::is_none) {
            let Some(frame) = self.next() else { break };
            let end = match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => {
                    self.send(&self::frame(SETTINGS, ACK, 0, b""));
                    continue;
                }
                GOAWAY if word(&frame.payload, 4) != 0 => {
                    last = End::Gone(word(&frame.payload, 4));
                    break;
                }
                RST_STREAM => (End::Reset(word(&frame.payload, 0)), Vec::new()),
                HEADERS => {
                    let fields = self.decoder.read(&frame.payload).expect("a block of headers");
                    let status = fields.first().filter(|(name, _)| name == ":status");
                    let status = status.and_then(|(_, value)| value.parse().ok()).expect("a status");
                    (End::Status(status), fields)
                }
                _ => continue,
            };
            if let Some(at) = streams.iter().position(|stream| *stream == frame.stream) {
                ends[at].get_or_insert(end);
            }
        }
        ends.map(|end| end.unwrap_or((last, Vec::new())))
    }
}
