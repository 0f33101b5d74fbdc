//! `hookward enroll`: one window for the handshake in which a provider hands its secret out (Asana, Notion).

use super::{ConfigArgs, Exit, complain, local, operate, paint::harmless, say};
use clap::Args;
use http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::{io::IsTerminal, net::SocketAddr, sync::mpsc, thread, time::Duration};

/// How often the sidecar is asked.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Args)]
#[command(
    after_help = "Begin this, then enter the URL at the provider (Asana: create the webhook). The secret is printed when the \
                  window is over, because until then a second handshake makes both void; press Enter to close it earlier, \
                  once the provider says that it succeeded. Nothing is written: put the secret into the file that the \
                  source's `secrets` name."
)]
pub(super) struct EnrollArgs {
    /// The source, as the configuration names it.
    source: String,
    /// How long the window is open, at most 1h.
    #[arg(long = "for", value_name = "DURATION", default_value = "10m")]
    span: SignedDuration,
    #[command(flatten)]
    config: ConfigArgs,
    /// Where the sidecar's admin listener is; else `admin` of the configuration.
    #[arg(long, value_name = "ADDR", value_parser = operate::address)]
    admin: Option<SocketAddr>,
}

pub(super) fn enroll(args: &EnrollArgs) -> anyhow::Result<Exit> {
    let seconds = args.span.as_secs();
    if !(1..=3600).contains(&seconds) {
        complain("error: --for is 1s to 1h");
        return Ok(Exit::Usage);
    }
    let door = match operate::door(&args.config, args.admin) {
        Ok(door) => door,
        Err(exit) => return Ok(exit),
    };
    let path = format!("/api/v1/sources/{}/enroll", args.source);
    let opened = match ask(&door, &path, &json!({ "for": seconds })) {
        Ok(opened) => opened,
        Err(exit) => return Ok(exit),
    };
    let ticket = opened["ticket"].as_str().unwrap_or_default().to_owned();
    complain(&format!(
        "the window of `{}` is open for {seconds} s: enter the URL at the provider now",
        args.source
    ));
    let enter = enter();
    let mut seen = false;
    loop {
        let close = match enter.recv_timeout(LOOK) {
            Ok(()) => true,
            Err(mpsc::RecvTimeoutError::Timeout) => false,
            // Nobody sits there: the time alone decides.
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                thread::sleep(LOOK);
                false
            }
        };
        let told = match ask(&door, &path, &json!({ "ticket": ticket, "close": close })) {
            Ok(told) => told,
            Err(exit) => return Ok(exit),
        };
        let client = told["arrived_from"].as_str().map(harmless);
        match told["state"].as_str() {
            Some("open") => {
                if let Some(client) = client.filter(|_| !std::mem::replace(&mut seen, true)) {
                    complain(&format!(
                        "a handshake came from {client} and was answered; the secret follows when the window is over, in \
                         {} s{}",
                        told["seconds_left"],
                        if std::io::stdin().is_terminal() {
                            " (Enter closes it now)"
                        } else {
                            ""
                        }
                    ));
                }
            }
            Some("enrolled") => {
                complain(&format!("from {}", client.unwrap_or_default()));
                let word = |key: &str| told[key].as_str().map(harmless).unwrap_or_default();
                say(&format!("secret       {}", word("secret")))?;
                say(&format!("fingerprint  {}", word("fingerprint")))?;
                complain("it is kept nowhere: put it into the file that the source's `secrets` name");
                return Ok(Exit::Fine);
            }
            Some("void") => {
                complain(
                    "error: a second handshake came, so both are void: remove the webhook at the provider and begin anew",
                );
                return Ok(Exit::Finding);
            }
            _ => {
                complain("error: no handshake came while the window was open");
                return Ok(Exit::Finding);
            }
        }
    }
}

fn ask(door: &local::Door, path: &str, body: &Value) -> Result<Value, Exit> {
    let answer = door
        .post(path, body)
        .map_err(|error| operate::unreachable(door, &error))?;
    if answer.status != StatusCode::OK {
        complain(&format!("error: {}", answer.message()));
        return Err(Exit::Finding);
    }
    Ok(serde_json::from_str(&answer.text).unwrap_or_default())
}

/// Tells when somebody presses Enter; nothing comes where nobody sits at a terminal.
fn enter() -> mpsc::Receiver<()> {
    let (pressed, told) = mpsc::channel();
    if std::io::stdin().is_terminal() {
        thread::spawn(move || {
            let mut line = String::new();
            while std::io::stdin().read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                if pressed.send(()).is_err() {
                    break;
                }
            }
        });
    }
    told
}
