//! The penalty for failed verifications: who keeps sending forgeries is refused before his next body is read.
//!
//! Counted by client prefix and source, so that other clients and other sources feel nothing. The table has a fixed
//! size. When the places for a client are taken by others it is not tracked by itself: it shares one bucket of the
//! source with everybody else who is not, and that bucket counts only under pressure, so that 65,536 bad prefixes do not
//! starve an honest newcomer.

use super::{
    Limited, PenaltySpec,
    gcra::Gcra,
    prefix::Prefix,
    table::{Found, Table, Tag},
};
use crate::event::{Monotonic, SourceName};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// How many prefixes are tracked, and how many clients are remembered as honest.
const PLACES: usize = 65_536;
/// How long a client that brought a new delivery is never penalized.
const PARDON: Duration = Duration::from_hours(24);
/// A pardon younger than this is not written again: an honest sender costs a look, not a write, per request.
const FRESH: Duration = Duration::from_hours(1);
/// What a /48, and all untracked clients of a source together, may get wrong, as a multiple of one client's.
const WIDER: u32 = 16;
/// A penalized client whose provider never retries is verified again after this time: 30 forgeries from an address that
/// honest senders share must not lose their events.
const VERIFIED_ANYWAY_INTERVAL: Duration = Duration::from_secs(1);
/// So many penalized clients may be verified in that time, all together.
const VERIFIED_ANYWAY_PLACES: usize = 8192;
/// Buckets of untracked clients; sources beyond this number share them.
const SHARED: usize = 64;

/// Failed verifications of the whole process, by client and source.
pub struct Penalties {
    client: Gcra,
    wide: Gcra,
    tables: Arc<Tables>,
}

struct Tables {
    failures: Table<()>,
    /// Penalized clients that were verified within the last second.
    verified_anyway: Table<()>,
    untracked: Table<()>,
    pardons: Table<()>,
}

impl Penalties {
    /// Without a failure. Nobody is exempt here: whoever may be a load balancer in front of everybody is not asked about.
    pub fn new(spec: PenaltySpec) -> Self {
        let client = Gcra::new(spec.rate, spec.burst);
        Self {
            client,
            wide: client.widened(WIDER),
            tables: Arc::new(Tables {
                failures: Table::new(PLACES),
                verified_anyway: Table::new(VERIFIED_ANYWAY_PLACES),
                untracked: Table::new(SHARED),
                pardons: Table::new(PLACES),
            }),
        }
    }

    /// The same clients under another setting, after a reload.
    #[must_use]
    pub fn retuned(&self, spec: PenaltySpec) -> Self {
        Self {
            tables: self.tables.clone(),
            ..Self::new(spec)
        }
    }

    /// Must this client wait before its next request to this source is looked at? `pressure`: `in_flight` or
    /// `buffered_bytes` are over half.
    pub fn check(&self, client: IpAddr, source: &SourceName, now: Monotonic, pressure: bool) -> Option<Limited> {
        let prefix = Prefix::of(client);
        let failures = &self.tables.failures;
        let waits = |prefix: Prefix, gcra: Gcra| match failures.look(failures.tag((source, prefix)), now) {
            Found::Held(full_at, ()) => gcra.wait(full_at, now).map(|wait| gcra.limited(wait)),
            Found::Free => None,
            Found::Full if !pressure => None,
            Found::Full => match self.tables.untracked.look(self.shared(source), now) {
                Found::Held(full_at, ()) => self.wide.wait(full_at, now).map(|wait| self.wide.limited(wait)),
                Found::Free | Found::Full => None,
            },
        };
        let limited = waits(prefix, self.client).or_else(|| waits(prefix.site()?, self.wide))?;
        // Last, because hardly anybody gets here.
        (!self.is_pardoned(prefix, source, now)).then_some(limited)
    }

    /// May a client that [`Self::check`] refuses be verified all the same, because a second has passed since it was last? For
    /// providers that never retry, and not under pressure.
    pub fn may_verify_anyway(&self, client: IpAddr, source: &SourceName, now: Monotonic) -> bool {
        let table = &self.tables.verified_anyway;
        let mut passed = false;
        // A client that finds no place in the table waits: places are free again after a second.
        let noted = table.change(table.tag((source, Prefix::of(client))), now, false, |held| {
            passed = held.is_none();
            passed.then(|| (now.plus(VERIFIED_ANYWAY_INTERVAL), ()))
        });
        noted && passed
    }

    /// Counts a failed verification (the outcome `unverified`, nothing else).
    pub fn charge(&self, client: IpAddr, source: &SourceName, now: Monotonic) {
        let prefix = Prefix::of(client);
        if self.is_pardoned(prefix, source, now) {
            return;
        }
        let failures = &self.tables.failures;
        let spend = |table: &Table<()>, tag: Tag, gcra: Gcra| {
            table.change(tag, now, false, |held| {
                let full_at = held.map_or(now, |(full_at, ())| full_at);
                Some((gcra.spend(full_at, now), ()))
            })
        };
        let mut tracked = spend(failures, failures.tag((source, prefix)), self.client);
        if let Some(site) = prefix.site() {
            tracked &= spend(failures, failures.tag((source, site)), self.wide);
        }
        if tracked && self.check(client, source, now, false).is_some() {
            // The second counts from the last verification.
            let table = &self.tables.verified_anyway;
            let until = now.plus(VERIFIED_ANYWAY_INTERVAL);
            table.change(table.tag((source, prefix)), now, false, |_| Some((until, ())));
        }
        if !tracked {
            spend(&self.tables.untracked, self.shared(source), self.wide);
        }
    }

    /// Remembers that this client brought this source a new delivery: for 24 h it is not penalized there.
    pub fn pardon(&self, client: IpAddr, source: &SourceName, now: Monotonic) {
        let pardons = &self.tables.pardons;
        let tag = pardons.tag_in(source, (source, Prefix::of(client)));
        let until = now.plus(PARDON);
        match pardons.look(tag, now) {
            Found::Held(held_until, ()) if until.since(held_until) < FRESH => {}
            // Only who can sign gets here, and the clients of one source take no place of a source that has fewer.
            _ => {
                pardons.change_fairly(tag, now, |_| Some((until, ())));
            }
        }
    }

    /// Did this client bring this source a new delivery within 24 h?
    pub fn knows(&self, client: IpAddr, source: &SourceName, now: Monotonic) -> bool {
        self.is_pardoned(Prefix::of(client), source, now)
    }

    fn is_pardoned(&self, prefix: Prefix, source: &SourceName, now: Monotonic) -> bool {
        let pardons = &self.tables.pardons;
        let tag = pardons.tag_in(source, (source, prefix));
        matches!(pardons.look(tag, now), Found::Held(..))
    }

    fn shared(&self, source: &SourceName) -> Tag {
        self.tables.untracked.tag(source)
    }
}

#[cfg(test)]
mod tests;
