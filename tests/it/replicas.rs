//! Two sidecars on one Redis: whatever the sender does, and wherever its attempts land, the app gets a delivery once.

use super::{
    redis::RedisServer,
    support::{Answer, App, Request, Script, Sidecar, sidecar::NOW, signed, wait_until},
};
use hookward::event::{TestClock, Timestamp};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const SOURCES: &str = "
sources:
  github:
    provider: github
    path: /github
    secrets: [{env: SECRET}]
  stripe:
    provider: stripe
    path: /stripe
    secrets: [{env: SECRET}]
  shop:
    provider: standard-webhooks
    path: /shop
    secrets: [{env: WHSEC}]
";

/// A fleet of two with one clock, as two pods of one node have it.
fn pair(redis: &RedisServer, yaml: &str) -> [Sidecar; 2] {
    let clock = Arc::new(TestClock::at(Timestamp::from_secs(NOW)));
    let yaml = format!(
        "redis: {{url: \"{}\", namespace: test, timeout: 2s}}\n{yaml}",
        redis.url()
    );
    [Sidecar::start_at(&yaml, clock.clone()), Sidecar::start_at(&yaml, clock)]
}

fn before(app: &App, redis: &RedisServer) -> [Sidecar; 2] {
    pair(redis, &format!("upstream: {}\n{SOURCES}", app.url()))
}

/// Sends until the answer says that the matter is closed, as a sender with patience does.
fn insist(sidecar: &Sidecar, request: &Request) -> Answer {
    loop {
        let answer = sidecar.send(request);
        match (answer.status, answer.outcome()) {
            (200..=299 | 409, _) => return answer,
            (503, "in_flight") => assert!(answer.header("retry-after").is_some()),
            // Repeats of one delivery have a budget of five a second; time is ours.
            (429, "rate_limited") => sidecar.advance(Duration::from_millis(200)),
            (status, outcome) => panic!("{status} {outcome}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn sixty_deliveries_in_sixteen_copies_over_two_replicas_reach_the_app_sixty_times() {
    let (app, redis) = (App::start(), RedisServer::start());
    assert_each_arrives_once(&app, &before(&app, &redis));
}

#[test]
fn sixty_deliveries_in_sixteen_copies_over_two_workers_reach_the_app_sixty_times() {
    let app = App::start();
    assert_each_arrives_once(&app, &[Sidecar::before(&app, SOURCES)]);
}

fn assert_each_arrives_once(app: &App, replicas: &[Sidecar]) {
    const DELIVERIES: usize = 60;
    const COPIES: usize = 16;
    let outcomes: Vec<(usize, String)> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..COPIES)
            .map(|copy| {
                scope.spawn(move || {
                    let mut outcomes = Vec::new();
                    for n in 0..DELIVERIES {
                        let body = format!(r#"{{"id":"evt_{n}","type":"invoice.paid"}}"#);
                        // One provider that signs every attempt anew, one that repeats the very bytes.
                        let request = if n % 2 == 0 {
                            let at = NOW + i64::try_from(copy).expect("a few");
                            signed::stripe("/stripe", at, body.as_bytes())
                        } else {
                            signed::github("/github", &format!("d-{n}"), body.as_bytes())
                        };
                        let answer = insist(&replicas[(n + copy) % replicas.len()], &request);
                        outcomes.push((n, answer.outcome().to_owned()));
                    }
                    outcomes
                })
            })
            .collect();
        senders
            .into_iter()
            .flat_map(|sender| sender.join().expect("no panic"))
            .collect()
    });
    let mut bodies: Vec<Vec<u8>> = app.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies.len(), DELIVERIES);
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), DELIVERIES, "one reached the app twice, and another never");
    assert!(
        app.seen()
            .iter()
            .all(|seen| seen.header("hookward-attempt") == Some("1"))
    );
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, outcome) in &outcomes {
        *tally.entry(outcome).or_default() += 1;
    }
    println!("{tally:?}");
    assert_eq!(tally.values().sum::<usize>(), DELIVERIES * COPIES);
    assert!(tally["delivered"] >= DELIVERIES, "{tally:?}");
    assert!(
        tally
            .keys()
            .all(|outcome| ["delivered", "duplicate", "replayed"].contains(outcome)),
        "{tally:?}"
    );
}

#[test]
fn an_app_that_fails_first_gets_the_retry_at_the_other_replica() {
    let (app, redis) = (App::start(), RedisServer::start());
    let replicas = before(&app, &redis);
    app.script([Script::status(500), Script::status(503)]);
    let request = signed::github("/github", "d-1", b"{}");
    assert_eq!(replicas[0].send(&request).outcome(), "upstream_failed");
    assert_eq!(replicas[1].send(&request).outcome(), "upstream_failed");
    assert_eq!(replicas[0].send(&request).outcome(), "delivered");
    assert_eq!(replicas[1].send(&request).outcome(), "duplicate");
    let seen = app.seen();
    let attempts: Vec<_> = seen.iter().map(|seen| seen.header("hookward-attempt")).collect();
    assert_eq!(attempts, [Some("1"), Some("2"), Some("3")]);
    let ids: Vec<_> = seen.iter().map(|seen| seen.header("hookward-delivery")).collect();
    assert!(
        ids[0].is_some() && ids.windows(2).all(|pair| pair[0] == pair[1]),
        "{ids:?}"
    );
}

#[test]
fn a_delivery_in_flight_at_one_replica_is_busy_at_the_other() {
    let (app, redis) = (App::start(), RedisServer::start());
    let replicas = before(&app, &redis);
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    let attempt = |n| signed::stripe("/stripe", NOW + n, br#"{"id":"evt_1","type":"invoice.paid"}"#);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| replicas[0].send(&attempt(0)));
        app.wait_for(1);
        let busy = replicas[1].send(&attempt(1));
        assert_eq!((busy.status, busy.outcome()), (503, "in_flight"));
        let after: u64 = busy
            .header("retry-after")
            .expect("Retry-After")
            .parse()
            .expect("seconds");
        assert!((1..=30).contains(&after), "{after}");
        open.send_replace(true);
        assert_eq!(first.join().expect("no panic").outcome(), "delivered");
    });
    assert_eq!(replicas[1].send(&attempt(2)).outcome(), "duplicate");
    assert_eq!(app.seen().len(), 1);
}

/// A sender that never comes again by itself is not sent away: what becomes of the other attempt is its answer too.
#[test]
fn who_never_retries_waits_for_the_other_replica() {
    let (app, redis) = (App::start(), RedisServer::start());
    let replicas = before(&app, &redis);
    for (n, status) in [(1, 200), (2, 500)] {
        let (open, _) = tokio::sync::watch::channel(false);
        app.script([Script::status(status).behind(&open)]);
        let request = signed::github("/github", &format!("d-{n}"), n.to_string().as_bytes());
        let seen = app.seen().len();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| replicas[0].send(&request));
            app.wait_for(seen + 1);
            redis.query::<String>(&["CONFIG", "RESETSTAT"]);
            let second = scope.spawn(|| replicas[1].send(&request));
            // It has asked more than once.
            wait_until("it waits", || questions(&redis) >= 3);
            open.send_replace(true);
            let (first, second) = (first.join().expect("no panic"), second.join().expect("no panic"));
            if status == 200 {
                assert_eq!((first.outcome(), second.outcome()), ("delivered", "duplicate"));
            } else {
                // The other one has failed: its body is still here.
                assert_eq!((first.outcome(), second.outcome()), ("upstream_failed", "delivered"));
                let seen = app.seen();
                let last = seen.last().expect("two came");
                assert_eq!(
                    (last.header("hookward-attempt"), &last.body[..]),
                    (Some("2"), &b"2"[..])
                );
            }
        });
    }
    assert_eq!(app.seen().len(), 3);
}

/// Not for ever: its own deadline ends the wait, and there is no other one.
#[test]
fn who_never_retries_waits_within_its_deadline() {
    let (app, redis) = (App::start(), RedisServer::start());
    let replicas = before(&app, &redis);
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    let request = signed::github("/github", "d-1", b"{}");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| replicas[0].send(&request));
        app.wait_for(1);
        redis.query::<String>(&["CONFIG", "RESETSTAT"]);
        let begun = std::time::Instant::now();
        let busy = replicas[1].send(&request);
        let waited = begun.elapsed();
        assert_eq!((busy.status, busy.outcome()), (503, "in_flight"));
        assert!(busy.header("retry-after").is_some());
        // GitHub hangs up after ten seconds; more is for a machine that also compiles.
        let bounds = Duration::from_secs(8)..Duration::from_secs(12);
        assert!(bounds.contains(&waited), "{waited:?}");
        let questions = questions(&redis);
        assert!(questions < 40, "{questions} questions");
        open.send_replace(true);
        first.join().expect("no panic");
    });
    assert_eq!(app.seen().len(), 1);
}

/// Records that Redis has read (of a delivery that it knows) since its statistics were reset.
fn questions(redis: &RedisServer) -> usize {
    let stats: String = redis.query(&["INFO", "commandstats"]);
    let calls = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_get:calls="))
        .and_then(|rest| rest.split(',').next())
        .map(|calls| calls.parse().expect("a number"));
    calls.unwrap_or_default()
}

#[test]
fn every_replica_judges_alike() {
    let (app, redis) = (App::start(), RedisServer::start());
    let replicas = before(&app, &redis);
    let event = br#"{"id":"evt_1","type":"invoice.paid"}"#;
    let first = signed::stripe("/stripe", NOW, event);
    let resigned = signed::stripe("/stripe", NOW + 1, event);
    let push = signed::github("/github", "d-1", b"{\"a\":1}");
    let disguised = signed::github("/github", "d-2", b"{\"a\":1}");
    let message = signed::standard("/shop", "msg_1", NOW, b"{}");
    for request in [&first, &push, &message] {
        assert_eq!(replicas[0].send(request).outcome(), "delivered");
    }
    for (request, status, outcome) in [
        (&first, 409, "replayed"),
        (&resigned, 200, "duplicate"),
        (&push, 200, "duplicate"),
        (&disguised, 409, "conflict"),
        (&message, 409, "replayed"),
        (&signed::standard("/shop", "msg_1", NOW + 9, b"{}"), 200, "duplicate"),
        // The id is signed, so what it names is the same delivery whatever the body says.
        (&signed::standard("/shop", "msg_1", NOW + 9, b"[]"), 200, "duplicate"),
    ] {
        for replica in &replicas {
            let answer = replica.send(request);
            assert_eq!((answer.status, answer.outcome()), (status, outcome));
        }
    }
    assert_eq!(app.seen().len(), 3);
}

#[test]
fn namespaces_know_nothing_of_each_other() {
    let (app, redis) = (App::start(), RedisServer::start());
    let of = |namespace: &str| {
        Sidecar::start(&format!(
            "redis: {{url: \"{}\", namespace: {namespace}}}\nupstream: {}\n{SOURCES}",
            redis.url(),
            app.url()
        ))
    };
    let (staging, production) = (of("staging"), of("production"));
    let request = signed::github("/github", "d-1", b"{}");
    for sidecar in [&staging, &production] {
        assert_eq!(sidecar.send(&request).outcome(), "delivered");
        assert_eq!(sidecar.send(&request).outcome(), "duplicate");
    }
    assert_eq!(app.seen().len(), 2);
    assert_eq!(redis.query::<u64>(&["DBSIZE"]), 2);
}

#[test]
fn what_one_replica_delivered_in_part_the_other_completes() {
    let (orders, kitchen, courier) = (App::start(), App::start(), App::start());
    let redis = RedisServer::start();
    let replicas = pair(
        &redis,
        &format!(
            "
sources:
  food:
    provider: stripe
    path: /food
    secrets: [{{env: SECRET}}]
    to: [orders, kitchen, courier]
destinations:
  orders: {{url: \"{}/orders\"}}
  kitchen: {{url: \"{}/kitchen\"}}
  courier: {{url: \"{}/courier\"}}
",
            orders.url(),
            kitchen.url(),
            courier.url()
        ),
    );
    kitchen.script([Script::status(500), Script::status(500)]);
    courier.script([Script::status(503)]);
    let attempt = |n| signed::stripe("/food", NOW + n, br#"{"id":"evt_1","type":"order.confirmed"}"#);
    let counts = || (orders.seen().len(), kitchen.seen().len(), courier.seen().len());
    assert_eq!(replicas[0].send(&attempt(0)).outcome(), "upstream_failed");
    assert_eq!(counts(), (1, 1, 1));
    assert_eq!(replicas[1].send(&attempt(1)).outcome(), "upstream_failed");
    assert_eq!(counts(), (1, 2, 2));
    assert_eq!(replicas[0].send(&attempt(2)).outcome(), "delivered");
    assert_eq!(counts(), (1, 3, 2));
    assert_eq!(replicas[1].send(&attempt(3)).outcome(), "duplicate");
    assert_eq!(counts(), (1, 3, 2));
    assert_eq!(kitchen.seen()[2].header("hookward-attempt"), Some("3"));
}

/// Who captured a request and sends it again and again pays with our CPU at most.
#[test]
fn a_captured_request_does_not_make_redis_work() {
    let (app, redis) = (App::start(), RedisServer::start());
    let replicas = before(&app, &redis);
    let captured = signed::github("/github", "d-1", b"{}");
    assert_eq!(replicas[0].send(&captured).outcome(), "delivered");
    redis.query::<String>(&["CONFIG", "RESETSTAT"]);
    for n in 0..150 {
        // The id is not signed: whoever captured it may change it.
        let again = signed::github("/github", &format!("d-{n}"), b"{}");
        let answer = replicas[n % 2].send(&again);
        assert!(
            ["duplicate", "conflict", "rate_limited"].contains(&answer.outcome()),
            "{}",
            answer.outcome()
        );
    }
    let calls = questions(&redis);
    assert!(calls <= 1, "{calls} questions for 150 repetitions at two replicas");
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn what_is_not_verified_leaves_no_trace_in_redis() {
    let (app, redis) = (App::start(), RedisServer::start());
    let replicas = before(&app, &redis);
    let forged =
        signed::github("/github", "d-1", b"{}").replace("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)));
    for replica in &replicas {
        assert_eq!(replica.send(&forged).outcome(), "unverified");
        assert_eq!(
            replica
                .send(&signed::stripe("/stripe", NOW - 3600, b"{\"id\":\"evt_1\"}"))
                .outcome(),
            "stale"
        );
    }
    assert_eq!(redis.query::<u64>(&["DBSIZE"]), 0);
    assert!(app.seen().is_empty());
}
