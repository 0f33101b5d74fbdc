//! Handshakes that nothing proves: answered for whoever asks, and not too often, so that they buy neither load nor many MACs.
//!
//! They spend nothing of the source's own limit, or a stranger could keep its events out; and each client has a bucket of its
//! own, or he could keep the provider's handshakes out. A load balancer that `client_ip.trust` does not name has one bucket
//! too. Each client that it names has a share of that bucket, and a reserve is for those that ask seldom.

use super::{Limited, Rate, gcra::Gcra, prefix::Prefix, table::Table};
use crate::event::{Client, Monotonic, SourceName};
use std::time::Duration;

/// How many clients have a bucket at one time; beyond that the one that is nearest to full starts anew.
const CLIENTS: usize = 8192;
/// Providers ask once at enrolment, or once an hour.
const RATE: Rate = Rate {
    count: 50,
    per: Duration::from_secs(1),
};
const BURST: u32 = 500;

/// A client behind an unnamed load balancer: a tenth of what the load balancer has.
const CLAIMED_RATE: Rate = Rate {
    count: 5,
    per: Duration::from_secs(1),
};
const CLAIMED_BURST: u32 = 50;

/// A client that asks no more often than this has the reserve besides. A person who tries an enrolment clicks a few times.
const SELDOM_RATE: Rate = Rate {
    count: 6,
    per: Duration::from_mins(1),
};
const SELDOM_BURST: u32 = 5;

/// The reserve of each unnamed load balancer at each source.
const RESERVE_RATE: Rate = Rate {
    count: 10,
    per: Duration::from_secs(1),
};
const RESERVE_BURST: u32 = 100;

/// Handshakes of the whole process, by client prefix and source.
pub struct Handshakes {
    clients: Table<()>,
    claimed: Table<()>,
    seldom: Table<()>,
    reserve: Table<()>,
}

impl Handshakes {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self {
            clients: Table::new(CLIENTS),
            claimed: Table::new(CLIENTS),
            seldom: Table::new(CLIENTS),
            reserve: Table::new(CLIENTS),
        }
    }

    /// Spends one handshake of this client at this source.
    pub fn spend(&self, client: &Client, source: &SourceName, now: Monotonic) -> Result<(), Limited> {
        let peer = (Prefix::of(client.ip), source);
        let claimed = client.claimed.map(|claimed| (peer, Prefix::of(claimed)));
        let mut seldom = false;
        if let Some(claimed) = claimed {
            let gcra = Gcra::new(SELDOM_RATE, SELDOM_BURST);
            seldom = self.seldom.take(claimed, gcra, now).is_ok();
            let gcra = Gcra::new(CLAIMED_RATE, CLAIMED_BURST);
            self.claimed.take(claimed, gcra, now)?;
        }
        let shared = self.clients.take(peer, Gcra::new(RATE, BURST), now);
        if shared.is_err() && seldom {
            return self.reserve.take(peer, Gcra::new(RESERVE_RATE, RESERVE_BURST), now);
        }
        shared
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
    use std::net::IpAddr;

    /// A client that nothing stands before.
    fn named(ip: &str) -> Client {
        let ip: IpAddr = ip.parse().expect("an address");
        Client {
            ip,
            believed: vec![ip],
            peer_trusted: false,
            perhaps_many: false,
            claimed: None,
            tls: false,
        }
    }

    #[test]
    fn of_an_unnamed_load_balancer_no_client_spends_all() {
        let handshakes = Handshakes::new();
        let meta = SourceName::parse("meta").expect("a name");
        let at = |millis: u64| Monotonic::from_start(Duration::from_millis(millis));
        let ask = |claimed: u8, now| {
            let client = Client {
                perhaps_many: true,
                claimed: Some(IpAddr::from([203, 0, 113, claimed])),
                ..named("10.0.0.1")
            };
            handshakes.spend(&client, &meta, now).is_ok()
        };
        let asked = |claimed: u8, now| (0..600).filter(|_| ask(claimed, now)).count();
        assert_eq!(asked(1, at(0)), 50);
        assert_eq!((2..=10).map(|claimed| asked(claimed, at(0))).sum::<usize>(), 450);
        assert_eq!(asked(11, at(0)), 5, "of the reserve");
        assert!(!ask(1, at(0)), "who asked often has nothing of it");
        assert_eq!(
            (12..=60).map(|claimed| asked(claimed, at(0))).sum::<usize>(),
            95,
            "the reserve has an end"
        );
        assert!(!ask(99, at(0)) && ask(99, at(100)), "and comes back");
    }

    #[test]
    fn a_client_that_asks_on_and_on_waits_and_no_other_does() {
        let handshakes = Handshakes::new();
        let source = |name: &str| SourceName::parse(name).expect("a name");
        let at = |millis: u64| Monotonic::from_start(Duration::from_millis(millis));
        let ask = |client: &str, name: &str, now| handshakes.spend(&named(client), &source(name), now).is_ok();
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
