//! Who the client is: walks `X-Forwarded-For` or `Forwarded` from the right over the hops that are trusted.

use super::Peer;
use crate::event::Client;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv6Addr},
};

/// Hops that are looked at, from the right; no chain of real proxies is as long.
const MAX_HOPS: usize = 32;

/// `client_ip` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIp {
    /// Hops whose word counts.
    pub trust: Vec<IpNet>,
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
        Client {
            ip: believed[0],
            believed,
            peer_trusted,
            perhaps_many: self.trust.is_empty() && is_inside(peer),
            tls,
        }
    }

    /// Is this one of the hops whose word counts?
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.trust.iter().any(|net| net.contains(&ip))
    }

    /// The hops from the client to the one before the peer; `None` if one of them is no address or the walk is too long.
    fn believed_hops(&self, headers: &HeaderMap) -> Option<Vec<IpAddr>> {
        let mut last: VecDeque<&str> = VecDeque::new();
        let mut longer = false;
        for value in headers.get_all(&self.header) {
            for element in elements(value.to_str().ok()?) {
                last.push_back(element);
                if last.len() > MAX_HOPS {
                    last.pop_front();
                    longer = true;
                }
            }
        }
        let mut hops = VecDeque::new();
        for element in last.into_iter().rev() {
            let node = if self.header == http::header::FORWARDED {
                forwarded_for(element)?
            } else {
                element
            };
            let hop = address(node)?;
            hops.push_front(hop);
            if !self.trusts(hop) {
                return Some(hops.into());
            }
        }
        // All are trusted: the leftmost is the client, if it was reached.
        (!longer).then(|| hops.into())
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

/// The elements of a comma-separated list; a comma inside a quoted string does not separate. Empty ones count for
/// nothing (RFC 9110, section 5.6.1).
fn elements(list: &str) -> impl Iterator<Item = &str> {
    split_unquoted(list, ',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
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

/// The `for` of one element of `Forwarded`, without its quotes.
fn forwarded_for(element: &str) -> Option<&str> {
    let mut nodes = split_unquoted(element, ';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value.trim())
    });
    let node = nodes.next()?;
    if nodes.next().is_some() {
        return None;
    }
    match node.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"'),
        None => Some(node),
    }
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
