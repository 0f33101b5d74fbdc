//! Fetches that a stranger's request asks for: so few that nobody can send us to a key server without end.
//!
//! What verified something before is renewed without spending any of these, so that a flood of forged requests can delay a
//! key that was never seen, and no other.

use super::{Limited, Rate, gcra::Gcra, prefix::Prefix, table::Table};
use crate::event::{Monotonic, SourceName};
use std::{net::IpAddr, time::Duration};

/// How many clients have a bucket at one time; beyond that the one that is nearest to full starts anew, and the source's
/// own bucket holds.
const CLIENTS: usize = 8192;
/// How many sources are expected; beyond it the bucket that is nearest to full starts anew.
const SOURCES: usize = 4096;
/// A provider publishes a new certificate a few times a year.
const PER_CLIENT: Rate = Rate {
    count: 6,
    per: Duration::from_mins(1),
};
const PER_CLIENT_BURST: u32 = 6;
/// All clients of a source together.
const PER_SOURCE: Rate = Rate {
    count: 30,
    per: Duration::from_mins(1),
};
const PER_SOURCE_BURST: u32 = 30;

/// Fetches of the whole process, by client prefix and source.
pub struct Fetches {
    clients: Table<()>,
    sources: Table<()>,
    proven: Table<()>,
}

impl Fetches {
    /// Nothing was asked for yet.
    pub fn new() -> Self {
        Self {
            clients: Table::new(CLIENTS),
            sources: Table::new(SOURCES),
            proven: Table::new(SOURCES),
        }
    }

    /// Spends one fetch of a source, and of this client; `None`: a client that may be many, so that only the source's
    /// bucket counts.
    pub fn spend(&self, client: Option<IpAddr>, source: &SourceName, now: Monotonic) -> Result<(), Limited> {
        if let Some(client) = client {
            let gcra = Gcra::new(PER_CLIENT, PER_CLIENT_BURST);
            self.clients.take((Prefix::of(client), source), gcra, now)?;
        }
        self.sources.take(source, Gcra::new(PER_SOURCE, PER_SOURCE_BURST), now)
    }

    /// Spends one fetch that a verified request of this source asks for; strangers spend none of these.
    pub fn spend_proven(&self, source: &SourceName, now: Monotonic) -> Result<(), Limited> {
        self.proven.take(source, Gcra::new(PER_SOURCE, PER_SOURCE_BURST), now)
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

    #[test]
    fn a_client_spends_its_own_and_all_of_them_the_sources() {
        let fetches = Fetches::new();
        let source = |name: &str| SourceName::parse(name).expect("a name");
        let at = |secs: u64| Monotonic::from_start(Duration::from_secs(secs));
        let spend = |client: Option<u8>, name: &str, now| {
            let client = client.map(|last| IpAddr::from([192, 0, 2, last]));
            fetches.spend(client, &source(name), now).is_ok()
        };
        for _ in 0..PER_CLIENT_BURST {
            assert!(spend(Some(1), "sns", at(0)));
        }
        assert!(!spend(Some(1), "sns", at(0)), "a client that asks on and on");
        assert!(spend(Some(1), "paypal", at(0)), "another source");
        for _ in PER_CLIENT_BURST..PER_SOURCE_BURST {
            assert!(spend(None, "sns", at(0)));
        }
        assert!(
            !spend(Some(2), "sns", at(0)) && !spend(None, "sns", at(0)),
            "all of the source"
        );
        for left in (0..=PER_SOURCE_BURST).rev() {
            let proven = fetches.spend_proven(&source("sns"), at(0));
            assert_eq!(proven.is_ok(), left > 0, "{left}");
        }
        assert!(spend(Some(3), "sns", at(2)), "one comes back in 2 s");
        assert!(!spend(Some(4), "sns", at(2)));
    }
}
