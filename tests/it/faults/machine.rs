//! The machine and the configuration: memory, CPU, clocks, destinations that come and go.

use crate::{
    redis::RedisServer,
    support::{
        App, Folder, PORTS, Process, Script, Sidecar,
        process::config,
        sidecar::NOW,
        signed::{self, GITHUB, push},
        wait_until,
        wire::Connection,
    },
};
use hookward::event::Timestamp;
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

#[test]
fn memory_stays_flat_in_a_flood() {
    const ROUND: usize = 1500;
    let (app, folder) = (App::start(), Folder::new());
    let yaml = config(&app) + "    rate_limit: off\nlimits: {workers: 2, ledger_entries: 512}\n";
    let process = Process::run(&folder.write("hookward.yaml", &yaml));
    let mut connection = Connection::open(process.webhooks);
    let mut flood = |round: usize| {
        for n in round * ROUND..(round + 1) * ROUND {
            // More deliveries than the ledger holds, and as many forgeries: each with names of its own.
            let answer = connection.exchange(&push(n)).expect("an answer");
            assert_eq!(answer.outcome(), "delivered");
            let forged = push(n).replace("X-Hub-Signature-256", format!("sha256={n:064x}"));
            let answer = forged.send(process.webhooks);
            assert!(
                ["unverified", "penalized"].contains(&answer.outcome()),
                "{}",
                answer.outcome()
            );
        }
        process.memory()
    };
    // The rings of the last requests, 2 MiB each, are full before anything is measured.
    (0..4).for_each(|round| {
        flood(round);
    });
    let (before, after) = (flood(4), flood(5));
    println!("{before} KiB, {after} KiB {ROUND} deliveries and {ROUND} forgeries later");
    assert!(after < before + 1024, "{before} KiB grew to {after} KiB");
    assert!((process.metric("hookward_ledger_entries") - 512.0).abs() < f64::EPSILON);
}

/// A quota lets a process run for a part of each period and stops it for the rest.
#[test]
fn a_fifth_of_a_cpu_is_slow_and_right() {
    const SENDERS: usize = 4;
    const EACH: usize = 20;
    let (app, redis, folder) = (App::start(), RedisServer::start(), Folder::new());
    let yaml = format!(
        "{PORTS}redis: {{url: \"{}\", namespace: test}}\nupstream: {}\n{GITHUB}",
        redis.url(),
        app.url()
    );
    let process = Process::run(&folder.write("hookward.yaml", &yaml));
    let (over, stops) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(SeqCst) {
                process.signal("-STOP");
                std::thread::sleep(Duration::from_millis(80));
                process.signal("-CONT");
                stops.fetch_add(1, SeqCst);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let to = process.webhooks;
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                scope.spawn(move || {
                    for n in 0..EACH {
                        let answer = push(sender * EACH + n).send(to);
                        assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
                    }
                })
            })
            .collect();
        let results: Vec<_> = senders.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, SeqCst);
        assert!(results.iter().all(Result::is_ok), "a sender was told something wrong");
    });
    println!("stopped {stops:?} times");
    assert!(stops.into_inner() > 2);
    assert_eq!(app.seen().len(), SENDERS * EACH);
    // What was decided alone, because an answer of Redis was only seen after the stop, is told to it.
    wait_until("Redis is up", || process.metric("hookward_ledger_up") > 0.5);
    wait_until("it knows everything", || {
        process.metric("hookward_ledger_entries") < 0.5 && redis.query::<usize>(&["DBSIZE"]) == SENDERS * EACH
    });
    for n in 0..SENDERS * EACH {
        assert_eq!(push(n).send(process.webhooks).outcome(), "duplicate");
    }
}

#[test]
fn a_stepped_clock_moves_the_window_and_nothing_else() {
    const QUARTER: i64 = 15 * 60;
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "sources:\n  stripe: {provider: stripe, path: /stripe, secrets: [{env: SECRET}]}\n",
    );
    let event = |n: usize, at: i64| signed::stripe("/stripe", at, format!(r#"{{"id":"evt_{n}"}}"#).as_bytes());
    assert_eq!(sidecar.send(&event(0, NOW)).outcome(), "delivered");
    let (open, _) = tokio::sync::watch::channel(false);
    for (n, step) in [(1, QUARTER), (2, -QUARTER)] {
        app.script([Script::status(200).behind(&open)]);
        let begun = event(n, sidecar.now());
        std::thread::scope(|scope| {
            let under_way = scope.spawn(|| sidecar.send(&begun));
            app.wait_for(2 * n);
            sidecar.clock.set_wall(Timestamp::from_secs(NOW + step));
            // Neither the lease nor the time for an answer is over: both go by the other clock.
            open.send_replace(true);
            assert_eq!(under_way.join().expect("no panic").outcome(), "delivered");
        });
        open.send_replace(false);
        assert_eq!(
            sidecar.send(&event(0, NOW + step)).outcome(),
            "duplicate",
            "it is remembered"
        );
        assert_eq!(sidecar.send(&event(10 + n, NOW)).outcome(), "stale");
        assert_eq!(sidecar.send(&event(20 + n, NOW + step)).outcome(), "delivered");
    }
    sidecar.clock.set_wall(Timestamp::from_secs(NOW));
    assert_eq!(sidecar.send(&event(11, NOW)).outcome(), "delivered");
}

#[test]
fn a_destination_that_is_added_gets_what_is_open_and_nothing_that_is_done() {
    let (a, b, c, folder) = (App::start(), App::start(), App::start(), Folder::new());
    let yaml = |to: &str| {
        format!(
            "{PORTS}{GITHUB}    to: [{to}]\ndestinations:\n  a: {{url: \"{}\"}}\n  b: {{url: \"{}\"}}\n  c: {{url: \"{}\"}}\n",
            a.url(),
            b.url(),
            c.url()
        )
    };
    let process = Process::run(&folder.write("hookward.yaml", &yaml("a, b")));
    let (done, half) = (push(1), push(2));
    assert_eq!(done.send(process.webhooks).outcome(), "delivered");
    b.script([Script::status(500)]);
    assert_eq!(half.send(process.webhooks).outcome(), "upstream_failed");
    assert_eq!((a.seen().len(), b.seen().len()), (2, 2));
    folder.write("hookward.yaml", &yaml("a, b, c"));
    process.signal("-HUP");
    process.wait_for_log("configuration reloaded");
    assert_eq!(done.send(process.webhooks).outcome(), "duplicate");
    assert_eq!(half.send(process.webhooks).outcome(), "delivered");
    assert_eq!((a.seen().len(), b.seen().len(), c.seen().len()), (2, 3, 1));
    assert_eq!(half.send(process.webhooks).outcome(), "duplicate");
}
