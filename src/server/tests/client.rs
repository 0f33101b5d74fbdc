//! A sender of raw bytes, and the answers that it gets.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

/// A sender of raw bytes.
pub(super) struct Client(pub(super) TcpStream);

/// One answer as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn closes(&self) -> bool {
        self.head.contains("connection: close") || self.head.starts_with("HTTP/1.0")
    }
}

impl Client {
    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The server may have answered and closed before all is sent: what it answered is what counts.
        let _refused = self.0.write_all(bytes.as_ref());
    }

    /// No more bytes will be sent.
    pub(super) fn finish(&self) {
        self.0.shutdown(std::net::Shutdown::Write).expect("still connected");
    }

    /// Reads to the end of the connection.
    pub(super) fn answers(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(answer) = self.answer() {
            answers.push(answer);
        }
        answers
    }

    /// The next answer; `None` if the connection was closed instead.
    pub(super) fn answer(&mut self) -> Option<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if self.0.read(&mut byte).expect("no reset and no silence") == 0 {
                assert!(head.is_empty(), "half an answer: {:?}", String::from_utf8_lossy(&head));
                return None;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("a head in ASCII");
        let status = head[9..12].parse().expect("a status");
        let length = head
            .split("\r\n")
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
        self.0.read_exact(&mut body).expect("a whole body");
        Some(Answer { status, head, body })
    }
}

/// A POST with a body, kept alive.
pub(super) fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
