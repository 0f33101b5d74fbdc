//! `hookward completions`: a completion script for a shell.

use super::Exit;
use clap::{Args, Command};
use clap_complete::Shell;

#[derive(Args)]
pub(super) struct CompletionsArgs {
    /// For which shell.
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs, command: &mut Command) -> Exit {
    clap_complete::generate(args.shell, command, "hookward", &mut std::io::stdout());
    Exit::Fine
}
