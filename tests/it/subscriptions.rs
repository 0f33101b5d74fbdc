//! SNS subscriptions: a verified confirmation is confirmed at AWS where the source says so, and nothing else ever is.

use super::support::{
    App, Folder, Publisher, Request, Script, Sidecar,
    publisher::{SNS, Signer, sns_time as at},
};
use std::{sync::LazyLock, time::Duration};

const TOKEN: &str = "2336412f37fb687f5d51e6e2425c464de257ebea";
const CERTIFICATE: &str = "/SimpleNotificationService-0123456789abcdef.pem";

static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::new);

fn source(more: &str) -> String {
    format!(
        "
sources:
  sns:
    provider: aws-sns
    path: /sns
    settings: {{topic_arn: \"arn:aws:sns:us-east-1:123456789012:orders\"{more}}}
"
    )
}

fn confirming() -> String {
    source(", confirm_subscription: true")
}

/// The path and query that are to be visited for the `n`-th subscription.
fn visit(n: usize) -> String {
    format!("/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:123456789012:orders&Token={TOKEN}{n}")
}

fn asking(kind: &str, n: usize, at: &str, url: &str) -> Request {
    let certificate = format!("https://{SNS}{CERTIFICATE}");
    let token = format!("{TOKEN}{n}");
    SIGNER.sns(
        kind,
        &format!("m-{n}"),
        at,
        &certificate,
        &[("SubscribeURL", url), ("Token", &token)],
    )
}

fn confirmation(n: usize) -> Request {
    asking(
        "SubscriptionConfirmation",
        n,
        &at(0),
        &format!("https://{SNS}{}", visit(n)),
    )
}

/// AWS, which shows its certificate first.
fn aws() -> Publisher {
    let publisher = Publisher::saying(SNS, "<ConfirmSubscriptionResponse/>");
    publisher.server.script([Script::body(SIGNER.certificate.clone())]);
    publisher
}

fn ended(sidecar: &Sidecar, request: &Request) -> (u16, String) {
    let answer = sidecar.send(request);
    (answer.status, answer.outcome().to_owned())
}

#[test]
fn a_verified_confirmation_is_confirmed_once_and_answered_by_us() {
    let (app, aws) = (App::start(), aws());
    let sidecar = Sidecar::fetching(&app, &confirming(), aws.fetcher());
    let answer = sidecar.send(&confirmation(1));
    assert_eq!((answer.status, answer.outcome()), (200, "challenge"));
    assert_eq!(answer.body, b"");
    assert_eq!(aws.asked(), [CERTIFICATE.to_owned(), visit(1)]);
    let seen = aws.server.seen();
    assert_eq!((seen[1].method.as_str(), seen[1].header("host")), ("GET", Some(SNS)));
    for _ in 0..20 {
        assert_eq!(
            ended(&sidecar, &confirmation(1)),
            (200, "challenge".to_owned()),
            "repeated"
        );
    }
    assert_eq!(aws.asked().len(), 2);
    assert_eq!(ended(&sidecar, &confirmation(2)), (200, "challenge".to_owned()));
    assert_eq!(aws.asked()[2..], [visit(2)]);
    assert!(app.seen().is_empty());
    let log = sidecar.logged();
    assert!(log.contains("the subscription is confirmed"), "{log}");
    assert!(!log.contains(TOKEN) && !log.contains("ConfirmSubscription"), "{log}");
}

#[test]
fn without_the_setting_it_is_answered_and_left_to_somebody() {
    for yaml in [source(""), source(", confirm_subscription: false")] {
        let (app, aws) = (App::start(), aws());
        let sidecar = Sidecar::fetching(&app, &yaml, aws.fetcher());
        assert_eq!(ended(&sidecar, &confirmation(1)), (200, "challenge".to_owned()));
        assert_eq!(aws.asked(), [CERTIFICATE]);
        assert!(app.seen().is_empty());
        let log = sidecar.logged();
        assert!(log.contains("the subscription is not confirmed"), "{log}");
        assert!(!log.contains(TOKEN), "{log}");
    }
}

#[test]
fn nothing_is_visited_that_is_not_a_verified_and_fresh_confirmation_at_aws() {
    let (app, aws) = (App::start(), aws());
    let sidecar = Sidecar::fetching(&app, &confirming(), aws.fetcher());
    let forged = |from: &str, to: &str| {
        let mut request = confirmation(1);
        let text = String::from_utf8(request.body.clone()).expect("JSON").replace(from, to);
        assert_ne!(request.body, text.as_bytes(), "{from}");
        request = Request::post("/sns", text);
        request
    };
    let stranger = Signer::new();
    let certificate = format!("https://{SNS}{CERTIFICATE}");
    let there = format!("https://{SNS}{}", visit(1));
    let kind = "SubscriptionConfirmation";
    for (what, request, outcome) in [
        (
            "forged",
            stranger.sns(kind, "m", &at(0), &certificate, &[("SubscribeURL", &there)]),
            "unverified",
        ),
        ("another token", forged("Token=", "Token=0"), "unverified"),
        (
            "another host",
            forged(&format!("{SNS}/?"), "evil.example/?"),
            "unverified",
        ),
        ("no signature", forged("\"Signature\"", "\"NoSignature\""), "unverified"),
        ("another topic", forged(":orders\"", ":others\""), "unverified"),
        (
            "a notification made one",
            forged("\"MessageId\":\"m-1\"", "\"MessageId\":\"m-2\""),
            "unverified",
        ),
        ("old", asking(kind, 1, &at(-3601), &there), "stale"),
        // Signed by AWS, and yet elsewhere.
        (
            "elsewhere",
            asking(kind, 1, &at(0), "https://evil.example/?a"),
            "unverified",
        ),
        (
            "a bucket",
            asking(kind, 1, &at(0), "https://sns.s3.amazonaws.com/?a"),
            "unverified",
        ),
        (
            "plain",
            asking(kind, 1, &at(0), &format!("http://{SNS}/?a")),
            "unverified",
        ),
        (
            "another path",
            asking(kind, 1, &at(0), &format!("https://{SNS}/x?a")),
            "unverified",
        ),
        (
            "metadata",
            asking(kind, 1, &at(0), "https://169.254.169.254/?a"),
            "unverified",
        ),
        ("no URL", SIGNER.sns(kind, "m", &at(0), &certificate, &[]), "unverified"),
        ("an event", asking("Notification", 1, &at(0), &there), "delivered"),
        (
            "the end of one",
            asking("UnsubscribeConfirmation", 2, &at(0), &there),
            "delivered",
        ),
    ] {
        assert_eq!(sidecar.send(&request).outcome(), outcome, "{what}");
    }
    assert_eq!(aws.asked(), [CERTIFICATE]);
    assert_eq!(app.seen().len(), 2);
}

#[test]
fn a_visit_that_fails_is_503_so_that_the_provider_asks_again() {
    for status in [302, 400, 403, 404, 500] {
        let (app, aws) = (App::start(), aws());
        let sidecar = Sidecar::fetching(&app, &confirming(), aws.fetcher());
        let refused = Script {
            headers: vec![("location", format!("https://{SNS}{}", visit(9)))],
            ..Script::status(status)
        };
        aws.server.script([refused]);
        let answer = sidecar.send(&confirmation(1));
        assert_eq!((answer.status, answer.outcome()), (503, "overloaded"), "{status}");
        assert_eq!(answer.header("retry-after"), Some("30"));
        assert_eq!(sidecar.send(&confirmation(1)).status, 503, "not at once");
        assert_eq!(aws.asked().len(), 2, "{status}");
        sidecar.advance(Duration::from_secs(10));
        assert_eq!(ended(&sidecar, &confirmation(1)), (200, "challenge".to_owned()));
        assert_eq!(aws.asked()[2..], [visit(1)]);
        assert!(app.seen().is_empty());
        assert!(!sidecar.logged().contains(TOKEN));
    }
}

#[test]
fn copies_at_once_are_one_visit_also_with_a_pinned_certificate() {
    let (app, folder) = (App::start(), Folder::new());
    let aws = Publisher::saying(SNS, "<ConfirmSubscriptionResponse/>");
    let certificate = folder.write("sns.pem", &SIGNER.certificate);
    let yaml = confirming() + &format!("    certificate: {{file: {}}}\n", certificate.display());
    let sidecar = Sidecar::fetching(&app, &yaml, aws.fetcher());
    let request = confirmation(1);
    std::thread::scope(|scope| {
        let sent: Vec<_> = (0..20).map(|_| scope.spawn(|| ended(&sidecar, &request))).collect();
        for one in sent {
            assert_eq!(one.join().expect("no panic"), (200, "challenge".to_owned()));
        }
    });
    assert_eq!(aws.asked(), [visit(1)]);
}
