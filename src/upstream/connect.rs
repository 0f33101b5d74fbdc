//! Connections to destinations: which addresses are refused, and how long an app that restarts is waited for.

use super::{DeliveryError, DestinationSpec, resolve::Resolver};
use crate::event::{Clock, body::FramesBody};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_util::task::TaskTracker;

/// The longest head of an answer.
const MAX_HEAD: usize = 64 * 1024;
/// Where a name has several addresses, how long one of them may keep the next from being tried.
const ONE_OF_SEVERAL: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(320);

/// Makes connections and keeps their drivers.
pub(super) struct Connector {
    resolver: Resolver,
    http: http1::Builder,
    drivers: TaskTracker,
}

enum Failure {
    /// Nobody took the connection: may pass.
    Refused(String),
    /// Trying again does not help.
    Final(String),
}

impl Connector {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let mut http = http1::Builder::new();
        // The first bounds a head that is not over yet, the second one that is.
        http.max_buf_size(MAX_HEAD).max_header_size(MAX_HEAD);
        Self {
            resolver: Resolver::system(clock),
            http,
            drivers: TaskTracker::new(),
        }
    }

    /// The tasks that drive connections; empty when all of these are closed.
    pub(super) fn drivers(&self) -> &TaskTracker {
        &self.drivers
    }

    /// A new connection. One that is refused is tried again until the destination's `connect_wait` is over: nothing was
    /// sent yet, and an app that restarts is back in a moment. If `deadline` comes first, the last refusal is the error.
    pub(super) async fn connect(
        &self,
        to: &DestinationSpec,
        mut deadline: Pin<&mut Sleep>,
        time: Duration,
    ) -> Result<SendRequest<FramesBody>, DeliveryError> {
        let unreachable = |reason| DeliveryError::Unreachable {
            destination: to.name.clone(),
            reason,
            sent: false,
        };
        let mut patience = pin!(sleep(to.connect_wait));
        let mut pause = FIRST_PAUSE;
        let mut refused = None;
        loop {
            let dialled = tokio::select! {
                biased;
                dialled = self.dial(to) => dialled,
                () = &mut deadline => return Err(refused.map_or_else(
                    || DeliveryError::Timeout { destination: to.name.clone(), after: time },
                    unreachable,
                )),
            };
            match dialled {
                Ok(sender) => return Ok(sender),
                Err(Failure::Final(reason)) => return Err(unreachable(reason)),
                Err(Failure::Refused(reason)) => {
                    tokio::select! {
                        biased;
                        () = &mut patience => return Err(unreachable(reason)),
                        () = &mut deadline => return Err(unreachable(reason)),
                        () = sleep(pause) => refused = Some(reason),
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn dial(&self, to: &DestinationSpec) -> Result<SendRequest<FramesBody>, Failure> {
        let url = &to.url;
        let addresses = self
            .resolver
            .addresses(&url.host, url.port)
            .await
            .map_err(|error| Failure::Final(format!("no address for {}: {error}", url.host)))?;
        let mut failure = None;
        for (index, address) in addresses.iter().enumerate() {
            // Checked here, on the very address that is connected to, so that no later DNS answer can differ.
            if is_forbidden(address.ip()) {
                failure.get_or_insert(Failure::Final(format!(
                    "{} is a link-local or metadata address",
                    address.ip()
                )));
                continue;
            }
            let attempt = TcpStream::connect(address);
            let connected = if index + 1 == addresses.len() {
                attempt.await
            } else {
                tokio::time::timeout(ONE_OF_SEVERAL, attempt)
                    .await
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            };
            match connected {
                Ok(stream) => return self.begin(stream, to).await,
                Err(error) => failure = Some(Failure::Refused(format!("{address}: {error}"))),
            }
        }
        Err(failure.unwrap_or_else(|| Failure::Final(format!("no address for {}", url.host))))
    }

    async fn begin(&self, stream: TcpStream, to: &DestinationSpec) -> Result<SendRequest<FramesBody>, Failure> {
        stream.set_nodelay(true).map_err(|error| broken(&error))?;
        match &to.tls {
            None => self.drive(stream).await,
            // Boxed: a handshake is rare and large, and the future of every request would be as large.
            Some(tls) => {
                Box::pin(async {
                    let stream = tls.greet(stream).await.map_err(Failure::Final)?;
                    self.drive(stream).await
                })
                .await
            }
        }
    }

    async fn drive<S>(&self, stream: S) -> Result<SendRequest<FramesBody>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = self
            .http
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        self.drivers.spawn(async move {
            // Its error is the one that the request in flight gets; an idle connection's end is nobody's loss.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

fn broken(error: &dyn std::fmt::Display) -> Failure {
    Failure::Final(format!("the connection broke at once: {error}"))
}

/// Where a cloud hands out credentials: link-local addresses, and the metadata services that live elsewhere.
pub(super) fn is_forbidden(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_forbidden_v4(v4),
        IpAddr::V6(v6) => {
            const AWS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            const GOOGLE: Ipv6Addr = Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254);
            let behind_nat64 = match v6.octets() {
                [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d)),
                _ => None,
            };
            v6.is_unicast_link_local() || v6 == AWS || v6 == GOOGLE || behind_nat64.is_some_and(is_forbidden_v4)
        }
    }
}

fn is_forbidden_v4(address: Ipv4Addr) -> bool {
    const ALIBABA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    const AZURE: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
    const ORACLE: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 192);
    address.is_link_local() || [ALIBABA, AZURE, ORACLE].contains(&address)
}

#[cfg(test)]
mod tests {
    use super::is_forbidden;

    #[test]
    fn link_local_and_metadata_addresses_are_refused_in_every_spelling() {
        for (address, forbidden) in [
            ("169.254.169.254", true),
            ("169.254.0.1", true),
            ("::ffff:169.254.169.254", true),
            ("64:ff9b::a9fe:a9fe", true),
            ("fe80::1", true),
            ("fd00:ec2::254", true),
            ("fd20:ce::254", true),
            ("100.100.100.200", true),
            ("168.63.129.16", true),
            ("192.0.0.192", true),
            ("127.0.0.1", false),
            ("::1", false),
            ("10.0.0.1", false),
            ("64:ff9b::a00:1", false),
            ("fd00::1", false),
            ("203.0.113.7", false),
        ] {
            assert_eq!(is_forbidden(address.parse().expect(address)), forbidden, "{address}");
        }
    }
}
