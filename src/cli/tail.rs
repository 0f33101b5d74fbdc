//! `hookward tail`: deliveries as they happen, over the admin listener.

use super::{
    ConfigArgs, Exit, Output, complain,
    local::Answer,
    operate,
    paint::{Level, Paint, harmless},
    say,
};
use crate::source::Outcome;
use clap::{Args, builder::PossibleValuesParser};
use http::StatusCode;
use serde_json::Value;
use std::{fmt::Write, net::SocketAddr};

#[derive(Args)]
pub(super) struct TailArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where the sidecar's admin listener is; else `admin` of the configuration.
    #[arg(long, value_name = "ADDR", value_parser = operate::address)]
    admin: Option<SocketAddr>,
    /// How many of the last requests are shown before the live ones.
    #[arg(short = 'n', value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=5000))]
    last: u16,
    /// Of this source only.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// With this outcome only.
    #[arg(long, value_parser = PossibleValuesParser::new(Outcome::LABELS), hide_possible_values = true)]
    outcome: Option<String>,
    /// Of this event only.
    #[arg(long)]
    event: Option<String>,
    /// Of this delivery only: a `Hookward-Delivery` value.
    #[arg(long, value_name = "ID")]
    delivery: Option<String>,
    /// Refused requests only.
    #[arg(long)]
    refused: bool,
    /// How it is printed; `json` is one object a line.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

impl TailArgs {
    /// The filters as parts of a query.
    fn filters(&self) -> String {
        let fields = [
            ("source", &self.source),
            ("outcome", &self.outcome),
            ("event", &self.event),
            ("delivery", &self.delivery),
        ];
        let mut query = String::new();
        for (name, value) in fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
        {
            write!(query, "&{name}={}", escaped(value)).expect("writing to a String cannot fail");
        }
        if self.refused {
            query.push_str("&refused=true");
        }
        query
    }
}

/// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3).
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(byte.into());
        } else {
            write!(escaped, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    escaped
}

pub(super) fn tail(args: &TailArgs) -> anyhow::Result<Exit> {
    let door = match operate::door(&args.config, args.admin) {
        Ok(door) => door,
        Err(exit) => return Ok(exit),
    };
    let filters = args.filters();
    let paint = Paint::of_stdout();
    let shown = |event: &Whole| match args.output {
        Output::Json => event.json(),
        Output::Text => event.text(paint),
    };
    let mut after = None;
    if args.last > 0 {
        let answer = match door.get(&format!("/api/v1/deliveries?limit={}{filters}", args.last)) {
            Ok(answer) if answer.status.is_success() => answer,
            Ok(answer) => return Ok(refused(&answer)),
            Err(error) => return Ok(operate::unreachable(&door, &error)),
        };
        let list: Value = serde_json::from_str(&answer.text)?;
        after = list["last"].as_u64();
        for line in list["deliveries"].as_array().into_iter().flatten().rev() {
            let past = Whole {
                lost: false,
                data: line.to_string(),
            };
            say(&shown(&past))?;
        }
    }
    let mut event = Event::default();
    let mut failed = None;
    let path = format!("/api/v1/tail?{}", filters.trim_start_matches('&'));
    let ended = door.stream(&path, after, |line| {
        let Some(event) = event.take(line) else { return true };
        match say(&shown(&event)) {
            Ok(()) => true,
            Err(error) => {
                failed = Some(error);
                false
            }
        }
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    match ended {
        Ok(None) => {
            complain("the sidecar has ended");
            Ok(Exit::Fine)
        }
        Ok(Some(answer)) => Ok(refused(&answer)),
        Err(error) => Ok(operate::unreachable(&door, &error)),
    }
}

/// A filter that the sidecar does not know is a wrong argument.
fn refused(answer: &Answer) -> Exit {
    complain(&format!("error: {}", answer.message()));
    match answer.status {
        StatusCode::BAD_REQUEST => Exit::Usage,
        _ => Exit::Finding,
    }
}

/// A server-sent event, line by line (WHATWG HTML, 9.2.6).
#[derive(Default)]
struct Event {
    kind: String,
    data: String,
}

struct Whole {
    lost: bool,
    data: String,
}

impl Event {
    /// One more line; the empty one ends an event.
    fn take(&mut self, line: &str) -> Option<Whole> {
        if line.is_empty() {
            let Self { kind, data } = std::mem::take(self);
            let lost = kind == "lost";
            return (!data.is_empty()).then_some(Whole { lost, data });
        }
        match line.split_once(": ") {
            Some(("event", kind)) => kind.clone_into(&mut self.kind),
            Some(("data", data)) => data.clone_into(&mut self.data),
            // Comments, numbers, and what may come one day.
            _ => {}
        }
        None
    }
}

impl Whole {
    fn json(&self) -> String {
        // One object a line as it came, the version in front.
        format!("{{\"schema_version\":1,{}", self.data.trim_start_matches('{'))
    }

    fn text(&self, paint: Paint) -> String {
        let Ok(line) = serde_json::from_str::<Value>(&self.data) else {
            return harmless(&self.data);
        };
        if self.lost {
            return format!("{} {} requests were missed", paint.sign(Level::Warning), line["lost"]);
        }
        let word = |key: &str| line[key].as_str().map(harmless).unwrap_or_default();
        let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
        let level = match line["outcome"].as_str() {
            Some("delivered" | "filtered" | "duplicate" | "challenge") => Level::Ok,
            _ if line["refused"] == true => Level::Warning,
            _ => Level::Problem,
        };
        // The time of day is enough for an eye; the date stands in the log.
        let time = word("ts");
        let time = time.split_once('T').map_or(&*time, |(_, time)| time);
        let time = time.get(..8).unwrap_or(time);
        let mut lines = vec![format!(
            "{time} {} {} {}  {}  {}  from {}, {} bytes, {} ms",
            paint.sign(level),
            line["status"],
            or(word("source"), "(no source)"),
            paint.bold(&word("outcome")),
            or(word("event"), "-"),
            word("client"),
            line["bytes"],
            line["duration_ms"],
        )];
        let ids = [("delivery", word("delivery")), ("request", word("request_id"))];
        let ids: Vec<String> = ids
            .into_iter()
            .filter(|(_, id)| !id.is_empty())
            .map(|(what, id)| format!("{what} {id}"))
            .collect();
        lines.push(format!("           {}", ids.join(", ")));
        for destination in line["destinations"].as_array().into_iter().flatten() {
            let status = destination["status"].as_u64().map(|status| format!(" {status}"));
            lines.push(format!(
                "           -> {} {}{} in {} ms",
                destination["name"].as_str().unwrap_or_default(),
                destination["result"].as_str().unwrap_or_default(),
                status.unwrap_or_default(),
                destination["duration_ms"]
            ));
        }
        let reason = word("reason");
        if !reason.is_empty() {
            lines.push(format!("           {reason}"));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_from_lines() {
        let mut event = Event::default();
        for line in [": requests as they end", "", "id: 7", "data: {\"a\":1}"] {
            assert!(event.take(line).is_none(), "{line}");
        }
        let whole = event.take("").expect("an event");
        assert_eq!(
            (whole.lost, whole.json().as_str()),
            (false, "{\"schema_version\":1,\"a\":1}")
        );
        assert!(event.take("event: lost").is_none() && event.take("data: {\"lost\":3}").is_none());
        let whole = event.take("").expect("an event");
        assert!(whole.lost && whole.text(Paint::of_stdout()).contains("3 requests were missed"));
    }
}
