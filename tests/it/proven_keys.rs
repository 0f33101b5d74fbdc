//! Certificates that verified before are had again after a restart, and forgers keep nobody from one.

use super::redis::RedisServer;
use super::support::{
    App, Folder, Publisher, Request, Script, Sidecar,
    publisher::{SNS, Signer, sns_time as at},
    wait_until,
};
use std::{os::unix::fs::PermissionsExt, path::Path, sync::LazyLock};

const SOURCES: &str = "
sources:
  sns:
    provider: sns
    path: /sns
    settings: {topic_arn: \"arn:aws:sns:us-east-1:123456789012:orders\"}
";
const CERTIFICATE: &str = "/SimpleNotificationService-0123456789abcdef.pem";

static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::new);

/// The `n`-th message, whose certificate stands at this path of the provider's.
fn message(n: usize, path: &str) -> Request {
    SIGNER.sns(
        "Notification",
        &format!("m-{n}"),
        &at(0),
        &format!("https://{SNS}{path}"),
        &[],
    )
}

/// One that names a certificate of its own.
fn made_up(n: usize) -> Request {
    message(n, &format!("/SimpleNotificationService-{n}.pem"))
}

/// Forgers spend all that strangers may have fetched.
fn flood(sidecar: &Sidecar, publisher: &Publisher) {
    publisher.server.usually(Script::status(404));
    let spent = (0..60)
        .filter(|n| sidecar.send(&made_up(1000 + n)).outcome() == "overloaded")
        .count();
    assert!(spent > 0, "the budget has an end");
    publisher.server.usually(Script::body(SIGNER.certificate.clone()));
}

fn outcome(sidecar: &Sidecar, request: &Request) -> String {
    sidecar.send(request).outcome().to_owned()
}

fn asked(publisher: &Publisher, path: &str) -> usize {
    publisher.asked().iter().filter(|asked| *asked == path).count()
}

#[test]
fn forgers_of_a_few_addresses_keep_no_other_client_from_its_certificate() {
    for prefix in ["203.0.113.", "2001:db8:7:"] {
        let (app, publisher) = (App::start(), Publisher::saying(SNS, SIGNER.certificate.clone()));
        let yaml = format!("client_ip: {{trust: [127.0.0.0/8]}}\n{SOURCES}");
        let sidecar = Sidecar::fetching(&app, &yaml, publisher.fetcher());
        publisher.server.usually(Script::status(404));
        // Fourteen addresses, or networks of one customer.
        for n in 0..14 * 6 {
            let client = match prefix {
                "203.0.113." => format!("{prefix}{}", n % 14),
                _ => format!("{prefix}{}::1", n % 14),
            };
            sidecar.send(&made_up(n).header("X-Forwarded-For", client));
        }
        publisher.server.usually(Script::body(SIGNER.certificate.clone()));
        let honest = message(1, CERTIFICATE).header("X-Forwarded-For", "192.0.2.1");
        assert_eq!(outcome(&sidecar, &honest), "delivered", "{prefix}");
    }
}

#[test]
fn a_certificate_that_verified_is_had_again_after_a_restart_with_redis() {
    let (app, redis) = (App::start(), RedisServer::start());
    let publisher = Publisher::saying(SNS, SIGNER.certificate.clone());
    let yaml = format!(
        "redis: {{url: \"{}\", namespace: test, timeout: 2s}}\n{SOURCES}",
        redis.url()
    );
    let start = || Sidecar::fetching(&app, &yaml, publisher.fetcher());
    let first = start();
    assert_eq!(outcome(&first, &message(1, CERTIFICATE)), "delivered");
    wait_until("it is kept", || redis.query::<bool>(&["EXISTS", "hw:keys:{test/sns}"]));
    drop(first);
    let second = start();
    wait_until("it is read", || second.logged().contains("key URLs"));
    flood(&second, &publisher);
    assert_eq!(outcome(&second, &message(2, CERTIFICATE)), "delivered");
    // A certificate that nobody proved yet waits.
    assert_eq!(outcome(&second, &made_up(7)), "overloaded");
}

#[test]
fn a_certificate_that_verified_is_had_again_after_a_restart_with_a_state_dir() {
    let (app, folder) = (App::start(), Folder::new());
    let publisher = Publisher::saying(SNS, SIGNER.certificate.clone());
    let yaml = format!("state_dir: {}\n{SOURCES}", folder.0.display());
    let start = || Sidecar::fetching(&app, &yaml, publisher.fetcher());
    let first = start();
    assert_eq!(outcome(&first, &message(1, CERTIFICATE)), "delivered");
    let file = folder.0.join("proven-keys.json");
    wait_until("it is kept", || file.exists());
    drop(first);
    let kept = std::fs::read_to_string(&file).expect("a file");
    let expected =
        serde_json::json!({"schema_version": 1, "sources": {"sns": [format!("https://{SNS}{CERTIFICATE}")]}});
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&kept).expect("JSON"),
        expected,
        "URLs and nothing else"
    );
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(
        std::fs::read_dir(&folder.0).expect("a folder").count(),
        1,
        "nothing is left over"
    );
    let second = start();
    flood(&second, &publisher);
    assert_eq!(outcome(&second, &message(2, CERTIFICATE)), "delivered");
}

#[test]
fn what_stands_in_the_state_is_a_hint_and_no_proof() {
    let (app, folder, redis) = (App::start(), Folder::new(), RedisServer::start());
    let publisher = Publisher::saying(SNS, SIGNER.certificate.clone());
    // Planted: a place that the preset does not allow, and text that is not a URL.
    let planted = "https://evil.example/SimpleNotificationService-1.pem";
    let file =
        serde_json::json!({"schema_version": 1, "sources": {"sns": [planted, "", "x".repeat(5000)], "?": ["x"]}});
    for (kept, top) in [
        (file.to_string(), format!("state_dir: {}\n", folder.0.display())),
        (
            "{\"schema_version\":1,\"sour".to_owned(),
            format!("state_dir: {}\n", folder.0.display()),
        ),
        (
            String::new(),
            format!("redis: {{url: \"{}\", namespace: test, timeout: 2s}}\n", redis.url()),
        ),
    ] {
        folder.write("proven-keys.json", &kept);
        for url in [planted, "file:///etc/passwd", ""] {
            redis.query::<u64>(&["LPUSH", "hw:keys:{test/sns}", url]);
        }
        let sidecar = Sidecar::fetching(&app, &format!("{top}{SOURCES}"), publisher.fetcher());
        let evil = SIGNER.sns("Notification", "m-1", &at(0), planted, &[]);
        assert_eq!(outcome(&sidecar, &evil), "unverified");
        assert!(publisher.asked().is_empty(), "nothing is fetched from there");
        let damaged = kept.ends_with("sour");
        assert_eq!(
            sidecar.logged().contains("proven-keys.json"),
            damaged,
            "{}",
            sidecar.logged()
        );
    }
    assert!(app.seen().is_empty());
}

#[test]
fn a_certificate_that_verified_is_asked_for_once_however_many_forge_with_it() {
    let (app, folder) = (App::start(), Folder::new());
    let publisher = Publisher::saying(SNS, SIGNER.certificate.clone());
    let yaml = format!("state_dir: {}\n{SOURCES}", folder.0.display());
    folder.write(
        "proven-keys.json",
        &serde_json::json!({"schema_version": 1, "sources": {"sns": [format!("https://{SNS}{CERTIFICATE}")]}})
            .to_string(),
    );
    let sidecar = Sidecar::fetching(&app, &yaml, publisher.fetcher());
    publisher.server.usually(Script::status(503));
    for n in 0..50 {
        assert_eq!(outcome(&sidecar, &message(n, CERTIFICATE)), "overloaded");
    }
    assert_eq!(asked(&publisher, CERTIFICATE), 1);
}
