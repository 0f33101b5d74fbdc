//! The chaos run: providers, three sidecars, Redis and two apps under faults; nothing may be lost, nothing come twice
//! without a fault that explains it. See `tests/chaos/run`.

#![allow(
    clippy::disallowed_methods,
    reason = "a run reads clocks, spawns tasks and exits with a code"
)]
#![allow(missing_docs, reason = "a program has no public items")]

mod account;
mod app;
mod dice;
mod faults;
mod injector;
mod letters;
mod processes;
mod provider;
mod proxy;
mod redis;
mod report;
mod sender;
mod stage;
mod verdict;
mod wire;

use account::Account;
use clap::{Parser, ValueEnum};
use provider::{Plan, Providers};
use sender::Balancer;
use stage::{Props, Stage};
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::sleep,
};

/// Hookward under faults, counted event by event. Exit 0: nothing lost, every duplicate explained, and no more of them
/// than faults of the crash kind.
#[derive(Parser)]
struct Options {
    /// Everything random follows from it; default: from the clock, and printed
    #[arg(long)]
    seed: Option<u64>,
    #[arg(long, default_value_t = 200_000)]
    events: u32,
    #[arg(long, value_enum, default_value_t = Faults::All)]
    faults: Faults,
    #[arg(long, value_enum, default_value_t = redis::Form::Standalone)]
    redis: redis::Form,
    /// How long the load lasts; the rest of the run waits for the last acknowledgements
    #[arg(long, default_value_t = 530)]
    seconds: u64,
    /// Per cent of the events that are sent twice at once; default: 20 without faults, 2 with
    #[arg(long)]
    copies: Option<f64>,
    /// Mean milliseconds between two faults
    #[arg(long, default_value_t = 220)]
    gap: u64,
    /// How much shorter than in reality the pauses between attempts are
    #[arg(long, default_value_t = 4_000)]
    scale: u64,
    /// Break the run itself, to see that it finds out: it must end with 1
    #[arg(long, value_enum)]
    sabotage: Option<Sabotage>,
    /// The sidecar
    #[arg(long, default_value = env!("CARGO_BIN_EXE_hookward"))]
    sidecar: PathBuf,
    /// Keep the logs of all processes here, and let the sidecars write a line a request
    #[arg(long)]
    logs: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Faults {
    All,
    None,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Sabotage {
    /// The work of some events is not counted: they look lost
    Loss,
    /// Redis is flushed all the time, and no fault is noted: what comes twice is not explained
    Repetition,
}

/// After the last event and the last fault, how long an acknowledgement may still take.
const CALM: Duration = Duration::from_secs(45);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, port, seed] = &arguments[..]
        && word == "app"
    {
        app::run(port.parse().expect("a port"), seed.parse().expect("a seed"));
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| wire::now() % 1_000_000);
    println!("chaos run, --seed {seed}");
    if run(&options, seed) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(options: &Options, seed: u64) -> bool {
    let begun = Instant::now();
    let account = Arc::new(Mutex::new(Account::new(options.events)));
    let scratch = std::env::temp_dir().join(format!("hookward-chaos-{}", std::process::id()));
    let disturbed = options.faults == Faults::All;
    let props = Props {
        lasting: disturbed,
        sidecar: &options.sidecar,
        form: options.redis,
        seed,
        folder: options.logs.clone().unwrap_or(scratch),
        log_level: if options.logs.is_some() { "info" } else { "warn" },
    };
    account.lock().expect("nobody panics with it").deaf = options.sabotage == Some(Sabotage::Loss);
    let stage = Arc::new(Stage::set(props, &account));
    let load = Duration::from_secs(options.seconds);
    let faults = if disturbed {
        faults::schedule(seed, options.redis, load, Duration::from_millis(options.gap))
    } else {
        Vec::new()
    };
    println!(
        "{} events in {} s, {} faults planned",
        options.events,
        options.seconds,
        faults.len()
    );
    let stop = Arc::new(AtomicBool::new(false));
    let injecting = std::thread::spawn({
        let (stage, stop) = (stage.clone(), stop.clone());
        move || injector::inject(&stage, &faults, &stop)
    });
    let over = Arc::new(AtomicBool::new(false));
    let watching = std::thread::spawn({
        let (stage, over) = (stage.clone(), over.clone());
        move || injector::watch_the_machine(&stage, &over)
    });
    let sabotaging = (options.sabotage == Some(Sabotage::Repetition)).then(|| {
        let (stage, over) = (stage.clone(), over.clone());
        std::thread::spawn(move || injector::flush_all_the_time(&stage, &over))
    });
    let plan = Plan {
        seed,
        events: options.events,
        load,
        copies: hundredths(options.copies.unwrap_or(if disturbed { 2.0 } else { 20.0 })),
        replays: 50,
        rude: if disturbed { 100 } else { 0 },
        scale: options.scale,
    };
    let balancer = Balancer::new(stage.ports.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (calm, calmed) = watch::channel(false);
    let providers = Providers::new(plan, balancer, account.clone(), calmed);
    let mut struck = tokio::task::LocalSet::new().block_on(&runtime, async {
        providers.begin_all(stopped()).await;
        stop.store(begun.elapsed() < load, Ordering::Relaxed);
        while !injecting.is_finished() {
            sleep(Duration::from_millis(20)).await;
        }
        println!(
            "the faults are over after {:.1} s, {} events pending",
            begun.elapsed().as_secs_f64(),
            providers.pending()
        );
        calm.send_replace(true);
        let last = Instant::now();
        while providers.pending() > 0 && last.elapsed() < CALM {
            sleep(Duration::from_millis(20)).await;
        }
        // Copies and replays that nobody waits for.
        sleep(Duration::from_millis(1_500)).await;
        injecting.join().expect("no fault panics")
    });
    over.store(true, Ordering::Relaxed);
    let stalls = watching.join().expect("a watcher does not panic");
    struck.extend(injector::unprovoked(stalls, &struck));
    if let Some(sabotaging) = sabotaging {
        sabotaging.join().expect("a saboteur does not panic");
    }
    let wounds = stage.wounds();
    stage.hear_out();
    let account = account.lock().expect("nobody panics with it");
    let verdict = verdict::Verdict::of(&account, options.redis, &struck);
    let kept = report::print(&verdict, &account, &wounds, begun.elapsed());
    println!("--seed {seed}");
    if let Some(logs) = &options.logs {
        let told = struck.iter().map(|struck| format!("{struck:?}"));
        let told: Vec<_> = told.chain(verdict.stories).collect();
        std::fs::write(logs.join("story.log"), told.join("\n")).expect("the folder is ours");
    }
    if let Some(stage) = Arc::into_inner(stage)
        && options.logs.is_none()
    {
        stage.clear();
    }
    kept
}

/// SIGINT or SIGTERM: the run ends early, and in order.
async fn stopped() {
    let mut term = signal(SignalKind::terminate()).expect("a signal can be awaited");
    let mut int = signal(SignalKind::interrupt()).expect("a signal can be awaited");
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Per cent to parts of 10,000.
fn hundredths(percent: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let parts = (percent * 100.0).round().clamp(0.0, 10_000.0) as u64;
    parts
}
