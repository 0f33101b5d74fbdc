//! `hookward providers`: the presets, and one with all its facts, its YAML and how to set it up at the provider.

use super::{Exit, Output, complain, moment, say};
use crate::{
    config,
    provider::{self, Listing},
};
use clap::Args;
use serde_json::{Value, json};
use std::{fmt::Write, time::Duration};

/// The guide to a scheme of one's own: a configuration with one source for each usual scheme.
const CUSTOM: &str = include_str!("../../config/examples/custom.yaml");

#[derive(Args)]
pub(super) struct ProvidersArgs {
    /// One preset, with all that is known of it, or `custom`: a scheme of your own, by examples. All of them in a table if
    /// absent.
    name: Option<String>,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn providers(args: &ProvidersArgs) -> anyhow::Result<Exit> {
    let all = provider::listings();
    let Some(name) = &args.name else {
        let text = match args.output {
            Output::Text => table(&all),
            Output::Json => {
                let values = all.iter().map(serde_json::to_value);
                document(&values.collect::<Result<Vec<_>, _>>()?)?
            }
        };
        say(text.trim_end())?;
        return Ok(Exit::Fine);
    };
    if name == "custom" {
        let text = match args.output {
            Output::Text => CUSTOM.to_owned(),
            Output::Json => document(&[json!({"name": "custom", "title": "A scheme of your own", "yaml": CUSTOM})])?,
        };
        say(text.trim_end())?;
        return Ok(Exit::Fine);
    }
    let (Some(one), Some(yaml)) = (all.iter().find(|one| one.name == *name), provider::yaml(name)) else {
        let known = config::nearest(name, provider::names());
        let hint = known.map_or_else(
            || {
                "`hookward providers` lists all of them, and `hookward providers custom` shows how a sender without a preset \
                 is described (`provider: custom`)"
                    .to_owned()
            },
            |meant| format!("did you mean `{meant}`?"),
        );
        complain(&format!("error: there is no provider `{name}`; {hint}"));
        return Ok(Exit::Usage);
    };
    let text = match args.output {
        Output::Text => page(one, yaml),
        Output::Json => {
            let mut value = serde_json::to_value(one)?;
            value["yaml"] = yaml.into();
            document(&[value])?
        }
    };
    say(text.trim_end())?;
    Ok(Exit::Fine)
}

fn document(providers: &[Value]) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&json!({"schema_version": 1, "providers": providers}))
}

fn table(all: &[Listing]) -> String {
    let header = ["NAME", "TITLE", "SCHEME", "COVERS", "RETRIES", "PROOF"].map(str::to_owned);
    let mut rows = vec![header];
    rows.extend(all.iter().map(|one| {
        [
            one.name.clone(),
            one.title.clone(),
            one.scheme.to_owned(),
            covers(one).to_owned(),
            retries(one).to_owned(),
            one.proof.clone(),
        ]
    }));
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            write!(line, "{cell:width$}  ").expect("writing to a String cannot fail");
        }
        writeln!(text, "{}", line.trim_end()).expect("writing to a String cannot fail");
    }
    text
}

fn covers(one: &Listing) -> &'static str {
    match one.covers {
        provider::preset::Covers::Nothing => "nothing",
        provider::preset::Covers::Fields => "fields",
        provider::preset::Covers::Body => "body",
    }
}

fn retries(one: &Listing) -> &'static str {
    match (one.retries, one.resigns) {
        (false, _) => "by hand",
        (true, true) => "re-signed",
        (true, false) => "automatic",
    }
}

/// All that is known of one; a line is left out where there is nothing to say.
fn page(one: &Listing, yaml: &str) -> String {
    let seconds = |seconds: Option<u64>| {
        seconds
            .map(|seconds| moment::span(Duration::from_secs(seconds)))
            .unwrap_or_default()
    };
    let marks = |yes: bool, text: &str| if yes { text.to_owned() } else { String::new() };
    let signed = |places: &[String], signed: bool| match (places, signed) {
        ([], _) => "none".to_owned(),
        (places, true) => format!("{} (signed)", places.join(", ")),
        (places, false) => format!("{} (not signed)", places.join(", ")),
    };
    let facts = [
        ("scheme", one.scheme.to_owned()),
        ("covers", covers(one).to_owned()),
        ("signs", one.signs.join("  or  ")),
        ("signature", one.signature.join(", ")),
        ("timestamp", one.timestamp.clone().unwrap_or_default()),
        ("tolerance", seconds(one.tolerance_seconds)),
        ("id", signed(&one.id, one.id_signed)),
        ("event", signed(&one.event, one.event_signed)),
        (
            "identity",
            format!("{}: {}", one.identity.as_str(), one.identity_reason),
        ),
        ("replays", one.identity.replay_limit().unwrap_or_default().to_owned()),
        ("retries", retries(one).to_owned()),
        ("keep", seconds(one.keep_seconds)),
        (
            "deadline",
            one.deadline_ms.map_or_else(
                || "not known: `timeout` holds".to_owned(),
                |ms| format!("{} s", ms / 1000),
            ),
        ),
        (
            "max_body",
            one.max_body.map_or_else(
                || "not known: `defaults.max_body` holds".to_owned(),
                |bytes| format!("{} MiB", bytes >> 20),
            ),
        ),
        (
            "keys",
            marks(one.fetches_keys, "fetched from the provider, unless they are pinned"),
        ),
        ("public_url", marks(one.needs_public_url, "needed: the URL is signed")),
        ("settings", one.settings.join(", ")),
        ("optional", one.optional_settings.join(", ")),
        ("handshake", marks(one.handshake, "answered")),
        ("samples", one.samples.join(", ")),
        ("proof", one.proof.clone()),
        ("unverified", one.unverified.join(", ")),
        ("docs", one.docs.clone()),
    ];
    let mut text = format!("{}  {}\n", one.name, one.title);
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(text, "  {name:11} {value}").expect("writing to a String cannot fail");
    }
    write!(text, "\nset up\n  {}\n\n{}", one.setup.trim(), example(one)).expect("writing to a String cannot fail");
    write!(text, "\nconfig/providers/{}.yaml\n", one.name).expect("writing to a String cannot fail");
    for line in yaml.lines() {
        writeln!(text, "  {line}").expect("writing to a String cannot fail");
    }
    text
}

/// A source to begin with.
fn example(one: &Listing) -> String {
    let name = &one.name;
    let mut text = format!("a source\n  {name}:\n    provider: {name}\n    path: /webhooks/{name}\n");
    if one.scheme == "none" {
        text.push_str("    allow_unverified: true\n");
    } else if !one.fetches_keys {
        writeln!(text, "    secrets: [{{file: /run/secrets/{name}}}]").expect("writing to a String cannot fail");
    }
    if one.needs_public_url {
        text.push_str("    public_url: https://hooks.example.com\n");
    }
    let needed: Vec<String> = one
        .settings
        .iter()
        .map(|setting| match setting.strip_suffix("_token") {
            _ if setting == "confirm_subscription" => format!("{setting}: true"),
            Some(_) => format!("{setting}: {{file: /run/secrets/{name}-{setting}}}"),
            None => format!("{setting}: …"),
        })
        .collect();
    if !needed.is_empty() {
        writeln!(text, "    settings: {{{}}}", needed.join(", ")).expect("writing to a String cannot fail");
    }
    text
}
