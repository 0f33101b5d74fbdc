//! A destination that is down or slow: who is told at once to come again, who waits for it all the same, and what of it
//! the others feel.

use super::support::{
    App, Script, Sidecar,
    sidecar::NOW,
    signed::{self, push},
    wait_until,
};
use std::{net::SocketAddr, time::Duration};
use tokio::net::TcpSocket;

const SECOND: Duration = Duration::from_secs(1);

/// An address where nobody listens, until an app of the test does: it is held, so that no other test is given it.
struct Nobody {
    address: SocketAddr,
    _held: TcpSocket,
}

fn nobody() -> Nobody {
    let held = TcpSocket::new_v4().expect("a socket");
    held.set_reuseaddr(true).expect("a socket");
    held.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let address = held.local_addr().expect("it is bound");
    Nobody { address, _held: held }
}

/// Stripe, which comes again by itself, and GitHub, which does not, in front of the same app.
fn sidecar(address: SocketAddr, more: &str) -> Sidecar {
    Sidecar::start(&format!(
        "
upstream: {{url: \"http://{address}\", {more}}}
sources:
  stripe:
    provider: stripe
    path: /stripe
    secrets: [{{env: SECRET}}]
  github:
    provider: github
    path: /github
    secrets: [{{env: SECRET}}]
"
    ))
}

fn event(sidecar: &Sidecar, n: usize) -> super::support::Request {
    signed::stripe("/stripe", sidecar.now(), format!(r#"{{"id":"evt_{n}"}}"#).as_bytes())
}

/// Fails until the breaker opens; how often that was, with the status of each answer.
fn fail_until_open(sidecar: &Sidecar) -> Vec<u16> {
    let mut statuses = Vec::new();
    for n in 0..20 {
        let answer = sidecar.send(&event(sidecar, 1000 + n));
        statuses.push(answer.status);
        if answer.header("retry-after").is_some() {
            return statuses;
        }
        assert_eq!(answer.outcome(), "upstream_unreachable");
        sidecar.advance(SECOND / 2);
    }
    panic!("it never opened: {statuses:?}");
}

#[test]
fn a_destination_that_is_down_is_left_alone_and_tried_again() {
    let nobody = nobody();
    let address = nobody.address;
    let sidecar = sidecar(address, "connect_wait: 0s");
    assert_eq!(fail_until_open(&sidecar), [502, 502, 502, 502, 503]);
    let app = App::start_at(address);
    let refused = sidecar.send(&event(&sidecar, 1));
    assert_eq!((refused.status, refused.outcome()), (503, "upstream_unreachable"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(app.seen().len(), 0, "it was asked");
    sidecar.advance(SECOND);
    // One is let through, and others are not, until it is known how that one ends.
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    let probe = event(&sidecar, 1);
    std::thread::scope(|scope| {
        let probe = scope.spawn(|| sidecar.send(&probe));
        app.wait_for(1);
        let other = sidecar.send(&event(&sidecar, 2));
        assert_eq!((other.status, other.outcome()), (503, "upstream_unreachable"));
        open.send_replace(true);
        assert_eq!(probe.join().expect("no panic").outcome(), "delivered");
    });
    for n in 2..8 {
        assert_eq!(sidecar.send(&event(&sidecar, n)).outcome(), "delivered");
    }
    // What was refused is no attempt: nothing had been sent.
    let seen = app.seen();
    assert!(seen.iter().all(|seen| seen.header("hookward-attempt") == Some("1")));
    let log = sidecar.logged();
    assert_eq!(
        log.matches("a destination does not answer and is left alone").count(),
        1
    );
    assert_eq!(log.matches("a destination answers again").count(), 1);
    let series = "hookward_deliveries_total{source=\"stripe\",destination=\"upstream\",result=\"unreachable\"}";
    assert!((sidecar.metric(series) - 7.0).abs() < f64::EPSILON);
}

#[test]
fn who_does_not_come_again_is_not_refused() {
    let nobody = nobody();
    let address = nobody.address;
    let sidecar = sidecar(address, "connect_wait: 0s");
    fail_until_open(&sidecar);
    // It was tried, and its status says what is known.
    let answer = sidecar.send(&push(1));
    assert_eq!((answer.status, answer.outcome()), (503, "upstream_unreachable"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    let app = App::start_at(address);
    assert_eq!(sidecar.send(&push(1)).outcome(), "delivered");
    // That it went through is news for everybody.
    assert_eq!(sidecar.send(&event(&sidecar, 1)).outcome(), "delivered");
    assert_eq!(app.seen().len(), 2);
}

#[test]
fn the_apps_own_answers_are_no_reason_to_leave_it_alone() {
    let app = App::start();
    let sidecar = sidecar(app.address, "connect_wait: 0s");
    for n in 0..12 {
        app.script([Script::status(500)]);
        let answer = sidecar.send(&event(&sidecar, n));
        assert_eq!((answer.status, answer.outcome()), (500, "upstream_failed"));
        sidecar.advance(SECOND);
    }
    assert_eq!(app.seen().len(), 12);
}

#[test]
fn silence_is_a_reason() {
    let app = App::start();
    let sidecar = sidecar(app.address, "timeout: 1s, connect_wait: 0s");
    let (never, _) = tokio::sync::watch::channel(false);
    app.script((0..5).map(|_| Script::status(200).behind(&never)));
    for n in 0..5 {
        let answer = sidecar.send(&event(&sidecar, n));
        assert_eq!((answer.status, answer.outcome()), (504, "upstream_timeout"));
        sidecar.advance(SECOND / 2);
    }
    let answer = sidecar.send(&event(&sidecar, 5));
    assert_eq!((answer.status, answer.outcome()), (503, "upstream_unreachable"));
    app.wait_for(5);
    assert_eq!(sidecar.send(&push(1)).outcome(), "delivered");
    let asked = |id: &[u8]| {
        app.seen()
            .iter()
            .any(|seen| seen.body.windows(id.len()).any(|part| part == id))
    };
    assert!(!asked(b"evt_5"));
}

#[test]
fn of_several_destinations_only_the_one_that_is_down_is_left_alone() {
    let (good, nobody) = (App::start(), nobody());
    let address = nobody.address;
    let sidecar = Sidecar::start(&format!(
        "
sources:
  stripe:
    provider: stripe
    path: /stripe
    secrets: [{{env: SECRET}}]
    to: [down, good, {{destination: aside, required: false}}]
destinations:
  down: {{url: \"http://{address}/down\", connect_wait: 0s}}
  good: {{url: \"{}\"}}
  aside: {{url: \"http://{address}/aside\", connect_wait: 0s}}
",
        good.url()
    ));
    let statuses = fail_until_open(&sidecar);
    let refused = sidecar.send(&event(&sidecar, 1));
    assert_eq!((refused.status, refused.outcome()), (503, "upstream_unreachable"));
    assert_eq!(good.seen().len(), statuses.len() + 1, "the other one had each of them");
    let missed = "hookward_deliveries_total{source=\"stripe\",destination=\"aside\",result=\"unreachable\"}";
    wait_until("all are over", || {
        sidecar.metric(missed) > f64::from(u32::try_from(statuses.len()).expect("few")) + 0.5
    });
    let app = App::start_at(address);
    // The optional one has nobody who comes again, so it is not left alone.
    let refused = sidecar.send(&event(&sidecar, 2));
    assert_eq!((refused.status, refused.outcome()), (503, "upstream_unreachable"));
    assert_eq!(app.wait_for(1)[0].target, "/aside");
    sidecar.advance(SECOND);
    assert_eq!(sidecar.send(&event(&sidecar, 1)).outcome(), "delivered");
    let seen = app.wait_for(3);
    assert_eq!(seen.iter().filter(|seen| seen.target == "/down").count(), 1);
    assert_eq!(good.seen().len(), statuses.len() + 2, "it was not asked again");
}

#[test]
fn a_slow_destination_leaves_room_for_the_others() {
    let (slow, quick) = (App::start(), App::start());
    let sidecar = Sidecar::start(&format!(
        "
limits: {{workers: 2, in_flight: 8}}
sources:
  stripe:
    provider: stripe
    path: /stripe
    secrets: [{{env: SECRET}}]
    to: [slow]
  github:
    provider: github
    path: /github
    secrets: [{{env: SECRET}}]
    to: [quick]
destinations:
  slow: {{url: \"{}\", timeout: 25s}}
  quick: {{url: \"{}\"}}
",
        slow.url(),
        quick.url()
    ));
    let (open, _) = tokio::sync::watch::channel(false);
    slow.script((0..4).map(|_| Script::status(200).behind(&open)));
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..4)
            .map(|n| {
                let request = event(&sidecar, n);
                let sent = scope.spawn({
                    let sidecar = &sidecar;
                    move || sidecar.send(&request)
                });
                slow.wait_for(n + 1);
                sent
            })
            .collect();
        // Half of all is in use: from here on it has its share, and that is less.
        for n in 4..20 {
            let answer = sidecar.send(&event(&sidecar, n));
            assert_eq!((answer.status, answer.outcome()), (503, "overloaded"));
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert_eq!(sidecar.send(&push(n)).outcome(), "delivered");
        }
        open.send_replace(true);
        for sent in waiting {
            assert_eq!(sent.join().expect("no panic").outcome(), "delivered");
        }
    });
    let answer = sidecar.send(&event(&sidecar, 4));
    assert_eq!(answer.outcome(), "delivered");
    let seen = slow.seen();
    assert_eq!(seen.len(), 5);
    assert_eq!(seen[4].header("hookward-attempt"), Some("1"), "nothing had been sent");
    assert_eq!(quick.seen().len(), 16);
    assert_eq!(sidecar.now(), NOW);
}

#[test]
fn a_hanging_optional_destination_is_asked_so_often_and_no_more() {
    let (app, stats) = (App::start(), App::start());
    let sidecar = Sidecar::start(&format!(
        "
limits: {{workers: 2, in_flight: 4}}
upstream: {}
sources:
  github:
    provider: github
    path: /github
    secrets: [{{env: SECRET}}]
    to: [upstream, {{destination: stats, required: false}}]
destinations:
  stats: {{url: \"{}\", timeout: 25s}}
",
        app.url(),
        stats.url()
    ));
    let (open, _) = tokio::sync::watch::channel(false);
    stats.script((0..4).map(|_| Script::status(200).behind(&open)));
    for n in 0..10 {
        assert_eq!(sidecar.send(&push(n)).outcome(), "delivered");
    }
    let missed = "hookward_deliveries_total{source=\"github\",destination=\"stats\",result=\"unreachable\"}";
    wait_until("the others are over", || sidecar.metric(missed) > 5.5);
    assert_eq!(stats.wait_for(4).len(), 4);
    open.send_replace(true);
    let had = "hookward_deliveries_total{source=\"github\",destination=\"stats\",result=\"delivered\"}";
    wait_until("there is room again", || sidecar.metric(had) > 3.5);
    assert_eq!(sidecar.send(&push(10)).outcome(), "delivered");
    assert_eq!(stats.wait_for(5).len(), 5);
    assert_eq!(app.seen().len(), 11);
}
