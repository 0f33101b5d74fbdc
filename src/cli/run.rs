//! `hookward run`: the sidecar, until SIGTERM.

use super::{ConfigArgs, Exit, complain, load};
use crate::{
    boot::{Options, Sidecar, StartError},
    config::{self, Finding, Loaded, Machine},
    event::{Clock, SystemClock},
    telemetry::{Format, Level, Log, Metrics},
};
use clap::{Args, ValueEnum};
use std::{io, sync::Arc};

#[derive(Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// How the log is written; text on a terminal, JSON otherwise.
    #[arg(long, env = "HOOKWARD_LOG", value_name = "FORMAT")]
    log: Option<LogFormat>,
    /// The least important lines that are written.
    #[arg(long, env = "HOOKWARD_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    log_level: Level,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

pub(super) fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    let Loaded { settings, warnings, .. } = match load(&args.config) {
        Ok(loaded) => loaded,
        Err(exit) => return Ok(exit),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    let format = match args.log {
        Some(LogFormat::Text) => Format::Text,
        Some(LogFormat::Json) => Format::Json,
        None => Format::for_stdout(),
    };
    let sink = Box::new(io::stdout());
    let log = Log::start(format, args.log_level, sink, clock.clone(), metrics.log_dropped.clone())?;
    tracing::subscriber::set_global_default(log.events())?;
    for warning in warnings.problems() {
        log.message(Level::Warn, &warning.message, &[("at", &place(warning))]);
    }
    let path = config::locate(args.config.config.as_deref(), &Machine);
    let reload = move || {
        let loaded = config::load(&path, &Machine);
        loaded
            .map(|loaded| loaded.settings)
            .map_err(|errors| errors.render(false))
    };
    let options = Options {
        clock,
        log: log.clone(),
        metrics,
        reload: Some(Box::new(reload)),
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

/// `file:line:column`, as editors and terminals link it.
fn place(finding: &Finding) -> String {
    match (finding.line, finding.column) {
        (Some(line), Some(column)) => format!("{}:{line}:{column}", finding.file),
        _ => finding.file.clone(),
    }
}
