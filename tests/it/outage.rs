//! Redis away: never there, killed, frozen. What each policy says, how soon, and what is made good afterwards.

use super::{
    redis::RedisServer,
    support::{App, Folder, Process, Request, Script, Sidecar, process::config, sidecar::NOW, signed, wait_until},
};
use hookward::event::{TestClock, Timestamp};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// 150 ms is promised; the rest is for a machine that also compiles.
const DECISION: Duration = Duration::from_millis(600);
/// Nobody listens there.
const NOBODY: &str = "redis://127.0.0.1:1/0";

const SOURCES: &str = "
sources:
  github:
    provider: github
    path: /github
    secrets: [{env: SECRET}]
  careful:
    provider: github
    path: /careful
    secrets: [{env: SECRET}]
    on_outage: reject
  careless:
    provider: github
    path: /careless
    secrets: [{env: SECRET}]
    on_outage: allow
";

fn sidecar(app: &App, redis: &str, extra: &str) -> Sidecar {
    Sidecar::start(&format!(
        "redis: {{url: \"{redis}\", namespace: test}}\nupstream: {}\n{extra}{SOURCES}",
        app.url()
    ))
}

fn push(path: &str, n: usize) -> Request {
    signed::github(path, &format!("d-{n}"), n.to_string().as_bytes())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let result = work();
    (result, begun.elapsed())
}

fn is_up(sidecar: &Sidecar) -> bool {
    sidecar.metric("hookward_ledger_up") > 0.5
}

fn ready(sidecar: &Sidecar) -> u16 {
    Request::get("/readyz").send(sidecar.addresses.health).status
}

/// Each policy's word while Redis is out, for the `n`-th event.
fn assert_policies(app: &App, sidecar: &Sidecar, n: usize) {
    let before = app.seen().len();
    let local = push("/github", n);
    let (answer, took) = timed(|| sidecar.send(&local));
    assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
    assert!(took < DECISION, "local: {took:?}");
    assert_eq!(sidecar.send(&local).outcome(), "duplicate");
    let (answer, took) = timed(|| sidecar.send(&push("/careful", n)));
    assert_eq!((answer.status, answer.outcome()), (503, "ledger_unavailable"));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(answer.header("retry-after").is_some());
    assert!(took < DECISION, "reject: {took:?}");
    for _ in 0..2 {
        let (answer, took) = timed(|| sidecar.send(&push("/careless", n)));
        assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
        assert!(took < DECISION, "allow: {took:?}");
    }
    let seen = app.seen();
    let sources: Vec<_> = seen[before..]
        .iter()
        .map(|seen| (seen.header("hookward-source"), seen.header("hookward-ledger")))
        .collect();
    let passed = |source| (Some(source), Some("local"));
    assert_eq!(sources, [passed("github"), passed("careless"), passed("careless")]);
}

#[test]
fn redis_that_was_never_there() {
    let app = App::start();
    let sidecar = sidecar(&app, NOBODY, "");
    assert_eq!(ready(&sidecar), 200);
    assert_policies(&app, &sidecar, 1);
    wait_until("it is known to be out", || !is_up(&sidecar));
    assert_policies(&app, &sidecar, 2);
    assert_eq!(ready(&sidecar), 200);
    assert_eq!(Request::get("/startupz").send(sidecar.addresses.health).status, 200);
}

#[test]
fn redis_that_was_never_there_is_noticed_without_a_request() {
    let sidecar = sidecar(&App::start(), NOBODY, "ready_requires: [redis]\n");
    wait_until("unready", || ready(&sidecar) == 503);
    assert!(!is_up(&sidecar));
    assert_eq!(Request::get("/livez").send(sidecar.addresses.health).status, 200);
    assert_eq!(Request::get("/startupz").send(sidecar.addresses.health).status, 200);
}

#[test]
fn readiness_follows_redis_where_asked_to() {
    let mut redis = RedisServer::start();
    let sidecar = sidecar(&App::start(), &redis.url(), "ready_requires: [redis]\n");
    wait_until("ready", || ready(&sidecar) == 200);
    redis.kill();
    wait_until("unready", || ready(&sidecar) == 503);
    redis.restart();
    wait_until("ready again", || ready(&sidecar) == 200);
    assert!(is_up(&sidecar));
}

#[test]
fn redis_that_is_killed_and_comes_back() {
    let (app, mut redis) = (App::start(), RedisServer::start());
    let sidecar = sidecar(&app, &redis.url(), "");
    assert_eq!(sidecar.send(&push("/github", 0)).outcome(), "delivered");
    assert_eq!(app.seen()[0].header("hookward-ledger"), None);
    redis.kill();
    assert_policies(&app, &sidecar, 1);
    wait_until("it is known to be out", || !is_up(&sidecar));
    assert_eq!(ready(&sidecar), 200);
    redis.restart();
    wait_until("it is known to be back", || is_up(&sidecar));
    assert_eq!(sidecar.send(&push("/careful", 1)).outcome(), "delivered");
    assert_eq!(app.seen().last().expect("many").header("hookward-ledger"), None);
    // What was delivered in the outage is known.
    assert_eq!(sidecar.send(&push("/github", 1)).outcome(), "duplicate");
}

#[test]
fn redis_that_hangs() {
    let (app, redis) = (App::start(), RedisServer::start());
    let sidecar = sidecar(&app, &redis.url(), "");
    assert_eq!(sidecar.send(&push("/github", 0)).outcome(), "delivered");
    redis.stop();
    assert_policies(&app, &sidecar, 1);
    wait_until("it is known to be out", || !is_up(&sidecar));
    // Known to be out, it costs nothing any more.
    let (answer, took) = timed(|| sidecar.send(&push("/careful", 2)));
    assert_eq!(answer.outcome(), "ledger_unavailable");
    println!("while the breaker is open a decision takes {took:?}");
    redis.cont();
    wait_until("it is known to be back", || is_up(&sidecar));
    assert_eq!(sidecar.send(&push("/careful", 2)).outcome(), "delivered");
    assert_eq!(sidecar.send(&push("/github", 1)).outcome(), "duplicate");
}

/// Several senders, each with its own events, while Redis goes and comes back empty: nothing is lost, and nothing is
/// delivered twice, because this process remembers what Redis had called delivered.
#[test]
fn redis_killed_under_load_loses_nothing() {
    const SENDERS: usize = 8;
    const EACH: usize = 60;
    let (app, mut redis) = (App::start(), RedisServer::start());
    let sidecar = sidecar(&app, &redis.url(), "");
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let sidecar = &sidecar;
                scope.spawn(move || {
                    for n in 0..EACH {
                        let request = push("/github", sender * EACH + n);
                        loop {
                            let answer = sidecar.send(&request);
                            match (answer.status, answer.outcome()) {
                                (200, "delivered" | "duplicate") => break,
                                (503, "in_flight") => std::thread::yield_now(),
                                (status, outcome) => panic!("{status} {outcome}"),
                            }
                        }
                        let again = sidecar.send(&request);
                        let right = matches!((again.status, again.outcome()), (200, "delivered" | "duplicate"));
                        assert!(right, "{} {}", again.status, again.outcome());
                    }
                })
            })
            .collect();
        app.wait_for(SENDERS * EACH / 8);
        redis.kill();
        app.wait_for(SENDERS * EACH / 2);
        redis.restart();
        for sender in senders {
            sender.join().expect("no panic");
        }
    });
    let mut bodies: Vec<Vec<u8>> = app.seen().into_iter().map(|seen| seen.body).collect();
    let effects = bodies.len();
    bodies.sort();
    bodies.dedup();
    println!("{effects} effects of {} deliveries", bodies.len());
    assert_eq!(effects, SENDERS * EACH);
    assert_eq!(bodies.len(), SENDERS * EACH);
}

#[test]
fn what_one_replica_delivered_in_the_outage_the_other_knows_afterwards() {
    let (app, mut redis) = (App::start(), RedisServer::start());
    let (here, there) = (sidecar(&app, &redis.url(), ""), sidecar(&app, &redis.url(), ""));
    redis.kill();
    assert_eq!(here.send(&push("/github", 1)).outcome(), "delivered");
    assert_eq!(app.seen()[0].header("hookward-ledger"), Some("local"));
    redis.restart();
    // The record is told to Redis when it is seen again; until then the other replica would deliver it.
    wait_until("the success is written back", || redis.query::<u64>(&["DBSIZE"]) == 1);
    wait_until("the other one sees Redis", || is_up(&there));
    assert_eq!(there.send(&push("/github", 1)).outcome(), "duplicate");
    assert_eq!(here.send(&push("/github", 1)).outcome(), "duplicate");
    assert_eq!(app.seen().len(), 1);
}

/// The claim was granted by Redis, and the outcome cannot be told to it.
#[test]
fn redis_that_goes_while_the_app_works_learns_of_the_success_afterwards() {
    for freeze in [false, true] {
        let (app, mut redis) = (App::start(), RedisServer::start());
        let (here, there) = (sidecar(&app, &redis.url(), ""), sidecar(&app, &redis.url(), ""));
        let (open, _) = tokio::sync::watch::channel(false);
        app.script([Script::status(200).behind(&open)]);
        std::thread::scope(|scope| {
            let sent = scope.spawn(|| here.send(&push("/careful", 1)));
            app.wait_for(1);
            if freeze {
                redis.stop();
            } else {
                redis.kill();
            }
            open.send_replace(true);
            let (answer, took) = timed(|| sent.join().expect("no panic"));
            // The app has done its work: nothing that Redis does can take that back.
            assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
            assert!(took < DECISION, "{took:?}");
        });
        assert_eq!(here.send(&push("/github", 2)).outcome(), "delivered");
        if freeze {
            redis.cont();
        } else {
            // Empty: the record itself is lost too.
            redis.restart();
        }
        wait_until("both see Redis", || is_up(&here) && is_up(&there));
        wait_until("the other one knows", || {
            let answer = there.send(&push("/careful", 1));
            match answer.outcome() {
                "duplicate" => true,
                // The first moments after the outage.
                "in_flight" | "ledger_unavailable" => false,
                other => panic!("{other}"),
            }
        });
        assert_eq!(here.send(&push("/careful", 1)).outcome(), "duplicate");
        assert_eq!(app.seen().len(), 2);
    }
}

#[test]
fn a_failure_in_the_outage_stays_retriable() {
    let app = App::start();
    let sidecar = sidecar(&app, NOBODY, "");
    app.script([Script::status(500)]);
    assert_eq!(sidecar.send(&push("/github", 1)).outcome(), "upstream_failed");
    assert_eq!(sidecar.send(&push("/github", 1)).outcome(), "delivered");
    let attempts: Vec<_> = app
        .seen()
        .iter()
        .map(|seen| seen.header("hookward-attempt").map(str::to_owned))
        .collect();
    assert_eq!(attempts, [Some("1".to_owned()), Some("2".to_owned())]);
}

/// Redis tells the time with every claim: a clock of ours that is far off is no reason to send a sender away for good.
#[test]
fn stale_by_a_clock_that_is_off_is_503() {
    let (app, redis) = (App::start(), RedisServer::start());
    let clock = Arc::new(TestClock::at(Timestamp::from_secs(NOW)));
    let yaml = format!(
        "redis: {{url: \"{}\", namespace: test}}\nupstream: {}\nsources:\n  stripe: {{provider: stripe, path: /stripe, secrets: [{{env: SECRET}}]}}\n",
        redis.url(),
        app.url()
    );
    let sidecar = Sidecar::start_at(&yaml, clock);
    let stale = signed::stripe("/stripe", NOW - 3600, br#"{"id":"evt_1"}"#);
    let answer = sidecar.send(&signed::stripe("/stripe", NOW, br#"{"id":"evt_2"}"#));
    assert_eq!(answer.outcome(), "delivered");
    let answer = sidecar.send(&stale);
    assert_eq!((answer.status, answer.outcome()), (503, "stale"));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(app.seen().len(), 1);
}

/// Even where everything is stale, so that no claim ever brings the time along.
#[test]
fn a_clock_that_is_off_is_known_without_a_claim() {
    let (app, redis) = (App::start(), RedisServer::start());
    let clock = Arc::new(TestClock::at(Timestamp::from_secs(NOW)));
    let yaml = format!(
        "redis: {{url: \"{}\", namespace: test}}\nupstream: {}\nsources:\n  stripe: {{provider: stripe, path: /stripe, secrets: [{{env: SECRET}}]}}\n",
        redis.url(),
        app.url()
    );
    let sidecar = Sidecar::start_at(&yaml, clock);
    let stale = signed::stripe("/stripe", NOW + 3600, br#"{"id":"evt_1"}"#);
    wait_until("the fault may be ours", || {
        let answer = sidecar.send(&stale);
        assert_eq!(answer.outcome(), "stale");
        answer.status == 503
    });
    assert!(app.seen().is_empty());
}

/// One line when it goes and one when it comes back, however many requests come by meanwhile.
#[test]
fn an_outage_is_logged_once_and_its_end_too() {
    const GONE: &str = "Redis does not answer: on_outage decides";
    const BACK: &str = "Redis answers again";
    let (app, mut redis, folder) = (App::start(), RedisServer::start(), Folder::new());
    let yaml = format!("{}redis: {{url: \"{}\", namespace: test}}\n", config(&app), redis.url());
    let process = Process::run(&folder.write("hookward.yaml", &yaml));
    let send = |n| assert_eq!(push("/github", n).send(process.webhooks).outcome(), "delivered");
    send(0);
    redis.kill();
    for n in 1..20 {
        send(n);
    }
    let gone = process.wait_for_log(GONE);
    assert_eq!(gone["level"], "warn");
    assert!(gone["reason"].as_str().is_some_and(|reason| reason.contains("Redis")));
    // What Redis does not know yet; that it knows the first one is remembered and no entry.
    assert!((process.metric("hookward_ledger_entries") - 19.0).abs() < f64::EPSILON);
    redis.restart();
    process.wait_for_log(BACK);
    wait_until("Redis knows everything", || {
        process.metric("hookward_ledger_entries") < 0.5
    });
    assert_eq!((process.logged(GONE).len(), process.logged(BACK).len()), (1, 1));
}

#[test]
fn a_password_of_redis_is_used_and_never_shown() {
    let (app, redis) = (
        App::start(),
        RedisServer::start_with(&["--requirepass", "correct-horse"]),
    );
    let of = |password: &str| {
        Sidecar::start(&format!(
            "redis: {{url: \"{}\", namespace: test, password: {{value: {password}}}}}\nupstream: {}\n{SOURCES}",
            redis.url(),
            app.url()
        ))
    };
    let (right, wrong) = (of("correct-horse"), of("battery-staple"));
    assert_eq!(right.send(&push("/careful", 1)).outcome(), "delivered");
    assert_eq!(right.send(&push("/careful", 1)).outcome(), "duplicate");
    let answer = wrong.send(&push("/careful", 2));
    assert_eq!((answer.status, answer.outcome()), (503, "ledger_unavailable"));
    wait_until("it is known to be out", || !is_up(&wrong));
    for sidecar in [&right, &wrong] {
        let logged = sidecar.logged();
        assert!(!logged.contains("horse") && !logged.contains("battery"), "{logged}");
    }
    assert!(
        wrong.logged().contains("authentication failed"),
        "an operator has to know why: {}",
        wrong.logged()
    );
}
