//! Whose word about the client is believed, case by case.

use super::*;
use http::HeaderValue;
use proptest::{prelude::*, test_runner::RngSeed};
use std::net::SocketAddr;

fn resolver(header: &str, trust: &[&str]) -> ClientIp {
    ClientIp {
        trust: trust.iter().map(|net| net.parse().expect("a network")).collect(),
        direct: false,
        header: header.parse().expect("a header name"),
    }
}

fn resolve(resolver: &ClientIp, peer: &str, values: &[&str]) -> Client {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(
            &resolver.header,
            HeaderValue::from_bytes(value.as_bytes()).expect("a header value"),
        );
    }
    let address = SocketAddr::new(peer.parse().expect("an address"), 4711);
    resolver.resolve(Peer { address, tls: false }, &headers)
}

/// The client and what is passed on, as text.
fn seen(client: &Client) -> (String, String) {
    (client.ip.to_string(), client.forwarded_for())
}

#[test]
fn the_client_is_the_rightmost_untrusted_hop() {
    let xff = resolver("x-forwarded-for", &["10.0.0.0/8", "2001:db8:1::/48"]);
    for (peer, values, client, forwarded) in [
        ("10.0.0.1", &["192.0.2.7"][..], "192.0.2.7", "192.0.2.7, 10.0.0.1"),
        ("10.0.0.1", &["6.6.6.6, 192.0.2.7"], "192.0.2.7", "192.0.2.7, 10.0.0.1"),
        (
            "10.0.0.1",
            &["6.6.6.6", "192.0.2.7 , 10.0.0.2"],
            "192.0.2.7",
            "192.0.2.7, 10.0.0.2, 10.0.0.1",
        ),
        ("10.0.0.1", &["garbage, 192.0.2.7"], "192.0.2.7", "192.0.2.7, 10.0.0.1"),
        (
            "10.0.0.1",
            &["10.0.0.3, 10.0.0.2"],
            "10.0.0.3",
            "10.0.0.3, 10.0.0.2, 10.0.0.1",
        ),
        ("10.0.0.1", &["192.0.2.7:4000"], "192.0.2.7", "192.0.2.7, 10.0.0.1"),
        (
            "10.0.0.1",
            &["[2001:db8::7]:4000"],
            "2001:db8::7",
            "2001:db8::7, 10.0.0.1",
        ),
        ("10.0.0.1", &["2001:db8::7"], "2001:db8::7", "2001:db8::7, 10.0.0.1"),
        (
            "2001:db8:1::1",
            &["::ffff:192.0.2.7"],
            "192.0.2.7",
            "192.0.2.7, 2001:db8:1::1",
        ),
        ("::ffff:10.0.0.1", &["192.0.2.7"], "192.0.2.7", "192.0.2.7, 10.0.0.1"),
        ("10.0.0.1", &[], "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", &[",, 192.0.2.7 ,"], "192.0.2.7", "192.0.2.7, 10.0.0.1"),
    ] {
        let found = resolve(&xff, peer, values);
        assert_eq!(
            seen(&found),
            (client.to_owned(), forwarded.to_owned()),
            "{peer} {values:?}"
        );
        assert!(found.peer_trusted && !found.perhaps_many);
    }
}

#[test]
fn what_makes_no_sense_leaves_the_peer() {
    let xff = resolver("x-forwarded-for", &["10.0.0.0/8"]);
    for value in [
        "unknown",
        "_hidden",
        "192.0.2.7, unknown",
        "999.1.1.1",
        "192.0.2.7:",
        "192.0.2.7:x",
        "192.0.2.7:999999",
        "[2001:db8::7",
        "[2001:db8::7]x",
        "[192.0.2.7]",
        "fe80::1%eth0",
        "192.0.2.07",
        "\"192.0.2.7\"",
        "é",
        "192.0.2.7, garbage, 10.0.0.2",
    ] {
        assert_eq!(
            seen(&resolve(&xff, "10.0.0.1", &[value])),
            ("10.0.0.1".into(), "10.0.0.1".into()),
            "{value}"
        );
    }
}

#[test]
fn an_untrusted_peer_has_no_say() {
    for trust in [&["10.0.0.0/8"][..], &[]] {
        let found = resolve(&resolver("x-forwarded-for", trust), "198.51.100.1", &["192.0.2.7"]);
        assert_eq!(seen(&found), ("198.51.100.1".into(), "198.51.100.1".into()));
        assert!(!found.peer_trusted && !found.perhaps_many);
    }
}

#[test]
fn without_any_trust_an_inside_peer_may_stand_for_many() {
    let nobody = resolver("x-forwarded-for", &[]);
    for (peer, many) in [
        ("10.1.2.3", true),
        ("192.168.0.1", true),
        ("172.16.0.1", true),
        ("100.64.0.1", true),
        ("127.0.0.1", true),
        ("169.254.1.1", true),
        ("::1", true),
        ("fd00::1", true),
        ("fe80::1", true),
        ("::ffff:10.0.0.1", true),
        ("8.8.8.8", false),
        ("100.128.0.1", false),
        ("2600::1", false),
    ] {
        assert_eq!(resolve(&nobody, peer, &[]).perhaps_many, many, "{peer}");
    }
}

#[test]
fn a_peer_of_a_sidecar_with_direct_clients_is_one_client() {
    let direct = ClientIp {
        direct: true,
        ..resolver("x-forwarded-for", &[])
    };
    for peer in ["10.1.2.3", "127.0.0.1", "fd00::1"] {
        let client = resolve(&direct, peer, &["192.0.2.7"]);
        assert!(!client.perhaps_many && !client.peer_trusted, "{peer}");
        assert_eq!(seen(&client), (peer.to_owned(), peer.to_owned()));
    }
}

#[test]
fn the_walk_is_bounded() {
    let xff = resolver("x-forwarded-for", &["10.0.0.0/8"]);
    let chain = |hops: usize| vec!["10.0.0.2"; hops].join(", ");
    let client_before = |hops: usize| format!("192.0.2.7, {}", chain(hops));
    assert_eq!(
        resolve(&xff, "10.0.0.1", &[&client_before(31)]).ip.to_string(),
        "192.0.2.7"
    );
    assert_eq!(
        resolve(&xff, "10.0.0.1", &[&client_before(32)]).ip.to_string(),
        "10.0.0.1"
    );
    assert_eq!(resolve(&xff, "10.0.0.1", &[&chain(32)]).believed.len(), 33);
    assert_eq!(resolve(&xff, "10.0.0.1", &[&chain(10_000)]).believed.len(), 1);
    assert_eq!(
        resolve(&xff, "10.0.0.1", &[&format!("{}, 192.0.2.7", chain(10_000))])
            .ip
            .to_string(),
        "192.0.2.7"
    );
}

#[test]
fn forwarded_is_read_by_its_own_grammar() {
    let forwarded = resolver("forwarded", &["10.0.0.0/8"]);
    for (value, client) in [
        ("for=192.0.2.7", "192.0.2.7"),
        ("For=192.0.2.7;proto=https;by=10.0.0.9", "192.0.2.7"),
        ("proto=https ; for=192.0.2.7", "192.0.2.7"),
        ("for=6.6.6.6, for=192.0.2.7;host=\"a,b;for=6.6.6.6\"", "192.0.2.7"),
        ("for=\"[2001:db8::7]:4711\"", "2001:db8::7"),
        ("for=\"192.0.2.7:_port\"", "192.0.2.7"),
        ("for=192.0.2.7, for=10.0.0.2", "192.0.2.7"),
        ("host=\"\\\", for=6.6.6.6\";for=192.0.2.7", "192.0.2.7"),
        ("for=unknown", "10.0.0.1"),
        ("for=_hidden", "10.0.0.1"),
        ("for=\"192.0.2.7", "10.0.0.1"),
        ("for=192.0.2.7;for=6.6.6.6", "10.0.0.1"),
        ("by=192.0.2.7", "10.0.0.1"),
        ("192.0.2.7", "10.0.0.1"),
    ] {
        assert_eq!(
            resolve(&forwarded, "10.0.0.1", &[value]).ip.to_string(),
            client,
            "{value}"
        );
    }
}

/// Found by fuzzing: an open quote or bytes that are no text, sent by a client, took the hop with them that the trusted
/// peer had appended. The client was then whoever it said, or the peer itself, and its penalties fell on all behind it.
#[test]
fn what_a_client_sends_cannot_swallow_what_a_trusted_hop_appends() {
    for (header, sent, appended) in [
        ("forwarded", "for=6.6.6.6;x=\"", "for=192.0.2.7"),
        ("forwarded", "for=6.6.6.6;x=\"\\", "for=192.0.2.7"),
        ("forwarded", "for=6.6.6.6;x=\"", "for=\"192.0.2.7:4711\""),
        ("forwarded", "for=6.6.6.6;x=\"", "for=192.0.2.7;host=\"a, b\""),
        ("forwarded", "\"", "for=192.0.2.7"),
        ("x-forwarded-for", "\"", "192.0.2.7"),
        ("x-forwarded-for", "6.6.6.6, \"\\", "192.0.2.7"),
        ("x-forwarded-for", "é", "192.0.2.7"),
        ("forwarded", "é", "for=192.0.2.7"),
    ] {
        let resolver = resolver(header, &["10.0.0.0/8"]);
        for values in [&[&*format!("{sent}, {appended}")][..], &[sent, appended]] {
            let found = resolve(&resolver, "10.0.0.1", values);
            assert_eq!(found.ip.to_string(), "192.0.2.7", "{header}: {values:?}");
        }
    }
    // Within what a trusted hop itself wrote, quotes stand around whole values only.
    for value in [
        "for=192.0.2.7;host=a\"b\"",
        "for=192.0.2.7;x=\"a\"b\"",
        "for=192.0.2.7;\"",
        "for=192.0.2.7;x=\"a\\\"",
        // Nor does an odd one among them take what stands before it.
        "for=6.6.6.6;x, for=192.0.2.7;a, b\";c=d",
        "for=6.6.6.6;x=y, for=192.0.2.7;host=a\"",
    ] {
        let found = resolve(&resolver("forwarded", &["10.0.0.0/8"]), "10.0.0.1", &[value]);
        assert_eq!(found.ip.to_string(), "10.0.0.1", "{value}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(6), failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// Whatever stands left of what a trusted hop appended changes nothing.
    #[test]
    fn a_client_cannot_choose_its_address(
        sent in "([ -~é]{0,40}|(for=6[.]6[.]6[.]6|x=|[\";,= \\\\]){0,12})",
        more in prop::collection::vec("[ -~é]{0,20}", 0..3),
        by in "(;(host|by)=(\"[ !#-\\[\\]-~,;]{0,9}(\\\\[\"\\\\])?\"|[a-z]{1,5}))?",
        header in "forwarded|x-forwarded-for",
        same_line: bool,
    ) {
        let resolver = resolver(&header, &["10.0.0.0/8"]);
        let appended = if header == "forwarded" { format!("for=192.0.2.7{by}") } else { "192.0.2.7".to_owned() };
        let mut values = more;
        if same_line {
            values.push(format!("{sent}, {appended}"));
        } else {
            values.extend([sent, appended]);
        }
        let found = resolve(&resolver, "10.0.0.1", &values.iter().map(String::as_str).collect::<Vec<_>>());
        prop_assert_eq!(found.ip.to_string(), "192.0.2.7", "{:?}", values);
        prop_assert_eq!(found.believed.len(), 2);
    }

    #[test]
    fn no_header_makes_it_panic_or_long(value in "[ -~]{0,200}", header in "forwarded|x-forwarded-for") {
        let found = resolve(&resolver(&header, &["0.0.0.0/0"]), "10.0.0.1", &[&value]);
        prop_assert!(found.believed.len() <= MAX_HOPS + 1);
        prop_assert_eq!(found.believed.last().map(ToString::to_string), Some("10.0.0.1".to_owned()));
        prop_assert_eq!(found.believed.first(), Some(&found.ip));
    }
}

#[test]
fn only_a_space_and_a_tab_stand_around_what_a_hop_wrote() {
    let forwarded = resolver("forwarded", &["10.0.0.0/8"]);
    let client = |value: &str| resolve(&forwarded, "10.0.0.1", &[value]).ip.to_string();
    assert_eq!(client("proto=https ;\t for = 192.0.2.7"), "192.0.2.7");
    assert_eq!(client("for=\u{205f}192.0.2.7"), "10.0.0.1");
    assert_eq!(client("for=192.0.2.7\u{a0}"), "10.0.0.1");
}
