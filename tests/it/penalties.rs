//! Penalties for failed verifications: whom they bind, and what earns a client that they do not.

use super::support::{
    App, Request, Script, Sidecar,
    sidecar::NOW,
    signed::{self, push},
};
use std::time::Duration;

const SOURCES: &str = "
client_ip: {trust: [127.0.0.0/8]}
sources:
  github: {provider: github, path: /github, secrets: [{env: SECRET}]}
  forgetful: {provider: github, path: /forgetful, secrets: [{env: TOKEN}], replay: off}
  stripe: {provider: stripe, path: /stripe, secrets: [{env: SECRET}]}
  cron: {provider: token, path: /cron, secrets: [{env: TOKEN}]}
";

fn from(client: &str, request: Request) -> Request {
    request.header("X-Forwarded-For", client)
}

fn forged(path: &str) -> Request {
    signed::github(path, "d-forged", b"{}").replace("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)))
}

/// How many forgeries of this client are looked at before it is penalized; `None`: 40 are.
fn forgeries(sidecar: &Sidecar, client: &str, forgery: &Request) -> Option<usize> {
    (0..40).find(|_| match sidecar.send(&from(client, forgery.clone())).outcome() {
        "unverified" => false,
        "penalized" => true,
        other => panic!("{other}"),
    })
}

#[test]
fn a_loopback_client_is_penalized_where_clients_connect_directly() {
    let app = App::start();
    let silent = SOURCES.replace("client_ip: {trust: [127.0.0.0/8]}", "");
    let sidecar = Sidecar::before(&app, &silent);
    let forgery = forged("/stripe");
    assert_eq!(
        forgeries(&sidecar, "192.0.2.1", &forgery),
        None,
        "it may stand for many clients"
    );
    let direct = SOURCES.replace("[127.0.0.0/8]", "[]");
    let sidecar = Sidecar::before(&app, &direct);
    assert_eq!(forgeries(&sidecar, "192.0.2.1", &forgery), Some(30));
    // The address that it claims is not believed.
    assert_eq!(forgeries(&sidecar, "192.0.2.2", &forgery), Some(0));
}

#[test]
fn a_repeat_earns_no_exemption_from_penalties() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let captured = push(1);
    assert_eq!(
        sidecar.send(&from("192.0.2.1", captured.clone())).outcome(),
        "delivered"
    );
    assert_eq!(sidecar.send(&from("203.0.113.1", captured)).outcome(), "duplicate");
    assert_eq!(forgeries(&sidecar, "203.0.113.1", &forged("/github")), Some(30));
    assert_eq!(
        forgeries(&sidecar, "192.0.2.1", &forged("/github")),
        None,
        "it brought a new delivery"
    );
}

#[test]
fn a_retry_of_a_failed_delivery_earns_no_exemption_from_penalties() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    app.script([Script::status(500), Script::status(500)]);
    assert_eq!(sidecar.send(&from("192.0.2.1", push(1))).outcome(), "upstream_failed");
    assert_eq!(sidecar.send(&from("203.0.113.1", push(1))).outcome(), "upstream_failed");
    assert_eq!(app.seen()[1].header("hookward-attempt"), Some("2"));
    assert_eq!(forgeries(&sidecar, "203.0.113.1", &forged("/github")), Some(30));
    assert_eq!(forgeries(&sidecar, "192.0.2.1", &forged("/github")), None);
}

#[test]
fn what_is_stale_or_has_no_ledger_earns_no_exemption_but_a_token_does() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let stale = signed::stripe("/stripe", NOW - 3600, b"{}");
    assert_eq!(sidecar.send(&from("203.0.113.1", stale)).outcome(), "stale");
    let bad = signed::stripe("/stripe", NOW, b"{}").replace("Stripe-Signature", format!("t={NOW},v1=00"));
    assert_eq!(forgeries(&sidecar, "203.0.113.1", &bad), Some(30));
    // Without a ledger a captured request is like a new one.
    let mac = signed::hmac_sha256(signed::TOKEN.as_bytes(), &[b"{}"]);
    let right = format!("sha256={}", data_encoding::HEXLOWER.encode(&mac));
    let unremembered = forged("/forgetful").replace("X-Hub-Signature-256", right);
    assert_eq!(sidecar.send(&from("203.0.113.1", unremembered)).outcome(), "delivered");
    assert_eq!(forgeries(&sidecar, "203.0.113.1", &forged("/forgetful")), Some(30));
    // A token is the proof itself.
    let job = |token: &str| Request::post("/cron", "{}").header("Authorization", format!("Bearer {token}"));
    assert_eq!(forgeries(&sidecar, "203.0.113.2", &job("wrong")), Some(30));
    assert_eq!(
        sidecar.send(&from("192.0.2.1", job(signed::TOKEN))).outcome(),
        "delivered"
    );
    assert_eq!(forgeries(&sidecar, "192.0.2.1", &job("wrong")), None);
}

#[test]
fn where_the_provider_never_retries_a_penalized_client_is_verified_once_a_second() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let ended = |request: Request| sidecar.send(&from("203.0.113.1", request)).outcome().to_owned();
    let bad = || signed::stripe("/stripe", NOW, b"{}").replace("Stripe-Signature", format!("t={NOW},v1=00"));
    assert_eq!(forgeries(&sidecar, "203.0.113.1", &forged("/github")), Some(30));
    assert_eq!(forgeries(&sidecar, "203.0.113.1", &bad()), Some(30));
    // Of the penalty's own half a cell is forgiven by then.
    sidecar.advance(Duration::from_secs(1));
    assert_eq!(ended(bad()), "penalized", "Stripe retries");
    assert_eq!(ended(forged("/github")), "unverified");
    assert_eq!(ended(push(1)), "penalized", "once a second");
    sidecar.advance(Duration::from_millis(999));
    assert_eq!(ended(push(1)), "penalized");
    sidecar.advance(Duration::from_millis(1));
    assert_eq!(ended(push(1)), "delivered");
}

#[test]
fn under_pressure_a_penalized_client_waits() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, &format!("limits: {{workers: 2, in_flight: 4}}\n{SOURCES}"));
    assert_eq!(forgeries(&sidecar, "203.0.113.1", &forged("/github")), Some(30));
    let (open, _) = tokio::sync::watch::channel(false);
    app.script((0..3).map(|_| Script::status(200).behind(&open)));
    std::thread::scope(|scope| {
        let sidecar = &sidecar;
        let held: Vec<_> = (1..=3)
            .map(|n| scope.spawn(move || sidecar.send(&from("192.0.2.1", push(n)))))
            .collect();
        app.wait_for(3);
        sidecar.advance(Duration::from_secs(1));
        assert_eq!(sidecar.send(&from("203.0.113.1", push(9))).outcome(), "penalized");
        open.send_replace(true);
        for one in held {
            assert_eq!(one.join().expect("no panic").outcome(), "delivered");
        }
    });
    assert_eq!(sidecar.send(&from("203.0.113.1", push(9))).outcome(), "delivered");
}
