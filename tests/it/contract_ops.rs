//! What operators see of a running sidecar: metrics, log lines, probes, admin.

use super::support::{App, Request, Sidecar, signed};
use serde_json::Value;
use std::collections::BTreeMap;

const SOURCES: &str = "\
sources:
  hook: {provider: github, path: /hook, secrets: [{env: SECRET}, {env: WHSEC, id: old}]}
  cron: {provider: token, path: /cron, secrets: [{env: TOKEN}], id: \"header:X-Id\"}
  open: {provider: none, path: /open, allow_unverified: true, to: [side, {destination: other, required: false}]}
destinations:
  side: {url: \"http://127.0.0.1:9/side\"}
  other: {url: \"http://127.0.0.1:9/other\"}
";

const OUTCOMES: [&str; 22] = [
    "delivered",
    "duplicate",
    "replayed",
    "conflict",
    "in_flight",
    "filtered",
    "challenge",
    "malformed",
    "no_source",
    "method",
    "client_denied",
    "unverified",
    "stale",
    "penalized",
    "rate_limited",
    "too_slow",
    "too_large",
    "overloaded",
    "ledger_unavailable",
    "upstream_unreachable",
    "upstream_timeout",
    "upstream_failed",
];

fn get(path: &str) -> Request {
    Request::post(path, "")
        .method("GET")
        .without("Content-Length")
        .replace("Host", "localhost")
}

fn metrics(sidecar: &Sidecar, accept: &str) -> (String, String) {
    let answer = get("/metrics").header("Accept", accept).send(sidecar.addresses.health);
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type").expect("a type").to_owned();
    (kind, String::from_utf8(answer.body).expect("text"))
}

/// Every series with its value.
fn series(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parsed = lines.map(|line| {
        let (series, value) = line.rsplit_once(' ').expect("a series and a value");
        (series, value.parse().expect("a number"))
    });
    parsed.collect()
}

#[test]
fn every_metric_is_there_from_the_start() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let (kind, text) = metrics(&sidecar, "*/*");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let found = series(&text);

    for source in ["", "hook", "cron", "open"] {
        for outcome in OUTCOMES {
            let name = format!("hookward_requests_total{{source=\"{source}\",outcome=\"{outcome}\"}}");
            assert_eq!(found.get(name.as_str()), Some(&0.0), "{name}");
        }
    }
    for (source, destination) in [
        ("hook", "upstream"),
        ("cron", "upstream"),
        ("open", "side"),
        ("open", "other"),
    ] {
        for result in ["delivered", "failed", "timeout", "unreachable"] {
            let name = format!(
                "hookward_deliveries_total{{source=\"{source}\",destination=\"{destination}\",result=\"{result}\"}}"
            );
            assert_eq!(found.get(name.as_str()), Some(&0.0), "{name}");
        }
    }
    for zero in [
        "hookward_last_delivered_timestamp_seconds{source=\"hook\"}",
        "hookward_request_duration_seconds_count{source=\"hook\"}",
        "hookward_added_duration_seconds_count{source=\"hook\"}",
        "hookward_upstream_duration_seconds_count{destination=\"upstream\"}",
        "hookward_upstream_duration_seconds_count{destination=\"other\"}",
        "hookward_ledger_duration_seconds_count{op=\"claim\"}",
        "hookward_ledger_duration_seconds_count{op=\"settle\"}",
        "hookward_ledger_duration_seconds_count{op=\"renew\"}",
        "hookward_ledger_duration_seconds_count{op=\"forget\"}",
        "hookward_ledger_entries",
        "hookward_secret_used_total{source=\"hook\",secret=\"0\"}",
        "hookward_secret_used_total{source=\"hook\",secret=\"old\"}",
        "hookward_secret_used_total{source=\"cron\",secret=\"0\"}",
        "hookward_signature_age_seconds_count{source=\"hook\"}",
        "hookward_signature_future_total{source=\"hook\"}",
        "hookward_reload_total{result=\"success\"}",
        "hookward_reload_total{result=\"failure\"}",
        "hookward_in_flight",
        "hookward_connections",
        "hookward_buffered_bytes",
    ] {
        assert_eq!(found.get(zero), Some(&0.0), "{zero}");
    }
    assert_eq!(found.get("hookward_ledger_up"), Some(&1.0));
    assert_eq!(found.get("hookward_config_reload_success"), Some(&1.0));
    let loaded = format!("hookward_config_reload_timestamp_seconds {}\n", sidecar.now());
    assert!(text.contains(&loaded), "{loaded}: {text}");
    assert!(
        found.keys().any(|name| name.starts_with("hookward_build_info{")),
        "{text}"
    );

    let kinds: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    for (name, kind) in [
        ("hookward_requests_total", "counter"),
        ("hookward_request_duration_seconds", "histogram"),
        ("hookward_added_duration_seconds", "histogram"),
        ("hookward_deliveries_total", "counter"),
        ("hookward_last_delivered_timestamp_seconds", "gauge"),
        ("hookward_upstream_duration_seconds", "histogram"),
        ("hookward_ledger_duration_seconds", "histogram"),
        ("hookward_ledger_up", "gauge"),
        ("hookward_ledger_entries", "gauge"),
        ("hookward_secret_used_total", "counter"),
        ("hookward_signature_age_seconds", "histogram"),
        ("hookward_signature_future_total", "counter"),
        ("hookward_reload_total", "counter"),
        ("hookward_in_flight", "gauge"),
        ("hookward_connections", "gauge"),
        ("hookward_buffered_bytes", "gauge"),
        ("hookward_config_reload_success", "gauge"),
        ("hookward_config_reload_timestamp_seconds", "gauge"),
        ("hookward_build_info", "gauge"),
    ] {
        assert_eq!(kinds.get(name), Some(&kind), "{name}");
    }
}

#[test]
fn open_metrics_are_had_by_asking_for_them() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let (kind, text) = metrics(&sidecar, "application/openmetrics-text; version=1.0.0");
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(text.contains("# TYPE hookward_requests counter\n"), "{text}");
}

#[test]
fn a_request_is_one_line_with_every_key_and_no_secret() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let cron = |token: &str| {
        Request::post("/cron?key=canary-in-the-query", "{\"canary\":\"in-the-body\"}")
            .header("Authorization", format!("Bearer {token}"))
            .header("X-Id", "evt-1")
    };
    assert_eq!(sidecar.send(&cron(signed::TOKEN)).outcome(), "delivered");
    assert_eq!(sidecar.send(&cron("canary-of-a-forger")).outcome(), "unverified");
    assert_eq!(sidecar.send(&Request::post("/nowhere", "")).outcome(), "no_source");

    let logged = sidecar.logged();
    for never in ["canary", signed::TOKEN, signed::SECRET] {
        assert!(!logged.contains(never), "{never}: {logged}");
    }
    let lines: Vec<Value> = logged
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|line: &Value| line["msg"] == "request")
        .collect();
    let outcomes: Vec<&str> = lines.iter().filter_map(|line| line["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["delivered", "unverified", "no_source"]);
    for line in &lines {
        for key in [
            "ts",
            "level",
            "msg",
            "request_id",
            "trace_id",
            "source",
            "event",
            "delivery",
            "attempt",
            "outcome",
            "reason",
            "status",
            "client",
            "bytes",
            "duration_ms",
            "upstream_ms",
        ] {
            assert!(line.get(key).is_some(), "{key}: {line}");
        }
        assert_eq!(line["level"], "info");
        let time = line["ts"].as_str().expect("a text");
        let time: jiff::Timestamp = time.parse().expect("RFC 3339");
        assert_eq!(time.as_second(), sidecar.now());
    }
    assert_eq!(lines[0]["source"], "cron");
    assert_eq!(lines[0]["attempt"], 1);
    assert_eq!(
        lines[0]["delivery"],
        app.seen()[0].header("hookward-delivery").expect("one")
    );
    assert!(lines[0]["upstream_ms"].is_number() && lines[0]["reason"].is_null());
    assert!(lines[1]["reason"].is_string(), "{}", lines[1]);
    assert_eq!(lines[2]["source"], "");
}

#[test]
fn probes_say_one_check_a_line() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let health = sidecar.addresses.health;
    for (path, checks) in [("/livez", 1), ("/readyz", 3), ("/startupz", 2)] {
        let answer = get(path).send(health);
        let text = String::from_utf8(answer.body).expect("text");
        assert_eq!((answer.status, text.lines().count()), (200, checks), "{text}");
        let json = get(&format!("{path}?format=json")).send(health);
        assert_eq!(json.header("content-type"), Some("application/json"));
        let json = json.json();
        assert_eq!(json["schema_version"], 1, "{json}");
        assert_eq!(json["checks"].as_array().map(Vec::len), Some(checks), "{json}");
    }
    assert_eq!(get("/nothing").send(health).status, 404);
    assert_eq!(Request::post("/livez", "").send(health).status, 405);

    let asked = Request::post("/api/v1/drain", "{}")
        .replace("Host", "localhost")
        .header("Content-Type", "application/json")
        .header("Hookward-Admin", "1")
        .send(sidecar.addresses.admin);
    assert!((200..300).contains(&asked.status), "{}", asked.status);
    let unready = get("/readyz?format=json").send(health);
    assert_eq!(unready.status, 503);
    let checks = unready.json()["checks"].clone();
    let failing = checks
        .as_array()
        .expect("a list")
        .iter()
        .find(|check| check["ok"] == false);
    assert_eq!(failing.expect("one")["name"], "draining");
    assert_eq!(get("/livez").send(health).status, 200);
    assert_eq!(get("/startupz").send(health).status, 200);
    assert_eq!(sidecar.stop().cut, 0);
}

#[test]
fn admin_refuses_what_a_page_of_another_site_could_send() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let admin = sidecar.addresses.admin;
    let forget = || {
        Request::post("/api/v1/sources/cron/forget", "{\"delivery\":\"evt-1\"}")
            .replace("Host", format!("127.0.0.1:{}", admin.port()))
            .header("Content-Type", "application/json")
            .header("Hookward-Admin", "1")
    };
    let refused = |request: Request| {
        let answer = request.send(admin);
        assert_eq!(answer.json()["schema_version"], 1);
        answer.status
    };
    assert_eq!(refused(forget()), 404, "nothing was delivered yet");
    assert_eq!(refused(forget().without("Hookward-Admin")), 403);
    assert_eq!(refused(forget().replace("Content-Type", "text/plain")), 415);
    assert_eq!(refused(forget().header("Origin", "http://evil.example")), 403);
    assert_eq!(refused(forget().replace("Host", "evil.example")), 421);
    assert_eq!(refused(get("/api/v1/nothing")), 404);
    assert_eq!(refused(get("/api/v1/drain")), 405);
    for path in ["/api/v1/status", "/api/v1/sources"] {
        let answer = get(path).send(admin);
        assert_eq!(
            (answer.status, &answer.json()["schema_version"]),
            (200, &Value::from(1))
        );
        assert_eq!(get(path).replace("Host", "evil.example").send(admin).status, 421);
    }
    assert_eq!(get("/").send(admin).status, 200);

    let cron = Request::post("/cron", "{}")
        .header("Authorization", format!("Bearer {}", signed::TOKEN))
        .header("X-Id", "evt-1");
    assert_eq!(sidecar.send(&cron).outcome(), "delivered");
    assert_eq!(sidecar.send(&cron).outcome(), "duplicate");
    assert_eq!(refused(forget()), 200);
    assert_eq!(sidecar.send(&cron).outcome(), "delivered", "once more");
    assert_eq!(sidecar.send(&cron).outcome(), "duplicate", "and no more");
}
