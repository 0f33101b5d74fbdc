//! One worker's connection to Redis: made when it is needed, given up when it fails, made again by the next call.
//!
//! The client's own managed connection awaits its reconnects outside any deadline and never reconnects after a timeout;
//! a plain one with this supervision does what an outage needs.

use super::{Target, TargetError};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, aio::MultiplexedConnection,
    io::tcp::TcpSettings,
};
use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

/// Time for a connection, handshake included. Longer than a call: who gives up waiting leaves the attempt running, so a
/// far Redis is reached all the same.
const CONNECT: Duration = Duration::from_secs(1);

/// A connection that something was sent on. Its clones keep it open.
#[derive(Clone)]
pub struct Line {
    pub(super) connection: MultiplexedConnection,
    number: u64,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({})", self.number)
    }
}

pub(super) struct Lines {
    client: Client,
    config: AsyncConnectionConfig,
    slot: Mutex<Slot>,
    /// A connection attempt has ended.
    ended: Notify,
    tasks: TaskTracker,
    numbers: AtomicU64,
}

enum Slot {
    /// Nobody connects; why the last attempt failed.
    Idle(String),
    Connecting,
    Up(Line),
}

impl Lines {
    pub(super) fn new(target: &Target) -> Result<Self, TargetError> {
        let refused = |error: redis::RedisError| TargetError::Address {
            address: format!("{}:{}", target.host, target.port),
            reason: error.to_string(),
        };
        let mut login = RedisConnectionInfo::default()
            .set_db(target.database)
            .set_skip_set_lib_name();
        if let Some(username) = &target.username {
            login = login.set_username(username);
        }
        if let Some(password) = &target.password {
            login = login.set_password(std::str::from_utf8(password.expose()).map_err(|_| TargetError::Password)?);
        }
        let info = ConnectionAddr::Tcp(target.host.clone(), target.port)
            .into_connection_info()
            .map_err(refused)?
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(login);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(target.in_flight.max(1))
            .set_concurrency_limit(target.in_flight.max(1));
        Ok(Self::of(Client::open(info).map_err(refused)?, config))
    }

    /// To the same place, not connected.
    pub(super) fn another(&self) -> Self {
        Self::of(self.client.clone(), self.config.clone())
    }

    fn of(client: Client, config: AsyncConnectionConfig) -> Self {
        Self {
            client,
            config,
            slot: Mutex::new(Slot::Idle(String::new())),
            ended: Notify::new(),
            tasks: TaskTracker::new(),
            numbers: AtomicU64::new(0),
        }
    }

    /// The connection, or why there is none. Cancelling the wait does not cancel the attempt.
    pub(super) async fn line(self: &Arc<Self>) -> Result<Line, String> {
        let ended = self.ended.notified();
        {
            let mut slot = self.slot();
            match &*slot {
                Slot::Up(line) => return Ok(line.clone()),
                Slot::Connecting => {}
                Slot::Idle(_) => {
                    *slot = Slot::Connecting;
                    let lines = Arc::clone(self);
                    self.tasks.spawn(async move { lines.connect().await });
                }
            }
        }
        ended.await;
        match &*self.slot() {
            Slot::Up(line) => Ok(line.clone()),
            Slot::Idle(reason) => Err(reason.clone()),
            Slot::Connecting => Err("the connection broke at once".to_owned()),
        }
    }

    /// The next call gets another connection; calls under way on this one go on.
    pub(super) fn hang_up(&self, line: &Line) {
        let mut slot = self.slot();
        if matches!(&*slot, Slot::Up(current) if current.number == line.number) {
            *slot = Slot::Idle(String::new());
        }
    }

    async fn connect(&self) {
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&self.config)
            .await;
        *self.slot() = match connection {
            Ok(connection) => Slot::Up(Line {
                connection,
                number: self.numbers.fetch_add(1, Ordering::Relaxed),
            }),
            Err(error) => Slot::Idle(error.to_string()),
        };
        self.ended.notify_waiters();
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
