//! Methods, targets, versions, Hosts and sizes of a head, byte for byte (rows 25 to 36 of the attack table).

use super::{
    framing::{SMUGGLED, closes_after, stays_open_after},
    *,
};

#[test]
fn methods_targets_and_versions() {
    for house in House::both() {
        let start = |line: &str| format!("{line}\r\nHost: h\r\nContent-Length: 0\r\n\r\n{SMUGGLED}");
        // 25: an upgrade is an ordinary request, and what follows it is a request and no tunnel.
        for upgrade in ["websocket", "h2c", "foo"] {
            stays_open_after(
                &house,
                format!(
                    "POST /read HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AA\r\nContent-Length: 0\r\n\r\n"
                ),
                &[200],
            );
        }
        // 26, 27
        closes_after(&house, start("CONNECT h:80 HTTP/1.1"), &[405]);
        closes_after(&house, start("TRACE /read HTTP/1.1"), &[405]);
        closes_after(&house, start("OPTIONS * HTTP/1.1"), &[405]);
        // 28, 29
        closes_after(&house, start("P!ST /read HTTP/1.1"), &[400]);
        closes_after(&house, start("POST http://evil/read HTTP/1.1"), &[400]);
        closes_after(&house, start("POST evil HTTP/1.1"), &[400]);
        let asked = house.asked().len();
        stays_open_after(
            &house,
            "POST http://H:80/read HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
            &[200],
        );
        assert_eq!(house.asked()[asked..], ["/read", "/next"], "in origin form");
        // 30
        closes_after(&house, "POST /read HTTP/1.0\r\nHost: h\r\n\r\n", &[411]);
        closes_after(
            &house,
            "POST /read HTTP/1.0\r\nHost: h\r\nContent-Length: 2\r\n\r\nZZ",
            &[200],
        );
        for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/9.9", "http/1.1", "HTTP/1.1x"] {
            closes_after(&house, start(&format!("POST /read {version}")), &[400]);
        }
        // 31, 32
        for hosts in [
            "",
            "Host: h\r\nHost: h\r\n",
            "Host: h/x\r\n",
            "Host: a@h\r\n",
            "Host: h:8x\r\n",
            "Host: h\0\r\n",
            "Host: [fe80::1%25eth0]\r\n",
        ] {
            closes_after(
                &house,
                format!("POST /read HTTP/1.1\r\n{hosts}Content-Length: 0\r\n\r\n"),
                &[400],
            );
        }
        closes_after(
            &house,
            "POST /read HTTP/1.1\r\nHost: foreign\r\nContent-Length: 0\r\n\r\n",
            &[421],
        );
        stays_open_after(
            &house,
            "POST /probe HTTP/1.1\r\nHost: foreign\r\nContent-Length: 0\r\n\r\n",
            &[200],
        );
        // 35, 36
        for path in [
            "/h/../admin",
            "/h/%2e%2e/admin",
            "/h/..;/admin",
            "//h",
            "/h\\..\\x",
            "/h%2fx",
            "/h%5Cx",
            "/h%00",
            "/h/é",
        ] {
            closes_after(&house, start(&format!("POST {path} HTTP/1.1")), &[400]);
        }
        stays_open_after(&house, post("/h/%252e%252e/x", ""), &[200]);
        // `http::Uri` cuts a fragment off; the bytes of the request line are asked for it.
        let asked = house.asked().len();
        for target in ["/read#frag", "/read?a#frag", "/read#", "#", "http://h/read#frag"] {
            closes_after(&house, start(&format!("POST {target} HTTP/1.1")), &[400]);
        }
        assert_eq!(house.asked().len(), asked);
        assert!(house.notes().contains(&Note::Refused(GateRefusal::TargetFragment)));
        closes_after(
            &house,
            post("/read", "#") + &post("/read#frag", "") + SMUGGLED,
            &[200, 400],
        );
        assert_eq!(house.close(), 0);
    }
}

/// So many header lines.
fn fields(count: usize) -> String {
    let lines: Vec<String> = (0..count).map(|n| format!("X-{n}: v\r\n")).collect();
    lines.concat()
}

#[test]
fn heads_are_bounded() {
    // 33
    for house in House::both() {
        let with = |headers: String| format!("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n{headers}\r\n");
        stays_open_after(&house, with(fields(98)), &[200]);
        closes_after(&house, with(fields(99)), &[431]);
        stays_open_after(&house, with(format!("X: {}\r\n", "v".repeat(60_000))), &[200]);
        for size in [66_000, 130_000, 1_000_000] {
            closes_after(&house, with(format!("X: {}\r\n", "v".repeat(size))), &[431]);
            closes_after(
                &house,
                format!(
                    "POST /{} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
                    "a".repeat(size)
                ),
                &[414],
            );
        }
        stays_open_after(&house, post(&format!("/{}", "a".repeat(60_000)), ""), &[200]);
        assert_eq!(house.close(), 0);
    }
}
