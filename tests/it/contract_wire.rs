//! Clauses of the contract, word by word, where no outcome of the table is named after them.

use super::support::{
    App, Folder, Process, Request, Script, Sidecar, process::config, sidecar::NOW, signed, wire::Connection,
};

/// `n` in a body of its own: another delivery.
fn push(path: &str, n: usize) -> Request {
    signed::github(path, &format!("d-{n}"), format!("{{\"n\":{n}}}").as_bytes())
}

fn github(path: &str, more: &str) -> String {
    format!("sources:\n  github:\n    provider: github\n    path: {path}\n    secrets: [{{env: SECRET}}]\n{more}")
}

#[test]
fn a_duplicate_that_is_forwarded_spends_nothing_of_the_rate_limit() {
    let app = App::start();
    let limits = "    replay: {keep: 7d, duplicates: forward}\n    rate_limit: {per: source, rate: 1/m, burst: 2}\n";
    let sidecar = Sidecar::before(&app, &github("/g", limits));
    for _ in 0..4 {
        assert_eq!(sidecar.send(&push("/g", 1)).outcome(), "delivered");
    }
    assert_eq!(
        sidecar.send(&push("/g", 2)).outcome(),
        "delivered",
        "one of two was left"
    );
    assert_eq!(sidecar.send(&push("/g", 3)).outcome(), "rate_limited");
    assert_eq!(app.seen().len(), 5);
}

#[test]
fn a_retry_of_what_failed_spends_nothing_of_the_rate_limit() {
    let app = App::start();
    app.script([Script::status(500), Script::status(500), Script::status(500)]);
    let limits = "    rate_limit: {per: source, rate: 1/m, burst: 2}\n";
    let sidecar = Sidecar::before(&app, &github("/g", limits));
    for _ in 0..3 {
        assert_eq!(sidecar.send(&push("/g", 1)).outcome(), "upstream_failed");
    }
    assert_eq!(
        sidecar.send(&push("/g", 2)).outcome(),
        "delivered",
        "one of two was left"
    );
    assert_eq!(sidecar.send(&push("/g", 3)).outcome(), "rate_limited");
    assert_eq!(
        sidecar.send(&push("/g", 1)).outcome(),
        "delivered",
        "the retry comes through all the same"
    );
    let attempts: Vec<_> = app
        .seen()
        .iter()
        .map(|seen| seen.header("hookward-attempt").map(str::to_owned))
        .collect();
    let expected = ["1", "2", "3", "1", "4"].map(|attempt| Some(attempt.to_owned()));
    assert_eq!(attempts, expected, "what was refused did not count");
}

/// A captured request of a delivery that keeps failing is no way around the limit.
#[test]
fn retries_that_come_in_a_flood_spend_the_rate_limit() {
    let app = App::start();
    app.script((0..20).map(|_| Script::status(500)));
    let limits = "    rate_limit: {per: source, rate: 1/m, burst: 3}\n";
    let sidecar = Sidecar::before(&app, &github("/g", limits));
    let outcomes: Vec<String> = (0..20)
        .map(|_| sidecar.send(&push("/g", 1)).outcome().to_owned())
        .collect();
    // The first and two more of the source's three, and five in that second of the budget of repetitions.
    assert_eq!(app.seen().len(), 8, "{outcomes:?}");
    assert_eq!(outcomes.last().map(String::as_str), Some("rate_limited"));
}

#[test]
fn a_signed_id_that_does_not_survive_a_header_is_not_the_delivery() {
    let app = App::start();
    let yaml = "sources:\n  stripe:\n    provider: stripe\n    path: /s\n    secrets: [{env: SECRET}]\n";
    let sidecar = Sidecar::before(&app, yaml);
    for (id, survives) in [
        ("evt_1", true),
        (" evt_2 ", false),
        ("evt_\u{e9}", false),
        ("evt\\n3", false),
    ] {
        let body = format!("{{\"id\":\"{id}\",\"type\":\"invoice.paid\"}}");
        let answer = sidecar.send(&signed::stripe("/s", NOW, body.as_bytes()));
        assert_eq!(answer.outcome(), "delivered");
        let seen = app.seen().pop().expect("it arrived");
        let delivery = seen.header("hookward-delivery").expect("always stated");
        if survives {
            assert_eq!(delivery, id);
        } else {
            assert_eq!(delivery.len(), 43, "32 bytes in unpadded base64url: {delivery:?}");
        }
    }
}

#[test]
fn a_trusted_peer_says_which_host_was_addressed() {
    let app = App::start();
    let request = |n| {
        push("/g", n)
            .header("X-Forwarded-Host", "shop.example")
            .header("X-Forwarded-Proto", "https")
    };
    for (trust, host, proto) in [
        ("[127.0.0.0/8]", "shop.example", "https"),
        ("[10.0.0.0/8]", "hooks.example.com", "http"),
    ] {
        let sidecar = Sidecar::before(&app, &format!("client_ip: {{trust: {trust}}}\n{}", github("/g", "")));
        assert_eq!(sidecar.send(&request(1)).outcome(), "delivered");
        let seen = app.seen().pop().expect("it arrived");
        assert_eq!(seen.header("x-forwarded-host"), Some(host));
        assert_eq!(seen.header("x-forwarded-proto"), Some(proto));
        assert_eq!(seen.header("host"), Some("hooks.example.com"));
    }
}

/// "With several destinations: 502", optional ones included: which app said what is not the sender's to know.
#[test]
fn with_several_destinations_a_failure_is_502() {
    let apps = [App::start(), App::start()];
    let yaml = format!(
        "upstream: {}\n{}destinations:\n  one: {{url: \"{}/in\", map_status: {{410: 503}}}}\n  two: {{url: \"{}/in\"}}\n",
        apps[0].url(),
        github(
            "/g",
            "    to: [one, {destination: two, events: [push], required: false}]\n"
        ),
        apps[0].url(),
        apps[1].url(),
    );
    let sidecar = Sidecar::start(&yaml);
    apps[0].script([Script::status(410), Script::status(410)]);
    let answer = sidecar.send(&push("/g", 1));
    assert_eq!((answer.status, answer.outcome()), (502, "upstream_failed"));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    // An event that is for one of them alone has one destination.
    let answer = sidecar.send(&signed::github_event("/g", "issues", "d-2", b"{}"));
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (503, b"from the app".as_slice())
    );
}

/// "Every request ends in exactly one outcome", and it is the one that the sender is told.
#[test]
fn what_the_grace_cuts_is_overloaded_for_the_sender_and_in_the_figures() {
    let app = App::start();
    let limits = "limits: {workers: 2, shutdown_grace: 1s}\n";
    let sidecar = Sidecar::before(&app, &format!("{limits}{}", github("/g", "")));
    let mut unfinished = Connection::open(sidecar.addresses.webhooks);
    let whole = push("/g", 1);
    unfinished.write(&whole.replace("Expect", "100-continue").head());
    assert_eq!(unfinished.answer().expect("its body is waited for").status, 100);
    sidecar.drain();
    let answer = unfinished.answer().expect("an answer before the end");
    assert_eq!((answer.status, answer.outcome()), (503, "overloaded"));
    assert!(answer.header("retry-after").is_some());
    let logged = sidecar.logged();
    let ended: Vec<&str> = logged.lines().filter(|line| line.contains("\"outcome\"")).collect();
    assert_eq!(ended.len(), 1, "{logged}");
    let line: serde_json::Value = serde_json::from_str(ended[0]).expect("a line of JSON");
    assert_eq!((&line["outcome"], &line["status"]), (&"overloaded".into(), &503.into()));
    assert_eq!(line["request_id"], answer.json()["request_id"]);
    assert_eq!(sidecar.stop().cut, 1);
}

/// "An unreadable event is not filtered but forwarded, and counted", whoever has the globs; a batch is selected if any
/// element is.
#[test]
fn what_no_filter_can_read_is_forwarded_and_counted() {
    let apps = [App::start(), App::start()];
    let yaml = format!(
        "upstream: {}
sources:
  batch:
    provider: custom
    path: /b
    secrets: [{{env: SECRET}}]
    verify: {{signature: {{from: \"header:X-Signature\"}}, body: unique}}
    event: \"json:/*/kind\"
    to: [upstream, {{destination: orders, events: [\"order.*\"]}}]
destinations:
  orders: {{url: \"{}/in\"}}
",
        apps[0].url(),
        apps[1].url()
    );
    let sidecar = Sidecar::start(&yaml);
    let unreadable = || sidecar.metric("hookward_events_unreadable_total{source=\"batch\"}");
    for (body, orders, counted) in [
        (r#"[{"kind":"ping"},{"kind":"order.paid"}]"#, 1, 0.0),
        (r#"[{"kind":"ping"},{"kind":"pong"}]"#, 1, 0.0),
        (r#"[{"kind":"ping"},{"kind":null}]"#, 2, 1.0),
        ("no JSON", 3, 2.0),
    ] {
        let mac = signed::hmac_sha256(signed::SECRET.as_bytes(), &[body.as_bytes()]);
        let request = Request::post("/b", body).header("X-Signature", data_encoding::HEXLOWER.encode(&mac));
        assert_eq!(sidecar.send(&request).outcome(), "delivered", "{body}");
        assert_eq!(apps[1].seen().len(), orders, "{body}");
        assert!((unreadable() - counted).abs() < f64::EPSILON, "{body}");
    }
    assert_eq!(apps[0].seen().len(), 4);
}

/// "With no `trust` configured a private or loopback peer may be a load balancer and is never penalized": so it is also
/// when a reload is what configures it.
#[test]
fn whom_a_reload_trusts_is_penalized_no_more_and_no_less() {
    let (app, folder) = (App::start(), Folder::new());
    let strict = format!(
        "{}\nlimits: {{failed_verifications: {{rate: 1/m, burst: 2}}}}\n",
        config(&app)
    );
    let process = Process::run(&folder.write("hookward.yaml", &strict));
    let forged = || push("/github", 1).replace("X-Hub-Signature-256", format!("sha256={:064}", 0));
    let statuses = || {
        (0..4)
            .map(|_| forged().send(process.webhooks).status)
            .collect::<Vec<_>>()
    };
    assert_eq!(statuses(), [401; 4], "it may stand for many");
    folder.write(
        "hookward.yaml",
        &format!("{strict}client_ip: {{trust: [192.0.2.0/24]}}\n"),
    );
    process.signal("-HUP");
    process.wait_for_log("configuration reloaded");
    assert_eq!(statuses(), [401, 401, 429, 429], "hops are known now, and it is none");
}
