//! Bounds, order of forgetting and fairness of the in-process ledger.

use super::*;
use crate::{
    event::{DestinationName, IdDigest, MacDigest, SourceName, TestClock, Timestamp, Values},
    replay::{Delivered, Seen, Succeeded},
};

mod copies;
mod room;
mod worlds;

const MINUTE: Duration = Duration::from_mins(1);

struct World {
    ledger: MemoryLedger,
    clock: Arc<TestClock>,
}

impl World {
    fn new(entries: usize) -> Self {
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(1_795_000_000)));
        let entries = NonZeroUsize::new(entries).expect("a size");
        Self {
            ledger: MemoryLedger::new(Arc::clone(&clock) as Arc<dyn Clock>, entries),
            clock,
        }
    }

    fn ask(&self, ask: &Ask) -> Result<Verdict, Unavailable> {
        self.clock.advance(Duration::from_micros(1));
        self.ledger.claim_now(ask)
    }

    fn claim(&self, ask: &Ask) -> Grant {
        match self.ask(ask) {
            Ok(Verdict::Claimed(grant)) => grant,
            other => panic!("{other:?}"),
        }
    }

    fn deliver(&self, ask: &Ask) {
        let grant = self.claim(ask);
        assert_eq!(self.settle(ask, &grant, &["a"], &["a"]), Settled::Done);
    }

    fn fail(&self, ask: &Ask) {
        let grant = self.claim(ask);
        assert_eq!(self.settle(ask, &grant, &["a"], &[]), Settled::Open);
    }

    fn settle(&self, ask: &Ask, grant: &Grant, required: &[&str], delivered: &[&str]) -> Settled {
        self.ledger
            .settle_now(&settlement(ask, grant, required, delivered))
            .expect("there is room")
    }

    /// Is it still known as delivered?
    fn knows(&self, delivery: u64) -> bool {
        matches!(
            self.ledger
                .existing(&key(delivery), |shard, id, _| shard.record(id).lane()),
            Some(record::Lane::Delivered)
        )
    }
}

fn settlement(ask: &Ask, grant: &Grant, required: &[&str], delivered: &[&str]) -> Settlement {
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| DestinationName::parse(name).expect("a name"))
            .collect()
    };
    Settlement {
        key: ask.key,
        source: ask.source.clone(),
        fence: grant.fence,
        attempt: grant.attempt,
        keep: ask.keep,
        open: ask.open,
        required: names(required),
        delivered: names(delivered),
        last: true,
        succeeded: Succeeded::Ago(Duration::ZERO),
        event: ask.event.clone(),
        values: ask.values,
        mac: ask.mac,
    }
}

fn key(delivery: u64) -> DeliveryKey {
    let digest = blake3::hash(&delivery.to_le_bytes());
    DeliveryKey::from_bytes(*digest.as_bytes())
}

fn attempt(source: &str, delivery: u64, owner: u8) -> Ask {
    Ask {
        key: key(delivery),
        owner: Nonce::from_bytes([owner; 16]),
        lease: MINUTE,
        open: MINUTE,
        keep: 60 * MINUTE,
        source: SourceTag::of(&SourceName::parse(source).expect("a name")),
        event: None,
        values: Values::default(),
        mac: Some(MacDigest::of(b"mac")),
    }
}

#[test]
fn a_full_ledger_is_small_and_an_empty_one_is_nothing() {
    // 65,536 records must fit in 12 MiB: 168 bytes each, five of index at a load of one half, and slack.
    assert!(size_of::<shard::Slot>() <= 168, "{}", size_of::<shard::Slot>());
    let world = World::new(65_536);
    assert!(world.ledger.bytes() < 64 * 1024);
    for delivery in 0..200_000 {
        world.deliver(&attempt("a", delivery, 0));
    }
    assert_eq!(world.ledger.entries(), 65_536);
    let bytes = world.ledger.bytes();
    assert!(bytes <= 12 << 20, "{bytes}");
    world.clock.advance(61 * MINUTE);
    world.ledger.sweep();
    assert_eq!(world.ledger.entries(), 0);
}

#[test]
fn when_its_lease_is_over_a_delivery_is_nobodys() {
    let world = World::new(16);
    let ask = attempt("a", 1, 0);
    let first = world.claim(&ask);
    let other = attempt("a", 1, 1);
    world.clock.advance(MINUTE.saturating_sub(Duration::from_nanos(1)));
    let left = Duration::from_nanos(1);
    assert!(matches!(world.ledger.glance(&other), Glance::Held(held) if held == left));
    assert_eq!(world.ledger.forget_now(&ask.key, MINUTE), Forgotten::InFlight { left });
    // Its record outlives it, so that its fence stays behind the next one's.
    let renewed = Renewal {
        key: ask.key,
        source: ask.source.clone(),
        fence: first.fence,
        lease: MINUTE,
        open: 2 * MINUTE,
    };
    assert_eq!(world.ledger.renew_now(&renewed), Renewed::Held);
    world.clock.advance(MINUTE);
    assert!(matches!(world.ledger.glance(&other), Glance::Nothing));
    assert_eq!(world.ledger.forget_now(&ask.key, MINUTE), Forgotten::NotDelivered);
    let second = world.claim(&other);
    // Fences are microseconds, as Redis gives them.
    assert_eq!((second.fence - first.fence, second.attempt), (120_000_000, 2));
    assert_eq!(world.ledger.renew_now(&renewed), Renewed::Fenced);
}

#[test]
fn a_large_ledger_is_spread_over_its_locks() {
    let world = World::new(65_536);
    for delivery in 0..2000 {
        world.claim(&attempt("a", delivery, 0));
    }
    let held = world.ledger.shards.iter().map(|shard| lock(shard).own().len());
    let (least, most) = (held.clone().min(), held.max());
    assert_eq!(world.ledger.shards.len(), SHARDS);
    assert!(least >= Some(5) && most <= Some(100), "{least:?} to {most:?}");
}

#[test]
fn what_a_source_delivered_lately_is_let_through_once_by_one_wish() {
    let world = World::new(16);
    let ask = attempt("a", 1, 0);
    world.deliver(&ask);
    let forget = |within, window| {
        let lately = Lately {
            within,
            event: None,
            window,
        };
        world.ledger.forget_since_now(&ask.source, &lately).deliverable
    };
    world.clock.advance(MINUTE);
    assert_eq!(
        forget(MINUTE.saturating_sub(Duration::from_nanos(1)), MINUTE),
        0,
        "delivered before that"
    );
    assert_eq!(forget(MINUTE, MINUTE), 1);
    assert_eq!(forget(MINUTE, MINUTE), 0, "it is let through already");
    world.clock.advance(SLACK);
    assert_eq!(forget(2 * MINUTE, MINUTE), 0, "so lately that it was this wish");
    world.clock.advance(Duration::from_nanos(1));
    assert_eq!(forget(2 * MINUTE, MINUTE), 1);
    // Its time is over an hour after it was delivered.
    let more = SLACK + Duration::from_nanos(2);
    world.clock.advance((59 * MINUTE).saturating_sub(more));
    assert_eq!(forget(2 * 60 * MINUTE, 10 * MINUTE), 1);
    world.clock.advance(Duration::from_nanos(1));
    assert_eq!(forget(2 * 60 * MINUTE, 20 * MINUTE), 0);
}

#[test]
fn threads_share_it() {
    let world = World::new(1024);
    let granted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for owner in 0..4 {
            let (world, granted) = (&world, &granted);
            scope.spawn(move || {
                for delivery in 0..500 {
                    let ask = attempt("a", delivery, owner);
                    if let Ok(Verdict::Claimed(grant)) = world.ask(&ask) {
                        granted.fetch_add(1, Ordering::Relaxed);
                        world.settle(&ask, &grant, &["a"], &["a"]);
                    }
                }
            });
        }
    });
    assert_eq!((granted.into_inner(), world.ledger.entries()), (500, 500));
}

#[test]
fn successes_are_exported_once_and_the_rest_is_dropped() {
    let world = World::new(1024);
    let (done, half, failed, held) = (
        attempt("a", 0, 0),
        attempt("a", 1, 0),
        attempt("a", 2, 0),
        attempt("a", 3, 0),
    );
    world.deliver(&done);
    let grant = world.claim(&half);
    world.settle(&half, &grant, &["a", "b"], &["a"]);
    world.fail(&failed);
    let held_grant = world.claim(&held);
    let mut successes = world.ledger.successes(10);
    assert_eq!(world.ledger.entries(), 3, "who failed everywhere is dropped");
    // Who is told of something else takes nothing away.
    world.ledger.written(&held.key, held_grant.fence);
    world.ledger.written(&done.key, held_grant.fence);
    assert!(world.knows(0));
    assert!(matches!(world.ask(&attempt("a", 3, 1)), Ok(Verdict::Busy { .. })));
    successes.sort_by_key(|success| success.required.len());
    let [half_success, done_success] = &successes[..] else {
        panic!("{}", successes.len())
    };
    assert!(half_success.key == half.key && half_success.delivered.len() == 1 && half_success.mac.is_none());
    assert!(done_success.key == done.key && done_success.mac == done.mac && done_success.keep <= done.keep);
    // A newer attempt holds one of them by the time that the other ledger has it.
    world.claim(&attempt("a", 1, 1));
    for success in &successes {
        world.ledger.written(&success.key, success.fence);
    }
    assert_eq!(
        world.ledger.entries(),
        2,
        "the one held from the start, and the one held anew"
    );
    assert!(world.ledger.successes(10).is_empty());
}
