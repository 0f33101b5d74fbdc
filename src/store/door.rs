//! How a connection is opened: TCP, TLS or a Unix socket, then the login. Credentials and certificates may be replaced
//! while the process runs.

use super::{
    target::{Access, Login, Place, Server, Target, TargetError},
    within,
};
use arc_swap::ArcSwap;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, aio::MultiplexedConnection};
use rustls::ClientConfig;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::AbortHandle,
};
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;

/// Time for a connection, handshakes included. Longer than a call: who gives up waiting leaves the attempt running, so a
/// far Redis is reached all the same.
pub(super) const CONNECT: Duration = Duration::from_secs(1);

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Endpoint {
    Server(Server),
    Unix(PathBuf),
}

/// Who it is that we talk to, which decides what we say on entering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It keeps records.
    Records,
    /// It knows who keeps them.
    Sentinel,
}

/// What all connections of the process are opened with.
pub(super) struct Door {
    keys: ArcSwap<Keys>,
    database: i64,
    in_flight: usize,
    /// Counts the replacements of `keys`.
    age: AtomicU64,
    numbers: AtomicU64,
}

/// [`Access`], as the libraries take it.
struct Keys {
    records: RedisConnectionInfo,
    sentinel: RedisConnectionInfo,
    tls: Option<(crate::tls::ClientTls, Arc<ClientConfig>)>,
}

/// An open connection and what keeps it going.
pub(super) struct Opened {
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: AbortHandle,
    pub(super) number: u64,
    /// The age of the keys it was opened with.
    pub(super) age: u64,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Door {
    pub(super) fn new(target: &Target) -> Result<Self, TargetError> {
        let servers = match &target.place {
            Place::Server(_) | Place::Unix(_) => 1,
            Place::Sentinel { sentinels, .. } => sentinels.len(),
            Place::Cluster(seeds) => seeds.len(),
        };
        if servers == 0 {
            return Err(TargetError::Nobody);
        }
        Ok(Self {
            keys: ArcSwap::from_pointee(Keys::new(&target.access, target.database)?),
            database: target.database,
            in_flight: target.in_flight.max(1),
            age: AtomicU64::new(0),
            numbers: AtomicU64::new(0),
        })
    }

    /// New connections are opened with these.
    pub(super) fn replace(&self, access: &Access) -> Result<(), TargetError> {
        self.keys.store(Arc::new(Keys::new(access, self.database)?));
        // After the keys: who sees the new age opens with them.
        self.age.fetch_add(1, Ordering::Release);
        Ok(())
    }

    pub(super) fn age(&self) -> u64 {
        self.age.load(Ordering::Acquire)
    }

    /// Opens a connection; its driver runs as one of `tasks`. The error never holds a password.
    pub(super) async fn open(&self, to: &Endpoint, role: Role, tasks: &TaskTracker) -> Result<Opened, String> {
        within(CONNECT, self.open_at_leisure(to, role, tasks))
            .await
            .unwrap_or_else(|| Err(format!("no connection within {CONNECT:?}")))
    }

    async fn open_at_leisure(&self, to: &Endpoint, role: Role, tasks: &TaskTracker) -> Result<Opened, String> {
        let age = self.age();
        let keys = self.keys.load_full();
        let stream = keys.stream(to).await?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(self.in_flight)
            .set_concurrency_limit(self.in_flight);
        let login = match role {
            Role::Records => &keys.records,
            Role::Sentinel => &keys.sentinel,
        };
        let opened = MultiplexedConnection::new_with_config(login, stream, config).await;
        let (connection, driver) = opened.map_err(|error| super::in_redis_words(&error))?;
        Ok(Opened {
            connection,
            driver: tasks.spawn(driver).abort_handle(),
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            age,
        })
    }
}

impl Keys {
    fn new(access: &Access, database: i64) -> Result<Self, TargetError> {
        let tls = match &access.tls {
            None => None,
            Some(tls) => Some((tls.clone(), tls.config(&[])?)),
        };
        Ok(Self {
            records: login(&access.login)?.set_db(database),
            sentinel: login(&access.sentinel)?,
            tls,
        })
    }

    async fn stream(&self, to: &Endpoint) -> Result<Box<dyn Stream>, String> {
        let said = |error: std::io::Error| error.to_string();
        let server = match to {
            Endpoint::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await.map_err(said)?)),
            Endpoint::Server(server) => server,
        };
        let tcp = TcpStream::connect((server.host.as_str(), server.port))
            .await
            .map_err(said)?;
        tcp.set_nodelay(true).map_err(said)?;
        let Some((tls, config)) = &self.tls else {
            return Ok(Box::new(tcp));
        };
        let name = tls.name_for(&server.host).map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(Arc::clone(config));
        let tls = connector.connect(name, tcp).await;
        Ok(Box::new(tls.map_err(|error| format!("TLS: {error}"))?))
    }
}

fn login(login: &Login) -> Result<RedisConnectionInfo, TargetError> {
    let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(username) = &login.username {
        info = info.set_username(username);
    }
    if let Some(password) = &login.password {
        info = info.set_password(std::str::from_utf8(password.expose()).map_err(|_| TargetError::Password)?);
    }
    Ok(info)
}
