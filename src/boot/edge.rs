//! The sidecar as the server's app: who the client is, what the gate's refusals look like, and the journey.

use super::Core;
use crate::{
    config::Settings,
    event::Monotonic,
    pipeline::{AnswerBody, HeldRoom, Pipeline},
    server::{App, ClientIp, ConnectionEnd, GateRefusal, Peer, RequestBody, UntilTaken, Unwelcome, Welcome},
    source::Outcome,
    telemetry::Level,
    tls::ServerTls,
};
use http::{Request, Response, StatusCode, request::Parts};
use http_body_util::Full;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What a sender may speak over TLS, in order of preference; one that offers nothing speaks HTTP/1.1.
const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Of connections that lack their PROXY header, one is logged at warn in so long, the others at debug.
const COMPLAIN_AGAIN: Duration = Duration::from_mins(1);

/// What stands before the journey; a reload replaces it as a whole.
pub(super) struct Front {
    hosts: Vec<String>,
    client_ip: ClientIp,
    health_path: Option<String>,
    tls: Option<Tls>,
    proxy_protocol: bool,
}

/// TLS as it was configured, and what new connections get of it.
#[derive(Clone)]
struct Tls {
    settings: ServerTls,
    config: Arc<rustls::ServerConfig>,
}

impl Front {
    /// With what `previous` had of TLS, if nothing changed: sessions can then still be resumed.
    pub(super) fn new(settings: &Settings, previous: Option<&Self>) -> Result<Self, String> {
        let kept = previous.and_then(|previous| previous.tls.as_ref());
        let tls = match (&settings.listen.tls, kept) {
            (None, _) => None,
            (Some(settings), Some(kept)) if kept.settings == *settings => Some(kept.clone()),
            (Some(settings), _) => Some(Tls::new(settings)?),
        };
        Ok(Self {
            hosts: settings.hosts.clone(),
            client_ip: ClientIp {
                trust: settings.client_ip.trust.clone(),
                direct: settings.client_ip.direct,
                header: settings.client_ip.header.clone(),
            },
            health_path: settings.listen.health_path.clone(),
            tls,
            proxy_protocol: settings.listen.proxy_protocol,
        })
    }
}

impl Tls {
    fn new(settings: &ServerTls) -> Result<Self, String> {
        // The configuration has proven it; a failure here is a bug there, and no reason to crash a running sidecar.
        let config = settings.config(ALPN).map_err(|error| format!("listen.tls: {error}"))?;
        Ok(Self {
            settings: settings.clone(),
            config,
        })
    }
}

/// One worker's edge.
#[derive(Clone)]
pub(super) struct Edge {
    core: Arc<Core>,
    pipeline: Pipeline,
    /// When a load balancer was last said to send no PROXY header.
    complained: Arc<Mutex<Option<Monotonic>>>,
}

impl Edge {
    pub(super) fn new(core: Arc<Core>, pipeline: Pipeline) -> Self {
        Self {
            core,
            pipeline,
            complained: Arc::default(),
        }
    }

    /// Is it time to say it again?
    fn complains(&self) -> bool {
        let now = self.core.shared.observers.clock.monotonic();
        let mut last = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.since(last) >= COMPLAIN_AGAIN);
        if due {
            *last = Some(now);
        }
        due
    }
}

impl App for Edge {
    fn welcome(&self, address: IpAddr) -> Welcome {
        let front = self.core.front.load();
        Welcome {
            proxy_header: front.proxy_protocol && front.client_ip.trusts(address),
            tls: front.tls.as_ref().map(|tls| Arc::clone(&tls.config)),
        }
    }

    fn turned_away(&self, address: SocketAddr, why: &Unwelcome) {
        let log = &self.core.shared.observers.log;
        if self.core.front.load().tls.is_some() {
            self.core.tls_failures.count(why);
        }
        // Scanners and probes are everybody's daily noise; a load balancer that is set up wrongly is not.
        let level = match why {
            Unwelcome::Header(_) if self.complains() => Level::Warn,
            _ => Level::Debug,
        };
        log.message(
            level,
            "connection ended before HTTP",
            &[("peer", &address), ("error", why)],
        );
    }

    fn serves_host(&self, host: &str, path: &str) -> bool {
        let front = self.core.front.load();
        // A load balancer probes by address, whatever our hosts are called.
        if front.health_path.as_deref() == Some(path) {
            return true;
        }
        front.hosts.is_empty() || front.hosts.iter().any(|ours| ours == host)
    }

    fn probe(&self, path: &str) -> Option<Response<AnswerBody>> {
        let is_probe = self.core.front.load().health_path.as_deref() == Some(path);
        is_probe.then(|| {
            let mut answer = Response::new(Full::default());
            if self.core.shared.is_draining() {
                *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            answer
        })
    }

    async fn handle(&self, peer: Peer, request: Request<RequestBody>) -> Response<AnswerBody> {
        let client = self.core.front.load().client_ip.resolve(peer, request.headers());
        let mut answer = self.pipeline.handle(request, client).await;
        if let Some(room) = answer.extensions_mut().remove::<HeldRoom>() {
            answer.extensions_mut().insert(UntilTaken(Arc::new(room)));
        }
        answer
    }

    fn refuse(&self, peer: Peer, head: &Parts, refusal: GateRefusal) -> Response<AnswerBody> {
        let client = self.core.front.load().client_ip.resolve(peer, &head.headers);
        self.pipeline.refuse(head, &client, refusal.status(), refusal.reason())
    }

    fn answer_unasked(&self, _: Peer, status: StatusCode) -> Response<AnswerBody> {
        let outcome = match status {
            StatusCode::REQUEST_TIMEOUT => Outcome::TooSlow,
            _ => Outcome::Malformed,
        };
        self.pipeline.answer_unasked(outcome, status)
    }

    fn ended(&self, peer: Peer, end: ConnectionEnd) {
        let (outcome, reason) = match end {
            ConnectionEnd::Malformed => (Outcome::Malformed, "what came is no HTTP request"),
            ConnectionEnd::HeaderTimeout => (Outcome::TooSlow, "the request head did not arrive in time"),
            _ => return,
        };
        let client = self.core.front.load().client_ip.resolve(peer, &http::HeaderMap::new());
        self.pipeline.count_unasked(&client, outcome, reason);
    }

    fn refused_streams(&self, peer: Peer, count: u32) {
        let client = self.core.front.load().client_ip.resolve(peer, &http::HeaderMap::new());
        for _ in 0..count {
            let reason = "what came on a stream is no HTTP request";
            self.pipeline.count_unasked(&client, Outcome::Malformed, reason);
        }
    }

    fn accept_failed(&self, error: &io::Error) {
        self.core.log(Level::Warn, "accepting a connection failed", error);
    }
}
