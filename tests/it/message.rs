//! HTTP Message Signatures (RFC 9421) over the wire: HTTP/1.1 and HTTP/2, retries, repeats, and what never reaches the app.

use super::support::{
    App, Request, Script, Sidecar,
    sidecar::NOW,
    signed::{SECRET, hmac_sha256},
};
use bytes::Bytes;
use data_encoding::BASE64;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sha2::{Digest, Sha256};
use std::fmt::Write;

const SOURCES: &str = "
sources:
  partner:
    provider: http-message-signatures
    path: /partner
    public_url: https://hooks.example.com
    secrets: [{env: SECRET}]
  shop:
    provider: custom
    path: /shop
    secrets: [{env: SECRET}]
    verify:
      message_signature: {components: ['@method', '@request-target', content-digest, x-shop]}
      id: header:x-shop
";

/// Signs by hand: what is covered, in order, and further headers that are.
fn signed(target: &str, at: i64, covered: &[&str], headers: &[(&str, &str)], body: &str) -> Request {
    let digest = format!("sha-256=:{}:", BASE64.encode(&Sha256::digest(body.as_bytes())));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut base = String::new();
    for name in covered {
        let value = match *name {
            "@method" => "POST".to_owned(),
            "@authority" => "hooks.example.com".to_owned(),
            "@target-uri" => format!("https://hooks.example.com{target}"),
            "@request-target" => target.to_owned(),
            "@path" => path.to_owned(),
            "@query" => format!("?{query}"),
            "content-digest" => digest.clone(),
            name => {
                let lines = headers.iter().filter(|(known, _)| *known == name);
                lines.map(|(_, value)| value.trim()).collect::<Vec<_>>().join(", ")
            }
        };
        writeln!(base, "\"{name}\": {value}").expect("a String takes everything");
    }
    let names: Vec<String> = covered.iter().map(|name| format!("\"{name}\"")).collect();
    let input = format!("({});created={at};keyid=\"k\"", names.join(" "));
    write!(base, "\"@signature-params\": {input}").expect("a String takes everything");
    let mac = BASE64.encode(&hmac_sha256(SECRET.as_bytes(), &[base.as_bytes()]));
    let mut request = Request::post(target, body)
        .header("Content-Type", "application/json")
        .header("Content-Digest", digest)
        .header("Signature-Input", format!("sig={input}"))
        .header("Signature", format!("sig=:{mac}:"));
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    request
}

const ALL: [&str; 3] = ["@method", "@target-uri", "content-digest"];
const BODY: &str = "{\"type\":\"order.paid\",\"id\":\"o-1\"}";

#[test]
fn a_signed_message_is_delivered_once_however_often_it_is_signed() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    app.script([Script::status(503)]);
    let first = sidecar.send(&signed("/partner?n=1", NOW, &ALL, &[], BODY));
    assert_eq!(first.outcome(), "upstream_failed");
    // A retry is signed anew.
    let again = sidecar.send(&signed("/partner?n=1", NOW + 1, &ALL, &[], BODY));
    assert_eq!((again.status, again.outcome()), (200, "delivered"));
    // The time of a delivered one is known; another time is a new event with the same body, or a re-signed retry.
    let twice = sidecar.send(&signed("/partner?n=1", NOW + 1, &ALL, &[], BODY));
    assert_eq!((twice.status, twice.outcome()), (200, "duplicate"));
    let repeat = sidecar.send(&signed("/partner?n=1", NOW + 2, &ALL, &[], BODY));
    assert_eq!((repeat.status, repeat.outcome()), (200, "delivered"));
    let twice = sidecar.send(&signed("/partner?n=1", NOW + 2, &ALL, &[], BODY));
    assert_eq!((twice.status, twice.outcome()), (200, "duplicate"));
    // Another query is another request: it is covered.
    let other = sidecar.send(&signed("/partner?n=2", NOW, &ALL, &[], BODY));
    assert_eq!(other.outcome(), "delivered");
    let apart = ["@method", "@authority", "@path", "@query", "content-digest", "x-note"];
    let lines = [("x-note", "one"), ("x-note", " two ")];
    let joined = sidecar.send(&signed("/partner?n=3", NOW, &apart, &lines, BODY));
    assert_eq!(joined.outcome(), "delivered");
    let seen = app.seen();
    assert_eq!(seen.len(), 5);
    let marks: Vec<_> = seen.iter().map(|seen| seen.header("hookward-repeat")).collect();
    assert_eq!(marks, [None, None, Some("true"), None, None]);
    for delivered in &seen {
        assert_eq!(delivered.body, BODY.as_bytes());
        assert_eq!(delivered.header("hookward-verified"), Some("signature"));
        assert_eq!(delivered.header("hookward-event"), Some("order.paid"));
        assert!(delivered.header("signature-input").is_some());
    }
}

#[test]
fn what_is_not_signed_so_never_reaches_the_app() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let good = || signed("/partner?n=1", NOW, &ALL, &[], BODY);
    let shop = |headers: &[(&str, &str)]| {
        signed(
            "/shop",
            NOW,
            &["@method", "@request-target", "content-digest", "x-shop"],
            headers,
            BODY,
        )
    };
    let mut longer = good();
    longer.body.push(b' ');
    let length = longer.body.len().to_string();
    for (what, request, status, outcome) in [
        (
            "another body",
            longer.replace("Content-Length", length),
            401,
            "unverified",
        ),
        (
            "another query",
            Request {
                target: "/partner?n=2".to_owned(),
                ..good()
            },
            401,
            "unverified",
        ),
        ("stale", signed("/partner", NOW - 301, &ALL, &[], BODY), 401, "stale"),
        ("ahead", signed("/partner", NOW + 301, &ALL, &[], BODY), 401, "stale"),
        (
            "no body covered",
            signed("/partner", NOW, &ALL[..2], &[], BODY),
            401,
            "unverified",
        ),
        (
            "no query covered",
            signed("/partner?n=1", NOW, &["@method", "@path", "content-digest"], &[], BODY),
            401,
            "unverified",
        ),
        (
            "another digest too",
            good().header("Content-Digest", "sha-512=:AAAA:"),
            401,
            "unverified",
        ),
        (
            "a second signature header",
            good().header("Signature", "sig=:AAAA:"),
            401,
            "unverified",
        ),
        ("no input", good().without("Signature-Input"), 401, "unverified"),
        (
            "an ended header",
            shop(&[("x-shop", "a")]).header("Connection", "close, x-shop"),
            400,
            "malformed",
        ),
        (
            "an ended header that is covered besides",
            signed(
                "/partner",
                NOW,
                &["@method", "@target-uri", "content-digest", "x-note"],
                &[("x-note", "a")],
                BODY,
            )
            .header("Connection", "close, x-note"),
            401,
            "unverified",
        ),
        (
            "another shop",
            shop(&[("x-shop", "a")]).replace("x-shop", "b"),
            401,
            "unverified",
        ),
        ("no shop", shop(&[("x-shop", "a")]).without("x-shop"), 401, "unverified"),
    ] {
        let answer = sidecar.send(&request);
        assert_eq!((answer.status, answer.outcome()), (status, outcome), "{what}");
    }
    assert!(app.seen().is_empty());
    assert_eq!(sidecar.send(&shop(&[("x-shop", "a")])).outcome(), "delivered");
    let logged = sidecar.logged();
    for said in [
        "does not cover `content-digest`",
        "`content-digest` is the digest of another body",
    ] {
        assert!(logged.contains(said), "{said}: {logged}");
    }
    assert!(!logged.contains("AAAA"), "a signature is in the log");
}

#[test]
fn http_2_signs_the_same_message() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, SOURCES);
    let to = sidecar.addresses.webhooks;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(to).await.expect("it listens");
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("it speaks HTTP/2");
        let driver = tokio::spawn(connection);
        let lines = [("x-list", "a"), ("x-list", "b")];
        let covered = ["@method", "@target-uri", "content-digest", "x-list"];
        let good = signed("/partner?n=1", NOW, &covered, &lines, BODY);
        let forged = good.clone().replace("x-list", "a");
        for (signed, wanted) in [(forged, (401, "unverified")), (good, (200, "delivered"))] {
            let mut request = http::Request::post(format!("http://hooks.example.com{}", signed.target));
            for (name, value) in &signed.headers {
                if !matches!(name.as_str(), "Host" | "Content-Length") {
                    request = request.header(name, value);
                }
            }
            let request = request.body(Full::new(Bytes::from(signed.body))).expect("a request");
            let response = sender.send_request(request).await.expect("an answer");
            let outcome = response.headers()["hookward-outcome"].to_str().expect("a word");
            assert_eq!((response.status().as_u16(), outcome), wanted);
        }
        drop(sender);
        driver.abort();
    });
    assert_eq!(app.seen().len(), 1);
}
