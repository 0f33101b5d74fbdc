//! Events whose bodies may honestly be equal, and captured requests that look like them: each reaches the app marked.

use super::{
    redis::RedisServer,
    support::{App, Request, Script, Sidecar, app::Recorded, sidecar::NOW, signed},
};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use std::time::Duration;

const SOURCES: &str = "
sources:
  dropbox: {provider: dropbox, path: /dropbox, secrets: [{env: SECRET}]}
  github: {provider: github, path: /github, secrets: [{env: SECRET}]}
  shopify: {provider: shopify, path: /shopify, secrets: [{env: SECRET}], events: [orders/*, orders/own]}
  sanity: {provider: sanity, path: /sanity, secrets: [{env: SECRET}]}
  sentry: {provider: sentry, path: /sentry, secrets: [{env: SECRET}]}
";

/// A body of a push as GitHub documents it: it carries the time of its commit.
const PUSH: &[u8] = br#"{"ref":"refs/heads/main","before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","after":"a10867b14bb761a232cd80139fbd4c0d33264240","head_commit":{"id":"a10867b14bb761a232cd80139fbd4c0d33264240","timestamp":"2026-11-24T10:00:00Z"},"pusher":{"name":"octocat"},"commits":[],"repository":{"id":1}}"#;
/// A dispatched workflow: nothing in it tells one run from the next.
const DISPATCH: &[u8] =
    br#"{"inputs":null,"ref":"refs/heads/main","repository":{"id":1},"sender":{"id":1},"workflow":".github/workflows/a.yml"}"#;

fn stand() -> (App, Sidecar) {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    (app, sidecar)
}

fn dropbox() -> Request {
    let body = br#"{"list_folder":{"accounts":["dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc"]}}"#;
    let mac = signed::hmac_sha256(signed::SECRET.as_bytes(), &[body]);
    Request::post("/dropbox", body).header("X-Dropbox-Signature", HEXLOWER.encode(&mac))
}

fn shopify(topic: &str, id: &str, shop: &str) -> Request {
    let body = br#"{"id":1,"updated_at":"2026-11-24T10:00:00-05:00"}"#;
    let mac = signed::hmac_sha256(signed::SECRET.as_bytes(), &[body]);
    Request::post("/shopify", body)
        .header("X-Shopify-Hmac-Sha256", BASE64.encode(&mac))
        .header("X-Shopify-Topic", topic)
        .header("X-Shopify-Webhook-Id", id)
        .header("X-Shopify-Shop-Domain", shop)
}

fn sanity(millis: i64) -> Request {
    let body = br#"{"title":"A projection of a document"}"#;
    let mac = signed::hmac_sha256(signed::SECRET.as_bytes(), &[format!("{millis}.").as_bytes(), body]);
    Request::post("/sanity", body).header(
        "sanity-webhook-signature",
        format!("t={millis},v1={}", BASE64URL_NOPAD.encode(&mac)),
    )
}

/// An issue that is resolved a second time has the body of the first.
fn sentry(id: &str) -> Request {
    let body = br#"{"action":"resolved","data":{"issue":{"id":"1","status":"resolved"}},"installation":{"uuid":"a"},"actor":{}}"#;
    let mac = signed::hmac_sha256(signed::SECRET.as_bytes(), &[body]);
    Request::post("/sentry", body)
        .header("Sentry-Hook-Signature", HEXLOWER.encode(&mac))
        .header("Sentry-Hook-Resource", "issue")
        .header("Request-ID", id)
}

fn header<'a>(seen: &'a [Recorded], name: &str) -> Vec<Option<&'a str>> {
    seen.iter().map(|seen| seen.header(name)).collect()
}

fn all_differ(names: &[Option<&str>]) -> bool {
    names
        .iter()
        .enumerate()
        .all(|(index, name)| name.is_some() && !names[..index].contains(name))
}

#[test]
fn a_doorbell_is_forwarded_each_time_also_while_an_equal_one_is_in_flight() {
    let (app, sidecar) = stand();
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open), Script::status(200).behind(&open)]);
    std::thread::scope(|scope| {
        let two: Vec<_> = (0..2).map(|_| scope.spawn(|| sidecar.send(&dropbox()))).collect();
        app.wait_for(2);
        open.send_replace(true);
        for one in two {
            assert_eq!(one.join().expect("no panic").outcome(), "delivered");
        }
    });
    assert_eq!(sidecar.send(&dropbox()).outcome(), "delivered");
    let seen = app.seen();
    assert_eq!(header(&seen, "hookward-repeat"), [Some("unknown"); 3]);
    assert_eq!(header(&seen, "hookward-attempt"), [Some("1"); 3]);
    assert!(all_differ(&header(&seen, "hookward-delivery")));
}

#[test]
fn a_doorbell_has_a_budget_beyond_which_it_is_asked_to_wait() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, &format!("limits: {{failed_verifications: off}}{SOURCES}"));
    for _ in 0..60 {
        assert_eq!(sidecar.send(&dropbox()).outcome(), "delivered");
    }
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| sidecar.send(&dropbox()));
        while sidecar.metric("hookward_in_flight") < 1.0 {
            std::thread::yield_now();
        }
        sidecar.advance(Duration::from_secs(1));
        assert_eq!(waits.join().expect("no panic").outcome(), "delivered");
    });
    assert_eq!(app.seen().len(), 61);
}

#[test]
fn another_signed_time_is_a_repeat_and_a_known_one_a_duplicate() {
    let redis = RedisServer::start();
    let yaml = format!("redis: {{url: \"{}\", namespace: test, timeout: 2s}}\n", redis.url());
    for prefix in [String::new(), yaml] {
        let app = App::start();
        let sidecar = Sidecar::before(&app, &format!("{prefix}{SOURCES}"));
        let at = NOW * 1000;
        for (millis, outcome) in [
            (at, "delivered"),
            (at, "duplicate"),
            (at + 1, "delivered"),
            (at + 1, "duplicate"),
            (at, "duplicate"),
            (at + 2, "delivered"),
        ] {
            assert_eq!(sidecar.send(&sanity(millis)).outcome(), outcome, "{millis}");
        }
        let seen = app.seen();
        assert_eq!(header(&seen, "hookward-repeat"), [None, Some("true"), Some("true")]);
        assert!(all_differ(&header(&seen, "hookward-delivery")));
        // Capture and replay: the budget of answered repeats is the only thing that it spends.
        sidecar.advance(Duration::from_secs(1));
        assert_eq!(sidecar.send(&sanity(at + 1)).outcome(), "duplicate");
        assert_eq!(app.seen().len(), 3);
    }
}

#[test]
fn a_repeat_that_fails_is_tried_again_as_the_same_delivery() {
    let (app, sidecar) = stand();
    let at = NOW * 1000;
    assert_eq!(sidecar.send(&sanity(at)).outcome(), "delivered");
    app.script([Script::status(500)]);
    assert_eq!(sidecar.send(&sanity(at + 1)).outcome(), "upstream_failed");
    assert_eq!(sidecar.send(&sanity(at + 1)).outcome(), "delivered");
    assert_eq!(sidecar.send(&sanity(at + 1)).outcome(), "duplicate");
    let seen = app.seen();
    assert_eq!(header(&seen, "hookward-attempt"), [Some("1"), Some("1"), Some("2")]);
    let names = header(&seen, "hookward-delivery");
    assert!(names[0] != names[1] && names[1] == names[2]);
}

#[test]
fn a_captured_request_is_not_delivered_again_under_other_unsigned_headers() {
    let (app, sidecar) = stand();
    assert_eq!(
        sidecar.send(&signed::github("/github", "d-1", PUSH)).outcome(),
        "delivered"
    );
    for (event, id) in [("push", "d-2"), ("ping", "d-1"), ("workflow_dispatch", "d-3"), ("", "")] {
        sidecar.advance(Duration::from_secs(1));
        let again = sidecar.send(&signed::github_event("/github", event, id, PUSH));
        assert_eq!((again.status, again.outcome()), (409, "conflict"), "{event} {id}");
    }
    sidecar.advance(Duration::from_secs(1));
    assert_eq!(
        sidecar.send(&signed::github("/github", "d-1", PUSH)).outcome(),
        "duplicate"
    );
    assert_eq!(
        sidecar.send(&shopify("orders/create", "w-1", "a.example")).outcome(),
        "delivered"
    );
    let elsewhere = sidecar.send(&shopify("orders/create", "w-1", "b.example"));
    assert_eq!(elsewhere.outcome(), "conflict", "another shop");
    assert_eq!(app.seen().len(), 2);
}

#[test]
fn two_dispatches_at_once_both_reach_the_app() {
    let (app, sidecar) = stand();
    let send = |id: &str| sidecar.send(&signed::github_event("/github", "workflow_dispatch", id, DISPATCH));
    std::thread::scope(|scope| {
        let two = ["d-1", "d-2"].map(|id| scope.spawn(move || send(id)));
        for one in two {
            assert_eq!(one.join().expect("no panic").outcome(), "delivered");
        }
    });
    assert_eq!(send("d-1").outcome(), "duplicate");
    assert_eq!(send("d-2").outcome(), "duplicate");
    let seen = app.seen();
    assert_eq!(header(&seen, "hookward-repeat"), [None, Some("true")]);
    assert!(all_differ(&header(&seen, "hookward-delivery")));
}

/// Sentry waits a second for an answer and never retries, so an event that waits for an equal one has half a second.
#[test]
fn an_equal_event_waits_although_its_provider_waits_a_second_only() {
    let (app, sidecar) = stand();
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| sidecar.send(&sentry("e-1")));
        app.wait_for(1);
        let second = scope.spawn(|| sidecar.send(&sentry("e-2")));
        while sidecar.metric("hookward_in_flight") < 2.0 && !second.is_finished() {
            std::thread::yield_now();
        }
        open.send_replace(true);
        for one in [first, second] {
            assert_eq!(one.join().expect("no panic").outcome(), "delivered");
        }
    });
    assert_eq!(header(&app.seen(), "hookward-repeat"), [None, Some("true")]);
}

#[test]
fn an_equal_event_reaches_the_app_although_the_first_one_hangs() {
    let redis = RedisServer::start();
    let shared = format!("redis: {{url: \"{}\", namespace: test, timeout: 2s}}\n", redis.url());
    for prefix in [String::new(), shared] {
        let app = App::start();
        let sidecar = Sidecar::before(&app, &format!("{prefix}{SOURCES}"));
        let (closed, _) = tokio::sync::watch::channel(false);
        app.script([Script::status(200).behind(&closed)]);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| sidecar.send(&sentry("e-1")));
            app.wait_for(1);
            let second = sidecar.send(&sentry("e-2"));
            assert_eq!(second.outcome(), "delivered");
            assert_eq!(first.join().expect("no panic").outcome(), "upstream_timeout");
        });
        let seen = app.seen();
        assert_eq!(header(&seen, "hookward-repeat"), [None, Some("true")]);
        assert!(all_differ(&header(&seen, "hookward-delivery")));
        // The failed one is delivered as itself, and the repeat is known.
        assert_eq!(sidecar.send(&sentry("e-1")).outcome(), "delivered");
        assert_eq!(header(&app.since(2), "hookward-attempt"), [Some("2")]);
        assert_eq!(sidecar.send(&sentry("e-2")).outcome(), "duplicate");
        assert_eq!(app.count(), 3);
    }
}

#[test]
fn one_content_reaches_the_app_under_each_topic_that_is_listed_and_four_more_at_most() {
    let (app, sidecar) = stand();
    let send = |topic, id| {
        sidecar.advance(Duration::from_secs(1));
        sidecar.send(&shopify(topic, id, "a.example"))
    };
    assert_eq!(send("orders/create", "w-1").outcome(), "delivered");
    // Another subscription to the same topic.
    assert_eq!(send("orders/create", "w-2").outcome(), "duplicate");
    for topic in ["orders/updated", "orders/paid", "orders/edited", "orders/own"] {
        assert_eq!(send(topic, "w-3").outcome(), "delivered", "{topic}");
        assert_eq!(send(topic, "w-3").outcome(), "duplicate", "{topic}");
    }
    assert_eq!(
        send("orders/invented", "w-4").outcome(),
        "conflict",
        "listed by a pattern only"
    );
    assert_eq!(send("orders/fulfilled", "w-5").outcome(), "conflict", "a fifth");
    let seen = app.seen();
    assert_eq!(seen.len(), 5);
    assert_eq!(header(&seen[1..], "hookward-repeat"), [Some("true"); 4]);
}

#[test]
fn forwarded_repeats_have_a_budget_for_each_client() {
    let (app, sidecar) = stand();
    let send = |id: &str| sidecar.send(&signed::github_event("/github", "workflow_dispatch", id, DISPATCH));
    for n in 0..11 {
        assert_eq!(send(&format!("d-{n}")).outcome(), "delivered", "{n}");
    }
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| send("d-11"));
        while sidecar.metric("hookward_in_flight") < 1.0 {
            std::thread::yield_now();
        }
        assert_eq!(app.seen().len(), 11);
        sidecar.advance(Duration::from_secs(6));
        assert_eq!(waits.join().expect("no panic").outcome(), "delivered");
    });
    assert_eq!(app.seen().len(), 12);
}

#[test]
fn a_redelivery_keeps_its_name_and_says_that_it_is_one() {
    let (app, sidecar) = stand();
    let dispatch = |id| signed::github_event("/github", "workflow_dispatch", id, DISPATCH);
    for id in ["d-1", "d-2"] {
        assert_eq!(sidecar.send(&dispatch(id)).outcome(), "delivered");
    }
    let names: Vec<String> = app
        .seen()
        .iter()
        .map(|seen| seen.header("hookward-delivery").expect("a name").to_owned())
        .collect();
    for (name, id) in names.iter().zip(["d-1", "d-2"]) {
        sidecar.advance(Duration::from_secs(1));
        let forget = Request::post("/api/v1/sources/github/forget", format!("{{\"delivery\":\"{name}\"}}"))
            .replace("Host", sidecar.addresses.admin.to_string())
            .header("Content-Type", "application/json")
            .header("Hookward-Admin", "1");
        assert_eq!(forget.send(sidecar.addresses.admin).status, 200, "{id}");
        assert_eq!(sidecar.send(&dispatch(id)).outcome(), "delivered", "{id}");
        assert_eq!(sidecar.send(&dispatch(id)).outcome(), "duplicate", "{id}");
    }
    let seen = app.seen();
    assert_eq!(
        header(&seen, "hookward-redelivery"),
        [None, None, Some("true"), Some("true")]
    );
    assert_eq!(
        header(&seen, "hookward-repeat"),
        [None, Some("true"), None, Some("true")]
    );
    let again = header(&seen, "hookward-delivery");
    assert_eq!((again[2], again[3]), (again[0], again[1]));
}

/// A captured copy of a failed attempt is delivered under a forged tenant: the honest topics of the content are not lost.
#[test]
fn a_forged_tenant_takes_no_topic_from_the_honest_one() {
    let (app, sidecar) = stand();
    app.script([Script::status(500)]);
    let send = |topic, id, shop| sidecar.send(&shopify(topic, id, shop));
    assert_eq!(send("orders/create", "w-1", "a.example").outcome(), "upstream_failed");
    assert_eq!(send("orders/create", "w-9", "forged.example").outcome(), "delivered");
    // It came before the delivery, and nobody has had it.
    assert_eq!(send("orders/create", "w-1", "a.example").outcome(), "delivered");
    assert_eq!(send("orders/updated", "w-2", "a.example").outcome(), "delivered");
    assert_eq!(send("orders/updated", "w-2", "a.example").outcome(), "duplicate");
    let marks = [None, None, Some("true"), Some("true")];
    assert_eq!(header(&app.seen(), "hookward-repeat"), marks);
}
