//! The PROXY protocol: a header says what its bytes say, however they are cut and whatever follows them.
use hookward::server::proxy_header_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

pub fn check(data: &[u8]) {
    let [piece, bytes @ ..] = data else { return };
    well_formed(bytes);
    let whole = proxy_header_of(bytes, usize::MAX);
    let pieces = proxy_header_of(bytes, usize::from(*piece));
    let said = |read: &Option<(Result<_, _>, usize)>| read.as_ref().map(|(said, _)| *said);
    assert_eq!(said(&whole), said(&pieces), "cut");
    let Some((said, taken)) = whole else {
        // It goes on: with nothing more to come in sight, it may not be longer than a header can be.
        assert!(bytes.len() < 4096);
        return;
    };
    assert!(taken <= 4096 && taken <= bytes.len());
    let Ok(address) = said else { return };
    let header = &bytes[..taken];
    assert_eq!(proxy_header_of(bytes, usize::from(*piece)), Some((said, taken)));
    assert_eq!(proxy_header_of(header, usize::MAX), Some((said, taken)));
    let followed = [header, b"POST / HTTP/1.1\r\n"].concat();
    assert_eq!(proxy_header_of(&followed, usize::MAX), Some((said, taken)));
    assert_eq!(
        proxy_header_of(&header[..taken - 1], usize::MAX),
        None,
        "a header without its end"
    );
    match header.strip_prefix(SIGNATURE) {
        Some(rest) => version_2(rest, address),
        None => version_1(header, address),
    }
}

/// `PROXY TCP4 192.0.2.7 198.51.100.1 4321 443` and nothing else.
fn version_1(header: &[u8], address: Option<SocketAddr>) {
    let line = std::str::from_utf8(header).expect("a line is ASCII");
    assert!(line.len() <= 107);
    let line = line.strip_suffix("\r\n").expect("a line ends so");
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[0], "PROXY");
    let Some(address) = address else {
        assert_eq!(words[1], "UNKNOWN");
        return;
    };
    let [_, family, source, target, port, target_port] = words[..] else {
        panic!("{line}")
    };
    let (source, target): (IpAddr, IpAddr) = (source.parse().expect("a source"), target.parse().expect("a target"));
    assert_eq!(
        (family, source.is_ipv4(), target.is_ipv4()),
        if source.is_ipv4() {
            ("TCP4", true, true)
        } else {
            ("TCP6", false, false)
        }
    );
    assert_eq!(
        address,
        SocketAddr::new(source.to_canonical(), port.parse().expect("a port"))
    );
    assert_eq!(port, address.port().to_string());
    assert_eq!(target_port, target_port.parse::<u16>().expect("a port").to_string());
}

/// Command, family, length, addresses.
fn version_2(rest: &[u8], address: Option<SocketAddr>) {
    let (command, family, payload) = (rest[0], rest[1], &rest[4..]);
    assert_eq!(payload.len(), usize::from(u16::from_be_bytes([rest[2], rest[3]])));
    assert!(command == 0x20 || command == 0x21, "{command:x}");
    let Some(address) = address else {
        // LOCAL, or a family without addresses of ours.
        assert!(command == 0x20 || !matches!(family, 0x11 | 0x21), "{family:x}");
        return;
    };
    assert_eq!(command, 0x21);
    let (ip, port) = match family {
        0x11 => (
            IpAddr::from(<[u8; 4]>::try_from(&payload[..4]).expect("four")),
            &payload[8..10],
        ),
        0x21 => (
            IpAddr::from(<[u8; 16]>::try_from(&payload[..16]).expect("sixteen")),
            &payload[32..34],
        ),
        other => panic!("family {other:x} has no TCP address"),
    };
    assert_eq!(
        address,
        SocketAddr::new(ip.to_canonical(), u16::from_be_bytes([port[0], port[1]]))
    );
}

/// What a load balancer writes is read, in either version.
fn well_formed(bytes: &[u8]) {
    let Some((random, more)) = bytes.split_first_chunk::<36>() else {
        return;
    };
    let [a, b, c, d, ..] = *random;
    let (four, other): (Ipv4Addr, Ipv4Addr) = ([a, b, c, d].into(), [d, c, b, a].into());
    let six = Ipv6Addr::from(<[u8; 16]>::try_from(&random[4..20]).expect("sixteen"));
    let port = u16::from_be_bytes([random[34], random[35]]);
    let tlvs = &more[..more.len().min(1000)];
    let short = [&[a, b, c, d, d, c, b, a], &random[34..36], &random[32..34]].concat();
    let long = [&random[4..20], &random[16..32], &random[34..36], &random[32..34]].concat();
    for (family, addresses, ip) in [(0x11, short, IpAddr::V4(four)), (0x21, long, IpAddr::V6(six))] {
        let payload = [&addresses[..], tlvs].concat();
        let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
        let header = [SIGNATURE, &[0x21, family], &length, &payload].concat();
        let wanted = Some(SocketAddr::new(ip.to_canonical(), port));
        assert_eq!(proxy_header_of(&header, 1), Some((Ok(wanted), header.len())));
    }
    for (line, ip) in [
        (format!("PROXY TCP4 {four} {other} {port} 443\r\n"), IpAddr::V4(four)),
        (format!("PROXY TCP6 {six} ::1 {port} 443\r\n"), IpAddr::V6(six)),
    ] {
        let wanted = Some(SocketAddr::new(ip.to_canonical(), port));
        assert_eq!(proxy_header_of(line.as_bytes(), 1), Some((Ok(wanted), line.len())));
    }
}
