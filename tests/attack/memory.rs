//! The most memory that the sidecar takes under idle and slow connections, a million clients and large bodies at once.

use crate::{
    crowd::{self, Manner, Tally},
    flood,
    good::{self, deliver},
    letters::Pen,
    stage::{self, BUFFERED_BYTES, Stage},
};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Beside the bodies.
const BOUND: u64 = 64 << 20;
/// Large bodies at once, and how often all of them are sent.
const BODIES: usize = 64;
const ROUNDS: usize = 3;

#[derive(clap::Args)]
pub struct Options {
    /// Idle and slow connections
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Clients, each in a /64 of its own
    #[arg(long, default_value_t = 1_000_000)]
    clients: u64,
    /// Seconds for which the connections are held
    #[arg(long, default_value_t = 20)]
    hold: u64,
    /// All connections in this manner, to see what one costs
    #[arg(long)]
    only: Option<Manner>,
}

/// True if the bound was kept.
pub fn run(sidecar: &Path, options: &Options) -> bool {
    let mut stage = Stage::set(sidecar);
    let begun = Instant::now();
    let say = |stage: &Stage, what: &str| {
        let memory = stage.memory();
        println!(
            "{:7.1} s  {what:66} RSS {:7} KiB, peak {:7} KiB",
            begun.elapsed().as_secs_f64(),
            memory.now,
            memory.peak
        );
    };
    say(&stage, "idle");
    let idle = stage.memory().now;
    // Most of the clients come while connections are kept alive; the rest when the crowd is there.
    let before = options.clients / 10 * 9;
    let answers = flood::pour(stage.port, 0, before);
    say(&stage, &format!("{before} clients, answers {answers:?}"));
    let settled = stage.memory().now;

    let only = options.only;
    let tally = Arc::new(Tally {
        only,
        ..Tally::default()
    });
    let crowd = crowd::gather(stage.port, options.connections, &tally);
    let stop = Arc::new(AtomicBool::new(false));
    let (sending, account) = good::send(stage.port, 40, 1000, &stop);
    let full = Instant::now();
    while full.elapsed() < Duration::from_secs(options.hold) {
        std::thread::sleep(Duration::from_secs(2));
        let open = tally.open.load(Relaxed);
        let here = stage.metric("hookward_connections");
        let in_flight = stage.metric("hookward_in_flight");
        say(
            &stage,
            &format!("{open} connections open ({here} served, {in_flight} requests)"),
        );
    }
    let held = stage.memory().now;
    let answers = flood::pour(stage.port, before, options.clients);
    say(
        &stage,
        &format!("{} more clients, answers {answers:?}", options.clients - before),
    );
    for _ in 0..ROUNDS {
        let answers = bodies(stage.port);
        say(
            &stage,
            &format!("{BODIES} bodies of 1 MiB at once, answers {answers:?}"),
        );
    }
    stop.store(true, Relaxed);
    sending.join().expect("it does not panic");
    tally.stop.store(true, Relaxed);
    let lives = crowd.join().expect("it does not panic");
    for (manner, lives) in &lives {
        println!(
            "{manner:?}: {} ended by the sidecar, the longest after {:.1} s; {} could not be opened",
            lives.ended,
            lives.longest.as_secs_f64(),
            lives.refused
        );
    }
    let account = account.lock().expect("nobody panics with it").clone();
    println!(
        "honest deliveries meanwhile: {}, p50 {:.1} ms, p99 {:.1} ms, refused {:?}",
        account.sent(),
        account.quantile(0.5),
        account.quantile(0.99),
        account.refused
    );
    let each = held.saturating_sub(settled) * 1024 / u64::try_from(options.connections.max(1)).expect("not that many");
    println!("idle {idle} KiB; {each} bytes a connection");
    let (peak, bound) = (stage.memory().peak, (BOUND + BUFFERED_BYTES) / 1024);
    println!("peak {peak} KiB, bound {bound} KiB (64 MiB + limits.buffered_bytes)");
    let complaints = stage.complaints();
    if stage.has_fallen() || complaints.contains("panicked") {
        println!("BROKEN the sidecar fell or panicked: {complaints}");
        return false;
    }
    peak <= bound
}

/// Authentic bodies of 1 MiB, all at once, each of a client of its own: answers by status and outcome.
fn bodies(port: u16) -> BTreeMap<(u16, String), usize> {
    static ROUND: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let (pen, round) = (Pen::default(), ROUND.fetch_add(1, Relaxed));
    let letters: Vec<_> = (0..BODIES)
        .map(|number| {
            pen.stripe(
                &format!("203.0.113.{}", number + 100),
                &format!("large-{round}-{number}"),
                1 << 20,
            )
        })
        .collect();
    let all = tokio::task::LocalSet::new();
    let mut answers = BTreeMap::new();
    all.block_on(&stage::runtime(), async {
        let sent: Vec<_> = letters
            .into_iter()
            .map(|letter| {
                tokio::task::spawn_local(async move {
                    let sent = tokio::time::timeout(Duration::from_secs(30), deliver(port, &mut None, &letter)).await;
                    match sent {
                        Ok(Ok(answer)) => answer,
                        Ok(Err(error)) => (0, error.kind().to_string()),
                        Err(_) => (0, "none in 30 s".to_owned()),
                    }
                })
            })
            .collect();
        for answer in sent {
            *answers.entry(answer.await.expect("it does not panic")).or_default() += 1;
        }
    });
    answers
}
