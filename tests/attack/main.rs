//! The attack run: hookward's release build under hostile traffic; memory, honest senders and deadlines are measured.
//! See `tests/attack/run`.

#![allow(
    clippy::disallowed_methods,
    reason = "a run reads clocks, spawns tasks and exits with a code"
)]
#![allow(missing_docs, reason = "a program has no public items")]

mod crowd;
mod flood;
mod good;
mod letters;
mod memory;
mod mixed;
mod shares;
mod slow;
mod stage;
mod storm;
#[path = "../chaos/wire.rs"]
#[expect(dead_code, reason = "the chaos run needs more of it")]
mod wire;

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// Hookward under hostile traffic. Exit 0: every bound was kept.
#[derive(Parser)]
struct Options {
    /// The sidecar
    #[arg(long, global = true, default_value = env!("CARGO_BIN_EXE_hookward"))]
    sidecar: PathBuf,
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Idle and slow connections, a million clients and large bodies: the most memory that it ever takes
    Memory(memory::Options),
    /// Attackers of every kind beside honest senders
    Mixed(mixed::Options),
    /// More slow anonymous requests than places in flight, beside honest senders
    Shares(shares::Options),
    /// slowhttptest -H, -B, -X, -R
    Slow(slow::Options),
}

fn main() -> ExitCode {
    let options = Options::parse();
    let kept = match &options.part {
        Part::Memory(memory) => memory::run(&options.sidecar, memory),
        Part::Mixed(mixed) => mixed::run(&options.sidecar, mixed),
        Part::Shares(shares) => shares::run(&options.sidecar, shares),
        Part::Slow(slow) => slow::run(&options.sidecar, slow),
    };
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
