//! Repetitions of what was delivered: answered here, and not too often, so that one captured request buys no load.

use super::{
    LimitSpec, Limited, Per, Rate,
    gcra::Gcra,
    table::{Found, Table},
};
use crate::event::{DeliveryKey, Monotonic, SourceName};
use std::time::Duration;

/// How many delivered keys of all sources together are answered without the ledger.
const KNOWN: usize = 8192;
/// How many keys have a bucket at one time; beyond that the fullest one starts anew, and the source's own bucket holds.
const BUCKETS: usize = 8192;
/// How many sources are expected; beyond it the bucket that is nearest to full starts anew.
const SOURCES: usize = 4096;
/// A delivered event may come again this often.
const PER_KEY: Rate = Rate {
    count: 5,
    per: Duration::from_secs(1),
};
const PER_KEY_BURST: u32 = 5;
/// All repetitions of a source, as a multiple of its rate and burst.
const PER_SOURCE: u32 = 10;
/// The rate and burst of a source that is limited by client or value, whose own say nothing of the whole source: those
/// that every source has when the configuration is silent.
const USUAL: (Rate, u32) = (
    Rate {
        count: 200,
        per: Duration::from_secs(1),
    },
    1000,
);

/// Repetitions of the whole process. `V` is what the ledger's record says of a delivered key, enough to judge the next
/// attempt by (digests of signature and id).
pub struct Repeats<V> {
    known: Table<(DeliveryKey, V)>,
    keys: Table<()>,
    sources: Table<()>,
}

/// What is known of a key before the ledger is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repeat<V> {
    /// Nothing: ask the ledger.
    Unknown,
    /// It was delivered, and the repetition is within its budget, which it has spent.
    Delivered(V),
    /// It was delivered, and is repeated too often.
    Limited(Limited),
}

impl<V: Clone> Repeats<V> {
    /// Knows nothing.
    pub fn new() -> Self {
        Self {
            known: Table::new(KNOWN),
            keys: Table::new(BUCKETS),
            sources: Table::new(SOURCES),
        }
    }

    /// Looks a key up and, if it is a repetition, spends its budgets. `limit` is the source's own; `None`: it has
    /// none, and only the key's budget holds.
    pub fn ask(&self, key: &DeliveryKey, source: &SourceName, limit: Option<&LimitSpec>, now: Monotonic) -> Repeat<V> {
        match self.known.look(self.known.tag(key), now) {
            Found::Held(_, (held, value)) if held == *key => match self.spend(key, source, limit, now) {
                Ok(()) => Repeat::Delivered(value),
                Err(limited) => Repeat::Limited(limited),
            },
            _ => Repeat::Unknown,
        }
    }

    /// Is the key known as delivered? Spends nothing.
    pub fn knows(&self, key: &DeliveryKey, now: Monotonic) -> bool {
        matches!(self.known.look(self.known.tag(key), now), Found::Held(_, (held, _)) if held == *key)
    }

    /// Notes that the ledger calls a key delivered, for at most `ttl` (never longer than the record lives; short, because
    /// another replica may `forget` the key). Spends nothing: a first delivery is not a repetition.
    pub fn learn(&self, key: &DeliveryKey, value: V, ttl: Duration, now: Monotonic) {
        self.known
            .change(self.known.tag(key), now, true, |_| Some((now.plus(ttl), (*key, value))));
    }

    /// Spends the budgets of one repetition that the ledger itself told of.
    pub fn spend(
        &self,
        key: &DeliveryKey,
        source: &SourceName,
        limit: Option<&LimitSpec>,
        now: Monotonic,
    ) -> Result<(), Limited> {
        self.keys.take(key, Gcra::new(PER_KEY, PER_KEY_BURST), now)?;
        let Some(limit) = limit else { return Ok(()) };
        let (rate, burst) = match limit.per {
            Per::Source => (limit.rate, limit.burst),
            Per::Client | Per::Header(_) | Per::Json(_) => USUAL,
        };
        self.sources
            .take(source, Gcra::new(rate, burst).widened(PER_SOURCE), now)
    }

    /// Lets the next attempt ask the ledger again (an operator's `forget`).
    pub fn forget(&self, key: &DeliveryKey) {
        self.known.remove(self.known.tag(key));
    }
}

impl<V: Clone> Default for Repeats<V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::IdentityHasher, limit::Scope};
    use std::sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    };

    const TTL: Duration = Duration::from_mins(1);

    fn source(name: &str) -> SourceName {
        SourceName::parse(name).expect("a name")
    }

    fn key(number: u32) -> DeliveryKey {
        let mut identity = IdentityHasher::new("id");
        identity.part("id", &number.to_le_bytes());
        DeliveryKey::new("", &source("acme"), "/p", &identity.finish())
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(millis))
    }

    #[test]
    fn a_delivered_key_is_answered_until_its_time_is_over_or_it_is_forgotten() {
        let repeats = Repeats::new();
        let acme = source("acme");
        assert_eq!(repeats.ask(&key(1), &acme, None, at(0)), Repeat::Unknown);
        repeats.learn(&key(1), "seen", TTL, at(0));
        assert_eq!(repeats.ask(&key(1), &acme, None, at(1000)), Repeat::Delivered("seen"));
        assert_eq!(repeats.ask(&key(2), &acme, None, at(1000)), Repeat::Unknown);
        assert_eq!(repeats.ask(&key(1), &acme, None, at(60_000)), Repeat::Unknown);
        repeats.learn(&key(1), "again", TTL, at(60_000));
        repeats.forget(&key(1));
        assert_eq!(repeats.ask(&key(1), &acme, None, at(60_000)), Repeat::Unknown);
    }

    #[test]
    fn a_key_repeats_five_times_a_second() {
        let repeats = Repeats::new();
        repeats.learn(&key(1), (), TTL, at(0));
        repeats.learn(&key(2), (), TTL, at(0));
        let ask = |number, now| repeats.ask(&key(number), &source("acme"), None, at(now));
        for _ in 0..5 {
            assert_eq!(ask(1, 0), Repeat::Delivered(()));
        }
        let Repeat::Limited(limited) = ask(1, 0) else {
            panic!("the sixth is too much");
        };
        assert_eq!(
            (limited.policy().as_str(), limited.retry_after()),
            ("\"source\";q=5;w=1", 1)
        );
        assert_eq!(ask(2, 0), Repeat::Delivered(()), "another key has its own");
        assert_eq!(ask(1, 200), Repeat::Delivered(()), "one comes back every 200 ms");
        assert!(matches!(ask(1, 200), Repeat::Limited(_)));
    }

    #[test]
    fn a_source_repeats_ten_times_its_rate() {
        let repeats = Repeats::<()>::new();
        let limit = LimitSpec {
            per: Per::Source,
            rate: Rate {
                count: 2,
                per: Duration::from_secs(1),
            },
            burst: 3,
            scope: Scope::Replica,
            unavailable_status: false,
        };
        let spend = |number, name: &str, now| repeats.spend(&key(number), &source(name), Some(&limit), at(now));
        for number in 0..30 {
            assert_eq!(spend(number, "acme", 0), Ok(()));
        }
        let limited = spend(30, "acme", 0).expect_err("10 x burst is spent");
        assert_eq!(limited.policy(), "\"source\";q=30;w=2");
        assert_eq!(spend(31, "other", 0), Ok(()));
        assert_eq!(spend(32, "acme", 50), Ok(()), "20 a second");
        assert!(spend(33, "acme", 50).is_err());
    }

    #[test]
    fn a_source_limited_by_client_repeats_ten_times_the_usual_rate() {
        let repeats = Repeats::<()>::new();
        let limit = LimitSpec {
            per: Per::Client,
            rate: Rate {
                count: 1,
                per: Duration::from_secs(1),
            },
            burst: 1,
            scope: Scope::Replica,
            unavailable_status: false,
        };
        let spend = |number| repeats.spend(&key(number), &source("acme"), Some(&limit), at(0));
        assert_eq!((0..10_000).map(spend).find(Result::is_err), None);
        assert_eq!(spend(10_000).expect_err("spent").policy(), "\"source\";q=10000;w=5");
    }

    #[test]
    fn another_key_of_the_same_tag_is_not_taken_for_it() {
        let repeats = Repeats::new();
        let tag = repeats.known.tag(key(1));
        repeats
            .known
            .change(tag, at(0), true, |_| Some((at(1000), (key(2), ()))));
        assert_eq!(repeats.ask(&key(1), &source("acme"), None, at(0)), Repeat::Unknown);
    }

    #[test]
    fn a_flood_of_keys_does_not_grow_the_memory() {
        let repeats = Repeats::new();
        for number in 0..50_000 {
            repeats.learn(&key(number), number, TTL, at(0));
        }
        assert_eq!(repeats.known.allocated(), KNOWN);
        let acme = source("acme");
        assert_eq!(repeats.ask(&key(49_999), &acme, None, at(0)), Repeat::Delivered(49_999));
    }

    #[test]
    fn two_workers_share_one_budget() {
        let repeats = Repeats::new();
        repeats.learn(&key(1), (), TTL, at(0));
        let (barrier, answered) = (Barrier::new(2), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    barrier.wait();
                    for _ in 0..1000 {
                        if repeats.ask(&key(1), &source("acme"), None, at(0)) == Repeat::Delivered(()) {
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert_eq!(answered.load(Ordering::SeqCst), 5);
    }
}
