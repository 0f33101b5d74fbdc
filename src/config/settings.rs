//! The configuration as it is used: validated, comparable, and unable to be wrong.

use crate::{
    event::{Glob, PathRule, Secret, SourceName},
    limit::{LimitSpec, PenaltySpec},
    provider::{KeyText, Options, Preset},
    replay::{OnOutage, ReplayPolicy},
    store::{Access, Place},
    tls::ServerTls,
    upstream::{DestinationSpec, Route},
};
use ipnet::IpNet;
use std::{fmt, net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

/// A whole configuration.
#[derive(Clone, PartialEq)]
pub struct Settings {
    /// Webhooks.
    pub listen: Listen,
    /// Probes and metrics, read only.
    pub health: SocketAddr,
    /// Page and JSON API.
    pub admin: Admin,
    /// Accepted `Host`s, lower case, without port; empty: all.
    pub hosts: Vec<String>,
    /// Redis; `None`: the ledger lives in this process.
    pub redis: Option<Redis>,
    /// Where small things survive a restart; `None`: nowhere but in Redis.
    pub state_dir: Option<PathBuf>,
    /// Whose forwarding headers are believed.
    pub client_ip: ClientIp,
    /// Bounds of the process.
    pub limits: Limits,
    /// What `/readyz` waits for beside the sidecar itself.
    pub ready_requires: ReadyRequires,
    /// The senders, in the order of the file.
    pub sources: Vec<SourceSettings>,
    /// Every destination that a source names, the plain upstream among them.
    pub destinations: Vec<Arc<DestinationSpec>>,
    /// Files that this configuration was read from: itself and every secret file; what a watcher looks at.
    pub files: Vec<PathBuf>,
}

/// `listen`.
#[derive(Clone, PartialEq, Eq)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// TLS ends here; `None`: plain HTTP.
    pub tls: Option<ServerTls>,
    /// Every connection of a trusted peer begins with a PROXY header.
    pub proxy_protocol: bool,
    /// A path that answers 200 (503 while draining), uncounted, for load balancers that probe the webhook port.
    pub health_path: Option<String>,
}

/// `admin`.
#[derive(Clone, PartialEq, Eq)]
pub struct Admin {
    /// Address and port.
    pub address: SocketAddr,
    /// The token that a non-loopback address needs.
    pub token: Option<Secret>,
}

/// `redis`.
#[derive(Clone, PartialEq, Eq)]
pub struct Redis {
    /// Which servers.
    pub place: Place,
    /// Database number.
    pub database: i64,
    /// Logins and certificates, which a reload replaces while the process runs.
    pub access: Access,
    /// Part of every key.
    pub namespace: String,
    /// Time for one call.
    pub timeout: Duration,
}

/// `client_ip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIp {
    /// Hops that are believed.
    pub trust: Vec<IpNet>,
    /// `trust: []` is stated: clients connect directly.
    pub direct: bool,
    /// The header that they write: `x-forwarded-for` or `forwarded`.
    pub header: http::HeaderName,
}

/// `limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections on the webhook port.
    pub connections: usize,
    /// Requests between gate and answer.
    pub in_flight: usize,
    /// All bodies in memory together, bytes.
    pub buffered_bytes: u64,
    /// The longest answer of an app that is handed through, bytes.
    pub answer_bytes: u64,
    /// Time for a request head.
    pub header_timeout: Duration,
    /// Time for a body.
    pub body_timeout: Duration,
    /// Time to finish after SIGTERM.
    pub shutdown_grace: Duration,
    /// Penalty for failed verifications; `None`: off.
    pub failed_verifications: Option<PenaltySpec>,
    /// Records of the in-process ledger.
    pub ledger_entries: NonZeroUsize,
    /// Worker threads.
    pub workers: NonZeroUsize,
}

/// `ready_requires`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadyRequires {
    /// Not ready while Redis is out.
    pub redis: bool,
    /// Not ready while a required destination refuses connections.
    pub upstream: bool,
}

impl SourceSettings {
    /// Does it leave it to the provider to publish its keys? A pinned one that is missing now must not change who is
    /// believed.
    pub fn pins_nothing(&self) -> bool {
        self.secrets.is_empty() && self.unavailable.is_none()
    }
}

/// One of `sources`.
#[derive(Clone, PartialEq)]
pub struct SourceSettings {
    /// Its name.
    pub name: SourceName,
    /// The preset it uses (for `custom`: the inline one).
    pub preset: Arc<Preset>,
    /// What it adds to the preset.
    pub options: Options,
    /// Its paths.
    pub paths: Vec<PathRule>,
    /// Its secrets, newest first; empty for `provider: none`, where the provider's keys are fetched, and while
    /// `on_missing_secret: unavailable` lacks one.
    pub secrets: Vec<SourceSecret>,
    /// A secret that the source cannot do without is missing and `on_missing_secret: unavailable`: the source answers 503.
    pub unavailable: Option<String>,
    /// Why some of its secrets cannot be read now, while it serves with the others (`on_missing_secret: unavailable`).
    pub missing: Vec<String>,
    /// Why some of its secrets could not be read at this reload: these are still what they were before.
    pub kept: Vec<String>,
    /// Client networks that may use it; empty: all.
    pub allow_from: Vec<IpNet>,
    /// Events that are forwarded; empty: all.
    pub events: Vec<Glob>,
    /// Where its deliveries go, at least one of them required.
    pub to: Vec<Route>,
    /// The longest body, bytes.
    pub max_body: u64,
    /// Its replay ledger; `None`: off.
    pub replay: Option<ReplayPolicy>,
    /// Its rate limit; `None`: off.
    pub rate_limit: Option<LimitSpec>,
    /// What happens while Redis is out.
    pub on_outage: OnOutage,
}

/// A secret with its label.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceSecret {
    /// Its text.
    pub text: KeyText,
    /// Its `id`, else its index: the metric label.
    pub label: String,
    /// Where it was read from.
    pub origin: Origin,
    /// From this wall-clock second on it does not verify any more (Unix time).
    pub not_after: Option<i64>,
}

/// Where a secret was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file, as written.
    File(String),
    /// An environment variable.
    Variable(String),
    /// The configuration itself.
    Inline,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(path),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Inline => f.write_str("in this file"),
        }
    }
}
