//! Where Redis is, in every form that people run it, and how to get in.

use crate::{event::Secret, tls::ClientTls};
use std::{fmt, path::PathBuf, time::Duration};

/// Where Redis is and how to get in.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Which servers.
    pub place: Place,
    /// Database number; 0 in a Cluster.
    pub database: i64,
    /// How to get in; may be replaced while connections stand.
    pub access: Access,
    /// Time for one call.
    pub timeout: Duration,
    /// Commands under way at once on one connection; at least the requests that one worker may have in flight.
    pub in_flight: usize,
}

/// Which servers keep the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// One server.
    Server(Server),
    /// One server on this machine, by the path of its socket.
    Unix(PathBuf),
    /// The server that the sentinels call the master of this name.
    Sentinel {
        /// The name.
        master: String,
        /// Some or all of the sentinels.
        sentinels: Vec<Server>,
    },
    /// A Cluster, known by some of its nodes.
    Cluster(Vec<Server>),
}

/// Host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Server {
    /// Host name or address; an IPv6 address has no brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// What is shown to get in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// To the servers that keep records.
    pub login: Login,
    /// To the sentinels.
    pub sentinel: Login,
    /// How to speak TLS; `None`: in the clear.
    pub tls: Option<ClientTls>,
}

/// A user and a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// ACL user; `None`: the default user.
    pub username: Option<String>,
    /// Password; Redis takes text only.
    pub password: Option<Secret>,
}

/// Why a target cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Redis takes UTF-8 passwords only.
    #[error("the password of Redis is not UTF-8 text")]
    Password,
    /// Its certificates or keys are refused.
    #[error("TLS to Redis cannot be spoken: {0}")]
    Tls(#[from] crate::tls::TlsError),
    /// No server is named.
    #[error("no server of Redis is named")]
    Nobody,
}

impl Target {
    /// One server in the clear, without a login: database 0, 100 ms for a call, 1024 commands under way.
    pub fn server(host: impl Into<String>, port: u16) -> Self {
        Self::at(Place::Server(Server::new(host, port)))
    }

    /// The same for any form.
    pub fn at(place: Place) -> Self {
        Self {
            place,
            database: 0,
            access: Access::default(),
            timeout: Duration::from_millis(100),
            in_flight: 1024,
        }
    }
}

impl Server {
    /// From its parts.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    /// As Redis writes it (`host:port`, no brackets). An empty host is that of the server which wrote it.
    pub(super) fn parse(text: &str, writer: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self::new(
            if host.is_empty() { writer } else { host },
            port.parse().ok()?,
        ))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |servers: &[Server]| servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Server(server) => server.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Sentinel { master, sentinels } => write!(f, "{master} of the sentinels {}", list(sentinels)),
            Self::Cluster(seeds) => write!(f, "the Cluster at {}", list(seeds)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_redis_writes_them_and_shown_as_people_do() {
        let read = |text| Server::parse(text, "10.0.0.9");
        assert_eq!(read("10.0.0.1:7000"), Some(Server::new("10.0.0.1", 7000)));
        assert_eq!(read(":7000"), Some(Server::new("10.0.0.9", 7000)));
        assert_eq!(read("fd00::1:7000"), Some(Server::new("fd00::1", 7000)));
        assert_eq!((read("h"), read("h:"), read("h:70000")), (None, None, None));
        assert_eq!(Server::new("fd00::1", 1).to_string(), "[fd00::1]:1");
        let sentinels = vec![Server::new("a", 1), Server::new("b", 2)];
        let place = Place::Sentinel {
            master: "m".to_owned(),
            sentinels,
        };
        assert_eq!(place.to_string(), "m of the sentinels a:1, b:2");
    }
}
