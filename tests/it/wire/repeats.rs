//! Rows 66 to 70, 75 and 78: what is authentic, and still not forwarded, or forwarded once more.

use super::super::support::{
    Request,
    sidecar::NOW,
    signed::{SECRET, TOKEN, github, github_event, hmac_sha256, standard, stripe},
};
use super::case::{After, Piece, Table};
use data_encoding::HEXLOWER;

/// Slack's signature, which also proves its handshake.
fn slack(at: i64, body: &[u8]) -> Request {
    let mac = hmac_sha256(SECRET.as_bytes(), &[format!("v0:{at}:").as_bytes(), body]);
    Request::post("/slack", body)
        .header("Content-Type", "application/json")
        .header("X-Slack-Request-Timestamp", at.to_string())
        .header("X-Slack-Signature", format!("v0={}", HEXLOWER.encode(&mac)))
}

pub fn repeats(t: &mut Table) {
    // An honest sender of these signs every attempt anew: the very signature once more is a replay.
    let first = Piece::of(&standard("/standard", "msg_r1", NOW, b"{\"n\":1}"));
    t.passes(66, "standard-webhooks, the first time", &first);
    t.answered(66, "standard-webhooks, byte by byte", &first, (409, "replayed"));
    t.answered(
        66,
        "standard-webhooks, signed anew",
        &Piece::of(&standard("/standard", "msg_r1", NOW + 1, b"{\"n\":1}")),
        (200, "duplicate"),
    );
    t.answered(66, "standard-webhooks, byte by byte, again", &first, (409, "replayed"));
    let first = Piece::of(&stripe("/stripe", NOW, b"{\"id\":\"evt_r1\",\"type\":\"x\"}"));
    t.passes(66, "stripe, the first time", &first);
    t.answered(66, "stripe, byte by byte", &first, (409, "replayed"));
    // An honest retry of these is the same bytes.
    let first = Piece::of(&github("/github", "r-1", b"{\"r\":1}"));
    t.passes(66, "github, the first time", &first);
    t.answered(66, "github, byte by byte", &first, (200, "duplicate"));
    t.say(
        67,
        "older than the window, delivered before",
        &Piece::of(&standard("/standard", "msg_r1", NOW - 301, b"{\"n\":1}")),
        &[(401, "stale")],
        false,
        After::Serves,
    );
    t.answered(
        68,
        "github, a new unsigned id",
        &Piece::of(&github("/github", "r-2", b"{\"r\":1}")),
        (409, "conflict"),
    );
    let ping = b"{\"zen\":\"Speak like a human.\",\"hook_id\":1,\"hook\":{\"type\":\"Repository\"}}";
    for id in ["r-3", "r-4"] {
        let piece = Piece::of(&github_event("/github", "ping", id, ping));
        t.passes(68, "a body that may honestly repeat", &piece);
    }
    // The label is not signed, so it is not part of the key: content is delivered once, and another label is a conflict.
    t.passes(
        69,
        "a push relabelled as ping",
        &Piece::of(&github_event("/github", "ping", "r-5", b"{\"r\":5}")),
    );
    t.answered(
        69,
        "relabelled, under another id",
        &Piece::of(&github_event("/github", "ping", "r-6", b"{\"r\":5}")),
        (409, "conflict"),
    );
    t.answered(
        69,
        "the same content as a push",
        &Piece::of(&github("/github", "r-5", b"{\"r\":5}")),
        (409, "conflict"),
    );
    for (path, what) in [("/github", "one source"), ("/github/other", "another with its secret")] {
        t.passes(70, what, &Piece::of(&github(path, "r-7", b"{\"r\":7}")));
    }
}

pub fn handshakes(t: &mut Table) {
    let asked = br#"{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV","type":"url_verification"}"#;
    let good = slack(NOW, asked);
    t.answered(75, "slack", &Piece::of(&good), (200, "challenge"));
    let signature = good.headers.last().expect("signed").1.clone();
    for (what, request) in [
        ("unsigned", good.clone().without("X-Slack-Signature")),
        (
            "signed for another body",
            Request {
                body: [&asked[..], b" "].concat(),
                ..good.clone().replace("Content-Length", (asked.len() + 1).to_string())
            },
        ),
        ("cut", good.clone().replace("X-Slack-Signature", &signature[..60])),
    ] {
        t.other(75, what, &request, 401);
    }
    let long = format!(
        r#"{{"token":"t","challenge":"{}","type":"url_verification"}}"#,
        "c".repeat(2000)
    );
    t.other(75, "an answer of 2 kB", &slack(NOW, long.as_bytes()), 401);
    let mode = "hub.mode=subscribe&hub.challenge";
    for (query, said) in [
        (
            format!("{mode}=77&hub.verify_token={}", TOKEN.replace(' ', "%20")),
            (200, "challenge"),
        ),
        (format!("{mode}=77&hub.verify_token=x"), (401, "unverified")),
        (format!("{mode}=77"), (401, "unverified")),
        (
            format!("{mode}=%3Cscript%3E&hub.verify_token={}", TOKEN.replace(' ', "%20")),
            (401, "unverified"),
        ),
    ] {
        let request = Request::get(&format!("/instagram?{query}"));
        t.say(75, &query, &Piece::of(&request), &[said], false, After::Either);
    }
}

pub fn limits(t: &mut Table) {
    for (n, id) in ["l-1", "l-2", "l-3"].into_iter().enumerate() {
        let piece = Piece::of(&github("/limited", id, format!("{{\"l\":{n}}}").as_bytes()));
        if n == 0 {
            t.passes(78, "within the rate", &piece);
        } else {
            t.off(78, "beyond the rate", &piece, 429);
        }
    }
    // What is no new delivery spends none of it, and a source beside it feels nothing: the second request shows it.
    t.answered(
        78,
        "a repeat beyond the rate",
        &Piece::of(&github("/limited", "l-1", b"{\"l\":0}")),
        (200, "duplicate"),
    );
}
