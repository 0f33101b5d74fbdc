//! What the workers of one process share of the ledger, and the way back after an outage of Redis.

use super::{Ledger, MemoryLedger, RedisLedger, Replay, Settlement, Unavailable, redis::Owed};
use crate::{
    event::Clock,
    store::{Breaker, Store, Target, TargetError},
};
use futures_util::{StreamExt, future, stream};
use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};

/// Redis is looked for this often while it is out.
const PROBE: Duration = Duration::from_millis(250);
/// Redis is asked this often whether it is there, while requests may not come by to find out: `/readyz` and
/// `hookward_ledger_up` must not call it up because nobody needed it.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Records whose time is over are dropped this often.
const SWEEP: Duration = Duration::from_secs(10);
/// How long an old connection may stay silent before it is taken for dead.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many things Redis may be owed; each is one request whose answer was lost.
const OWED: usize = 4096;
/// How often each is tried, [`PROBE`] apart. By then its lease is over, or nearly.
const TRIES: usize = 60;
/// Successes written back, and debts paid, at a time.
const BATCH: usize = 256;

/// The ledger of a process: one of these, and a [`Replay`] for each worker.
pub struct Replays {
    clock: Arc<dyn Clock>,
    local: MemoryLedger,
    remote: Option<Remote>,
}

struct Remote {
    /// Never connected itself: what the workers' are made from.
    store: Store,
    owed: mpsc::Sender<Owed>,
    /// Milliseconds; `i64::MIN`: not known yet.
    skew: AtomicI64,
}

/// The work behind the requests: to be run for as long as the process serves, on a runtime that is no worker's.
#[must_use = "without it Redis is never asked again after an outage"]
pub struct Recovery {
    shared: Arc<Replays>,
    remote: Option<(RedisLedger, mpsc::Receiver<Owed>)>,
}

impl Replays {
    /// The ledger lives in this process.
    pub fn in_process(clock: Arc<dyn Clock>, entries: NonZeroUsize) -> (Arc<Self>, Recovery) {
        let shared = Arc::new(Self {
            local: MemoryLedger::new(Arc::clone(&clock), entries),
            clock,
            remote: None,
        });
        let recovery = Recovery {
            shared: Arc::clone(&shared),
            remote: None,
        };
        (shared, recovery)
    }

    /// The ledger lives in Redis, which need not be there yet; `entries` bounds the local one in an outage.
    pub fn on_redis(
        clock: Arc<dyn Clock>,
        entries: NonZeroUsize,
        target: &Target,
    ) -> Result<(Arc<Self>, Recovery), TargetError> {
        let (owed, debts) = mpsc::channel(OWED);
        let store = Store::new(target, Arc::new(Breaker::new()))?;
        let redis = RedisLedger::new(store.with_own_connection(), Arc::clone(&clock), owed.clone());
        let shared = Arc::new(Self {
            local: MemoryLedger::new(Arc::clone(&clock), entries),
            clock,
            remote: Some(Remote {
                store,
                owed,
                skew: AtomicI64::new(i64::MIN),
            }),
        });
        let recovery = Recovery {
            shared: Arc::clone(&shared),
            remote: Some((redis, debts)),
        };
        Ok((shared, recovery))
    }

    /// A door for one worker, with a connection of its own that belongs to the worker's runtime.
    pub fn worker(self: &Arc<Self>) -> Replay {
        let redis = self.remote.as_ref().map(|remote| {
            let store = remote.store.with_own_connection();
            RedisLedger::new(store, Arc::clone(&self.clock), remote.owed.clone())
        });
        Replay::new(Arc::clone(self), redis)
    }

    /// `hookward_ledger_up`: false while Redis is taken for out.
    pub fn up(&self) -> bool {
        self.remote
            .as_ref()
            .is_none_or(|remote| remote.store.breaker().is_closed())
    }

    /// `hookward_ledger_entries`: records of this process's own. With Redis: what it does not know yet, so nothing where
    /// there is no outage.
    pub fn entries(&self) -> usize {
        self.local.entries()
    }

    /// Deliveries that Redis calls delivered and this process remembers: a share of `ledger_entries` that its own records
    /// take back as they need it.
    pub fn remembered(&self) -> usize {
        self.local.copies()
    }

    /// Delivered records of the in-process ledger that were forgotten early because it was full.
    pub fn evicted(&self) -> u64 {
        self.local.evicted()
    }

    /// Milliseconds that Redis's clock was ahead of ours at the last claim (negative: behind); `None`: not known.
    pub fn skew_millis(&self) -> Option<i64> {
        let skew = self.remote.as_ref()?.skew.load(Ordering::Relaxed);
        (skew != i64::MIN).then_some(skew)
    }

    /// Time for one call of the ledger, which a lease must hold too; zero in process.
    pub fn timeout(&self) -> Duration {
        self.remote
            .as_ref()
            .map_or(Duration::ZERO, |remote| remote.store.timeout())
    }

    /// What another user of the same Redis makes its own connection from, so that all share one breaker; `None` without
    /// Redis.
    pub fn store(&self) -> Option<&Store> {
        self.remote.as_ref().map(|remote| &remote.store)
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(super) fn local(&self) -> &MemoryLedger {
        &self.local
    }

    pub(super) fn note_skew(&self, millis: i64) {
        if let Some(remote) = &self.remote {
            remote.skew.store(millis, Ordering::Relaxed);
        }
    }
}

impl Recovery {
    /// Never ends by itself: drops what is over, looks for Redis while it is out, and tells it what it missed.
    pub async fn run(self) {
        let shared = self.shared;
        match self.remote {
            None => sweep(&shared.local).await,
            Some((redis, debts)) => {
                tokio::join!(
                    watch(&shared, &redis),
                    settle_debts(&redis, debts),
                    sweep(&shared.local)
                );
            }
        }
    }
}

async fn sweep(local: &MemoryLedger) {
    loop {
        sleep(SWEEP).await;
        local.sweep();
    }
}

/// Returns when Redis is out, found by requests or, where there are none, by asking. While it is there it is told the
/// successes that no outage explains: one settlement timed out, and the breaker stayed closed.
async fn lost(shared: &Replays, redis: &RedisLedger) {
    let asking = async {
        loop {
            let pause = match redis.heartbeat().await {
                Ok(ahead) => {
                    // A clock that is far off makes everything stale, and then no claim would ever tell.
                    shared.note_skew(ahead);
                    write_back(&shared.local, redis).await;
                    HEARTBEAT
                }
                Err(_) => PROBE,
            };
            sleep(pause).await;
        }
    };
    tokio::select! {
        () = redis.store().breaker().opened() => {}
        () = asking => {}
    }
}

/// Looks for Redis from the moment the breaker opens.
async fn watch(shared: &Replays, redis: &RedisLedger) {
    let breaker = redis.store().breaker();
    loop {
        lost(shared, redis).await;
        let mut ticks = interval(PROBE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = false;
        loop {
            ticks.tick().await;
            match redis.probe().await {
                Ok(ahead) => {
                    shared.note_skew(ahead);
                    break;
                }
                Err(Unavailable { reason }) if !told => {
                    tracing::warn!(%reason, "Redis does not answer: on_outage decides");
                    told = true;
                }
                Err(_) => {}
            }
        }
        if told {
            tracing::info!("Redis answers again");
        }
        breaker.close();
        write_back(&shared.local, redis).await;
    }
}

/// Tells Redis of every success that only this process knows. What fails stays for the next time.
pub(super) async fn write_back(local: &MemoryLedger, redis: &RedisLedger) {
    loop {
        let successes = local.successes(BATCH);
        let written = future::join_all(successes.iter().map(|success| write(local, redis, success))).await;
        if written.is_empty() || written.contains(&false) {
            return;
        }
    }
}

async fn write(local: &MemoryLedger, redis: &RedisLedger, success: &Settlement) -> bool {
    let written = redis.settle(success).await.is_ok();
    if written {
        local.written(&success.key, success.fence);
    }
    written
}

async fn settle_debts(redis: &RedisLedger, debts: mpsc::Receiver<Owed>) {
    let debts = stream::unfold(debts, async |mut debts| debts.recv().await.map(|owed| (owed, debts)));
    debts
        .for_each_concurrent(BATCH, async |mut owed| {
            for _ in 0..TRIES {
                match redis.pay(owed, PATIENCE).await {
                    Ok(()) => return,
                    Err(unpaid) => owed = unpaid,
                }
                sleep(PROBE).await;
            }
        })
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{SystemClock, TestClock, Timestamp},
        replay::Ask,
    };

    #[test]
    fn only_a_ledger_on_redis_has_a_connection_and_costs_time() {
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(0)));
        let (in_process, _recovery) = Replays::in_process(clock, NonZeroUsize::MIN);
        assert!(in_process.store().is_none() && in_process.skew_millis().is_none() && in_process.up());
        assert_eq!(in_process.timeout(), Duration::ZERO);
        let target = Target {
            timeout: Duration::from_millis(250),
            ..Target::server("127.0.0.1", 1)
        };
        let clock = Arc::new(SystemClock::new());
        let (on_redis, _recovery) = Replays::on_redis(clock, NonZeroUsize::MIN, &target).expect("a target");
        assert!(on_redis.store().is_some());
        assert_eq!(on_redis.timeout(), Duration::from_millis(250));
        // A lease holds the forward, its own margin and the calls of the ledger.
        let time = Duration::from_secs(10);
        assert!(Ask::lease_for(time, on_redis.timeout()) > Ask::lease_for(time, Duration::ZERO));
    }
}
