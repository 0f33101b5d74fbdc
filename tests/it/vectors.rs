//! Real requests, signed by the providers' own SDKs, through a running sidecar to a real app: byte for byte or not at all.

use super::{
    case::{Case, read},
    redis::RedisServer,
    support::{App, Request, Sidecar},
};
use hookward::event::{TestClock, Timestamp};
use std::{collections::BTreeSet, fmt::Write, path::Path, sync::Arc};

const PROVIDERS: [&str; 12] = [
    "stripe",
    "github",
    "slack",
    "shopify",
    "standard-webhooks",
    "svix",
    "gitlab-token",
    "twilio",
    "square",
    "sendgrid",
    "discord",
    "telegram",
];

/// A vector and the source that it goes to.
struct Sent {
    provider: &'static str,
    case: Case,
    /// Scheme and host that the provider sees.
    origin: String,
    /// Path and query of our own: the provider's where it signs the URL, else below a prefix that no other vector has.
    target: String,
}

impl Sent {
    fn path(&self) -> &str {
        self.target.split('?').next().expect("split gives at least one part")
    }

    fn label(&self) -> String {
        format!("{}/{}", self.provider, self.case.name)
    }

    fn request(&self) -> Request {
        let mut request = Request::post(&self.target, self.case.body().to_vec());
        if self.case.method == "GET" {
            request = request.method("GET").without("Content-Length");
        }
        for (name, value) in &self.case.headers {
            request = request.header(name, value);
        }
        request
    }
}

#[test]
fn what_the_sdks_sign_reaches_the_app_and_nothing_else_with_the_ledger_in_process() {
    send_all("");
}

#[test]
fn what_the_sdks_sign_reaches_the_app_and_nothing_else_with_the_ledger_in_redis() {
    let redis = RedisServer::start();
    send_all(&redis.url());
    assert!(redis.query::<u64>(&["DBSIZE"]) > 30, "the ledger was not in Redis");
}

fn send_all(redis: &str) {
    let (mut delivered, mut answered, mut refused) = (0, 0, 0);
    for (number, round) in rounds(all()).iter().enumerate() {
        let app = App::start();
        let clock = TestClock::at(Timestamp::from_secs(round[0].case.now_unix));
        let sidecar = Sidecar::start_at(&yaml(round, &app, redis, number), Arc::new(clock));
        for (n, sent) in round.iter().enumerate() {
            let before = app.seen().len();
            let answer = sidecar.send(&sent.request());
            let seen = app.seen();
            let label = sent.label();
            if sent.case.expect != "accept" {
                // Redis has the real time and we do not: what is stale by our clock may be our own fault.
                let right = matches!(
                    (answer.status, answer.outcome()),
                    (401, "unverified" | "stale") | (400, "malformed")
                ) || !redis.is_empty() && (answer.status, answer.outcome()) == (503, "stale");
                assert!(right, "{label}: {} {}", answer.status, answer.outcome());
                assert_eq!(seen.len(), before, "{label} was forwarded");
                refused += 1;
                continue;
            }
            if answer.outcome() == "challenge" {
                assert_eq!((answer.status / 100, seen.len()), (2, before), "{label}");
                answered += 1;
                continue;
            }
            assert_eq!((answer.status, answer.outcome()), (200, "delivered"), "{label}");
            assert_eq!(seen.len(), before + 1, "{label}");
            let got = &seen[before];
            assert!(got.body == sent.case.body(), "{label}: the body changed on its way");
            assert_eq!((&got.method, &got.target), (&sent.case.method, &sent.target), "{label}");
            assert_eq!(
                got.header("hookward-source"),
                Some(format!("v-{n}").as_str()),
                "{label}"
            );
            assert_eq!(got.header("hookward-provider"), Some(sent.provider), "{label}");
            for (name, value) in &sent.case.headers {
                let name = name.to_ascii_lowercase();
                // hyper and we alike drop the space around a value.
                assert_eq!(got.all(&name), [value.trim()], "{label}: {name}");
            }
            delivered += 1;
            // Twilio reads the answer as a command, so it has no ledger unless it is asked for.
            if sent.provider != "twilio" {
                let again = sidecar.send(&sent.request());
                let outcome = (again.status, again.outcome());
                // A doorbell is forwarded each time, and marked.
                if got.header("hookward-repeat") == Some("unknown") {
                    assert_eq!(outcome, (200, "delivered"), "{label} again");
                    continue;
                }
                let right = matches!(outcome, (200, "duplicate") | (409, "replayed"));
                assert!(right, "{label} again: {} {}", again.status, again.outcome());
                assert_eq!(app.seen().len(), before + 1, "{label} was forwarded twice");
            }
        }
    }
    println!("{delivered} delivered, {answered} handshakes answered, {refused} refused");
    assert!(delivered >= 55 && refused >= 55, "{delivered} {refused}");
}

fn all() -> Vec<Sent> {
    let mut list = Vec::new();
    for provider in PROVIDERS {
        let signs_url = matches!(provider, "twilio" | "square");
        let file = format!("{}/tests/vectors/{provider}.json", env!("CARGO_MANIFEST_DIR"));
        for case in read(Path::new(&file)) {
            let host = case.url.find("://").expect("a URL") + 3;
            let path = host + case.url[host..].find('/').expect("a path");
            let (origin, target) = case.url.split_at(path);
            let prefix = if signs_url {
                String::new()
            } else {
                format!("/v{}", list.len())
            };
            list.push(Sent {
                provider,
                origin: origin.to_owned(),
                target: format!("{prefix}{target}"),
                case,
            });
        }
    }
    list
}

/// Vectors that one sidecar can have as sources: no path twice, and all of one time.
fn rounds(mut left: Vec<Sent>) -> Vec<Vec<Sent>> {
    let mut rounds = Vec::new();
    while !left.is_empty() {
        let now = left[0].case.now_unix;
        let mut paths = BTreeSet::new();
        let (round, rest) = left
            .into_iter()
            .partition(|sent| sent.case.now_unix == now && paths.insert(sent.path().to_owned()));
        rounds.push(round);
        left = rest;
    }
    rounds
}

fn yaml(round: &[Sent], app: &App, redis: &str, number: usize) -> String {
    let mut yaml = format!(
        "upstream: {}\nlimits: {{workers: 2, buffered_bytes: 64MiB}}\nsources:\n",
        app.url()
    );
    if !redis.is_empty() {
        yaml.insert_str(0, &format!("redis: {{url: \"{redis}\", namespace: round-{number}}}\n"));
    }
    for (n, sent) in round.iter().enumerate() {
        let secrets: Vec<serde_json::Value> = sent
            .case
            .secrets
            .iter()
            .map(|secret| serde_json::json!({"value": secret, "allow_short": true}))
            .collect();
        write!(
            yaml,
            "  v-{n}:\n    provider: {}\n    path: {}\n    secrets: {}\n",
            sent.provider,
            serde_json::json!(sent.path()),
            serde_json::json!(secrets)
        )
        .expect("a String takes everything");
        if !sent.target.starts_with("/v") {
            writeln!(yaml, "    public_url: {}", sent.origin).expect("a String takes everything");
        }
    }
    yaml
}
