//! `WWW-Authenticate` of a 401: the credential that a sender is asked for.

use super::support::{
    App, Request, Sidecar,
    signed::{self, GITHUB, push},
};

const SOURCES: &str = "
sources:
  cron:
    provider: token
    path: /bearer
    secrets: [{env: TOKEN}]
  header:
    provider: token
    path: /header
    secrets: [{env: TOKEN}]
    settings: {header: x-token}
  query:
    provider: token
    path: /query
    secrets: [{env: TOKEN}]
    settings: {query: token}
  gitlab:
    provider: gitlab-token
    path: /gitlab
    secrets: [{env: TOKEN}]
  basic:
    provider: custom
    path: /basic
    secrets: [{value: \"sender:a long password\"}]
    verify: {algorithm: basic, signature: {from: \"header:Authorization\", prefix: \"Basic \"}}
  scheme:
    provider: custom
    path: /scheme
    secrets: [{env: TOKEN}]
    verify: {algorithm: token, signature: {from: \"header:Authorization\", prefix: \"Token \"}}
  jwt:
    provider: custom
    path: /jwt
    secrets: [{env: SECRET}]
    verify: {algorithm: jwt-hs256, signature: {from: \"header:Authorization\", prefix: \"Bearer \"}}
";

#[test]
fn every_refusal_of_a_token_or_basic_source_says_which_credential_is_wanted() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    for (path, challenge) in [
        ("/bearer", "Bearer"),
        ("/header", "ApiKey realm=\"hookward\""),
        ("/query", "ApiKey realm=\"hookward\""),
        ("/gitlab", "ApiKey realm=\"hookward\""),
        ("/basic", "Basic realm=\"hookward\""),
        ("/scheme", "Token"),
        ("/jwt", "Bearer"),
    ] {
        let request = || Request::post(path, "{}");
        let causes = [
            request(),
            request().header("Authorization", ""),
            request().header("Authorization", "Bearer wrong"),
            request().header("Authorization", "Basic d3Jvbmc6d3Jvbmc="),
            request()
                .header("Authorization", "Token wrong")
                .header("Authorization", "Token wrong"),
            request().header("X-Token", "wrong").header("X-Gitlab-Token", "wrong"),
            Request::post(&format!("{path}?token=wrong"), "{}"),
            Request::post(&format!("{path}?token=a&token=b"), "{}"),
        ];
        for request in causes {
            let answer = sidecar.send(&request);
            assert_eq!(
                (answer.status, answer.outcome()),
                (401, "unverified"),
                "{path} {:?}",
                request.headers
            );
            assert_eq!(
                answer.header("www-authenticate"),
                Some(challenge),
                "{path} {:?}",
                request.headers
            );
        }
    }
    assert!(app.seen().is_empty());
    let good = Request::post("/bearer", "{}").header("Authorization", format!("Bearer {}", signed::TOKEN));
    let answer = sidecar.send(&good);
    assert_eq!(
        (answer.outcome(), answer.header("www-authenticate")),
        ("delivered", None)
    );
}

#[test]
fn no_credential_is_asked_for_where_a_signature_proves_the_sender() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, GITHUB);
    let answer = sidecar.send(&push(1).without("X-Hub-Signature-256"));
    assert_eq!(
        (answer.outcome(), answer.header("www-authenticate")),
        ("unverified", None)
    );
}
