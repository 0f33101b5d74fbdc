//! An outage as the sources see it: their policies, what this process does alone meanwhile, and how Redis is told of it.

#![allow(
    clippy::disallowed_methods,
    reason = "tests read the clock and spawn what they await or abort"
)]

#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/sidecar.rs"]
mod sidecar;

use hookward::store::Target;
use hookward::{
    event::{IdDigest, SystemClock, Values},
    replay::{Ask, Decision, Forgotten, Lately, OnOutage, Recalled, Replays, Settled, Standing},
};
use redis_server::RedisServer;
use sidecar::{LEASE, PATIENCE, Sidecar, a, again, ask, granted, name, runtime, target, wait_until};
use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

#[tokio::test]
async fn each_source_has_its_policy() {
    let mut server = RedisServer::start();
    let sidecar = Sidecar::on(server.port());
    server.kill();
    let delivered = ask();
    for round in 0..2 {
        let refused = sidecar.doors[0].claim(ask(), OnOutage::Reject).await;
        assert!(refused.is_err_and(|unavailable| !unavailable.reason.is_empty()));
        let unguarded = granted(sidecar.claim(&delivered, OnOutage::Allow).await);
        assert!(unguarded.is_local() && unguarded.attempt() == 1);
        assert_eq!(unguarded.settle(&a(), &a()).await, Settled::Done);
        let nobody_had_it = granted(sidecar.claim(&ask(), OnOutage::Allow).await);
        assert_eq!(nobody_had_it.settle(&a(), &[]).await, Settled::Open);
        let nobody_must = granted(sidecar.claim(&ask(), OnOutage::Allow).await);
        assert_eq!(nobody_must.settle(&[], &a()).await, Settled::Open);
        match sidecar.claim(&again(&delivered), OnOutage::Local).await {
            Decision::Claimed(claim) if round == 0 => assert_eq!(claim.settle(&a(), &a()).await, Settled::Done),
            Decision::Done(seen) if round == 1 => assert!(seen.same_mac && seen.attempts == 1),
            _ => panic!("the local ledger forgot, or knew what `allow` never tells it"),
        }
    }
    server.restart();
}

#[tokio::test]
async fn what_was_delivered_in_an_outage_is_refused_during_and_after_it_by_every_replica() {
    let mut server = RedisServer::start();
    let (here, there) = (Sidecar::on(server.port()), Sidecar::on(server.port()));
    here.granted(&ask()).await.release().await;
    server.kill();
    let asks: Vec<_> = (0..300).map(|_| ask()).collect();
    for ask in &asks {
        assert_eq!(here.granted(ask).await.settle(&a(), &a()).await, Settled::Done);
        assert!(matches!(
            here.claim(&again(ask), OnOutage::Local).await,
            Decision::Done(_)
        ));
    }
    // Half of a fan-out, and one that failed.
    let (half, failed) = (ask(), ask());
    let both = [name("a"), name("b")];
    assert_eq!(here.granted(&half).await.settle(&both, &a()).await, Settled::Open);
    assert_eq!(here.granted(&failed).await.settle(&a(), &[]).await, Settled::Open);
    server.restart();
    here.recovered().await;
    wait_until("everything is written back", async || here.replays.entries() == 0).await;
    for ask in &asks {
        assert!(there.is_done(ask).await);
    }
    let retry = there.granted(&again(&half)).await;
    assert_eq!((retry.delivered(), retry.attempt()), (&a()[..], 2));
    assert_eq!(retry.settle(&both, &[name("b")]).await, Settled::Done);
    assert!(!there.granted(&again(&failed)).await.is_local());
}

#[tokio::test]
async fn right_after_an_outage_the_process_still_answers_for_what_it_did_alone() {
    let mut server = RedisServer::start();
    let sidecar = Sidecar::on(server.port());
    server.kill();
    sidecar.notice_the_outage().await;
    let (delivered, held) = (ask(), ask());
    sidecar.granted(&delivered).await.settle(&a(), &a()).await;
    let holder = sidecar.granted(&held).await;
    server.restart();
    sidecar.recovered().await;
    // Whether or not the write-back has come to it.
    assert!(sidecar.is_done(&delivered).await);
    let second = sidecar.claim(&again(&held), OnOutage::Local).await;
    assert!(matches!(second, Decision::Busy { left } if left <= LEASE));
    assert_eq!(holder.settle(&a(), &a()).await, Settled::Done);
    assert_eq!(
        sidecar.replays.entries(),
        0,
        "a local claim that ends after the outage is told at once"
    );
    assert!(Sidecar::on(server.port()).is_done(&held).await);
}

#[tokio::test]
async fn a_success_that_redis_could_not_be_told_is_told_later() {
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let sidecar = Sidecar::on(server.port());
    let (delivered, half, failed, limited) = (ask(), ask(), ask(), ask());
    let both = [name("a"), name("b")];
    let first = sidecar.granted(&half).await;
    assert_eq!(first.settle(&both, &a()).await, Settled::Open);
    let claims = [
        sidecar.granted(&delivered).await,
        sidecar.granted(&again(&half)).await,
        sidecar.granted(&failed).await,
        sidecar.granted(&limited).await,
    ];
    assert!(claims.iter().all(|claim| !claim.is_local()));
    server.kill();
    let [one, two, three, four] = claims;
    assert_eq!(one.settle(&a(), &a()).await, Settled::Done);
    // `a` had it before the outage, `b` now: together they are all.
    assert_eq!(two.settle(&both, &both[1..]).await, Settled::Done);
    assert_eq!(three.settle(&a(), &[]).await, Settled::Open);
    four.release().await;
    sidecar.notice_the_outage().await;
    for ask in [&delivered, &half] {
        assert!(matches!(
            sidecar.claim(&again(ask), OnOutage::Local).await,
            Decision::Done(_)
        ));
    }
    server.restart();
    sidecar.recovered().await;
    wait_until("everything is written back", async || sidecar.replays.entries() == 0).await;
    let other = Sidecar::on(server.port());
    assert!(other.is_done(&delivered).await && other.is_done(&half).await);
    // Neither the failed attempt nor the refused one holds its delivery for the rest of its lease.
    for (ask, attempt) in [(&failed, 2), (&limited, 1)] {
        wait_until("the lease is free", async || {
            match other.claim(&again(ask), OnOutage::Reject).await {
                Decision::Claimed(claim) => {
                    assert_eq!(claim.attempt(), attempt);
                    claim.release().await;
                    true
                }
                _ => false,
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_success_that_only_this_process_knows_is_told_before_the_next_question() {
    let mut server = RedisServer::start();
    let sidecar = Sidecar::on(server.port());
    let first = ask();
    let claim = sidecar.granted(&first).await;
    server.kill();
    assert_eq!(claim.settle(&a(), &a()).await, Settled::Done);
    // One failure is no outage: no recovery is under way, and Redis has lost everything.
    assert!(sidecar.replays.up());
    server.restart();
    assert!(sidecar.is_done(&first).await);
    assert_eq!(sidecar.replays.entries(), 0);
    assert!(Sidecar::on(server.port()).is_done(&first).await);
}

#[tokio::test]
async fn a_success_that_only_this_process_knows_is_told_before_its_source_is_let_through() {
    let mut server = RedisServer::start();
    let sidecar = Sidecar::on(server.port());
    let first = ask();
    let claim = sidecar.granted(&first).await;
    server.kill();
    assert_eq!(claim.settle(&a(), &a()).await, Settled::Done);
    server.restart();
    let lately = Lately {
        within: Duration::from_mins(10),
        event: None,
        window: Duration::from_mins(10),
    };
    let recalled = sidecar.doors[0].forget_since(&first.source, &lately).await;
    assert_eq!(recalled.expect("Redis answers").deliverable, 1);
    assert_eq!(sidecar.granted(&again(&first)).await.attempt(), 2);
}

/// What Redis alone had called delivered before it died is known all the same: to who delivered it, and to who was told.
#[tokio::test]
async fn what_redis_called_delivered_is_remembered_in_an_outage() {
    let mut server = RedisServer::start();
    let (here, told, strange) = (
        Sidecar::on(server.port()),
        Sidecar::on(server.port()),
        Sidecar::on(server.port()),
    );
    let delivered = Ask {
        values: Values::of_id(IdDigest::of(b"id")),
        ..ask()
    };
    let failed = here.granted(&delivered).await;
    assert_eq!(failed.settle(&a(), &[]).await, Settled::Open);
    let claim = here.granted(&again(&delivered)).await;
    assert_eq!(claim.settle(&a(), &a()).await, Settled::Done);
    assert!(told.is_done(&delivered).await);
    assert_eq!((here.replays.entries(), here.replays.remembered()), (0, 1));
    assert_eq!((told.replays.entries(), told.replays.remembered()), (0, 1));
    server.kill();
    let other = Ask {
        values: Values::default(),
        mac: None,
        ..delivered.clone()
    };
    for sidecar in [&here, &told] {
        sidecar.notice_the_outage().await;
        for (ask, same) in [(&delivered, true), (&other, false)] {
            match sidecar.claim(&again(ask), OnOutage::Local).await {
                Decision::Done(seen) => {
                    assert_eq!(
                        (seen.same_mac, seen.standing == Standing::Same, seen.attempts),
                        (same, same, 2)
                    );
                }
                _ => panic!("forgotten"),
            }
        }
        // The other policies say what they say.
        assert!(
            sidecar.doors[0]
                .claim(again(&delivered), OnOutage::Reject)
                .await
                .is_err()
        );
        granted(sidecar.claim(&again(&delivered), OnOutage::Allow).await)
            .release()
            .await;
    }
    // Nobody ever told this one.
    strange.granted(&again(&delivered)).await.release().await;
    // Redis comes back empty, and hears of it when it is asked for.
    server.restart();
    here.recovered().await;
    wait_until("its word of before is too old to be believed", async || {
        assert!(here.is_done(&delivered).await);
        server.query::<u64>(&["DBSIZE"]) == 1
    })
    .await;
    strange.recovered().await;
    match strange.claim(&again(&delivered), OnOutage::Reject).await {
        Decision::Done(seen) => assert!(seen.same_mac && seen.standing == Standing::Same && seen.attempts == 2),
        _ => panic!("Redis was not told"),
    }
}

/// Whoever repeats a delivered request makes Redis work once a second.
#[tokio::test]
async fn a_repetition_is_answered_without_redis_for_a_second() {
    let server = RedisServer::start();
    let sidecar = Sidecar::on(server.port());
    let first = ask();
    let settled = Instant::now();
    let claim = sidecar.granted(&first).await;
    assert_eq!(claim.settle(&a(), &a()).await, Settled::Done);
    // Nothing but its word is asked for.
    let record = format!("hw:{{acme/{}}}", first.key.to_text());
    server.query::<()>(&["DEL", &record]);
    while settled.elapsed() < Duration::from_millis(500) {
        assert!(sidecar.is_done(&first).await);
    }
    let asked = server.query::<bool>(&["EXISTS", &record]);
    assert!(!asked || settled.elapsed() >= Duration::from_secs(1), "Redis was asked");
    // Then Redis is asked again, and is told what it has lost.
    wait_until("Redis is asked", async || {
        assert!(sidecar.is_done(&first).await);
        server.query::<bool>(&["EXISTS", &record])
    })
    .await;
    assert!(settled.elapsed() >= Duration::from_secs(1));
}

/// When `forget` has answered, no replica goes by what it remembers.
#[tokio::test]
async fn what_is_forgotten_is_forgotten_by_every_replica_at_once() {
    let server = RedisServer::start();
    let (here, there) = (Sidecar::on(server.port()), Sidecar::on(server.port()));
    let window = Duration::from_mins(10);
    for forgetful in [&here, &there] {
        for lately in [false, true] {
            let first = ask();
            let claim = here.granted(&first).await;
            assert_eq!(claim.settle(&a(), &a()).await, Settled::Done);
            assert!(there.is_done(&first).await);
            if lately {
                let lately = Lately {
                    within: Duration::from_millis(500),
                    event: None,
                    window,
                };
                let recalled = forgetful.doors[1].forget_since(&first.source, &lately).await;
                assert!(recalled.expect("Redis answers").deliverable >= 1);
            } else {
                let forgotten = forgetful.doors[1].forget(&first.source, &first.key, window).await;
                assert_eq!(forgotten, Ok(Forgotten::Deliverable));
            }
            let claim = there.granted(&again(&first)).await;
            assert_eq!(claim.attempt(), 2);
            assert!(matches!(
                here.claim(&again(&first), OnOutage::Reject).await,
                Decision::Busy { .. }
            ));
            assert_eq!(claim.settle(&a(), &a()).await, Settled::Done);
            assert!(here.is_done(&first).await);
        }
    }
}

/// What is written back of a fan-out says who has had it, not that the attempt is over.
#[tokio::test]
async fn a_success_that_is_noted_in_an_outage_does_not_give_the_claim_away() {
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let (here, there) = (Sidecar::on(server.port()), Sidecar::on(server.port()));
    let both = [name("a"), name("b")];
    let (goes_on, ends) = (ask(), ask());
    let claims = [here.granted(&goes_on).await, here.granted(&ends).await];
    server.kill();
    for claim in &claims {
        claim.witness().note(&both[0]).await;
    }
    let [at_work, over] = claims;
    assert_eq!(over.settle(&both, &both[..1]).await, Settled::Open);
    here.notice_the_outage().await;
    server.restart();
    here.recovered().await;
    wait_until("everything is written back", async || here.replays.entries() == 0).await;
    let had = server.has_had_it(&format!("hw:{{acme/{}}}", goes_on.key.to_text()), "a");
    assert!(had, "the success is known to Redis");
    let second = there.claim(&again(&goes_on), OnOutage::Reject).await;
    assert!(
        matches!(second, Decision::Busy { .. }),
        "its first attempt still works on `b`"
    );
    assert_eq!(at_work.settle(&both, &both[1..]).await, Settled::Done);
    // The one that is over holds nobody for a lease.
    wait_until("the lease is free", async || {
        match there.claim(&again(&ends), OnOutage::Reject).await {
            Decision::Claimed(claim) => {
                assert_eq!((claim.delivered(), claim.attempt()), (&both[..1], 2));
                true
            }
            _ => false,
        }
    })
    .await;
}

/// A walk over many pages finds each once, and nothing of others.
#[tokio::test]
async fn a_sources_late_deliveries_are_found_among_many_keys() {
    let server = RedisServer::start();
    server.query::<()>(&["DEBUG", "POPULATE", "20000", "other"]);
    // Many at once on a busy machine.
    let sidecar = Sidecar::with(&Target {
        timeout: Duration::from_secs(5),
        ..target(server.port())
    });
    let asks: Vec<_> = (0..500).map(|_| ask()).collect();
    let settled = asks.iter().map(async |ask| {
        let claim = sidecar.granted(ask).await;
        assert!(!claim.is_local());
        assert_eq!(claim.settle(&a(), &a()).await, Settled::Done);
    });
    futures_util::future::join_all(settled).await;
    let held = sidecar.granted(&ask()).await;
    let lately = Lately {
        within: Duration::from_mins(5),
        event: None,
        window: Duration::from_mins(10),
    };
    let recalled = sidecar.doors[1].forget_since(&asks[0].source, &lately).await;
    let expected = Recalled {
        deliverable: 500,
        complete: true,
    };
    assert_eq!(recalled, Ok(expected));
    assert_eq!(sidecar.replays.remembered(), 0);
    for ask in &asks {
        let claim = sidecar.granted(&again(ask)).await;
        assert_eq!(claim.attempt(), 2);
        claim.release().await;
    }
    assert_eq!(held.settle(&a(), &a()).await, Settled::Done);
}

#[test]
fn workers_on_threads_of_their_own_share_one_breaker_and_one_local_ledger() {
    let mut server = RedisServer::start();
    let entries = NonZeroUsize::new(64).expect("a size");
    let (replays, recovery) =
        Replays::on_redis(Arc::new(SystemClock::new()), entries, &target(server.port())).expect("a target");
    let background =
        std::thread::spawn(|| runtime().block_on(async { tokio::time::timeout(PATIENCE, recovery.run()).await }));
    let worker = || {
        let door = replays.worker();
        let (questions, asked) = std::sync::mpsc::channel::<(Ask, std::sync::mpsc::Sender<(bool, bool)>)>();
        let thread = std::thread::spawn(move || {
            let runtime = runtime();
            for (ask, answer) in asked {
                let decision = runtime.block_on(door.claim(ask, OnOutage::Local)).expect("a decision");
                let told = match decision {
                    Decision::Claimed(claim) => {
                        let local = claim.is_local();
                        assert_eq!(runtime.block_on(claim.settle(&a(), &a())), Settled::Done);
                        (true, local)
                    }
                    Decision::Done(_) => (false, false),
                    Decision::Busy { left } => panic!("held for {left:?}"),
                };
                answer.send(told).expect("the test waits");
            }
        });
        (questions, thread)
    };
    let (one, two) = (worker(), worker());
    let claim = |worker: &std::sync::mpsc::Sender<_>, ask: &Ask| {
        let (answer, told) = std::sync::mpsc::channel();
        worker.send((again(ask), answer)).expect("the worker runs");
        told.recv().expect("the worker answers")
    };
    let before = ask();
    assert_eq!(claim(&one.0, &before), (true, false));
    assert_eq!(claim(&two.0, &before), (false, false));
    server.kill();
    let during = ask();
    assert_eq!(claim(&one.0, &during), (true, true));
    assert_eq!(
        claim(&two.0, &during),
        (false, false),
        "what one delivered alone, the other knows"
    );
    while replays.up() {
        claim(&one.0, &ask());
    }
    let start = Instant::now();
    claim(&two.0, &ask());
    assert!(
        start.elapsed() < Duration::from_millis(50),
        "the other worker does not find out for itself"
    );
    server.restart();
    runtime().block_on(wait_until("Redis is asked again and told", async || {
        replays.up() && replays.entries() == 0
    }));
    for ask in [&during, &ask()] {
        let (granted, local) = claim(&two.0, ask);
        assert!(!local);
        assert_eq!(granted, ask.key != during.key);
    }
    for (questions, thread) in [one, two] {
        drop(questions);
        thread.join().expect("the worker did not panic");
    }
    drop(background);
}
