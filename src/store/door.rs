//! How a connection is opened: TCP, TLS or a Unix socket, then the login. Credentials and certificates may be replaced
//! while the process runs.

use super::{
    pipe::{Pipe, is_broken},
    target::{Access, Login, Place, Server, Target, TargetError},
    within,
};
use arc_swap::ArcSwap;
use redis::{Cmd, ErrorKind, RedisError, cmd};
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
    ring: ArcSwap<Ring>,
    database: i64,
    in_flight: usize,
    numbers: AtomicU64,
}

/// The keys, and those that they replaced: a server may learn of the new ones later than we do.
struct Ring {
    keys: Arc<Keys>,
    replaced: Option<Arc<Keys>>,
}

/// [`Access`], as the libraries take it.
struct Keys {
    /// Counts the replacements.
    age: u64,
    records: Login,
    sentinel: Login,
    tls: Option<(crate::tls::ClientTls, Arc<ClientConfig>)>,
}

/// An open connection and what keeps it going.
pub(super) struct Opened {
    pub(super) pipe: Pipe,
    pub(super) driver: Leash,
    pub(super) number: u64,
    /// The age of the keys it was opened with.
    pub(super) age: u64,
}

/// Keeps a connection's driver going. Without it a server that hangs would keep the socket open for ever.
pub(super) struct Leash(AbortHandle);

impl Drop for Leash {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a connection was not opened.
struct Refusal {
    reason: String,
    /// Somebody is there and does not let us in: other keys may fit.
    at_door: bool,
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
            ring: ArcSwap::from_pointee(Ring {
                keys: Arc::new(Keys::new(&target.access, 0)?),
                replaced: None,
            }),
            database: target.database,
            in_flight: target.in_flight,
            numbers: AtomicU64::new(0),
        })
    }

    /// New connections are opened with these; with the ones before them only while these do not fit.
    pub(super) fn replace(&self, access: &Access) -> Result<(), TargetError> {
        let replaced = Arc::clone(&self.ring.load().keys);
        let keys = Keys::new(access, replaced.age + 1)?;
        self.ring.store(Arc::new(Ring {
            keys: Arc::new(keys),
            replaced: Some(replaced),
        }));
        Ok(())
    }

    /// The age of the keys that connections should be opened with.
    pub(super) fn age(&self) -> u64 {
        self.ring.load().keys.age
    }

    /// Opens a connection; its driver runs as one of `tasks`. The error never holds a password. A `strict` one is opened
    /// with the newest keys or not at all.
    pub(super) async fn open(
        &self,
        to: &Endpoint,
        role: Role,
        tasks: &TaskTracker,
        strict: bool,
    ) -> Result<Opened, String> {
        let ring = self.ring.load_full();
        let opening = async {
            let refusal = match self.open_with(&ring.keys, to, role, tasks).await {
                Ok(opened) => return Ok(opened),
                Err(refusal) => refusal,
            };
            match &ring.replaced {
                Some(keys) if refusal.at_door && !strict => {
                    self.open_with(keys, to, role, tasks).await.map_err(|_| refusal.reason)
                }
                _ => Err(refusal.reason),
            }
        };
        within(CONNECT, opening)
            .await
            .unwrap_or_else(|| Err(format!("no connection within {CONNECT:?}")))
    }

    async fn open_with(&self, keys: &Keys, to: &Endpoint, role: Role, tasks: &TaskTracker) -> Result<Opened, Refusal> {
        let stream = keys.stream(to).await?;
        let (pipe, driver) = Pipe::new(stream, self.in_flight);
        let opened = Opened {
            pipe,
            driver: Leash(tasks.spawn(driver.run()).abort_handle()),
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            age: keys.age,
        };
        let (login, database) = match role {
            Role::Records => (&keys.records, self.database),
            Role::Sentinel => (&keys.sentinel, 0),
        };
        let entered = enter(&opened.pipe, login, database, keys.tls.is_some()).await;
        entered.map_err(|error| Refusal {
            reason: super::in_redis_words(&error),
            at_door: true,
        })?;
        Ok(opened)
    }
}

impl Keys {
    fn new(access: &Access, age: u64) -> Result<Self, TargetError> {
        let tls = match &access.tls {
            None => None,
            Some(tls) => Some((tls.clone(), tls.config(&[])?)),
        };
        Ok(Self {
            age,
            records: login(&access.login)?,
            sentinel: login(&access.sentinel)?,
            tls,
        })
    }

    async fn stream(&self, to: &Endpoint) -> Result<Box<dyn Stream>, Refusal> {
        let away = |error: std::io::Error| Refusal {
            reason: error.to_string(),
            at_door: false,
        };
        let server = match to {
            Endpoint::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await.map_err(away)?)),
            Endpoint::Server(server) => server,
        };
        let tcp = TcpStream::connect((server.host.as_str(), server.port))
            .await
            .map_err(away)?;
        tcp.set_nodelay(true).map_err(away)?;
        let Some((tls, config)) = &self.tls else {
            return Ok(Box::new(tcp));
        };
        let refused = |reason: &dyn std::fmt::Display| Refusal {
            reason: format!("TLS: {reason}"),
            at_door: true,
        };
        let name = tls.name_for(&server.host).map_err(|error| refused(&error))?;
        let connector = TlsConnector::from(Arc::clone(config));
        let tls = connector.connect(name, tcp).await;
        Ok(Box::new(tls.map_err(|error| refused(&error))?))
    }
}

/// Redis takes text only.
fn login(login: &Login) -> Result<Login, TargetError> {
    match &login.password {
        Some(password) if std::str::from_utf8(password.expose()).is_err() => Err(TargetError::Password),
        _ => Ok(login.clone()),
    }
}

/// The first words on a connection, in one go.
async fn enter(pipe: &Pipe, login: &Login, database: i64, tls: bool) -> Result<(), RedisError> {
    let auth = login.password.as_ref().map(|password| {
        let mut auth = cmd("AUTH");
        if let Some(username) = &login.username {
            auth.arg(username);
        }
        auth.arg(password.expose());
        auth
    });
    let select = (database != 0).then(|| {
        let mut select = cmd("SELECT");
        select.arg(database);
        select
    });
    // In TLS 1.3 a server refuses our certificate only after our end of the handshake: with its first word.
    let ping = (tls && auth.is_none() && select.is_none()).then(|| cmd("PING"));
    let say = async |command: Option<Cmd>| match command {
        Some(command) => pipe.ask(&command).await.map(drop),
        None => Ok(()),
    };
    let (auth, select, ping) = tokio::join!(say(auth), say(select), say(ping));
    auth.map_err(|error| match error.detail() {
        Some(detail) if !is_broken(&error) => {
            let refused = "Password authentication failed";
            (ErrorKind::AuthenticationFailed, refused, detail.to_owned()).into()
        }
        _ => error,
    })?;
    select?;
    // Whatever it says to a PING, it speaks with us.
    ping.or_else(|error| if is_broken(&error) { Err(error) } else { Ok(()) })
}
