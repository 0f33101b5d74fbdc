//! A histogram of durations without a lock: three relaxed atomics an observation.

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Upper bounds of our own work, in seconds: 10 µs to 10 s.
pub const OURS: &[f64] = &[
    0.00001, 0.000_025, 0.000_05, 0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];

/// Upper bounds of the app's work, in seconds: 5 ms to 10 s.
pub const APPS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Upper bounds of a signature's age, in seconds: from a fresh one over the usual tolerances (5 min) to retries of days.
pub const AGES: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 21_600.0, 86_400.0, 259_200.0,
];

/// Counts durations in buckets. A clone is a handle on the same counts.
///
/// The library's own histogram takes a mutex for every observation, which all workers would share.
#[derive(Clone)]
pub struct Histogram(Arc<Counts>);

struct Counts {
    bounds: &'static [f64],
    // The same bounds in nanoseconds, so that the hot path compares integers.
    nanos: Box<[u64]>,
    // One more than there are bounds: the last one is what lies above all of them.
    buckets: Box<[AtomicU64]>,
    sum_nanos: AtomicU64,
}

impl Histogram {
    /// Empty, with these upper bounds in seconds, ascending.
    pub fn new(bounds: &'static [f64]) -> Self {
        let nanos = bounds.iter().map(|bound| nanos(Duration::from_secs_f64(*bound)));
        Self(Arc::new(Counts {
            bounds,
            nanos: nanos.collect(),
            buckets: std::iter::repeat_with(AtomicU64::default)
                .take(bounds.len() + 1)
                .collect(),
            sum_nanos: AtomicU64::new(0),
        }))
    }

    /// Counts one duration.
    pub fn observe(&self, took: Duration) {
        let took = nanos(took);
        let bucket = self.0.nanos.partition_point(|bound| *bound < took);
        self.0.buckets[bucket].fetch_add(1, Relaxed);
        self.0.sum_nanos.fetch_add(took, Relaxed);
    }

    /// Upper bounds (the last one infinite) and how many durations each bucket holds.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = self.0.bounds.iter().copied().chain([f64::INFINITY]);
        bounds.zip(self.0.buckets.iter().map(|b| b.load(Relaxed))).collect()
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.0.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Histogram({})", self.count())
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let buckets = self.buckets();
        // The count comes from the very buckets that are written: a scrape in the middle of an observation must not show
        // a `+Inf` bucket that differs from the count.
        let count = buckets.iter().map(|(_, n)| n).sum();
        let sum = Duration::from_nanos(self.0.sum_nanos.load(Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_duration_lands_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::new(APPS);
        for millis in [0, 5, 6, 10_000, 10_001, u64::MAX / 2_000_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let counts: Vec<u64> = histogram.0.buckets.iter().map(|b| b.load(Relaxed)).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(histogram.count(), 6);
    }

    #[test]
    fn bounds_ascend() {
        for bounds in [OURS, APPS, AGES] {
            assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{bounds:?}");
        }
    }
}
