//! Mistakes that people make with webhooks: one each, and `explain` must name its cause and nothing secret.

use crate::program::Folder;
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fmt::Write;

const SECRET: &str = "the phrase of the mistakes";
const BODY: &str = "{\"id\":\"evt_1\",\"type\":\"invoice.paid\",\"amount\":1999}";
const OTHER: &str = "the phrase of another source";
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
    /// `public_url` and other keys of the source, and further sources.
    more: &'static str,
    others: &'static str,
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
        more: "",
        others: "",
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
        more: "",
        others: "",
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
        more: ", public_url: \"https://hooks.example.com\"",
        others: "",
    }
}

/// As Square sends it to `origin`, which is configured with a port.
fn square(origin: &str, told: &'static str) -> Mistake {
    let signed = format!("{origin}/in/square{BODY}");
    let mac = BASE64.encode(&sha256(SECRET.as_bytes(), &[signed.as_bytes()]));
    Mistake {
        provider: "square",
        secret: SECRET.to_owned(),
        told,
        head: format!("X-Square-HmacSha256-Signature: {mac}"),
        body: BODY.into(),
        more: ", public_url: \"https://hooks.example.com:9443\"",
        others: "",
    }
}

/// A message that is signed as RFC 9421 says: `covered` beside the method and the target, with these parameters.
fn message(covered: &[&str], params: &str, digested: &str, told: &'static str) -> Mistake {
    let digest = format!("sha-256=:{}:", BASE64.encode(&Sha256::digest(digested.as_bytes())));
    let mut base = String::new();
    let mut names = Vec::new();
    for name in covered {
        let value = match *name {
            "@method" => "POST",
            "@target-uri" => "https://hooks.example.com/in/http-message-signatures",
            "content-digest" => digest.as_str(),
            other => panic!("{other}"),
        };
        writeln!(base, "\"{name}\": {value}").expect("a String takes everything");
        names.push(format!("\"{name}\""));
    }
    let input = format!("({}){params}", names.join(" "));
    write!(base, "\"@signature-params\": {input}").expect("a String takes everything");
    let mac = BASE64.encode(&sha256(SECRET.as_bytes(), &[base.as_bytes()]));
    Mistake {
        provider: "http-message-signatures",
        secret: SECRET.to_owned(),
        told,
        head: format!("Content-Digest: {digest}\r\nSignature-Input: sig1={input}\r\nSignature: sig1=:{mac}:"),
        body: BODY.into(),
        more: ", public_url: \"https://hooks.example.com\"",
        others: "",
    }
}

/// Those of RFC 9421.
fn messages() -> Vec<Mistake> {
    let all = ["@method", "@target-uri", "content-digest"];
    let created = ";created=1760000000";
    let good = || message(&all, created, BODY, "");
    vec![
        message(&all[..2], created, BODY, "does not cover `content-digest`"),
        message(&all[1..], created, BODY, "does not cover `@method`"),
        message(&all, created, "{\"id\":\"evt_2\"}", "is the digest of another body"),
        message(&all, created, &format!("{BODY}\n"), "with a newline at its end"),
        message(&all, ";created=1759990000", BODY, "signed 10000 s ago, tolerance 300 s"),
        message(&all, ";created=1760010000", BODY, "in the future, tolerance 300 s"),
        message(
            &all,
            ";created=1759999900;expires=1759999990",
            BODY,
            "`expires` was 10 s ago",
        ),
        message(&all, "", BODY, "no `created`"),
        message(&all, ";created=1760000000;alg=\"ed25519\"", BODY, "another algorithm"),
        Mistake {
            more: ", public_url: \"http://hooks.example.com\"",
            told: "the other scheme",
            ..good()
        },
        Mistake {
            more: ", public_url: \"https://hooks.example.com:8443\"",
            told: "no port",
            ..good()
        },
        Mistake {
            more: "",
            told: "`public_url` is missing",
            ..good()
        },
        Mistake {
            more: ", settings: {label: sig2}",
            told: "the label, tag or keyid that is meant",
            ..good()
        },
        Mistake {
            head: "Signature: keyId=\"k\",algorithm=\"hs2019\",headers=\"(request-target)\",signature=\"AAAA\""
                .to_owned(),
            told: "of the older draft",
            ..good()
        },
    ]
}

/// Those about the secret.
fn of_secrets() -> Vec<Mistake> {
    let secret = SECRET.as_bytes();
    let encoded = BASE64.encode(secret);
    vec![
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
        Mistake {
            others: "  staging: {provider: github, path: /in/staging, secrets: [{file: other}]}\n",
            ..github(
                OTHER.as_bytes(),
                BODY,
                BODY,
                SECRET,
                "it matches a secret of source `staging`",
            )
        },
        Mistake {
            others: "  shop: {provider: stripe, path: /in/shop, secrets: [{file: other}]}\n",
            head: stripe(OTHER.as_bytes(), NOW, "").head,
            ..github(
                OTHER.as_bytes(),
                BODY,
                BODY,
                SECRET,
                "it is a right request of source `shop`",
            )
        },
        Mistake {
            body: b"{\"id\":\"evt_1\",\"livemode\":false}".to_vec(),
            ..stripe(secret, NOW, "the event is of test mode")
        },
    ]
}

/// Those about the body.
fn of_bodies() -> Vec<Mistake> {
    let secret = SECRET.as_bytes();
    let minified = BODY;
    let indented = "{\n  \"id\": \"evt_1\",\n  \"type\": \"invoice.paid\",\n  \"amount\": 1999\n}";
    let unicode = "{\"name\":\"J\u{f6}rg \u{1f40e}\"}";
    let escaped = "{\"name\":\"J\\u00f6rg \\ud83d\\udc0e\"}";
    let form = "payload=%7B%22id%22%3A%22evt_1%22%2C%22type%22%3A%22invoice.paid%22%2C%22amount%22%3A1999%7D";
    let packed = [&[0x1f_u8, 0x8b, 8, 0][..], &[0; 24]].concat();
    vec![
        github(secret, unicode, escaped, SECRET, "escapes decoded"),
        github(secret, escaped, unicode, SECRET, "every character beyond ASCII escaped"),
        github(
            secret,
            "{\"a\":\"b\\/c\"}",
            "{\"a\":\"b/c\"}",
            SECRET,
            "as PHP writes it",
        ),
        github(secret, BODY, form, SECRET, "the value of the form field"),
        github(secret, form, BODY, SECRET, "as the form that it was sent in"),
        github(secret, BODY, packed, SECRET, "the body is compressed"),
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
    ]
}

/// Those about headers, clock and URL.
fn of_heads() -> Vec<Mistake> {
    let secret = SECRET.as_bytes();
    let right = format!(
        "X-Hub-Signature-256: sha256={}",
        HEXLOWER.encode(&sha256(secret, &[BODY.as_bytes()]))
    );
    let sha1_only = format!(
        "X-Hub-Signature: sha1={}",
        HEXLOWER.encode(&sha1(secret, BODY.as_bytes()))
    );
    let standard = BASE64.encode(&sha256(secret, &[b"msg_1.1760000000.", BODY.as_bytes()]));
    vec![
        // the headers
        headed("X-GitHub-Event: push", "a proxy drops it"),
        headed(
            &right.replace("X-Hub-Signature-256", "X-Original-Hub-Signature-256"),
            "but there is `x-original-hub-signature-256`",
        ),
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
        Mistake {
            more: ", public_url: \"http://hooks.example.com\"",
            ..twilio("https://hooks.example.com/in/twilio", "the other scheme")
        },
        square("https://hooks.example.com", "no port"),
    ]
}

fn mistakes() -> Vec<Mistake> {
    [of_secrets(), of_bodies(), of_heads(), messages()]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn the_cause_of_every_classic_mistake_is_named_and_nothing_secret_with_it() {
    let mistakes = mistakes();
    assert!(mistakes.len() >= 45);
    for (number, mistake) in mistakes.iter().enumerate() {
        let Mistake {
            provider,
            secret,
            told,
            head,
            body,
            more,
            others,
        } = mistake;
        let folder = Folder::with_sources(&format!(
            "  it: {{provider: {provider}, path: /in/{provider}{more}, secrets: [{{file: key}}]}}\n{others}"
        ));
        folder.write("key", secret);
        folder.write("other", OTHER);
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
            for hidden in [SECRET, OTHER, secret.trim(), right.as_str(), &right[..16]] {
                assert!(!ended.stdout.contains(hidden), "{which}");
            }
            if output == "json" {
                let verdict = ended.json();
                let outcome = if told.contains(" ago") || told.contains("future") {
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
