//! Rows 35, 36 and 87: targets that another parser may read otherwise, and paths that are not for the public port.

use super::case::Table;

pub fn paths(t: &mut Table) {
    for path in [
        "/github/../admin",
        "/github/..",
        "/..",
        "/github/./x",
        "/github/.",
        "/x/../github",
        "/./github",
        "/github/%2e%2e/admin",
        "/github/%2E%2e",
        "/github/.%2E/x",
        "/github/%2e",
        "/github/..;/admin",
        "/github/..;x=1/admin",
        "/github/..%3b/admin",
        "/github/.;/x",
        "//github",
        "/github//x",
        "/github///",
        "/github\\..\\x",
        "/%67ithub",
        "/githu%62",
        "/github%2Dx",
        "/github%2fx",
        "/github%2Fx",
        "/github%5cx",
        "/github%00",
        "/github%0d%0aX:%20y",
        "/github%7f",
        "/github%",
        "/github%2",
        "/github%zz",
        "/github%u002e",
        "/h/\u{e9}",
        "/\u{ff0e}\u{ff0e}/x",
        "/github?q=\u{e9}",
        "/github?a=\"",
        "/github?<",
        "/github?>",
        "/github#x",
        "/github?a=b#x",
        "/#/github",
    ] {
        let p = t.good().start(&format!("POST {path} HTTP/1.1"));
        t.refused(35, path, &p, 400);
    }
    for path in ["/git hub", "/github\tx", "/github\x01", "/github\0"] {
        let p = t.good().start(&format!("POST {path} HTTP/1.1"));
        t.refused(35, path, &p, 400);
    }
    for path in [
        "/github/",
        "/GITHUB",
        "/github;v=1",
        "/github/x",
        "/metrics",
        "/livez",
        "/readyz",
        "/admin",
        "/v1/status",
    ] {
        let p = t.good().start(&format!("POST {path} HTTP/1.1"));
        t.off(87, path, &p, 404);
    }
    for path in ["/%252e%252e/github", "/github/%252e%252e/x", "/%2567ithub"] {
        let p = t.good().start(&format!("POST {path} HTTP/1.1"));
        t.off(36, path, &p, 404);
    }
    for query in [
        "?",
        "?a=b",
        "?u=http%3A%2F%2Fx//../y",
        "?%00",
        "?a&a&a",
        "?%zz",
        "?'`{}|\\^[]",
        "??",
        "?a=%2e%2e/",
    ] {
        let p = t.good().start(&format!("POST /github{query} HTTP/1.1"));
        t.passes(35, query, &p);
    }
}
