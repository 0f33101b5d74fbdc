//! What a destination gets: its url, no credentials of others, our own signature; and which of several give the answer.

use super::support::{
    App, Request, Script, Sidecar,
    sidecar::NOW,
    signed::{self, push},
    wait_until,
    wire::Connection,
};
use data_encoding::BASE64;
use std::time::{Duration, Instant};

/// GitHub in front of one destination with these keys.
pub fn github(to: &str) -> Sidecar {
    Sidecar::start(&format!(
        "
sources:
  github:
    provider: github
    path: /github
    secrets: [{{env: SECRET}}]
    to: [app]
destinations:
  app: {{{to}}}
"
    ))
}

#[test]
fn a_url_is_used_as_it_stands_and_the_plain_upstream_is_appended_to() {
    let app = App::start();
    let sidecar = Sidecar::start(&format!(
        "
upstream: {url}/base
sources:
  plain:
    provider: github
    path: /plain/*
    secrets: [{{env: SECRET}}]
  billing:
    provider: github
    path: /billing/*
    secrets: [{{env: SECRET}}]
    to: [billing]
destinations:
  billing: {{url: \"{url}/in/box?own=1&x\"}}
",
        url = app.url()
    ));
    let own = app.address.to_string();
    for (n, (sent, got, host)) in [
        ("/plain/a/b", "/base/plain/a/b", "hooks.example.com"),
        ("/plain/a?q=%2f&&=;x", "/base/plain/a?q=%2f&&=;x", "hooks.example.com"),
        ("/billing/a/b", "/in/box?own=1&x", own.as_str()),
        ("/billing/a?q=%2f&x=2", "/in/box?own=1&x&q=%2f&x=2", own.as_str()),
    ]
    .into_iter()
    .enumerate()
    {
        let body = n.to_string();
        let answer = sidecar.send(&signed::github(sent, &body, body.as_bytes()));
        assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
        let seen = &app.seen()[n];
        assert_eq!((seen.target.as_str(), seen.header("host")), (got, Some(host)));
        assert_eq!(seen.header("x-forwarded-host"), Some("hooks.example.com"));
    }
}

#[test]
fn credentials_stay_with_the_plain_upstream() {
    let (upstream, stranger, friend) = (App::start(), App::start(), App::start());
    let sidecar = Sidecar::start(&format!(
        "
upstream: {}
sources:
  by-header:
    provider: token
    path: /by-header
    secrets: [{{env: TOKEN}}]
    to: [upstream, stranger, friend]
  by-own-header:
    provider: token
    path: /by-own-header
    settings: {{header: X-Cron-Token}}
    secrets: [{{env: TOKEN}}]
    to: [upstream, stranger, friend]
  by-query:
    provider: token
    path: /by-query
    settings: {{query: token}}
    secrets: [{{env: TOKEN}}]
    to: [upstream, stranger, friend]
  signed:
    provider: github
    path: /signed
    secrets: [{{env: SECRET}}]
    to: [upstream, stranger, friend]
destinations:
  stranger: {{url: \"{}/s\"}}
  friend: {{url: \"{}/f\", forward_credentials: true}}
",
        upstream.url(),
        stranger.url(),
        friend.url()
    ));
    let last = || [&upstream, &stranger, &friend].map(|app| app.seen().pop().expect("it was asked"));

    let bearer = format!("Bearer {}", signed::TOKEN);
    let request = Request::post("/by-header", "{}")
        .header("Authorization", &bearer)
        .header("Cookie", "a=b");
    assert_eq!(sidecar.send(&request).outcome(), "delivered");
    let all = last();
    let found: Vec<_> = all.iter().map(|seen| seen.header("authorization")).collect();
    assert_eq!(found, [Some(bearer.as_str()), None, Some(bearer.as_str())]);
    assert!(all.iter().all(|seen| seen.header("hookward-verified") == Some("token")));
    assert!(all.iter().all(|seen| seen.header("cookie") == Some("a=b")));

    let request = Request::post("/by-own-header", "{}")
        .header("X-Cron-Token", signed::TOKEN)
        .header("Authorization", "Basic dGhlaXI6b3du");
    assert_eq!(sidecar.send(&request).outcome(), "delivered");
    let all = last();
    let found: Vec<_> = all.iter().map(|seen| seen.header("x-cron-token")).collect();
    assert_eq!(found, [Some(signed::TOKEN), None, Some(signed::TOKEN)]);
    // No proof here, so it is a header like any other.
    assert!(all.iter().all(|seen| seen.header("authorization").is_some()));

    let token = signed::TOKEN.replace(' ', "%20");
    let request = Request::post(&format!("/by-query?a=1&token={token}&b=2"), "{}");
    assert_eq!(sidecar.send(&request).outcome(), "delivered");
    let targets = last().map(|seen| seen.target);
    assert_eq!(
        targets,
        [
            format!("/by-query?a=1&token={token}&b=2"),
            "/s?a=1&b=2".to_owned(),
            format!("/f?a=1&token={token}&b=2")
        ]
    );

    // A signature gives nothing away.
    assert_eq!(
        sidecar.send(&signed::github("/signed", "d-1", b"{}")).outcome(),
        "delivered"
    );
    assert!(last().iter().all(|seen| seen.header("x-hub-signature-256").is_some()));
    assert!(!sidecar.logged().contains(signed::TOKEN));
    assert!(!sidecar.logged().contains(&token));
}

#[test]
fn our_signature_is_one_of_standard_webhooks() {
    let app = App::start();
    let sidecar = Sidecar::start(&format!(
        "
sources:
  github:
    provider: github
    path: /github
    secrets: [{{env: SECRET}}]
    to: [app]
  legacy:
    provider: none
    path: /legacy
    allow_unverified: true
    to: [any]
  quiet:
    provider: none
    path: /quiet
    allow_unverified: true
    to: [plain]
destinations:
  app: {{url: \"{url}\", sign: {{secret: {{env: WHSEC}}}}}}
  any: {{url: \"{url}\", sign: {{secret: {{env: WHSEC}}}}, sign_unverified: true}}
  plain: {{url: \"{url}\"}}
",
        url = app.url()
    ));
    let body = b"{\"a\":1}\r\n";
    let request = signed::github("/github", "d-1", body)
        .header("webhook-id", "theirs")
        .header("webhook-timestamp", "1")
        .header("Webhook-Signature", "v1,AAAA");
    app.script([Script::status(500)]);
    assert_eq!(sidecar.send(&request).outcome(), "upstream_failed");
    sidecar.advance(Duration::from_secs(7));
    assert_eq!(sidecar.send(&request).outcome(), "delivered");
    assert_eq!(sidecar.send(&Request::post("/legacy", "plain")).outcome(), "delivered");
    assert_eq!(sidecar.send(&Request::post("/quiet", "plain")).outcome(), "delivered");
    let seen = app.seen();
    for (attempt, at) in seen[..3].iter().zip([NOW, NOW + 7, NOW + 7]) {
        let header = |name| attempt.header(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(header("webhook-timestamp"), at.to_string());
        let text = format!("{}.{at}.", header("webhook-id"));
        let mac = signed::hmac_sha256(signed::SECRET.as_bytes(), &[text.as_bytes(), &attempt.body]);
        assert_eq!(header("webhook-signature"), format!("v1,{}", BASE64.encode(&mac)));
    }
    let id = seen[0].header("webhook-id").expect("signed");
    let delivery = seen[0].header("hookward-delivery").expect("always");
    assert_eq!(id, format!("github_{delivery}"), "the ledger's key");
    assert_eq!(seen[1].header("webhook-id"), Some(id), "the same for every attempt");
    assert!(seen[2].header("webhook-id").expect("signed").starts_with("legacy_"));
    assert_eq!(seen[3].header("webhook-signature"), None);
}

#[test]
fn fixed_headers_are_set_over_what_came() {
    let app = App::start();
    let sidecar = github(&format!(
        "url: \"{}\", headers: {{x-team: data, Authorization: Bearer ours}}",
        app.url()
    ));
    let request = push(1)
        .header("X-Team", "theirs")
        .header("x-team", "too")
        .header("X-Other", "kept");
    assert_eq!(sidecar.send(&request).outcome(), "delivered");
    let seen = &app.seen()[0];
    assert_eq!(seen.header("x-team"), Some("data"));
    assert_eq!(seen.header("authorization"), Some("Bearer ours"));
    assert_eq!(seen.header("x-other"), Some("kept"));
}

#[test]
fn a_name_is_tried_at_each_of_its_addresses() {
    // `localhost` is ::1 and 127.0.0.1 on most machines; the app listens on one of them.
    let app = App::start();
    let sidecar = github(&format!("url: \"http://localhost:{}\"", app.address.port()));
    assert_eq!(sidecar.send(&push(1)).outcome(), "delivered");
    let host = format!("localhost:{}", app.address.port());
    assert_eq!(app.seen()[0].header("host"), Some(host.as_str()));
    let nowhere = github("url: \"http://no-such-host.invalid/\", connect_wait: 10ms");
    let answer = nowhere.send(&push(1));
    assert_eq!((answer.status, answer.outcome()), (502, "upstream_unreachable"));
}

#[test]
fn optional_destinations_neither_delay_nor_fail_the_answer() {
    let (billing, stats) = (App::start(), App::start());
    let sidecar = Sidecar::start(&format!(
        "
sources:
  stripe:
    provider: stripe
    path: /stripe
    secrets: [{{env: SECRET}}]
    to:
      - {{destination: stats, required: false}}
      - {{destination: billing, events: [invoice.paid]}}
destinations:
  billing: {{url: \"{}/b\"}}
  stats: {{url: \"{}/s\", timeout: 20s}}
",
        billing.url(),
        stats.url()
    ));
    let (open, _) = tokio::sync::watch::channel(false);
    stats.script([Script::status(200).behind(&open), Script::status(500)]);
    let event = |n: usize, kind: &str, at| {
        signed::stripe(
            "/stripe",
            at,
            format!(r#"{{"id":"evt_{n}","type":"{kind}"}}"#).as_bytes(),
        )
    };
    let begun = Instant::now();
    let answer = sidecar.send(&event(1, "invoice.paid", NOW));
    assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "it waited for what it need not"
    );
    stats.wait_for(1);
    open.send_replace(true);
    // It failed, and the delivery did not.
    assert_eq!(sidecar.send(&event(2, "invoice.paid", NOW)).outcome(), "delivered");
    stats.wait_for(2);
    assert_eq!(sidecar.send(&event(2, "invoice.paid", NOW + 1)).outcome(), "duplicate");
    let failed = "hookward_deliveries_total{source=\"stripe\",destination=\"stats\",result=\"failed\"}";
    wait_until("the failure is counted", || sidecar.metric(failed) > 0.5);
    // An event that selects it alone needs it.
    stats.script([Script::status(500)]);
    assert_eq!(
        sidecar.send(&event(3, "customer.created", NOW)).outcome(),
        "upstream_failed"
    );
    let answer = sidecar.send(&event(3, "customer.created", NOW + 1));
    assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
    assert_eq!((billing.seen().len(), stats.seen().len()), (2, 4));
    assert_eq!(stats.seen()[3].header("hookward-attempt"), Some("2"));
}

#[test]
fn a_retry_sends_no_second_copy_while_an_optional_destination_works_on_the_first() {
    let (app, stats) = (App::start(), App::start());
    let sidecar = Sidecar::start(&format!(
        "
upstream: {}
sources:
  github:
    provider: github
    path: /github
    secrets: [{{env: SECRET}}]
    to: [upstream, {{destination: stats, required: false}}]
destinations:
  stats: {{url: \"{}\", timeout: 20s}}
",
        app.url(),
        stats.url()
    ));
    let result = |word: &str| {
        let series = format!("hookward_deliveries_total{{source=\"github\",destination=\"stats\",result=\"{word}\"}}");
        sidecar.metric(&series)
    };
    // The first copy fails, so the retry that waited for it sends one; no further one waits beside it.
    let (open, _) = tokio::sync::watch::channel(false);
    stats.script([Script::status(500).behind(&open), Script::status(200)]);
    app.script([Script::status(500), Script::status(500), Script::status(500)]);
    for attempt in 1..=3 {
        assert_eq!(sidecar.send(&push(1)).outcome(), "upstream_failed");
        app.wait_for(attempt);
        stats.wait_for(1);
    }
    assert_eq!(sidecar.send(&push(1)).outcome(), "delivered");
    assert_eq!(stats.seen().len(), 1, "a copy was sent beside the first");
    open.send_replace(true);
    stats.wait_for(2);
    wait_until("both are counted", || {
        result("failed") > 0.5 && result("delivered") > 0.5
    });
    assert_eq!(stats.seen()[1].header("hookward-attempt"), Some("2"));
    // The first copy succeeds, so nobody sends another one: the ledger knows it too.
    let (open, _) = tokio::sync::watch::channel(false);
    stats.script([Script::status(200).behind(&open)]);
    app.script([Script::status(500), Script::status(500)]);
    assert_eq!(sidecar.send(&push(2)).outcome(), "upstream_failed");
    stats.wait_for(3);
    assert_eq!(sidecar.send(&push(2)).outcome(), "upstream_failed");
    open.send_replace(true);
    wait_until("it is counted", || result("delivered") > 1.5);
    assert_eq!(sidecar.send(&push(2)).outcome(), "delivered");
    assert_eq!((app.seen().len(), stats.seen().len()), (7, 3));
    assert_eq!(sidecar.stop().cut, 0);
    assert_eq!(stats.seen().len(), 3);
}

#[test]
fn a_hanging_optional_destination_takes_no_place_from_others() {
    let (app, stats) = (App::start(), App::start());
    let sidecar = Sidecar::start(&format!(
        "
limits: {{workers: 2, in_flight: 1}}
upstream: {}
sources:
  github:
    provider: github
    path: /github
    secrets: [{{env: SECRET}}]
    to: [upstream, {{destination: stats, required: false}}]
destinations:
  stats: {{url: \"{}\", timeout: 20s}}
",
        app.url(),
        stats.url()
    ));
    let (open, _) = tokio::sync::watch::channel(false);
    stats.script([Script::status(200).behind(&open)]);
    assert_eq!(sidecar.send(&push(1)).outcome(), "delivered");
    stats.wait_for(1);
    assert_eq!(sidecar.send(&push(2)).outcome(), "delivered");
    open.send_replace(true);
}

#[test]
fn a_drain_waits_for_optional_destinations() {
    let (app, stats) = (App::start(), App::start());
    let sidecar = Sidecar::start(&format!(
        "
upstream: {}
sources:
  github:
    provider: github
    path: /github
    secrets: [{{env: SECRET}}]
    to: [upstream, {{destination: stats, required: false}}]
destinations:
  stats: {{url: \"{}\"}}
",
        app.url(),
        stats.url()
    ));
    let (open, _) = tokio::sync::watch::channel(false);
    stats.script([Script::status(200).behind(&open)]);
    assert_eq!(sidecar.send(&push(1)).outcome(), "delivered");
    stats.wait_for(1);
    sidecar.drain();
    let at = sidecar.addresses.webhooks;
    let stopped = std::thread::spawn(move || sidecar.stop());
    wait_until("the listener is closed", || Connection::try_open(at).is_err());
    assert!(!stopped.is_finished(), "it left a delivery behind");
    open.send_replace(true);
    assert_eq!(stopped.join().expect("no panic").cut, 0);
}

#[test]
fn of_several_the_first_in_the_file_gives_the_answer() {
    let apps = [App::start(), App::start(), App::start()];
    let sidecar = Sidecar::start(&format!(
        "
sources:
  stripe:
    provider: stripe
    path: /stripe
    secrets: [{{env: SECRET}}]
    to: [one, two, three]
destinations:
  three: {{url: \"{}\"}}
  two: {{url: \"{}\", timeout: 300ms}}
  one: {{url: \"{}\"}}
",
        apps[2].url(),
        apps[1].url(),
        apps[0].url()
    ));
    let event = |n: usize, at| signed::stripe("/stripe", at, format!(r#"{{"id":"evt_{n}"}}"#).as_bytes());
    let (never, _) = tokio::sync::watch::channel(false);
    let says = |status, body: &str| Script {
        body: body.as_bytes().to_vec(),
        ..Script::status(status)
    };
    // The last to answer is the first of the file.
    let (open, _) = tokio::sync::watch::channel(false);
    apps[0].script([says(201, "one").behind(&open)]);
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| sidecar.send(&event(1, NOW)));
        apps[0].wait_for(1);
        apps[1].wait_for(1);
        apps[2].wait_for(1);
        open.send_replace(true);
        let answer = sent.join().expect("no panic");
        assert_eq!(
            (answer.status, answer.outcome(), &answer.body[..]),
            (201, "delivered", &b"one"[..])
        );
    });
    // The second one's silence stands before the third one's word.
    apps[1].script([Script::status(200).behind(&never)]);
    apps[2].script([Script::status(400)]);
    let answer = sidecar.send(&event(2, NOW));
    assert_eq!((answer.status, answer.outcome()), (504, "upstream_timeout"));
    // Two are asked again, and the first of them answers.
    apps[1].script([says(202, "two")]);
    apps[2].script([says(203, "three")]);
    let answer = sidecar.send(&event(2, NOW + 1));
    assert_eq!(
        (answer.status, answer.outcome(), &answer.body[..]),
        (202, "delivered", &b"two"[..])
    );
    assert_eq!(apps.each_ref().map(|app| app.seen().len()), [2, 3, 3]);
}
