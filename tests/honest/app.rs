//! The app behind the sidecars: it answers each request as the request's own label asks, and records it for the verdict.

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Carries the [`Label`]. No preset reads the header, so hookward passes it on and nothing depends on it.
pub const LABEL: &str = "x-label-of-the-test";

/// The answer that the app gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    Succeed,
    /// 500.
    Fail,
    /// No answer within the destination's timeout.
    Stall,
    /// The connection ends without an answer.
    Break,
}

/// The identity of one request, as only the test knows it.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Requests with equal content: one ledger key.
    pub content: u64,
    pub event: u64,
    /// An attacker sent it.
    pub captured: bool,
    /// He changed unsigned headers.
    pub disguised: bool,
    pub reaction: Reaction,
}

/// One request as the app received it.
#[derive(Clone, Debug)]
pub struct Received {
    pub label: Label,
    /// Its place in the order of all arrivals and answers.
    pub arrived: u64,
    pub answered: Option<u64>,
    pub source: String,
    pub delivery: String,
    pub topic: Option<String>,
    pub attempt: u64,
    pub repeat: Option<String>,
    pub duplicate: bool,
    pub redelivery: bool,
}

impl Label {
    pub fn write(&self) -> String {
        let reaction = match self.reaction {
            Reaction::Succeed => "succeed",
            Reaction::Fail => "fail",
            Reaction::Stall => "stall",
            Reaction::Break => "break",
        };
        let sent_by = u8::from(self.captured) + u8::from(self.disguised);
        format!("{} {} {sent_by} {reaction}", self.content, self.event)
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (content, event) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let sent_by: u8 = words.next()?.parse().ok()?;
        Some(Self {
            content,
            event,
            captured: sent_by > 0,
            disguised: sent_by > 1,
            reaction: match words.next()? {
                "succeed" => Reaction::Succeed,
                "fail" => Reaction::Fail,
                "stall" => Reaction::Stall,
                _ => Reaction::Break,
            },
        })
    }
}

#[derive(Default)]
struct State {
    order: AtomicU64,
    received: Mutex<HashMap<u64, Vec<Received>>>,
    unlabelled: AtomicU64,
}

/// A running app.
pub struct App {
    pub address: SocketAddr,
    state: Arc<State>,
}

impl App {
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State::default());
        let served = state.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(serve(listener, served));
        });
        Self { address, state }
    }

    /// Everything received since the last call, by content.
    pub fn take(&self) -> HashMap<u64, Vec<Received>> {
        let unlabelled = self.state.unlabelled.load(Ordering::Relaxed);
        assert_eq!(unlabelled, 0, "requests that nobody sent reached the app");
        std::mem::take(&mut self.state.received.lock().expect("no panic"))
    }
}

async fn serve(listener: std::net::TcpListener, state: Arc<State>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a non-blocking socket");
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _fast = stream.set_nodelay(true);
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| answer(&state, request));
            let _closed = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// The error ends the connection.
async fn answer(
    state: &State,
    request: hyper::Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, &'static str> {
    let (head, body) = request.into_parts();
    let _drained = body.collect().await;
    let Some(received) = received(&head.headers, state.order.fetch_add(1, Ordering::SeqCst)) else {
        state.unlabelled.fetch_add(1, Ordering::Relaxed);
        return Ok(Response::new(Full::default()));
    };
    let (content, reaction) = (received.label.content, received.label.reaction);
    let index = {
        let mut all = state.received.lock().expect("no panic");
        let list = all.entry(content).or_default();
        list.push(received);
        list.len() - 1
    };
    let status = match reaction {
        Reaction::Break => return Err("as asked"),
        Reaction::Stall => {
            // The sidecar closes the connection long before, and this future goes with it.
            tokio::time::sleep(Duration::from_mins(1)).await;
            500
        }
        Reaction::Fail => 500,
        Reaction::Succeed => 200,
    };
    let answered = state.order.fetch_add(1, Ordering::SeqCst);
    if let Some(received) = state
        .received
        .lock()
        .expect("no panic")
        .get_mut(&content)
        .and_then(|all| all.get_mut(index))
    {
        received.answered = Some(answered);
    }
    Ok(Response::builder()
        .status(status)
        .body(Full::default())
        .expect("an answer"))
}

fn received(headers: &HeaderMap, arrived: u64) -> Option<Received> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    Some(Received {
        label: Label::read(&text(LABEL)?)?,
        arrived,
        answered: None,
        source: text("hookward-source")?,
        delivery: text("hookward-delivery")?,
        topic: text("hookward-event"),
        attempt: text("hookward-attempt")?.parse().ok()?,
        repeat: text("hookward-repeat"),
        duplicate: headers.contains_key("hookward-duplicate"),
        redelivery: headers.contains_key("hookward-redelivery"),
    })
}
