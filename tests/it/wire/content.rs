//! Rows 57 to 65 and 74: bodies that were changed, sizes, times and ids.

use super::super::support::{
    sidecar::NOW,
    signed::{standard, stripe},
};
use super::case::{After, Piece, Table};

/// What gzip makes of 100,000 zeros.
fn gzipped() -> Vec<u8> {
    let (head, tail) = (
        b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xed\xc1\x31\x01\0\0\0\xc2\xa0\xf5\x4f\x6d\x0d\x0f\xa0",
        b"\x80\x57\x03\x7d\x95\x11\xd4\xa0\x86\x01\0",
    );
    [&head[..], &[0; 132 - 27 - 11], &tail[..]].concat()
}

/// Bodies whose end comes in chunks, which HTTP/2 does not have.
pub fn sizes(t: &mut Table) {
    let small = |n: usize, length| {
        let piece = Piece::new(n, &vec![b'7'; length]).start("POST /small HTTP/1.1");
        piece.chunks()
    };
    t.passes(60, "at the limit, in chunks", &small(60_011, 64));
    t.refused(60, "a byte more, in chunks", &small(60_012, 65), 413);
    t.refused(60, "far more, in chunks", &small(60_013, 100_000), 413);
    let p = small(60_014, 0).payload(b"ffffffffffffff\r\n6");
    t.refused(60, "a chunk that says it is endless", &p, 413);
}

/// Documents that are read for id and event, and are no document that everybody reads alike.
pub fn documents(t: &mut Table) {
    let deep = format!("{{\"id\":\"evt_j5\",\"type\":\"x\",\"a\":{}", "[".repeat(50_000));
    for (what, body, status) in [
        ("two ids", "{\"id\":\"evt_j1\",\"id\":\"evt_j2\",\"type\":\"x\"}", 400),
        ("two types", "{\"id\":\"evt_j3\",\"type\":\"x\",\"type\":\"y\"}", 400),
        (
            "the same id twice",
            "{\"id\":\"evt_j4\",\"type\":\"x\",\"id\":\"evt_j4\"}",
            400,
        ),
        (
            "an escaped key",
            "{\"\\u0069d\":\"evt_j6\",\"id\":\"evt_j7\",\"type\":\"x\"}",
            400,
        ),
        (
            "two of what is not read",
            "{\"id\":\"evt_j8\",\"type\":\"x\",\"a\":1,\"a\":2}",
            200,
        ),
        ("1e400", "{\"id\":\"evt_j9\",\"type\":\"x\",\"a\":1e400}", 200),
        (
            "a huge integer",
            "{\"id\":\"evt_j10\",\"type\":\"x\",\"a\":123456789012345678901234567890}",
            200,
        ),
        (
            "a number for an id",
            "{\"id\":123456789012345678901234567890,\"type\":\"x\"}",
            200,
        ),
        ("no document", "{\"id\":", 200),
        ("50,000 deep", &deep, 200),
    ] {
        t.other(61, what, &stripe("/stripe", NOW, body.as_bytes()), status);
    }
}

pub fn content(t: &mut Table) {
    for sent in [
        &b"{\"n\": 1}"[..],
        b"{\"n\":1} ",
        b"\xef\xbb\xbf{\"n\":1}",
        b"{\"n\":1}\r\n",
        b"{\"n\":\t1}",
        b"{\"n\":1.0}",
        b"",
    ] {
        let mut p = Piece::new(0, b"{\"n\":1}");
        p.length = format!("Content-Length: {}\r\n", sent.len()).into_bytes();
        t.off(57, &String::from_utf8_lossy(sent), &p.payload(sent), 401);
    }
    for (n, body) in [
        &b"\xff\xfe\0"[..],
        b"\0",
        b"a\r\nb",
        b"{\"\\u00e9\":1}",
        b"\xc3\x28",
        b"{\"a\":1,\"a\":2}",
        b"1e400",
        b"[[[[[[[[[[[[[[",
    ]
    .into_iter()
    .enumerate()
    {
        t.passes(58, &String::from_utf8_lossy(body), &Piece::new(50_000 + n, body));
    }
    let p = t.good().more(b"Content-Encoding: gzip\r\n");
    t.passes(59, "content-encoding", &p);
    // 100 kB of zeros; it goes on as it came.
    let bomb = Piece::new(59_000, &gzipped()).more(b"Content-Encoding: gzip\r\n");
    t.passes(59, "what gzip makes of 100 kB", &bomb);
    t.off(
        59,
        "the same, of another body",
        &bomb.signature(Some(b"sha256=00")),
        401,
    );
    for length in ["999999999", "1099511627776"] {
        let p = t.good().length(format!("Content-Length: {length}\r\n").as_bytes());
        t.refused(60, length, &p, 413);
    }
    // This source takes 64 bytes.
    let small = |n: usize, length| Piece::new(n, &vec![b'6'; length]).start("POST /small HTTP/1.1");
    t.passes(60, "at the limit", &small(60_001, 64));
    t.refused(60, "a byte more, declared", &small(60_002, 65), 413);
    t.refused(60, "far more, declared", &small(60_003, 100_000), 413);
    t.refused(
        60,
        "far more and forged",
        &small(60_004, 100_000).signature(Some(b"sha256=00")),
        413,
    );
}

/// Signatures that bear their time, and ids that are signed with it.
pub fn times(t: &mut Table) {
    let body = b"{\"id\":\"evt_w1\",\"type\":\"x\"}";
    let good = stripe("/stripe", NOW, body);
    let value = good.headers.last().expect("signed").1.clone();
    let v1 = value.split("v1=").nth(1).expect("signed").to_owned();
    for (row, form) in [
        (44, format!("t={NOW},t={NOW},v1={v1}")),
        (44, format!("t={NOW},v1=")),
        (44, format!("t = {NOW}, v1 = {v1}")),
        (45, format!("t={NOW},v0={v1}")),
        (44, format!("t={NOW}{},v1={v1}", ",v1=00".repeat(40))),
        (62, format!("v1={v1}")),
        (62, format!("t=,v1={v1}")),
        (62, format!("t=+{NOW},v1={v1}")),
        (62, format!("t=0{NOW},v1={v1}")),
        (62, format!("t={NOW}.0,v1={v1}")),
        (62, format!("t={NOW}000,v1={v1}")),
        (62, format!("t=-9223372036854775808,v1={v1}")),
        (62, format!("t=99999999999999999999,v1={v1}")),
        (62, format!("t=abc,v1={v1}")),
        (64, format!("t={NOW},v1={v1}\r\nStripe-Signature: t={NOW},v1={v1}")),
    ] {
        t.other(row, &form, &good.clone().replace("Stripe-Signature", &form), 401);
    }
    for (what, at) in [
        ("301 s old", NOW - 301),
        ("an hour old", NOW - 3600),
        ("an hour ahead", NOW + 3600),
        ("at zero", 0),
    ] {
        let piece = Piece::of(&stripe("/stripe", at, body));
        t.say(63, what, &piece, &[(401, "stale")], false, After::Either);
    }
    t.other(
        44,
        "order is free",
        &good.clone().replace("Stripe-Signature", format!("v1={v1},t={NOW}")),
        200,
    );
    let good = standard("/standard", "msg_1", NOW, b"{\"n\":1}");
    for (row, name, value) in [
        (47, "webhook-signature", "v1,"),
        (47, "webhook-signature", "v1"),
        (47, "webhook-signature", ""),
        (45, "webhook-signature", "v2,AAAA"),
        (62, "webhook-timestamp", ""),
        (62, "webhook-timestamp", "+1760000000"),
        (62, "webhook-timestamp", "01760000000"),
        (62, "webhook-timestamp", "1760000000.0"),
        (63, "webhook-timestamp", "1759990000"),
        (63, "webhook-timestamp", "1760009000"),
        (65, "webhook-id", "msg_2"),
        (65, "webhook-id", ""),
        (74, "webhook-id", "{x}"),
    ] {
        t.other(
            row,
            &format!("{name}: {value}"),
            &good.clone().replace(name, value),
            401,
        );
    }
    t.other(
        64,
        "two timestamps",
        &good.clone().header("webhook-timestamp", NOW.to_string()),
        401,
    );
    t.other(74, "two ids", &good.clone().header("webhook-id", "msg_1"), 401);
    t.other(
        74,
        "a long id",
        &standard("/standard", &"i".repeat(257), NOW, b"{\"n\":1}"),
        401,
    );
    t.other(
        65,
        "dots in an id",
        &standard("/standard", "msg.1.2", NOW, b"{\"n\":1}"),
        200,
    );
    for form in ["url alphabet", "no padding", "space"] {
        let value = good.headers.last().expect("signed").1.clone();
        let value = match form {
            "no padding" => value.trim_end_matches('=').to_owned(),
            "space" => value.replace("v1,", "v1, "),
            _ => format!("v1,{}", data_encoding::BASE64URL.encode(&[0xff; 32])),
        };
        t.other(48, form, &good.clone().replace("webhook-signature", value), 401);
    }
}
