//! What can be done with the trial's sidecar while it stays up: commands to paste.

use super::{scenario, sender::quoted, stage::Stage};
use crate::cli::Cli;
use clap::Parser;
use std::{fmt::Write, path::Path};

/// The program's verbs that go with a trial, the configuration apart, and what they are good for.
const VERBS: [(&str, &[&str]); 8] = [
    ("is it ready?", &["probe", "readyz"]),
    ("a sample of Stripe's, signed", &["send", "stripe"]),
    ("and a forged one", &["send", "stripe", "--bad", "signature"]),
    ("watch requests as they end", &["tail"]),
    (
        "let the Stripe event through once more",
        &["forget", "stripe", "evt_yours"],
    ),
    ("another signed request", &["sign", "stripe", "-o", "curl"]),
    ("is the configuration good?", &["check"]),
    ("which providers are known?", &["providers"]),
];

/// Printed after the trial; `configuration` is the file that the verbs read, if there is one.
pub(super) fn hints(stage: &Stage, configuration: Option<&Path>) -> anyhow::Result<String> {
    let now = stage.clock.wall();
    let at = stage.sidecar.addresses();
    let signed = scenario::another_refund(&stage.senders, now)?.curl(at.webhooks);
    let token = scenario::another_job(&stage.senders, now)?.curl(at.webhooks);
    let mut text = format!(
        "
It stays up, and tells of every further request as above. Paste these into another terminal:

# as Stripe would sign it, good for five minutes. Paste it twice: the second one is a replay.
{signed}

# with the token, good for as long as this runs
{token}

# what it counts
curl -s http://{}/metrics

# what it looks like
http://{}
",
        at.health, at.admin
    );
    if let Some(file) = configuration {
        for (what, command) in commands(&program(), &file.to_string_lossy()) {
            // Writing to a string cannot fail.
            let _written = write!(text, "\n# {what}\n{command}\n");
        }
        let _written = write!(text, "\nThe configuration is {} (gone when this ends).", file.display());
    }
    Ok(text + "\n^C to quit")
}

/// The verbs that this program has, as lines for a shell.
fn commands(program: &str, configuration: &str) -> Vec<(&'static str, String)> {
    let mut commands = Vec::new();
    for (what, verb) in VERBS {
        let mut words = vec![program];
        words.extend(verb);
        if verb != ["providers"] {
            words.extend(["-c", configuration]);
        }
        if Cli::try_parse_from(&words).is_ok() {
            let words: Vec<String> = words.into_iter().map(quoted).collect();
            commands.push((what, words.join(" ")));
        }
    }
    commands
}

/// How this program was called, so that the commands can be pasted.
fn program() -> String {
    let called = std::env::args_os().next();
    called.map_or_else(|| "hookward".to_owned(), |called| called.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_this_program() {
        let commands = commands("hookward", "it's.yaml");
        let probe = ("is it ready?", r"hookward probe readyz -c 'it'\''s.yaml'".to_owned());
        assert_eq!(commands[0], probe);
        assert!(commands[1].1.starts_with("hookward send stripe -c"));
        assert!(commands[4].1.starts_with("hookward forget stripe evt_yours -c"));
    }
}
