//! A client without an HTTP library: what a test writes is what goes over the wire.

use socket2::{Domain, Socket, Type};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A request to be written byte for byte.
#[derive(Clone)]
pub struct Request {
    pub method: &'static str,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A POST with `Host` and `Content-Length`.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self {
            method: "POST",
            target: target.to_owned(),
            headers: vec![
                ("Host".to_owned(), "hooks.example.com".to_owned()),
                ("Content-Length".to_owned(), body.len().to_string()),
            ],
            body,
        }
    }

    /// The same with another method.
    pub fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// The same with one more header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same with this header replaced.
    pub fn replace(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.header(name, value)
    }

    /// The same without this header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// The bytes of the head.
    pub fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.extend([name.as_str(), ": ", value.as_str(), "\r\n"]);
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// The same without `Content-Length`: a GET as most clients send it.
    pub fn get(target: &str) -> Self {
        Self::post(target, "").method("GET").without("Content-Length")
    }

    /// Sends it on a connection of its own; `None` where nobody listens, or nobody answers.
    pub fn try_send(&self, to: SocketAddr) -> Option<Answer> {
        Connection::try_open(to).ok()?.exchange(self)
    }

    /// Sends it on a connection of its own.
    pub fn send(&self, to: SocketAddr) -> Answer {
        let mut connection = Connection::open(to);
        connection.write(&self.head());
        connection.write(&self.body);
        connection.answer_to(self.method).expect("an answer")
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The only value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self
            .headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} came twice: {:?}", self.headers);
        first
    }

    /// `Hookward-Outcome`.
    pub fn outcome(&self) -> &str {
        self.header("hookward-outcome").unwrap_or("(none)")
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }
}

/// What carries a connection's bytes: a socket, or TLS over one.
pub trait Duplex: Read + Write + Send {}

impl<S: Read + Write + Send> Duplex for S {}

/// One connection.
pub struct Connection {
    stream: Box<dyn Duplex>,
    socket: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub fn open(to: SocketAddr) -> Self {
        Self::try_open(to).expect("the sidecar accepts")
    }

    pub fn try_open(to: SocketAddr) -> std::io::Result<Self> {
        TcpStream::connect(to).map(Self::over)
    }

    /// A connection whose segments are so small, however large those of loopback may be.
    pub fn open_in_segments(to: SocketAddr, bytes: u32) -> Self {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
        socket.set_tcp_mss(bytes).expect("a TCP socket");
        socket.connect(&to.into()).expect("the sidecar accepts");
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP socket");
        // Not a measurement: only so that a test that would hang fails instead.
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a TCP socket");
        let socket = stream.try_clone().expect("a socket");
        Self::through(Box::new(stream), socket)
    }

    /// A connection whose bytes go through `stream`, over `socket`.
    pub fn through(stream: Box<dyn Duplex>, socket: TcpStream) -> Self {
        Self {
            stream,
            socket,
            read: Vec::new(),
        }
    }

    /// The other half of a plain connection, for another thread.
    pub fn also(&self) -> Self {
        Self::over(self.socket.try_clone().expect("a socket"))
    }

    /// Sends one request and waits for its answer; the connection stays open.
    pub fn exchange(&mut self, request: &Request) -> Option<Answer> {
        self.write(&request.head());
        self.write(&request.body);
        self.answer_to(request.method)
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        self.socket
            .shutdown(std::net::Shutdown::Write)
            .expect("it is connected");
    }

    pub fn write(&mut self, bytes: &[u8]) {
        // A refusal may close the connection while we still write: the answer is what counts.
        let _closed = self.write_all(bytes);
    }

    /// The same for a sender that gives up when it cannot write.
    pub fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next answer; `None` if the connection was closed without one.
    pub fn answer(&mut self) -> Option<Answer> {
        self.answer_to("POST")
    }

    /// The same to a request of this method: an answer to HEAD ends with its head.
    pub fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let head_end = loop {
            if let Some(at) = find(&self.read, b"\r\n\r\n") {
                break at;
            }
            if !self.more() {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.read[..head_end]).into_owned();
        self.read.drain(..head_end + 4);
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        if status == 100 {
            return Some(Answer {
                status,
                headers,
                body: Vec::new(),
            });
        }
        let value = |wanted: &str| {
            headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, v)| v.clone())
        };
        let body = if method == "HEAD" {
            Vec::new()
        } else if value("transfer-encoding").is_some() {
            self.chunked()?
        } else {
            let length: usize = value("content-length").map_or(0, |text| text.parse().expect("a length"));
            while self.read.len() < length {
                if !self.more() {
                    return None;
                }
            }
            self.read.drain(..length).collect()
        };
        Some(Answer { status, headers, body })
    }

    /// Has the other side closed? Blocks until it has, or sends something.
    pub fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.more()
    }

    fn chunked(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line_end = loop {
                if let Some(at) = find(&self.read, b"\r\n") {
                    break at;
                }
                if !self.more() {
                    return None;
                }
            };
            let size = usize::from_str_radix(std::str::from_utf8(&self.read[..line_end]).ok()?, 16).ok()?;
            while self.read.len() < line_end + 2 + size + 2 {
                if !self.more() {
                    return None;
                }
            }
            body.extend_from_slice(&self.read[line_end + 2..line_end + 2 + size]);
            self.read.drain(..line_end + 2 + size + 2);
            if size == 0 {
                return Some(body);
            }
        }
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.read.extend_from_slice(&buffer[..n]);
                true
            }
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
