//! The apps behind the trial's sidecar: small HTTP servers in this process that remember what reached them.

use super::sender::whole;
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::net::TcpStream;

/// The app that the plain upstream leads to.
pub(super) const APP: &str = "app";
/// The app of the shop's payments.
pub(super) const BILLING: &str = "billing";
/// The app of those who cook.
pub(super) const KITCHEN: &str = "kitchen";
/// The app of those who bring it.
pub(super) const COURIER: &str = "courier";

/// GitHub's limit of a body, and more than any other source of the trial takes.
const LONGEST: usize = 25 << 20;

/// Requests that are remembered until somebody asks for them.
const REMEMBERED: usize = 4096;

/// All apps of the trial.
pub(super) struct Apps {
    apps: Vec<App>,
    state: Mutex<State>,
}

struct App {
    name: &'static str,
    listener: TcpListener,
    address: SocketAddr,
}

#[derive(Default)]
struct State {
    /// This app answers its next request with 503.
    failing: Option<&'static str>,
    seen: VecDeque<Seen>,
    count: usize,
    forget_bodies: bool,
}

/// One request as an app saw it.
pub(super) struct Seen {
    /// Which app.
    pub app: &'static str,
    /// The trace that it belongs to.
    pub trace: String,
    /// Its `Hookward-Source`.
    pub source: String,
    /// Its `Hookward-Verified`.
    pub verified: String,
    /// Its `Hookward-Attempt`.
    pub attempt: String,
    /// Its body.
    pub body: Bytes,
}

impl Apps {
    /// Binds every app to a free port of the loopback.
    pub(super) fn bind() -> io::Result<Self> {
        let bind = |name| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(App {
                name,
                listener,
                address,
            })
        };
        let apps = [APP, BILLING, KITCHEN, COURIER].into_iter().map(bind);
        Ok(Self {
            apps: apps.collect::<io::Result<_>>()?,
            state: Mutex::default(),
        })
    }

    /// Name and address of each app.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        self.apps.iter().map(|app| (app.name, app.address))
    }

    /// The next request of this app is answered with 503.
    pub(super) fn fail_next(&self, app: &'static str) {
        self.lock().failing = Some(app);
    }

    /// What the apps saw of one trace, in the order of their arrival; it is forgotten here.
    pub(super) fn take(&self, trace: &str) -> Vec<Seen> {
        let mut state = self.lock();
        let all = std::mem::take(&mut state.seen);
        let (taken, left): (VecDeque<_>, _) = all.into_iter().partition(|seen| seen.trace == trace);
        state.seen = left;
        taken.into()
    }

    /// Requests that any app saw since the start.
    pub(super) fn count(&self) -> usize {
        self.lock().count
    }

    /// From now on nobody compares bodies.
    pub(super) fn forget_bodies(&self) {
        self.lock().forget_bodies = true;
    }

    /// Serves all apps; ends only if one of them cannot be served.
    pub(super) async fn serve(&self) -> io::Error {
        let mut serving: FuturesUnordered<_> = self.apps.iter().map(|app| self.serve_one(app)).collect();
        match serving.next().await {
            Some(Err(error)) => error,
            Some(Ok(never)) => match never {},
            None => std::future::pending().await,
        }
    }

    async fn serve_one(&self, app: &App) -> io::Result<Infallible> {
        let listener = tokio::net::TcpListener::from_std(app.listener.try_clone()?)?;
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => connections.push(self.converse(app.name, accepted?.0)),
                Some(()) = connections.next() => {}
            }
        }
    }

    async fn converse(&self, app: &'static str, stream: TcpStream) {
        // Small answers must not wait for more to send; without the option they are slower, not wrong.
        let _slower = stream.set_nodelay(true);
        let service = service_fn(move |request| async move { Ok::<_, Infallible>(self.answer(app, request).await) });
        // A peer that hangs up is nothing to report: the trial judges what the sender was told.
        let _hung_up = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(&self, app: &'static str, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Ok(body) = whole(body, LONGEST).await else {
            return reply(StatusCode::BAD_REQUEST, format!("{{\"app\":\"{app}\"}}"));
        };
        let mut state = self.lock();
        let received = body.len();
        state.count += 1;
        if state.seen.len() == REMEMBERED {
            state.seen.pop_front();
        }
        let trace = text(&head.headers, "traceparent").get(3..35).unwrap_or("").to_owned();
        let body = if state.forget_bodies { Bytes::new() } else { body };
        state.seen.push_back(Seen {
            app,
            trace,
            source: text(&head.headers, "hookward-source"),
            verified: text(&head.headers, "hookward-verified"),
            attempt: text(&head.headers, "hookward-attempt"),
            body,
        });
        if state.failing.take_if(|failing| *failing == app).is_some() {
            return reply(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{{\"app\":\"{app}\",\"error\":\"restarting\"}}"),
            );
        }
        reply(StatusCode::OK, format!("{{\"app\":\"{app}\",\"received\":{received}}}"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain values: whatever panicked in between, they are still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All values of a header, so that a doubled one shows.
fn text(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter();
    let texts: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    texts.join(", ")
}

fn reply(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
