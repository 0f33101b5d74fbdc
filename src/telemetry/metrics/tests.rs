//! The names and labels of the contract, letter by letter.

use super::*;
use std::collections::BTreeMap;

/// Section 6 of the contract, and what hookward counts beyond it.
const FAMILIES: &[(&str, &str, &str)] = &[
    ("hookward_requests_total", "counter", "source,outcome"),
    ("hookward_request_duration_seconds", "histogram", "source"),
    ("hookward_added_duration_seconds", "histogram", "source"),
    ("hookward_deliveries_total", "counter", "source,destination,result"),
    ("hookward_last_delivered_timestamp_seconds", "gauge", "source"),
    ("hookward_upstream_duration_seconds", "histogram", "destination"),
    ("hookward_ledger_duration_seconds", "histogram", "op"),
    ("hookward_ledger_up", "gauge", ""),
    ("hookward_ledger_entries", "gauge", ""),
    ("hookward_secret_used_total", "counter", "source,secret"),
    ("hookward_signature_age_seconds", "histogram", "source"),
    ("hookward_signature_future_total", "counter", "source"),
    ("hookward_reload_total", "counter", "result"),
    ("hookward_in_flight", "gauge", ""),
    ("hookward_connections", "gauge", ""),
    ("hookward_buffered_bytes", "gauge", ""),
    ("hookward_config_reload_success", "gauge", ""),
    ("hookward_config_reload_timestamp_seconds", "gauge", ""),
    ("hookward_build_info", "gauge", "version"),
    ("hookward_events_unreadable_total", "counter", "source"),
    ("hookward_replies_too_large_total", "counter", "destination"),
    ("hookward_tls_handshake_failures_total", "counter", "cause"),
    ("hookward_ledger_forgotten_total", "counter", ""),
    ("hookward_log_dropped_total", "counter", ""),
];

const OUTCOMES: &[&str] = &["delivered", "unverified"];

fn metrics() -> (Metrics, SourceMeters) {
    let metrics = Metrics::new("1.2.3");
    let stripe = SourceName::parse("stripe").expect("a name");
    let to = [
        DestinationName::upstream(),
        DestinationName::parse("billing").expect("a name"),
    ];
    let meters = metrics.source(&stripe, OUTCOMES, &["2026".to_owned(), "1".to_owned()], &to);
    metrics.no_source(OUTCOMES);
    metrics.tls_handshake_failures("timeout");
    (metrics, meters)
}

/// Sample name and labels, in the order written, to the value as written.
fn samples(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').expect("a value")).collect()
}

#[test]
fn every_family_of_the_contract_is_there_from_the_start() {
    let (metrics, _) = metrics();
    let text = metrics.render(Exposition::Prometheus);
    let samples = samples(&text);
    for (name, kind, labels) in FAMILIES {
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} is no {kind}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
        let series = if *kind == "histogram" {
            format!("{name}_count")
        } else {
            (*name).to_owned()
        };
        let found = samples
            .keys()
            .find(|key| key.split('{').next() == Some(&series))
            .unwrap_or_else(|| panic!("{series} has no sample"));
        let written: Vec<&str> = found[series.len()..]
            .trim_matches(['{', '}'])
            .split(',')
            .map(|label| label.split('=').next().unwrap_or(""))
            .collect();
        assert_eq!(written.join(","), *labels, "{name}");
    }
    let families = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
    assert_eq!(
        families,
        FAMILIES.len(),
        "a family that this list does not know:\n{text}"
    );
    assert!(!text.contains("_total_total") && !text.contains("_seconds_seconds") && !text.contains("# EOF"));
    let set = ["hookward_ledger_up", "hookward_build_info{version=\"1.2.3\"}"];
    for (series, value) in samples {
        let expected: &[&str] = if set.contains(&series) { &["1"] } else { &["0", "0.0"] };
        assert!(expected.contains(&value), "{series} is {value}");
    }
}

#[test]
fn openmetrics_text_has_the_same_samples_and_ends_in_eof() {
    let (metrics, meters) = metrics();
    meters.request(1, Duration::from_millis(3), Duration::from_micros(70));
    let (open, plain) = (
        metrics.render(Exposition::OpenMetrics),
        metrics.render(Exposition::Prometheus),
    );
    assert_eq!(samples(&open), samples(&plain));
    assert!(open.ends_with("\n# EOF\n"));
    assert!(open.contains("# TYPE hookward_requests counter\n") && open.contains("# TYPE hookward_build info\n"));
}

#[test]
fn what_is_counted_shows_under_its_labels() {
    let (metrics, meters) = metrics();
    meters.request(1, Duration::from_millis(3), Duration::from_micros(70));
    meters.delivery(1, DeliveryResult::Timeout, Some(Duration::from_secs(3)));
    meters.delivery(0, DeliveryResult::Unreachable, None);
    meters.delivered(Timestamp::from_millis(1_700_000_000_900));
    meters.secret_used(0);
    meters.signature_age(-4000);
    meters.signature_age(4000);
    meters.event_unreadable();
    meters.reply_too_large(1);
    metrics.ledger(LedgerOp::Settle, Duration::from_micros(300));
    metrics.config_loaded(Timestamp::from_secs(1_700_000_000));
    metrics.reload_failed();
    let text = metrics.render(Exposition::Prometheus);
    let samples = samples(&text);
    for (series, value) in [
        (r#"hookward_requests_total{source="stripe",outcome="unverified"}"#, "1"),
        (r#"hookward_requests_total{source="stripe",outcome="delivered"}"#, "0"),
        (r#"hookward_requests_total{source="",outcome="unverified"}"#, "0"),
        (r#"hookward_request_duration_seconds_sum{source="stripe"}"#, "0.003"),
        (
            r#"hookward_request_duration_seconds_bucket{le="0.0025",source="stripe"}"#,
            "0",
        ),
        (
            r#"hookward_request_duration_seconds_bucket{le="0.005",source="stripe"}"#,
            "1",
        ),
        (
            r#"hookward_request_duration_seconds_bucket{le="+Inf",source="stripe"}"#,
            "1",
        ),
        (
            r#"hookward_added_duration_seconds_bucket{le="0.00001",source="stripe"}"#,
            "0",
        ),
        (
            r#"hookward_added_duration_seconds_bucket{le="0.0001",source="stripe"}"#,
            "1",
        ),
        (
            r#"hookward_deliveries_total{source="stripe",destination="billing",result="timeout"}"#,
            "1",
        ),
        (
            r#"hookward_deliveries_total{source="stripe",destination="upstream",result="unreachable"}"#,
            "1",
        ),
        (
            r#"hookward_upstream_duration_seconds_count{destination="billing"}"#,
            "1",
        ),
        (
            r#"hookward_upstream_duration_seconds_count{destination="upstream"}"#,
            "0",
        ),
        (
            r#"hookward_last_delivered_timestamp_seconds{source="stripe"}"#,
            "1700000000",
        ),
        (r#"hookward_secret_used_total{source="stripe",secret="2026"}"#, "1"),
        (r#"hookward_signature_age_seconds_count{source="stripe"}"#, "2"),
        (r#"hookward_signature_age_seconds_sum{source="stripe"}"#, "4.0"),
        (r#"hookward_signature_future_total{source="stripe"}"#, "1"),
        (r#"hookward_events_unreadable_total{source="stripe"}"#, "1"),
        (r#"hookward_replies_too_large_total{destination="billing"}"#, "1"),
        (r#"hookward_ledger_duration_seconds_count{op="settle"}"#, "1"),
        (r#"hookward_reload_total{result="failure"}"#, "1"),
        ("hookward_config_reload_success", "0"),
        ("hookward_config_reload_timestamp_seconds", "1700000000"),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series} in\n{text}");
    }
}

#[test]
fn counts_survive_a_reload_of_the_source() {
    let (metrics, before) = metrics();
    before.request(0, Duration::ZERO, Duration::ZERO);
    let stripe = SourceName::parse("stripe").expect("a name");
    let after = metrics.source(&stripe, OUTCOMES, &[], &[]);
    after.request(0, Duration::ZERO, Duration::ZERO);
    before.request(0, Duration::ZERO, Duration::ZERO);
    let text = metrics.render(Exposition::Prometheus);
    assert_eq!(
        samples(&text)[r#"hookward_requests_total{source="stripe",outcome="delivered"}"#],
        "3"
    );
}
