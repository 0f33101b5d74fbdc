//! How fast the ledgers are on this machine: `cargo test --release --test ledger_speed -- --ignored --nocapture`.

#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "figures for people"
)]

#[path = "support/redis.rs"]
mod redis_server;

use futures_util::future::join_all;
use hookward::{
    event::{DeliveryKey, DestinationName, MacDigest, Nonce, SourceName, SystemClock, Values},
    replay::{Ask, Decision, OnOutage, Replay, Replays, Settled, SourceTag},
    store::Target,
};
use redis_server::RedisServer;
use std::{
    cell::Cell,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

const RUN: Duration = Duration::from_secs(2);

#[tokio::test]
#[ignore = "a measurement"]
async fn claims_per_second() {
    let entries = NonZeroUsize::new(65_536).expect("a size");
    let (in_process, _recovery) = Replays::in_process(Arc::new(SystemClock::new()), entries);
    measure("in process", &in_process.worker(), 64, true).await;

    for (at_once, settle) in [(1, false), (16, false), (64, false), (64, true), (256, false)] {
        let server = RedisServer::start();
        let target = Target::server("127.0.0.1", server.port());
        let (on_redis, _recovery) =
            Replays::on_redis(Arc::new(SystemClock::new()), entries, &target).expect("a target");
        measure("on Redis", &on_redis.worker(), at_once, settle).await;
        let stats: String = server.query(&["INFO", "commandstats"]);
        let evalsha = stats.lines().find(|line| line.contains("evalsha"));
        println!("  {}", evalsha.unwrap_or("no EVALSHA"));
        let keys: u64 = server.query(&["DBSIZE"]);
        let memory: String = server.query(&["INFO", "memory"]);
        let used = memory
            .lines()
            .find_map(|line| line.strip_prefix("used_memory_dataset:"))
            .expect("a line of INFO");
        let used: u64 = used.trim().parse().expect("a number");
        println!("  {keys} records, {} bytes each", used / keys);
    }
}

async fn measure(what: &str, door: &Replay, at_once: usize, settle: bool) {
    let next = Cell::new(1_u64);
    let app = [DestinationName::upstream()];
    let start = Instant::now();
    let worker = async || {
        let mut took = Vec::new();
        while start.elapsed() < RUN {
            next.set(next.get() + 1);
            let ask = ask(next.get());
            let asked = Instant::now();
            let Ok(Decision::Claimed(claim)) = door.claim(ask, OnOutage::Reject).await else {
                panic!("not granted")
            };
            took.push(asked.elapsed());
            if settle {
                assert_eq!(claim.settle(&app, &app).await, Settled::Done);
            } else {
                drop(claim);
            }
            if at_once > 1 {
                tokio::task::yield_now().await;
            }
        }
        took
    };
    let mut took: Vec<_> = join_all((0..at_once).map(|_| worker())).await.concat();
    let elapsed = start.elapsed();
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "{what}, {at_once} at once{}: {:.0} claims/s, p50 {:?}, p99 {:?}",
        if settle { ", settled" } else { "" },
        took.len() as f64 / elapsed.as_secs_f64(),
        at(0.5),
        at(0.99),
    );
}

fn ask(number: u64) -> Ask {
    let mut key = [7; 32];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    key[24..].copy_from_slice(&number.wrapping_mul(0xD6E8_FEB8_6659_FD93).to_le_bytes());
    let mut owner = [0; 16];
    owner[..8].copy_from_slice(&number.to_le_bytes());
    Ask {
        key: DeliveryKey::from_bytes(key),
        owner: Nonce::from_bytes(owner),
        lease: Duration::from_secs(11),
        open: Duration::from_hours(1),
        keep: Duration::from_hours(24),
        source: SourceTag::of(&SourceName::parse("acme").expect("a name")),
        event: None,
        values: Values::default(),
        mac: Some(MacDigest::of(&number.to_le_bytes())),
    }
}
