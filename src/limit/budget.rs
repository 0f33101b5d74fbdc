//! Totals that the whole process may use at once: requests in flight, bytes of bodies in memory.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A total with an upper bound, shared by all workers.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    used: AtomicU64,
    bound: u64,
}

/// A part of a [`Budget`], given back when dropped.
#[must_use = "a share is given back when it is dropped"]
pub struct Share {
    budget: Budget,
    size: u64,
}

impl Budget {
    /// At most `bound` at once.
    pub fn new(bound: u64) -> Self {
        Self(Arc::new(Inner {
            used: AtomicU64::new(0),
            bound,
        }))
    }

    /// Takes `size`; `None` if that much is not left.
    pub fn take(&self, size: u64) -> Option<Share> {
        let mut share = Share {
            budget: self.clone(),
            size: 0,
        };
        share.grow(size).then_some(share)
    }

    /// How much is taken.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// More than half is taken: what is fair only under pressure is enforced from here on.
    pub fn under_pressure(&self) -> bool {
        self.used() > self.0.bound / 2
    }
}

impl Share {
    /// Takes `more`; false (and nothing taken) if that much is not left.
    #[must_use]
    pub fn grow(&mut self, more: u64) -> bool {
        let inner = &self.budget.0;
        let granted = inner
            .used
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(more).filter(|sum| *sum <= inner.bound)
            })
            .is_ok();
        if granted {
            self.size += more;
        }
        granted
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.size, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn a_share_grows_within_the_bound_and_is_given_back() {
        let budget = Budget::new(10);
        let mut first = budget.take(4).expect("4 of 10");
        assert!(first.grow(6) && !first.grow(1));
        assert!(budget.take(1).is_none() && budget.under_pressure());
        drop(first);
        assert_eq!(budget.used(), 0);
        assert!(budget.take(11).is_none());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn pressure_begins_beyond_half() {
        let budget = Budget::new(10);
        assert!(!budget.under_pressure());
        let _half = budget.take(5).expect("half");
        assert!(!budget.under_pressure());
        let _more = budget.take(1).expect("one more");
        assert!(budget.under_pressure());
    }
}
