//! What Redis can do to the ledger, done by a real `redis-server`: dead, hung, full, demoted, restarted. Every decision
//! comes in time, nothing acknowledged is lost, and the way back is short.

#![allow(
    clippy::disallowed_methods,
    reason = "tests read the clock and spawn what they await or abort"
)]

#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/sidecar.rs"]
mod sidecar;

use hookward::{
    event::{Secret, TestClock, Timestamp},
    replay::{Ask, Decision, Forgotten, OnOutage, Replays, Settled},
    store::{Access, Login, Target},
};
use redis_server::RedisServer;
use sidecar::{DECISION, Sidecar, a, again, ask, granted, name, target, timed, wait_until};
use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

#[tokio::test]
async fn redis_may_come_later_than_the_sidecar() {
    let mut server = RedisServer::start();
    server.kill();
    let sidecar = Sidecar::on(server.port());
    let early = ask();
    let claim = sidecar.granted(&early).await;
    assert!(claim.is_local());
    assert_eq!(claim.settle(&a(), &a()).await, Settled::Done);
    sidecar.notice_the_outage().await;
    server.restart();
    assert!(sidecar.recovered().await < Duration::from_secs(1));
    let claim = sidecar.granted(&ask()).await;
    assert!(!claim.is_local());
    claim.release().await;
    wait_until("the early delivery is written back", async || {
        sidecar.replays.entries() == 0
    })
    .await;
    assert!(sidecar.is_done(&early).await);
}

#[tokio::test]
async fn an_outage_is_found_without_requests_and_lasts_until_redis_answers() {
    let mut server = RedisServer::start();
    let sidecar = Sidecar::on(server.port());
    sidecar.granted(&ask()).await.release().await;
    server.kill();
    wait_until("the outage is found", async || !sidecar.replays.up()).await;
    // Looked for four times a second.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!sidecar.replays.up(), "there is no Redis yet");
    }
    server.restart();
    sidecar.recovered().await;
}

#[tokio::test]
async fn how_far_redis_is_ahead_is_known_from_a_claim() {
    let server = RedisServer::start();
    let in_2001 = Arc::new(TestClock::at(Timestamp::from_secs(1_000_000_000)));
    let (replays, _recovery) = Replays::on_redis(in_2001, NonZeroUsize::MIN, &target(server.port())).expect("a target");
    assert_eq!(replays.skew_millis(), None);
    let decision = replays.worker().claim(ask(), OnOutage::Reject).await;
    granted(decision.expect("Redis answers")).release().await;
    let twenty_years = 20 * 365 * 86_400_000;
    assert!(
        replays.skew_millis() > Some(twenty_years),
        "{:?}",
        replays.skew_millis()
    );
}

#[tokio::test]
async fn a_killed_redis_costs_the_first_decisions_little_and_later_ones_nothing() {
    let mut server = RedisServer::start();
    let sidecar = Sidecar::on(server.port());
    sidecar.granted(&ask()).await.release().await;
    server.kill();
    for _ in 0..3 {
        let (claim, took) = timed(sidecar.granted(&ask())).await;
        assert!(claim.is_local() && took <= DECISION, "{took:?}");
        claim.release().await;
    }
    assert!(!sidecar.replays.up());
    // The quickest of many: the machine may be busy, the code may not.
    let mut quickest = DECISION;
    for _ in 0..20 {
        let (claim, took) = timed(sidecar.granted(&ask())).await;
        quickest = quickest.min(took);
        claim.release().await;
    }
    assert!(quickest < Duration::from_millis(1), "{quickest:?}");
    server.restart();
    assert!(sidecar.recovered().await < Duration::from_secs(1));
}

#[tokio::test]
async fn a_hung_redis_delays_a_decision_by_one_timeout() {
    let server = RedisServer::start();
    let sidecar = Sidecar::on(server.port());
    let mut held = Vec::new();
    for door in &sidecar.doors {
        held.push((ask(), door));
    }
    for (ask, door) in &held {
        granted(door.claim(ask.clone(), OnOutage::Local).await.expect("a decision"))
            .release()
            .await;
    }
    server.stop();
    let asks: Vec<_> = (0..16).map(|_| ask()).collect();
    let decisions = asks.iter().enumerate().map(|(n, ask)| {
        let door = &sidecar.doors[n % 2];
        timed(async move { granted(door.claim(ask.clone(), OnOutage::Local).await.expect("a decision")) })
    });
    for (claim, took) in futures_util::future::join_all(decisions).await {
        assert!(claim.is_local());
        assert!(took <= DECISION, "{took:?}");
        claim.release().await;
    }
    assert!(!sidecar.replays.up());
    server.cont();
    assert!(sidecar.recovered().await < Duration::from_secs(1));
    // Redis has executed the 16 claims by now; each would hold its delivery for 30 s.
    for ask in &asks {
        wait_until("the orphaned claim is released", async || {
            match sidecar.claim(&again(ask), OnOutage::Reject).await {
                Decision::Claimed(claim) => {
                    assert_eq!(claim.attempt(), 1, "an attempt that was never granted is not counted");
                    claim.release().await;
                    true
                }
                Decision::Busy { .. } => false,
                Decision::Done(_) => panic!("nothing was delivered"),
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_restarted_redis_that_kept_its_data_keeps_the_ledger() {
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let sidecar = Sidecar::on(server.port());
    let delivered = ask();
    assert_eq!(
        sidecar.granted(&delivered).await.settle(&a(), &a()).await,
        Settled::Done
    );
    // Another one, which has nothing to remember.
    let other = Sidecar::on(server.port());
    other.granted(&ask()).await.release().await;
    server.kill();
    server.restart();
    // The connection is dead and nobody has noticed: the same call makes another one.
    let (done, took) = timed(other.is_done(&delivered)).await;
    assert!(done && took <= DECISION, "{took:?}");
}

#[tokio::test]
async fn a_redis_that_refuses_is_a_redis_that_is_out() {
    type Change = fn(&RedisServer);
    let refusals: [(&str, Change, Change); 4] = [
        (
            "OOM",
            |server| server.configure("maxmemory", "1"),
            |server| server.configure("maxmemory", "0"),
        ),
        (
            "READONLY",
            |server| server.query(&["REPLICAOF", "127.0.0.1", "1"]),
            |server| server.query(&["REPLICAOF", "NO", "ONE"]),
        ),
        (
            "NOREPLICAS",
            |server| server.configure("min-replicas-to-write", "1"),
            |server| server.configure("min-replicas-to-write", "0"),
        ),
        ("MISCONF", RedisServer::break_saving, RedisServer::mend_saving),
    ];
    for (code, break_it, mend_it) in refusals {
        let server = RedisServer::start();
        let sidecar = Sidecar::on(server.port());
        sidecar.granted(&ask()).await.release().await;
        break_it(&server);
        let refused = sidecar.doors[0]
            .claim(ask(), OnOutage::Reject)
            .await
            .err()
            .expect("a refusal");
        assert!(refused.reason.contains(code), "{code}: {}", refused.reason);
        let (claim, took) = timed(sidecar.granted(&ask())).await;
        assert!(claim.is_local() && took <= DECISION, "{code}: {took:?}");
        claim.release().await;
        sidecar.notice_the_outage().await;
        mend_it(&server);
        assert!(sidecar.recovered().await < Duration::from_secs(1), "{code}");
        assert!(!sidecar.granted(&ask()).await.is_local(), "{code}");
    }
}

#[tokio::test]
async fn a_redis_that_is_still_loading_is_out_until_it_has_loaded() {
    let slow = [
        "--key-load-delay",
        "500",
        "--loading-process-events-interval-bytes",
        "1024",
    ];
    let mut server = RedisServer::start_with(&slow);
    let sidecar = Sidecar::on(server.port());
    let delivered = ask();
    assert_eq!(
        sidecar.granted(&delivered).await.settle(&a(), &a()).await,
        Settled::Done
    );
    let port = server.port();
    server.query::<()>(&["DEBUG", "POPULATE", "2000"]);
    server.query::<()>(&["SAVE"]);
    server.kill();
    let restarting = std::thread::spawn(move || {
        server.restart();
        server
    });
    wait_until("Redis says that it is loading", async || {
        // A fresh one: its breaker is not open yet.
        let answer = Sidecar::on(port).doors[0].claim(ask(), OnOutage::Reject).await;
        answer.is_err_and(|unavailable| unavailable.reason.contains("LOADING"))
    })
    .await;
    sidecar.notice_the_outage().await;
    let _server = restarting.join().expect("it has loaded");
    assert!(sidecar.recovered().await < Duration::from_secs(1));
    assert!(Sidecar::on(port).is_done(&delivered).await);
}

#[tokio::test]
async fn two_replicas_deliver_once_whatever_the_race() {
    let server = RedisServer::start();
    let replicas = [Sidecar::on(server.port()), Sidecar::on(server.port())];
    for _ in 0..60 {
        let first = ask();
        let copies: Vec<_> = (0..16).map(|_| again(&first)).collect();
        let effects = AtomicUsize::new(0);
        let copy = async |(n, ask): (usize, &Ask)| {
            match replicas[n % 2].doors[n / 2 % 2]
                .claim(ask.clone(), OnOutage::Reject)
                .await
            {
                Ok(Decision::Claimed(claim)) => {
                    effects.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    claim.settle(&a(), &a()).await;
                }
                Ok(Decision::Done(seen)) => assert!(seen.same_mac),
                // Held; or a busy machine missed the 100 ms: refused, never delivered twice.
                Ok(Decision::Busy { .. }) | Err(_) => {}
            }
        };
        futures_util::future::join_all(copies.iter().enumerate().map(copy)).await;
        assert!(effects.load(Ordering::SeqCst) <= 1);
        assert!(replicas[0].is_done(&first).await, "nobody delivered it");
    }
}

#[tokio::test]
async fn a_claim_is_held_noted_renewed_and_forgotten_on_redis() {
    let server = RedisServer::start();
    let sidecar = Sidecar::on(server.port());
    let first = Ask {
        lease: Duration::from_secs(2),
        ..ask()
    };
    let mut claim = sidecar.granted(&first).await;
    let deadline = claim.deadline();
    claim.renew().await.expect("Redis answers");
    assert!(claim.deadline() > deadline);
    claim.witness().note(&name("a")).await;
    assert!(matches!(
        sidecar.claim(&again(&first), OnOutage::Local).await,
        Decision::Busy { .. }
    ));
    let window = Duration::from_mins(10);
    let forgotten = sidecar.doors[1]
        .forget(&first.source, &first.key, window)
        .await
        .expect("Redis answers");
    assert!(matches!(forgotten, Forgotten::InFlight { .. }));
    assert_eq!(claim.settle(&a(), &[]).await, Settled::Done);
    let forgotten = sidecar.doors[1]
        .forget(&first.source, &first.key, window)
        .await
        .expect("Redis answers");
    assert_eq!(forgotten, Forgotten::Deliverable);
    assert_eq!(sidecar.granted(&again(&first)).await.attempt(), 2);
    assert!(sidecar.replays.skew_millis().expect("known after a claim").abs() < 10_000);
}

#[tokio::test]
async fn a_login_and_a_database_are_used_and_a_wrong_password_is_not_shown() {
    let server = RedisServer::start();
    server.query::<()>(&["ACL", "SETUSER", "hookward", "on", ">correct-horse", "~hw:*", "+@all"]);
    let login = |password: &str| Target {
        database: 3,
        access: Access {
            login: Login {
                username: Some("hookward".into()),
                password: Some(Secret::new(password.as_bytes().to_vec())),
            },
            ..Access::default()
        },
        ..target(server.port())
    };
    let sidecar = Sidecar::with(&login("correct-horse"));
    assert!(!sidecar.granted(&ask()).await.is_local());
    let keyspace: String = server.query(&["INFO", "keyspace"]);
    assert!(
        keyspace.contains("db3:keys=1") && !keyspace.contains("db0"),
        "{keyspace}"
    );

    let wrong = Sidecar::with(&login("battery-staple")).doors[0]
        .claim(ask(), OnOutage::Reject)
        .await;
    let reason = wrong.err().expect("a refusal").reason;
    assert!(
        reason.contains("WRONGPASS") || reason.to_lowercase().contains("auth"),
        "{reason}"
    );
    assert!(!reason.contains("battery"), "{reason}");
}
