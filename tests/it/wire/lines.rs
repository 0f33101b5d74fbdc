//! Rows 14 to 18: line ends, header lines, and bodies that hide a request, end early or do not end.

use super::case::{After, Piece, Table};

pub fn lines(t: &mut Table) {
    // Every line, only the request line, and only the end of the head.
    for (what, from, to) in [
        ("bare LF", "\r\n", "\n"),
        ("bare LF after the request line", "HTTP/1.1\r\n", "HTTP/1.1\n"),
        ("a head that ends in CRLF LF", "\r\n\r\n", "\r\n\n"),
    ] {
        let p = t.good();
        let raw = String::from_utf8(p.raw()).expect("text").replace(from, to).into_bytes();
        t.add(14, what, &p, &[200], true, After::Closes);
        t.cases.last_mut().expect("just added").raw = raw;
    }
    for line in [
        &b"X: a\r\n b"[..],
        b"X: a\r\n\tb",
        b"X: a\0b",
        b"X: a\rb",
        b"X\x01: a",
        b"no colon",
        b": a",
        b"X Y: a",
        b" X: a",
        b"X\0: a",
        b"X: \x01",
        b"X: \x7f",
        b"X(: a",
        b"X@: a",
        b"X\": a",
        b"X\xe9: a",
        b"X\x7f: a",
        b"\tX: a",
        b"X : a",
        b"X\t: a",
        b"X: a\x0b",
    ] {
        let p = t.good().more(&[line, b"\r\n"].concat());
        t.refused(15, &String::from_utf8_lossy(line), &p, 400);
    }
    for line in [
        &b"X: \xe9"[..],
        b"X: \xff\xfe",
        b"X:",
        b"X: ",
        b"X: a\tb",
        b"X~: a",
        b"X!: a",
        b"X'`^|: a",
    ] {
        let p = t.good().more(&[line, b"\r\n"].concat());
        t.passes(15, &String::from_utf8_lossy(line), &p);
    }
    let smuggled = Piece::new(999_999, b"smuggled").raw();
    for (what, signature) in [("forged", Some(&b"sha256=00"[..])), ("unsigned", None)] {
        let mut p = Piece::new(0, &smuggled).signature(signature);
        // A signature that is missing is seen in the head, before the body is read: then the connection is closed.
        let after = if signature.is_some() {
            After::Serves
        } else {
            After::Closes
        };
        t.add(16, &format!("{what}, a request in its body"), &p, &[401], false, after);
        p = Piece::new(0, &smuggled).chunks().signature(signature);
        t.add(
            16,
            &format!("{what}, a request in its chunks"),
            &p,
            &[401],
            false,
            after,
        );
    }
    let p = Piece::new(0, &smuggled).start("POST /nowhere HTTP/1.1");
    t.off(16, "nowhere, a request in its body", &p, 404);
    let p = Piece::new(0, &smuggled).start("POST /a//b HTTP/1.1");
    t.refused(16, "refused by the gate, a request in its body", &p, 400);
    for (what, piece) in [("length", t.good()), ("chunks", t.good().chunks())] {
        for left in [1, 5] {
            let mut piece = piece.clone();
            piece.payload.truncate(piece.payload.len() - left);
            t.add(
                17,
                &format!("{what}, {left} bytes missing"),
                &piece,
                &[],
                false,
                After::Closes,
            );
            t.cases.last_mut().expect("just added").ends = true;
        }
    }
    for junk in ["\x01", "junk\r\n\r\n", "\0", "GET\r\n\r\n"] {
        let p = t.good();
        let payload = [&p.body, junk.as_bytes()].concat();
        t.add(18, junk, &p.payload(&payload), &[200, 400], true, After::Closes);
    }
}
