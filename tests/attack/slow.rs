//! slowhttptest, a tool that others wrote, against the sidecar: who is slow is cut in time, and who is honest is served.

use crate::{good, stage::Stage};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// An attack of slowhttptest, how to ask for it, and the deadline of ours (in seconds) that ends its connections.
const ATTACKS: [(&str, &[&str], usize); 4] = [
    ("-H slow heads", &["-H", "-i", "1"], 5),
    ("-B slow bodies", &["-B", "-i", "1", "-s", "100000", "-x", "50"], 10),
    // Its answers are in the kernel at once, whoever reads them when; so what ends it is that it asks no more: 75 s after
    // its last request, which comes up to 3 s after its first.
    (
        "-X slow reading",
        &["-X", "-w", "1", "-y", "2", "-n", "5", "-z", "32", "-k", "3"],
        75 + 3,
    ),
    ("-R ranges", &["-R"], 10),
];

#[derive(clap::Args)]
pub struct Options {
    /// Connections of each attack
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Opened a second
    #[arg(long, default_value_t = 200)]
    a_second: usize,
}

/// A second of slowhttptest's report.
struct Second {
    /// Connections that it had opened by then.
    opened: usize,
    available: bool,
}

/// Connections that are not slowhttptest's: the honest sender's lanes and slowhttptest's probe.
const OTHERS: usize = 5;

/// True if every bound was kept.
pub fn run(sidecar: &Path, options: &Options) -> bool {
    let mut kept = true;
    for (name, arguments, deadline) in ATTACKS {
        let stage = Stage::set(sidecar);
        let stop = Arc::new(AtomicBool::new(false));
        let (sending, account) = good::send(stage.port, 40, 1000, &stop);
        let report = stage.file("slow");
        let lasts = options.connections / options.a_second + deadline + 15;
        let attacking = Command::new("slowhttptest")
            .args(arguments)
            .args(["-c", &options.connections.to_string()])
            .args(["-r", &options.a_second.to_string()])
            .args(["-l", &lasts.to_string(), "-p", "3", "-t", "POST", "-g", "-o"])
            .arg(&report)
            .args(["-u", &format!("http://127.0.0.1:{}/open", stage.port)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let mut attacking = attacking.unwrap_or_else(|error| panic!("slowhttptest cannot be run: {error}"));
        // How many the sidecar serves, twice a second: when it has let go of one is its to say. The other end learns of it
        // only when it has read what the kernel holds for it, which may be never.
        let (begun, mut served) = (Instant::now(), Vec::new());
        let status = loop {
            if let Some(status) = attacking.try_wait().expect("it can be awaited") {
                break status;
            }
            let connections = usize::try_from(stage.metric("hookward_connections")).unwrap_or(usize::MAX);
            served.push((begun.elapsed(), connections.saturating_sub(OTHERS)));
            std::thread::sleep(Duration::from_millis(500));
        };
        stop.store(true, Relaxed);
        sending.join().expect("it does not panic");
        let account = account.lock().expect("nobody panics with it").clone();
        let seconds = read(&fs::read_to_string(report.with_extension("csv")).unwrap_or_default());
        let unavailable = seconds.iter().filter(|second| !second.available).count();
        let all = seconds.iter().map(|second| second.opened).max().unwrap_or(0);
        // Whoever came in the last so many seconds may be there still; a second more is what the report rounds off.
        let young = |at: Duration| {
            let since = usize::try_from(at.as_secs())
                .expect("minutes")
                .saturating_sub(deadline + 2);
            all - seconds
                .get(since)
                .map_or(all, |second| if since == 0 { 0 } else { second.opened })
        };
        let late = served
            .iter()
            .map(|(at, connections)| connections.saturating_sub(young(*at)))
            .max()
            .unwrap_or(usize::MAX);
        let last = served.iter().rev().find(|(_, connections)| *connections > 0);
        println!(
            "{name:16} {status}; {all} opened, the last one cut after {:.0} s; later than {deadline} + 1 s: {late}; \
             unavailable: {unavailable} s; honest: {} sent, p99 {:.1} ms, refused {:?}; peak {} KiB",
            last.map_or(0.0, |(at, _)| at.as_secs_f64()),
            account.sent(),
            account.quantile(0.99),
            account.refused,
            stage.memory().peak
        );
        kept &= status.success() && all >= options.connections / 2 && late == 0;
        kept &= unavailable == 0 && account.sent() > 0 && account.refusals() == 0;
    }
    kept
}

fn read(csv: &str) -> Vec<Second> {
    let lines = csv.lines().skip(1);
    lines
        .filter_map(|line| {
            let mut numbers = line.split(',').map(|number| number.trim().parse::<usize>().ok());
            let (_second, closed) = (numbers.next()??, numbers.next()??);
            let (_pending, connected) = (numbers.next()??, numbers.next()??);
            let available = numbers.next()?? > 0;
            Some(Second {
                opened: closed + connected,
                available,
            })
        })
        .collect()
}
