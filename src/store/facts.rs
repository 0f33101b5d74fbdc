//! What a Redis is like: version, eviction, persistence, clock; asked once by `check`, never on the hot path.

use super::{
    Target, in_redis_words,
    line::{Line, Lines},
    within,
};
use crate::event::{Clock, Timestamp};
use redis::{Cmd, FromRedisValue, cmd};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Longer than a call of the hot path may take: a slow Redis is to be told from one that is away.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a Redis says about itself. What its access rules forbid to ask is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Time for a `PING` on a connection that stands.
    pub round_trip: Duration,
    /// `7.0.15`.
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
    /// Why it refuses writes now, if its last snapshot failed or it is still loading.
    pub refuses: Option<String>,
}

impl Facts {
    /// Asks. The error says why there is no answer.
    pub async fn ask(target: &Target, clock: &dyn Clock) -> Result<Self, String> {
        let lines = Arc::new(Lines::new(target).map_err(|error| error.to_string())?);
        within(PATIENCE, ask(&lines, clock))
            .await
            .unwrap_or_else(|| Err(format!("nothing within {PATIENCE:?}")))
    }
}

async fn ask(lines: &Arc<Lines>, clock: &dyn Clock) -> Result<Facts, String> {
    let mut line = lines.line().await?;
    let asked = clock.monotonic();
    call::<String>(&mut line, &cmd("PING")).await?;
    let mut facts = Facts {
        round_trip: clock.monotonic().since(asked),
        ..Facts::default()
    };
    if let Ok((seconds, micros)) = call::<(i64, i64)>(&mut line, &cmd("TIME")).await {
        let theirs = Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(micros / 1000));
        facts.ahead_millis = Some(theirs.millis_since(clock.wall()));
    }
    if let Ok(info) = call::<String>(&mut line, &cmd("INFO")).await {
        facts.read(&info);
    }
    let mut save = cmd("CONFIG");
    save.arg("GET").arg("save");
    if let Ok(saved) = call::<HashMap<String, String>>(&mut line, &save).await {
        facts.snapshots = saved.get("save").map(|points| !points.is_empty());
    }
    Ok(facts)
}

async fn call<T: FromRedisValue>(line: &mut Line, command: &Cmd) -> Result<T, String> {
    let answer = command.query_async(&mut line.connection).await;
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
        self.version = text("redis_version");
        self.eviction = text("maxmemory_policy");
        self.memory_limit = number("maxmemory");
        self.memory_used = number("used_memory");
        self.appends = fields.get("aof_enabled").map(|enabled| *enabled == "1");
        self.is_replica = is("role", "slave");
        self.is_cluster = is("cluster_enabled", "1");
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
             aof_enabled:0\r\nrole:slave\r\nloading:0\r\nrdb_last_bgsave_status:err\r\n",
        );
        assert_eq!(facts.version.as_deref(), Some("7.0.15"));
        assert_eq!(facts.eviction.as_deref(), Some("allkeys-lru"));
        assert_eq!((facts.memory_limit, facts.memory_used), (Some(1 << 20), None));
        assert_eq!(
            (facts.appends, facts.is_replica, facts.is_cluster),
            (Some(false), true, false)
        );
        assert!(facts.refuses.is_some_and(|why| why.contains("MISCONF")));
    }
}
