//! Mistakes that people make with webhooks: one each, and `explain` must name its cause and nothing secret.

use crate::program::Folder;
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

const SECRET: &str = "the phrase of the mistakes";
const BODY: &str = "{\"id\":\"evt_1\",\"type\":\"invoice.paid\",\"amount\":1999}";
const NOW: &str = "1760000000";

/// A request that arrived, under a configuration.
struct Mistake {
    provider: &'static str,
    /// As configured.
    secret: String,
    /// What `explain` must say.
    told: &'static str,
    head: String,
    body: Vec<u8>,
}

fn sha256(secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret).expect("any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn sha1(secret: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(secret).expect("any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// As GitHub sends it: signed with `secret` over `signed`, and `body` is what arrived.
fn github(secret: &[u8], signed: &str, body: impl AsRef<[u8]>, configured: &str, told: &'static str) -> Mistake {
    let mac = HEXLOWER.encode(&sha256(secret, &[signed.as_bytes()]));
    Mistake {
        provider: "github",
        secret: configured.to_owned(),
        told,
        head: format!("X-GitHub-Event: push\r\nX-Hub-Signature-256: sha256={mac}"),
        body: body.as_ref().to_vec(),
    }
}

/// GitHub's, with another head.
fn headed(head: &str, told: &'static str) -> Mistake {
    Mistake {
        head: head.to_owned(),
        ..github(SECRET.as_bytes(), BODY, BODY, SECRET, told)
    }
}

/// As Stripe sends it: `time` is signed.
fn stripe(secret: &[u8], time: &str, told: &'static str) -> Mistake {
    let mac = HEXLOWER.encode(&sha256(secret, &[time.as_bytes(), b".", BODY.as_bytes()]));
    Mistake {
        provider: "stripe",
        secret: SECRET.to_owned(),
        told,
        head: format!("Stripe-Signature: t={time},v1={mac}"),
        body: BODY.into(),
    }
}

/// As Twilio sends it to `url`.
fn twilio(url: &str, told: &'static str) -> Mistake {
    let mac = BASE64.encode(&sha1(SECRET.as_bytes(), format!("{url}A1B2").as_bytes()));
    Mistake {
        provider: "twilio",
        secret: SECRET.to_owned(),
        told,
        head: format!("Content-Type: application/x-www-form-urlencoded\r\nX-Twilio-Signature: {mac}"),
        body: b"B=2&A=1".to_vec(),
    }
}

fn mistakes() -> Vec<Mistake> {
    let secret = SECRET.as_bytes();
    let encoded = BASE64.encode(secret);
    let right = format!(
        "X-Hub-Signature-256: sha256={}",
        HEXLOWER.encode(&sha256(secret, &[BODY.as_bytes()]))
    );
    let sha1_only = format!(
        "X-Hub-Signature: sha1={}",
        HEXLOWER.encode(&sha1(secret, BODY.as_bytes()))
    );
    let standard = BASE64.encode(&sha256(secret, &[b"msg_1.1760000000.", BODY.as_bytes()]));
    let minified = BODY;
    let indented = "{\n  \"id\": \"evt_1\",\n  \"type\": \"invoice.paid\",\n  \"amount\": 1999\n}";
    vec![
        // the secret
        github(
            b"the phrase of another endpoint",
            BODY,
            BODY,
            SECRET,
            "the secret is another one",
        ),
        github(
            format!("{SECRET}\n").as_bytes(),
            BODY,
            BODY,
            SECRET,
            "ends with a newline",
        ),
        github(
            secret,
            BODY,
            BODY,
            &format!("{SECRET} "),
            "without the blanks or line ends",
        ),
        github(secret, BODY, BODY, &encoded, "base64-decoded"),
        github(secret, BODY, BODY, &HEXLOWER.encode(secret), "hex-decoded"),
        Mistake {
            provider: "stripe",
            secret: format!("whsec_{encoded}"),
            ..stripe(secret, NOW, "without `whsec_`")
        },
        // the body
        github(secret, minified, indented, SECRET, "after removing the blanks"),
        github(secret, indented, minified, SECRET, "as indented JSON (2 spaces)"),
        github(secret, "a\r\nb\r\n", "a\nb\n", SECRET, "CRLF instead of LF"),
        github(
            secret,
            BODY,
            format!("{BODY}\n"),
            SECRET,
            "without the white space at its end",
        ),
        github(secret, BODY, "{\"id\":\"evt_2\"}", SECRET, "the secret is another one"),
        // the headers
        headed("X-GitHub-Event: push", "a proxy drops it"),
        headed(&sha1_only, "only the SHA-1 header"),
        headed(&format!("{right}\r\n{right}"), "came more than once"),
        headed(&right[..right.len() - 10], "cut off"),
        headed(
            &format!("webhook-id: msg_1\r\nwebhook-timestamp: {NOW}\r\nwebhook-signature: v1,{standard}"),
            "this looks like a request of",
        ),
        headed(&format!("{right}0\r\nContent-Encoding: gzip"), "hex digits"),
        // the clock
        stripe(secret, "1759990000", "signed 10000 s ago, tolerance 300 s"),
        stripe(secret, "1760010000", "in the future"),
        stripe(secret, "1760000000000", "in the future"),
        // the URL
        twilio("http://hooks.example.com/in/twilio", "the other scheme"),
        twilio("https://127.0.0.1/in/twilio", "the host `127.0.0.1`"),
        twilio("https://hooks.example.com/in/twilio/", "the other end of the path"),
    ]
}

#[test]
fn the_cause_of_every_classic_mistake_is_named_and_nothing_secret_with_it() {
    let mistakes = mistakes();
    assert!(mistakes.len() >= 15);
    for (number, mistake) in mistakes.iter().enumerate() {
        let Mistake {
            provider,
            secret,
            told,
            head,
            body,
        } = mistake;
        let public_url = if *provider == "twilio" {
            ", public_url: \"https://hooks.example.com\""
        } else {
            ""
        };
        let folder = Folder::with_sources(&format!(
            "  it: {{provider: {provider}, path: /in/{provider}{public_url}, secrets: [{{file: key}}]}}\n"
        ));
        folder.write("key", secret);
        let length = body.len();
        let mut request =
            format!("POST /in/{provider} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n")
                .into_bytes();
        request.extend_from_slice(body);
        folder.write("request", &request);
        for output in ["text", "json"] {
            let ended = folder.run(&["explain", "it", "--request", "request", "--at", NOW, "-o", output]);
            let which = format!("mistake {number}, {provider}, {told}:\n{}", ended.stdout);
            assert_eq!(ended.code, 1, "{which}{}", ended.stderr);
            assert!(ended.stdout.contains(told), "{which}");
            let right = HEXLOWER.encode(&sha256(secret.as_bytes(), &[body]));
            for hidden in [SECRET, secret.trim(), right.as_str(), &right[..16]] {
                assert!(!ended.stdout.contains(hidden), "{which}");
            }
            if output == "json" {
                let verdict = ended.json();
                let outcome = if told.contains("ago") || told.contains("future") {
                    "stale"
                } else {
                    "unverified"
                };
                assert_eq!(
                    (&verdict["outcome"], &verdict["verified"]),
                    (&outcome.into(), &false.into()),
                    "{which}"
                );
                assert_eq!(verdict["signature_ok"], outcome == "stale", "{which}");
            }
        }
    }
}
