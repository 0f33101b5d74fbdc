//! The health listener: three probes with one check a line, and the metrics.

use super::{
    Check, Control,
    answer::{self, Answer, Refusal},
};
use crate::telemetry::Exposition;
use http::{Method, Request, StatusCode, header};
use serde_json::json;
use std::fmt::Write;

/// Answers one request. The body is not looked at: hyper closes the connection if there is one.
pub(super) fn answer<B>(request: &Request<B>, control: &dyn Control) -> Answer {
    let probe: fn(&dyn Control) -> Vec<Check> = match request.uri().path() {
        "/livez" => |control| control.liveness(),
        "/readyz" => |control| control.readiness(),
        "/startupz" => |control| control.startup(),
        "/metrics" => |_| Vec::new(),
        _ => {
            return answer::of(
                StatusCode::NOT_FOUND,
                "text/plain; charset=utf-8",
                "/livez\n/readyz\n/startupz\n/metrics\n",
            );
        }
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Refusal::method("GET, HEAD").into_answer();
    }
    if request.uri().path() == "/metrics" {
        let accept = request
            .headers()
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok());
        let format = Exposition::accepted(accept);
        return answer::of(StatusCode::OK, format.content_type(), control.metrics(format));
    }
    let query = request.uri().query().unwrap_or("");
    report(&probe(control), query.split('&').any(|pair| pair == "format=json"))
}

/// 200 if every check is as it should be, else 503.
fn report(checks: &[Check], as_json: bool) -> Answer {
    let ok = checks.iter().all(|check| check.ok);
    let status = if ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let word = |ok| if ok { "ok" } else { "failed" };
    if as_json {
        let checks = checks
            .iter()
            .map(|check| json!({ "name": check.name, "ok": check.ok, "detail": check.detail }));
        return answer::json(
            status,
            json!({ "status": word(ok), "checks": checks.collect::<Vec<_>>() }),
        );
    }
    let mut text = String::new();
    for check in checks {
        let separator = if check.detail.is_empty() { "" } else { ": " };
        writeln!(
            text,
            "{:<6} {}{separator}{}",
            word(check.ok),
            check.name,
            check.detail.escape_debug()
        )
        .expect("writing to a String cannot fail");
    }
    answer::of(status, "text/plain; charset=utf-8", text)
}
