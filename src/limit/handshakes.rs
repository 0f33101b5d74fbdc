//! Handshakes that nothing proves: answered for whoever asks, and not too often, so that they buy neither load nor many MACs.
//!
//! They spend nothing of the source's own limit, or a stranger could keep its events out; and each client has a bucket of its
//! own, or he could keep the provider's handshakes out.

use super::{Limited, Rate, gcra::Gcra, prefix::Prefix, table::Table};
use crate::event::{Monotonic, SourceName};
use std::{net::IpAddr, time::Duration};

/// How many clients have a bucket at one time; beyond that the one that is nearest to full starts anew.
const CLIENTS: usize = 8192;
/// Providers ask once at enrolment, or once an hour.
const RATE: Rate = Rate {
    count: 50,
    per: Duration::from_secs(1),
};
const BURST: u32 = 500;

/// Handshakes of the whole process, by client prefix and source.
pub struct Handshakes {
    clients: Table<()>,
}

impl Handshakes {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self {
            clients: Table::new(CLIENTS),
        }
    }

    /// Spends one handshake of this client at this source.
    pub fn spend(&self, client: IpAddr, source: &SourceName, now: Monotonic) -> Result<(), Limited> {
        self.clients
            .take((Prefix::of(client), source), Gcra::new(RATE, BURST), now)
    }
}

impl Default for Handshakes {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_asks_on_and_on_waits_and_no_other_does() {
        let handshakes = Handshakes::new();
        let source = |name: &str| SourceName::parse(name).expect("a name");
        let at = |millis: u64| Monotonic::from_start(Duration::from_millis(millis));
        let ask = |client: &str, name: &str, now| {
            let client = client.parse().expect("an address");
            handshakes.spend(client, &source(name), now).is_ok()
        };
        for _ in 0..BURST {
            assert!(ask("2001:db8::1", "meta", at(0)));
        }
        assert!(!ask("2001:db8::2", "meta", at(0)), "an address of the same /64");
        assert!(ask("192.0.2.1", "meta", at(0)), "another client");
        assert!(ask("2001:db8::1", "x", at(0)), "another source");
        assert!(ask("2001:db8::1", "meta", at(20)), "one comes back in 20 ms");
        assert!(!ask("2001:db8::1", "meta", at(20)));
    }
}
