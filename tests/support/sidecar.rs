//! One sidecar's ledger over a Redis, and the words in which the fault tests speak of it.

#![allow(dead_code, reason = "every test binary uses the part that it needs")]

use hookward::{
    event::{DeliveryKey, DestinationName, MacDigest, Nonce, SourceName, SystemClock},
    replay::{Ask, Claim, Decision, OnOutage, Recovery, Replay, Replays, SourceTag},
    store::Target,
};
use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A decision may take this long when Redis does not answer: the call's own 100 ms, and the work around it.
pub const DECISION: Duration = Duration::from_millis(150);
/// Nothing here takes longer; a test that waits for more has failed.
pub const PATIENCE: Duration = Duration::from_secs(10);
pub const LEASE: Duration = Duration::from_secs(30);

/// One sidecar's ledger: two doors, as two workers have them, and its recovery.
pub struct Sidecar {
    pub replays: Arc<Replays>,
    pub doors: [Replay; 2],
    pub recovery: tokio::task::JoinHandle<()>,
}

impl Sidecar {
    pub fn on(port: u16) -> Self {
        Self::with(&target(port))
    }

    pub fn with(target: &Target) -> Self {
        let entries = NonZeroUsize::new(4096).expect("a size");
        let (replays, recovery) = Replays::on_redis(Arc::new(SystemClock::new()), entries, target).expect("a target");
        Self {
            doors: [replays.worker(), replays.worker()],
            recovery: tokio::spawn(Recovery::run(recovery)),
            replays,
        }
    }

    pub async fn claim(&self, ask: &Ask, on_outage: OnOutage) -> Decision {
        self.doors[0].claim(ask.clone(), on_outage).await.expect("a decision")
    }

    pub async fn granted(&self, ask: &Ask) -> Claim {
        granted(self.claim(ask, OnOutage::Local).await)
    }

    pub async fn is_done(&self, ask: &Ask) -> bool {
        matches!(self.claim(&again(ask), OnOutage::Reject).await, Decision::Done(_))
    }

    /// Drives the breaker open.
    pub async fn notice_the_outage(&self) {
        for _ in 0..3 {
            self.granted(&ask()).await.release().await;
        }
        assert!(!self.replays.up());
    }

    pub async fn recovered(&self) -> Duration {
        let start = Instant::now();
        wait_until("Redis is asked again", async || self.replays.up()).await;
        start.elapsed()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.recovery.abort();
    }
}

pub fn target(port: u16) -> Target {
    Target {
        in_flight: 256,
        ..Target::server("127.0.0.1", port)
    }
}

pub fn granted(decision: Decision) -> Claim {
    match decision {
        Decision::Claimed(claim) => claim,
        Decision::Busy { left } => panic!("held for {left:?}"),
        Decision::Done(seen) => panic!("delivered: {seen:?}"),
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

pub async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let result = work.await;
    (result, start.elapsed())
}

pub async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"));
}

pub fn ask() -> Ask {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let mut key = [7; 32];
    let count = COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes();
    key[..8].copy_from_slice(&count);
    key[24..].copy_from_slice(&count);
    Ask {
        key: DeliveryKey::from_bytes(key),
        owner: nonce(),
        lease: LEASE,
        open: Duration::from_hours(1),
        keep: Duration::from_hours(1),
        source: SourceTag::of(&SourceName::parse("acme").expect("a name")),
        event: None,
        values: hookward::event::Values::default(),
        mac: Some(MacDigest::of(b"mac")),
    }
}

pub fn again(ask: &Ask) -> Ask {
    Ask {
        owner: nonce(),
        ..ask.clone()
    }
}

pub fn nonce() -> Nonce {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [9; 16];
    bytes[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    Nonce::from_bytes(bytes)
}

pub fn name(name: &str) -> DestinationName {
    DestinationName::parse(name).expect("a name")
}

pub fn a() -> [DestinationName; 1] {
    [name("a")]
}
