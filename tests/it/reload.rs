//! SIGHUP: a good file is in force at once, a bad one changes nothing, and no request notices.

use super::{
    redis::RedisServer,
    support::{
        App, Folder, PORTS, Process, Script,
        process::config,
        signed, wait_until,
        wire::{Connection, Request},
    },
};

fn delivered(process: &Process) -> f64 {
    process.metric("hookward_requests_total{source=\"github\",outcome=\"delivered\"}")
}

#[test]
fn sighup_puts_a_good_file_in_force_and_what_is_in_flight_ends_as_it_began() {
    let (app, folder) = (App::start(), Folder::new());
    let yaml = config(&app);
    let mut process = Process::run(&folder.write("hookward.yaml", &yaml));
    let moved = yaml.replace("path: /github", "paths: [/moved, /and-more]");
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    let mut idle = Connection::open(process.webhooks);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| signed::github("/github", "d-1", b"1").send(process.webhooks));
        app.wait_for(1);
        folder.write("hookward.yaml", &moved);
        process.signal("-HUP");
        process.wait_for_log("configuration reloaded");
        let answer = signed::github("/moved", "d-2", b"2").send(process.webhooks);
        assert_eq!(answer.outcome(), "delivered");
        let answer = signed::github("/github", "d-3", b"3").send(process.webhooks);
        assert_eq!((answer.status, answer.outcome()), (404, "no_source"));
        open.send_replace(true);
        assert_eq!(first.join().expect("no panic").outcome(), "delivered");
    });
    let answer = idle
        .exchange(&signed::github("/and-more", "d-4", b"4"))
        .expect("an answer");
    assert_eq!(answer.outcome(), "delivered", "a connection outlives a reload");
    assert!((process.metric("hookward_reload_total{result=\"success\"}") - 1.0).abs() < f64::EPSILON);
    assert!((process.metric("hookward_config_reload_success") - 1.0).abs() < f64::EPSILON);
    assert!((delivered(&process) - 3.0).abs() < f64::EPSILON, "the figures go on");
    assert!(process.is_running());
}

#[test]
fn reloads_under_load_cost_no_request() {
    let (app, folder) = (App::start(), Folder::new());
    let yaml = config(&app);
    let process = Process::run(&folder.write("hookward.yaml", &yaml));
    let to = process.webhooks;
    let reloaded = std::sync::atomic::AtomicBool::new(false);
    let sent: usize = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let reloaded = &reloaded;
                scope.spawn(move || {
                    let mut connection = Connection::open(to);
                    let mut sent = 0;
                    while !reloaded.load(std::sync::atomic::Ordering::Relaxed) {
                        let body = format!("{sender}-{sent}");
                        let request = signed::github("/github", &body, body.as_bytes());
                        let answer = connection.exchange(&request).expect("the connection stays");
                        // The rate of a source outlives a reload too.
                        assert!(
                            ["delivered", "rate_limited"].contains(&answer.outcome()),
                            "{}",
                            answer.outcome()
                        );
                        sent += 1;
                    }
                    sent
                })
            })
            .collect();
        for n in 1..=10 {
            let yaml = if n % 2 == 0 {
                yaml.clone()
            } else {
                format!("{yaml}    max_body: {n}MiB\n")
            };
            folder.write("hookward.yaml", &yaml);
            process.signal("-HUP");
            wait_until("reloaded", || process.logged("configuration reloaded").len() == n);
        }
        reloaded.store(true, std::sync::atomic::Ordering::Relaxed);
        senders.into_iter().map(|sender| sender.join().expect("no panic")).sum()
    });
    println!("{sent} requests over ten reloads");
    assert!(sent > 10);
}

#[test]
fn a_delivery_before_a_reload_is_a_duplicate_after_it() {
    let (app, folder) = (App::start(), Folder::new());
    let process = Process::run(&folder.write("hookward.yaml", &config(&app)));
    let request = signed::github("/github", "d-1", b"{}");
    assert_eq!(request.send(process.webhooks).outcome(), "delivered");
    process.signal("-HUP");
    process.wait_for_log("configuration reloaded");
    assert_eq!(request.send(process.webhooks).outcome(), "duplicate");
}

#[test]
fn sighup_with_a_bad_file_changes_nothing_and_says_where() {
    const FAILED: &str = "reload failed; the old configuration stays in force";
    let (app, folder) = (App::start(), Folder::new());
    let yaml = config(&app);
    let mut process = Process::run(&folder.write("hookward.yaml", &yaml));
    for (n, (bad, says)) in [
        (
            yaml.replace("provider: github", "provider: gihub"),
            "hookward.yaml:9:15",
        ),
        (
            yaml.replace("{env: SECRET}", "{file: /nowhere/secret}"),
            "/nowhere/secret",
        ),
        ("version: [".to_owned(), "hookward.yaml:"),
    ]
    .into_iter()
    .enumerate()
    {
        folder.write("hookward.yaml", &bad);
        process.signal("-HUP");
        wait_until("the failure is logged", || process.logged(FAILED).len() > n);
        let line = process.logged(FAILED).remove(n);
        assert_eq!(line["level"], "error");
        assert!(line["error"].as_str().expect("the reason").contains(says), "{line}");
        wait_until("the gauge tells it", || {
            process.metric("hookward_config_reload_success").abs() < f64::EPSILON
        });
        let request = signed::github("/github", &format!("d-{n}"), n.to_string().as_bytes());
        assert_eq!(request.send(process.webhooks).outcome(), "delivered");
        assert_eq!(process.probe("/readyz"), Some(200));
    }
    assert!((process.metric("hookward_reload_total{result=\"failure\"}") - 3.0).abs() < f64::EPSILON);
    folder.write("hookward.yaml", &yaml);
    process.signal("-HUP");
    process.wait_for_log("configuration reloaded");
    assert!((process.metric("hookward_config_reload_success") - 1.0).abs() < f64::EPSILON);
    assert!(process.is_running());
}

#[test]
fn what_only_a_restart_can_change_stays_and_is_named_each_time() {
    const KEPT: &str = "changed, but in force only after a restart";
    let (app, redis, folder) = (App::start(), RedisServer::start(), Folder::new());
    let yaml = format!(
        "{}redis: {{url: \"{}\", namespace: before}}\n",
        config(&app),
        redis.url()
    );
    let process = Process::run(&folder.write("hookward.yaml", &yaml));
    let request = signed::github("/github", "d-1", b"{}");
    assert_eq!(request.send(process.webhooks).outcome(), "delivered");
    let changed = yaml.replace("namespace: before", "namespace: after") + "limits: {in_flight: 7}\n";
    folder.write("hookward.yaml", &changed);
    for n in 1..=2 {
        process.signal("-HUP");
        wait_until("it is named", || process.logged(KEPT).len() == n);
        assert_eq!(process.logged(KEPT)[n - 1]["keys"], "redis, limits");
        // Under the other namespace it would be new.
        assert_eq!(request.send(process.webhooks).outcome(), "duplicate");
    }
    assert_eq!(app.seen().len(), 1);
}

/// Another password for the same Redis is no new ledger.
#[test]
fn the_password_of_redis_is_rotated_without_a_restart() {
    let (app, redis, folder) = (App::start(), RedisServer::start(), Folder::new());
    let rule = |rules: &[&str]| {
        let mut command = vec!["ACL", "SETUSER", "hookward"];
        command.extend(rules);
        redis.query::<()>(&command);
    };
    rule(&["on", "~hw:*", "+@all", ">first-canary"]);
    let file = folder.write("password", "first-canary\n");
    let yaml = format!(
        "{}redis: {{url: \"{}\", namespace: x, username: hookward, password: {{file: \"{}\"}}, on_outage: reject}}\n",
        config(&app),
        redis.url(),
        file.display(),
    );
    let process = Process::run(&folder.write("hookward.yaml", &yaml));
    let outcome = |n: usize| {
        let body = n.to_string();
        let answer = signed::github("/github", &body, body.as_bytes()).send(process.webhooks);
        answer.outcome().to_owned()
    };
    wait_until("Redis is used", || outcome(1) != "ledger_unavailable");
    assert_eq!(outcome(2), "delivered");
    folder.write("password", "second-canary\n");
    process.signal("-HUP");
    process.wait_for_log("configuration reloaded");
    assert_eq!(
        outcome(3),
        "delivered",
        "the old password serves until Redis takes the new one"
    );
    rule(&["resetpass", ">second-canary"]);
    redis.query::<i64>(&["CLIENT", "KILL", "USER", "hookward"]);
    wait_until("the new password is used", || outcome(4) != "ledger_unavailable");
    assert_eq!(
        (outcome(2), outcome(5)),
        ("duplicate".to_owned(), "delivered".to_owned())
    );
    assert!(process.logged("changed, but in force only after a restart").is_empty());
    let lines = process.lines.lock().expect("no panic");
    assert!(lines.iter().all(|line| !line.to_string().contains("canary")));
}

#[test]
fn a_secret_is_rotated_without_a_gap() {
    let (app, folder) = (App::start(), Folder::new());
    let of = |secrets: &str| config(&app).replace("[{env: SECRET}]", secrets);
    let (old, new) = ("{env: SECRET, id: old}", "{env: TOKEN, id: new}");
    let process = Process::run(&folder.write("hookward.yaml", &of(&format!("[{old}]"))));
    let by_new = |n: usize| {
        let body = n.to_string();
        let mac = signed::hmac_sha256(signed::TOKEN.as_bytes(), &[body.as_bytes()]);
        let signature = format!("sha256={}", data_encoding::HEXLOWER.encode(&mac));
        signed::github("/github", &body, body.as_bytes()).replace("X-Hub-Signature-256", signature)
    };
    let by_old = |n: usize| signed::github("/github", &n.to_string(), n.to_string().as_bytes());
    let reload = |secrets: &str, count: usize| {
        folder.write("hookward.yaml", &of(secrets));
        process.signal("-HUP");
        wait_until("reloaded", || process.logged("configuration reloaded").len() == count);
    };
    assert_eq!(by_new(1).send(process.webhooks).outcome(), "unverified");
    reload(&format!("[{new}, {old}]"), 1);
    assert_eq!(by_new(1).send(process.webhooks).outcome(), "delivered");
    assert_eq!(by_old(2).send(process.webhooks).outcome(), "delivered");
    let used = |id: &str| {
        process.metric(&format!(
            "hookward_secret_used_total{{source=\"github\",secret=\"{id}\"}}"
        ))
    };
    assert!((used("old") - 1.0).abs() < f64::EPSILON && (used("new") - 1.0).abs() < f64::EPSILON);
    reload(&format!("[{new}]"), 2);
    assert_eq!(by_old(3).send(process.webhooks).outcome(), "unverified");
    assert_eq!(by_new(4).send(process.webhooks).outcome(), "delivered");
    // A repeat is one, whichever secret it was signed with.
    assert_eq!(by_new(2).send(process.webhooks).outcome(), "duplicate");
}

/// A delivery is completed by what the file names when it comes again.
#[test]
fn a_destination_that_failed_and_is_taken_out_is_not_waited_for() {
    let (good, bad, folder) = (App::start(), App::start(), Folder::new());
    let yaml = |to: &str| {
        format!(
            "{PORTS}{}    to: [{to}]\ndestinations:\n  good: {{url: \"{}\"}}\n  bad: {{url: \"{}\"}}\n",
            signed::GITHUB,
            good.url(),
            bad.url()
        )
    };
    let process = Process::run(&folder.write("hookward.yaml", &yaml("good, bad")));
    bad.script([Script::status(500)]);
    let request = signed::github("/github", "d-1", b"{}");
    let answer = request.send(process.webhooks);
    assert_eq!((answer.status, answer.outcome()), (502, "upstream_failed"));
    folder.write("hookward.yaml", &yaml("good"));
    process.signal("-HUP");
    process.wait_for_log("configuration reloaded");
    // Nobody was asked now, so the answer is ours.
    let answer = request.send(process.webhooks);
    assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
    assert_eq!(answer.json()["outcome"], "delivered");
    assert_eq!(request.send(process.webhooks).outcome(), "duplicate");
    assert_eq!((good.seen().len(), bad.seen().len()), (1, 1));
}

/// The other way round: what is added to an unfinished delivery is asked with the retry, and nobody is asked twice.
#[test]
fn a_destination_that_is_added_gets_what_is_not_delivered_yet_and_nothing_that_is() {
    let (good, bad, new, folder) = (App::start(), App::start(), App::start(), Folder::new());
    let yaml = |to: &str| {
        let [good, bad, new] = [&good, &bad, &new].map(App::url);
        let github = signed::GITHUB;
        format!(
            "{PORTS}{github}    to: [{to}]\ndestinations:\n  good: {{url: \"{good}\"}}\n  bad: {{url: \"{bad}\"}}\n  new: {{url: \"{new}\"}}\n"
        )
    };
    let process = Process::run(&folder.write("hookward.yaml", &yaml("good, bad")));
    let (done, failed) = (
        signed::github("/github", "d-1", b"1"),
        signed::github("/github", "d-2", b"2"),
    );
    assert_eq!(done.send(process.webhooks).outcome(), "delivered");
    bad.script([Script::status(500)]);
    assert_eq!(failed.send(process.webhooks).outcome(), "upstream_failed");
    folder.write("hookward.yaml", &yaml("good, bad, new"));
    process.signal("-HUP");
    process.wait_for_log("configuration reloaded");
    assert_eq!(done.send(process.webhooks).outcome(), "duplicate", "done stays done");
    // As long as the new one fails it is not delivered, whoever else has it.
    new.script([Script::status(500)]);
    let answer = failed.send(process.webhooks);
    assert_eq!((answer.status, answer.outcome()), (502, "upstream_failed"));
    let answer = failed.send(process.webhooks);
    assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
    assert_eq!(failed.send(process.webhooks).outcome(), "duplicate");
    assert_eq!([&good, &bad, &new].map(|app| app.seen().len()), [2, 3, 2]);
    let attempts = new.seen();
    let attempts: Vec<_> = attempts.iter().map(|seen| seen.header("hookward-attempt")).collect();
    assert_eq!(attempts, [Some("2"), Some("3")]);
}

/// A configuration with `sources` (two blanks deep) before the app.
fn with_sources(app: &App, sources: &str) -> String {
    format!("{PORTS}upstream: {}\nsources:\n{sources}", app.url())
}

fn token(path: &str, token: &str) -> Request {
    Request::post(path, "{}").header("Authorization", format!("Bearer {token}"))
}

const OLD: &str = "an old token of some length";
const NEW: &str = "a new token of some length";
const PART: &str = "reload failed in part; old secrets stay in force";

#[test]
fn a_secret_that_goes_at_a_reload_stays_in_force_and_the_rest_is_swapped() {
    for on_missing in ["unavailable", "fail"] {
        let (app, folder) = (App::start(), Folder::new());
        let (first, second) = (folder.write("first", NEW), folder.write("second", OLD));
        let source = |path: &str| {
            let files = format!("{{file: \"{}\"}}, {{file: \"{}\"}}", first.display(), second.display());
            let sources = format!(
                "  one: {{provider: token, path: /one, secrets: [{files}], on_missing_secret: {on_missing}}}\n  \
                   other: {{provider: none, path: {path}, allow_unverified: true}}\n"
            );
            with_sources(&app, &sources)
        };
        let process = Process::run(&folder.write("hookward.yaml", &source("/other")));
        let outcome = |path: &str, secret: &str| token(path, secret).send(process.webhooks).outcome().to_owned();
        assert_eq!(
            (outcome("/one", NEW), outcome("/one", OLD)),
            ("delivered".to_owned(), "delivered".to_owned())
        );

        for gone in [&second, &first] {
            std::fs::remove_file(gone).expect("it is there");
        }
        folder.write("hookward.yaml", &source("/moved"));
        process.signal("-HUP");
        let line = process.wait_for_log(PART);
        assert_eq!(line["level"], "error", "{line}");
        let error = line["error"].as_str().expect("the reason");
        assert!(
            error.contains("source `one`") && error.contains("does not exist"),
            "{line}"
        );
        assert!(!error.contains(OLD) && !error.contains(NEW), "{line}");
        wait_until("the gauge tells it", || {
            process.metric("hookward_config_reload_success").abs() < f64::EPSILON
        });
        assert!(process.metric("hookward_reload_total{result=\"failure\"}") >= 1.0);
        assert_eq!(outcome("/one", NEW), "delivered", "{on_missing}");
        assert_eq!(outcome("/one", OLD), "delivered", "{on_missing}");
        wait_until("the rest is swapped", || outcome("/moved", "") == "delivered");
        assert_eq!(outcome("/other", ""), "no_source");

        // What comes back with another text is taken.
        folder.write("first", "the newest token of all");
        folder.write("second", NEW);
        process.signal("-HUP");
        wait_until("the gauge tells it", || {
            (process.metric("hookward_config_reload_success") - 1.0).abs() < f64::EPSILON
        });
        assert_eq!(outcome("/one", "the newest token of all"), "delivered");
        assert_eq!(outcome("/one", NEW), "delivered");
        assert_eq!(outcome("/one", OLD), "unverified");
    }
}

#[test]
fn a_source_of_which_one_secret_is_missing_serves_with_the_others() {
    let (app, folder) = (App::start(), Folder::new());
    let there = folder.write("there", OLD);
    let absent = there.with_file_name("absent");
    let sources = format!(
        "  one: {{provider: token, path: /one, secrets: [{{file: \"{}\"}}, {{file: \"{}\"}}], on_missing_secret: unavailable}}\n",
        absent.display(),
        there.display()
    );
    let process = Process::run(&folder.write("hookward.yaml", &with_sources(&app, &sources)));
    let line = process.wait_for_log(&format!(
        "the secret file `{}` does not exist; source `one` serves with its other secrets until it can be read",
        absent.display()
    ));
    assert_eq!(line["level"], "warn", "{line}");
    assert_eq!(token("/one", OLD).send(process.webhooks).outcome(), "delivered");
    assert_eq!(token("/one", NEW).send(process.webhooks).outcome(), "unverified");
    // A label is the place in the list, whichever secrets are there.
    assert!(process.metric("hookward_secret_used_total{source=\"one\",secret=\"1\"}") >= 1.0);
    folder.write("absent", NEW);
    process.signal("-HUP");
    process.wait_for_log("configuration reloaded");
    assert_eq!(token("/one", NEW).send(process.webhooks).outcome(), "delivered");
}
