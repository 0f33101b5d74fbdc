//! `hookward run`: the sidecar, until SIGTERM.

use super::{ConfigArgs, Exit, complain, load};
use crate::{
    boot::{Options, Sidecar, StartError},
    config::{self, ConfigErrors, Environment, Finding, Loaded, Machine, Settings},
    event::{Clock, SystemClock},
    telemetry::{Format, Level, Log, Metrics},
    upstream::Fetcher,
};
use clap::{Args, ValueEnum};
use std::{io, sync::Arc};

#[derive(Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// How the log is written; else `$HOOKWARD_LOG`, else text on a terminal, JSON otherwise.
    #[arg(long, value_name = "FORMAT")]
    log: Option<LogFormat>,
    /// The least important lines that are written: error, warn, info, debug or trace; else `$HOOKWARD_LOG_LEVEL`, else
    /// info.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<Level>,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The environment twin of a flag. An empty one counts as unset, as a template that has no value for it leaves it.
fn twin<T>(flag: Option<T>, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, Exit> {
    let text = Machine.variable(name).filter(|text| !text.is_empty());
    let (None, Some(text)) = (&flag, text) else {
        return Ok(flag);
    };
    parse(&text.to_string_lossy()).map(Some).map_err(|error| {
        complain(&format!("error: ${name}: {error}"));
        Exit::Usage
    })
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    LogFormat::from_str(text, false).map_err(|_| format!("`{text}` is not a log format: text or json"))
}

pub(super) fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    let flags = twin(args.log, "HOOKWARD_LOG", log_format)
        .and_then(|log| Ok((log, twin(args.log_level, "HOOKWARD_LOG_LEVEL", str::parse)?)));
    let (log, log_level) = match flags {
        Ok((log, level)) => (log, level.unwrap_or(Level::Info)),
        Err(exit) => return Ok(exit),
    };
    let Loaded { settings, warnings, .. } = match load(&args.config) {
        Ok(loaded) => loaded,
        Err(exit) => return Ok(exit),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    let format = match log {
        Some(LogFormat::Text) => Format::Text,
        Some(LogFormat::Json) => Format::Json,
        None => Format::for_stdout(),
    };
    let sink = Box::new(io::stdout());
    let log = Log::start(format, log_level, sink, clock.clone(), metrics.log_dropped.clone())?;
    tracing::subscriber::set_global_default(log.events())?;
    for warning in warnings.problems() {
        log.message(Level::Warn, &warning.message, &[("at", &place(warning))]);
    }
    let path = args.config.path();
    let reload = move |held: &Settings| {
        let loaded = config::reload(&path, &Machine, held);
        loaded
            .map(|loaded| loaded.settings)
            .map_err(|errors| in_one_line(&errors))
    };
    let options = Options {
        clock,
        log: log.clone(),
        metrics,
        reload: Some(Box::new(reload)),
        fetcher: Fetcher::system(),
        signals: true,
    };
    let sidecar = match Sidecar::start(settings, options) {
        Ok(sidecar) => sidecar,
        Err(error) => {
            log.flush();
            complain(&format!("error: {error}"));
            return Ok(match error {
                StartError::Listen { .. } => Exit::Unavailable,
                StartError::Settings(_) => Exit::Config,
                StartError::System(_) => Exit::Finding,
            });
        }
    };
    let at = sidecar.addresses();
    let fields: [(&str, &dyn std::fmt::Display); 3] =
        [("webhooks", &at.webhooks), ("health", &at.health), ("admin", &at.admin)];
    log.message(Level::Info, "listening", &fields);
    let drained = sidecar.wait();
    let cut = drained.cut;
    log.message(Level::Info, "stopped", &[("cut", &cut)]);
    log.flush();
    Ok(if cut == 0 { Exit::Fine } else { Exit::Finding })
}

/// What is wrong with a configuration, for the log: the first problems are all that fits.
fn in_one_line(errors: &ConfigErrors) -> String {
    let said = |problem: &Finding| match &problem.hint {
        Some(hint) => format!("{}: {}; {hint}", place(problem), problem.message),
        None => format!("{}: {}", place(problem), problem.message),
    };
    let lines: Vec<String> = errors.problems().iter().map(said).collect();
    lines.join("; ")
}

/// `file:line:column`, as editors and terminals link it.
fn place(finding: &Finding) -> String {
    match (finding.line, finding.column) {
        (Some(line), Some(column)) => format!("{}:{line}:{column}", finding.file),
        _ => finding.file.clone(),
    }
}
