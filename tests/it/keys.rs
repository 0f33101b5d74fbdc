//! Keys by URL: certificates and key sets that the sidecar fetches from a server that proves its name, and never without end.

use super::support::{
    App, Folder, Publisher, Request, Script, Sidecar,
    publisher::{SNS, Signer, sns_time as at},
    sidecar::NOW,
    wait_until,
};
use serde_json::json;
use std::{
    net::SocketAddr,
    sync::LazyLock,
    time::{Duration, Instant},
};
use tokio::sync::watch;

const SOURCES: &str = "
sources:
  sns:
    provider: sns
    path: /sns
    settings: {topic_arn: \"arn:aws:sns:us-east-1:123456789012:orders\"}
  pubsub:
    provider: google-pubsub
    path: /pubsub
    settings: {audience: \"https://hooks.example.com/pubsub\", email: push@project.iam.gserviceaccount.com}
";
const GOOGLE: &str = "www.googleapis.com";
const CERTIFICATE: &str = "/SimpleNotificationService-0123456789abcdef.pem";

/// RSA keys are dear: one for all who need just one.
static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::new);

fn certificate_url() -> String {
    format!("https://{SNS}{CERTIFICATE}")
}

/// The `n`-th message, sent `secs` after [`NOW`].
fn message(n: usize, secs: i64) -> Request {
    SIGNER.sns("Notification", &format!("m-{n}"), &at(secs), &certificate_url(), &[])
}

/// One that says its certificate is at `url`.
fn named(n: usize, url: &str) -> Request {
    SIGNER.sns("Notification", &format!("m-{n}"), &at(0), url, &[])
}

fn ended(sidecar: &Sidecar, request: &Request) -> (u16, String) {
    let answer = sidecar.send(request);
    (answer.status, answer.outcome().to_owned())
}

fn delivered() -> (u16, String) {
    (200, "delivered".to_owned())
}

fn overloaded() -> (u16, String) {
    (503, "overloaded".to_owned())
}

fn unverified() -> (u16, String) {
    (401, "unverified".to_owned())
}

#[test]
fn a_certificate_is_fetched_once_and_kept() {
    let (app, publisher) = (App::start(), Publisher::saying(SNS, SIGNER.certificate.clone()));
    let sidecar = Sidecar::fetching(&app, SOURCES, publisher.fetcher());
    for n in 0..5 {
        assert_eq!(ended(&sidecar, &message(n, 0)), delivered());
    }
    let seen = publisher.server.seen();
    assert_eq!(publisher.asked(), [CERTIFICATE]);
    assert_eq!((seen[0].method.as_str(), seen[0].header("host")), ("GET", Some(SNS)));
    assert_eq!(app.seen()[0].header("hookward-verified"), Some("signature"));
    // One byte of the message is another.
    let mut forged = message(9, 0);
    let text = String::from_utf8(forged.body.clone())
        .expect("JSON")
        .replace("order", "other");
    forged.body = text.into_bytes();
    assert_eq!(ended(&sidecar, &forged), unverified());
    assert_eq!((publisher.asked().len(), app.seen().len()), (1, 5));
}

#[test]
fn one_fetch_serves_all_who_come_while_it_is_under_way() {
    let (app, publisher) = (App::start(), Publisher::saying(SNS, SIGNER.certificate.clone()));
    let (open, _) = watch::channel(false);
    publisher
        .server
        .script([Script::body(SIGNER.certificate.clone()).behind(&open)]);
    let sidecar = Sidecar::fetching(&app, SOURCES, publisher.fetcher());
    std::thread::scope(|scope| {
        let sent: Vec<_> = (0..20)
            .map(|n| {
                scope.spawn({
                    let sidecar = &sidecar;
                    move || ended(sidecar, &message(n, 0))
                })
            })
            .collect();
        publisher.server.wait_for(1);
        wait_until("all are there", || sidecar.metric("hookward_in_flight") >= 20.0);
        open.send_replace(true);
        for one in sent {
            assert_eq!(one.join().expect("no panic"), delivered());
        }
    });
    assert_eq!(publisher.asked().len(), 1);
}

#[test]
fn a_server_that_cannot_be_reached_is_503_and_nothing_is_forwarded() {
    let (app, publisher) = (App::start(), Publisher::saying(SNS, SIGNER.certificate.clone()));
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound");
    let sidecar = Sidecar::fetching(&app, SOURCES, publisher.fetcher_to(vec![closed]));
    let answer = sidecar.send(&message(1, 0));
    assert_eq!((answer.status, answer.outcome()), (503, "overloaded"));
    assert_eq!(answer.header("retry-after"), Some("30"));
    let told = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!told.contains("amazonaws") && !told.contains("127.0.0.1"), "{told}");
    assert!(app.seen().is_empty());
    let log = sidecar.logged();
    assert!(log.contains(&format!("{SNS} is unreachable")), "{log}");
    assert!(!log.contains(CERTIFICATE), "{log}");
    // Addresses of metadata services are no key servers, whatever the name says; the next address serves.
    let addresses = vec![
        SocketAddr::from(([169, 254, 169, 254], 443)),
        closed,
        publisher.server.address,
    ];
    let sidecar = Sidecar::fetching(&app, SOURCES, publisher.fetcher_to(addresses));
    assert_eq!(ended(&sidecar, &message(1, 0)), delivered());
    let sidecar = Sidecar::fetching(
        &app,
        SOURCES,
        publisher.fetcher_to(vec![SocketAddr::from(([169, 254, 169, 254], 443))]),
    );
    assert_eq!(ended(&sidecar, &message(2, 0)), overloaded());
    assert!(
        sidecar
            .logged()
            .contains("169.254.169.254 is a link-local or metadata address")
    );
}

#[test]
fn what_is_kept_serves_on_where_it_cannot_be_renewed() {
    let (app, publisher) = (App::start(), Publisher::saying(SNS, SIGNER.certificate.clone()));
    let sidecar = Sidecar::fetching(&app, SOURCES, publisher.fetcher());
    assert_eq!(ended(&sidecar, &message(1, 0)), delivered());
    publisher.server.usually(Script::status(500));
    sidecar.advance(Duration::from_hours(1));
    assert_eq!(ended(&sidecar, &message(2, 3600)), delivered());
    assert_eq!(ended(&sidecar, &message(3, 3600)), delivered());
    assert_eq!(publisher.asked().len(), 2, "the failure is kept for a moment");
    sidecar.advance(Duration::from_hours(24));
    assert_eq!(ended(&sidecar, &message(4, 90_000)), overloaded());
    publisher.server.usually(Script::body(SIGNER.certificate.clone()));
    assert_eq!(ended(&sidecar, &message(4, 90_000)), overloaded());
    sidecar.advance(Duration::from_secs(10));
    assert_eq!(ended(&sidecar, &message(4, 90_010)), delivered());
}

#[test]
fn nothing_is_fetched_from_elsewhere_nor_for_what_no_key_could_prove() {
    let (app, publisher) = (App::start(), Publisher::saying(SNS, SIGNER.certificate.clone()));
    let sidecar = Sidecar::fetching(&app, SOURCES, publisher.fetcher());
    for url in [
        format!("http://{SNS}{CERTIFICATE}"),
        format!("https://{SNS}:8443{CERTIFICATE}"),
        format!("https://{SNS}.evil.example{CERTIFICATE}"),
        format!("https://{SNS}@evil.example{CERTIFICATE}"),
        format!("https://evil.example{CERTIFICATE}"),
        format!("https://sns.s3.amazonaws.com{CERTIFICATE}"),
        format!("https://sns.s3-us-west-2.amazonaws.com{CERTIFICATE}"),
        format!("https://{SNS}/"),
        format!("https://{SNS}/?Action=ConfirmSubscription"),
        format!("https://{SNS}{CERTIFICATE}?x"),
        format!("https://{SNS}/SimpleNotificationService-a/../b.pem"),
        format!("https://169.254.169.254{CERTIFICATE}"),
        "file:///etc/passwd".to_owned(),
        String::new(),
    ] {
        assert_eq!(ended(&sidecar, &named(1, &url)), unverified(), "{url}");
    }
    let other_topic = SIGNER.sns(
        "Notification",
        "m-1",
        &at(0),
        &certificate_url(),
        &[("TopicArn", "arn:aws:sns:us-east-1:1:x")],
    );
    assert_eq!(ended(&sidecar, &other_topic), unverified());
    for body in [&b"{}"[..], b"", b"[[[[", b"\xff"] {
        assert_eq!(ended(&sidecar, &Request::post("/sns", body)), unverified());
    }
    for token in ["Bearer a.b.c", "Bearer e30.e30.e30", "Basic x"] {
        let request = Request::post("/pubsub", "{}").header("Authorization", token);
        assert_eq!(ended(&sidecar, &request), unverified(), "{token}");
    }
    assert!(publisher.asked().is_empty() && app.seen().is_empty());
}

#[test]
fn an_answer_that_is_not_the_key_proves_nothing() {
    let other = Signer::new();
    let large = [SIGNER.certificate.clone().into_bytes(), vec![b'\n'; 64 * 1024]].concat();
    let redirect = Script {
        headers: vec![("location", certificate_url())],
        ..Script::status(302)
    };
    for (script, ending) in [
        (redirect, overloaded()),
        (Script::body(large), overloaded()),
        (Script::status(500), overloaded()),
        (Script::status(403), overloaded()),
        (Script::body("<html>"), overloaded()),
        (Script::body(""), overloaded()),
        // The server is there, and says that there is no such certificate: whoever named it made it up.
        (Script::status(404), unverified()),
        (Script::body(other.certificate.clone()), unverified()),
        (Script::body(Signer::valid_until(2025).certificate), unverified()),
    ] {
        let (app, publisher) = (App::start(), Publisher::saying(SNS, SIGNER.certificate.clone()));
        let what = format!("{}, {} bytes", script.status, script.body.len());
        publisher.server.script([script]);
        let sidecar = Sidecar::fetching(&app, SOURCES, publisher.fetcher());
        assert_eq!(ended(&sidecar, &message(1, 0)), ending, "{what}");
        assert_eq!(publisher.asked().len(), 1, "{what}");
        assert!(app.seen().is_empty(), "{what}");
    }
}

#[test]
fn a_certificate_that_is_over_proves_nothing() {
    let old = Signer::valid_until(2025);
    let (app, publisher) = (App::start(), Publisher::saying(SNS, old.certificate.clone()));
    let sidecar = Sidecar::fetching(&app, SOURCES, publisher.fetcher());
    let request = old.sns("Notification", "m-1", &at(0), &certificate_url(), &[]);
    assert_eq!(ended(&sidecar, &request), unverified());
    assert!(sidecar.logged().contains("certificate is not valid at this time"));
    assert!(app.seen().is_empty());
}

#[test]
fn a_server_that_does_not_prove_its_name_is_not_believed() {
    let (app, ours) = (App::start(), Publisher::saying(SNS, SIGNER.certificate.clone()));
    let other_name = Publisher::saying("sns.eu-west-1.amazonaws.com", SIGNER.certificate.clone());
    let other_authority = Publisher::saying(SNS, SIGNER.certificate.clone());
    for (server, fetcher) in [
        (&other_name, other_name.fetcher()),
        (&other_authority, ours.fetcher_to(vec![other_authority.server.address])),
    ] {
        let sidecar = Sidecar::fetching(&app, SOURCES, fetcher);
        assert_eq!(ended(&sidecar, &message(1, 0)), overloaded());
        assert!(
            sidecar
                .logged()
                .contains(&format!("TLS with {SNS}: invalid peer certificate"))
        );
        assert!(server.asked().is_empty());
    }
    assert!(app.seen().is_empty());
}

#[test]
fn a_server_that_hangs_is_waited_for_once_and_not_for_long() {
    let (app, publisher) = (App::start(), Publisher::of(SNS));
    let (never, _) = watch::channel(false);
    publisher
        .server
        .usually(Script::body(SIGNER.certificate.clone()).behind(&never));
    let sidecar = Sidecar::fetching(&app, SOURCES, publisher.fetcher());
    let begun = Instant::now();
    assert_eq!(ended(&sidecar, &message(1, 0)), overloaded());
    let waited = begun.elapsed();
    assert!(
        Duration::from_secs(2) < waited && waited < Duration::from_secs(15),
        "{waited:?}"
    );
    for n in 2..50 {
        assert_eq!(ended(&sidecar, &message(n, 0)), overloaded());
    }
    assert_eq!(publisher.asked().len(), 1);
    // One that takes the connection and says nothing at all.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let sidecar = Sidecar::fetching(
        &app,
        SOURCES,
        publisher.fetcher_to(vec![silent.local_addr().expect("bound")]),
    );
    let begun = Instant::now();
    assert_eq!(ended(&sidecar, &message(1, 0)), overloaded());
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_sender_that_hangs_up_takes_no_fetch_with_it() {
    let (app, publisher) = (App::start(), Publisher::saying(SNS, SIGNER.certificate.clone()));
    let (open, _) = watch::channel(false);
    publisher
        .server
        .script([Script::body(SIGNER.certificate.clone()).behind(&open)]);
    let sidecar = Sidecar::fetching(&app, SOURCES, publisher.fetcher());
    let mut connection = super::support::wire::Connection::open(sidecar.addresses.webhooks);
    let request = message(1, 0);
    connection.write(&[request.head(), request.body.clone()].concat());
    publisher.server.wait_for(1);
    drop(connection);
    open.send_replace(true);
    assert_eq!(ended(&sidecar, &message(2, 0)), delivered());
    assert_eq!(publisher.asked().len(), 1);
}

#[test]
fn strangers_cannot_send_us_to_a_key_server_without_end() {
    let (app, publisher) = (App::start(), Publisher::saying(SNS, SIGNER.certificate.clone()));
    let sidecar = Sidecar::fetching(&app, SOURCES, publisher.fetcher());
    assert_eq!(ended(&sidecar, &message(0, 0)), delivered());
    publisher.server.usually(Script::status(404));
    let mut endings = [0, 0];
    for n in 0..100 {
        let url = format!("https://{SNS}/SimpleNotificationService-{n}.pem");
        match ended(&sidecar, &named(n, &url)) {
            end if end == unverified() => endings[0] += 1,
            end if end == overloaded() => endings[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(endings, [29, 71], "thirty a minute, of which the honest one spent one");
    assert_eq!(publisher.asked().len(), 30);
    // What verified something is still there.
    assert_eq!(ended(&sidecar, &message(1, 0)), delivered());
    assert_eq!((publisher.asked().len(), app.seen().len()), (30, 2));
}

fn set(keys: &[(&Signer, &str)]) -> String {
    let keys: Vec<_> = keys.iter().map(|(signer, kid)| signer.jwk(kid)).collect();
    json!({"keys": keys}).to_string()
}

#[test]
fn a_key_of_a_name_that_is_not_known_has_the_set_fetched_anew_but_not_each_time() {
    let (app, new) = (App::start(), Signer::new());
    let publisher = Publisher::saying(GOOGLE, set(&[(&SIGNER, "old")]));
    let sidecar = Sidecar::fetching(&app, SOURCES, publisher.fetcher());
    let push = |signer: &Signer, n: usize, kid: &str| signer.pubsub(&n.to_string(), sidecar.now(), kid);
    assert_eq!(ended(&sidecar, &push(&SIGNER, 1, "old")), delivered());
    assert_eq!(publisher.asked(), ["/oauth2/v3/certs"]);
    for n in 0..20 {
        assert_eq!(ended(&sidecar, &push(&new, n, "new")), unverified());
    }
    assert_eq!(publisher.asked().len(), 1, "it was fetched a moment ago");
    publisher
        .server
        .usually(Script::body(set(&[(&SIGNER, "old"), (&new, "new")])));
    sidecar.advance(Duration::from_secs(10));
    assert_eq!(ended(&sidecar, &push(&new, 2, "new")), delivered(), "rotated");
    assert_eq!(ended(&sidecar, &push(&SIGNER, 3, "old")), delivered());
    assert_eq!(
        ended(&sidecar, &push(&SIGNER, 4, "new")),
        unverified(),
        "signed by another than it says"
    );
    assert_eq!(publisher.asked().len(), 2);
    // The server is out: whether there is such a key, nobody knows; those that are known serve on.
    publisher.server.usually(Script::status(503));
    sidecar.advance(Duration::from_secs(10));
    assert_eq!(ended(&sidecar, &push(&new, 5, "newer")), overloaded());
    assert_eq!(ended(&sidecar, &push(&new, 6, "new")), delivered());
    for n in 0..20 {
        assert_eq!(ended(&sidecar, &push(&new, n, "newer")), overloaded());
    }
    assert_eq!((publisher.asked().len(), app.seen().len()), (3, 4));
}

#[test]
fn keys_that_are_pinned_need_no_server() {
    let (app, publisher, folder) = (App::start(), Publisher::of(SNS), Folder::new());
    let certificate = folder.write("sns.pem", &SIGNER.certificate);
    let keys = folder.write("google.json", &set(&[(&SIGNER, "a")]));
    let yaml = SOURCES
        .replace(
            "path: /sns\n",
            &format!("path: /sns\n    certificate: {{file: {}}}\n", certificate.display()),
        )
        .replace(
            "path: /pubsub\n",
            &format!("path: /pubsub\n    jwks: {{file: {}}}\n", keys.display()),
        );
    let sidecar = Sidecar::fetching(&app, &yaml, publisher.fetcher());
    assert_eq!(ended(&sidecar, &message(1, 0)), delivered());
    assert_eq!(ended(&sidecar, &SIGNER.pubsub("1", NOW, "a")), delivered());
    assert_eq!(ended(&sidecar, &Signer::new().pubsub("2", NOW, "b")), unverified());
    // Where the certificate is, does not matter then, as long as it is at the provider's.
    assert_eq!(
        ended(&sidecar, &named(2, &format!("https://{SNS}/other.pem"))),
        delivered()
    );
    assert_eq!(
        ended(&sidecar, &named(3, "https://evil.example/other.pem")),
        unverified()
    );
    assert!(publisher.asked().is_empty());
    let used = sidecar.metric("hookward_secret_used_total{source=\"sns\",secret=\"0\"}");
    assert!(used > 1.5 && used < 2.5, "{used}");
}
