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
    /// Not supported yet: all deliveries of this time.
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["delivery", "request"], hide = true)]
    since: Option<String>,
    /// Not supported yet: of these only the ones of this event.
    #[arg(long, value_name = "EVENT", requires = "since", hide = true)]
    event: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Where the sidecar's admin listener is; else `admin` of the configuration.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    admin: Option<SocketAddr>,
}

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
    let delivery = match (&args.delivery, &args.request) {
        (Some(delivery), _) => delivery.clone(),
        (None, Some(file)) => {
            let key = load(&args.config).and_then(|loaded| explain::key_of(&loaded.settings, &args.source, file));
            match key {
                Ok(key) => key.to_text(),
                Err(exit) => return Ok(exit),
            }
        }
        (None, None) => {
            complain("error: `--since` is not supported yet: name a delivery, or a `--request`");
            return Ok(Exit::Usage);
        }
    };
    let door = match door(&args.config, args.admin) {
        Ok(door) => door,
        Err(exit) => return Ok(exit),
    };
    let path = format!("/api/v1/sources/{}/forget", args.source);
    let answer = match door.post(&path, &json!({"delivery": delivery})) {
        Ok(answer) => answer,
        Err(error) => return Ok(unreachable(&door, &error)),
    };
    if answer.status.is_success() {
        say("it may be delivered once more within 10 minutes")?;
        return Ok(Exit::Fine);
    }
    complain(&format!("error: {}", answer.message()));
    if answer.status == StatusCode::NOT_FOUND && args.request.is_none() {
        // An id that a signature covers together with the body names no ledger key by itself.
        complain("a captured request names its delivery too: `--request FILE`");
    }
    Ok(if answer.status == StatusCode::SERVICE_UNAVAILABLE {
        Exit::Unavailable
    } else {
        Exit::Finding
    })
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
