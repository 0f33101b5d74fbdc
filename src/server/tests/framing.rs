//! Framing and smuggling, byte for byte (rows 1 to 24 of the attack table).

use super::*;

pub(super) fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

/// Sends `raw` on its own connection; the answers must have these statuses, the connection must then be closed (the last
/// answer says so), and the app must not have been asked for `/smuggled`.
#[track_caller]
pub(super) fn closes_after(house: &House, raw: impl AsRef<[u8]>, expected: &[u16]) {
    let shown = String::from_utf8_lossy(&raw.as_ref()[..raw.as_ref().len().min(300)]).into_owned();
    let answers = house.ask(&raw);
    assert_eq!(statuses(&answers), expected, "{shown:?}");
    assert!(answers.last().is_none_or(Answer::closes), "{shown:?}: {answers:?}");
    assert!(!house.asked().contains(&"/smuggled".to_owned()), "{shown:?}");
}

/// As above, but the connection must still serve another request.
#[track_caller]
pub(super) fn stays_open_after(house: &House, raw: impl AsRef<[u8]>, expected: &[u16]) {
    let mut all = raw.as_ref().to_vec();
    all.extend_from_slice(b"POST /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    closes_after(house, all, &[expected, &[200]].concat());
}

pub(super) const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn lengths_and_codings_that_contradict_each_other() {
    for house in House::both() {
        let chunked = |headers: &str, body: &str| format!("POST /read HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n{body}");
        // 1, 2: hyper reframes them as RFC 9112 says and closes.
        closes_after(
            &house,
            chunked(
                "Content-Length: 4\r\nTransfer-Encoding: chunked",
                &format!("1\r\nZ\r\n0\r\n\r\n{SMUGGLED}"),
            ),
            &[200],
        );
        closes_after(
            &house,
            chunked(
                "Transfer-Encoding: chunked\r\nContent-Length: 4",
                &format!("1\r\nZ\r\n0\r\n\r\n{SMUGGLED}"),
            ),
            &[200],
        );
        // 3
        closes_after(
            &house,
            chunked("Content-Length: 1\r\nContent-Length: 2", &format!("Z{SMUGGLED}")),
            &[400],
        );
        // 4: equal lengths are one length, and the connection is closed.
        closes_after(
            &house,
            chunked("Content-Length: 1\r\nContent-Length: 1", &format!("Z{SMUGGLED}")),
            &[200],
        );
        closes_after(&house, chunked("Content-Length: 1, 1", &format!("Z{SMUGGLED}")), &[400]);
        // 5
        for length in ["+2", "-1", "0x2", "1_0", "", "99999999999999999999", "2 2"] {
            closes_after(
                &house,
                chunked(&format!("Content-Length: {length}"), &format!("ZZ{SMUGGLED}")),
                &[400],
            );
        }
        // 6
        closes_after(
            &house,
            chunked(
                "Transfer-Encoding: gzip, chunked",
                &format!("1\r\nZ\r\n0\r\n\r\n{SMUGGLED}"),
            ),
            &[501],
        );
        // 7, 8
        for coding in [
            "Transfer-Encoding: ,chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: \x0bchunked",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding: chunked, chunked",
        ] {
            closes_after(
                &house,
                chunked(coding, &format!("1\r\nZ\r\n0\r\n\r\n{SMUGGLED}")),
                &[400],
            );
        }
        closes_after(
            &house,
            b"POST /read HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n",
            &[400],
        );
        // 9
        closes_after(
            &house,
            "POST /read HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &[400],
        );
        assert_eq!(house.close(), 0);
    }
}

#[test]
fn chunks() {
    for house in House::both() {
        let chunked =
            |body: &str| format!("POST /read HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        // 10, 11
        for body in [
            "0x2\r\nZZ\r\n0\r\n\r\n",
            "+2\r\nZZ\r\n0\r\n\r\n",
            "0_2\r\nZZ\r\n0\r\n\r\n",
            "\r\nZZ\r\n0\r\n\r\n",
            "10000000000000000\r\nZZ\r\n0\r\n\r\n",
            " 2\r\nZZ\r\n0\r\n\r\n",
            "2\nZZ\r\n0\r\n\r\n",
            "2\r\nZZ\n0\r\n\r\n",
            "2;a=\rb\r\nZZ\r\n0\r\n\r\n",
        ] {
            closes_after(&house, chunked(&format!("{body}{SMUGGLED}")), &[400]);
        }
        // 12
        stays_open_after(&house, chunked("2;a=b\r\nZZ\r\n0\r\n\r\n"), &[200]);
        closes_after(
            &house,
            chunked(&format!("2;{}\r\nZZ\r\n0\r\n\r\n", "a".repeat(20_000))),
            &[400],
        );
        // 13: trailers are dropped (the app would panic on one).
        for trailer in ["X-Any: 1", "Content-Length: 5", "Hookward-Verified: signature"] {
            stays_open_after(&house, chunked(&format!("2\r\nZZ\r\n0\r\n{trailer}\r\n\r\n")), &[200]);
        }
        assert_eq!(house.close(), 0);
    }
}

#[test]
fn lines_that_are_no_header_lines() {
    for house in House::both() {
        // 14: bare LF is accepted by the parser, as a recipient may (RFC 9112, section 2.2), and the connection is closed.
        for head in [
            "POST /read HTTP/1.1\nHost: h\nContent-Length: 1\n\n",
            "POST /read HTTP/1.1\nHost: h\r\nContent-Length: 1\r\n\r\n",
            "POST /read HTTP/1.1\r\nHost: h\nContent-Length: 1\r\n\r\n",
            "POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 1\n\r\n",
            "POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\n",
        ] {
            closes_after(&house, format!("{head}Z{SMUGGLED}"), &[200]);
            // The same behind requests that leave the connection open, in one piece with them.
            let before = post("/read", "one") + &post("/read", "two#\n");
            closes_after(&house, format!("{before}{head}Z{SMUGGLED}"), &[200, 200, 200]);
        }
        // 15
        for line in [
            "X: a\r\n b",
            "X: a\0b",
            "X: a\rb",
            "X\x01: a",
            "no colon",
            ": a",
            "X Y: a",
            " X: a",
        ] {
            closes_after(
                &house,
                format!("POST /read HTTP/1.1\r\nHost: h\r\n{line}\r\nContent-Length: 0\r\n\r\n"),
                &[400],
            );
        }
        for start in [
            " POST /read HTTP/1.1",
            "P@ST( /read HTTP/1.1",
            "POST  /read HTTP/1.1",
            "POST /re ad HTTP/1.1",
            "POST /read",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2",
        ] {
            closes_after(
                &house,
                format!("{start}\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
                &[400],
            );
        }
        let house_notes = house.notes();
        assert!(
            house_notes.contains(&Note::Unasked(400)) && house_notes.contains(&Note::Ended(ConnectionEnd::Malformed))
        );
        assert_eq!(house.close(), 0);
    }
}

#[test]
fn a_refusal_never_lets_a_body_be_parsed_as_a_request() {
    for house in House::both() {
        // 16: what came with the head is drained, and the second request is the second one.
        stays_open_after(&house, post("/early", SMUGGLED), &[401]);
        stays_open_after(
            &house,
            [post("/early", "one"), post("/read", "two")].concat(),
            &[401, 200],
        );
        // The same with a body of which only a part has come: the rest is never looked at.
        let long = format!(
            "POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n{}",
            SMUGGLED.repeat(2000)
        );
        closes_after(&house, long, &[401]);
        let chunked =
            format!("POST /early HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nZ\r\n{SMUGGLED}");
        closes_after(&house, chunked, &[401]);
        // A refusal of the gate always closes, and its answer arrives although more had come.
        closes_after(&house, [post("/a//b", SMUGGLED).as_str(), SMUGGLED].concat(), &[400]);
        // An answer that closes is written although the next request lies in the buffer already.
        let closing = "POST /read HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\nZZ";
        closes_after(&house, [closing, SMUGGLED].concat(), &[200]);
        // 18: what is longer than its length is the next request, strictly parsed.
        closes_after(
            &house,
            [&post("/read", "ZZ"), "trailing junk\r\n\r\n"].concat(),
            &[200, 400],
        );
        // An answer does not wait for the rest of a next head.
        let mut client = house.connect();
        client.send([&post("/read", "ZZ"), "POS"].concat());
        assert_eq!(client.answer().map(|answer| answer.status), Some(200));
        client.send("T /next HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.answer().map(|answer| answer.status), Some(200));
        drop(client);
        assert_eq!(house.close(), 0);
    }
}

#[test]
fn a_body_that_ends_early_is_no_body() {
    // 17
    for house in House::both() {
        let mut client = house.connect();
        client.send("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nZZ");
        client.finish();
        assert!(client.answers().iter().all(|answer| answer.status == 400));
        house.until_noted(&Note::Handled("/read".into(), Err(BodyError::Disconnected)));
        closes_after(
            &house,
            "POST /read HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            &[400],
        );
        house.until_noted(&Note::Handled("/read".into(), Err(BodyError::Malformed)));
        assert_eq!(house.close(), 0);
    }
}

#[test]
fn a_sender_is_told_to_continue_only_when_its_body_is_wanted() {
    // 23
    for house in House::both() {
        let head = |path: &str| {
            format!("POST {path} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        };
        let mut client = house.connect();
        client.send(head("/read"));
        assert_eq!(client.answer().map(|answer| answer.status), Some(100));
        client.send("ZZ");
        let answer = client.answer().expect("an answer");
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"read 2"[..]));
        closes_after(&house, head("/early"), &[401]);
        closes_after(&house, head("/a//b"), &[400]);
        // 24
        closes_after(&house, head("/read").replace("100-continue", "200-ok"), &[417]);
        drop(client);
        assert_eq!(house.close(), 0);
    }
}

#[test]
fn a_head_may_come_in_single_bytes_and_requests_in_one_piece() {
    for house in House::both() {
        let mut client = house.connect();
        for byte in post("/read", "ZZ").bytes() {
            client.send([byte]);
        }
        assert_eq!(client.answer().expect("an answer").body, b"read 2");
        client.send(post("/read", "a") + &post("/read", "bb") + &post("/read", "ccc"));
        for expected in ["read 1", "read 2", "read 3"] {
            assert_eq!(client.answer().expect("an answer").body, expected.as_bytes());
        }
        drop(client);
        assert_eq!(house.close(), 0);
    }
}

/// Pieces of requests, whole and broken: what they mean together is not said, only that every connection comes to an end.
const PIECES: [&[u8]; 22] = [
    b"POST /read HTTP/1.1\r\n",
    b"POST /early HTTP/1.1\r\n",
    b"GET http://h/x HTTP/1.0\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"PRI * HTTP/2.0\r\n",
    b"Host: h\r\n",
    b"Host: h:99999\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: close\r\n",
    b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    b"Expect: 100-continue\r\n",
    b"\r\n",
    b"\n",
    b"\0",
    b"5\r\nabcde\r\n",
    b"0\r\n\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"abcde",
    b"\xff\xfe\x00\x00\x00",
];

#[test]
fn no_bytes_make_a_connection_panic_or_hang() {
    use proptest::{collection::vec, sample::select, test_runner::TestRunner};
    for house in House::both() {
        let connections = std::cell::Cell::new(0);
        let requests = vec(select(&PIECES[..]), 0..14);
        TestRunner::default()
            .run(&requests, |pieces| {
                let mut client = house.connect();
                client.send(pieces.concat());
                client.finish();
                let mut rest = Vec::new();
                client.0.read_to_end(&mut rest).expect("an end without a reset");
                connections.set(connections.get() + 1);
                Ok(())
            })
            .expect("every connection ends");
        // A task that panics tells nobody how its connection ended.
        let ends = || {
            house
                .notes()
                .iter()
                .filter(|note| matches!(note, Note::Ended(_)))
                .count()
        };
        until(
            || ends() == connections.get(),
            || format!("{} of {}", ends(), connections.get()),
        );
        assert!(connections.get() > 100);
        assert_eq!(house.close(), 0);
    }
}
