//! Time as a value: the only file that reads a clock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Wall-clock time in milliseconds since the Unix epoch; what a provider signs is compared with this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From whole seconds since the Unix epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How many milliseconds this lies after `earlier` (negative: before it).
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A point of the monotonic clock: leases, deadlines and durations; meaningless outside this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// A point `since_start` after the clock's own zero.
    pub const fn from_start(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// Time since the clock's own zero.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// Time since `earlier`; zero if that lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This point plus `by`.
    pub const fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}

/// Where time comes from. One is made at the start and handed down; nothing else reads a clock.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock: for signatures, logs and `last delivered`.
    fn wall(&self) -> Timestamp;
    /// The monotonic clock: for leases, limits and measured durations.
    fn monotonic(&self) -> Monotonic;
}

/// The machine's own clocks.
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic zero is now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.start.elapsed())
    }
}

/// A clock that a test or a replayed capture sets by hand.
pub struct TestClock {
    wall_millis: AtomicU64,
    monotonic_nanos: AtomicU64,
}

impl TestClock {
    /// Stands still at `at`.
    pub fn at(at: Timestamp) -> Self {
        Self {
            wall_millis: AtomicU64::new(at.as_millis().unsigned_abs()),
            monotonic_nanos: AtomicU64::new(1_000_000_000),
        }
    }

    /// Moves both clocks on.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.monotonic_nanos.fetch_add(nanos, Ordering::SeqCst);
        self.wall_millis.fetch_add(nanos / 1_000_000, Ordering::SeqCst);
    }

    /// Steps the wall clock alone, as NTP or an operator would.
    pub fn set_wall(&self, at: Timestamp) {
        self.wall_millis.store(at.as_millis().unsigned_abs(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn wall(&self) -> Timestamp {
        Timestamp(i64::try_from(self.wall_millis.load(Ordering::SeqCst)).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(Duration::from_nanos(self.monotonic_nanos.load(Ordering::SeqCst)))
    }
}
