//! `X-Forwarded-For` and `Forwarded`: no value panics, and nobody is believed whom no trusted hop vouches for.
#![no_main]

use hookward::server::{ClientIp, Peer};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

fuzz_target!(|data: &[u8]| {
    let [flags, rest @ ..] = data else { return };
    let header = if flags & 1 == 0 { "x-forwarded-for" } else { "forwarded" };
    let resolver = ClientIp {
        trust: vec!["10.0.0.0/8".parse().expect("a net"), "2001:db8::/32".parse().expect("a net")],
        header: header.parse().expect("a name"),
    };
    let ip = if flags & 2 == 0 { Ipv4Addr::new(10, 0, 0, 1) } else { Ipv4Addr::new(192, 0, 2, 1) };
    let peer = Peer {
        address: SocketAddr::new(IpAddr::V4(ip), 4321),
        tls: flags & 4 != 0,
    };
    let mut headers = HeaderMap::new();
    for line in rest.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(resolver.header.clone(), value);
        }
    }
    let client = resolver.resolve(peer, &headers);
    let _ = client.forwarded_for();
    assert_eq!(client.believed.last(), Some(&peer.address.ip()));
    assert_eq!(client.believed.first(), Some(&client.ip));
    // Every hop but the client itself is trusted.
    assert!(client.believed[1..].iter().all(|hop| resolver.trusts(*hop)) || client.believed.len() == 1);
    assert!(client.peer_trusted || client.believed.len() == 1);
});
