//! `hookward sign`: the headers that a source's provider would send for a body, for a trial by hand.

mod letter;

use super::{ConfigArgs, Exit, complain, load, moment, read, say, subject::Subject};
use crate::{
    boot::trial::Content,
    event::{Clock, SystemClock, Timestamp},
    provider::Fresh,
};
use clap::{Args, ValueEnum};
use letter::Letter;
use std::path::PathBuf;

/// No webhook is larger, and a body is held in memory.
const LONGEST: u64 = 256 << 20;

#[derive(Args)]
pub(super) struct SignArgs {
    /// The source, as the configuration names it.
    source: String,
    /// The event type, for providers that send it in a header; else that of the provider's first sample.
    event: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// The body, byte for byte; `-` is stdin. Else a sample event of the provider is taken.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The time to sign, Unix seconds; now if absent.
    #[arg(long, value_name = "UNIX", value_parser = moment::unix)]
    at: Option<Timestamp>,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// `Name: value`, one a line.
    #[default]
    Headers,
    /// A command that sends it to the sidecar.
    Curl,
    /// One object, which `explain --request` reads too.
    Json,
}

pub(super) fn sign(args: &SignArgs) -> anyhow::Result<Exit> {
    let loaded = match load(&args.config) {
        Ok(loaded) => loaded,
        Err(exit) => return Ok(exit),
    };
    let subject = match Subject::of(&loaded.settings, &args.source) {
        Ok(subject) => subject,
        Err(none) => return Ok(none.complain()),
    };
    let at = args.at.unwrap_or_else(|| SystemClock::new().wall());
    let content = if let Some(path) = &args.data {
        match read(path, LONGEST) {
            Ok(body) => Content {
                event: event_of(args, &subject),
                ..Content::of(body.into())
            },
            Err(exit) => return Ok(exit),
        }
    } else if args.event.is_some() || subject.provider.sample_events().next().is_some() {
        let sample = subject.provider.sample(args.event.as_deref(), Fresh::at(at));
        let origin = if sample.known { "sample event" } else { "made-up event" };
        complain(&format!(
            "note: no --data, so this signs the {origin} `{}`",
            sample.event
        ));
        Content::of_sample(sample)
    } else {
        complain("error: this provider has no sample event: give the body with --data FILE");
        return Ok(Exit::Usage);
    };
    let letter = match Letter::write(&loaded.settings, &subject, content, at, args.data.as_deref()) {
        Ok(letter) => letter,
        Err(reason) => {
            complain(&format!(
                "error: source `{}` cannot be signed for: {reason}",
                args.source
            ));
            return Ok(Exit::Finding);
        }
    };
    if let Some(doubt) = letter.doubt(&subject) {
        complain(&format!("note: hookward itself would not take this: {doubt}"));
    }
    if args.output == Form::Headers && !letter.is_proven_by_headers() {
        complain(&format!(
            "error: source `{}` cannot be signed for by headers alone: the credential travels in the query or the body (`-o \
             curl` and `-o json` show the whole request)",
            args.source
        ));
        return Ok(Exit::Finding);
    }
    say(&match args.output {
        Form::Headers => letter.headers(),
        Form::Curl => letter.curl(),
        Form::Json => letter.json()?,
    })?;
    Ok(Exit::Fine)
}

/// The event that a body of the operator's own is signed with. In a body it stands already; a header has to name one.
fn event_of(args: &SignArgs, subject: &Subject<'_>) -> Option<String> {
    match (&args.event, subject.provider.event_header()) {
        (Some(event), Some(_)) => Some(event.clone()),
        (Some(event), None) => {
            complain(&format!(
                "note: the body itself names its event, so `{event}` changes nothing"
            ));
            None
        }
        (None, Some(header)) => {
            let event = subject.provider.sample_events().next()?;
            complain(&format!(
                "note: no EVENT, so `{header}` is that of the preset's sample `{event}`"
            ));
            Some(event.to_owned())
        }
        (None, None) => None,
    }
}
