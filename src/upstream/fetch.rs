//! What a provider publishes, by URL: one GET over TLS, bounded in bytes and time, and never redirected.

use super::connect::is_forbidden;
use crate::tls::ClientTls;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// The largest answer.
const MAX_BYTES: usize = 64 * 1024;
/// The longest head of an answer.
const MAX_HEAD: usize = 16 * 1024;
/// Time for name, connection, TLS and answer together: the sender is waiting.
const PATIENCE: Duration = Duration::from_secs(3);
/// Where a name has several addresses, how long one of them may keep the next from being tried.
const ONE_OF_SEVERAL: Duration = Duration::from_secs(1);

/// Host and port to addresses.
pub type Lookup = Box<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Fetches what stands at `https` URLs. Whoever asks has checked the host against an allow-list, remembers the answer, and
/// asks no more often than is fair.
pub struct Fetcher {
    tls: ClientTls,
    lookup: Lookup,
}

/// Why nothing can be had from a URL; the reasons are for operators, and hold a host but never a path or query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The server says that there is nothing (404, 410).
    #[error("{0} has nothing there")]
    Absent(String),
    /// The server answered, but not with 200, or with too much.
    #[error("{0}")]
    Unusable(String),
    /// It did not answer, or not in time.
    #[error("{0}")]
    Failed(String),
}

impl Fetcher {
    /// Believes the system's authorities (or those built in), and names as the system resolves them.
    pub fn system() -> Self {
        Self::with(
            ClientTls::default(),
            Box::new(|host, port| async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }.boxed()),
        )
    }

    /// Believes the authorities of `tls`, and addresses as `lookup` finds them.
    pub fn with(tls: ClientTls, lookup: Lookup) -> Self {
        Self { tls, lookup }
    }

    /// What stands at `url`: the body of an answer that is 200, of at most 64 KiB, within three seconds.
    pub async fn fetch(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let failed = FetchError::Failed;
        let url: Uri = url.parse().map_err(|_| failed("it is not a URL".to_owned()))?;
        let host = url.host().filter(|_| url.scheme_str() == Some("https"));
        let host = host.ok_or_else(|| failed("it is not an https URL".to_owned()))?;
        timeout(PATIENCE, self.exchange(&url, host))
            .await
            .unwrap_or_else(|_| Err(failed(format!("{host} did not answer within {PATIENCE:?}"))))
    }

    async fn exchange(&self, url: &Uri, host: &str) -> Result<Vec<u8>, FetchError> {
        let failed = |reason: String| FetchError::Failed(reason);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = self.tls.name_for(bare).map_err(|error| failed(error.to_string()))?;
        let config = self
            .tls
            .config(&[b"http/1.1"])
            .map_err(|error| failed(error.to_string()))?;
        let stream = self.dial(bare, url.port_u16().unwrap_or(443)).await.map_err(failed)?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        let stream = stream.map_err(|error| failed(format!("TLS with {host}: {error}")))?;
        let broken = |error: hyper::Error| failed(format!("{host} broke off: {error}"));
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_HEAD).max_header_size(MAX_HEAD);
        let (mut sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = Request::get(url.path_and_query().map_or("/", |target| target.as_str()))
            .header(
                header::HOST,
                url.authority().map_or(host, |authority| authority.as_str()),
            )
            .header(header::USER_AGENT, "hookward")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| failed(error.to_string()))?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(broken)?;
            match answer.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND | StatusCode::GONE => return Err(FetchError::Absent(host.to_owned())),
                // A redirect too: it could lead anywhere.
                other => return Err(FetchError::Unusable(format!("{host} answered {other}"))),
            }
            let (mut body, mut document) = (answer.into_body(), Vec::new());
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(broken)?.into_data() else {
                    continue;
                };
                if document.len() + data.len() > MAX_BYTES {
                    let reason = format!("the answer of {host} is longer than {MAX_BYTES} bytes");
                    return Err(FetchError::Unusable(reason));
                }
                document.extend_from_slice(&data);
            }
            Ok(document)
        };
        // The connection is driven here and dropped with us: nothing outlives a fetch that ran out of time.
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            _over = connection => exchange.await,
        }
    }

    async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let addresses = (self.lookup)(host.to_owned(), port).await;
        let addresses = addresses.map_err(|error| format!("no address for {host}: {error}"))?;
        let mut failure = format!("no address for {host}");
        for (index, address) in addresses.iter().enumerate() {
            // Checked here, on the very address that is connected to, so that no later DNS answer can differ.
            if is_forbidden(address.ip()) {
                failure = format!("{} is a link-local or metadata address", address.ip());
                continue;
            }
            let attempt = TcpStream::connect(address);
            let connected = if index + 1 == addresses.len() {
                attempt.await
            } else {
                timeout(ONE_OF_SEVERAL, attempt)
                    .await
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            };
            match connected {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = format!("{host} is unreachable: {address}: {error}"),
            }
        }
        Err(failure)
    }
}
