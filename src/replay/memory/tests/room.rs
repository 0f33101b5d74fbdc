//! What a full ledger gives up, and for whom.

use super::*;

#[test]
fn the_oldest_delivered_is_forgotten_first_and_counted() {
    let world = World::new(4);
    for delivery in 0..4 {
        world.deliver(&attempt("a", delivery, 0));
    }
    // Being asked for does not make it younger.
    let replayed = world.ask(&attempt("a", 0, 1));
    assert!(matches!(replayed, Ok(Verdict::Done(_))), "{replayed:?}");
    for delivery in 4..7 {
        world.deliver(&attempt("a", delivery, 0));
    }
    assert_eq!(
        (0..7).filter(|&delivery| world.knows(delivery)).collect::<Vec<_>>(),
        [3, 4, 5, 6]
    );
    assert_eq!((world.ledger.entries(), world.ledger.evicted()), (4, 3));
}

#[test]
fn then_the_oldest_that_failed_everywhere_and_never_one_under_way_or_half_delivered() {
    let world = World::new(4);
    let (held, half) = (attempt("a", 0, 0), attempt("a", 1, 0));
    let grant = world.claim(&half);
    world.claim(&held);
    assert_eq!(world.settle(&half, &grant, &["a", "b"], &["a"]), Settled::Open);
    world.fail(&attempt("a", 2, 0));
    world.fail(&attempt("a", 3, 0));
    world.fail(&attempt("a", 4, 0));
    assert_eq!(
        world.claim(&attempt("a", 2, 1)).attempt,
        1,
        "2 was the oldest that failed"
    );
    assert_eq!(
        world.claim(&attempt("a", 4, 1)).attempt,
        2,
        "4 was not, after 3 had to go for 2"
    );
    // Everything is under way or half delivered now.
    let refused = world.ask(&attempt("a", 5, 0)).expect_err("no room");
    assert!(refused.reason.contains('4'), "{refused}");
    assert_eq!((world.ledger.entries(), world.ledger.evicted()), (4, 0));
    let lost = settlement(&attempt("a", 6, 0), &grant, &["a"], &["a"]);
    assert!(world.ledger.settle_now(&lost).is_err());
    // What is over makes room, uncounted.
    world.clock.advance(2 * MINUTE);
    assert_eq!(world.claim(&attempt("a", 5, 0)).attempt, 1);
    assert_eq!(
        world.claim(&attempt("a", 1, 1)).delivered.len(),
        1,
        "the half delivered one lives longer"
    );
    assert_eq!(world.ledger.evicted(), 0);
}

#[test]
fn a_source_that_floods_takes_nothing_from_one_that_does_not() {
    for entries in [16, 65_536] {
        let world = World::new(entries);
        let few = entries as u64 / 8;
        for delivery in 0..few {
            world.deliver(&attempt("quiet", delivery, 0));
        }
        let flood = entries as u64 * 3;
        for delivery in 0..flood {
            world.deliver(&attempt("loud", 1_000_000 + delivery, 0));
        }
        assert!((0..few).all(|delivery| world.knows(delivery)));
        assert_eq!(world.ledger.entries(), entries);
        assert_eq!(world.ledger.evicted(), flood + few - entries as u64);
        // Nor while the loud one holds everything: the quiet one is let in, the loud one is not.
        let world = World::new(entries);
        for delivery in 0..few {
            world.deliver(&attempt("quiet", delivery, 0));
        }
        let held = (0..entries as u64)
            .filter(|&n| world.ask(&attempt("loud", 1_000_000 + n, 0)).is_ok())
            .count();
        assert!(held >= entries / 2, "{held}");
        let known = (0..few).filter(|&delivery| world.knows(delivery)).count();
        assert!(known * 100 >= few as usize * 90, "{known} of {few}");
    }
}

#[test]
fn what_a_source_had_once_is_not_held_against_it() {
    let world = World::new(16);
    for delivery in 0..16 {
        world.deliver(&attempt("had-much", delivery, 0));
    }
    world.clock.advance(61 * MINUTE);
    world.ledger.sweep();
    assert_eq!(world.ledger.entries(), 0);
    for delivery in 100..102 {
        world.deliver(&attempt("had-much", delivery, 0));
    }
    for delivery in 200..214 {
        world.deliver(&attempt("has-much", delivery, 0));
    }
    world.deliver(&attempt("new", 300, 0));
    assert!(world.knows(100) && world.knows(101) && !world.knows(200));
}

#[test]
fn a_full_ledger_gives_up_a_record_wherever_it_is() {
    const ENTRIES: usize = 1024;
    let shard_of = |ledger: &MemoryLedger, delivery| ledger.shard(&key(delivery));
    for place in 0..4 {
        for home in 0..4 {
            let world = World::new(ENTRIES);
            assert_eq!(world.ledger.shards.len(), 4);
            let done = (0..1_000_000).find(|&n| shard_of(&world.ledger, n) == place);
            let done = done.expect("a key of this shard");
            world.deliver(&attempt("a", done, 0));
            for delivery in 1_000_000..1_000_000 + ENTRIES as u64 - 1 {
                world.claim(&attempt("a", delivery, 0));
            }
            assert_eq!((world.ledger.entries(), world.ledger.evicted()), (ENTRIES, 0));
            let new = (2_000_000..3_000_000).find(|&n| shard_of(&world.ledger, n) == home);
            world.claim(&attempt("a", new.expect("a key of this shard"), 0));
            assert_eq!(
                (world.ledger.entries(), world.ledger.evicted()),
                (ENTRIES, 1),
                "{place} for {home}"
            );
            assert!(!world.knows(done));
        }
    }
}
