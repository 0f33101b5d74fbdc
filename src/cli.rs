//! The command line: one file a verb, and the exit codes that scripts can rely on.

mod completions;
mod dev;
mod local;
mod operate;
mod run;
mod schema;

use crate::config::{self, ConfigErrors, Environment, Loaded, Machine};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::{
    ffi::OsString,
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

/// Exit codes, after `sysexits.h` where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Fine = 0,
    /// A finding: a failing check, a request that does not verify.
    Finding = 1,
    /// The arguments are wrong.
    Usage = 2,
    /// A dependency is unavailable: a busy port, a sidecar that does not answer.
    Unavailable = 69,
    /// A secret cannot be read.
    NoSecret = 77,
    /// The configuration is invalid.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// hookward verifies, deduplicates, limits and forwards webhooks to an app that need not know of any of it.
#[derive(Parser)]
#[command(
    name = "hookward",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the sidecar. SIGHUP reloads the configuration, SIGTERM drains.
    Run(run::RunArgs),
    /// A whole trial on this machine without a configuration: sample app, sidecar, signed traffic.
    Dev(dev::DevArgs),
    /// Let a redelivery through: a delivered record becomes deliverable once more.
    Forget(operate::ForgetArgs),
    /// Ask a running sidecar to drain.
    Drain(operate::DrainArgs),
    /// Ask a running sidecar for its health.
    Probe(operate::ProbeArgs),
    /// Print the JSON Schema of the configuration.
    Schema,
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
}

/// `-c FILE`, as all verbs take it.
#[derive(Args)]
struct ConfigArgs {
    /// The configuration; else `$HOOKWARD_CONFIG`, else `./hookward.yaml`.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// `-o`, of the verbs that can print JSON.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs, with `"schema_version": 1`.
    Json,
}

/// Runs the verb that `args` name (the program's own name first).
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; everything else is a usage error, with clap's own text on stderr.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Fine };
            return match error.print() {
                Ok(()) => exit.into(),
                Err(_) => Exit::Usage.into(),
            };
        }
    };
    let outcome = match cli.verb {
        Verb::Run(args) => run::run(&args),
        Verb::Dev(args) => dev::dev(&args),
        Verb::Forget(args) => operate::forget(&args),
        Verb::Drain(args) => operate::drain(&args),
        Verb::Probe(args) => operate::probe(&args),
        Verb::Schema => schema::schema(),
        Verb::Completions(args) => Ok(completions::completions(&args, &mut Cli::command())),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            complain(&format!("error: {error:#}"));
            Exit::Finding.into()
        }
    }
}

/// Loads the configuration, or says on stderr everything that is wrong with it.
fn load(args: &ConfigArgs) -> Result<Loaded, Exit> {
    let path = config::locate(args.config.as_deref(), &Machine);
    config::load(&path, &Machine).map_err(|errors: ConfigErrors| {
        complain(errors.render(colour()).trim_end());
        match errors.exit_code() {
            77 => Exit::NoSecret,
            _ => Exit::Config,
        }
    })
}

/// May stderr be coloured?
fn colour() -> bool {
    std::io::stderr().is_terminal() && Machine.variable("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A message for a person, on stderr; nobody to read it is no reason to fail.
fn complain(text: &str) {
    let _unread = writeln!(std::io::stderr().lock(), "{text}");
}

/// A result, on stdout.
fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")
}
