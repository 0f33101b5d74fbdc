//! Rows 23 to 33: expectations, upgrades, methods, versions, hosts, sizes of heads.

use super::case::{After, Piece, Table};

pub fn heads(t: &mut Table) {
    let p = t_expect(t, "100-continue");
    t.passes(23, "100-continue", &p);
    let p = t_expect(t, "100-Continue");
    t.passes(23, "100-Continue", &p);
    let p = t_expect(t, "100-continue").signature(None);
    t.off(23, "without a signature", &p, 401);
    let p = t_expect(t, "100-continue").start("POST /nowhere HTTP/1.1");
    t.off(23, "nowhere", &p, 404);
    let p = t_expect(t, "100-continue").length(b"Content-Length: 999999999\r\n");
    t.refused(23, "too large", &p, 413);
    for value in ["200-ok", "", "100-continue, x", "100-continue\r\nExpect: 100-continue"] {
        let p = t_expect(t, value);
        t.refused(24, value, &p, 417);
    }
    for upgrade in ["websocket", "h2c", "foo", "TLS/1.0"] {
        let lines = format!(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        );
        let p = t
            .good()
            .more(lines.as_bytes())
            .absent(&["upgrade", "http2-settings", "connection"]);
        t.passes(25, upgrade, &p);
    }
    for target in ["evil:80", "hooks.example.com:443", "127.0.0.1:22"] {
        let p = t.good().start(&format!("CONNECT {target} HTTP/1.1"));
        t.refused(26, target, &p, 405);
    }
    for start in ["TRACE /github", "OPTIONS *", "TRACE *"] {
        let p = t.good().start(&format!("{start} HTTP/1.1"));
        t.refused(27, start, &p, 405);
    }
    for method in [
        "PUT", "PATCH", "DELETE", "OPTIONS", "post", "Post", "M-SEARCH", "PRI", "GET",
    ] {
        let p = t.good().start(&format!("{method} /github HTTP/1.1"));
        t.off(27, method, &p, 405);
    }
    for method in [
        "P!ST", "POST~", "PO'ST", "$", "P@ST", "PO(ST", "PO\"ST", "P\0ST", "PO:ST",
    ] {
        let p = t.good().start(&format!("{method} /github HTTP/1.1"));
        t.refused(28, method, &p, 400);
    }
    for target in [
        "http://evil/github",
        "http://hooks.example.com:8080/github",
        "http://a@hooks.example.com/github",
        "ftp://hooks.example.com/github",
        "evil:80",
        "github",
        "*",
        "file:///github",
    ] {
        let p = t.good().start(&format!("POST {target} HTTP/1.1"));
        t.refused(29, target, &p, 400);
    }
    let p = t.good().start("POST /github HTTP/1.0").length(b"");
    t.refused(30, "1.0 without a length", &p, 411);
    let p = t.good().start("POST /github HTTP/1.0");
    t.add(30, "1.0 with a length", &p, &[200], true, After::Closes);
    for version in [
        "HTTP/1.2",
        "HTTP/2.0",
        "HTTP/0.9",
        "HTTP/9.9",
        "http/1.1",
        "HTTP/1.1x",
        "HTTP/1",
        "HTTP/01.1",
        "HTTP /1.1",
        "HTTPS/1.1",
        "",
    ] {
        let p = t.good().start(format!("POST /github {version}").trim_end());
        t.refused(30, version, &p, 400);
    }
    for hosts in [
        "",
        "Host: hooks.example.com\r\nHost: hooks.example.com\r\n",
        "Host: hooks.example.com\r\nHost: evil\r\n",
        "Host: \r\n",
        "Host: hooks.example.com/x\r\n",
        "Host: a@hooks.example.com\r\n",
        "Host: hooks.example.com:8x\r\n",
        "Host: hooks.example.com:\r\n",
        "Host: hooks.example.com:+80\r\n",
        "Host: hooks.example.com:65536\r\n",
        "Host: hooks.example.com, evil\r\n",
        "Host: hooks example\r\n",
        "Host: hooks.example.com\0\r\n",
        "Host: [fe80::1%25eth0]\r\n",
        "Host: [::1\r\n",
        "Host: hooks.example.com?x\r\n",
        "Host: hooks.example.com#x\r\n",
    ] {
        let p = t.good().host(hosts.as_bytes());
        t.refused(31, hosts, &p, 400);
    }
    for host in ["HOOKS.Example.com", "hooks.example.com:8443", "hooks.example.com."] {
        let p = t.good().host(format!("Host: {host}\r\n").as_bytes());
        t.passes(31, host, &p);
    }
    for host in [
        "evil.example",
        "localhost",
        "127.0.0.1",
        "[::1]:80",
        "hooks.example.com.evil",
        "xhooks.example.com",
    ] {
        let p = t.good().host(format!("Host: {host}\r\n").as_bytes());
        t.refused(32, host, &p, 421);
    }
    let fields = |count: usize| {
        let lines = (0..count).map(|n| format!("X-{n}: v\r\n"));
        lines.collect::<Vec<_>>().concat()
    };
    // Ours are added on the way, and the app behind has a limit of its own: hyper's is 100.
    let p = t.good().more(fields(80).as_bytes());
    t.passes(33, "85 headers", &p);
    for count in [96, 200] {
        let p = t.good().more(fields(count).as_bytes());
        t.refused(33, "too many headers", &p, 431);
    }
    let p = t.good().more(format!("X: {}\r\n", "v".repeat(60_000)).as_bytes());
    t.passes(33, "a long header", &p);
    for size in [66_000, 130_000] {
        let p = t.good().more(format!("X: {}\r\n", "v".repeat(size)).as_bytes());
        t.refused(33, "a header too long", &p, 431);
        let p = t.good().start(&format!("POST /{} HTTP/1.1", "a".repeat(size)));
        t.refused(33, "a target too long", &p, 414);
    }
}

fn t_expect(t: &mut Table, value: &str) -> Piece {
    t.good()
        .more(format!("Expect: {value}\r\n").as_bytes())
        .absent(&["expect"])
}
