//! `hookward forget`, `drain` and `probe`: what is said to a running sidecar, for images without a shell.

use super::{ConfigArgs, Exit, complain, explain, load, local, refused, say};
use crate::config::{self, Machine};
use anyhow::Context;
use clap::{Args, ValueEnum};
use http::StatusCode;
use jiff::SignedDuration;
use serde_json::json;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

#[derive(Args)]
pub(super) struct ForgetArgs {
    /// The source, as the configuration names it.
    source: String,
    /// The `Hookward-Delivery` value of the delivery; logs show it.
    #[arg(required_unless_present_any = ["request", "since"])]
    delivery: Option<String>,
    /// A captured request of the delivery, as `explain` reads it.
    #[arg(long, value_name = "FILE", conflicts_with = "delivery")]
    request: Option<PathBuf>,
    /// All that was delivered within this time, such as 10m.
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["delivery", "request"])]
    since: Option<SignedDuration>,
    /// Of these only the ones of this event; `*` matches any text, and `pull_request` means `pull_request.opened` too.
    #[arg(long, value_name = "EVENT", requires = "since")]
    event: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Where the sidecar's admin listener is; else `admin` of the configuration.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    admin: Option<SocketAddr>,
}

/// The sidecar looks at a large ledger for up to a minute.
const FORGETTING: Duration = Duration::from_secs(75);

#[derive(Args)]
pub(super) struct DrainArgs {
    /// Wait so long after asking, so that load balancers notice; a preStop hook's job.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    wait: SignedDuration,
    #[command(flatten)]
    config: ConfigArgs,
    /// Where the sidecar's admin listener is; else `admin` of the configuration.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    admin: Option<SocketAddr>,
}

#[derive(Args)]
pub(super) struct ProbeArgs {
    /// What to ask.
    probe: Probe,
    #[command(flatten)]
    config: ConfigArgs,
    /// Where the sidecar's health listener is; else `health` of the configuration.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    health: Option<SocketAddr>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Probe {
    /// May it get requests?
    Readyz,
    /// Does it still work?
    Livez,
}

/// `IP:PORT`, also behind `http://`, and `localhost` for 127.0.0.1.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let local = bare.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let parsed = local.as_deref().unwrap_or(bare).parse();
    parsed.map_err(|_| format!("`{text}` is not an address with a port, such as 127.0.0.1:9481"))
}

pub(super) fn forget(args: &ForgetArgs) -> anyhow::Result<Exit> {
    // Each is asked for until one is known: a repeat has a record of its own beside that of its first delivery.
    let wishes = match (&args.delivery, &args.request, args.since) {
        (Some(delivery), ..) => vec![json!({ "delivery": delivery })],
        (None, Some(file), _) => {
            let keys = load(&args.config).and_then(|loaded| explain::keys_of(&loaded.settings, &args.source, file));
            match keys {
                Ok(keys) => keys.iter().map(|key| json!({ "delivery": key.to_text() })).collect(),
                Err(exit) => return Ok(exit),
            }
        }
        (None, None, Some(since)) if since.is_positive() => {
            vec![json!({ "since": format!("{since:#}"), "event": args.event })]
        }
        (None, None, _) => {
            complain("error: `--since` is a time such as 90s, 10m or 2h");
            return Ok(Exit::Usage);
        }
    };
    let door = match door(&args.config, args.admin) {
        Ok(door) => door,
        Err(exit) => return Ok(exit),
    };
    let path = format!("/api/v1/sources/{}/forget", args.source);
    let mut answer = None;
    for wish in &wishes {
        match door.post_patiently(&path, wish, FORGETTING) {
            Ok(given) if given.status == StatusCode::NOT_FOUND => answer = Some(given),
            Ok(given) => {
                answer = Some(given);
                break;
            }
            Err(error) => return Ok(unreachable(&door, &error)),
        }
    }
    let answer = answer.context("nothing to ask for")?;
    if answer.status.is_success() {
        return forgotten(args, &answer);
    }
    complain(&format!("error: {}", answer.message()));
    if answer.status == StatusCode::NOT_FOUND && args.delivery.is_some() {
        // An id that a signature covers together with the body names no ledger key by itself.
        complain("a captured request names its delivery too: `--request FILE`");
    }
    Ok(if answer.status == StatusCode::SERVICE_UNAVAILABLE {
        Exit::Unavailable
    } else {
        Exit::Finding
    })
}

/// What a sidecar that was willing has done.
fn forgotten(args: &ForgetArgs, answer: &local::Answer) -> anyhow::Result<Exit> {
    if args.since.is_none() {
        say("every replica lets it through once more, within 10 minutes")?;
        return Ok(Exit::Fine);
    }
    let document: serde_json::Value = serde_json::from_str(&answer.text).context("reading the sidecar's answer")?;
    let count = document["forgotten"].as_u64().unwrap_or_default();
    let deliveries = if count == 1 { "delivery" } else { "deliveries" };
    if count > 0 {
        say(&format!(
            "every replica lets {count} {deliveries} through once more, within 10 minutes"
        ))?;
    } else {
        complain("error: the ledger has no such delivery of this time");
    }
    if document["complete"] == false {
        complain("warning: the ledger is so large that not all of it could be looked at: name the deliveries instead");
    }
    Ok(if count == 0 { Exit::Finding } else { Exit::Fine })
}

pub(super) fn drain(args: &DrainArgs) -> anyhow::Result<Exit> {
    let door = match door(&args.config, args.admin) {
        Ok(door) => door,
        Err(exit) => return Ok(exit),
    };
    let answer = match door.post("/api/v1/drain", &json!({})) {
        Ok(answer) => answer,
        Err(error) => return Ok(unreachable(&door, &error)),
    };
    if !answer.status.is_success() {
        complain(&format!("error: {}", answer.message()));
        return Ok(Exit::Finding);
    }
    let wait = Duration::try_from(args.wait).context("--wait must not be negative")?;
    std::thread::sleep(wait);
    Ok(Exit::Fine)
}

pub(super) fn probe(args: &ProbeArgs) -> anyhow::Result<Exit> {
    let address = match args.health {
        Some(address) => address,
        None => match config::doors::health(&args.config.path(), &Machine) {
            Ok(address) => address,
            Err(errors) => return Ok(refused(&errors)),
        },
    };
    let door = local::Door::new(address, None);
    let path = match args.probe {
        Probe::Readyz => "/readyz",
        Probe::Livez => "/livez",
    };
    match door.get(path) {
        Ok(answer) => {
            say(answer.text.trim_end())?;
            Ok(if answer.status.is_success() {
                Exit::Fine
            } else {
                Exit::Finding
            })
        }
        Err(error) => Ok(unreachable(&door, &error)),
    }
}

pub(super) fn door(config: &ConfigArgs, admin: Option<SocketAddr>) -> Result<local::Door, Exit> {
    // An address alone is enough on loopback; a token stands in the configuration only.
    if let Some(address) = admin.filter(|address| address.ip().is_loopback() && config.config.is_none()) {
        return Ok(local::Door::new(address, None));
    }
    let configured = config::doors::admin(&config.path(), &Machine).map_err(|errors| refused(&errors))?;
    let address = admin.unwrap_or(configured.address);
    Ok(local::Door::new(address, configured.token))
}

pub(super) fn unreachable(door: &local::Door, error: &anyhow::Error) -> Exit {
    complain(&format!("error: no sidecar answers at {}: {error:#}", door.address()));
    Exit::Unavailable
}
