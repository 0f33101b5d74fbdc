//! Redis in all its forms: does it answer, does it keep what it is told, is there room?

use super::{GROUP, clock_check, millis, size};
use crate::{
    boot::{ClusterFacts, RedisFacts},
    cli::{
        check::report::{Check, Report},
        moment,
    },
    config::{Settings, settings::SourceSettings},
};
use std::{collections::BTreeMap, fmt::Write};

/// What a delivered record takes in Redis 7, bytes (measured with short names; its key and all overhead included).
const RECORD: u64 = 256;
/// Slots of a Cluster.
const SLOTS: usize = 16_384;

/// There is no answer.
pub(super) fn silent(settings: &Settings, reason: &str) -> Check {
    Check::problem(GROUP, "redis", format!("{} does not answer: {reason}", place(settings)))
        .with_hint("is it running, and may this pod reach it? Until then `on_outage` decides")
}

/// What it is like.
pub(super) fn found(settings: &Settings, facts: &RedisFacts, report: &mut Report) {
    let mut add = |check| report.add(check);
    let unknown = "unknown".to_owned();
    let version = facts.version.as_deref().unwrap_or("version unknown");
    let eviction = facts.eviction.as_ref().unwrap_or(&unknown);
    add(Check::ok(
        GROUP,
        "redis",
        format!(
            "{} PONG in {}, {version}, maxmemory-policy {eviction}",
            place(settings),
            millis(facts.round_trip)
        ),
    ));
    for (sentinel, named) in &facts.sentinels {
        add(match named {
            Ok(master) => Check::ok(GROUP, "redis", format!("sentinel {sentinel} names {master}")),
            Err(reason) => Check::warning(GROUP, "redis", format!("sentinel {sentinel} does not answer: {reason}")),
        });
    }
    if let [(sentinel, _)] = facts.sentinels.as_slice() {
        add(Check::warning(
            GROUP,
            "redis",
            format!("{sentinel} is the only sentinel that is named: without it nobody finds the master"),
        )
        .with_hint("name all of them in `redis.sentinel.urls`"));
    }
    if let Some(cluster) = &facts.cluster {
        health(cluster, report);
        for (what, nodes) in findings(cluster) {
            report.add(what.at(&nodes.join(", ")));
        }
    } else {
        if facts.is_cluster {
            let text = "it is a node of a Cluster, and the others are never asked";
            add(Check::problem(GROUP, "redis", text)
                .with_hint("name some of its nodes in `redis.urls` instead of `redis.url`"));
        }
        for finding in server(facts) {
            report.add(finding.at(""));
        }
    }
    if let Some(ahead) = facts.ahead_millis {
        report.add(clock_check(ahead));
    }
    let used = facts.memory_used.map_or_else(|| unknown.clone(), size);
    let limit = match facts.memory_limit {
        Some(0) => "no maxmemory".to_owned(),
        Some(limit) => format!("maxmemory {}", size(limit)),
        None => "maxmemory unknown".to_owned(),
    };
    let of = if facts.cluster.is_some() { " (one node)" } else { "" };
    report.add(Check::info(
        GROUP,
        "redis",
        format!("memory: {used} in use, {limit}{of}"),
    ));
    for source in &settings.sources {
        if let Some(check) = records(source) {
            report.add(check);
        }
    }
}

/// Is every slot served, by a node that answers?
fn health(cluster: &ClusterFacts, report: &mut Report) {
    let state = cluster.state.as_deref().unwrap_or("unknown");
    let text = format!(
        "Cluster: state {state}, {} of {SLOTS} slots served by {} masters",
        cluster.served,
        cluster.nodes.len()
    );
    report.add(if cluster.served < SLOTS || state == "fail" {
        Check::problem(GROUP, "redis", text)
            .with_hint("redis-cli --cluster check HOST:PORT; `on_outage` decides for the rest")
    } else {
        Check::ok(GROUP, "redis", text)
    });
    for (node, facts) in &cluster.nodes {
        if let Err(reason) = facts {
            let text = format!("node {node} does not answer: {reason}");
            report.add(
                Check::problem(GROUP, "redis", text)
                    .with_hint("may this pod reach every node, not only those that are named?"),
            );
        }
    }
}

/// Something to be said of a server.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    Replica,
    Refuses(String),
    Evicts(String),
    Appends,
    SnapshotsOnly,
    Forgets,
    MayNotAsk,
    Unfollowed(u64),
}

/// The same finding at several nodes is one line.
fn findings(cluster: &ClusterFacts) -> BTreeMap<Finding, Vec<String>> {
    let mut findings: BTreeMap<Finding, Vec<String>> = BTreeMap::new();
    for (node, facts) in &cluster.nodes {
        for finding in facts.iter().flat_map(server) {
            findings.entry(finding).or_default().push(node.clone());
        }
    }
    findings
}

fn server(facts: &RedisFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    if facts.is_replica {
        found.push(Finding::Replica);
    }
    if let Some(reason) = &facts.refuses {
        found.push(Finding::Refuses(reason.clone()));
    }
    if let Some(policy) = facts.eviction.as_ref().filter(|policy| *policy != "noeviction") {
        found.push(Finding::Evicts(policy.clone()));
    }
    found.push(match (facts.appends, facts.snapshots) {
        (Some(true), _) => Finding::Appends,
        (Some(false), Some(true)) => Finding::SnapshotsOnly,
        (Some(false), Some(false)) => Finding::Forgets,
        _ => Finding::MayNotAsk,
    });
    if let (Some(replicas @ 1..), Some(0)) = (facts.replicas, facts.min_replicas) {
        found.push(Finding::Unfollowed(replicas));
    }
    found
}

impl Finding {
    /// `nodes` is empty where there is one server.
    fn at(&self, nodes: &str) -> Check {
        let at = |text: String| {
            if nodes.is_empty() {
                text
            } else {
                format!("{nodes}: {text}")
            }
        };
        let problem = |text: &str| Check::problem(GROUP, "redis", at(text.to_owned()));
        let warning = |text: String| Check::warning(GROUP, "redis", at(text));
        let info = |text: &str| Check::info(GROUP, "redis", at(text.to_owned()));
        match self {
            Self::Replica => problem("it is a replica and refuses writes").with_hint("name its master in `redis.url`"),
            Self::Refuses(reason) => warning(reason.clone()),
            Self::Evicts(policy) => warning(format!(
                "maxmemory-policy {policy} may drop records when memory is full, and a dropped one can be replayed"
            ))
            .with_hint("CONFIG SET maxmemory-policy noeviction, or a Redis of its own for hookward"),
            Self::Appends => Check::ok(GROUP, "redis", at("persistence: appendonly".to_owned())),
            Self::SnapshotsOnly => info("persistence: snapshots only; a restart forgets what came after the last one"),
            Self::Forgets => warning(
                "persistence: none; a restart forgets every delivery, and each can then be replayed once".to_owned(),
            )
            .with_hint("CONFIG SET appendonly yes"),
            Self::MayNotAsk => info("persistence: may not be asked for"),
            Self::Unfollowed(replicas) => warning(format!(
                "min-replicas-to-write is 0 with {replicas} replicas: a master that is cut off from them still takes \
                 deliveries, and a failover forgets these"
            ))
            .with_hint("CONFIG SET min-replicas-to-write 1"),
        }
    }
}

/// How much a source's records take.
fn records(source: &SourceSettings) -> Option<Check> {
    let keep = source.replay.as_ref()?.keep;
    let days = keep.as_secs_f64() / 86_400.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an estimate, of a value that is positive"
    )]
    let of_thousand = (1000.0 * days * RECORD as f64) as u64;
    let mut text = format!(
        "records of {RECORD} B kept {}: {} for each 1000 deliveries a day",
        moment::span(keep),
        size(of_thousand)
    );
    if let Some(limit) = &source.rate_limit {
        let in_keep = u128::from(limit.rate.count) * keep.as_millis() / limit.rate.per.as_millis().max(1);
        let bytes = u64::try_from(in_keep).unwrap_or(u64::MAX).saturating_mul(RECORD);
        write!(text, ", {} at its full rate limit", size(bytes)).expect("writing to a String cannot fail");
    }
    Some(Check::info(GROUP, source.name.as_str(), text))
}

fn place(settings: &Settings) -> String {
    settings
        .redis
        .as_ref()
        .map(|redis| redis.place.to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::paint::Level;

    fn facts(change: impl FnOnce(&mut RedisFacts)) -> RedisFacts {
        let mut facts = RedisFacts {
            eviction: Some("noeviction".to_owned()),
            appends: Some(true),
            min_replicas: Some(0),
            replicas: Some(0),
            ..RedisFacts::default()
        };
        change(&mut facts);
        facts
    }

    fn worst(facts: &RedisFacts) -> Vec<Level> {
        server(facts).iter().map(|finding| finding.at("").level).collect()
    }

    #[test]
    fn what_loses_records_is_a_finding() {
        assert_eq!(worst(&facts(|_| ())), [Level::Ok]);
        for change in [
            (|facts| facts.eviction = Some("allkeys-lru".to_owned())) as fn(&mut RedisFacts),
            |facts| (facts.appends, facts.snapshots) = (Some(false), Some(false)),
            |facts| facts.replicas = Some(1),
            |facts| facts.refuses = Some("it is still loading its data".to_owned()),
        ] {
            assert!(worst(&facts(change)).contains(&Level::Warning));
        }
        let fenced = facts(|facts| (facts.replicas, facts.min_replicas) = (Some(2), Some(1)));
        assert_eq!(worst(&fenced), [Level::Ok]);
        assert!(worst(&facts(|facts| facts.is_replica = true)).contains(&Level::Problem));
    }

    #[test]
    fn the_nodes_of_a_cluster_share_a_line() {
        let node = |name: &str, facts| (name.to_owned(), facts);
        let evicts = |facts: &mut RedisFacts| facts.eviction = Some("allkeys-lfu".to_owned());
        let cluster = ClusterFacts {
            state: Some("ok".to_owned()),
            served: SLOTS,
            nodes: vec![
                node("a:1", Ok(facts(evicts))),
                node("b:1", Ok(facts(evicts))),
                node("c:1", Err("refused".to_owned())),
            ],
        };
        let findings: Vec<Vec<String>> = findings(&cluster).into_values().collect();
        assert_eq!(findings, [vec!["a:1", "b:1"], vec!["a:1", "b:1"]]);
    }
}
