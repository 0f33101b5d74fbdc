//! The way from a key to the connection of the server that keeps it: one server, or that of the key's slot in a Cluster.

use super::{
    Breaker, Failure, Place,
    cluster::{Cluster, Healths, Node},
    door::{Door, Endpoint, Role},
    line::{Goal, Line, Lines},
    sentinel::Sentinels,
};
use redis::{ErrorKind, RedisError, ServerErrorKind};
use std::sync::Arc;

/// One worker's ways.
#[derive(Clone)]
pub(super) enum Path {
    /// All keys are at one server, whoever that is.
    One(Arc<Lines>),
    /// A key is at the node of its slot.
    Cluster(Arc<Cluster>),
}

/// To one server.
#[derive(Clone)]
pub(super) enum Way {
    One(Arc<Lines>),
    Node(Arc<Node>),
}

/// Another server serves the key.
pub(super) struct Redirect {
    pub(super) way: Way,
    /// It has to be told that it was sent.
    pub(super) asking: bool,
}

impl Path {
    pub(super) fn new(place: &Place, door: &Arc<Door>) -> Self {
        let goal = match place {
            Place::Server(server) => Goal::Fixed(Endpoint::Server(server.clone()), Role::Records),
            Place::Unix(path) => Goal::Fixed(Endpoint::Unix(path.clone()), Role::Records),
            Place::Sentinel { master, sentinels } => {
                Goal::Master(Arc::new(Sentinels::new(master, sentinels.iter().cloned(), door)))
            }
            Place::Cluster(seeds) => {
                let cluster = Cluster::new(Arc::clone(door), Arc::new(Healths::default()), seeds);
                return Self::Cluster(Arc::new(cluster));
            }
        };
        Self::One(Arc::new(Lines::new(goal, Arc::clone(door))))
    }

    /// The same, not connected.
    pub(super) fn another(&self) -> Self {
        match self {
            Self::One(lines) => Self::One(Arc::new(lines.another())),
            Self::Cluster(cluster) => Self::Cluster(Arc::new(cluster.another())),
        }
    }

    /// To the server of a key.
    pub(super) async fn to(&self, key: &[u8]) -> Result<Way, String> {
        match self {
            Self::One(lines) => Ok(Way::One(Arc::clone(lines))),
            Self::Cluster(cluster) => cluster.node(key).await.map(Way::Node),
        }
    }

    /// To every server that keeps records.
    pub(super) async fn everywhere(&self) -> Result<Vec<Way>, String> {
        match self {
            Self::One(lines) => Ok(vec![Way::One(Arc::clone(lines))]),
            Self::Cluster(cluster) => {
                cluster.node(b"").await?;
                Ok(cluster.masters().0.into_iter().map(Way::Node).collect())
            }
        }
    }

    /// Something is not as it was thought to be.
    pub(super) fn look_again(&self) {
        if let Self::Cluster(cluster) = self {
            cluster.refresh();
        }
    }

    /// Whom `MOVED` or `ASK` names.
    pub(super) fn redirected(&self, from: &Way, error: &RedisError) -> Option<Redirect> {
        let (Self::Cluster(cluster), Way::Node(node)) = (self, from) else {
            return None;
        };
        let (address, _) = error.redirect_node()?;
        let asking = error.kind() == ErrorKind::Server(ServerErrorKind::Ask);
        if !asking {
            cluster.refresh();
        }
        let way = Way::Node(cluster.named(address, &node.server)?);
        Some(Redirect { way, asking })
    }

    /// A call had none. One node of a Cluster is not the Cluster.
    pub(super) fn failed(&self, at: Option<&Way>, failure: &Failure, breaker: &Breaker) {
        let (cluster, node) = match (self, at) {
            (Self::Cluster(cluster), Some(Way::Node(node))) => (cluster, node),
            // Nobody serves that slot; the others are served.
            (Self::Cluster(cluster), _) if cluster.is_known() => return,
            _ => {
                breaker.failed();
                return;
            }
        };
        match failure {
            // Said of one slot, or of the whole Cluster; of the node neither.
            Failure::Refused(reason) if reason.starts_with("CLUSTERDOWN") => {
                if !reason.contains("slot not served") {
                    breaker.failed();
                }
            }
            _ => {
                if node.health.failed() {
                    cluster.look_for(node);
                    if cluster.is_out() {
                        breaker.trip();
                    }
                }
            }
        }
    }
}

impl Way {
    /// A call had an answer.
    pub(super) fn succeeded(&self) {
        if let Self::Node(node) = self {
            node.health.succeeded();
        }
    }

    /// Is it known that nobody answers there?
    pub(super) fn is_out(&self) -> bool {
        match self {
            Self::One(_) => false,
            Self::Node(node) => !node.health.is_closed(),
        }
    }

    pub(super) async fn line(&self) -> Result<Line, String> {
        match self {
            Self::One(lines) => lines.line().await,
            Self::Node(node) => node.lines.line().await,
        }
    }
}
