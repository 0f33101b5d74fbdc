//! The breaker of the process: after three failures in a row nobody waits for Redis any more, until it was seen again.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::sync::Notify;

/// So many failures in a row, over all workers, and Redis is taken for out.
const FAILURES: u32 = 3;

/// Shared by all workers: one of them on Redis and another on the local ledger would deliver twice.
#[derive(Default)]
pub struct Breaker {
    failures: AtomicU32,
    open: AtomicBool,
    opened: Notify,
}

impl Breaker {
    /// Closed: Redis is believed in until it fails.
    pub fn new() -> Self {
        Self::default()
    }

    /// True while Redis is to be asked.
    pub fn is_closed(&self) -> bool {
        !self.open.load(Ordering::Acquire)
    }

    /// A call had an answer.
    pub fn succeeded(&self) {
        // Only a read in the good case: the line stays shared between the workers' caches.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A call had none. True if that opened it.
    pub fn failed(&self) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES && self.trip()
    }

    /// Redis is known to be out, without three failures. True if that opened it.
    pub fn trip(&self) -> bool {
        let opened = !self.open.swap(true, Ordering::AcqRel);
        if opened {
            self.opened.notify_waiters();
        }
        opened
    }

    /// Redis was seen to work: it is asked again.
    pub fn close(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.open.store(false, Ordering::Release);
    }

    /// Waits until the breaker is open.
    pub async fn opened(&self) {
        loop {
            let opened = self.opened.notified();
            if !self.is_closed() {
                return;
            }
            opened.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_open_it_and_only_a_close_shuts_it() {
        let breaker = Breaker::new();
        for _ in 0..5 {
            breaker.failed();
            breaker.failed();
            breaker.succeeded();
        }
        assert!(breaker.is_closed());
        assert_eq!([(); 3].map(|()| breaker.failed()), [false, false, true]);
        assert!(!breaker.is_closed() && !breaker.failed() && !breaker.trip());
        // An answer to an old question says nothing of now.
        breaker.succeeded();
        assert!(!breaker.is_closed());
        breaker.close();
        assert!(breaker.is_closed());
        breaker.failed();
        breaker.failed();
        assert!(breaker.is_closed());
        assert!(breaker.trip() && !breaker.is_closed());
    }

    #[tokio::test]
    async fn who_waits_for_an_outage_is_told() {
        let breaker = Breaker::new();
        let fail = async {
            for _ in 0..3 {
                breaker.failed();
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(breaker.opened(), fail);
        breaker.opened().await;
    }
}
