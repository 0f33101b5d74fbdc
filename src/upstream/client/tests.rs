//! The client against real sockets: a small app that answers by script.

mod answers;
mod connections;
mod tls;

use super::*;
use crate::{
    event::{DestinationName, SystemClock},
    upstream::{DestinationUrl, Excess, Lane, PoolSpec, Room},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::task::TaskTracker;

const TIME: Duration = Duration::from_secs(5);
/// 1 MiB, and room for all of it.
const ANSWER: AnswerLimit<'static> = AnswerLimit {
    bytes: 1 << 20,
    keeps: true,
    room: &|| Box::new(Endless),
};

struct Endless;

impl Room for Endless {
    fn grow(&mut self, _: u64) -> bool {
        true
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What the app does after it has written an answer.
#[derive(Clone, Copy, PartialEq)]
enum After {
    Next,
    Close,
    /// Holds the connection open, silent.
    Hang,
}

/// An app that answers the n-th request (from 0, over all connections) as its script says.
struct App {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl App {
    async fn start(script: impl Fn(usize) -> (Vec<u8>, After) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::on(listener, script)
    }

    fn on(listener: TcpListener, script: impl Fn(usize) -> (Vec<u8>, After) + Send + Sync + 'static) -> Self {
        let app = Self {
            address: listener.local_addr().expect("an address"),
            connections: Arc::default(),
            open: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, open, requests) = (app.connections.clone(), app.open.clone(), app.requests.clone());
        let script = Arc::new(script);
        let tasks = TaskTracker::new();
        let inner = tasks.clone();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                connections.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                let (open, requests, script) = (open.clone(), requests.clone(), script.clone());
                inner.spawn(async move {
                    serve(stream, &requests, &*script).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        app
    }

    fn spec(&self) -> DestinationSpec {
        spec(&format!("http://{}", self.address))
    }

    fn requests(&self) -> Vec<String> {
        let requests = self.requests.lock().expect("no panic");
        requests
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until the app has seen the end of all of its connections.
    async fn all_closed(&self) {
        let closed = async {
            while self.open.load(Ordering::SeqCst) > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(TIME, closed)
            .await
            .expect("the connections are closed");
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    requests: &Mutex<Vec<Vec<u8>>>,
    script: &(dyn Fn(usize) -> (Vec<u8>, After) + Send + Sync),
) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        let number = {
            let mut requests = requests.lock().expect("no panic");
            requests.push(request);
            requests.len() - 1
        };
        let (answer, after) = script(number);
        if stream.write_all(&answer).await.is_err() || after == After::Close {
            return;
        }
        if after == After::Hang {
            break;
        }
    }
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}

/// Head and body of the next request; `None` at the end of the connection.
async fn read_request(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
            let whole = end + 4 + length.unwrap_or(0_usize);
            if buffer.len() >= whole {
                return Some(buffer.drain(..whole).collect());
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(read) if read > 0 => buffer.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    }
}

fn spec(url: &str) -> DestinationSpec {
    DestinationSpec {
        name: DestinationName::upstream(),
        url: DestinationUrl::parse(url, true).expect(url),
        tls: None,
        timeout: TIME,
        connect_wait: Duration::ZERO,
        headers: Vec::new(),
        map_status: BTreeMap::new(),
        forward_credentials: true,
        sign: None,
        sign_unverified: false,
        lane: Lane::default(),
    }
}

fn post(body: &str) -> OutboundRequest {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("app.example"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    OutboundRequest {
        method: Method::POST,
        target: Uri::from_static("/h/%41?x=+"),
        headers,
        body: Frames::from(Bytes::copy_from_slice(body.as_bytes())),
    }
}

fn outbound() -> Outbound {
    Outbound::new(PoolSpec::default(), Arc::new(SystemClock::new()))
}

/// One request to an app that answers everything with `answer`.
async fn one(
    answer: impl Into<Vec<u8>>,
    after: After,
    time: Duration,
) -> (Result<Reply, DeliveryError>, App, Outbound) {
    let answer = answer.into();
    let app = App::start(move |_| (answer.clone(), after)).await;
    let outbound = outbound();
    let result = outbound.send(&app.spec(), post("x"), time, ANSWER).await;
    (result, app, outbound)
}

fn is_unreachable(result: &Result<Reply, DeliveryError>) -> bool {
    matches!(result, Err(DeliveryError::Unreachable { .. }))
}

fn is_broken(result: &Result<Reply, DeliveryError>) -> bool {
    matches!(result, Err(DeliveryError::Broken { .. }))
}

fn is_timeout(result: &Result<Reply, DeliveryError>) -> bool {
    matches!(result, Err(DeliveryError::Timeout { .. }))
}
