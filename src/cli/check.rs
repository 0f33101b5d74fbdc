//! `hookward check` (and `hookward -t`): the file, the secrets, the surroundings, before anything is started.

mod environment;
mod report;
mod secrets;

use super::{ConfigArgs, Exit, Output, colour, complain, say, subject::Subject};
use crate::{
    config::{self, ConfigErrors, Finding, Loaded, Machine, Settings, Severity},
    event::SystemClock,
    provider::preset::Covers,
};
use clap::Args;
use report::{Check, Report};

#[derive(Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Leave the surroundings out: no connection is made, no port is tried.
    #[arg(long)]
    offline: bool,
    /// A warning is a finding too (exit code 1).
    #[arg(long)]
    strict: bool,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn check(args: &CheckArgs) -> anyhow::Result<Exit> {
    let path = args.config.path();
    let mut report = Report::of(&path);
    let exit = match config::load(&path, &Machine) {
        Ok(loaded) => {
            let clock = SystemClock::new();
            file(&loaded, &mut report);
            secrets::check(&loaded, &clock, &mut report);
            if !args.offline {
                environment::check(&loaded.settings, &clock, &mut report)?;
            }
            let finding = report.problems() > 0 || args.strict && report.warnings() > 0;
            if finding { Exit::Finding } else { Exit::Fine }
        }
        Err(errors) => {
            if args.output == Output::Text {
                complain(errors.render(colour()).trim_end());
            }
            refused(&errors, &mut report);
            match errors.exit_code() {
                77 => Exit::NoSecret,
                _ => Exit::Config,
            }
        }
    };
    match args.output {
        Output::Text => say(report.to_text().trim_end())?,
        Output::Json => say(&serde_json::to_string_pretty(&report.to_json(exit))?)?,
    }
    Ok(exit)
}

/// A valid file, and what is noticed in it.
fn file(loaded: &Loaded, report: &mut Report) {
    let settings = &loaded.settings;
    let sources = super::paint::counted(settings.sources.len(), "source");
    let destinations = super::paint::counted(settings.destinations.len(), "destination");
    report.add(Check::ok("config", "", format!("valid: {sources}, {destinations}")));
    for source in &settings.sources {
        covered(settings, source.name.as_str(), report);
        repeatable(settings, source.name.as_str(), report);
    }
    for warning in loaded.warnings.problems() {
        report.add(located("config", warning));
    }
}

/// Where a proof does not cover the body, whoever sees one request can send another body with it.
fn covered(settings: &Settings, name: &str, report: &mut Report) {
    let Ok(subject) = Subject::of(settings, name) else {
        return;
    };
    let facts = subject.provider.facts();
    let told = match facts.covers {
        _ if !facts.takes_secrets => return,
        Covers::Body => return,
        Covers::Fields => "signs some fields only: the rest of a body can be changed on its way",
        Covers::Nothing => "proves the sender and not the body: whoever learns the token can send anything",
    };
    let message = format!("`{}` {told}", facts.name);
    report.add(
        Check::warning("config", name, message)
            .with_hint("use TLS all the way, and narrow who may send with `allow_from`"),
    );
}

/// Where nothing tells an honest repeat from a replay, the app has to know. An `id` of the source tells the events apart.
fn repeatable(settings: &Settings, name: &str, report: &mut Report) {
    let Ok(subject) = Subject::of(settings, name) else {
        return;
    };
    let facts = subject.provider.facts();
    let Some(limit) = facts
        .kind
        .replay_limit()
        .filter(|_| subject.settings.options.id.is_none())
    else {
        return;
    };
    let message = format!("`{}` may send equal bodies and signs no time: {limit}", facts.name);
    report.add(Check::info("config", name, message).with_hint(
        "requests reach the app with `Hookward-Repeat: unknown`: let the app read the state from the provider",
    ));
}

/// A file that is not valid, or whose secrets cannot be read.
fn refused(errors: &ConfigErrors, report: &mut Report) {
    let group = if errors.exit_code() == 77 {
        report.add(Check::ok("config", "", "valid, apart from its secrets"));
        "secrets"
    } else {
        "config"
    };
    for error in errors.problems() {
        report.add(located(group, error));
    }
    for warning in errors.warnings().problems() {
        report.add(located("config", warning));
    }
}

/// A finding of the configuration, as one line.
fn located(group: &'static str, finding: &Finding) -> Check {
    let message = finding.message.as_str();
    let mut check = match finding.severity {
        Severity::Error => Check::problem(group, "", message),
        Severity::Warning => Check::warning(group, "", message),
        Severity::Note => Check::info(group, "", message),
    };
    check.hint.clone_from(&finding.hint);
    check.file = Some(finding.file.clone());
    (check.line, check.column) = (finding.line, finding.column);
    check
}
