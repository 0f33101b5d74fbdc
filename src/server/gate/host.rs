//! Host: exactly one, `host[:port]` and nothing else, and ours.

use super::GateRefusal;
use http::{Version, header, request::Parts};
use std::net::Ipv6Addr;

pub(super) fn judge(head: &Parts, serves_host: impl FnOnce(&str) -> bool) -> Result<(), GateRefusal> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(GateRefusal::HostDoubled);
    }
    let authority = match head.version {
        Version::HTTP_2 => head.uri.authority().map(|authority| authority.as_str().as_bytes()),
        _ => None,
    };
    let host = host.map(http::HeaderValue::as_bytes);
    let named = match (authority, host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => return Err(GateRefusal::HostDoubled),
        (Some(named), _) | (None, Some(named)) => named,
        // HTTP/1.0 knows no Host; whether such a request is for us is still asked below.
        (None, None) if head.version == Version::HTTP_10 => {
            return if serves_host("") {
                Ok(())
            } else {
                Err(GateRefusal::HostMissing)
            };
        }
        (None, None) => return Err(GateRefusal::HostMissing),
    };
    let name = parse(named).ok_or(GateRefusal::HostMalformed)?;
    let ours = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        serves_host(&name.to_ascii_lowercase())
    } else {
        serves_host(name)
    };
    if ours { Ok(()) } else { Err(GateRefusal::HostForeign) }
}

/// The host of `host[:port]`, without brackets and trailing dot; `None` for userinfo, a path, a scope, junk in the port.
fn parse(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        return port_is_plain(rest).then_some(address);
    }
    let (name, port) = text.find(':').map_or((text, ""), |colon| text.split_at(colon));
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    (plain && port_is_plain(port)).then_some(name)
}

/// Nothing, or a colon and a port number.
fn port_is_plain(rest: &str) -> bool {
    rest.is_empty()
        || rest.strip_prefix(':').is_some_and(|port| {
            port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
        })
}
