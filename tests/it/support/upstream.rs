//! An app that counts: every byte that arrives at its socket belongs to a request that it can show, or is one too many.

use super::{aside, wait_until};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

/// One request, by the strictest reading that there is.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub method: String,
    pub target: Vec<u8>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Its bytes as they arrived.
    pub raw: Vec<u8>,
}

#[derive(Default)]
struct State {
    bytes: AtomicUsize,
    requests: Mutex<Vec<Arrived>>,
    stray: Mutex<Vec<String>>,
}

/// A running one. Answers 200 to all that it can read.
pub struct Upstream {
    pub address: SocketAddr,
    state: Arc<State>,
}

impl Upstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind(aside()).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State::default());
        let counted = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), state) = (stream, counted.clone()) else {
                    return;
                };
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Self { address, state }
    }

    /// How many requests have arrived.
    pub fn count(&self) -> usize {
        self.state.requests.lock().expect("no panic").len()
    }

    /// What has arrived after the first `count` requests. An error if there is a byte that belongs to none.
    pub fn since(&self, count: usize) -> Result<Vec<Arrived>, String> {
        let requests = self.state.requests.lock().expect("no panic");
        let stray = self.state.stray.lock().expect("no panic");
        let (whole, all) = (
            requests.iter().map(|request| request.raw.len()).sum::<usize>(),
            self.state.bytes.load(SeqCst),
        );
        if all != whole || !stray.is_empty() {
            return Err(format!(
                "{all} bytes arrived upstream, {whole} of them in requests; no requests: {stray:?}"
            ));
        }
        Ok(requests[count..].to_vec())
    }

    /// Bytes that were accepted at the socket, over all connections.
    pub fn bytes(&self) -> usize {
        self.state.bytes.load(SeqCst)
    }
}

fn serve(mut stream: TcpStream, state: &State) {
    let _slower = stream.set_nodelay(true);
    let (mut held, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        // Counted before anything is answered: who has an answer finds its bytes counted.
        state.bytes.fetch_add(count, SeqCst);
        held.extend_from_slice(&buffer[..count]);
        loop {
            match first_of(&held) {
                Ok(None) => break,
                Ok(Some(request)) => {
                    held.drain(..request.raw.len());
                    state.requests.lock().expect("no panic").push(request);
                    if stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                        .is_err()
                    {
                        return;
                    }
                }
                Err(why) => return state.stray.lock().expect("no panic").push(why),
            }
        }
    }
}

/// The request that these bytes begin with, as strictly as it can be read; `None` if it is not whole yet.
fn first_of(bytes: &[u8]) -> Result<Option<Arrived>, String> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let shown = || bytes[..end].escape_ascii().to_string();
    let mut lines = Vec::new();
    let mut rest = &bytes[..end];
    while let Some(at) = rest.windows(2).position(|window| window == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    if lines
        .iter()
        .any(|line| line.iter().any(|byte| b"\r\n\0".contains(byte)))
    {
        return Err(format!("CR, LF or NUL within a line: {}", shown()));
    }
    let start: Vec<&[u8]> = lines[0].split(|byte| *byte == b' ').collect();
    let [method, target, b"HTTP/1.1"] = start[..] else {
        return Err(format!("no request line: {}", shown()));
    };
    if !method.iter().all(u8::is_ascii_uppercase) || !target.starts_with(b"/") {
        return Err(format!("no method or target: {}", shown()));
    }
    let mut headers = HeaderMap::new();
    for line in &lines[1..] {
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(shown)?;
        let value = line[colon + 1..].strip_prefix(b" ").ok_or_else(shown)?;
        if value.trim_ascii() != value {
            return Err(format!("white space around a value: {}", shown()));
        }
        // Both refuse what is outside their grammar.
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| shown())?;
        headers.append(name, HeaderValue::from_bytes(value).map_err(|_| shown())?);
    }
    let lengths: Vec<_> = headers.get_all("content-length").iter().collect();
    let length = match lengths[..] {
        [one] if one.as_bytes().iter().all(u8::is_ascii_digit) => one.to_str().ok().and_then(|text| text.parse().ok()),
        [] if method == b"GET" => Some(0),
        _ => None,
    };
    let (Some(length), false) = (length, headers.contains_key("transfer-encoding")) else {
        return Err(format!("no one length: {}", shown()));
    };
    let whole = end + 4 + length;
    Ok((bytes.len() >= whole).then(|| Arrived {
        method: String::from_utf8_lossy(method).into_owned(),
        target: target.to_vec(),
        headers,
        body: bytes[end + 4..whole].to_vec(),
        raw: bytes[..whole].to_vec(),
    }))
}

/// The counter counts what is no request, and what is only the beginning of one.
#[test]
fn bytes_that_belong_to_no_request_are_seen() {
    let good = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok";
    for (bytes, is_right) in [
        (&good[..], true),
        (b"P", false),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nokP", false),
        (b"POST /a HTTP/1.1\nContent-Length: 0\n\n\r\n\r\n", false),
        (
            b"POST /a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1",
            false,
        ),
        (
            b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            false,
        ),
        (b"POST a HTTP/1.1\r\nContent-Length: 0\r\n\r\n", false),
    ] {
        let upstream = Upstream::start();
        let mut stream = TcpStream::connect(upstream.address).expect("it listens");
        stream.write_all(bytes).expect("it reads");
        wait_until("all has arrived", || upstream.bytes() == bytes.len());
        if is_right {
            wait_until("it is read", || upstream.count() == 1);
        } else {
            stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
            let _answer_and_end = stream.read_to_end(&mut Vec::new());
        }
        assert_eq!(upstream.since(0).is_ok(), is_right, "{}", bytes.escape_ascii());
    }
}
