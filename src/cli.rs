//! The command line: one file a verb, and the exit codes that scripts can rely on.

mod check;
mod completions;
mod dev;
mod enroll;
mod explain;
mod local;
mod moment;
mod operate;
mod paint;
mod providers;
mod run;
mod schema;
mod send;
mod sign;
mod subject;
mod tail;

#[cfg(fuzzing)]
pub use explain::{Explained, explained};

use crate::config::{self, ConfigErrors, Loaded, Machine};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
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
    /// Check the configuration, its secrets and the surroundings, as `nginx -t` does.
    #[command(short_flag = 't')]
    Check(check::CheckArgs),
    /// List the providers that are known, or show one with how to set it up.
    Providers(providers::ProvidersArgs),
    /// Print the headers that a source's provider would send for a body.
    Sign(sign::SignArgs),
    /// Send a signed sample event to a running sidecar, and say what became of it.
    Send(send::SendArgs),
    /// Say whether a captured request verifies, and if not why.
    Explain(explain::ExplainArgs),
    /// Show deliveries as they happen.
    Tail(tail::TailArgs),
    /// Let a redelivery through: a delivered record becomes deliverable once more.
    Forget(operate::ForgetArgs),
    /// Take the secret that a provider hands out in its handshake (Asana, Notion).
    Enroll(enroll::EnrollArgs),
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

impl ConfigArgs {
    fn path(&self) -> PathBuf {
        config::locate(self.config.as_deref(), &Machine)
    }
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
    let cli = match Cli::try_parse_from(flag_first(args)) {
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
        Verb::Check(args) => check::check(&args),
        Verb::Providers(args) => providers::providers(&args),
        Verb::Sign(args) => sign::sign(&args),
        Verb::Send(args) => send::send(&args),
        Verb::Tail(args) => tail::tail(&args),
        Verb::Enroll(args) => enroll::enroll(&args),
        Verb::Explain(args) => explain::explain(&args),
        Verb::Forget(args) => operate::forget(&args),
        Verb::Drain(args) => operate::drain(&args),
        Verb::Probe(args) => operate::probe(&args),
        Verb::Schema => schema::schema(),
        Verb::Completions(args) => Ok(completions::completions(&args, &mut Cli::command())),
    };
    match outcome {
        Ok(exit) => exit.into(),
        // `hookward providers | head`: who reads has read enough.
        Err(error) if is_broken_pipe(&error) => Exit::Fine.into(),
        Err(error) => {
            complain(&format!("error: {error:#}"));
            Exit::Finding.into()
        }
    }
}

/// `hookward -c FILE -t`, as nginx takes it: the flag that names a verb goes before the options of the verb.
fn flag_first(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let config = |word: &OsString| word == "-c" || word == "--config";
    if args.get(1).is_some_and(config)
        && let Some(at) = args.iter().position(|word| word == "-t")
    {
        args[1..=at].rotate_right(1);
    }
    args
}

/// Loads the configuration, or says on stderr everything that is wrong with it.
fn load(args: &ConfigArgs) -> Result<Loaded, Exit> {
    config::load(&args.path(), &Machine).map_err(|errors| refused(&errors))
}

/// Says what is wrong with a configuration.
fn refused(errors: &ConfigErrors) -> Exit {
    complain(errors.render(colour()).trim_end());
    match errors.exit_code() {
        77 => Exit::NoSecret,
        _ => Exit::Config,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// May stderr be coloured?
fn colour() -> bool {
    paint::may_be_coloured(&io::stderr())
}

/// A whole file, or stdin for `-`; one that cannot be read is a wrong argument, so that it is told from a finding.
fn read(path: &Path, longest: u64) -> Result<Vec<u8>, Exit> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        io::stdin().lock().take(longest).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(longest).read_to_end(&mut bytes))
    };
    read.map(|_| bytes).map_err(|error| {
        complain(&format!("error: `{}` cannot be read: {error}", path.display()));
        Exit::Usage
    })
}

/// A message for a person, on stderr; nobody to read it is no reason to fail.
fn complain(text: &str) {
    let _unread = writeln!(io::stderr().lock(), "{text}");
}

/// A result, on stdout.
fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}
