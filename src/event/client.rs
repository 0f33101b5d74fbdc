//! Who sent a request: the client behind the hops that are believed.

use std::{fmt::Write, net::IpAddr};

/// The client of one request, as far as the trusted hops vouch for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The rightmost hop that is not trusted; the peer itself if its word does not count or makes no sense.
    pub ip: IpAddr,
    /// What `X-Forwarded-For` says to a destination: the believed hops in order, the peer last, nothing else.
    pub believed: Vec<IpAddr>,
    /// The peer is a trusted hop: its `X-Forwarded-Proto`, `X-Forwarded-Host` and `X-Request-Id` count too.
    pub peer_trusted: bool,
    /// The configuration does not state `client_ip.trust` and the peer is private or loopback: it may be a load balancer
    /// that stands for many clients, so no penalty may fall on it.
    pub perhaps_many: bool,
    /// Where `perhaps_many` holds: whom the peer names as its own client. Nobody vouches for it, so it may only divide a
    /// budget that belongs to the peer.
    pub claimed: Option<IpAddr>,
    /// The peer came over TLS that ended here.
    pub tls: bool,
}

impl Client {
    /// `believed` as the value of `X-Forwarded-For`.
    pub fn forwarded_for(&self) -> String {
        let mut text = String::with_capacity(32);
        for (index, hop) in self.believed.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(text, "{comma}{hop}").expect("writing to a String cannot fail");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_for_lists_the_believed_hops_in_order() {
        let client = Client {
            ip: IpAddr::from([192, 0, 2, 7]),
            believed: vec![IpAddr::from([192, 0, 2, 7]), IpAddr::from([10, 0, 0, 1])],
            peer_trusted: true,
            perhaps_many: false,
            claimed: None,
            tls: false,
        };
        assert_eq!(client.forwarded_for(), "192.0.2.7, 10.0.0.1");
    }
}
