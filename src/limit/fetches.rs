//! Fetches that a stranger's request asks for: so few that nobody can send us to a key server without end.
//!
//! What verified something before is renewed without spending any of these, so that a flood of forged requests can delay a
//! key that was never seen, and no other. Each client has a share of its source's budget, and so has an IPv6 /48. A client
//! whose URLs fail has less, and the reserve of a source is for clients that ask seldom.

use super::{
    Limited, Rate,
    gcra::Gcra,
    prefix::Prefix,
    table::{Found, Table},
};
use crate::event::{Client, Monotonic, SourceName};
use std::time::Duration;

/// How many clients have a bucket at one time; beyond that the one that is nearest to full starts anew, and the source's
/// own bucket holds.
const CLIENTS: usize = 8192;
/// How many sources are expected; beyond it the bucket that is nearest to full starts anew.
const SOURCES: usize = 4096;
const MINUTE: Duration = Duration::from_mins(1);
/// A provider publishes a new certificate a few times a year.
const PER_CLIENT: Rate = Rate { count: 6, per: MINUTE };
const PER_CLIENT_BURST: u32 = 6;
/// The budget of a /48, as a multiple of one client's.
const SITE: u32 = 2;
/// Of URLs that named no key a client may name so many.
const FAILED: Rate = Rate { count: 1, per: MINUTE };
const FAILED_BURST: u32 = 2;
/// All clients of a source together.
const PER_SOURCE: Rate = Rate { count: 30, per: MINUTE };
const PER_SOURCE_BURST: u32 = 30;
/// The reserve of a source, for clients that ask no more often than [`SELDOM`].
const RESERVE: Rate = Rate { count: 10, per: MINUTE };
const RESERVE_BURST: u32 = 10;
const SELDOM: Rate = Rate {
    count: 1,
    per: Duration::from_mins(10),
};
const SELDOM_BURST: u32 = 2;

/// Fetches of the whole process, by client prefix and source.
pub struct Fetches {
    clients: Table<()>,
    failed: Table<()>,
    seldom: Table<()>,
    sources: Table<()>,
    reserves: Table<()>,
    proven: Table<()>,
}

impl Fetches {
    /// Nothing was asked for yet.
    pub fn new() -> Self {
        Self {
            clients: Table::new(CLIENTS),
            failed: Table::new(CLIENTS),
            seldom: Table::new(CLIENTS),
            sources: Table::new(SOURCES),
            reserves: Table::new(SOURCES),
            proven: Table::new(SOURCES),
        }
    }

    /// Spends one fetch of a source, and of this client. Of a client that may be many, and names none of them, only the
    /// source's bucket counts.
    pub fn spend(&self, client: &Client, source: &SourceName, now: Monotonic) -> Result<(), Limited> {
        let mut seldom = false;
        if let Some((peer, prefix)) = one(client) {
            let failed = Gcra::new(FAILED, FAILED_BURST);
            let bucket = self.failed.look(self.failed.tag((peer, prefix, source)), now);
            if let Found::Held(full_at, ()) = bucket
                && let Some(wait) = failed.wait(full_at, now)
            {
                return Err(failed.limited(wait));
            }
            let take = |table: &Table<()>, gcra: Gcra| {
                table.take((peer, prefix, source), gcra, now)?;
                let site = prefix.site();
                site.map_or(Ok(()), |site| table.take((peer, site, source), gcra.widened(SITE), now))
            };
            seldom = take(&self.seldom, Gcra::new(SELDOM, SELDOM_BURST)).is_ok();
            take(&self.clients, Gcra::new(PER_CLIENT, PER_CLIENT_BURST))?;
        }
        let taken = self.sources.take(source, Gcra::new(PER_SOURCE, PER_SOURCE_BURST), now);
        if taken.is_err() && seldom {
            return self.reserves.take(source, Gcra::new(RESERVE, RESERVE_BURST), now);
        }
        taken
    }

    /// A URL that a request of this client named holds no key: the client may name fewer URLs from now on.
    pub fn failed(&self, client: &Client, source: &SourceName, now: Monotonic) {
        if let Some((peer, prefix)) = one(client) {
            let gcra = Gcra::new(FAILED, FAILED_BURST);
            let _empty_already = self.failed.take((peer, prefix, source), gcra, now);
        }
    }

    /// Spends one fetch that a verified request of this source asks for; strangers spend none of these.
    pub fn spend_proven(&self, source: &SourceName, now: Monotonic) -> Result<(), Limited> {
        self.proven.take(source, Gcra::new(PER_SOURCE, PER_SOURCE_BURST), now)
    }
}

/// The owner of a client's budget. Behind an unnamed load balancer the owner is the pair of load balancer and the client
/// that it names, so that a false claim costs no other client anything.
fn one(client: &Client) -> Option<(Option<Prefix>, Prefix)> {
    if client.perhaps_many {
        Some((Some(Prefix::of(client.ip)), Prefix::of(client.claimed?)))
    } else {
        Some((None, Prefix::of(client.ip)))
    }
}

impl Default for Fetches {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn client(ip: &str) -> Client {
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

    fn many() -> Client {
        Client {
            perhaps_many: true,
            ..client("10.0.0.1")
        }
    }

    fn source(name: &str) -> SourceName {
        SourceName::parse(name).expect("a name")
    }

    fn at(secs: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(secs))
    }

    /// How many of ten fetches this client gets.
    fn granted(fetches: &Fetches, client: &Client, now: u64) -> usize {
        (0..10)
            .filter(|_| fetches.spend(client, &source("sns"), at(now)).is_ok())
            .count()
    }

    #[test]
    fn a_client_spends_its_own_and_all_of_them_the_sources() {
        let fetches = Fetches::new();
        assert_eq!(granted(&fetches, &client("192.0.2.1"), 0), 6);
        let other = fetches.spend(&client("192.0.2.1"), &source("paypal"), at(0));
        assert!(other.is_ok(), "another source");
        assert_eq!((0..9).map(|_| granted(&fetches, &many(), 0)).sum::<usize>(), 24);
        assert_eq!(granted(&fetches, &client("192.0.2.2"), 0), 2, "of the reserve");
        assert_eq!(granted(&fetches, &client("192.0.2.1"), 10), 1, "one comes back in 10 s");
        for left in (0..=PER_SOURCE_BURST).rev() {
            let proven = fetches.spend_proven(&source("sns"), at(0));
            assert_eq!(proven.is_ok(), left > 0, "{left}");
        }
    }

    #[test]
    fn the_reserve_is_for_those_who_ask_seldom_and_has_an_end() {
        let fetches = Fetches::new();
        for last in 0..6 {
            granted(&fetches, &client(&format!("203.0.113.{last}")), 0);
        }
        assert_eq!(granted(&fetches, &many(), 0), 0);
        // Those who asked for six each have nothing of it.
        for now in (10..100).step_by(10) {
            for last in 0..6 {
                granted(&fetches, &client(&format!("203.0.113.{last}")), now);
            }
            assert_eq!(granted(&fetches, &client(&format!("192.0.2.{now}")), now), 2, "{now}");
        }
        let fetches = Fetches::new();
        while fetches.spend(&many(), &source("sns"), at(0)).is_ok() {}
        let crowd = (0..100).map(|last| granted(&fetches, &client(&format!("192.0.2.{last}")), 0));
        assert_eq!(crowd.sum::<usize>(), 10);
    }

    #[test]
    fn a_48_has_twice_what_one_client_has() {
        let fetches = Fetches::new();
        let subnet = |number: u32| client(&format!("2001:db8:7:{number:x}::1"));
        assert_eq!(
            (0..20)
                .map(|number| granted(&fetches, &subnet(number), 0))
                .sum::<usize>(),
            12
        );
        assert_eq!(granted(&fetches, &client("2001:db8:8::1"), 0), 6);
    }

    #[test]
    fn a_client_whose_urls_fail_has_less() {
        let fetches = Fetches::new();
        let forger = client("203.0.113.1");
        fetches.failed(&forger, &source("sns"), at(0));
        assert!(fetches.spend(&forger, &source("sns"), at(0)).is_ok());
        fetches.failed(&forger, &source("sns"), at(0));
        assert_eq!(granted(&fetches, &forger, 59), 0);
        assert_eq!(granted(&fetches, &client("203.0.113.2"), 59), 6);
        assert!(fetches.spend(&forger, &source("sns"), at(60)).is_ok());
        fetches.failed(&many(), &source("sns"), at(60));
        assert!(granted(&fetches, &many(), 60) > 0, "it may stand for many");
    }
}
