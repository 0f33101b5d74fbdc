//! The sidecar as the server's app: who the client is, what the gate's refusals look like, and the journey.

use super::Core;
use crate::{
    config::Settings,
    pipeline::{AnswerBody, Pipeline},
    server::{App, ClientIp, ConnectionEnd, GateRefusal, RequestBody},
    source::Outcome,
    telemetry::Level,
};
use http::{Request, Response, StatusCode, request::Parts};
use http_body_util::Full;
use std::{io, net::SocketAddr, sync::Arc};

/// What stands before the journey; a reload replaces it as a whole.
pub(super) struct Front {
    hosts: Vec<String>,
    client_ip: ClientIp,
    health_path: Option<String>,
}

impl Front {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            hosts: settings.hosts.clone(),
            client_ip: ClientIp {
                trust: settings.client_ip.trust.clone(),
                header: settings.client_ip.header.clone(),
            },
            health_path: settings.listen.health_path.clone(),
        }
    }
}

/// One worker's edge.
#[derive(Clone)]
pub(super) struct Edge {
    core: Arc<Core>,
    pipeline: Pipeline,
}

impl Edge {
    pub(super) fn new(core: Arc<Core>, pipeline: Pipeline) -> Self {
        Self { core, pipeline }
    }
}

impl App for Edge {
    fn serves_host(&self, host: &str, path: &str) -> bool {
        let front = self.core.front.load();
        // A load balancer probes by address, whatever our hosts are called.
        if front.health_path.as_deref() == Some(path) {
            return true;
        }
        front.hosts.is_empty() || front.hosts.iter().any(|ours| ours == host)
    }

    async fn handle(&self, peer: SocketAddr, request: Request<RequestBody>) -> Response<AnswerBody> {
        let client = {
            let front = self.core.front.load();
            if front.health_path.as_deref() == Some(request.uri().path()) {
                return Response::new(Full::default());
            }
            front.client_ip.resolve(peer, request.headers())
        };
        self.pipeline.handle(request, client).await
    }

    fn refuse(&self, peer: SocketAddr, head: &Parts, refusal: GateRefusal) -> Response<AnswerBody> {
        let client = self.core.front.load().client_ip.resolve(peer, &head.headers);
        self.pipeline.refuse(head, &client, refusal.status(), refusal.reason())
    }

    fn answer_unasked(&self, _: SocketAddr, status: StatusCode) -> Response<AnswerBody> {
        let outcome = match status {
            StatusCode::REQUEST_TIMEOUT => Outcome::TooSlow,
            _ => Outcome::Malformed,
        };
        self.pipeline.answer_unasked(outcome, status)
    }

    fn ended(&self, peer: SocketAddr, end: ConnectionEnd) {
        let (outcome, reason) = match end {
            ConnectionEnd::Malformed => (Outcome::Malformed, "what came is no HTTP request"),
            ConnectionEnd::HeaderTimeout => (Outcome::TooSlow, "the request head did not arrive in time"),
            _ => return,
        };
        let client = self.core.front.load().client_ip.resolve(peer, &http::HeaderMap::new());
        self.pipeline.count_unasked(&client, outcome, reason);
    }

    fn accept_failed(&self, error: &io::Error) {
        self.core.log(Level::Warn, "accepting a connection failed", error);
    }
}
