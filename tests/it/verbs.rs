//! The verbs that talk to a running sidecar, by its configuration or by an address alone.

use super::{
    redis::RedisServer,
    support::{
        App, Folder, Process, Request, Script, hookward,
        process::{config, text},
        signed, wait_until,
    },
};

/// Both ways to find a running sidecar: the configuration, and an address alone.
#[test]
fn probe_drain_and_forget_find_a_running_sidecar() {
    let (app, folder) = (App::start(), Folder::new());
    let yaml = config(&app);
    let mut process = Process::run(&folder.write("hookward.yaml", &yaml));
    // What an operator's file would say, now that the ports are known.
    let yaml = yaml
        .replace("health: 127.0.0.1:0", &format!("health: {}", process.health))
        .replace("admin: 127.0.0.1:0", &format!("admin: {}", process.admin));
    let file = folder.write("client.yaml", &yaml).display().to_string();
    let (health, admin) = (process.health.to_string(), process.admin.to_string());
    let at_health: [[&str; 2]; 2] = [["-c", &file], ["--health", &health]];
    let at_admin: [[&str; 2]; 2] = [["-c", &file], ["--admin", &admin]];
    let run = |verb: &[&str], place: [&str; 2]| {
        let output = hookward(&[verb, &place[..]].concat());
        let said = format!("{verb:?}: {}{}", text(&output.stdout), text(&output.stderr));
        (output.status.code().expect("an exit code"), said)
    };

    for place in at_health {
        for probe in ["readyz", "livez"] {
            let (code, said) = run(&["probe", probe], place);
            assert_eq!(code, 0, "{said}");
        }
    }
    let request = signed::github("/github", "d-1", b"{}");
    assert_eq!(request.send(process.webhooks).outcome(), "delivered");
    let delivery = app.seen()[0]
        .header("hookward-delivery")
        .expect("it has one")
        .to_owned();
    for (n, place) in at_admin.into_iter().enumerate() {
        assert_eq!(request.send(process.webhooks).outcome(), "duplicate");
        let (code, said) = run(&["forget", "github", &delivery], place);
        assert_eq!(code, 0, "{said}");
        assert_eq!(request.send(process.webhooks).outcome(), "delivered");
        assert_eq!(app.seen().len(), n + 2);
        let (code, said) = run(&["forget", "github", "no-such-delivery"], place);
        assert_eq!(code, 1, "{said}");
        let (code, said) = run(&["forget", "no-such-source", &delivery], place);
        assert_eq!(code, 1, "{said}");
    }
    for place in at_admin {
        let (code, said) = run(&["drain"], place);
        assert_eq!(code, 0, "{said}");
        for place in at_health {
            let (code, said) = run(&["probe", "readyz"], place);
            assert_eq!(code, 1, "{said}");
            let (code, said) = run(&["probe", "livez"], place);
            assert_eq!(code, 0, "{said}");
        }
    }
    // Unready, but whoever still comes is served.
    assert_eq!(
        signed::github("/github", "d-2", b"[]").send(process.webhooks).outcome(),
        "delivered"
    );
    process.signal("-TERM");
    assert_eq!(process.exit(), 0);
    for (verb, place) in [(["probe", "livez"], at_health[1]), (["probe", "readyz"], at_health[0])] {
        let (code, said) = run(&verb, place);
        assert_eq!(code, 69, "{said}");
    }
    let (code, said) = run(&["drain"], at_admin[1]);
    assert_eq!(code, 69, "{said}");
}

/// A repeat has a record of its own, which a captured request of it names.
#[test]
fn a_captured_repeat_lets_itself_through_and_not_its_first_delivery() {
    let (app, folder) = (App::start(), Folder::new());
    let yaml = config(&app);
    let process = Process::run(&folder.write("hookward.yaml", &yaml));
    let yaml = yaml.replace("admin: 127.0.0.1:0", &format!("admin: {}", process.admin));
    let file = folder.write("client.yaml", &yaml).display().to_string();
    let body = br#"{"inputs":null,"ref":"refs/heads/main","sender":{"id":1},"workflow":"a.yml"}"#;
    let request = |id| signed::github_event("/github", "workflow_dispatch", id, body);
    for id in ["d-1", "d-2"] {
        assert_eq!(request(id).send(process.webhooks).outcome(), "delivered");
    }
    for (id, other) in [("d-2", "d-1"), ("d-1", "d-2")] {
        let captured = [request(id).head(), request(id).body.clone()].concat();
        let captured = folder.write("captured.txt", &text(&captured)).display().to_string();
        let output = hookward(&["forget", "github", "--request", &captured, "-c", &file]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(request(other).send(process.webhooks).outcome(), "duplicate");
        assert_eq!(request(id).send(process.webhooks).outcome(), "delivered");
        assert_eq!(request(id).send(process.webhooks).outcome(), "duplicate");
    }
    let seen = app.seen();
    assert_eq!(seen[2].header("hookward-delivery"), seen[1].header("hookward-delivery"));
    assert_eq!(seen[3].header("hookward-delivery"), seen[0].header("hookward-delivery"));
}

#[test]
fn a_delivery_in_flight_is_not_forgotten() {
    let (app, folder) = (App::start(), Folder::new());
    let process = Process::run(&folder.write("hookward.yaml", &config(&app)));
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| signed::github("/github", "d-1", b"{}").send(process.webhooks));
        let delivery = app.wait_for(1)[0]
            .header("hookward-delivery")
            .expect("it has one")
            .to_owned();
        let output = hookward(&["forget", "github", &delivery, "--admin", &process.admin.to_string()]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        open.send_replace(true);
        assert_eq!(first.join().expect("no panic").outcome(), "delivered");
    });
}

/// In this process and over every replica on Redis: what was delivered lately, of one event or of all, goes through once.
#[test]
fn what_was_delivered_lately_is_let_through_once_more_by_every_replica() {
    for on_redis in [false, true] {
        let (app, folder, redis) = (App::start(), Folder::new(), RedisServer::start());
        let yaml = if on_redis {
            let url = redis.url();
            format!(
                "{}redis: {{url: \"{url}\", namespace: test, timeout: 2s}}\n",
                config(&app)
            )
        } else {
            config(&app)
        };
        let file = folder.write("hookward.yaml", &yaml);
        let replicas: Vec<Process> = (0..if on_redis { 2 } else { 1 }).map(|_| Process::run(&file)).collect();
        let (first, last) = (&replicas[0], replicas.last().expect("one at least"));
        let events = ["push", "pull_request", "pull_request"];
        let requests: Vec<Request> = events
            .iter()
            .zip(["{}", r#"{"action":"opened"}"#, r#"{"action":"closed"}"#])
            .enumerate()
            .map(|(n, (event, body))| signed::github_event("/github", event, &format!("d-{n}"), body.as_bytes()))
            .collect();
        let outcomes = |process: &Process| -> Vec<String> {
            let outcome = |request: &Request| {
                let mut outcome = String::new();
                // A delivery may be repeated five times a second.
                wait_until("its budget lets it through", || {
                    request.send(process.webhooks).outcome().clone_into(&mut outcome);
                    outcome != "rate_limited"
                });
                outcome
            };
            requests.iter().map(outcome).collect()
        };
        let forget = |wish: &[&str]| {
            let admin = first.admin.to_string();
            let output = hookward(&[&["forget", "github"], wish, &["--admin", &admin]].concat());
            let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
            (output.status.code().expect("an exit code"), said)
        };
        assert_eq!(outcomes(first), ["delivered"; 3]);
        assert_eq!(outcomes(last), ["duplicate"; 3]);
        let (code, said) = forget(&["--since", "10m", "--event", "pull_request.*"]);
        assert!(code == 0 && said.contains("2 deliveries"), "{code}: {said}");
        assert_eq!(outcomes(last), ["duplicate", "delivered", "delivered"]);
        assert_eq!(outcomes(first), ["duplicate"; 3], "once");
        let (code, said) = forget(&["--since", "10m"]);
        assert!(code == 0 && said.contains("3 deliveries"), "{code}: {said}");
        assert_eq!(outcomes(last), ["delivered"; 3]);
        assert_eq!(outcomes(first), ["duplicate"; 3]);
        assert_eq!(app.seen().len(), 3 + 2 + 3);
        for (wish, expected) in [
            (&["--since", "10m", "--event", "issues"][..], 1),
            (&["--since", "ten minutes"], 2),
            (&["--since", "0s"], 2),
            (&["--event", "push"], 2),
            (&["--since", "10m", "d-1"], 2),
        ] {
            let (code, said) = forget(wish);
            assert_eq!(code, expected, "{wish:?}: {said}");
        }
    }
}
