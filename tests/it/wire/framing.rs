//! Rows 1 to 13: lengths, codings and chunks that contradict each other or their grammar, and trailers.

use super::case::{After, Table, chunked, signature};

pub fn framing(t: &mut Table) {
    for (row, first) in [(1, false), (2, true)] {
        for length in ["0", "1", "4", "400"] {
            let p = t.good();
            let payload = chunked(&p.body);
            let (te, cl) = (
                "Transfer-Encoding: chunked\r\n",
                format!("Content-Length: {length}\r\n"),
            );
            let lines = if first {
                format!("{te}{cl}")
            } else {
                format!("{cl}{te}")
            };
            let p = p
                .length(lines.as_bytes())
                .payload(&payload)
                .absent(&["transfer-encoding"]);
            t.add(row, length, &p, &[200], true, After::Closes);
        }
    }
    for (a, b) in [("1", "2"), ("7", "8"), ("8", "7"), ("0", "8")] {
        let p = t
            .good()
            .length(format!("Content-Length: {a}\r\nContent-Length: {b}\r\n").as_bytes());
        t.refused(3, a, &p, 400);
    }
    let p = t.good();
    let twice = p.length.repeat(2);
    t.add(4, "equal lengths", &p.length(&twice), &[200], true, After::Closes);
    for list in ["2, 2", "2,2", "2 , 2", "7,"] {
        let p = t.good().length(format!("Content-Length: {list}\r\n").as_bytes());
        t.refused(4, list, &p, 400);
    }
    for length in [
        "+2",
        "-1",
        "0x2",
        "1_0",
        "",
        "99999999999999999999",
        "2 2",
        "2;",
        "1e1",
        "\u{ff12}",
        "2.0",
        "abc",
    ] {
        let p = t.good().length(format!("Content-Length: {length}\r\n").as_bytes());
        t.refused(5, length, &p, 400);
    }
    let p = t.good().length(b"Content-Length: \r\nContent-Length: 2\r\n");
    t.refused(5, "empty, then 2", &p, 400);
    for coding in [
        "gzip, chunked",
        "deflate,chunked",
        "gzip,deflate,chunked",
        "br , chunked",
    ] {
        let p = t
            .good()
            .chunks()
            .length(format!("Transfer-Encoding: {coding}\r\n").as_bytes());
        t.refused(6, coding, &p, 501);
    }
    for lines in [
        ",chunked",
        "chunked,",
        ", chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked, chunked",
        "gzip\r\nTransfer-Encoding: gzip",
    ] {
        let p = t
            .good()
            .chunks()
            .length(format!("Transfer-Encoding: {lines}\r\n").as_bytes());
        t.refused(7, lines, &p, 400);
    }
    for line in [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: ",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding: chunked\x0c",
        "Transfer-Encoding: ch unked",
    ] {
        let p = t.good().chunks().length(format!("{line}\r\n").as_bytes());
        t.refused(8, line, &p, 400);
    }
    let p = t.good().chunks().length(b"Transfer-Encoding: \xa0chunked\r\n");
    t.refused(8, "no-break space", &p, 400);
    for case in ["CHUNKED", "Chunked"] {
        let p = t
            .good()
            .chunks()
            .length(format!("Transfer-Encoding: {case}\r\n").as_bytes());
        t.passes(8, case, &p.absent(&["transfer-encoding"]));
    }
    let p = t.good().chunks().start("POST /github HTTP/1.0");
    t.refused(9, "chunked in 1.0", &p, 400);
}

pub fn chunks(t: &mut Table) {
    for (row, form) in [
        (10, "0x{}\r\n"),
        (10, "+{}\r\n"),
        (10, "0_{}\r\n"),
        (10, "\r\n"),
        (10, " {}\r\n"),
        (10, "-{}\r\n"),
        (10, "{}g\r\n"),
        (10, "10000000000000000\r\n"),
        (10, "ffffffffffffffff1\r\n"),
        (10, "{},{}\r\n"),
        (11, "{}\n"),
        (12, "{};a=\rb\r\n"),
        (12, "{};a=\nb\r\n"),
    ] {
        let p = t.good();
        let size = form.replace("{}", &format!("{:x}", p.body.len()));
        let payload = [size.as_bytes(), &p.body, b"\r\n0\r\n\r\n"].concat();
        t.refused(row, form, &p.chunks().payload(&payload), 400);
    }
    let p = t.good();
    let payload = [format!("{:x}\r\n", p.body.len()).as_bytes(), &p.body, b"\n0\r\n\r\n"].concat();
    t.refused(11, "data ended by LF", &p.chunks().payload(&payload), 400);
    let p = t.good();
    let payload = [format!("{:x}\r\n", p.body.len()).as_bytes(), &p.body, b"x\r\n0\r\n\r\n"].concat();
    t.refused(11, "data longer than its size", &p.chunks().payload(&payload), 400);
    let p = t.good();
    let payload = [
        format!("{:x};{}\r\n", p.body.len(), "a".repeat(20_000)).as_bytes(),
        &p.body,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    t.refused(12, "20 kB of extension", &p.chunks().payload(&payload), 400);
    for extension in [";a", ";a=b", ";a=\"b c\"", ";a=b;c=d"] {
        let p = t.good();
        let payload = [
            format!("{:x}{extension}\r\n", p.body.len()).as_bytes(),
            &p.body,
            b"\r\n0\r\n\r\n",
        ]
        .concat();
        t.passes(12, extension, &p.chunks().payload(&payload));
    }
    for size in ["00000", ""] {
        let p = t.good();
        let payload = [
            format!("{size}{:x}\r\n", p.body.len()).as_bytes(),
            &p.body,
            b"\r\n0\r\n\r\n",
        ]
        .concat();
        t.passes(12, "leading zeros", &p.chunks().payload(&payload));
    }
    let p = t.good();
    let each: Vec<u8> = p
        .body
        .iter()
        .flat_map(|byte| [b"1\r\n", &[*byte][..], b"\r\n"].concat())
        .collect();
    t.passes(
        12,
        "a byte a chunk",
        &p.chunks().payload(&[&each[..], b"0\r\n\r\n"].concat()),
    );
    for (name, trailer) in [
        ("x-any", "X-Any: 1"),
        ("x-any", "Content-Length: 5"),
        ("x-any", "Transfer-Encoding: chunked"),
        ("x-any", "Host: evil"),
        ("hookward-evil", "Hookward-Evil: 1"),
        ("x-late", "X-Late: 1\r\nX-Later: 2"),
    ] {
        let p = t.good();
        let payload = [
            format!("{:x}\r\n", p.body.len()).as_bytes(),
            &p.body,
            b"\r\n0\r\n",
            trailer.as_bytes(),
            b"\r\n\r\n",
        ]
        .concat();
        t.passes(
            13,
            trailer,
            &p.chunks()
                .payload(&payload)
                .absent(&[name, "transfer-encoding", "trailer"]),
        );
    }
    let p = t.good();
    let trailer = format!("X-Hub-Signature-256: sha256={}\r\n\r\n", signature(&p.body));
    let payload = [
        format!("{:x}\r\n", p.body.len()).as_bytes(),
        &p.body,
        b"\r\n0\r\n",
        trailer.as_bytes(),
    ]
    .concat();
    t.off(
        13,
        "the signature in a trailer",
        &p.chunks().payload(&payload).signature(None),
        401,
    );
}
