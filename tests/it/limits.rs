//! What a source may send, how long it is remembered, and what happens where a ledger is small, off or without a secret.

use super::redis::RedisServer;
use super::support::{
    App, Request, Script, Sidecar,
    frames::{self, End, Frames},
    sidecar::NOW,
    signed::{self, push},
};
use std::time::Duration;

/// GitHub with these keys beside the usual ones.
fn github(app: &App, keys: &str) -> Sidecar {
    Sidecar::before(
        app,
        &format!(
            "client_ip: {{trust: [127.0.0.0/8]}}
sources:
  github:
    provider: github
    path: /github
    secrets: [{{env: SECRET}}]
    {keys}
"
        ),
    )
}

fn outcomes(sidecar: &Sidecar, requests: impl IntoIterator<Item = Request>) -> Vec<String> {
    requests
        .into_iter()
        .map(|request| sidecar.send(&request).outcome().to_owned())
        .collect()
}

#[test]
fn each_client_has_its_own_rate() {
    let app = App::start();
    let sidecar = github(&app, "rate_limit: {per: client, rate: 1/m, burst: 1}");
    let from = |client: &str, n| push(n).header("X-Forwarded-For", client);
    assert_eq!(
        outcomes(
            &sidecar,
            [
                from("192.0.2.1", 1),
                from("192.0.2.1", 2),
                from("192.0.2.2", 3),
                // One /64 is one client.
                from("2001:db8::1", 4),
                from("2001:db8::2", 5),
                from("2001:db8:0:1::1", 6),
            ]
        ),
        [
            "delivered",
            "rate_limited",
            "delivered",
            "delivered",
            "rate_limited",
            "delivered"
        ]
    );
}

/// GitHub never retries by itself: a 429 would lose the event.
#[test]
fn a_provider_that_never_retries_waits_for_its_place() {
    let app = App::start();
    let sidecar = github(&app, "rate_limit: {per: source, rate: 1/s, burst: 1}");
    assert_eq!(sidecar.send(&push(1)).outcome(), "delivered");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| sidecar.send(&push(2)));
        while sidecar.metric("hookward_in_flight") < 1.0 {
            std::thread::yield_now();
        }
        assert_eq!(app.seen().len(), 1);
        sidecar.advance(std::time::Duration::from_secs(1));
        assert_eq!(waits.join().expect("no panic").outcome(), "delivered");
    });
    assert_eq!(app.seen()[1].header("hookward-attempt"), Some("1"));
}

#[test]
fn each_value_of_a_header_has_its_own_rate() {
    let app = App::start();
    let sidecar = github(&app, "rate_limit: {per: {header: x-tenant}, rate: 1/m, burst: 1}");
    let of = |tenant: &str, n| push(n).header("X-Tenant", tenant);
    assert_eq!(
        outcomes(&sidecar, [of("a", 1), of("a", 2), of("b", 3), push(4), push(5)]),
        ["delivered", "rate_limited", "delivered", "delivered", "rate_limited"]
    );
}

#[test]
fn each_value_in_the_body_has_its_own_rate() {
    let app = App::start();
    let sidecar = github(
        &app,
        "rate_limit: {per: {json: /account}, rate: 1/m, burst: 1, status: 503}",
    );
    let of = |account: &str, n: usize| {
        signed::github(
            "/github",
            &format!("d-{n}"),
            format!(r#"{{"n":{n},"account":{account}}}"#).as_bytes(),
        )
    };
    assert_eq!(
        outcomes(&sidecar, [of("\"a\"", 1), of("\"b\"", 2), of("7", 3), of("7", 4)]),
        ["delivered", "delivered", "delivered", "rate_limited"]
    );
    let over = sidecar.send(&of("\"a\"", 5));
    assert_eq!((over.status, over.outcome()), (503, "rate_limited"));
    assert!(over.header("retry-after").is_some());
}

#[test]
fn only_what_is_authentic_and_new_spends_the_rate() {
    let app = App::start();
    let sidecar = github(
        &app,
        "rate_limit: {per: source, rate: 1/m, burst: 2}\n    events: [push]",
    );
    let forged = push(9).replace("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)));
    let other = signed::github_event("/github", "star", "d-8", b"8");
    assert_eq!(
        outcomes(
            &sidecar,
            [
                forged.clone(),
                forged,
                other,
                push(1),
                push(1),
                push(1),
                push(2),
                push(3),
                push(2),
                push(3)
            ]
        ),
        [
            "unverified",
            "unverified",
            "filtered",
            "delivered",
            "duplicate",
            "duplicate",
            "delivered",
            "rate_limited",
            "duplicate",
            "rate_limited"
        ]
    );
    // What was over the limit was never claimed: a minute later it is delivered for the first time.
    sidecar.advance(Duration::from_mins(1));
    assert_eq!(sidecar.send(&push(3)).outcome(), "delivered");
    assert_eq!(app.seen()[2].header("hookward-attempt"), Some("1"));
}

#[test]
fn repeats_have_a_budget_of_their_own() {
    let app = App::start();
    let sidecar = github(&app, "max_body: 1KiB");
    assert_eq!(sidecar.send(&push(1)).outcome(), "delivered");
    let words = outcomes(&sidecar, (0..40).map(|_| push(1)));
    let limited = words.iter().filter(|word| *word == "rate_limited").count();
    assert!(
        words.iter().all(|word| word == "duplicate" || word == "rate_limited"),
        "{words:?}"
    );
    assert!(
        (20..40).contains(&limited),
        "five a second, and time stands still: {limited}"
    );
    // Others feel nothing of it, and it recovers.
    assert_eq!(sidecar.send(&push(2)).outcome(), "delivered");
    sidecar.advance(Duration::from_secs(1));
    assert_eq!(sidecar.send(&push(1)).outcome(), "duplicate");
}

#[test]
fn without_a_ledger_every_copy_is_delivered() {
    let app = App::start();
    let sidecar = github(&app, "replay: off");
    assert_eq!(outcomes(&sidecar, (0..3).map(|_| push(1))), ["delivered"; 3]);
    assert!(
        app.seen()
            .iter()
            .all(|seen| seen.header("hookward-attempt") == Some("1"))
    );
}

#[test]
fn tokens_have_a_ledger_only_where_an_id_is_named() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "
sources:
  plain: {provider: token, path: /plain, secrets: [{env: TOKEN}]}
  named: {provider: token, path: /named, secrets: [{env: TOKEN}], id: \"header:X-Job\"}
",
    );
    let job = |path: &str, id: &str| {
        Request::post(path, "{}")
            .header("Authorization", format!("Bearer {}", signed::TOKEN))
            .header("X-Job", id)
    };
    assert_eq!(
        outcomes(
            &sidecar,
            [
                job("/plain", "1"),
                job("/plain", "1"),
                job("/named", "1"),
                job("/named", "1"),
                job("/named", "2"),
                // Without its id only the body can tell it from another.
                job("/named", "3").without("X-Job"),
                job("/named", "3").without("X-Job"),
            ]
        ),
        [
            "delivered",
            "delivered",
            "delivered",
            "duplicate",
            "delivered",
            "delivered",
            "duplicate"
        ]
    );
}

#[test]
fn a_delivery_is_remembered_for_keep_and_no_longer() {
    let app = App::start();
    let sidecar = github(&app, "replay: {keep: 2h}");
    assert_eq!(sidecar.send(&push(1)).outcome(), "delivered");
    sidecar.advance(Duration::from_secs(2 * 3600 - 1));
    assert_eq!(sidecar.send(&push(1)).outcome(), "duplicate");
    sidecar.advance(Duration::from_secs(2));
    assert_eq!(sidecar.send(&push(1)).outcome(), "delivered");
    assert_eq!(app.seen().len(), 2);
}

#[test]
fn a_full_ledger_forgets_the_oldest_delivered_and_says_so() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "
limits: {workers: 2, ledger_entries: 64}
sources:
  github:
    provider: github
    path: /github
    secrets: [{env: SECRET}]
",
    );
    for n in 0..200 {
        assert_eq!(sidecar.send(&push(n)).outcome(), "delivered", "{n}");
        sidecar.advance(Duration::from_secs(1));
    }
    assert!(sidecar.metric("hookward_ledger_entries") <= 64.0);
    assert_eq!(sidecar.send(&push(199)).outcome(), "duplicate", "the newest is known");
    assert_eq!(sidecar.send(&push(0)).outcome(), "delivered", "the oldest is not");
    let status = Request::get("/api/v1/status")
        .replace("Host", sidecar.addresses.admin.to_string())
        .send(sidecar.addresses.admin);
    assert!(status.json()["ledger"]["forgotten"].as_u64().expect("a count") >= 136);
}

#[test]
fn a_source_without_its_secret_is_unavailable_and_the_others_serve() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "
defaults: {on_missing_secret: unavailable}
sources:
  github: {provider: github, path: /github, secrets: [{env: SECRET}]}
  stripe: {provider: stripe, path: /stripe, secrets: [{file: /nowhere/secret}]}
",
    );
    let answer = sidecar.send(&signed::stripe("/stripe", NOW, b"{}"));
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(sidecar.send(&push(1)).outcome(), "delivered");
}

#[test]
fn a_secret_verifies_until_its_day() {
    let app = App::start();
    // NOW is 2025-10-09T08:53:20Z.
    let sidecar = Sidecar::before(
        &app,
        "
sources:
  github:
    provider: github
    path: /github
    secrets: [{env: TOKEN}, {env: SECRET, not_after: \"2025-10-09T09:00:00Z\"}]
",
    );
    assert_eq!(sidecar.send(&push(1)).outcome(), "delivered");
    sidecar.advance(Duration::from_mins(7));
    assert_eq!(sidecar.send(&push(2)).outcome(), "unverified");
}

#[test]
fn while_it_drains_an_app_that_is_gone_is_another_pods_matter() {
    let gone = App::start();
    let app = App::start();
    let sidecar = Sidecar::start(&format!(
        "
sources:
  github: {{provider: github, path: /github, secrets: [{{env: SECRET}}], to: [gone]}}
  other: {{provider: github, path: /other, secrets: [{{env: SECRET}}], to: [app]}}
destinations:
  gone: {{url: \"{}\", connect_wait: 10ms}}
  app: {{url: \"{}\"}}
",
        gone.url(),
        app.url()
    ));
    drop(gone);
    assert_eq!(sidecar.send(&push(1)).status, 502);
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    std::thread::scope(|scope| {
        // Something in flight keeps the listener open.
        let held = scope.spawn(|| sidecar.send(&signed::github("/other", "d-1", b"{}")));
        app.wait_for(1);
        sidecar.drain();
        let answer = sidecar.send(&push(1));
        assert_eq!((answer.status, answer.outcome()), (503, "upstream_unreachable"));
        assert!(answer.header("retry-after").is_some());
        open.send_replace(true);
        assert_eq!(held.join().expect("no panic").outcome(), "delivered");
    });
}

#[test]
fn a_shared_rate_is_kept_by_two_sidecars_together_and_by_each_alone_while_redis_is_away() {
    let (app, mut redis) = (App::start(), RedisServer::start());
    let yaml = format!(
        "upstream: {}
redis: {{url: \"{}\", namespace: test, timeout: 2s}}
sources:
  github:
    provider: github
    path: /github
    secrets: [{{env: SECRET}}]
    rate_limit: {{rate: 2/h, burst: 6, scope: shared}}
",
        app.url(),
        redis.url()
    );
    let pair = [Sidecar::start(&yaml), Sidecar::start(&yaml)];
    let forged = push(9).replace("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)));
    let mut delivered = Vec::new();
    let words: Vec<String> = (0..9)
        .map(|n| {
            // Neither forgeries nor copies spend anything, wherever they land.
            assert_eq!(pair[n % 2].send(&forged).outcome(), "unverified");
            if let Some(known) = delivered.last() {
                assert_eq!(pair[(n + 1) % 2].send(&push(*known)).outcome(), "duplicate");
            }
            let word = pair[n % 2].send(&push(n)).outcome().to_owned();
            if word == "delivered" {
                delivered.push(n);
            }
            word
        })
        .collect();
    assert_eq!(words[..6], ["delivered"; 6]);
    assert_eq!(words[6..], ["rate_limited"; 3]);
    let over = pair[1].send(&push(7));
    let wait: u64 = over.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((over.status, wait > 1700 && wait <= 1800) == (429, true), "{wait}");
    assert_eq!(
        over.header("ratelimit"),
        Some(format!("\"source\";r=0;t={wait}").as_str())
    );
    assert_eq!(over.header("ratelimit-policy"), Some("\"source\";q=6;w=10800"));
    redis.kill();
    // Each has spent three of its own six.
    let alone = outcomes(&pair[0], (20..28).map(push));
    assert_eq!(alone.iter().filter(|word| *word == "delivered").count(), 3, "{alone:?}");
    redis.restart();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while pair[0].metric("hookward_ledger_up") < 1.0 || pair[1].metric("hookward_ledger_up") < 1.0 {
        assert!(std::time::Instant::now() < deadline, "Redis is not found again");
        std::thread::yield_now();
    }
    // That the bucket was empty is believed for a second; the new Redis knows nothing of it.
    for sidecar in &pair {
        sidecar.advance(Duration::from_secs(1));
    }
    let mut together = 0;
    for n in 40..60 {
        together += usize::from(pair[n % 2].send(&push(n)).outcome() == "delivered");
    }
    assert_eq!(together, 6);
}

#[test]
fn overload_comes_in_stages() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        &format!("limits: {{workers: 2, in_flight: 4}}\n{}", signed::GITHUB),
    );
    let closes = |answer: &super::support::Answer| answer.header("connection") == Some("close");
    let free = sidecar.send(&push(0));
    assert!((free.status, closes(&free)) == (200, false), "{free:?}");
    let (open, _) = tokio::sync::watch::channel(false);
    let mut script = vec![Script::status(200).behind(&open), Script::status(200).behind(&open)];
    script.extend([
        Script::status(200).behind(&open),
        Script::status(200),
        Script::status(200),
    ]);
    script.push(Script::status(200).behind(&open));
    app.script(script);
    std::thread::scope(|scope| {
        let sidecar = &sidecar;
        let held: Vec<_> = (1..=3).map(|n| scope.spawn(move || sidecar.send(&push(n)))).collect();
        app.wait_for(4);
        // Over HTTP/2 too: after this answer the connection is for no further stream.
        let mut streams = Frames::open(sidecar.addresses.webhooks, b"");
        streams.send(&frames::request(1, &push(8)));
        assert_eq!(streams.end_of(1), End::Status(200));
        assert_eq!(streams.goaway(), Some(0));
        // The last place: served, but nobody gets used to the connection.
        let last = sidecar.send(&push(4));
        assert!((last.status, closes(&last)) == (200, true), "{last:?}");
        let fourth = scope.spawn(move || sidecar.send(&push(5)));
        app.wait_for(7);
        let over = sidecar.send(&push(6));
        assert_eq!((over.status, over.outcome()), (503, "overloaded"));
        assert!(closes(&over) && over.header("retry-after").is_some());
        open.send_replace(true);
        for one in held.into_iter().chain([fourth]) {
            assert_eq!(one.join().expect("no panic").outcome(), "delivered");
        }
    });
    let free = sidecar.send(&push(7));
    assert!((free.status, closes(&free)) == (200, false), "{free:?}");
}
