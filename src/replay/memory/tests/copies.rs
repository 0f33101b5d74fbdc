//! What is remembered of another ledger: judged like a record of one's own, never above one, and never written back.

use super::*;
use crate::replay::Standing;

const BELIEVED: Duration = Duration::from_secs(1);

fn delivered(left: Duration) -> Delivered {
    Delivered {
        values: Values::of_id(IdDigest::of(b"id")),
        marks: crate::replay::Marks::default(),
        mac: Some(MacDigest::of(b"mac")),
        attempts: 3,
        left,
    }
}

impl World {
    fn learn(&self, ask: &Ask) {
        self.clock.advance(Duration::from_micros(1));
        let now = self.clock.monotonic();
        self.ledger
            .learn(&ask.source, &ask.key, &delivered(60 * MINUTE), now, BELIEVED);
    }

    fn remembers(&self, delivery: u64) -> bool {
        matches!(self.ledger.glance(&attempt("a", delivery, 9)), Glance::Copy { .. })
    }
}

#[test]
fn a_copy_is_judged_like_a_record_and_believed_for_a_second() {
    let world = World::new(16);
    let ask = Ask {
        values: Values::of_id(IdDigest::of(b"id")),
        ..attempt("a", 1, 0)
    };
    assert!(world.ledger.is_blank());
    world.learn(&ask);
    let seen = |same_mac, same| Seen {
        same_mac,
        standing: if same { Standing::Same } else { Standing::New },
        values: Values::of_id(IdDigest::of(b"id")),
        repeats: 0,
        attempts: 3,
    };
    let other = |mac: &[u8]| Ask {
        values: Values::default(),
        mac: Some(MacDigest::of(mac)),
        ..ask.clone()
    };
    for (ask, expected) in [
        (&ask, seen(true, true)),
        (&other(b"mac"), seen(true, false)),
        (&other(b"another"), seen(false, false)),
    ] {
        assert!(matches!(
            world.ledger.glance(ask),
            Glance::Copy { delivered, believed: true } if delivered.seen_by(ask) == expected
        ));
        assert_eq!(world.ask(ask), Ok(Verdict::Done(expected)), "as in an outage");
    }
    world.clock.advance(BELIEVED);
    assert!(matches!(
        world.ledger.glance(&ask),
        Glance::Copy { believed: false, .. }
    ));
    world.learn(&ask);
    assert!(matches!(world.ledger.glance(&ask), Glance::Copy { believed: true, .. }));
    // It is no delivery of this ledger's own.
    assert_eq!((world.ledger.entries(), world.ledger.copies()), (0, 1));
    assert!(world.ledger.successes(9).is_empty() && world.ledger.success(&ask.key).is_none());
    assert_eq!(world.ledger.forget_now(&ask.key, MINUTE), Forgotten::Unknown);
    world.clock.advance(60 * MINUTE);
    assert!(matches!(world.ledger.glance(&ask), Glance::Nothing));
    assert!(world.ledger.is_blank() && world.ledger.copies() == 0);
}

#[test]
fn a_copy_never_outlives_its_record() {
    let world = World::new(16);
    let ask = attempt("a", 1, 0);
    let asked = world.clock.monotonic();
    // The answer took ten seconds, and its record had five to live.
    world.clock.advance(Duration::from_secs(10));
    let short = delivered(Duration::from_secs(5));
    world.ledger.learn(&ask.source, &ask.key, &short, asked, BELIEVED);
    assert!(world.ledger.is_blank());
    let longer = delivered(Duration::from_secs(11));
    world.ledger.learn(&ask.source, &ask.key, &longer, asked, BELIEVED);
    assert!(matches!(
        world.ledger.glance(&ask),
        Glance::Copy { believed: false, .. }
    ));
    world.clock.advance(Duration::from_secs(1));
    assert!(matches!(world.ledger.glance(&ask), Glance::Nothing));
}

#[test]
fn copies_go_before_all_others_and_take_nothing_from_them() {
    let world = World::new(4);
    for delivery in 0..6 {
        world.learn(&attempt("a", delivery, 0));
    }
    assert_eq!((0..6).filter(|&n| world.remembers(n)).collect::<Vec<_>>(), [2, 3, 4, 5]);
    world.deliver(&attempt("a", 10, 0));
    world.fail(&attempt("a", 11, 0));
    world.claim(&attempt("b", 12, 0));
    assert_eq!((0..6).filter(|&n| world.remembers(n)).collect::<Vec<_>>(), [5]);
    assert_eq!((world.ledger.entries(), world.ledger.copies()), (3, 1));
    world.deliver(&attempt("a", 13, 0));
    assert_eq!(world.ledger.evicted(), 0, "a copy is no loss that anybody counts");
    // Only own records now: a copy is worth none of them.
    world.learn(&attempt("a", 20, 0));
    assert!(!world.remembers(20) && world.knows(10) && world.knows(13));
    assert_eq!((world.ledger.entries(), world.ledger.copies()), (4, 0));
    // Nor does it take the place of what this ledger knows itself.
    world.learn(&attempt("a", 10, 0));
    world.learn(&attempt("b", 12, 0));
    assert!(world.knows(10));
    assert!(matches!(world.ask(&attempt("b", 12, 1)), Ok(Verdict::Busy { .. })));
}

#[test]
fn a_source_that_floods_takes_no_copies_from_one_that_does_not() {
    let world = World::new(4096);
    for delivery in 0..512 {
        world.learn(&attempt("a", delivery, 0));
    }
    for delivery in 0..20_000 {
        world.learn(&attempt("loud", 1_000_000 + delivery, 0));
    }
    assert!((0..512).all(|delivery| world.remembers(delivery)));
    assert_eq!(world.ledger.copies(), 4096);
}

#[test]
fn an_own_record_is_worth_any_copy_and_a_copy_none_of_who_has_less() {
    let world = World::new(4);
    for delivery in 0..3 {
        world.claim(&attempt("loud", delivery, 0));
    }
    world.learn(&attempt("a", 100, 0));
    world.learn(&attempt("loud", 200, 0));
    assert!(world.remembers(100) && !world.remembers(200));
    world.claim(&attempt("loud", 3, 0));
    assert!(!world.remembers(100));
    assert_eq!((world.ledger.entries(), world.ledger.copies()), (4, 0));
}

#[test]
fn what_redis_has_been_told_is_a_copy_from_then_on() {
    let world = World::new(16);
    let (done, half) = (attempt("a", 1, 0), attempt("a", 2, 0));
    world.deliver(&done);
    let grant = world.claim(&half);
    world.settle(&half, &grant, &["a", "b"], &["a"]);
    for success in world.ledger.successes(9) {
        world.ledger.written(&success.key, success.fence);
    }
    assert_eq!((world.ledger.entries(), world.ledger.copies()), (0, 1));
    assert!(
        matches!(world.ledger.glance(&done), Glance::Copy { believed: false, delivered } if delivered.seen_by(&done).same_mac)
    );
    assert!(matches!(world.ledger.glance(&half), Glance::Nothing));
    world.ledger.unlearn(&done.key);
    assert!(world.ledger.is_blank() && world.ledger.copies() == 0);
}

#[test]
fn the_copies_of_one_source_can_be_forgotten_at_once() {
    let world = World::new(1024);
    for delivery in 0..100 {
        world.learn(&attempt("a", delivery, 0));
        world.learn(&attempt("b", 1000 + delivery, 0));
    }
    world.deliver(&attempt("a", 500, 0));
    world.ledger.unlearn_all(&attempt("a", 0, 0).source);
    assert_eq!((world.ledger.entries(), world.ledger.copies()), (1, 100));
    assert!(!world.remembers(7) && world.remembers(1007) && world.knows(500));
}

#[test]
fn a_success_is_written_back_with_its_age_and_event() {
    let world = World::new(16);
    let event = crate::event::EventName::parse("invoice.paid");
    let ask = Ask {
        event: event.clone(),
        ..attempt("a", 1, 0)
    };
    world.deliver(&ask);
    world.clock.advance(MINUTE);
    let success = world.ledger.success(&ask.key).expect("it is delivered");
    assert_eq!((success.succeeded, success.event), (Succeeded::Ago(MINUTE), event));
    assert!(success.source == ask.source && success.keep == 59 * MINUTE);
}
