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

/// Not an address of the open internet: loopback, private, shared (RFC 6598), link-local, unique local.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let is_shared = a == 100 && b & 0xc0 == 64;
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
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

    #[test]
    fn private_addresses_are_known() {
        for (address, private) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.16.0.1", true),
            ("192.168.1.1", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("169.254.1.1", true),
            ("::1", true),
            ("::ffff:10.0.0.1", true),
            ("fd12::1", true),
            ("fe80::1", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_private(address.parse().expect(address)), private, "{address}");
        }
    }
}
