//! The binary as an operator has it: exit codes, what it logs and shows, what it needs.

use super::{
    redis::RedisServer,
    support::{
        App, Folder, Process, Request, hookward,
        process::{config, text},
        signed, wait_until,
        wire::Connection,
    },
};
use std::{net::TcpListener, time::Instant};

#[test]
fn a_busy_port_is_exit_69() {
    let (app, folder) = (App::start(), Folder::new());
    for key in ["listen", "health", "admin"] {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("it is bound").to_string();
        let yaml = config(&app).replace(&format!("{key}: 127.0.0.1:0"), &format!("{key}: {address}"));
        let path = folder.write("hookward.yaml", &yaml);
        let output = hookward(&["run", "-c", &path.display().to_string()]);
        assert_eq!(output.status.code(), Some(69), "{key}");
        let said = text(&output.stderr);
        assert!(said.contains(key) && said.contains(&address), "{said}");
    }
}

#[test]
fn two_replicas_may_not_share_a_port() {
    let (app, folder) = (App::start(), Folder::new());
    let yaml = config(&app);
    let first = Process::run(&folder.write("first.yaml", &yaml));
    let yaml = yaml.replace("listen: 127.0.0.1:0", &format!("listen: {}", first.webhooks));
    let path = folder.write("second.yaml", &yaml);
    let output = hookward(&["run", "-c", &path.display().to_string()]);
    assert_eq!(output.status.code(), Some(69), "{}", text(&output.stderr));
}

#[test]
fn an_invalid_configuration_is_exit_78_with_all_its_problems() {
    let folder = Folder::new();
    let path = folder.write(
        "hookward.yaml",
        "version: 1\nlissen: 127.0.0.1:0\nupstream: ftp://app\nsources:\n  github:\n    provider: githup\n    path: github\n    secrets: []\n",
    );
    let output = hookward(&["run", "-c", &path.display().to_string()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(output.stdout.is_empty(), "messages are for stderr");
    let said = text(&output.stderr);
    for place in [
        "hookward.yaml:2:1",
        "hookward.yaml:3:11",
        "hookward.yaml:6:15",
        "hookward.yaml:7:11",
    ] {
        assert!(said.contains(place), "{place} is not in:\n{said}");
    }
    assert!(
        said.contains("did you mean `github`?") && said.contains("did you mean `listen`?"),
        "{said}"
    );
    let missing = hookward(&["run", "-c", "/nowhere/hookward.yaml"]);
    assert_eq!(missing.status.code(), Some(78), "{}", text(&missing.stderr));
}

#[test]
fn a_secret_that_cannot_be_read_is_exit_77() {
    let (app, folder) = (App::start(), Folder::new());
    for secret in ["{env: NO_SUCH_VARIABLE}", "{file: /nowhere/secret}"] {
        let path = folder.write("hookward.yaml", &config(&app).replace("{env: SECRET}", secret));
        let output = hookward(&["run", "-c", &path.display().to_string()]);
        assert_eq!(output.status.code(), Some(77), "{secret}: {}", text(&output.stderr));
    }
}

#[test]
fn wrong_arguments_are_exit_2() {
    for arguments in [&["run", "--no-such-flag"][..], &["no-such-verb"], &[]] {
        assert_eq!(hookward(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(hookward(&["--version"]).status.code(), Some(0));
}

/// Dashboards and alerts are written before the first request.
#[test]
fn every_metric_stands_from_the_start() {
    let (app, folder) = (App::start(), Folder::new());
    let process = Process::run(&folder.write("hookward.yaml", &config(&app)));
    let answer = Request::get("/metrics").send(process.health);
    assert_eq!(answer.status, 200);
    let text = text(&answer.body);
    for series in [
        "hookward_requests_total{source=\"github\",outcome=\"delivered\"} 0",
        "hookward_requests_total{source=\"github\",outcome=\"unverified\"} 0",
        "hookward_requests_total{source=\"\",outcome=\"no_source\"} 0",
        "hookward_request_duration_seconds_count{source=\"github\"} 0",
        "hookward_added_duration_seconds_count{source=\"github\"} 0",
        "hookward_deliveries_total{source=\"github\",destination=\"upstream\",result=\"delivered\"} 0",
        "hookward_deliveries_total{source=\"github\",destination=\"upstream\",result=\"unreachable\"} 0",
        "hookward_last_delivered_timestamp_seconds{source=\"github\"} 0",
        "hookward_upstream_duration_seconds_count{destination=\"upstream\"} 0",
        "hookward_ledger_duration_seconds_count{op=\"claim\"} 0",
        "hookward_ledger_duration_seconds_count{op=\"settle\"} 0",
        "hookward_ledger_duration_seconds_count{op=\"renew\"} 0",
        "hookward_ledger_duration_seconds_count{op=\"forget\"} 0",
        "hookward_ledger_up 1",
        "hookward_ledger_entries 0",
        "hookward_secret_used_total{source=\"github\",secret=\"0\"} 0",
        "hookward_signature_age_seconds_count{source=\"github\"} 0",
        "hookward_signature_future_total{source=\"github\"} 0",
        "hookward_reload_total{result=\"success\"} 0",
        "hookward_reload_total{result=\"failure\"} 0",
        "hookward_in_flight 0",
        "hookward_connections 0",
        "hookward_buffered_bytes 0",
        "hookward_config_reload_success 1",
    ] {
        assert!(
            text.lines().any(|line| line == series || line == format!("{series}.0")),
            "{series} is not in:\n{text}"
        );
    }
    for start in ["hookward_config_reload_timestamp_seconds ", "hookward_build_info{"] {
        assert!(text.lines().any(|line| line.starts_with(start)), "{start}");
    }
}

#[test]
fn probes_tell_one_check_a_line_or_json() {
    let (app, folder) = (App::start(), Folder::new());
    let process = Process::run(&folder.write("hookward.yaml", &config(&app)));
    for probe in ["/livez", "/readyz", "/startupz"] {
        let answer = Request::get(probe).send(process.health);
        assert_eq!(answer.status, 200, "{probe}");
        assert!(!answer.body.is_empty() && answer.body.ends_with(b"\n"), "{probe}");
        let answer = Request::get(&format!("{probe}?format=json")).send(process.health);
        assert_eq!(
            (answer.status, &answer.json()["schema_version"]),
            (200, &serde_json::json!(1)),
            "{probe}"
        );
    }
    let checks = text(&Request::get("/readyz").send(process.health).body);
    assert_eq!(checks.lines().count(), 3, "{checks}");
    assert_eq!(Request::get("/github").send(process.health).status, 404);
    assert_eq!(Request::post("/livez", "").send(process.health).status, 405);
}

#[test]
fn an_outage_of_redis_is_logged_when_it_begins_and_when_it_ends() {
    let (app, mut redis, folder) = (App::start(), RedisServer::start(), Folder::new());
    let yaml = format!("{}redis: {{url: \"{}\", namespace: test}}\n", config(&app), redis.url());
    let process = Process::run(&folder.write("hookward.yaml", &yaml));
    redis.kill();
    let line = process.wait_for_log("Redis does not answer: on_outage decides");
    assert_eq!(line["level"], "warn");
    assert!(
        line["reason"].as_str().expect("the reason").contains("refused"),
        "{line}"
    );
    redis.restart();
    process.wait_for_log("Redis answers again");
    assert_eq!(process.logged("Redis does not answer: on_outage decides").len(), 1);
}

#[test]
fn a_log_that_nobody_reads_costs_no_request() {
    let (app, folder) = (App::start(), Folder::new());
    let mut process = Process::run_unread(&folder.write("hookward.yaml", &config(&app)));
    for n in 0..50 {
        let body = n.to_string();
        let answer = signed::github("/github", &body, body.as_bytes()).send(process.webhooks);
        assert_eq!(answer.outcome(), "delivered");
    }
    process.signal("-TERM");
    assert_eq!(process.exit(), 0);
}

#[test]
fn running_out_of_files_passes_when_connections_close() {
    let (app, folder) = (App::start(), Folder::new());
    let yaml = config(&app) + "limits: {workers: 2}\n";
    let mut process = Process::run_with_files(&folder.write("hookward.yaml", &yaml), 48);
    let request = signed::github("/github", "d-1", b"{}");
    assert_eq!(request.send(process.webhooks).outcome(), "delivered");
    let (begun, failed) = (Instant::now(), "accepting a connection failed");
    let held: Vec<Connection> = (0..100).map(|_| Connection::open(process.webhooks)).collect();
    let line = process.wait_for_log(failed);
    assert!(line["error"].as_str().expect("why").contains("open files"), "{line}");
    // It goes on trying, each of the two workers twenty times a second at most, whatever else the machine does.
    wait_until("it tries again", || process.logged(failed).len() > 10);
    let tries = process.logged(failed).len() as u128;
    let most = 2 * (begun.elapsed().as_millis() / 50 + 1);
    assert!(tries <= most, "{tries} times, {most} at most");
    assert!(process.is_running());
    drop(held);
    let answer = signed::github("/github", "d-2", b"[]").send(process.webhooks);
    assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
    process.signal("-TERM");
    assert_eq!(process.exit(), 0);
}

#[test]
fn idle_memory_and_start_time() {
    let (app, folder) = (App::start(), Folder::new());
    let process = Process::run(&folder.write("hookward.yaml", &config(&app)));
    let idle = process.memory();
    for n in 0..200 {
        let body = n.to_string();
        let request = signed::github("/github", &body, body.as_bytes());
        assert_eq!(request.send(process.webhooks).outcome(), "delivered");
    }
    let after = process.memory();
    println!(
        "listening after {:?}; {idle} KiB idle, {after} KiB after 200 deliveries",
        process.started_in
    );
    // A debug build on a busy machine: only what would be a mistake fails.
    assert!(process.started_in.as_secs() < 10 && idle < 200 * 1024 && after < 200 * 1024);
}
