//! The way to a running sidecar's own listeners: one small HTTP request, bounded in time and size.

use crate::event::Secret;
use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST: usize = 4 * 1024 * 1024;

/// One listener of a running sidecar.
pub(super) struct Door {
    address: SocketAddr,
    token: Option<Secret>,
}

/// What it said.
pub(super) struct Answer {
    pub status: StatusCode,
    pub text: String,
}

impl Door {
    /// An address as configured: `0.0.0.0` is reached at loopback.
    pub(super) fn new(address: SocketAddr, token: Option<Secret>) -> Self {
        Self {
            address: reached_at(address),
            token,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.ask(&Method::GET, path, Bytes::new(), PATIENCE)
    }

    /// A mutation, with the headers that prove it was no page of another site.
    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.post_patiently(path, body, PATIENCE)
    }

    /// The same with more time for the answer.
    pub(super) fn post_patiently(&self, path: &str, body: &Value, patience: Duration) -> anyhow::Result<Answer> {
        self.ask(&Method::POST, path, Bytes::from(body.to_string()), patience)
    }

    /// Reads an answer line by line for as long as `take` wants more, without a bound in time. An answer that is no success
    /// is given back whole. `after`: the `Last-Event-ID` behind which the stream begins.
    pub(super) fn stream(
        &self,
        path: &str,
        after: Option<u64>,
        take: impl FnMut(&str) -> bool,
    ) -> anyhow::Result<Option<Answer>> {
        let mut request = self.request(&Method::GET, path, Bytes::new())?;
        if let Some(after) = after {
            request.headers_mut().insert("last-event-id", after.into());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(lines(self.address, request, take))
    }

    fn ask(&self, method: &Method, path: &str, body: Bytes, patience: Duration) -> anyhow::Result<Answer> {
        let request = self.request(method, path, body)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let asked = async { tokio::time::timeout(patience, exchange(self.address, request)).await };
        match runtime.block_on(asked) {
            Ok(answer) => answer,
            Err(_) => bail!("no answer within {} s", patience.as_secs()),
        }
    }

    fn request(&self, method: &Method, path: &str, body: Bytes) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string());
        if *method == Method::POST {
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .header("hookward-admin", "1");
        }
        if let Some(token) = &self.token {
            let mut value = http::HeaderValue::from_bytes(&[b"Bearer ", token.expose()].concat())?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        Ok(request.body(Full::new(body))?)
    }
}

/// Where a listener is reached from this machine: one on all addresses (`0.0.0.0`, `[::]`) at loopback.
pub(super) fn reached_at(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => [127, 0, 0, 1].into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

impl Answer {
    /// What the answer says to a person: its `error`, `title` or whole text.
    pub(super) fn message(&self) -> String {
        let document: Option<Value> = serde_json::from_str(&self.text).ok();
        let said = document.as_ref().and_then(|document| {
            ["detail", "error", "title"]
                .iter()
                .find_map(|key| document.get(key)?.as_str())
        });
        format!("{} ({})", said.unwrap_or(self.text.trim()), self.status.as_u16())
    }
}

async fn lines(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
    mut take: impl FnMut(&str) -> bool,
) -> anyhow::Result<Option<Answer>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let read = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut rest: Vec<u8> = Vec::new();
        // A sidecar that ends breaks its answers off: that is the end, not a failure.
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            if rest.len() + data.len() > LONGEST {
                bail!("the answer is too long");
            }
            rest.extend_from_slice(&data);
            while let Some(end) = rest
                .iter()
                .position(|byte| *byte == b'\n')
                .filter(|_| status.is_success())
            {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if !take(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])) {
                    return Ok(None);
                }
            }
        }
        let text = String::from_utf8_lossy(&rest).into_owned();
        anyhow::Ok((!status.is_success()).then_some(Answer { status, text }))
    };
    tokio::pin!(read);
    tokio::select! {
        read = &mut read => read,
        // What was read may not have been looked at yet.
        _closed = connection => read.await,
    }
}

async fn exchange(address: SocketAddr, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answered = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST);
        #[expect(
            clippy::disallowed_methods,
            reason = "bounded in bytes here and in time by the caller"
        )]
        let whole = body.collect().await;
        let whole = whole
            .map_err(|error| anyhow::anyhow!(error))
            .context("reading the answer")?;
        let text = String::from_utf8_lossy(&whole.to_bytes()).into_owned();
        anyhow::Ok(Answer { status, text })
    };
    tokio::select! {
        answer = answered => answer,
        closed = connection => {
            closed?;
            bail!("the connection was closed")
        }
    }
}
