//! One HTTP request of a trial: to the sidecar's own port, or to a URL of somebody's choice, over TLS if it says so.

use super::Letter;
use crate::{
    config::{Settings, settings::SourceSettings},
    event::Clock,
    telemetry::TraceParent,
    tls::{Certificates, ClientTls},
};
use bytes::{Bytes, BytesMut};
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Longer than a sidecar waits for its apps.
const PATIENCE: Duration = Duration::from_mins(1);

/// Of an answer's body, which is only looked at for its `request_id`.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Where a trial goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    tls: bool,
    /// The sidecar's own certificate, where its own port is spoken to.
    own: Option<Certificates>,
    /// A connection begins with a PROXY header, which the sidecar demands of this peer.
    announced: bool,
    /// What stands in `Host`.
    authority: String,
    /// A path of its own; else the source's.
    path: Option<String>,
}

/// What the answer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its status.
    pub status: u16,
    /// `Hookward-Outcome`; `None`: it was no hookward that answered.
    pub outcome: Option<String>,
    /// The `request_id` of an answer of hookward's own.
    pub request_id: Option<String>,
    /// From the first byte to the last.
    pub took: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// Nobody listens there.
    #[error("nobody answers at {address}: {error}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// The operating system's word.
        error: io::Error,
    },
    /// No answer in time.
    #[error("no answer from {address} within {} s", PATIENCE.as_secs())]
    Timeout {
        /// Host and port.
        address: String,
    },
    /// What came is no HTTP answer, or TLS failed.
    #[error("no usable answer from {address}: {error}")]
    Broken {
        /// Host and port.
        address: String,
        /// What went wrong.
        error: String,
    },
}

impl Address {
    /// The sidecar's own port; one on all addresses is reached at loopback.
    pub(super) fn own(settings: &Settings, source: &SourceSettings, listening: SocketAddr) -> Self {
        let ip = match listening.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        };
        let address = SocketAddr::new(ip, listening.port());
        Self {
            host: ip.to_string(),
            port: listening.port(),
            tls: settings.listen.tls.is_some(),
            own: settings.listen.tls.as_ref().map(|tls| tls.identity.chain().clone()),
            announced: settings.listen.proxy_protocol && settings.client_ip.trust.iter().any(|net| net.contains(&ip)),
            authority: served(settings, source).unwrap_or_else(|| address.to_string()),
            path: None,
        }
    }

    /// `http://host:port` or `https://host`, with a path or without.
    pub(super) fn parse(settings: &Settings, source: &SourceSettings, url: &str) -> Result<Self, String> {
        let wrong = || format!("`{url}` is no URL: write http://127.0.0.1:9480 or https://hooks.example.com/path");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        if authority.as_str().contains('@') {
            return Err("a URL with a user name is not sent to".to_owned());
        }
        let host = uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        let local = host == "localhost" || host.parse::<IpAddr>().is_ok();
        Ok(Self {
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            // An address names no host: the sidecar wants to hear one that it serves.
            authority: served(settings, source)
                .filter(|_| local)
                .unwrap_or_else(|| authority.to_string()),
            path: (uri.path() != "/").then(|| uri.path().to_owned()),
            host,
            tls,
            own: None,
            announced: false,
        })
    }

    /// The URL for people: without the query, which may bear a credential.
    pub fn shown(&self, letter: &Letter) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let target = self.path.as_deref().unwrap_or_else(|| letter.target());
        let path = target.split('?').next().unwrap_or(target);
        format!("{scheme}://{}{path}", self.place())
    }

    fn place(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, self.port).to_string(),
            Err(_) => format!("{}:{}", self.host, self.port),
        }
    }

    fn target(&self, letter: &Letter) -> String {
        match (&self.path, letter.target().split_once('?')) {
            (Some(path), Some((_, query))) => format!("{path}?{query}"),
            (Some(path), None) => path.clone(),
            (None, _) => letter.target().to_owned(),
        }
    }
}

/// What the sidecar wants to hear as `Host`: the public one if it serves that, else the first that it serves.
fn served(settings: &Settings, source: &SourceSettings) -> Option<String> {
    let public = source.options.public_url.as_deref().and_then(|url| {
        let url: Uri = url.parse().ok()?;
        url.authority().map(ToString::to_string)
    });
    let hosts = &settings.hosts;
    let bare = |authority: &str| authority.split(':').next().unwrap_or(authority).to_ascii_lowercase();
    public
        .filter(|public| hosts.is_empty() || hosts.contains(&bare(public)))
        .or_else(|| hosts.first().cloned())
}

/// Sends it and reads the answer.
pub(super) async fn post(
    to: &Address,
    letter: &Letter,
    trace: &TraceParent,
    clock: &Arc<dyn Clock>,
) -> Result<Told, PostError> {
    let begun = clock.monotonic();
    let address = to.place();
    let exchanged = timeout(PATIENCE, exchange(to, letter, trace)).await;
    let mut told = exchanged.map_err(|_| PostError::Timeout { address })??;
    told.took = clock.monotonic().since(begun);
    Ok(told)
}

async fn exchange(to: &Address, letter: &Letter, trace: &TraceParent) -> Result<Told, PostError> {
    let broken = |error: String| PostError::Broken {
        address: to.place(),
        error,
    };
    let stream = TcpStream::connect((to.host.as_str(), to.port)).await;
    let unreachable = |error| PostError::Unreachable {
        address: to.place(),
        error,
    };
    let mut stream = stream.map_err(unreachable)?;
    if to.announced {
        stream.write_all(b"PROXY UNKNOWN\r\n").await.map_err(unreachable)?;
    }
    let mut request = Request::builder()
        .method(letter.method())
        .uri(to.target(letter))
        .header(header::HOST, &to.authority)
        .header("traceparent", trace.value());
    let mut has_agent = false;
    for (name, value) in letter.headers() {
        has_agent |= name.eq_ignore_ascii_case("user-agent");
        request = request.header(name, value);
    }
    if !has_agent {
        request = request.header(header::USER_AGENT, concat!("hookward-send/", env!("CARGO_PKG_VERSION")));
    }
    let request = request
        .body(Full::new(letter.body().clone()))
        .map_err(|error| broken(error.to_string()))?;
    if !to.tls {
        return speak(stream, request).await.map_err(|error| broken(error.to_string()));
    }
    let tls = ClientTls::default();
    let config = match &to.own {
        Some(certificate) => certificate.pinned(&[b"http/1.1"]),
        None => tls.config(&[b"http/1.1"]),
    };
    let config = config.map_err(|error| broken(error.to_string()))?;
    let name = tls.name_for(&to.host).map_err(|error| broken(error.to_string()))?;
    let stream = TlsConnector::from(config).connect(name, stream).await;
    let stream = stream.map_err(|error| broken(error.to_string()))?;
    speak(stream, request).await.map_err(|error| broken(error.to_string()))
}

async fn speak<S>(stream: S, request: Request<Full<Bytes>>) -> hyper::Result<Told>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answered = async {
        let response = sender.send_request(request).await?;
        let outcome = response.headers().get("hookward-outcome");
        let (status, outcome) = (
            response.status().as_u16(),
            outcome.and_then(|value| value.to_str().ok()).map(str::to_owned),
        );
        let body = beginning(response.into_body()).await;
        let own = serde_json::from_slice::<serde_json::Value>(&body).ok();
        // The app's own answer may have a field of this name too.
        let own = own.filter(|own| {
            let urn = own["type"].as_str().is_some_and(|urn| urn.starts_with("urn:hookward:"));
            urn || own["outcome"].as_str() == outcome.as_deref()
        });
        Ok(Told {
            status,
            outcome,
            request_id: own.and_then(|own| Some(own.get("request_id")?.as_str()?.to_owned())),
            took: Duration::ZERO,
        })
    };
    tokio::pin!(answered);
    tokio::select! {
        told = &mut answered => told,
        // The connection may end with the answer read but not yet looked at.
        closed = connection => {
            closed?;
            answered.await
        }
    }
}

/// As much of the body as is looked at; one that breaks off ends there.
async fn beginning(mut body: Incoming) -> Bytes {
    let mut bytes = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        bytes.extend_from_slice(&data);
        if bytes.len() > LONGEST_ANSWER {
            break;
        }
    }
    bytes.freeze()
}
