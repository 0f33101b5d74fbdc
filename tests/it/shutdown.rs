//! How a sidecar ends: SIGTERM drains it, SIGKILL and a freeze leave the rest to another replica.

use super::{
    redis::RedisServer,
    support::{
        App, Folder, PORTS, Process, Script,
        process::config,
        signed::{self, GITHUB},
        wait_until,
        wire::Connection,
    },
};
use std::time::Instant;

#[test]
fn sigterm_drains() {
    let (app, folder) = (App::start(), Folder::new());
    let mut process = Process::run(&folder.write("hookward.yaml", &config(&app)));
    assert_eq!(process.probe("/readyz"), Some(200));
    let (open, _) = tokio::sync::watch::channel(false);
    app.script((0..8).map(|_| Script::status(200).behind(&open)));
    let push = |n: usize| signed::github("/github", &format!("d-{n}"), n.to_string().as_bytes());
    let mut idle = Connection::open(process.webhooks);
    std::thread::scope(|scope| {
        let to = process.webhooks;
        let under_way: Vec<_> = (0..8).map(|n| scope.spawn(move || push(n).send(to))).collect();
        app.wait_for(8);
        process.signal("-TERM");
        wait_until("/readyz is 503", || process.probe("/readyz") == Some(503));
        assert_eq!(process.probe("/livez"), Some(200));
        process.wait_for_log("draining");
        // What still arrives is served, on connections old and new.
        for n in 8..12 {
            let answer = push(n).send(to);
            assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
            assert_eq!(answer.header("connection"), Some("close"));
        }
        let answer = idle.exchange(&push(12)).expect("an answer");
        assert_eq!(
            (answer.outcome(), answer.header("connection")),
            ("delivered", Some("close"))
        );
        assert!(idle.is_closed());
        // A second SIGTERM (a shell and a supervisor both send one) cuts nothing short.
        process.signal("-TERM");
        wait_until("both were heard", || process.logged("draining").len() == 2);
        open.send_replace(true);
        for attempt in under_way {
            let answer = attempt.join().expect("no panic");
            assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
            assert_eq!(answer.header("connection"), Some("close"));
        }
    });
    assert_eq!(process.exit(), 0);
    assert_eq!(app.seen().len(), 13);
    assert_eq!(process.wait_for_log("stopped")["cut"], "0");
}

#[test]
fn sigterm_under_load_loses_no_request() {
    let (app, folder) = (App::start(), Folder::new());
    let mut process = Process::run(&folder.write("hookward.yaml", &config(&app)));
    let to = process.webhooks;
    let acknowledged: usize = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8)
            .map(|sender| {
                scope.spawn(move || {
                    let mut acknowledged = 0;
                    for n in 0.. {
                        let body = format!("{sender}-{n}");
                        let request = signed::github("/github", &body, body.as_bytes());
                        // Once nobody takes connections any more, nobody is let down.
                        let Ok(mut connection) = Connection::try_open(to) else {
                            break;
                        };
                        let answer = connection.exchange(&request).expect("who was accepted is answered");
                        assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
                        acknowledged += 1;
                        if n == 40 {
                            break;
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        wait_until("it is busy", || app.seen().len() > 40);
        process.signal("-TERM");
        senders.into_iter().map(|sender| sender.join().expect("no panic")).sum()
    });
    assert_eq!(process.exit(), 0);
    assert!(acknowledged > 40);
    assert_eq!(app.seen().len(), acknowledged);
}

#[test]
fn what_the_grace_cuts_is_exit_1() {
    let (app, folder) = (App::start(), Folder::new());
    let yaml = config(&app) + "limits: {shutdown_grace: 200ms}\n";
    let mut process = Process::run(&folder.write("hookward.yaml", &yaml));
    let (never, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&never)]);
    let mut connection = Connection::open(process.webhooks);
    let request = signed::github("/github", "d-1", b"{}");
    connection.write(&request.head());
    connection.write(&request.body);
    app.wait_for(1);
    process.signal("-TERM");
    let answer = connection.answer().expect("an answer");
    assert_eq!((answer.status, answer.outcome()), (503, "overloaded"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(process.exit(), 1);
}

#[test]
fn after_a_kill_9_another_replica_delivers_the_retry_once_the_lease_is_over() {
    let (app, redis, folder) = (App::start(), RedisServer::start(), Folder::new());
    // The lease is the time for an answer, the ledger's and a second: about 2.1 s.
    let path = folder.write(
        "hookward.yaml",
        &format!(
            "{PORTS}redis: {{url: \"{}\", namespace: test}}\nupstream: {{url: \"{}\", timeout: 1s, connect_wait: 1s}}\n{GITHUB}",
            redis.url(),
            app.url()
        ),
    );
    let (mut first, second) = (Process::run(&path), Process::run(&path));
    let (never, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&never)]);
    let request = signed::github("/github", "d-1", b"{}");
    let begun = Instant::now();
    let mut connection = Connection::open(first.webhooks);
    connection.write(&request.head());
    connection.write(&request.body);
    app.wait_for(1);
    first.kill();
    assert!(connection.answer().is_none(), "nobody was there to answer");
    // GitHub never retries by itself: what it sends again by hand waits for the dead one's lease.
    let answer = request.send(second.webhooks);
    let took = begun.elapsed();
    println!("delivered {took:?} after the first attempt");
    assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
    assert!(took.as_secs() >= 2, "the lease of the dead one did not hold");
    let seen = app.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].header("hookward-attempt"), Some("2"));
    assert_eq!(request.send(second.webhooks).outcome(), "duplicate");
}

/// Each success is written down as it comes, not when all have answered: what dies in between forgets nothing.
#[test]
fn after_a_kill_9_the_retry_goes_only_to_the_destination_that_had_not_answered() {
    let (fast, slow, redis, folder) = (App::start(), App::start(), RedisServer::start(), Folder::new());
    // A Redis that a busy machine holds up is waited for: the local ledger would know nothing of the first one.
    let path = folder.write(
        "hookward.yaml",
        &format!(
            "{PORTS}redis: {{url: \"{}\", namespace: test, timeout: 2s, on_outage: reject}}\ndefaults: {{timeout: 1s, connect_wait: 1s}}\n{GITHUB}    to: [slow, fast]\n\
             destinations:\n  fast: {{url: \"{}\"}}\n  slow: {{url: \"{}\"}}\n",
            redis.url(),
            fast.url(),
            slow.url()
        ),
    );
    let (mut first, second) = (Process::run(&path), Process::run(&path));
    let (never, _) = tokio::sync::watch::channel(false);
    slow.script([Script::status(200).behind(&never)]);
    let request = signed::github("/github", "d-1", b"{}");
    let mut connection = Connection::open(first.webhooks);
    connection.write(&request.head());
    connection.write(&request.body);
    slow.wait_for(1);
    fast.wait_for(1);
    let written = || {
        let records: Vec<String> = redis.query(&["KEYS", "*"]);
        let has_it = |record: &String| redis.has_had_it(record, "fast");
        records.iter().any(has_it)
    };
    wait_until("it is written down", written);
    first.kill();
    let answer = loop {
        let answer = request.send(second.webhooks);
        if answer.status != 503 {
            break answer;
        }
    };
    assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
    assert_eq!((fast.seen().len(), slow.seen().len()), (1, 2));
    assert_eq!(slow.seen()[1].header("hookward-attempt"), Some("2"));
}

/// A process that was frozen past its lease comes back to a delivery that somebody else has made.
#[test]
fn a_replica_that_was_frozen_past_its_lease_spoils_nothing() {
    let (app, redis, folder) = (App::start(), RedisServer::start(), Folder::new());
    let path = folder.write(
        "hookward.yaml",
        &format!(
            "{PORTS}redis: {{url: \"{}\", namespace: test}}\nupstream: {{url: \"{}\", timeout: 500ms, connect_wait: 500ms}}\n{GITHUB}",
            redis.url(),
            app.url()
        ),
    );
    let (first, second) = (Process::run(&path), Process::run(&path));
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    let request = signed::github("/github", "d-1", b"{}");
    let mut connection = Connection::open(first.webhooks);
    connection.write(&request.head());
    connection.write(&request.body);
    app.wait_for(1);
    first.signal("-STOP");
    let answer = loop {
        let answer = request.send(second.webhooks);
        if answer.outcome() != "in_flight" {
            break answer;
        }
    };
    assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
    open.send_replace(true);
    first.signal("-CONT");
    // The app's answer was there when it woke, or its time was over: both are true, and neither undoes the delivery.
    let late = connection.answer().expect("an answer");
    assert!(
        ["delivered", "upstream_timeout"].contains(&late.outcome()),
        "{}",
        late.outcome()
    );
    for process in [&first, &second] {
        assert_eq!(request.send(process.webhooks).outcome(), "duplicate");
    }
    assert_eq!(app.seen().len(), 2);
}

#[test]
fn a_frozen_redis_does_not_keep_a_sidecar_from_ending() {
    let (app, redis, folder) = (App::start(), RedisServer::start(), Folder::new());
    let yaml = format!("{}redis: {{url: \"{}\", namespace: test}}\n", config(&app), redis.url());
    let mut process = Process::run(&folder.write("hookward.yaml", &yaml));
    assert_eq!(
        signed::github("/github", "d-1", b"1").send(process.webhooks).outcome(),
        "delivered"
    );
    redis.stop();
    assert_eq!(
        signed::github("/github", "d-2", b"2").send(process.webhooks).outcome(),
        "delivered"
    );
    let begun = Instant::now();
    process.signal("-TERM");
    assert_eq!(process.exit(), 0);
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}
