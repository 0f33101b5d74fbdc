//! Answers of Redis that are lost on the way or come too late: asked again, granted once, and never a dead claim.

#![allow(
    clippy::disallowed_methods,
    reason = "tests read the clock and spawn what they await or abort"
)]

#[path = "support/cutting_proxy.rs"]
mod cutting_proxy;
#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/sidecar.rs"]
mod sidecar;

use cutting_proxy::CuttingProxy;
use hookward::{
    replay::{Claim, Decision, OnOutage, Settled},
    store::Target,
};
use redis_server::RedisServer;
use sidecar::{DECISION, Sidecar, a, again, ask, target, timed, wait_until};
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_connection_that_has_fallen_silent_is_left() {
    let server = RedisServer::start();
    let proxy = CuttingProxy::start(server.port());
    let sidecar = Sidecar::on(proxy.port);
    // Only the worker's connections are counted.
    sidecar.recovery.abort();
    sidecar.granted(&ask()).await.release().await;
    proxy.silence.store(true, Ordering::SeqCst);
    let (claim, took) = timed(sidecar.granted(&ask())).await;
    assert!(claim.is_local() && took <= DECISION, "{took:?}");
    assert!(!sidecar.granted(&ask()).await.is_local());
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_is_asked_again_and_granted_once() {
    let server = RedisServer::start();
    let proxy = CuttingProxy::start(server.port());
    let sidecar = Sidecar::on(proxy.port);
    sidecar.granted(&ask()).await.release().await;
    let other = Sidecar::on(server.port());
    for _ in 0..20 {
        let first = ask();
        proxy.cuts.store(1, Ordering::SeqCst);
        let (claim, took) = timed(sidecar.granted(&first)).await;
        assert_eq!(proxy.cuts.load(Ordering::SeqCst), 0, "the answer was cut off");
        assert!(took <= DECISION, "{took:?}");
        assert!(!claim.is_local() && claim.attempt() == 1);
        let second = sidecar.claim(&again(&first), OnOutage::Local).await;
        assert!(matches!(second, Decision::Busy { .. }));
        // A settlement whose answer is lost is settled once too.
        proxy.cuts.store(1, Ordering::SeqCst);
        assert_eq!(claim.settle(&a(), &a()).await, Settled::Done);
        assert!(other.is_done(&first).await);
    }
    assert_eq!(sidecar.replays.entries(), 0);
}

#[tokio::test]
async fn a_claim_whose_answers_are_all_lost_holds_nobody_for_a_lease() {
    let server = RedisServer::start();
    let proxy = CuttingProxy::start(server.port());
    let sidecar = Sidecar::on(proxy.port);
    let first = ask();
    proxy.cuts.store(2, Ordering::SeqCst);
    let claim = sidecar.granted(&first).await;
    assert!(claim.is_local(), "both answers were cut off");
    claim.release().await;
    let other = Sidecar::on(server.port());
    wait_until("the orphaned claim is released", async || {
        match other.claim(&again(&first), OnOutage::Reject).await {
            Decision::Claimed(claim) => {
                claim.release().await;
                true
            }
            _ => false,
        }
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_redis_executed_too_late_keeps_other_replicas_away_while_we_forward() {
    let server = RedisServer::start();
    let (here, there) = (Sidecar::on(server.port()), Sidecar::on(server.port()));
    for sidecar in [&here, &there] {
        sidecar.granted(&ask()).await.release().await;
    }
    let (succeeds, fails) = (ask(), ask());
    server.stop();
    let claims = [here.granted(&succeeds).await, here.granted(&fails).await];
    assert!(claims.iter().all(Claim::is_local));
    server.cont();
    for ask in [&succeeds, &fails] {
        let record = format!("hw:{{acme/{}}}", ask.key.to_text());
        wait_until("Redis has executed the claim", async || {
            server.query::<bool>(&["EXISTS", &record])
        })
        .await;
        assert!(matches!(
            there.claim(&again(ask), OnOutage::Reject).await,
            Decision::Busy { .. }
        ));
    }
    let [success, failure] = claims;
    assert_eq!(success.settle(&a(), &a()).await, Settled::Done);
    assert_eq!(failure.settle(&a(), &[]).await, Settled::Open);
    assert!(there.is_done(&succeeds).await);
    wait_until("the claim of the failed attempt is released", async || {
        matches!(
            there.claim(&again(&fails), OnOutage::Reject).await,
            Decision::Claimed(_)
        )
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_is_further_away_than_a_call_may_take_is_reached_all_the_same() {
    let server = RedisServer::start();
    let proxy = CuttingProxy::start(server.port());
    proxy.hold_next.store(true, Ordering::SeqCst);
    // A database makes the handshake ask something.
    let sidecar = Sidecar::with(&Target {
        database: 1,
        ..target(proxy.port)
    });
    // Only the worker's connections are counted.
    sidecar.recovery.abort();
    let (early, took) = timed(sidecar.doors[0].claim(ask(), OnOutage::Reject)).await;
    assert!(early.is_err() && took <= DECISION, "{took:?}");
    proxy.hold_next.store(false, Ordering::SeqCst);
    wait_until("the connection that the first call began is there", async || {
        sidecar.doors[0].claim(ask(), OnOutage::Reject).await.is_ok()
    })
    .await;
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 1);
}
