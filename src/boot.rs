//! The composition root: Settings to a running sidecar. The only room that knows both Redis and hyper; a reload swaps here.

mod background;
mod control;
mod edge;
mod live;
mod operate;
mod probe;
mod proven;
mod reload;
mod surroundings;
mod tls_failures;
pub mod trial;
mod watch;
mod worker;

pub use crate::store::{ClusterFacts, Facts as RedisFacts};
pub use control::StatusControl;
pub use surroundings::{Port, Surroundings, Unreached};

use crate::{
    config::Settings,
    event::{Clock, DestinationName, Monotonic},
    limit::{Fetches, Forwards, Handshakes, InFlight, Penalties, Repeats, Rooms, Waits},
    pipeline::Shared,
    replay::{Flights, Recovery, Replays},
    server::{Listener, Occupancy, Shutdown},
    source::{Enrolments, Observers, Outcome, ProvenUrls},
    store,
    telemetry::{Level, Log, Metrics, Recent},
    upstream::Fetcher,
};
use arc_swap::ArcSwap;
use edge::Front;
use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};
use tls_failures::TlsFailures;
use tokio::sync::{Notify, watch as state};
use tokio_util::sync::CancellationToken;

/// What a sidecar is started with beside its settings.
pub struct Options {
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where it logs.
    pub log: Log,
    /// What it counts with.
    pub metrics: Arc<Metrics>,
    /// Reads the configuration anew, for a reload: when its files change, and on SIGHUP; the text of the error says what is wrong with it.
    pub reload: Option<Reload>,
    /// Brings what providers publish: certificates and key sets.
    pub fetcher: Fetcher,
    /// Take SIGTERM, SIGINT and SIGHUP as orders.
    pub signals: bool,
}

/// Reads the configuration anew; the argument is what is in force.
pub type Reload = Box<dyn Fn(&Settings) -> Result<Settings, String> + Send + Sync>;

/// Where a sidecar listens; ports that were 0 are the real ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Webhooks.
    pub webhooks: SocketAddr,
    /// Probes and metrics.
    pub health: SocketAddr,
    /// Page and JSON API.
    pub admin: SocketAddr,
}

/// How a sidecar ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Requests that the end of the grace cut.
    pub cut: usize,
}

/// Why a sidecar does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("{what} cannot listen on {address}: {source}")]
    Listen {
        /// `listen`, `health` or `admin`.
        what: &'static str,
        /// The address as configured.
        address: SocketAddr,
        /// The operating system's word.
        source: io::Error,
    },
    /// The settings contradict what the rooms accept.
    #[error("{0}")]
    Settings(String),
    /// No thread or runtime can be had.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// A running sidecar.
pub struct Sidecar {
    addresses: Addresses,
    core: Arc<Core>,
    workers: Vec<JoinHandle<io::Result<usize>>>,
    background: JoinHandle<()>,
    stop: CancellationToken,
}

/// What the workers, the control and the reload have in common.
struct Core {
    settings: ArcSwap<Settings>,
    shared: Arc<Shared>,
    front: ArcSwap<Front>,
    tls_failures: TlsFailures,
    occupancy: Arc<Occupancy>,
    shutdown: Shutdown,
    replays: Arc<Replays>,
    started: Monotonic,
    /// Where the workers listen.
    webhooks: SocketAddr,
    /// Required destinations that did not accept a connection lately; looked at only where `ready_requires` asks for it.
    unreachable: ArcSwap<Vec<DestinationName>>,
    reload: Option<Reload>,
    /// Somebody wants a reload.
    reload_asked: Notify,
    /// What the last one came to.
    reloads: state::Sender<Option<operate::ReloadReport>>,
}

impl Sidecar {
    /// Binds every address, then starts the workers and the background. Redis and the apps need not be there yet.
    pub fn start(settings: Settings, options: Options) -> Result<Self, StartError> {
        let Options {
            clock,
            log,
            metrics,
            reload,
            fetcher,
            signals,
        } = options;
        let listeners = Listener::bind(settings.listen.address, settings.limits.workers)
            .map_err(|source| listen_error("listen", settings.listen.address, source))?;
        let health = bind(settings.health).map_err(|source| listen_error("health", settings.health, source))?;
        let admin =
            bind(settings.admin.address).map_err(|source| listen_error("admin", settings.admin.address, source))?;
        let addresses = Addresses {
            webhooks: listeners.first().expect("there is at least one worker").local_addr()?,
            health: health.local_addr()?,
            admin: admin.local_addr()?,
        };
        let (replays, recovery) = ledger(&settings, &clock)?;
        let live = live::live(&clock, &settings, &metrics, None).map_err(StartError::Settings)?;
        let front = Front::new(&settings, None).map_err(StartError::Settings)?;
        let penalties = settings.limits.failed_verifications;
        let observers = Observers {
            unknown: Arc::new(metrics.no_source(Outcome::LABELS)),
            clock: clock.clone(),
            log,
            recent: Recent::default(),
        };
        metrics.config_loaded(clock.wall());
        let tls_failures = TlsFailures::new(&metrics);
        let core = Arc::new(Core {
            shared: Arc::new(Shared {
                live: ArcSwap::from_pointee(live),
                observers,
                metrics,
                flights: Arc::new(Flights::new()),
                asides: Arc::default(),
                penalties: penalties.map(Penalties::new),
                repeats: Repeats::new(),
                forwards: Forwards::new(),
                handshakes: Handshakes::new(),
                fetches: Fetches::new(),
                proven: ProvenUrls::default(),
                fetcher: Arc::new(fetcher),
                enrolments: Enrolments::default(),
                in_flight: InFlight::new(settings.limits.in_flight as u64),
                waits: Waits::of(settings.limits.in_flight),
                buffered: Rooms::new(settings.limits.buffered_bytes),
                cut: CancellationToken::new(),
                draining: AtomicBool::new(false),
            }),
            front: ArcSwap::from_pointee(front),
            tls_failures,
            occupancy: Occupancy::new(settings.limits.connections, settings.limits.in_flight),
            shutdown: Shutdown::new(),
            started: clock.monotonic(),
            webhooks: addresses.webhooks,
            unreachable: ArcSwap::from_pointee(Vec::new()),
            replays,
            settings: ArcSwap::from_pointee(settings),
            reload,
            reload_asked: Notify::new(),
            reloads: state::Sender::new(None),
        });
        proven::read_file(&core);
        let workers = listeners
            .into_iter()
            .enumerate()
            .map(|(index, listener)| worker::start(index, listener, core.clone()))
            .collect::<io::Result<_>>()?;
        let stop = CancellationToken::new();
        let background = background::start(&core, recovery, health, admin, signals, stop.clone())?;
        Ok(Self {
            addresses,
            core,
            workers,
            background,
            stop,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Begins to drain, as SIGTERM does; [`Self::wait`] ends when it is done.
    pub fn drain(&self) {
        self.core.drain();
    }

    /// Ends at once: what is under way is cut.
    pub fn abort(self) -> Drained {
        self.core.drain();
        self.core.shutdown.cut();
        self.wait()
    }

    /// Waits until it has drained.
    pub fn wait(self) -> Drained {
        let mut drained = Drained::default();
        for worker in self.workers {
            match worker.join() {
                Ok(Ok(cut)) => drained.cut += cut,
                Ok(Err(error)) => self.core.log(Level::Error, "a worker failed", &error),
                Err(_) => self.core.log(Level::Error, "a worker failed", &"it panicked"),
            }
        }
        self.stop.cancel();
        if self.background.join().is_err() {
            self.core.log(Level::Error, "the background failed", &"it panicked");
        }
        self.core.shared.observers.log.flush();
        drained
    }
}

impl Core {
    fn become_unready(&self) {
        self.shared.draining.store(true, Ordering::SeqCst);
    }

    fn drain(&self) {
        self.become_unready();
        self.shutdown.drain();
    }

    fn log(&self, level: Level, text: &str, error: &dyn fmt::Display) {
        self.shared.observers.log.message(level, text, &[("error", error)]);
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn listen_error(what: &'static str, address: SocketAddr, source: io::Error) -> StartError {
    StartError::Listen { what, address, source }
}

fn ledger(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<(Arc<Replays>, Recovery), StartError> {
    let entries = settings.limits.ledger_entries;
    let Some(target) = store_target(settings) else {
        return Ok(Replays::in_process(clock.clone(), entries));
    };
    Replays::on_redis(clock.clone(), entries, &target).map_err(|error| StartError::Settings(error.to_string()))
}

fn store_target(settings: &Settings) -> Option<store::Target> {
    settings.redis.as_ref().map(|redis| store::Target {
        place: redis.place.clone(),
        database: redis.database,
        access: redis.access.clone(),
        timeout: redis.timeout,
        in_flight: settings.limits.in_flight,
    })
}
