//! The gate, row by row of the attacks that a parsed head shows.

use super::*;
use proptest::prelude::*;

fn head(method: &str, target: &str, version: Version, headers: &[(&str, &str)]) -> Option<Parts> {
    let mut request = http::Request::builder().method(method).uri(target).version(version);
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    Some(request.body(()).ok()?.into_parts().0)
}

/// Judged over HTTP/1.1 with `hooks.example.com` as the one host that is ours.
fn judged(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<(), GateRefusal> {
    let head = head(method, target, Version::HTTP_11, headers).expect("a head that hyper would hand over");
    judge(&head, |host| host == "hooks.example.com")
}

type Headers = &'static [(&'static str, &'static str)];

const HOST: (&str, &str) = ("host", "hooks.example.com");

#[test]
fn a_path_is_refused_for_what_another_parser_may_make_of_it() {
    let refused = [
        "/h/../admin",
        "/h/..",
        "/..",
        "/h/./x",
        "/h/.",
        "/h/%2e%2e/admin",
        "/h/%2E%2e",
        "/h/.%2E/x",
        "/h/%2e",
        "/%68",
        "/h%2Dx",
        "/h%7ex",
        "/h/%5f",
        "/%39",
        "/h/..;/admin",
        "/h/..;x=1/admin",
        "/h/..%3b/admin",
        "/h/.;/x",
        "//h",
        "/h//x",
        "/h///",
        "/h\\..\\x",
        "/h%2fx",
        "/h%2Fx",
        "/h%5cx",
        "/h%5Cx",
        "/h%00",
        "/h%0d%0aX:%20y",
        "/h%7f",
        "/h%",
        "/h%2",
        "/h%zz",
        "/h%u002e",
        "/%",
        "/h/%%%",
        "/h/\\",
    ];
    for path in refused {
        assert_eq!(judged("POST", path, &[HOST]), Err(GateRefusal::TargetBytes), "{path}");
    }
    for path in ["/h/é", "/\u{ff0e}\u{ff0e}/x", "/h?q=é"] {
        assert_eq!(judged("POST", path, &[HOST]), Err(GateRefusal::TargetBytes), "{path}");
    }
    let accepted = [
        "/",
        "/h",
        "/h/",
        "/h/..x",
        "/h/...",
        "/h/.well-known",
        "/h/%252e%252e/x",
        "/h/a%20b",
        "/h/%c3%a9",
        "/h/%C3%A9",
        "/h;v=1",
        "/h/a:b@c",
        "/h?u=http%3A%2F%2Fx//../y",
        "/h?",
        "/~t/$x/(y)!*'",
    ];
    for path in accepted {
        assert_eq!(judged("POST", path, &[HOST]), Ok(()), "{path}");
    }
}

#[test]
fn only_an_origin_form_target_comes_in() {
    for (method, target) in [
        ("POST", "http://evil/h"),
        ("POST", "*"),
        ("POST", "evil:80"),
        ("POST", "http://hooks.example.com:8080/h"),
        ("POST", "http://hooks.example.com:443/h"),
        ("POST", "http://a@hooks.example.com/h"),
        ("POST", "http://a:b@hooks.example.com/h"),
        ("POST", "http://hooks.example.com./h"),
        ("POST", "http://hooks.example.com?a=b"),
        ("POST", "ws://hooks.example.com/h"),
        ("POST", "ftp://hooks.example.com:80/h"),
    ] {
        assert_eq!(
            judged(method, target, &[HOST]),
            Err(GateRefusal::TargetForm),
            "{method} {target}"
        );
    }
    // In absolute form for what Host names (RFC 9112, section 3.2.2), it becomes the origin form.
    for (target, host) in [
        ("http://hooks.example.com/h?a=b", "hooks.example.com"),
        ("https://hooks.example.com/h?a=b", "hooks.example.com:443"),
        ("http://HOOKS.example.com:80/h?a=b", "hooks.example.com"),
        ("HTTP://hooks.example.com:8080/h?a=b", "hooks.example.com:8080"),
    ] {
        let mut head = head("POST", target, Version::HTTP_11, &[("host", host)]).expect("a head");
        assert_eq!(judge(&head, |host| host == "hooks.example.com"), Ok(()), "{target}");
        to_origin_form(&mut head);
        assert_eq!(head.uri, "/h?a=b");
        assert_eq!(judge(&head, |_| false), Err(GateRefusal::HostForeign), "{target}");
    }
    assert_eq!(
        judged("POST", "http://hooks.example.com/h", &[]),
        Err(GateRefusal::TargetForm)
    );
    // Found by fuzzing: `:path: ?a=b` would have been forwarded as it is, and routed as `/`.
    let over_h2 = |target| {
        let head = head("POST", target, Version::HTTP_2, &[]).expect("what h2 hands over");
        judge(&head, |_| true)
    };
    assert_eq!(over_h2("https://hooks.example.com?a=b"), Err(GateRefusal::TargetForm));
    assert_eq!(over_h2("https://hooks.example.com/?a=b"), Ok(()));
    assert_eq!(over_h2("https://hooks.example.com"), Ok(()));
    // A scheme without an authority is no target at all.
    for target in ["file:///h", "http:///h", "http:/h"] {
        assert!(head("POST", target, Version::HTTP_11, &[HOST]).is_none(), "{target}");
    }
    for (method, target) in [("CONNECT", "evil:80"), ("TRACE", "/h"), ("OPTIONS", "*")] {
        let refusal = judged(method, target, &[HOST]).expect_err("no tunnels");
        assert_eq!(
            (refusal, refusal.status().as_u16()),
            (GateRefusal::Method, 405),
            "{method} {target}"
        );
    }
    for method in ["post", "PATCH", "M-SEARCH", "OPTIONS"] {
        assert_eq!(judged(method, "/h", &[HOST]), Ok(()), "the route answers {method}");
    }
    for method in ["P!ST", "POST~", "PO'ST", "$"] {
        assert_eq!(
            judged(method, "/h", &[HOST]),
            Err(GateRefusal::MethodCharacters),
            "{method}"
        );
    }
}

#[test]
fn exactly_one_well_formed_host_of_ours() {
    let cases: [(Headers, Result<(), GateRefusal>); 23] = [
        (&[HOST], Ok(())),
        (&[("host", "HOOKS.Example.com:8443")], Ok(())),
        (&[("host", "hooks.example.com.")], Ok(())),
        (&[], Err(GateRefusal::HostMissing)),
        (&[HOST, HOST], Err(GateRefusal::HostDoubled)),
        (&[HOST, ("host", "evil")], Err(GateRefusal::HostDoubled)),
        (&[("host", "")], Err(GateRefusal::HostMalformed)),
        (&[("host", "hooks.example.com/x")], Err(GateRefusal::HostMalformed)),
        (&[("host", "hooks.example.com?x")], Err(GateRefusal::HostMalformed)),
        (&[("host", "a@hooks.example.com")], Err(GateRefusal::HostMalformed)),
        (&[("host", "hooks.example.com:")], Err(GateRefusal::HostMalformed)),
        (&[("host", "hooks.example.com:8x")], Err(GateRefusal::HostMalformed)),
        (&[("host", "hooks.example.com:+80")], Err(GateRefusal::HostMalformed)),
        (&[("host", "hooks.example.com:65536")], Err(GateRefusal::HostMalformed)),
        (&[("host", "hooks.example.com:80:80")], Err(GateRefusal::HostMalformed)),
        (&[("host", "hooks.example.com, evil")], Err(GateRefusal::HostMalformed)),
        (&[("host", "hooks example.com")], Err(GateRefusal::HostMalformed)),
        (&[("host", "hooks.example.com\t")], Err(GateRefusal::HostMalformed)),
        (&[("host", "[fe80::1%eth0]")], Err(GateRefusal::HostMalformed)),
        (&[("host", "[::1")], Err(GateRefusal::HostMalformed)),
        (&[("host", "[::1]x")], Err(GateRefusal::HostMalformed)),
        (&[("host", "[::1]:80")], Err(GateRefusal::HostForeign)),
        (&[("host", "evil.example")], Err(GateRefusal::HostForeign)),
    ];
    for (headers, expected) in cases {
        assert_eq!(judged("POST", "/h", headers), expected, "{headers:?}");
    }
    assert_eq!(GateRefusal::HostForeign.status().as_u16(), 421);
}

#[test]
fn http_1_0_needs_no_host_unless_hosts_are_named() {
    let head = head("POST", "/h", Version::HTTP_10, &[("content-length", "0")]).expect("a head");
    assert_eq!(judge(&head, str::is_empty), Ok(()));
    assert_eq!(
        judge(&head, |host| host == "hooks.example.com"),
        Err(GateRefusal::HostMissing)
    );
}

#[test]
fn over_http_2_the_authority_is_the_host() {
    let judged = |target: &str, headers: &[(&str, &str)]| {
        let head = head("POST", target, Version::HTTP_2, headers).expect("a head");
        judge(&head, |host| host == "hooks.example.com")
    };
    assert_eq!(judged("http://hooks.example.com/h", &[]), Ok(()));
    assert_eq!(judged("http://hooks.example.com/h", &[HOST]), Ok(()));
    assert_eq!(
        judged("http://hooks.example.com/h", &[("host", "evil")]),
        Err(GateRefusal::HostDoubled)
    );
    assert_eq!(
        judged("http://a@hooks.example.com/h", &[]),
        Err(GateRefusal::HostMalformed)
    );
    assert_eq!(judged("/h", &[]), Err(GateRefusal::HostMissing));
    assert_eq!(
        judged("http://hooks.example.com/h/../x", &[]),
        Err(GateRefusal::TargetBytes)
    );
    assert_eq!(
        judged("http://hooks.example.com/h", &[("transfer-encoding", "chunked")]),
        Err(GateRefusal::TransferEncoding)
    );
}

#[test]
fn chunked_is_the_only_coding_and_stands_alone() {
    for (coding, expected) in [
        ("chunked", Ok(())),
        ("Chunked", Ok(())),
        ("gzip, chunked", Err(GateRefusal::UnsupportedCoding)),
        ("gzip,deflate,chunked", Err(GateRefusal::UnsupportedCoding)),
        (",chunked", Err(GateRefusal::TransferEncoding)),
        ("chunked,", Err(GateRefusal::TransferEncoding)),
        ("chunked, chunked", Err(GateRefusal::TransferEncoding)),
        ("chunked, gzip, chunked", Err(GateRefusal::TransferEncoding)),
        ("chunked, identity", Err(GateRefusal::TransferEncoding)),
        ("gzip", Err(GateRefusal::TransferEncoding)),
        ("xchunked", Err(GateRefusal::TransferEncoding)),
        ("chunked;q=1", Err(GateRefusal::TransferEncoding)),
        ("gzip;q=1, chunked", Err(GateRefusal::TransferEncoding)),
        ("gz ip, chunked", Err(GateRefusal::TransferEncoding)),
        (" chunked", Err(GateRefusal::TransferEncoding)),
        ("", Err(GateRefusal::TransferEncoding)),
    ] {
        assert_eq!(
            judged("POST", "/h", &[HOST, ("transfer-encoding", coding)]),
            expected,
            "{coding}"
        );
    }
    let chunked = ("transfer-encoding", "chunked");
    assert_eq!(
        judged("POST", "/h", &[HOST, chunked, chunked]),
        Err(GateRefusal::TransferEncoding)
    );
    assert_eq!(
        judged("POST", "/h", &[HOST, chunked, ("content-length", "1")]),
        Err(GateRefusal::TransferEncoding)
    );
    let length = ("content-length", "1");
    assert_eq!(
        judged("POST", "/h", &[HOST, length, length]),
        Err(GateRefusal::ContentLength)
    );
    assert_eq!(GateRefusal::UnsupportedCoding.status().as_u16(), 501);
}

#[test]
fn http_1_0_says_where_its_body_ends() {
    for (method, headers, expected) in [
        ("POST", &[HOST][..], Err(GateRefusal::LengthRequired)),
        ("POST", &[HOST, ("content-length", "3")], Ok(())),
        ("GET", &[HOST], Ok(())),
    ] {
        let head = head(method, "/h", Version::HTTP_10, headers).expect("a head");
        assert_eq!(judge(&head, |_| true), expected, "{method} {headers:?}");
    }
    for version in [Version::HTTP_09, Version::HTTP_3] {
        let head = head("GET", "/h", version, &[HOST]).expect("a head");
        assert_eq!(judge(&head, |_| true), Err(GateRefusal::Version), "{version:?}");
    }
    assert_eq!(GateRefusal::LengthRequired.status().as_u16(), 411);
}

#[test]
fn the_only_expectation_is_100_continue() {
    let go_on = ("expect", "100-Continue");
    assert_eq!(judged("POST", "/h", &[HOST, go_on]), Ok(()));
    for headers in [
        &[HOST, ("expect", "200-ok")][..],
        &[HOST, ("expect", "")],
        &[HOST, go_on, go_on],
    ] {
        assert_eq!(
            judged("POST", "/h", headers),
            Err(GateRefusal::Expectation),
            "{headers:?}"
        );
    }
    assert_eq!(GateRefusal::Expectation.status().as_u16(), 417);
}

#[test]
fn headers_are_bounded_in_number_and_bytes() {
    let names: Vec<String> = (0..100).map(|n| format!("x-{n}")).collect();
    let mut headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    headers[0] = HOST;
    assert_eq!(judged("POST", "/h", &headers), Ok(()));
    headers.push(("x-one-more", "v"));
    assert_eq!(judged("POST", "/h", &headers), Err(GateRefusal::TooManyHeaders));
    let long = "v".repeat(MAX_HEADER_BYTES);
    assert_eq!((MAX_HEADER_BYTES, MAX_TARGET_BYTES), (65_536, 65_536));
    // To the byte: a line is name, colon, blank, value and its end.
    let room = MAX_HEADER_BYTES - (HOST.0.len() + HOST.1.len() + 4) - ("x".len() + 4);
    assert_eq!(judged("POST", "/h", &[HOST, ("x", &long[..room])]), Ok(()));
    assert_eq!(
        judged("POST", "/h", &[HOST, ("x", &long[..=room])]),
        Err(GateRefusal::HeadersTooLarge)
    );
    assert_eq!(
        judged("POST", "/h", &[HOST, ("x", &long)]),
        Err(GateRefusal::HeadersTooLarge)
    );
    assert_eq!(GateRefusal::HeadersTooLarge.status().as_u16(), 431);
}

#[test]
fn an_operator_reads_what_was_wrong() {
    assert_eq!(GateRefusal::HostForeign.reason(), "foreign Host");
    assert_eq!(GateRefusal::UnsupportedCoding.reason(), "coding before chunked");
}

#[test]
fn an_upgrade_is_no_matter_of_the_gate() {
    let headers = [
        HOST,
        ("connection", "upgrade, http2-settings"),
        ("upgrade", "h2c"),
        ("http2-settings", "AA"),
    ];
    assert_eq!(judged("POST", "/h", &headers), Ok(()));
}

proptest! {
    #[test]
    fn no_head_makes_the_gate_panic(method in "\\PC{0,8}", target in "\\PC{0,40}", host in "\\PC{0,20}", coding in "\\PC{0,20}") {
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            let headers = [("host", host.as_str()), ("transfer-encoding", coding.as_str())];
            if let Some(head) = head(&method, &target, version, &headers) {
                let _ = judge(&head, |_| true);
            }
        }
    }

    /// Whatever passes stays the same path for an app that decodes once and normalises.
    #[test]
    fn a_path_that_passes_means_one_thing(path in "/([a-z.;/\\\\]|%2e|%2E|%2f|%5c|%25|%3b|\\.\\.){0,12}") {
        if judged("POST", &path, &[HOST]).is_ok() {
            let decoded = path.replace("%2e", ".").replace("%2E", ".").replace("%3b", ";").replace("%25", "%");
            let segments = decoded[1..].split('/').map(|segment| segment.split(';').next().unwrap_or_default());
            for segment in segments {
                prop_assert!(segment != "." && segment != "..", "{} hides {}", path, segment);
            }
            prop_assert!(!decoded.contains('\\') && !path.contains("%2f") && !path.contains("//"), "{}", path);
        }
    }
}
