//! An app behind the sidecar: it records every request, and answers as the test wrote it down.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsAcceptor;

/// One request as the app saw it.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// Values that are no text, byte for byte.
    pub bytes: http::HeaderMap,
    pub body: Vec<u8>,
}

impl Recorded {
    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The only value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.all(name);
        assert!(found.len() < 2, "{name} came {} times: {found:?}", found.len());
        found.first().copied()
    }
}

/// How to answer one request.
#[derive(Clone)]
pub struct Script {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Not before this turns true.
    pub gate: Option<watch::Receiver<bool>>,
}

impl Script {
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: b"from the app".to_vec(),
            gate: None,
        }
    }

    /// 200 with this body.
    pub fn body(body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..Self::status(200)
        }
    }

    /// Answers only once the gate opens.
    pub fn behind(mut self, gate: &watch::Sender<bool>) -> Self {
        self.gate = Some(gate.subscribe());
        self
    }
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Recorded>>,
    arrived: Condvar,
    scripts: Mutex<VecDeque<Script>>,
    usual: Mutex<Option<Script>>,
}

/// A running app. Answers 200 unless scripted.
pub struct App {
    state: Arc<State>,
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl App {
    pub fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// One that speaks TLS.
    pub fn start_tls(tls: Arc<rustls::ServerConfig>) -> Self {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), Some(tls.into()))
    }

    /// On an address that was free a moment ago: for apps that come up late.
    pub fn start_at(address: SocketAddr) -> Self {
        Self::listen(address, None)
    }

    fn listen(address: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        let listener = std::net::TcpListener::bind(address).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State::default());
        let (stop, stopped) = oneshot::channel();
        let served = state.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                tokio::select! {
                    () = serve(listener, tls, served) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            state,
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next requests are answered so, in order; after that 200 again.
    pub fn script(&self, scripts: impl IntoIterator<Item = Script>) {
        self.state.scripts.lock().expect("no panic").extend(scripts);
    }

    /// Every request for which there is no script is answered so.
    pub fn usually(&self, script: Script) {
        *self.state.usual.lock().expect("no panic") = Some(script);
    }

    pub fn seen(&self) -> Vec<Recorded> {
        self.state.seen.lock().expect("no panic").clone()
    }

    /// How many requests have arrived.
    pub fn count(&self) -> usize {
        self.state.seen.lock().expect("no panic").len()
    }

    /// What has arrived after the first `count` requests.
    pub fn since(&self, count: usize) -> Vec<Recorded> {
        self.state.seen.lock().expect("no panic")[count..].to_vec()
    }

    /// Blocks until `count` requests have arrived.
    pub fn wait_for(&self, count: usize) -> Vec<Recorded> {
        let seen = self.state.seen.lock().expect("no panic");
        let (seen, timeout) = self
            .state
            .arrived
            .wait_timeout_while(seen, Duration::from_secs(30), |seen| seen.len() < count)
            .expect("no panic");
        assert!(!timeout.timed_out(), "only {} of {count} requests arrived", seen.len());
        seen.clone()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _gone = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

async fn serve(listener: std::net::TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a non-blocking socket");
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (state, tls) = (state.clone(), tls.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let state = state.clone();
                async move { Ok::<_, Infallible>(answer(&state, request).await) }
            });
            let http = http1::Builder::new();
            let Some(tls) = tls else {
                let _closed = http.serve_connection(TokioIo::new(stream), service).await;
                return;
            };
            if let Ok(stream) = tls.accept(stream).await {
                let _closed = http.serve_connection(TokioIo::new(stream), service).await;
            }
        });
    }
}

async fn answer(state: &State, request: hyper::Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|whole| whole.to_bytes().to_vec())
        .unwrap_or_default();
    let script = state.scripts.lock().expect("no panic").pop_front();
    state.seen.lock().expect("no panic").push(Recorded {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        bytes: head.headers,
        body,
    });
    state.arrived.notify_all();
    let usual = || state.usual.lock().expect("no panic").clone();
    let script = script.or_else(usual).unwrap_or_else(|| Script::status(200));
    if let Some(mut gate) = script.gate {
        let _dropped = gate.wait_for(|open| *open).await;
    }
    let mut response = Response::builder().status(script.status);
    for (name, value) in script.headers {
        response = response.header(name, value);
    }
    response
        .body(Full::new(Bytes::from(script.body)))
        .expect("a valid answer")
}
