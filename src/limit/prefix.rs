//! Clients as network prefixes: who holds one address of an IPv6 /64 holds all of them.

use std::net::IpAddr;

/// One client: an IPv4 address, or an IPv6 /64. An IPv4 address in IPv6 clothes is the IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Prefix {
    V4([u8; 4]),
    V6([u8; 8]),
    /// The /48 around a /64: one customer of most providers.
    Site([u8; 6]),
}

impl Prefix {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => Self::V6(*v6.octets().first_chunk().expect("sixteen octets begin with eight")),
        }
    }

    /// The wider prefix that this one counts in too.
    pub(super) fn site(self) -> Option<Self> {
        match self {
            Self::V6(network) => network.first_chunk().copied().map(Self::Site),
            Self::V4(_) | Self::Site(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_apart_by_prefix() {
        let of = |text: &str| Prefix::of(text.parse().expect(text));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:1:3::3"));
        assert_eq!(of("2001:db8:1:2::3").site(), of("2001:db8:1:ffff::3").site());
        assert_ne!(of("2001:db8:1::").site(), of("2001:db8:2::").site());
        assert_eq!(of("192.0.2.1").site(), None);
    }
}
