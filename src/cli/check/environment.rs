//! The surroundings: Redis, every destination, our own ports, the clock, memory against the cgroup's limit.

use super::report::{Check, Report};
use crate::{
    boot::{Port, RedisFacts, Surroundings, Unreached},
    cli::moment,
    config::{self, Machine, Settings, settings::SourceSettings},
    event::Clock,
};
use std::{fmt::Write, io, time::Duration};

const GROUP: &str = "environment";
/// What a delivered record takes in Redis 7, bytes (measured with short names; its key and all overhead included).
const RECORD: u64 = 256;
/// What a record takes in the in-process ledger, bytes: about 8 MiB for the 65536 of the default.
const LOCAL_RECORD: u64 = 128;
/// Signed times are accepted or refused by our clock, leases end by Redis's; half a minute apart `stale` is not believed.
const SKEW_MILLIS: u64 = 30_000;
/// From here on it is worth saying.
const SKEW_NOTABLE_MILLIS: u64 = 2000;

pub(super) fn check(settings: &Settings, clock: &dyn Clock, report: &mut Report) -> io::Result<()> {
    let surroundings = Surroundings::look(settings, clock)?;
    match &surroundings.redis {
        Some(Ok(facts)) => redis(settings, facts, report),
        Some(Err(reason)) => report.add(
            Check::problem(
                GROUP,
                "redis",
                format!("{} does not answer: {reason}", redis_address(settings)),
            )
            .with_hint("is it running, and may this pod reach it? Until then `on_outage` decides"),
        ),
        None => report.add(Check::info(
            GROUP,
            "redis",
            format!(
                "none: the ledger lives in this process, {} deliveries in about {}",
                settings.limits.ledger_entries,
                size(settings.limits.ledger_entries.get() as u64 * LOCAL_RECORD)
            ),
        )),
    }
    for (destination, reached) in &surroundings.destinations {
        let url = &destination.url;
        let (name, address) = (destination.name.as_str(), authority(&url.host, url.port));
        report.add(match reached {
            Ok(took) => Check::ok(
                GROUP,
                name,
                format!("{address} accepts connections ({})", millis(*took)),
            ),
            Err(Unreached::Away(reason)) => {
                Check::warning(GROUP, name, format!("{address} {reason} (the app may start later)"))
            }
            Err(Unreached::Unproven(reason)) => Check::problem(GROUP, name, format!("{address}: {reason}"))
                .with_hint("`tls: {ca, server_name}` say whom to believe, `tls: {cert, key}` who we are"),
        });
    }
    for port in &surroundings.ports {
        report.add(address(port));
    }
    memory(settings, report);
    if !matches!(
        surroundings.redis,
        Some(Ok(RedisFacts {
            ahead_millis: Some(_),
            ..
        }))
    ) {
        let now = moment::shown(clock.wall());
        report.add(Check::info(
            GROUP,
            "clock",
            format!("{now}; nothing here to compare it with"),
        ));
    }
    Ok(())
}

fn redis(settings: &Settings, facts: &RedisFacts, report: &mut Report) {
    let mut add = |check| report.add(check);
    let unknown = "unknown".to_owned();
    let version = facts.version.as_ref().unwrap_or(&unknown);
    let eviction = facts.eviction.as_ref().unwrap_or(&unknown);
    add(Check::ok(
        GROUP,
        "redis",
        format!(
            "{} PONG in {}, version {version}, maxmemory-policy {eviction}",
            redis_address(settings),
            millis(facts.round_trip)
        ),
    ));
    if facts.is_cluster {
        add(Check::problem(
            GROUP,
            "redis",
            "it is a node of a Cluster, which is not supported yet",
        ));
    }
    if facts.is_replica {
        add(Check::problem(GROUP, "redis", "it is a replica and refuses writes")
            .with_hint("name its master in `redis.url`"));
    }
    if let Some(reason) = &facts.refuses {
        add(Check::warning(GROUP, "redis", reason.clone()));
    }
    if facts.eviction.is_some() && eviction != "noeviction" {
        add(Check::warning(
            GROUP,
            "redis",
            format!(
                "maxmemory-policy {eviction} may drop records when memory is full, and a dropped one can be replayed"
            ),
        )
        .with_hint("CONFIG SET maxmemory-policy noeviction, or a Redis of its own for hookward"));
    }
    match (facts.appends, facts.snapshots) {
        (Some(true), _) => add(Check::ok(GROUP, "redis", "persistence: appendonly")),
        (Some(false), Some(true)) => add(Check::info(
            GROUP,
            "redis",
            "persistence: snapshots only; a restart forgets what came after the last one",
        )),
        (Some(false), Some(false)) => add(Check::warning(
            GROUP,
            "redis",
            "persistence: none; a restart forgets every delivery, and each can then be replayed once",
        )
        .with_hint("CONFIG SET appendonly yes")),
        _ => add(Check::info(GROUP, "redis", "persistence: may not be asked for")),
    }
    if let Some(ahead) = facts.ahead_millis {
        add(clock_check(ahead));
    }
    let used = facts.memory_used.map_or_else(|| unknown.clone(), size);
    let limit = match facts.memory_limit {
        Some(0) => "no maxmemory".to_owned(),
        Some(limit) => format!("maxmemory {}", size(limit)),
        None => "maxmemory unknown".to_owned(),
    };
    add(Check::info(GROUP, "redis", format!("memory: {used} in use, {limit}")));
    for source in &settings.sources {
        if let Some(check) = records(source) {
            add(check);
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

fn clock_check(ahead_millis: i64) -> Check {
    let apart = ahead_millis.unsigned_abs();
    let side = if ahead_millis < 0 { "behind" } else { "ahead of" };
    let text = format!("Redis's clock is {apart} ms {side} ours");
    if apart > SKEW_MILLIS {
        Check::problem(GROUP, "clock", text)
            .with_hint("check NTP on both: while they are so far apart, `stale` is answered 503")
    } else if apart > SKEW_NOTABLE_MILLIS {
        Check::warning(GROUP, "clock", text).with_hint("check NTP on both")
    } else {
        Check::ok(GROUP, "clock", text)
    }
}

fn address(port: &Port) -> Check {
    let Port { what, address, free } = port;
    match free {
        Ok(()) => Check::ok(GROUP, what, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Check::problem(GROUP, what, format!("{address} is in use"))
                .with_hint("if that is this hookward, already running, use --offline")
        }
        Err(error) => Check::problem(GROUP, what, format!("{address} cannot be listened on: {error}")),
    }
}

fn memory(settings: &Settings, report: &mut Report) {
    let bodies = settings.limits.buffered_bytes;
    let entries = settings.limits.ledger_entries.get() as u64 * LOCAL_RECORD;
    let text = format!(
        "bodies take at most {}, the in-process ledger about {}",
        size(bodies),
        size(entries)
    );
    report.add(match config::memory_limit(&Machine) {
        None => Check::ok(GROUP, "memory", format!("{text}; this process has no memory limit")),
        Some(limit) if bodies.saturating_add(entries) > limit => Check::problem(
            GROUP,
            "memory",
            format!("{text}; the limit of this process is {}", size(limit)),
        )
        .with_hint("lower `limits.buffered_bytes` or `limits.ledger_entries`, or raise the memory limit"),
        Some(limit) if bodies.saturating_add(entries) > limit / 2 => Check::warning(
            GROUP,
            "memory",
            format!("{text}; the limit of this process is {}", size(limit)),
        )
        .with_hint("more than half of it: lower `limits.buffered_bytes`, or raise the memory limit"),
        Some(limit) => Check::ok(
            GROUP,
            "memory",
            format!("{text}; the limit of this process is {}", size(limit)),
        ),
    });
}

fn redis_address(settings: &Settings) -> String {
    let redis = settings.redis.as_ref();
    redis
        .map(|redis| authority(&redis.host, redis.port))
        .unwrap_or_default()
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn millis(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

/// Bytes in the largest unit that leaves at least one.
fn size(bytes: u64) -> String {
    let mut unit = (1, "B");
    for larger in [(1 << 10, "KiB"), (1 << 20, "MiB"), (1 << 30, "GiB"), (1 << 40, "TiB")] {
        if bytes >= larger.0 {
            unit = larger;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let amount = bytes as f64 / unit.0 as f64;
    let whole = format!("{amount:.1}");
    format!("{} {}", whole.trim_end_matches(".0"), unit.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_the_largest_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (64 << 20, "64 MiB"),
            (3_221_225_472, "3 GiB"),
            (1_610_612_736, "1.5 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn clocks_that_are_apart_are_a_finding() {
        use crate::cli::paint::Level;
        for (ahead, level) in [(-3, Level::Ok), (2001, Level::Warning), (-30_001, Level::Problem)] {
            assert_eq!(clock_check(ahead).level, level, "{ahead}");
        }
    }
}
