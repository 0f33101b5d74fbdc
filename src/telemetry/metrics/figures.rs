//! What has been counted so far, for the admin page: the same numbers that `/metrics` shows.

use super::{DeliveryResult, Histogram, SourceMeters};
use crate::event::Timestamp;
use std::time::Duration;

/// What was counted of one source's requests to one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationFigures {
    /// How many ended how, in the order of [`DeliveryResult`]'s variants.
    pub results: Vec<(DeliveryResult, u64)>,
    /// Half of the destination's answers came within this (an upper bound; over all sources).
    pub median: Option<Duration>,
    /// 99 of 100 did.
    pub slow: Option<Duration>,
}

impl SourceMeters {
    /// How many requests ended how, by the index of the outcome.
    pub fn requests(&self) -> impl Iterator<Item = u64> {
        self.requests.iter().map(super::Counter::get)
    }

    /// When the last delivery was completed.
    pub fn last_delivered(&self) -> Option<Timestamp> {
        let at = self.last_delivered.get();
        (at > 0).then(|| Timestamp::from_secs(at))
    }

    /// How many requests each secret has verified, newest first.
    pub fn secrets_used(&self) -> impl Iterator<Item = u64> {
        self.secrets.iter().map(super::Counter::get)
    }

    /// What the destination of this index made of it.
    pub fn destination(&self, index: usize) -> DestinationFigures {
        let Some(meters) = self.destinations.get(index) else {
            return DestinationFigures::default();
        };
        let results = DeliveryResult::ALL.into_iter().zip(&meters.results);
        DestinationFigures {
            results: results.map(|(result, counter)| (result, counter.get())).collect(),
            median: meters.duration.quantile(0.5),
            slow: meters.duration.quantile(0.99),
        }
    }
}

impl Histogram {
    /// The upper bound of the bucket that this share of all durations lies in or below; beyond the last bound, that one.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let counts = self.buckets();
        let total: u64 = counts.iter().map(|(_, count)| count).sum();
        if total == 0 {
            return None;
        }
        let mut seen = 0;
        let within = counts.iter().find(|(_, count)| {
            seen += count;
            // Counts are far below what a float holds exactly.
            #[expect(clippy::cast_precision_loss, reason = "an estimate by design")]
            let enough = seen as f64 >= total as f64 * share;
            enough
        });
        let bound = within.map_or(f64::INFINITY, |(bound, _)| *bound);
        let last = counts.iter().rev().find(|(bound, _)| bound.is_finite());
        Some(Duration::from_secs_f64(if bound.is_finite() {
            bound
        } else {
            last.map_or(0.0, |(bound, _)| *bound)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_bound_that_holds_it() {
        let histogram = Histogram::new(super::super::histogram::APPS);
        assert_eq!(histogram.quantile(0.5), None);
        for millis in [1, 2, 30, 40, 20_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        assert_eq!(histogram.quantile(0.4), Some(Duration::from_millis(5)));
        assert_eq!(histogram.quantile(0.5), Some(Duration::from_millis(50)));
        assert_eq!(histogram.quantile(0.99), Some(Duration::from_secs(10)));
    }
}
