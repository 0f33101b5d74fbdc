//! The parts that threads share, with their steps in many orders: `cargo test --features shuttle --lib shuttled`.
//!
//! A waiter that nobody wakes is a deadlock here, and shuttle reports it with the order that led to it.

use super::{
    Ask, Boarding, Flights, Grant, MemoryLedger, Renewal, Renewed, Settled, Settlement, SourceTag, Succeeded, Verdict,
    flight,
    memory::Glance,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use crate::event::{Clock, DeliveryKey, DestinationName, MacDigest, Nonce, SourceName, TestClock, Timestamp, Values};
use shuttle::{future::block_on, thread};
use std::{num::NonZeroUsize, time::Duration};

/// So many orders of each world, half of them at random, half with few changes of thread at the worst places.
const ORDERS: usize = 2000;
const MINUTE: Duration = Duration::from_mins(1);

fn in_many_orders(world: fn()) {
    shuttle::check_random(world, ORDERS / 2);
    shuttle::check_pct(world, ORDERS / 2, 3);
}

fn join<T>(threads: Vec<thread::JoinHandle<T>>) -> Vec<T> {
    let join = |thread: thread::JoinHandle<T>| thread.join().expect("no thread panics");
    threads.into_iter().map(join).collect()
}

fn key(delivery: usize) -> DeliveryKey {
    let digest = blake3::hash(&delivery.to_le_bytes());
    DeliveryKey::from_bytes(*digest.as_bytes())
}

fn ask(source: &str, delivery: usize, owner: u8) -> Ask {
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

fn settlement(ask: &Ask, grant: &Grant, required: &[&str], delivered: &[&str]) -> Settlement {
    let names = |names: &[&str]| {
        let name = |name: &&str| DestinationName::parse(name).expect("a name");
        names.iter().map(name).collect()
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
        event: None,
        values: ask.values,
        mac: ask.mac,
    }
}

fn renewal(ask: &Ask, grant: &Grant) -> Renewal {
    Renewal {
        source: ask.source.clone(),
        key: ask.key,
        fence: grant.fence,
        lease: ask.lease,
        open: ask.open,
    }
}

fn ledger(entries: usize) -> Arc<MemoryLedger> {
    let clock: Arc<dyn Clock> = Arc::new(TestClock::at(Timestamp::from_secs(1_795_000_000)));
    Arc::new(MemoryLedger::new(clock, NonZeroUsize::new(entries).expect("a size")))
}

/// One of three attempts leads at a time, whether it lands or goes away, and nobody waits for an answer that never comes.
#[test]
fn one_leads_and_every_waiter_hears_of_it() {
    in_many_orders(|| {
        let (flights, leaders, landed) = (
            Arc::new(Flights::<usize>::new()),
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(0)),
        );
        let attempt = |n: usize| {
            let (flights, leaders, landed) = (Arc::clone(&flights), Arc::clone(&leaders), Arc::clone(&landed));
            thread::spawn(move || match flights.board(key(0)) {
                Boarding::Lead(leader) => {
                    assert_eq!(leaders.fetch_add(1, SeqCst), 0, "two lead");
                    thread::yield_now();
                    leaders.fetch_sub(1, SeqCst);
                    if n == 0 {
                        // Its worker panicked, or its runtime ended.
                        drop(leader);
                    } else {
                        landed.fetch_add(1, SeqCst);
                        leader.land(&n);
                    }
                }
                Boarding::Join(joiner) => match block_on(joiner.answer()) {
                    Some(n) => assert!(n > 0 && landed.load(SeqCst) > 0, "nobody has landed"),
                    None => assert_ne!(n, 0, "it joined itself"),
                },
                Boarding::Full => panic!("three are not too many"),
            })
        };
        join((0..3).map(attempt).collect());
        assert!(flights.is_empty());
    });
}

/// A joiner that hangs up while the leader lands takes nobody's answer away, and makes room.
#[test]
fn who_hangs_up_takes_no_answer_away() {
    in_many_orders(|| {
        let flights = Arc::new(Flights::<usize>::new());
        let Boarding::Lead(leader) = flights.board(key(0)) else {
            panic!("somebody leads");
        };
        let mut attempts: Vec<_> = (0..flight::WAITERS)
            .map(|n| {
                let flights = Arc::clone(&flights);
                thread::spawn(move || match flights.board(key(0)) {
                    Boarding::Join(joiner) if n > 0 => assert_eq!(block_on(joiner.answer()), Some(200)),
                    Boarding::Join(hangs_up) => drop(hangs_up),
                    // It has landed before.
                    Boarding::Lead(late) => late.land(&200),
                    Boarding::Full => panic!("there is room"),
                })
            })
            .collect();
        attempts.push(thread::spawn(move || leader.land(&200)));
        join(attempts);
        assert!(flights.is_empty());
    });
}

/// Four attempts of one delivery, of which the first fails and the second is refused by a limit: one holds it at a time,
/// and it is delivered at most once.
#[test]
fn one_holds_a_delivery_at_a_time() {
    in_many_orders(|| {
        let (ledger, holders, effects) = (ledger(4), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let attempt = |owner: u8| {
            let (ledger, holders, effects) = (Arc::clone(&ledger), Arc::clone(&holders), Arc::clone(&effects));
            thread::spawn(move || {
                let ask = ask("a", 0, owner);
                let Verdict::Claimed(grant) = ledger.claim_now(&ask).expect("there is room") else {
                    return;
                };
                assert_eq!(holders.fetch_add(1, SeqCst), 0, "two hold it");
                assert_eq!(ledger.renew_now(&renewal(&ask, &grant)), Renewed::Held);
                holders.fetch_sub(1, SeqCst);
                let succeeded: &[&str] = match owner {
                    0 => &[],
                    1 => return ledger.release_now(&ask.key, &ask.owner),
                    _ => &["a"],
                };
                effects.fetch_add(succeeded.len(), SeqCst);
                let settled = ledger.settle_now(&settlement(&ask, &grant, &["a"], succeeded));
                let expected = if succeeded.is_empty() {
                    Settled::Open
                } else {
                    Settled::Done
                };
                assert_eq!(settled, Ok(expected));
            })
        };
        join((0..4).map(attempt).collect());
        assert!(effects.load(SeqCst) <= 1, "delivered twice");
        assert!(ledger.entries() <= 1);
    });
}

/// More deliveries than there is room for: the bound holds at every moment, who holds a claim is never given up, and who
/// finds no room is told.
#[test]
fn the_bound_holds_and_no_live_claim_is_given_up() {
    const ENTRIES: usize = 4;
    in_many_orders(|| {
        let ledger = ledger(ENTRIES);
        let worker = |n: usize| {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || {
                let mut refused = 0;
                for delivery in [n * 3, n * 3 + 1, n * 3 + 2] {
                    let ask = ask(["a", "b", "c"][n], delivery, 0);
                    match ledger.claim_now(&ask) {
                        Ok(Verdict::Claimed(grant)) => {
                            assert!(ledger.entries() <= ENTRIES, "{} records", ledger.entries());
                            assert_eq!(
                                ledger.renew_now(&renewal(&ask, &grant)),
                                Renewed::Held,
                                "given up while it was held"
                            );
                            if delivery % 3 != 2 {
                                let settled = ledger.settle_now(&settlement(&ask, &grant, &["a"], &["a"]));
                                assert_eq!(settled, Ok(Settled::Done));
                            }
                        }
                        Ok(other) => panic!("{other:?}"),
                        Err(_) => refused += 1,
                    }
                    assert!(ledger.entries() <= ENTRIES, "{} records", ledger.entries());
                }
                refused
            })
        };
        let mut threads: Vec<_> = (0..3).map(worker).collect();
        let sweeper = Arc::clone(&ledger);
        threads.push(thread::spawn(move || {
            sweeper.sweep();
            0
        }));
        let refused: usize = join(threads).into_iter().sum();
        assert_eq!(refused, 0, "three claims at once leave room for a fourth");
        // What is counted is what is there, and that is within the bound too.
        let (mut held, mut done) = (0, 0);
        for n in 0..9 {
            match ledger.glance(&ask("a", n, 9)) {
                Glance::Held(_) => held += 1,
                Glance::Owed(_) => done += 1,
                Glance::Nothing | Glance::Copy { .. } => {}
            }
        }
        assert_eq!(held, 3);
        assert!(held + done <= ENTRIES, "{held} held, {done} done");
        assert_eq!(ledger.entries(), held + done);
    });
}

/// What is written back while a new attempt begins is dropped only if it is still what was written.
#[test]
fn what_is_written_back_takes_no_newer_claim_away() {
    in_many_orders(|| {
        let ledger = ledger(4);
        let first = ask("a", 0, 0);
        let Ok(Verdict::Claimed(grant)) = ledger.claim_now(&first) else {
            panic!("nobody holds it");
        };
        let half = ledger.settle_now(&settlement(&first, &grant, &["a", "b"], &["a"]));
        assert_eq!(half, Ok(Settled::Open));
        let writer = Arc::clone(&ledger);
        let writing = thread::spawn(move || {
            for success in writer.successes(10) {
                writer.written(&success.key, success.fence);
            }
        });
        let second = ask("a", 0, 1);
        let Ok(Verdict::Claimed(grant)) = ledger.claim_now(&second) else {
            panic!("nobody holds it");
        };
        assert_eq!(ledger.renew_now(&renewal(&second, &grant)), Renewed::Held);
        writing.join().expect("no panic");
        assert_eq!(ledger.renew_now(&renewal(&second, &grant)), Renewed::Held);
    });
}
