//! The command line as its users and scripts see it: the built binary, what it prints where, and its exit codes.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    reason = "a test reads the clock and the environment"
)]

#[path = "cli/check.rs"]
mod check;
#[path = "cli/explain.rs"]
mod explain;
#[path = "cli/mistakes.rs"]
mod mistakes;
#[path = "cli/operate.rs"]
mod operate;
#[path = "cli/program.rs"]
mod program;
#[path = "cli/providers.rs"]
mod providers;
#[path = "support/redis.rs"]
mod redis;
#[path = "cli/sidecar.rs"]
mod sidecar;
#[path = "cli/sign.rs"]
mod sign;
#[path = "cli/vectors.rs"]
mod vectors;
