//! The contract that every ledger passes: the one in this process, and Redis on a real `redis-server`.
//! A new ledger adds one `Stage` here.

#[path = "support/contract.rs"]
mod contract;
#[path = "support/redis.rs"]
mod redis_server;

use contract::Stage;
use hookward::{
    event::{Clock, SystemClock, TestClock, Timestamp},
    replay::{MemoryLedger, RedisLedger},
    store::{Breaker, Store, Target},
};
use redis_server::RedisServer;
use std::{num::NonZeroUsize, sync::Arc, time::Duration};

struct InProcess {
    ledger: MemoryLedger,
    clock: Arc<TestClock>,
}

impl InProcess {
    fn new(entries: usize) -> Self {
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(1_795_000_000)));
        let entries = NonZeroUsize::new(entries).expect("a size");
        Self {
            ledger: MemoryLedger::new(Arc::clone(&clock) as Arc<dyn Clock>, entries),
            clock,
        }
    }
}

impl Stage for InProcess {
    type Ledger = MemoryLedger;

    fn ledger(&self) -> &MemoryLedger {
        &self.ledger
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

struct OnRedis(RedisLedger);

impl OnRedis {
    fn new(server: &RedisServer) -> Self {
        let target = Target {
            // The contract is not about time limits, and the machine that runs it may be busy.
            timeout: Duration::from_secs(5),
            ..Target::server("127.0.0.1", server.port())
        };
        let store = Store::new(&target, Arc::new(Breaker::new())).expect("a target");
        let (owed, _) = tokio::sync::mpsc::channel(1);
        Self(RedisLedger::new(store, Arc::new(SystemClock::new()), owed))
    }
}

impl Stage for OnRedis {
    type Ledger = RedisLedger;

    fn ledger(&self) -> &RedisLedger {
        &self.0
    }

    async fn pass(&self, time: Duration) {
        // Redis has a clock of its own that no test can set: its time passes as ours does.
        tokio::time::sleep(time).await;
    }
}

#[tokio::test]
async fn the_ledger_in_this_process_passes() {
    assert!(contract::run(&InProcess::new(65_536)).await > 30);
    assert!(contract::run(&InProcess::new(64)).await > 30);
}

#[tokio::test]
async fn the_ledger_on_redis_passes() {
    let server = RedisServer::start();
    let stage = OnRedis::new(&server);
    assert!(contract::run(&stage).await > 30);
    // Digests only, one key a record, each with an end.
    let keys: Vec<String> = server.query(&["KEYS", "*"]);
    assert!(keys.len() > 20);
    for key in keys {
        assert!(
            key.starts_with("hw:{") && key.rfind('/') == Some(key.len() - 45) && key.ends_with('}'),
            "{key}"
        );
        let left: i64 = server.query(&["PTTL", &key]);
        assert!((1..=60_000).contains(&left), "{key} lives for {left} ms");
    }
}

#[tokio::test]
async fn the_ledger_on_redis_passes_with_its_scripts_flushed_all_the_time() {
    let server = RedisServer::start();
    let stage = OnRedis::new(&server);
    let port = server.port();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let flusher = std::thread::spawn(move || {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}/0")).expect("an address");
        let mut connection = client.get_connection().expect("the server takes a connection");
        let mut flushes = 0;
        while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(Duration::from_millis(1)) {
            redis::cmd("SCRIPT")
                .arg("FLUSH")
                .exec(&mut connection)
                .expect("scripts can be flushed");
            flushes += 1;
        }
        flushes
    });
    assert!(contract::run(&stage).await > 30);
    drop(stop);
    assert!(flusher.join().expect("the flusher ran") > 100);
}
