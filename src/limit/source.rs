//! The rate limit of one source: what an authentic sender may deliver.
//!
//! governor does the arithmetic. Its time comes from our clock, its buckets are in a store of ours (`cells`).

use super::{
    LimitSpec, Limited, Per,
    cells::{Cell, Cells},
    limited::Policy,
    prefix::Prefix,
};
use crate::event::{Clock, Monotonic};
use governor::{Quota, RateLimiter, clock, middleware::NoOpMiddleware};
use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What a /48, and all untracked keys together, may send, as a multiple of one key's.
const WIDER: u32 = 16;
/// Buckets that are full again are dropped this often on the way, …
const SWEEP: Duration = Duration::from_mins(1);
/// … and that much earlier while there is no room: once a second.
const EARLIER_WHEN_FULL: Duration = Duration::from_secs(59);
/// Longer than any limit means; keeps governor's arithmetic, in 64 bits of nanoseconds, far from its end.
const LONGEST: Duration = Duration::from_hours(24 * 365 * 50);

/// What a request counts under, as [`Per`] asks of it. Only verified values: the table of keys is bounded, but strangers
/// should not fill it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKey<'a> {
    /// [`Per::Source`].
    Source,
    /// [`Per::Client`].
    Client(IpAddr),
    /// [`Per::Header`] and [`Per::Json`]: the value's bytes; `None`: it is absent, and all such requests count together.
    Value(Option<&'a [u8]>),
}

/// The rate limit of one source, shared by all workers.
pub struct SourceLimiter {
    spec: LimitSpec,
    one: Limiter,
    // Sites of clients, and the keys that found no room.
    wide: Limiter,
    hasher: RandomState,
    clock: Arc<dyn Clock>,
    next_sweep: AtomicU64,
}

struct Limiter {
    governor: RateLimiter<Cell, Cells, Ours, NoOpMiddleware<Duration>>,
    cells: Cells,
    policy: Policy,
}

#[derive(Clone)]
struct Ours(Arc<dyn Clock>);

impl clock::Clock for Ours {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic().since_start()
    }
}

impl SourceLimiter {
    /// Full buckets. Where `scope` is `shared` this is the limit of an outage.
    #[expect(
        clippy::missing_panics_doc,
        reason = "the period is never zero, which is all that governor refuses"
    )]
    pub fn new(spec: &LimitSpec, clock: Arc<dyn Clock>) -> Self {
        let limiter = |by: u32| {
            let emission = (spec.rate.emission() / by).clamp(Duration::from_nanos(1), LONGEST);
            let most = u32::try_from(LONGEST.as_nanos() / emission.as_nanos()).unwrap_or(u32::MAX);
            let burst = NonZeroU32::new(spec.burst.saturating_mul(by).min(most)).unwrap_or(NonZeroU32::MIN);
            let quota = Quota::with_period(emission)
                .expect("the period is at least a nanosecond")
                .allow_burst(burst);
            let cells = Cells::default();
            Limiter {
                governor: RateLimiter::new(quota, cells.clone(), Ours(clock.clone())),
                cells,
                policy: Policy {
                    quota: burst.get(),
                    window: emission.saturating_mul(burst.get()),
                },
            }
        };
        Self {
            spec: spec.clone(),
            one: limiter(1),
            wide: limiter(WIDER),
            hasher: RandomState::new(),
            next_sweep: AtomicU64::new(millis(clock.monotonic().plus(SWEEP))),
            clock,
        }
    }

    /// The setting that it was made from: one whose setting did not change outlives a reload.
    pub fn spec(&self) -> &LimitSpec {
        &self.spec
    }

    /// Takes a cell. `pressure` (`in_flight` or `buffered_bytes` over half): whether a key that found no room among 65,536
    /// others is limited too, in the one bucket that all such keys share.
    pub fn check(&self, key: LimitKey<'_>, pressure: bool) -> Result<(), Limited> {
        self.decide(key, pressure, true)
    }

    /// What [`Self::check`] would say, without taking anything: sheds what has no chance before the ledger is asked.
    pub fn peek(&self, key: LimitKey<'_>, pressure: bool) -> Result<(), Limited> {
        self.decide(key, pressure, false)
    }

    fn decide(&self, key: LimitKey<'_>, pressure: bool, spend: bool) -> Result<(), Limited> {
        if self.spec.per == Per::Source {
            return self.ask(&self.one, None, spend);
        }
        let (key, site) = match key {
            LimitKey::Source => (self.hasher.hash_one(0_u8), None),
            LimitKey::Value(value) => (self.hasher.hash_one(value), None),
            LimitKey::Client(address) => {
                let prefix = Prefix::of(address);
                (
                    self.hasher.hash_one(prefix),
                    prefix.site().map(|site| self.hasher.hash_one(site)),
                )
            }
        };
        let has_room = self.one.cells.has_room(key);
        self.sweep(if has_room { Duration::ZERO } else { EARLIER_WHEN_FULL });
        if !has_room && !self.one.cells.has_room(key) {
            return if pressure {
                self.ask(&self.wide, None, spend)
            } else {
                Ok(())
            };
        }
        let site = site.filter(|site| self.wide.cells.has_room(*site));
        if site.is_some() {
            self.ask(&self.wide, site, false)?;
        }
        self.ask(&self.one, Some(key), spend)?;
        match site {
            Some(_) if spend => self.ask(&self.wide, site, true),
            _ => Ok(()),
        }
    }

    fn ask(&self, limiter: &Limiter, key: Option<u64>, spend: bool) -> Result<(), Limited> {
        limiter.governor.check_key(&Cell { key, spend }).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.monotonic().since_start());
            Limited::new(limiter.policy, wait)
        })
    }

    /// Drops the buckets that are full again, if it is `SWEEP` less `early` since that was done.
    fn sweep(&self, early: Duration) {
        let now = self.clock.monotonic();
        let due = self.next_sweep.load(Ordering::Relaxed);
        if millis(now.plus(early)) < due {
            return;
        }
        let next = millis(now.plus(SWEEP));
        let won = self
            .next_sweep
            .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        if won.is_ok() {
            for limiter in [&self.one, &self.wide] {
                limiter.governor.retain_recent();
                limiter.governor.shrink_to_fit();
            }
        }
    }

    /// How many keys are tracked.
    pub fn tracked(&self) -> usize {
        self.one.governor.len()
    }
}

fn millis(at: Monotonic) -> u64 {
    u64::try_from(at.since_start().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
