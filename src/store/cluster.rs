//! A worker's way through a Cluster: which node a key is at, and a connection to each.
//!
//! Every command of ours has one key, so a map of slots and one [`Lines`] a node is all there is to it. The map is asked
//! for by the first call, after every `MOVED`, and whenever a node fails. What is known of a node's health is shared by
//! the workers of the process: a node that failed three times in a row is left alone until it takes writes again, and
//! only the keys of its slots are in an outage. The whole Cluster is out when it says so, when nobody tells the map, or
//! when every node is out.

mod node;
mod slots;

use super::{
    door::{Door, Endpoint, Role},
    line::{Goal, Lines},
    target::Server,
    within,
};
use arc_swap::ArcSwapOption;
use futures_util::{StreamExt, stream::FuturesUnordered};
pub(super) use node::{Healths, Node};
use node::{ask, takes_writes};
use slots::{Range, slot};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};
use tokio_util::task::TaskTracker;

/// How long the nodes may take to tell their maps.
const TELL: Duration = Duration::from_millis(500);
/// At least so long between two questions for the map.
const PAUSE: Duration = Duration::from_millis(100);
/// A node that is out is looked for this often.
const PROBE: Duration = Duration::from_millis(250);
/// So many nodes are asked for the map, at most.
const ASKED: usize = 16;

/// Who serves what, as of one moment.
struct Map {
    /// In order, each with its place in `nodes`.
    ranges: Vec<(Range, usize)>,
    nodes: Vec<Arc<Node>>,
}

pub(super) struct Cluster {
    door: Arc<Door>,
    healths: Arc<Healths>,
    seeds: Vec<Server>,
    map: ArcSwapOption<Map>,
    /// Every node that there is a connection to, those that a `MOVED` or `ASK` named among them.
    nodes: Mutex<HashMap<Server, Arc<Node>>>,
    /// Somebody wants a newer map.
    wanted: AtomicBool,
    asking: AtomicBool,
    /// Why nobody told the map.
    reason: Mutex<String>,
    /// An attempt to learn the map has ended.
    asked: Notify,
    tasks: TaskTracker,
}

impl Cluster {
    pub(super) fn new(door: Arc<Door>, healths: Arc<Healths>, seeds: &[Server]) -> Self {
        Self {
            door,
            healths,
            seeds: seeds.to_vec(),
            map: ArcSwapOption::empty(),
            nodes: Mutex::default(),
            wanted: AtomicBool::new(false),
            asking: AtomicBool::new(false),
            reason: Mutex::default(),
            asked: Notify::new(),
            tasks: TaskTracker::new(),
        }
    }

    pub(super) fn another(&self) -> Self {
        Self::new(Arc::clone(&self.door), Arc::clone(&self.healths), &self.seeds)
    }

    /// The node that serves a key, as far as is known; why nobody does. Cancelling the wait cancels nothing else.
    pub(super) async fn node(self: &Arc<Self>, key: &[u8]) -> Result<Arc<Node>, String> {
        if self.map.load().is_none() {
            let asked = self.asked.notified();
            self.refresh();
            if self.map.load().is_none() {
                asked.await;
            }
        }
        let map = self.map.load();
        let Some(map) = map.as_ref() else {
            return Err(format!("no node tells who serves what: {}", locked(&self.reason)));
        };
        let slot = slot(key);
        map.at(slot).map(Arc::clone).ok_or_else(|| {
            self.refresh();
            format!("no node serves slot {slot}")
        })
    }

    /// The node at an address, from `MOVED` or `ASK` of `writer`.
    pub(super) fn named(&self, address: &str, writer: &Server) -> Option<Arc<Node>> {
        Server::parse(address, &writer.host).map(|server| self.known(&server))
    }

    /// Is it known who serves what?
    pub(super) fn is_known(&self) -> bool {
        self.map.load().is_some()
    }

    /// The nodes that serve slots, and how many slots they serve.
    pub(super) fn masters(&self) -> (Vec<Arc<Node>>, usize) {
        let map = self.map.load();
        map.as_ref().map_or_else(Default::default, |map| {
            let served = map
                .ranges
                .iter()
                .map(|(range, _)| usize::from(range.last - range.first) + 1);
            (map.nodes.clone(), served.sum())
        })
    }

    /// Is every node out?
    pub(super) fn is_out(&self) -> bool {
        let map = self.map.load();
        map.as_ref()
            .is_some_and(|map| map.nodes.iter().all(|node| !node.health.is_closed()))
    }

    /// Asks for the map: at once, or [`PAUSE`] after the last time.
    pub(super) fn refresh(self: &Arc<Self>) {
        self.wanted.store(true, Ordering::SeqCst);
        if !self.asking.swap(true, Ordering::SeqCst) {
            let cluster = Arc::clone(self);
            self.tasks.spawn(async move {
                // Whoever wants it between the two looks finds `asking` false, or is seen by the second.
                while cluster.wanted.load(Ordering::SeqCst) {
                    while cluster.wanted.swap(false, Ordering::SeqCst) {
                        cluster.learn().await;
                        cluster.asked.notify_waiters();
                        sleep(PAUSE).await;
                    }
                    cluster.asking.store(false, Ordering::SeqCst);
                    if cluster.wanted.load(Ordering::SeqCst) && cluster.asking.swap(true, Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
    }

    /// Looks for a node that has just been found out until it takes writes, or serves nothing any more.
    pub(super) fn look_for(self: &Arc<Self>, node: &Arc<Node>) {
        let (cluster, node) = (Arc::downgrade(self), Arc::clone(node));
        tracing::warn!(node = %node.server, "a node of the Cluster is out: on_outage decides for its slots");
        self.tasks.spawn(async move {
            while let Some(key) = key_at(&cluster, &node) {
                sleep(PROBE).await;
                if takes_writes(&node, &key).await {
                    tracing::info!(node = %node.server, "the node of the Cluster answers again");
                    break;
                }
                if let Some(cluster) = cluster.upgrade() {
                    cluster.refresh();
                }
            }
            // Whoever is sent there again finds out anew.
            node.health.close();
        });
    }

    /// Asks every node that is known, and the seeds; the newest map of a majority of them counts.
    async fn learn(&self) {
        let mut servers: HashSet<Server> = self.seeds.iter().cloned().collect();
        if let Some(map) = self.map.load().as_ref() {
            servers.extend(map.nodes.iter().map(|node| node.server.clone()));
        }
        let nodes: Vec<_> = servers
            .into_iter()
            .take(ASKED)
            .map(|server| self.known(&server))
            .collect();
        let mut asking: FuturesUnordered<_> = nodes.iter().map(|node| ask(node)).collect();
        let (mut newest, mut answers, mut why): (Option<(u64, Vec<Range>)>, usize, _) = (None, 0, None);
        let telling = async {
            while let Some(answer) = asking.next().await {
                match answer {
                    Ok((epoch, ranges)) => {
                        answers += 1;
                        if newest.as_ref().is_none_or(|(newest, _)| epoch > *newest) {
                            newest = Some((epoch, ranges));
                        }
                        if answers * 2 > nodes.len() {
                            return;
                        }
                    }
                    Err(reason) => why = Some(reason),
                }
            }
        };
        // Those that do not answer in time have no say.
        let _late = within(TELL, telling).await;
        drop(asking);
        match newest {
            Some((_, ranges)) if !ranges.is_empty() => self.take(ranges),
            Some(_) => "no slot is assigned".clone_into(&mut locked(&self.reason)),
            None => *locked(&self.reason) = why.unwrap_or_else(|| format!("nothing within {TELL:?}")),
        }
    }

    fn take(&self, ranges: Vec<Range>) {
        let mut nodes: Vec<Arc<Node>> = Vec::new();
        let placed = ranges.into_iter().map(|range| {
            let known = nodes.iter().position(|node| node.server == range.master);
            let place = known.unwrap_or_else(|| {
                nodes.push(self.known(&range.master));
                nodes.len() - 1
            });
            (range, place)
        });
        let ranges = placed.collect();
        // Connections to nodes that serve nothing are closed, once nobody waits for an answer on them.
        locked(&self.nodes)
            .retain(|server, _| self.seeds.contains(server) || nodes.iter().any(|node| node.server == *server));
        self.healths.forget();
        self.map.store(Some(Arc::new(Map { ranges, nodes })));
    }

    fn known(&self, server: &Server) -> Arc<Node> {
        let mut nodes = locked(&self.nodes);
        if let Some(node) = nodes.get(server) {
            return Arc::clone(node);
        }
        let goal = Goal::Fixed(Endpoint::Server(server.clone()), Role::Records);
        let node = Arc::new(Node {
            server: server.clone(),
            lines: Arc::new(Lines::new(goal, Arc::clone(&self.door))),
            health: self.healths.of(server),
        });
        nodes.insert(server.clone(), Arc::clone(&node));
        node
    }
}

impl Map {
    fn at(&self, slot: u16) -> Option<&Arc<Node>> {
        let place = self.ranges.partition_point(|(range, _)| range.last < slot);
        let (range, node) = self.ranges.get(place)?;
        (range.first <= slot).then(|| &self.nodes[*node])
    }
}

/// A key that is no delivery's in a slot of this node; `None` if it serves none any more, or nobody needs to know.
fn key_at(cluster: &Weak<Cluster>, node: &Node) -> Option<String> {
    let cluster = cluster.upgrade()?;
    let map = cluster.map.load();
    let map = map.as_ref()?;
    let is_its = |slot| map.at(slot).is_some_and(|at| at.server == node.server);
    // A node with a single slot needs 16384 tries on average; this many miss it once in e^16.
    (0..1 << 18)
        .map(|number| format!("hw:{{probe:{number}}}"))
        .find(|key| is_its(slot(key.as_bytes())))
        .filter(|_| !map.ranges.is_empty())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
