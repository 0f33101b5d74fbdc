//! Shares of `limits.in_flight`: no source takes all places, however slow its app.

use super::support::{
    App, Request, Script, Sidecar,
    signed::{self, push},
    wait_until,
    wire::Connection,
};
use tokio::sync::watch;

/// In flight 16: half is 8, an eighth 2.
const SOURCES: &str = "
limits: {workers: 2, in_flight: 16}
client_ip: {trust: []}
sources:
  github: {provider: github, path: /github, secrets: [{env: SECRET}]}
  other: {provider: github, path: /other, secrets: [{env: TOKEN}]}
  instagram: {provider: instagram, path: /instagram, secrets: [{env: SECRET}], settings: {verify_token: {env: TOKEN}}}
  legacy: {provider: none, path: /legacy, allow_unverified: true}
  plain: {provider: none, path: /plain, allow_unverified: true}
";

/// Sends `count` requests that the app does not answer before the gate opens, and calls `then` meanwhile.
fn while_held(app: &App, sidecar: &Sidecar, requests: &[Request], then: impl FnOnce()) {
    let (open, _) = watch::channel(false);
    app.script(requests.iter().map(|_| Script::status(200).behind(&open)));
    let before = app.seen().len();
    std::thread::scope(|scope| {
        let held: Vec<_> = requests
            .iter()
            .map(|one| scope.spawn(move || sidecar.send(one)))
            .collect();
        // A refused request would never arrive at the app, and this wait would fail.
        app.wait_for(before + requests.len());
        then();
        open.send_replace(true);
        for one in held {
            assert_eq!(one.join().expect("no panic").outcome(), "delivered");
        }
    });
}

fn ended(sidecar: &Sidecar, request: &Request) -> (u16, String) {
    let answer = sidecar.send(request);
    if answer.outcome() == "overloaded" {
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    (answer.status, answer.outcome().to_owned())
}

fn is(status: u16, outcome: &str) -> (u16, String) {
    (status, outcome.to_owned())
}

fn plain(path: &str) -> Request {
    Request::post(path, "{}")
}

#[test]
fn slow_anonymous_requests_leave_places_for_signed_events() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let slow: Vec<_> = (0..9).map(|_| plain("/legacy")).collect();
    while_held(&app, &sidecar, &slow, || {
        for _ in 0..20 {
            assert_eq!(ended(&sidecar, &plain("/legacy")), is(503, "overloaded"));
        }
        assert_eq!(ended(&sidecar, &push(1)), is(200, "delivered"));
        let handshake = Request::get(&format!(
            "/instagram?hub.mode=subscribe&hub.verify_token={}&hub.challenge=17",
            signed::TOKEN.replace(' ', "%20")
        ));
        assert_eq!(ended(&sidecar, &handshake), is(200, "challenge"));
        // Another source that verifies nothing does not help: half of all is held by such sources already.
        assert_eq!(ended(&sidecar, &plain("/plain")), is(503, "overloaded"));
    });
    assert_eq!(ended(&sidecar, &plain("/legacy")), is(200, "delivered"));
}

#[test]
fn under_pressure_a_source_that_verifies_nothing_has_an_eighth() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let slow: Vec<_> = (0..7).map(push).chain((0..2).map(|_| plain("/legacy"))).collect();
    while_held(&app, &sidecar, &slow, || {
        assert_eq!(ended(&sidecar, &plain("/legacy")), is(503, "overloaded"));
        assert_eq!(ended(&sidecar, &plain("/plain")), is(200, "delivered"));
        assert_eq!(ended(&sidecar, &push(20)), is(200, "delivered"));
    });
}

#[test]
fn under_pressure_one_source_has_half_of_all_places() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let slow: Vec<_> = (0..9).map(push).collect();
    while_held(&app, &sidecar, &slow, || {
        assert_eq!(ended(&sidecar, &push(20)), is(503, "overloaded"));
        let mac = signed::hmac_sha256(signed::TOKEN.as_bytes(), &[b"{}"]);
        let other = signed::github("/other", "d-1", b"{}").replace(
            "X-Hub-Signature-256",
            format!("sha256={}", data_encoding::HEXLOWER.encode(&mac)),
        );
        assert_eq!(ended(&sidecar, &other), is(200, "delivered"));
        assert!(
            sidecar.logged().contains("this source has its share of it"),
            "{}",
            sidecar.logged()
        );
    });
    assert_eq!(ended(&sidecar, &push(20)), is(200, "delivered"));
}

#[test]
fn a_body_that_comes_late_is_counted_when_it_is_there() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let late = plain("/legacy");
    let mut connection = Connection::open(sidecar.addresses.webhooks);
    connection.write(&late.head());
    wait_until("it waits for its body", || sidecar.metric("hookward_in_flight") >= 1.0);
    let slow: Vec<_> = (0..7).map(push).chain((0..2).map(|_| plain("/legacy"))).collect();
    while_held(&app, &sidecar, &slow, || {
        connection.write(&late.body);
        let answer = connection.answer().expect("an answer");
        assert_eq!((answer.status, answer.outcome()), (503, "overloaded"));
    });
}

#[test]
fn a_lone_source_may_have_all_places() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        &format!("limits: {{workers: 2, in_flight: 16}}\n{}", signed::GITHUB),
    );
    let slow: Vec<_> = (0..15).map(push).collect();
    while_held(&app, &sidecar, &slow, || {
        assert_eq!(ended(&sidecar, &push(20)), is(200, "delivered"));
    });
}

#[test]
fn a_source_that_verifies_nothing_has_a_smaller_burst() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let outcomes: Vec<String> = (0..201)
        .map(|_| sidecar.send(&plain("/legacy")).outcome().to_owned())
        .collect();
    assert_eq!(outcomes.iter().position(|outcome| outcome == "rate_limited"), Some(200));
    assert_eq!(ended(&sidecar, &push(1)), is(200, "delivered"));
}
