//! The generic cell rate algorithm as arithmetic: a bucket is one point in time.
//!
//! That point, the theoretical arrival time, is when the bucket will be full again; one that lies in the past is a full
//! bucket. So a table of buckets forgets by itself.

use super::{Limited, Rate, limited::Policy};
use crate::event::Monotonic;
use std::time::Duration;

#[derive(Clone, Copy)]
pub(super) struct Gcra {
    emission: Duration,
    burst: u32,
}

impl Gcra {
    /// A bucket of `burst` cells that refills at `rate`; neither is ever taken as zero.
    pub(super) fn new(rate: Rate, burst: u32) -> Self {
        Self {
            emission: rate.emission(),
            burst: burst.max(1),
        }
    }

    /// The same, `by` times as large and as fast.
    pub(super) fn widened(self, by: u32) -> Self {
        Self {
            emission: (self.emission / by).max(Duration::from_nanos(1)),
            burst: self.burst.saturating_mul(by),
        }
    }

    /// How long until the bucket has a cell; `None`: now.
    pub(super) fn wait(&self, full_at: Monotonic, now: Monotonic) -> Option<Duration> {
        let empty_below = self.emission.saturating_mul(self.burst - 1);
        let wait = full_at.since(now).saturating_sub(empty_below);
        (!wait.is_zero()).then_some(wait)
    }

    /// The bucket after one cell was taken. It never sinks below empty, so that no wait is longer than one cell.
    pub(super) fn spend(&self, full_at: Monotonic, now: Monotonic) -> Monotonic {
        let lowest = now.plus(self.emission.saturating_mul(self.burst));
        full_at.max(now).plus(self.emission).min(lowest)
    }

    /// The answer to one who must wait.
    pub(super) fn limited(&self, wait: Duration) -> Limited {
        let policy = Policy {
            quota: self.burst,
            window: self.emission.saturating_mul(self.burst),
        };
        Limited::new(policy, wait)
    }
}

impl Rate {
    /// The time in which one cell comes back.
    pub(super) fn emission(self) -> Duration {
        (self.per / self.count.max(1)).max(Duration::from_nanos(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(millis))
    }

    #[test]
    fn a_burst_is_spent_at_once_and_comes_back_cell_by_cell() {
        let gcra = Gcra::new(
            Rate {
                count: 30,
                per: Duration::from_mins(1),
            },
            3,
        );
        let mut bucket = at(0);
        for _ in 0..3 {
            assert_eq!(gcra.wait(bucket, at(1000)), None);
            bucket = gcra.spend(bucket, at(1000));
        }
        assert_eq!(gcra.wait(bucket, at(1000)), Some(Duration::from_secs(2)));
        assert_eq!(gcra.wait(bucket, at(2999)), Some(Duration::from_millis(1)));
        assert_eq!(gcra.wait(bucket, at(3000)), None);
        assert_eq!(
            gcra.wait(gcra.spend(bucket, at(1500)), at(1500)),
            Some(Duration::from_secs(2))
        );
    }

    proptest! {
        #[test]
        fn no_interval_sees_more_than_its_refill_and_one_burst(
            count in 1_u32..50, burst in 1_u32..50, steps in prop::collection::vec(0_u64..400, 1..300)
        ) {
            let gcra = Gcra::new(Rate { count, per: Duration::from_secs(1) }, burst);
            let (mut now, mut bucket, mut taken) = (0_u64, at(0), 0_u64);
            for step in &steps {
                now += step;
                if gcra.wait(bucket, at(now)).is_none() {
                    bucket = gcra.spend(bucket, at(now));
                    taken += 1;
                }
            }
            // One cell of slack: `per / count` is rounded down to whole nanoseconds.
            prop_assert!(taken <= u64::from(burst) + now * u64::from(count) / 1000 + 1);
        }
    }
}
