//! Parses the arguments, runs the verb, returns its exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookward::cli::run(std::env::args_os())
}
