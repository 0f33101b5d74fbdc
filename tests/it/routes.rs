//! A prefix path takes nothing that an app could read as another source's path.

use super::support::{
    App, Request, Sidecar,
    signed::{self},
};

const SOURCES: &str = "
sources:
  github: {provider: github, path: /webhooks/github, secrets: [{env: SECRET}]}
  odd: {provider: github, path: \"/webhooks/Odd;v=1/\", secrets: [{env: SECRET}]}
  accent: {provider: github, path: /webhooks/caf%C3%A9, secrets: [{env: SECRET}]}
  stripe: {provider: stripe, path: /webhooks/stripe/*, secrets: [{env: SECRET}]}
  legacy: {provider: none, path: /webhooks/*, allow_unverified: true}
  other: {provider: none, path: /Other/*, allow_unverified: true}
";

#[test]
fn a_prefix_takes_nothing_that_reads_as_another_sources_path() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let ended = |path: &str| {
        let answer = sidecar.send(&Request::post(path, "{}"));
        (answer.status, answer.outcome().to_owned())
    };
    for path in [
        "/webhooks/%67ithub",
        "/webhooks/githu%62",
        "/%77ebhooks/github",
        "/webhooks/git%2Dhub",
        "/webhooks/x%7e",
    ] {
        assert_eq!(ended(path), (400, "malformed".to_owned()), "{path}");
    }
    for path in [
        "/webhooks/github/",
        "/webhooks/GitHub",
        "/webhooks/github;x",
        "/webhooks/github;x=1;y/",
        "/webhooks/GITHUB;a/;b",
        "/webhooks/;x/github",
        "/webhooks/github/;x/",
        "/webhooks/github%3Bx",
        "/webhooks/github.json",
        "/webhooks/GITHUB.xml/;x",
        "/webhooks/odd",
        "/webhooks/Odd;v=2",
        "/webhooks/caf%c3%a9",
        "/webhooks/CAF%C3%89/",
        "/webhooks/Stripe/x",
        "/webhooks/stripe;v=1/x",
        "/webhooks/STRIPE/x;y/",
    ] {
        assert_eq!(ended(path), (404, "no_source".to_owned()), "{path}");
    }
    assert!(app.seen().is_empty());
    // All other paths below the prefix are its own.
    for path in [
        "/webhooks/githubs",
        "/webhooks/github/x",
        "/webhooks/git;hub",
        "/webhooks/github.x/y",
        "/webhooks/.github",
        "/webhooks/x%20y",
        "/Other/webhooks/github",
    ] {
        assert_eq!(ended(path), (200, "delivered".to_owned()), "{path}");
    }
}

#[test]
fn an_exact_path_keeps_matching_exactly() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    for (n, path) in ["/webhooks/github", "/webhooks/Odd;v=1/", "/webhooks/caf%C3%A9"]
        .iter()
        .enumerate()
    {
        let push = signed::github(path, &format!("d-{n}"), n.to_string().as_bytes());
        assert_eq!(sidecar.send(&push).outcome(), "delivered", "{path}");
    }
    assert_eq!(
        sidecar
            .send(&signed::github("/webhooks/caf%C3%A9?a=%67", "d-9", b"9"))
            .outcome(),
        "delivered"
    );
}
