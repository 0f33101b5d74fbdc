//! Chooses the allocator, parses the arguments, runs the verb, returns its exit code; nothing else.

use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    hookward::cli::run(std::env::args_os())
}
