//! Rows 37 to 41: what a sender may not say about itself, and PROXY headers that nobody asked for.

use super::case::Table;

pub fn trust(t: &mut Table) {
    for name in [
        "Hookward-Evil",
        "hookward-evil",
        "HOOKWARD-EVIL",
        "hookward_evil",
        "Hookward_Evil",
        "Hookward-Verified-By",
        "hookward_delivery_x",
        "Hookward-X_Y",
    ] {
        let lower: &'static str = match name.to_ascii_lowercase().as_str() {
            "hookward-evil" => "hookward-evil",
            "hookward_evil" => "hookward_evil",
            "hookward-verified-by" => "hookward-verified-by",
            "hookward_delivery_x" => "hookward_delivery_x",
            _ => "hookward-x_y",
        };
        let p = t.good().more(format!("{name}: 1\r\n").as_bytes()).absent(&[lower]);
        t.passes(37, name, &p);
    }
    for line in [
        "Hookward-Verified: none",
        "hookward_verified: none",
        "Hookward-Source: evil",
        "Hookward-Attempt: 99",
        "Hookward-Delivery: evil",
        "Connection: hookward-verified",
        "Connection: hookward-delivery, close-not",
    ] {
        let p = t
            .good()
            .more(format!("{line}\r\n").as_bytes())
            .absent(&["hookward_verified", "connection"]);
        t.passes(37, line, &p);
    }
    for named in [
        "x-hub-signature-256",
        "X-Hub-Signature-256",
        "keep-alive, x-hub-signature-256",
        "x-github-event",
        "x-github-delivery",
    ] {
        let p = t.good().more(format!("Connection: {named}\r\n").as_bytes());
        t.off(38, named, &p, 400);
    }
    for line in [
        "X-Forwarded-For: 10.9.9.9",
        "X-Real-IP: 10.9.9.9",
        "Forwarded: for=10.9.9.9",
        "X-Forwarded-For: unknown",
        "X-Forwarded-For: [::1]:80",
    ] {
        let p = t
            .good()
            .more(format!("{line}\r\n").as_bytes())
            .absent(&["x-real-ip", "forwarded"]);
        t.passes(39, line, &p);
    }
    let p = t
        .good()
        .more(format!("X-Forwarded-For: {}\r\n", "1.2.3.4, ".repeat(5_000)).as_bytes());
    t.passes(40, "5,000 hops", &p);
}

/// Headers of the PROXY protocol, which this listener does not speak.
pub fn proxies(t: &mut Table) {
    for line in [
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2",
        "PROXY UNKNOWN",
        "PROXY TCP6 ::1 ::1 1 2",
    ] {
        let p = t.good();
        let start = format!("{line}\r\n{}", String::from_utf8_lossy(&p.start));
        t.refused(41, line, &p.start(&start), 400);
    }
    let p = t.good();
    let raw = [
        &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x02"[..],
        &p.raw(),
    ]
    .concat();
    t.refused(41, "version 2", &p, 400);
    t.cases.last_mut().expect("just added").raw = raw;
}
