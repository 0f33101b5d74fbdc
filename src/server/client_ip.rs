//! Who the client is: walks `X-Forwarded-For` or `Forwarded` from the right over the hops that are trusted.

use super::{Peer, gate::is_token_byte};
use crate::event::Client;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv6Addr},
};

/// Hops that are looked at, from the right; no chain of real proxies is as long.
const MAX_HOPS: usize = 32;

/// What may stand around the parts of a header (RFC 9110, section 5.6.3); no other space of Unicode is one there.
const OWS: [char; 2] = [' ', '\t'];

/// `client_ip` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIp {
    /// Hops whose word counts.
    pub trust: Vec<IpNet>,
    /// `trust: []` is stated: clients connect directly, so no peer stands for many of them.
    pub direct: bool,
    /// The header that they write: `forwarded` (RFC 7239), or one with a plain list such as `x-forwarded-for`.
    pub header: HeaderName,
}

impl ClientIp {
    /// The client of a request that came from `peer` (where a PROXY header was read: from whom that names, and nothing is
    /// believed of the load balancer's own address any more): the rightmost hop that is not trusted. If the header of a trusted
    /// peer makes no sense within 32 hops, nothing of it is believed and the peer is the client.
    pub fn resolve(&self, peer: Peer, headers: &HeaderMap) -> Client {
        let tls = peer.tls;
        let peer = peer.address.ip().to_canonical();
        let peer_trusted = self.trusts(peer);
        let believed = if peer_trusted {
            self.believed_hops(headers)
        } else {
            None
        };
        let mut believed = believed.unwrap_or_default();
        believed.push(peer);
        let perhaps_many = !self.direct && self.trust.is_empty() && is_inside(peer);
        Client {
            ip: believed[0],
            believed,
            peer_trusted,
            perhaps_many,
            claimed: perhaps_many.then(|| self.last_hop(headers)).flatten(),
            tls,
        }
    }

    /// Is this one of the hops whose word counts?
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.trust.iter().any(|net| net.contains(&ip))
    }

    /// The last hop that the header names, which the peer itself wrote if it is a load balancer.
    fn last_hop(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let grammar = self.header == http::header::FORWARDED;
        let value = headers.get_all(&self.header).iter().next_back()?;
        let element = elements_from_right(value.as_bytes(), grammar).next()?;
        let element = std::str::from_utf8(element).ok()?;
        address(if grammar { forwarded_for(element)? } else { element })
    }

    /// The hops from the client to the one before the peer; `None` if one of them is no address or the walk is too long.
    ///
    /// Read from the right, where trusted hops wrote: what a client sent before them (an open quote, bytes that are no
    /// text) can neither hide nor swallow what they added.
    fn believed_hops(&self, headers: &HeaderMap) -> Option<Vec<IpAddr>> {
        let grammar = self.header == http::header::FORWARDED;
        let mut hops = VecDeque::new();
        for value in headers.get_all(&self.header).iter().rev() {
            for element in elements_from_right(value.as_bytes(), grammar) {
                // All of them are trusted, and there are more.
                if hops.len() == MAX_HOPS {
                    return None;
                }
                let element = std::str::from_utf8(element).ok()?;
                let node = if grammar { forwarded_for(element)? } else { element };
                let hop = address(node)?;
                hops.push_front(hop);
                if !self.trusts(hop) {
                    return Some(hops.into());
                }
            }
        }
        // All are trusted: the leftmost is the client.
        Some(hops.into())
    }
}

/// Private, loopback, link-local or shared (RFC 6598): where a load balancer of one's own stands.
fn is_inside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0b1100_0000 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// The elements of a comma-separated list, the last one first. Empty ones count for nothing (RFC 9110, section 5.6.1).
/// With `quotes`, a comma inside a quoted string does not separate.
fn elements_from_right(list: &[u8], quotes: bool) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    let next = move || {
        let list = rest.take()?;
        let comma = if quotes {
            last_unquoted_comma(list)
        } else {
            list.iter().rposition(|byte| *byte == b',')
        };
        let Some(comma) = comma else { return Some(list) };
        rest = Some(&list[..comma]);
        Some(&list[comma + 1..])
    };
    std::iter::from_fn(next)
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

fn last_unquoted_comma(list: &[u8]) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in list.iter().enumerate().rev() {
        match byte {
            b'"' if !(quoted && is_escaped(list, at)) => quoted = !quoted,
            b',' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Does an odd number of backslashes stand before it?
fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        if escaped {
            escaped = false;
            return false;
        }
        match c {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return c == separator && !quoted,
        }
        false
    })
}

/// The `for` of one element of `Forwarded`, without its quotes; `None` where it has none or two, or where quotes stand
/// elsewhere than around a whole value.
fn forwarded_for(element: &str) -> Option<&str> {
    let mut node = None;
    for pair in split_unquoted(element, ';').map(|pair| pair.trim_matches(OWS)) {
        if pair.is_empty() {
            continue;
        }
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (name.trim_matches(OWS), unquoted(value.trim_matches(OWS))?);
        if !name.bytes().all(is_token_byte) || (name.eq_ignore_ascii_case("for") && node.replace(value).is_some()) {
            return None;
        }
    }
    node
}

fn unquoted(value: &str) -> Option<&str> {
    let Some(rest) = value.strip_prefix('"') else {
        return (!value.contains(['"', ','])).then_some(value);
    };
    let inside = rest.strip_suffix('"')?;
    let mut escaped = false;
    for byte in inside.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return None,
            _ => {}
        }
    }
    (!escaped).then_some(inside)
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; not `unknown`, `_hidden` or a scope.
fn address(node: &str) -> Option<IpAddr> {
    if let Some(bracketed) = node.strip_prefix('[') {
        let (ip, port) = bracketed.split_once(']')?;
        let ip: Ipv6Addr = ip.parse().ok()?;
        return (port.is_empty() || is_port(port.strip_prefix(':')?)).then(|| IpAddr::V6(ip).to_canonical());
    }
    if let Ok(ip) = node.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    let (ip, port) = node.split_once(':')?;
    let ip: std::net::Ipv4Addr = ip.parse().ok()?;
    is_port(port).then_some(IpAddr::V4(ip))
}

/// A port of RFC 7239: digits, or an obfuscated one.
fn is_port(port: &str) -> bool {
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    let obfuscated = port.strip_prefix('_').is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    });
    digits || obfuscated
}

#[cfg(test)]
mod tests;
