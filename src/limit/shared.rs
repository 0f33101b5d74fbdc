//! A rate limit whose buckets are in Redis, so that all replicas together keep it.
//!
//! Redis is asked for a lease ([`lease`](super::lease)) and not for every cell; while Redis does not answer nothing is
//! said here, and each replica limits by itself. What is in Redis is named by digests: no text from outside enters a key.

use super::{
    LimitKey, LimitSpec, Limited, Per,
    lease::{Grant, Lease, Step, Terms},
    limited::Policy,
    prefix::Prefix,
    table::{Table, Tag},
};
use crate::{
    event::{Clock, SourceName},
    store::{Arg, Repeat, Script, Store, Value},
};
use data_encoding::BASE64URL_NOPAD;
use std::{
    hash::Hash,
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio_util::task::TaskTracker;

static GCRA: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("gcra.lua")));

/// Buckets whose leases are here at one time. One that gives way loses the cells it has here, and no more than those.
const LEASES: usize = 16_384;
/// What a /48 may send, as a multiple of one client's.
const WIDER: u32 = 16;

/// One worker's way to the shared buckets; clones share its connection, which belongs to the worker's runtime.
#[derive(Clone)]
pub struct Lender {
    store: Store,
    /// Questions that nobody waits for. They end with the store's timeout.
    tasks: TaskTracker,
}

impl Lender {
    /// Asks over this connection, made for this worker; it connects when it is first needed.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            tasks: TaskTracker::new(),
        }
    }
}

/// The buckets of one source that are in Redis, and what of them is leased to this process.
pub(super) struct SharedBuckets {
    per: Per,
    one: Kind,
    /// Sites of clients.
    wide: Kind,
    /// `<namespace>/<source>`.
    owner: String,
    clock: Arc<dyn Clock>,
}

/// Buckets of one size.
struct Kind {
    rate: (u64, u64),
    burst: u32,
    terms: Terms,
    policy: Policy,
    leases: Table<Lease>,
}

/// Which bucket, before it is looked up.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Named<'a> {
    Source,
    Prefix(Prefix),
    Value(Option<&'a [u8]>),
}

impl SharedBuckets {
    pub(super) fn new(spec: &LimitSpec, namespace: &str, source: &SourceName, clock: Arc<dyn Clock>) -> Self {
        let places = if spec.per == Per::Source { 1 } else { LEASES };
        Self {
            per: spec.per.clone(),
            one: Kind::new(spec, 1, places),
            wide: Kind::new(spec, WIDER, places),
            owner: format!("{namespace}/{source}"),
            clock,
        }
    }

    /// Takes a cell; `None` if Redis would have to say whether there is one, and does not.
    pub(super) async fn check(self: &Arc<Self>, lender: &Lender, key: LimitKey<'_>) -> Option<Result<(), Limited>> {
        if !lender.store.breaker().is_closed() {
            // What Redis said last does not count any more.
            return None;
        }
        let (named, site) = match (&self.per, key) {
            (Per::Source, _) | (_, LimitKey::Source) => (Named::Source, None),
            (_, LimitKey::Value(value)) => (Named::Value(value), None),
            (_, LimitKey::Client(address)) => {
                let prefix = Prefix::of(address);
                (Named::Prefix(prefix), prefix.site().map(Named::Prefix))
            }
        };
        let Some(site) = site else {
            return self.take(lender, false, named).await;
        };
        // The wider one first: it has cells in store most of the time, and one too many is easily put back.
        if let Err(over) = self.take(lender, true, site).await? {
            return Some(Err(over));
        }
        let taken = self.take(lender, false, named).await;
        if !matches!(taken, Some(Ok(()))) {
            self.change(true, self.wide.leases.tag(site), Lease::give_back);
        }
        taken
    }

    async fn take(self: &Arc<Self>, lender: &Lender, wide: bool, named: Named<'_>) -> Option<Result<(), Limited>> {
        let kind = self.kind(wide);
        let tag = kind.leases.tag(named);
        let asked = self.clock.monotonic();
        let wait = match self.change(wide, tag, |lease| lease.take(asked, kind.terms)) {
            Step::Spent => return Some(Ok(())),
            Step::SpentAndAsk(cells) => {
                let (buckets, lender, key) = (Arc::clone(self), lender.clone(), self.key(named));
                let tasks = lender.tasks.clone();
                tasks.spawn(async move { buckets.ask(&lender, wide, tag, &key, cells, 0).await });
                return Some(Ok(()));
            }
            Step::Ask(cells) => {
                let grant = self.ask(lender, wide, tag, &self.key(named), cells, 1).await?;
                if grant.cells > 0 {
                    return Some(Ok(()));
                }
                grant.wait
            }
            Step::Wait(wait) => wait,
        };
        Some(Err(Limited::new(kind.policy, wait)))
    }

    /// Asks Redis for cells, `own` of which are spent already; `None` if it does not answer.
    async fn ask(&self, lender: &Lender, wide: bool, tag: Tag, key: &str, cells: u32, own: u32) -> Option<Grant> {
        let kind = self.kind(wide);
        let (count, per) = kind.rate;
        let args = [count, per, kind.burst.into(), cells.into()].map(Arg::Number);
        let asked = self.clock.monotonic();
        // Twice does no harm: the cells of an answer that was lost are lost.
        let answer = lender.store.run(&GCRA, key.as_bytes(), &args, Repeat::Once).await;
        let grant = answer.ok().as_ref().and_then(read);
        self.change(wide, tag, |lease| match grant {
            Some(grant) => lease.granted(grant, own, asked, kind.terms),
            None => lease.refused(),
        });
        grant
    }

    fn change<R>(&self, wide: bool, tag: Tag, change: impl FnOnce(&mut Lease) -> R) -> R {
        let now = self.clock.monotonic();
        let mut result = None;
        self.kind(wide).leases.change(tag, now, true, |held| {
            let mut lease = held.map(|(_, lease)| lease).unwrap_or_default();
            result = Some(change(&mut lease));
            Some((lease.ends(now), lease))
        });
        result.expect("a table that may give a place up always finds one")
    }

    fn kind(&self, wide: bool) -> &Kind {
        if wide { &self.wide } else { &self.one }
    }

    fn key(&self, named: Named<'_>) -> String {
        let mut digest = blake3::Hasher::new();
        match named {
            Named::Source => digest.update(b"s"),
            Named::Prefix(Prefix::V4(octets)) => digest.update(b"4").update(&octets),
            Named::Prefix(Prefix::V6(octets)) => digest.update(b"6").update(&octets),
            Named::Prefix(Prefix::Site(octets)) => digest.update(b"w").update(&octets),
            Named::Value(None) => digest.update(b"n"),
            Named::Value(Some(value)) => digest.update(b"v").update(value),
        };
        let digest = digest.finalize();
        let text = BASE64URL_NOPAD.encode(&digest.as_bytes()[..16]);
        format!("hw:limit:{{{}/{text}}}", self.owner)
    }
}

impl Kind {
    fn new(spec: &LimitSpec, by: u32, places: usize) -> Self {
        let count = u64::from(spec.rate.count.max(1)) * u64::from(by);
        let burst = spec.burst.max(1).saturating_mul(by);
        let emission = (spec.rate.emission() / by).max(Duration::from_nanos(1));
        let per = u64::try_from(spec.rate.per.as_micros()).unwrap_or(u64::MAX).max(1);
        Self {
            rate: (count, per),
            burst,
            terms: Terms::of(emission, burst),
            policy: Policy {
                quota: burst,
                window: emission.saturating_mul(burst),
            },
            leases: Table::new(places),
        }
    }
}

fn read(answer: &Value) -> Option<Grant> {
    let Value::Array(parts) = answer else { return None };
    let [Value::Int(cells), Value::Int(wait)] = parts.as_slice() else {
        return None;
    };
    Some(Grant {
        cells: u32::try_from(*cells).ok()?,
        wait: Duration::from_micros(u64::try_from(*wait).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::SystemClock,
        limit::{Rate, Scope},
    };
    use std::collections::HashSet;

    #[test]
    fn buckets_are_named_by_digests_of_what_they_count_and_share_a_slot_with_nothing() {
        let spec = LimitSpec {
            per: Per::Source,
            rate: Rate {
                count: 1,
                per: Duration::from_secs(1),
            },
            burst: 1,
            scope: Scope::Shared,
            unavailable_status: false,
        };
        let source = SourceName::parse("acme").expect("a name");
        let buckets = SharedBuckets::new(&spec, "shop", &source, Arc::new(SystemClock::new()));
        let prefix = |text: &str| Prefix::of(text.parse().expect("an address"));
        let site = prefix("2001:db8::1").site().expect("an IPv6 address has one");
        let named = [
            Named::Source,
            Named::Prefix(prefix("192.0.2.1")),
            Named::Prefix(prefix("2001:db8::1")),
            Named::Prefix(site),
            Named::Value(None),
            Named::Value(Some(b"")),
            Named::Value(Some(b"}{ text from outside")),
        ];
        let keys: HashSet<String> = named.iter().map(|named| buckets.key(*named)).collect();
        assert_eq!(keys.len(), named.len(), "{keys:?}");
        for key in keys {
            let digest = key
                .strip_prefix("hw:limit:{shop/acme/")
                .and_then(|rest| rest.strip_suffix('}'));
            let digest = digest.unwrap_or_else(|| panic!("{key}"));
            assert!(
                digest.len() == 22
                    && digest
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            );
        }
    }
}
