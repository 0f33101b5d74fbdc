//! Who asks, for what, and by which name: paths, hosts, forwarding headers, ids.

use super::support::{
    App, Request, Sidecar,
    signed::{self, GITHUB, push},
};

#[test]
fn the_health_path_answers_load_balancers_uncounted() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        &format!("listen: {{address: \"127.0.0.1:0\", health_path: /healthz}}\nhosts: [hooks.example.com]\n{GITHUB}"),
    );
    for request in [
        Request::get("/healthz"),
        Request::get("/healthz").replace("Host", "10.0.0.7:9480"),
        Request::get("/healthz").method("HEAD"),
    ] {
        let answer = sidecar.send(&request);
        assert_eq!(answer.status, 200);
    }
    let answer = sidecar.send(&Request::get("/healthz/"));
    assert_eq!((answer.status, answer.outcome()), (404, "no_source"));
    let text = String::from_utf8(Request::get("/metrics").send(sidecar.addresses.health).body).expect("text");
    let counted = text
        .lines()
        .filter(|line| line.starts_with("hookward_requests_total{") && !line.ends_with(" 0"))
        .count();
    assert_eq!(counted, 1, "the 404 only");
    assert!(app.seen().is_empty());
}

#[test]
fn probes_of_a_load_balancer_neither_pass_nor_prolong_a_drain() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        &format!("listen: {{address: \"127.0.0.1:0\", health_path: /healthz}}\n{GITHUB}"),
    );
    let probe = Request::get("/healthz");
    assert_eq!(sidecar.send(&probe).status, 200);
    let to = sidecar.addresses.webhooks;
    sidecar.drain();
    let begun = std::time::Instant::now();
    // The listener closes after a second without requests, however often it is probed meanwhile.
    let mut statuses = std::collections::BTreeSet::new();
    while let Some(answer) = probe.try_send(to) {
        statuses.insert(answer.status);
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(begun.elapsed().as_secs() < 10, "the probes prolong the drain");
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [503]);
    assert_eq!(sidecar.stop().cut, 0);
}

#[test]
fn hosts_are_compared_as_dns_compares_them() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, &format!("hosts: [hooks.example.com]\n{GITHUB}"));
    for (n, host) in [
        "hooks.example.com",
        "HOOKS.Example.COM",
        "hooks.example.com.",
        "hooks.example.com:9480",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(
            sidecar.send(&push(n).replace("Host", host)).outcome(),
            "delivered",
            "{host}"
        );
        assert_eq!(app.seen()[n].header("host"), Some(host), "as it was received");
        assert_eq!(app.seen()[n].header("x-forwarded-host"), Some(host));
    }
    for host in [
        "example.com",
        "hooks.example.com.evil.test",
        "127.0.0.1",
        "xhooks.example.com",
    ] {
        let answer = sidecar.send(&push(9).replace("Host", host));
        assert_eq!((answer.status, answer.outcome()), (421, "malformed"), "{host}");
    }
}

#[test]
fn the_client_is_the_last_hop_that_is_not_ours() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        &format!("client_ip: {{trust: [127.0.0.0/8, 10.0.0.0/8]}}\n{GITHUB}"),
    );
    for (n, (sent, client, forwarded)) in [
        ("203.0.113.1", "203.0.113.1", "203.0.113.1, 127.0.0.1"),
        // What the client itself claims about those before it is not passed on.
        (
            "192.0.2.66, 203.0.113.1, 10.1.2.3",
            "203.0.113.1",
            "203.0.113.1, 10.1.2.3, 127.0.0.1",
        ),
        ("2001:db8::1", "2001:db8::1", "2001:db8::1, 127.0.0.1"),
        // No address: nothing of it is believed.
        ("203.0.113.1, nonsense", "127.0.0.1", "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(
            sidecar.send(&push(n).header("X-Forwarded-For", sent)).outcome(),
            "delivered"
        );
        assert_eq!(app.seen()[n].header("x-forwarded-for"), Some(forwarded));
        let logged = sidecar.logged();
        let line: serde_json::Value = serde_json::from_str(logged.lines().last().expect("a line")).expect("JSON");
        assert_eq!(line["client"], client);
    }
}

#[test]
fn forwarded_is_believed_where_it_is_the_header_that_the_hops_write() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        &format!("client_ip: {{trust: [127.0.0.0/8], header: forwarded}}\n{GITHUB}"),
    );
    let request = push(1)
        .header("Forwarded", "for=192.0.2.66, for=\"[2001:db8::7]:4711\";proto=https")
        .header("X-Forwarded-For", "198.51.100.9");
    assert_eq!(sidecar.send(&request).outcome(), "delivered");
    assert_eq!(app.seen()[0].header("x-forwarded-for"), Some("2001:db8::7, 127.0.0.1"));
    assert_eq!(app.seen()[0].header("forwarded"), None);
}

#[test]
fn a_trusted_peer_names_the_request_and_anybody_the_trace() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let app = App::start();
    let trusted = Sidecar::before(&app, &format!("client_ip: {{trust: [127.0.0.0/8]}}\n{GITHUB}"));
    let untrusted = Sidecar::before(&app, GITHUB);
    let request = |n| {
        push(n)
            .header("X-Request-Id", "from-the-edge-1")
            .header("traceparent", TRACE)
    };
    assert_eq!(trusted.send(&request(1)).outcome(), "delivered");
    assert_eq!(untrusted.send(&request(2)).outcome(), "delivered");
    assert_eq!(
        untrusted.send(&push(3).header("traceparent", "00-broken")).outcome(),
        "delivered"
    );
    let seen = app.seen();
    assert_eq!(seen[0].header("x-request-id"), Some("from-the-edge-1"));
    assert_eq!(seen[0].header("traceparent"), Some(TRACE));
    assert!(trusted.logged().contains("\"request_id\":\"from-the-edge-1\""));
    assert!(trusted.logged().contains("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_ne!(seen[1].header("x-request-id").expect("minted"), "from-the-edge-1");
    assert_eq!(seen[1].header("traceparent"), Some(TRACE));
    let minted = seen[2].header("traceparent").expect("minted");
    assert!(minted.len() == TRACE.len() && minted.starts_with("00-"), "{minted}");
    // The id in the app's hands is the one in our answer and log.
    let answer = untrusted.send(&push(2));
    assert_eq!(answer.outcome(), "duplicate");
    let id = answer.json()["request_id"].as_str().expect("an id").to_owned();
    assert!(untrusted.logged().contains(&id));
}

#[test]
fn the_scheme_is_believed_from_a_trusted_peer_only() {
    let app = App::start();
    let trusted = Sidecar::before(&app, &format!("client_ip: {{trust: [127.0.0.0/8]}}\n{GITHUB}"));
    let untrusted = Sidecar::before(&app, GITHUB);
    let request = |n| {
        push(n)
            .header("X-Forwarded-Proto", "https")
            .header("X-Forwarded-Host", "evil.example.com")
    };
    trusted.send(&request(1));
    untrusted.send(&request(2));
    let seen = app.seen();
    assert_eq!(seen[0].header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen[1].header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen[1].header("x-forwarded-host"), Some("hooks.example.com"));
}

#[test]
fn paths_are_matched_exactly_before_by_prefix_and_the_longest_prefix_wins() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "
sources:
  all: {provider: github, path: /hooks/*, secrets: [{env: SECRET}]}
  deep: {provider: github, path: /hooks/deep/*, secrets: [{env: SECRET}]}
  one: {provider: github, paths: [/hooks/deep/one, /other], secrets: [{env: SECRET}]}
",
    );
    for (n, (path, source)) in [
        ("/hooks/a", "all"),
        ("/hooks/a/b", "all"),
        ("/hooks/deeper", "all"),
        ("/hooks/deep/a", "deep"),
        ("/hooks/deep/one", "one"),
        ("/hooks/deep/one/a", "deep"),
        ("/other", "one"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = n.to_string();
        let answer = sidecar.send(&signed::github(path, &body, body.as_bytes()));
        assert_eq!(answer.outcome(), "delivered", "{path}");
        assert_eq!(app.seen()[n].header("hookward-source"), Some(source), "{path}");
    }
    for path in [
        "/hooks",
        "/hooks/",
        "/hook/a",
        "/other/",
        "/Hooks/a",
        "/hooks/deep/one/",
    ] {
        let answer = sidecar.send(&signed::github(path, "d", b"{}"));
        assert_eq!((answer.status, answer.outcome()), (404, "no_source"), "{path}");
    }
    // Two paths of one source are two deliveries, two below a prefix are one.
    for (path, word) in [
        ("/other", "delivered"),
        ("/hooks/deep/one", "delivered"),
        ("/other", "duplicate"),
        ("/hooks/x", "delivered"),
        ("/hooks/y", "duplicate"),
    ] {
        assert_eq!(
            sidecar.send(&signed::github(path, "same", b"same")).outcome(),
            word,
            "{path}"
        );
    }
}
