//! The rate limit that all replicas keep together, against a real Redis: never above it, near it, and alone in an outage.

#![allow(
    clippy::disallowed_methods,
    reason = "tests read the clock and spawn what they await or abort"
)]

#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/sidecar.rs"]
mod sidecar;

use hookward::{
    event::{Clock, SourceName, SystemClock},
    limit::{Lender, LimitKey, LimitSpec, Limited, Per, Rate, RateLimit, Scope},
    store::{Breaker, Store, Target},
};
use proptest::{prelude::*, test_runner::TestRunner};
use redis_server::RedisServer;
use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::{Duration, Instant},
};

const TIMEOUT: Duration = Duration::from_millis(500);

/// One process: its own limiter, its own connection, its own breaker.
struct Replica {
    limit: RateLimit,
    lender: Lender,
    breaker: Arc<Breaker>,
}

impl Replica {
    fn on(server: &RedisServer, spec: &LimitSpec, timeout: Duration) -> Self {
        let target = Target {
            timeout,
            ..sidecar::target(server.port())
        };
        let breaker = Arc::new(Breaker::new());
        let store = Store::new(&target, breaker.clone()).expect("a target");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let source = SourceName::parse("acme").expect("a name");
        Self {
            limit: RateLimit::new(spec, "test", &source, clock),
            lender: Lender::new(store),
            breaker,
        }
    }

    async fn check(&self, key: LimitKey<'_>) -> Result<(), Limited> {
        self.limit.check(Some(&self.lender), key, false).await
    }

    async fn passes(&self) -> bool {
        self.check(LimitKey::Source).await.is_ok()
    }
}

fn spec(per: Per, count: u32, per_secs: u64, burst: u32) -> LimitSpec {
    LimitSpec {
        per,
        rate: Rate {
            count,
            per: Duration::from_secs(per_secs),
        },
        burst,
        scope: Scope::Shared,
        unavailable_status: false,
    }
}

fn three(server: &RedisServer, spec: &LimitSpec) -> [Replica; 3] {
    [(); 3].map(|()| Replica::on(server, spec, Duration::from_secs(5)))
}

fn evaluations(server: &RedisServer) -> u64 {
    let stats: String = server.query(&["INFO", "commandstats"]);
    let calls = |verb: &str| -> u64 {
        let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{verb}:")));
        let calls = line.and_then(|line| line.split_once("calls=")?.1.split(',').next()?.parse().ok());
        calls.unwrap_or(0)
    };
    calls("evalsha") + calls("eval")
}

#[tokio::test]
async fn three_replicas_share_a_small_bucket_to_the_last_cell() {
    let server = RedisServer::start();
    let replicas = three(&server, &spec(Per::Source, 1, 3600, 10));
    let mut passed = 0;
    for round in 0..30 {
        passed += usize::from(replicas[round % 3].passes().await);
    }
    assert_eq!(passed, 10);
    // All at once over another bucket: the last cell is given once.
    let replicas = three(&server, &spec(Per::Header(http::header::FROM), 1, 3600, 10));
    let asks = (0..60).map(|n| replicas[n % 3].check(LimitKey::Value(Some(b"tenant"))));
    let answers = futures_util::future::join_all(asks).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 10);
}

#[tokio::test]
async fn three_replicas_under_load_keep_the_rate_together() {
    const RATE: u32 = 2000;
    const BURST: u32 = 400;
    let server = RedisServer::start();
    let replicas = three(&server, &spec(Per::Source, RATE, 1, BURST));
    let began = Instant::now();
    let load = Duration::from_millis(1200);
    let senders = replicas.iter().map(|replica| async move {
        let mut passed = 0_u32;
        while began.elapsed() < load {
            passed += u32::from(replica.passes().await);
            tokio::task::yield_now().await;
        }
        passed
    });
    let passed: Vec<u32> = futures_util::future::join_all(senders).await;
    let most = f64::from(BURST) + f64::from(RATE) * began.elapsed().as_secs_f64();
    let total = f64::from(passed.iter().sum::<u32>());
    let calls = evaluations(&server);
    println!("{passed:?}: {total} of at most {most:.0}, in {calls} calls");
    assert!(total <= most.ceil(), "{total} of at most {most}");
    // What may lie unused in three leases, and a busy machine.
    assert!(total >= most * 0.7, "{total} of {most}");
}

#[tokio::test]
async fn the_hot_path_does_not_wait_for_redis() {
    let server = RedisServer::start();
    let replica = Replica::on(&server, &spec(Per::Source, 100_000, 1, 100_000), Duration::from_secs(5));
    for _ in 0..5000 {
        assert!(replica.passes().await);
        // What was asked ahead of need is asked by a task of this thread.
        tokio::task::yield_now().await;
    }
    let calls = evaluations(&server);
    assert!(calls < 250, "{calls} calls for 5000 requests");
}

#[tokio::test]
async fn who_is_over_learns_when_to_come_again() {
    let server = RedisServer::start();
    let [here, there, _] = three(&server, &spec(Per::Source, 2, 60, 3));
    for replica in [&here, &there, &here] {
        assert!(replica.passes().await);
    }
    for replica in [&here, &there, &here, &there] {
        let over = replica.check(LimitKey::Source).await.expect_err("three is the burst");
        assert!((28..=30).contains(&over.retry_after()), "{}", over.retry_after());
        assert_eq!(over.policy(), "\"source\";q=3;w=90");
        assert_eq!(over.state(), format!("\"source\";r=0;t={}", over.retry_after()));
    }
    let keys: Vec<String> = server.query(&["KEYS", "*"]);
    let [key] = keys.as_slice() else { panic!("{keys:?}") };
    assert!(key.starts_with("hw:limit:{test/acme/"), "{key}");
    let life: i64 = server.query(&["PTTL", key]);
    assert!((1..=90_000).contains(&life), "{life}");
}

#[tokio::test]
async fn clients_and_values_have_buckets_of_their_own_over_all_replicas() {
    let server = RedisServer::start();
    let [here, there, third] = three(&server, &spec(Per::Client, 1, 3600, 1));
    let client = |text: &str| LimitKey::Client(text.parse().expect("an address"));
    assert!(here.check(client("192.0.2.1")).await.is_ok());
    assert!(there.check(client("::ffff:192.0.2.1")).await.is_err());
    assert!(there.check(client("192.0.2.2")).await.is_ok());
    // One /64 is one client, and a /48 may send sixteen times as much, wherever its requests land.
    for subnet in 0..16 {
        let replica = [&here, &there, &third][subnet % 3];
        let one = format!("2001:db8:1:{subnet:x}::1");
        assert!(replica.check(client(&one)).await.is_ok(), "{subnet}");
        let other = [&here, &there, &third][(subnet + 1) % 3];
        let same = format!("2001:db8:1:{subnet:x}::ffff");
        assert!(other.check(client(&same)).await.is_err(), "{subnet}");
    }
    let over = third.check(client("2001:db8:1:ff::1")).await.expect_err("the 17th");
    assert_eq!(over.policy(), "\"source\";q=16;w=3600");
    assert!(here.check(client("2001:db8:2::1")).await.is_ok(), "another site");
    let keys: Vec<String> = server.query(&["KEYS", "*"]);
    assert!(keys.iter().all(|key| !key.contains("192.0") && !key.contains("2001")));
}

#[tokio::test]
async fn a_bucket_ends_by_itself_when_it_is_full_again() {
    let server = RedisServer::start();
    let replica = Replica::on(&server, &spec(Per::Source, 20, 1, 2), Duration::from_secs(5));
    assert!(replica.passes().await && replica.passes().await);
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.query::<usize>(&["DBSIZE"]) > 0 {
        assert!(Instant::now() < deadline, "the key stays");
        tokio::task::yield_now().await;
    }
    assert!(replica.passes().await);
}

#[tokio::test]
async fn a_clock_that_steps_back_costs_one_bucket_and_no_more() {
    let server = RedisServer::start();
    let [here, there, third] = three(&server, &spec(Per::Source, 20, 1, 2));
    assert!(here.passes().await);
    let keys: Vec<String> = server.query(&["KEYS", "*"]);
    // As if Redis had been a year ahead until now.
    let (seconds, _): (u64, u64) = server.query(&["TIME"]);
    let far = format!("{}", (seconds + 31_536_000) * 1_000_000);
    server.query::<()>(&["SET", &keys[0], &far, "PX", "86400000"]);
    let over = there.check(LimitKey::Source).await.expect_err("as good as empty");
    assert_eq!(over.retry_after(), 1);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !third.passes().await {
        assert!(Instant::now() < deadline, "the old time is still in force");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn in_an_outage_each_replica_limits_by_itself_and_afterwards_together_again() {
    let mut server = RedisServer::start();
    let spec = spec(Per::Source, 1, 3600, 6);
    let [here, there] = [(); 2].map(|()| Replica::on(&server, &spec, TIMEOUT));
    for replica in [&here, &there, &here, &there] {
        assert!(replica.passes().await);
    }
    server.stop();
    // Nobody waits longer than for one call, and a replica has in all what its own bucket holds: two of six are spent.
    let began = Instant::now();
    assert!(here.passes().await, "the local limit");
    let waited = began.elapsed();
    assert!(waited < TIMEOUT * 2, "{waited:?}");
    while here.breaker.is_closed() {
        here.passes().await;
        assert!(began.elapsed() < Duration::from_secs(30), "the breaker stays closed");
    }
    let began = Instant::now();
    let mut passed = 0;
    for _ in 0..100 {
        passed += usize::from(here.passes().await);
    }
    assert!(began.elapsed() < TIMEOUT, "a hundred at once: {:?}", began.elapsed());
    let calls_that_failed = 2;
    assert!(passed <= 3 && passed + calls_that_failed + 1 >= 3, "{passed}");
    assert!(!here.passes().await, "its own bucket is empty");
    server.kill();
    while there.breaker.is_closed() {
        there.passes().await;
    }
    let mut left = 0;
    while there.passes().await {
        left += 1;
    }
    assert!(left <= 4, "{left}");
    server.restart();
    // An empty Redis: the bucket is full again, and shared.
    for replica in [&here, &there] {
        replica.breaker.close();
    }
    let mut passed = 0;
    for round in 0..20 {
        passed += usize::from([&here, &there][round % 2].passes().await);
    }
    assert_eq!(passed, 6);
}

/// The script beside arithmetic in whole numbers, over any sequence of questions, pauses and steps of the clock.
#[test]
fn the_script_is_the_generic_cell_rate_algorithm() {
    const SCRIPT: &str = include_str!("../src/limit/gcra.lua");
    const CLOCK: &str = "redis.call('TIME')";
    assert_eq!(SCRIPT.matches(CLOCK).count(), 1);
    let script = SCRIPT.replace(CLOCK, "{ARGV[5], ARGV[6]}");
    let server = RedisServer::start();
    let client = redis::Client::open(server.url()).expect("an address");
    let connection = RefCell::new(client.get_connection().expect("the server takes a connection"));
    // Emissions of ten seconds and more, so that no key ends by real time while the test's own stands still.
    let worlds = (
        1_u64..5,
        10_u64..100,
        1_u64..40,
        prop::collection::vec((-40_000_000_i64..60_000_000, 1_u64..60), 1..40),
    );
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(150)
    });
    let world = Cell::new(0);
    let result = runner.run(&worlds, |(count, seconds, burst, steps)| {
        world.set(world.get() + 1);
        let emission = seconds * 1_000_000;
        let size = emission * burst;
        let (mut now, mut full) = (1_760_000_000_000_000_u64, 0_u64);
        for (step, wanted) in steps {
            now = now.checked_add_signed(step).expect("far from either end");
            full = full.clamp(now, now + size);
            let granted = ((now + size - full) / emission).min(wanted);
            full += granted * emission;
            let wait = emission.saturating_sub(now + size - full);
            let answer: (u64, u64) = redis::cmd("EVAL")
                .arg(&script)
                .arg(1)
                .arg(format!("bucket-{}", world.get()))
                .arg(&[count, emission * count, burst, wanted, now / 1_000_000, now % 1_000_000])
                .query(&mut *connection.borrow_mut())
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(answer, (granted, wait));
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
