//! HTTP/1.1 as cheaply as senders and apps need it here: heads as bytes, bodies by `Content-Length`, keep-alive.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

/// A connection, and what was read of it and not used yet.
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

/// A request or an answer.
pub struct Message {
    head: String,
    pub body: Vec<u8>,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        // Small messages; a failure only makes them slow.
        let _slow = stream.set_nodelay(true);
        Self {
            stream,
            read: Vec::with_capacity(2048),
        }
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next message; `None` if the other end closed instead of beginning one.
    pub async fn next(&mut self) -> io::Result<Option<Message>> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more().await? {
                return if self.read.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        };
        let head: Vec<u8> = self.read.drain(..end).collect();
        let head = String::from_utf8(head).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let mut message = Message { head, body: Vec::new() };
        let length = message.header("content-length").unwrap_or("0").parse();
        let length: usize = length.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        while self.read.len() < length {
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        message.body = self.read.drain(..length).collect();
        Ok(Some(message))
    }

    /// The other end has closed it, or sent what nobody asked for.
    pub fn is_stale(&self) -> bool {
        let mut byte = [0];
        !matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    async fn more(&mut self) -> io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.read).await? > 0)
    }
}

impl Message {
    /// `200`; 0 if there is none.
    pub fn status(&self) -> u16 {
        let status = self.head.split(' ').nth(1);
        status.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Listens on 127.0.0.1 with room for all that comes while nobody accepts: a connection that found none would be tried
/// again by the kernel a second later, which no fault of ours explains.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    socket.listen(4096)
}

/// Microseconds since 1970, the same for all processes of a run.
pub type Micros = u64;

/// Never the same twice in a process, so that what happened first has the smaller number.
pub fn now() -> Micros {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is later than 1970");
    let now = u64::try_from(since.as_micros()).expect("it is not that late");
    LAST.fetch_max(now, Ordering::Relaxed).max(now)
}
