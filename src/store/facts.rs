//! What a Redis is like: version, eviction, persistence, clock; asked once by `check`, never on the hot path.

use super::{
    Place, Target,
    cluster::{Cluster, Healths},
    door::Door,
    in_redis_words,
    line::{Goal, Line, Lines},
    path::{Path, Way},
    sentinel::Sentinels,
    within,
};
use crate::event::{Clock, Timestamp};
use futures_util::future::join_all;
use redis::{Cmd, FromRedisValue, cmd};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Longer than a call of the hot path may take: a slow Redis is to be told from one that is away.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a Redis says about itself. What its access rules forbid to ask is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Time for a `PING` on a connection that stands.
    pub round_trip: Duration,
    /// Product and version: `Redis 7.0.15`, `Valkey 8.1.0`.
    pub version: Option<String>,
    /// Milliseconds by which its clock is ahead of ours (negative: behind), give or take the round trip.
    pub ahead_millis: Option<i64>,
    /// `maxmemory-policy`: what it does when its memory is full.
    pub eviction: Option<String>,
    /// `maxmemory`, bytes; 0 is no limit.
    pub memory_limit: Option<u64>,
    /// Memory in use, bytes.
    pub memory_used: Option<u64>,
    /// Is every write appended to a file?
    pub appends: Option<bool>,
    /// Are snapshots taken (`save` is not empty)?
    pub snapshots: Option<bool>,
    /// It is a replica, which takes no writes.
    pub is_replica: bool,
    /// It is a node of a Cluster.
    pub is_cluster: bool,
    /// Replicas that follow it now.
    pub replicas: Option<u64>,
    /// `min-replicas-to-write`: with fewer it takes no writes.
    pub min_replicas: Option<u64>,
    /// Why it refuses writes now, if its last snapshot failed or it is still loading.
    pub refuses: Option<String>,
    /// Every configured sentinel, and the master that it names.
    pub sentinels: Vec<(String, Result<String, String>)>,
    /// As a Cluster; what stands beside it is that of the first node that answered.
    pub cluster: Option<ClusterFacts>,
}

/// What a Cluster is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// `cluster_state`.
    pub state: Option<String>,
    /// Slots that a node serves, of 16384.
    pub served: usize,
    /// Every node that serves slots, and what it says.
    pub nodes: Vec<(String, Result<Facts, String>)>,
}

impl Facts {
    /// Asks. The error says why there is no answer.
    pub async fn ask(target: &Target, clock: &dyn Clock) -> Result<Self, String> {
        let door = Arc::new(Door::new(target).map_err(|error| error.to_string())?);
        match &target.place {
            Place::Server(_) | Place::Unix(_) => match Path::new(&target.place, &door) {
                Path::One(lines) => patiently(of_one(&lines, clock)).await,
                Path::Cluster(_) => unreachable!("it is one server"),
            },
            Place::Sentinel { master, sentinels } => {
                let sentinels = Arc::new(Sentinels::new(master, sentinels.iter().cloned(), &door));
                let told = sentinels.answers().await;
                let lines = Arc::new(Lines::new(Goal::Master(Arc::clone(&sentinels)), door));
                let facts = patiently(of_one(&lines, clock)).await;
                Ok(Self {
                    sentinels: told
                        .into_iter()
                        .map(|(sentinel, named)| (sentinel.to_string(), named.map(|named| named.to_string())))
                        .collect(),
                    ..facts?
                })
            }
            Place::Cluster(seeds) => {
                let cluster = Arc::new(Cluster::new(door, Arc::new(Healths::default()), seeds));
                patiently(async { cluster.node(b"").await.map(drop) })
                    .await
                    .or_else(|reason| {
                        // Some slot is served by nobody: the others tell.
                        if cluster.is_known() { Ok(()) } else { Err(reason) }
                    })?;
                of_cluster(&cluster, clock).await
            }
        }
    }
}

async fn patiently<T>(asking: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    within(PATIENCE, asking)
        .await
        .unwrap_or_else(|| Err(format!("nothing within {PATIENCE:?}")))
}

async fn of_cluster(cluster: &Cluster, clock: &dyn Clock) -> Result<Facts, String> {
    let (masters, served) = cluster.masters();
    let asked = masters.iter().map(async |node| {
        let facts = patiently(of_one(&node.lines, clock)).await;
        (node.server.to_string(), facts)
    });
    let nodes = join_all(asked).await;
    let first = nodes.iter().find_map(|(_, facts)| facts.as_ref().ok()).cloned();
    let Some(first) = first else {
        let reason = nodes.into_iter().find_map(|(_, facts)| facts.err());
        return Err(reason.unwrap_or_else(|| "no node serves anything".to_owned()));
    };
    let mut state = None;
    for node in &masters {
        let info = patiently(async {
            let line = Way::Node(Arc::clone(node)).line().await?;
            let mut question = cmd("CLUSTER");
            question.arg("INFO");
            call::<String>(&line, &question).await
        });
        if let Ok(info) = info.await {
            let said = info.lines().find_map(|line| line.strip_prefix("cluster_state:"));
            state = said.map(|state| state.trim().to_owned());
            break;
        }
    }
    Ok(Facts {
        cluster: Some(ClusterFacts { state, served, nodes }),
        ..first
    })
}

async fn of_one(lines: &Arc<Lines>, clock: &dyn Clock) -> Result<Facts, String> {
    let line = lines.line().await?;
    let asked = clock.monotonic();
    call::<String>(&line, &cmd("PING")).await?;
    let mut facts = Facts {
        round_trip: clock.monotonic().since(asked),
        ..Facts::default()
    };
    if let Ok((seconds, micros)) = call::<(i64, i64)>(&line, &cmd("TIME")).await {
        let theirs = Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(micros / 1000));
        facts.ahead_millis = Some(theirs.millis_since(clock.wall()));
    }
    if let Ok(info) = call::<String>(&line, &cmd("INFO")).await {
        facts.read(&info);
    }
    facts.snapshots = config(&line, "save").await.map(|points| !points.is_empty());
    let least = config(&line, "min-replicas-to-write").await;
    facts.min_replicas = least.and_then(|least| least.parse().ok());
    Ok(facts)
}

/// `None` where `CONFIG` may not be used, as in most managed Redis.
async fn config(line: &Line, key: &str) -> Option<String> {
    let mut get = cmd("CONFIG");
    get.arg("GET").arg(key);
    call::<HashMap<String, String>>(line, &get).await.ok()?.remove(key)
}

async fn call<T: FromRedisValue>(line: &Line, command: &Cmd) -> Result<T, String> {
    let answer = line.pipe.ask(command).await;
    let answer = answer.and_then(|answer| Ok(T::from_redis_value(answer)?));
    answer.map_err(|error| in_redis_words(&error))
}

impl Facts {
    /// Takes what it needs from the text of `INFO`.
    fn read(&mut self, info: &str) {
        let fields: HashMap<&str, &str> = info
            .lines()
            .filter_map(|line| line.trim_end().split_once(':'))
            .collect();
        let text = |name: &str| fields.get(name).map(|value| (*value).to_owned());
        let number = |name: &str| fields.get(name)?.parse().ok();
        let is = |name: &str, value: &str| fields.get(name) == Some(&value);
        // Valkey states the version of Redis that it is compatible with as `redis_version`.
        self.version = match (fields.get("valkey_version"), fields.get("server_name")) {
            (Some(version), _) => Some(format!("Valkey {version}")),
            (None, Some(&"valkey")) => Some("Valkey".to_owned()),
            (None, _) => fields.get("redis_version").map(|version| format!("Redis {version}")),
        };
        self.eviction = text("maxmemory_policy");
        self.memory_limit = number("maxmemory");
        self.memory_used = number("used_memory");
        self.appends = fields.get("aof_enabled").map(|enabled| *enabled == "1");
        self.is_replica = is("role", "slave");
        self.is_cluster = is("cluster_enabled", "1");
        self.replicas = number("connected_slaves");
        self.refuses = if is("loading", "1") {
            Some("it is still loading its data".to_owned())
        } else if is("rdb_last_bgsave_status", "err") {
            Some("its last snapshot failed, so it may refuse writes (MISCONF)".to_owned())
        } else {
            None
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_and_what_is_missing_stays_unknown() {
        let mut facts = Facts::default();
        facts.read(
            "# Server\r\nredis_version:7.0.15\r\nmaxmemory:1048576\r\nmaxmemory_policy:allkeys-lru\r\n\
             aof_enabled:0\r\nrole:slave\r\nloading:0\r\nrdb_last_bgsave_status:err\r\n\
             connected_slaves:2\r\n",
        );
        assert_eq!(facts.version.as_deref(), Some("Redis 7.0.15"));
        assert_eq!(facts.eviction.as_deref(), Some("allkeys-lru"));
        assert_eq!((facts.memory_limit, facts.memory_used), (Some(1 << 20), None));
        assert_eq!(
            (facts.appends, facts.is_replica, facts.is_cluster),
            (Some(false), true, false)
        );
        assert_eq!((facts.replicas, facts.min_replicas), (Some(2), None));
        assert!(facts.refuses.is_some_and(|why| why.contains("MISCONF")));
    }

    #[test]
    fn a_valkey_is_named_by_its_own_version() {
        let version = |info: &str| {
            let mut facts = Facts::default();
            facts.read(info);
            facts.version
        };
        let valkey = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\n";
        assert_eq!(version(valkey).as_deref(), Some("Valkey 8.1.0"));
        let hidden = "redis_version:7.2.4\r\nserver_name:valkey\r\n";
        assert_eq!(version(hidden).as_deref(), Some("Valkey"));
        assert_eq!(
            version("server_name:redis\r\nredis_version:7.4.1\r\n").as_deref(),
            Some("Redis 7.4.1")
        );
        assert_eq!(version("role:master\r\n"), None);
    }
}
