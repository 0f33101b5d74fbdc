//! Attackers of every kind beside honest senders, for minutes: who is honest notices nothing, and memory stands still.

use crate::{
    crowd::{self, Tally},
    good,
    stage::Stage,
    storm::{self, Reins},
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

/// Milliseconds within which 99 of 100 honest deliveries have to be answered.
const BOUND_P99: f64 = 100.0;
/// KiB by which memory may grow in the second half.
const BOUND_GROWTH: u64 = 1024;
/// In the middle and at the end the attackers hold still for so many seconds: what bodies take, which comes and goes, is
/// no growth. Of the memory in the last third of that time the median counts.
const STILL: usize = 12;
/// So many deliveries come before anything else, more than the built-in `limits.ledger_entries`: a ledger that fills up
/// grows by 130 bytes with each delivery, to its bound.
const BEFORE: usize = 80_000;

#[derive(clap::Args)]
pub struct Options {
    /// How long
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Idle and slow connections beside the attacks
    #[arg(long, default_value_t = 2000)]
    connections: usize,
    /// Honest deliveries a second
    #[arg(long, default_value_t = 100)]
    good: u32,
}

/// True if every bound was kept.
pub fn run(sidecar: &Path, options: &Options) -> bool {
    let mut stage = Stage::set(sidecar);
    let delivered = good::fill(stage.port, BEFORE);
    println!(
        "{delivered} of {BEFORE} delivered beforehand, RSS {} KiB",
        stage.memory().now
    );
    let tally = Arc::new(Tally::default());
    let stop = Arc::new(AtomicBool::new(false));
    let crowd = crowd::gather(stage.port, options.connections, &tally);
    let reins = Arc::new(Reins::default());
    let storm = storm::rage(stage.port, &reins);
    let (sending, account) = good::send(stage.port, options.good, 1000, &stop);
    let whole = usize::try_from(options.seconds).expect("minutes");
    let mut memory = Vec::new();
    while memory.len() < whole {
        std::thread::sleep(Duration::from_secs(1));
        memory.push(stage.memory().now);
        let until = [whole / 2, whole].map(|end| end.saturating_sub(memory.len()));
        reins
            .hold
            .store(until.into_iter().any(|left| (1..=STILL).contains(&left)), Relaxed);
        if memory.len() % 30 == 0 {
            let account = account.lock().expect("nobody panics with it").clone();
            println!(
                "{:5} s  RSS {:6} KiB, {} connections, {} in flight; honest: {} sent, p50 {:.1} ms, p99 {:.1} ms, {} refused",
                memory.len(),
                stage.memory().now,
                stage.metric("hookward_connections"),
                stage.metric("hookward_in_flight"),
                account.sent(),
                account.quantile(0.5),
                account.quantile(0.99),
                account.refusals()
            );
        }
    }
    stop.store(true, Relaxed);
    reins.stop.store(true, Relaxed);
    tally.stop.store(true, Relaxed);
    sending.join().expect("it does not panic");
    let strikes = storm.join().expect("it does not panic");
    let lives = crowd.join().expect("it does not panic");
    for (attack, count) in strikes {
        println!("{attack:40} {count:8}");
    }
    for (manner, lives) in lives {
        println!(
            "{manner:?}: {} ended by the sidecar, the longest after {:.1} s",
            lives.ended,
            lives.longest.as_secs_f64()
        );
    }
    let account = account.lock().expect("nobody panics with it").clone();
    let p99 = account.quantile(0.99);
    println!(
        "honest: {} sent, p50 {:.1} ms, p99 {p99:.1} ms (bound {BOUND_P99} ms), refused {:?}",
        account.sent(),
        account.quantile(0.5),
        account.refused
    );
    let (middle, end) = (before(&memory, whole / 2), before(&memory, whole));
    let growth = end.saturating_sub(middle);
    println!(
        "RSS {middle} KiB in the middle, {end} KiB at the end: grew by {growth} KiB in the second half (bound {BOUND_GROWTH}); peak {} KiB",
        stage.memory().peak
    );
    let complaints = stage.complaints();
    let fell = stage.has_fallen() || complaints.contains("panicked");
    if fell {
        println!("BROKEN the sidecar fell or panicked: {complaints}");
    }
    !fell
        && delivered == BEFORE
        && account.refusals() == 0
        && account.sent() > 0
        && p99 < BOUND_P99
        && growth < BOUND_GROWTH
}

/// The median of the samples before this one.
fn before(memory: &[u64], end: usize) -> u64 {
    let mut some = memory[end.saturating_sub(STILL / 3)..end].to_vec();
    some.sort_unstable();
    some.get(some.len() / 2).copied().unwrap_or(0)
}
