//! The surroundings: Redis, every destination, our own ports, the clock, memory against the cgroup's limit.

mod redis;

use super::report::{Check, Report};
use crate::{
    boot::{Port, RedisFacts, Surroundings, Unreached},
    cli::moment,
    config::{self, Machine, Settings},
    event::Clock,
};
use std::{
    fs::{self, File},
    io,
    path::Path,
    time::Duration,
};

const GROUP: &str = "environment";
/// What a record takes in the in-process ledger, bytes: about 11 MiB for the 65536 of the default.
const LOCAL_RECORD: u64 = 176;
/// Signed times are accepted or refused by our clock, leases end by Redis's; half a minute apart `stale` is not believed.
const SKEW_MILLIS: u64 = 30_000;
/// From here on it is worth saying.
const SKEW_NOTABLE_MILLIS: u64 = 2000;

pub(super) fn check(settings: &Settings, clock: &dyn Clock, report: &mut Report) -> io::Result<()> {
    let surroundings = Surroundings::look(settings, clock)?;
    match &surroundings.redis {
        Some(Ok(facts)) => redis::found(settings, facts, report),
        Some(Err(reason)) => report.add(redis::silent(settings, reason)),
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
    for (source, keys) in &surroundings.keys {
        report.add(match keys {
            Ok(()) => Check::ok(GROUP, source.as_str(), "its provider's keys can be fetched"),
            Err(reason) => Check::warning(
                GROUP,
                source.as_str(),
                format!("its provider's keys cannot be fetched: {reason}"),
            )
            .with_hint("until they can, its deliveries are answered 503; or pin them (`jwks`, `certificate`)"),
        });
    }
    for port in &surroundings.ports {
        report.add(address(port));
    }
    memory(settings, report);
    if let Some(folder) = &settings.state_dir {
        report.add(state_dir(folder));
    }
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

/// Whether a file can be made there is tried out: permissions, quotas and read-only mounts all speak then.
fn state_dir(folder: &Path) -> Check {
    const NAME: &str = "state_dir";
    let tried = folder.join(format!(".hookward-check.{}", std::process::id()));
    let made = File::create_new(&tried).and_then(|_| fs::remove_file(&tried));
    let folder = folder.display();
    match made {
        Ok(()) => Check::ok(GROUP, NAME, format!("{folder} can be written to")),
        Err(error) => Check::problem(GROUP, NAME, format!("{folder} cannot be written to: {error}"))
            .with_hint("create the directory, and let the user that hookward runs as write to it"),
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
