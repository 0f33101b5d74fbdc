//! The two moments of a shutdown, told to every worker: draining begins, and the grace is over.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};
use tokio::sync::Notify;

/// A handle that all workers, and whoever answers for readiness, share.
#[derive(Clone, Default)]
pub struct Shutdown(Arc<Moments>);

#[derive(Default)]
struct Moments {
    draining: AtomicBool,
    over: AtomicBool,
    changed: Notify,
}

impl Shutdown {
    /// Nothing is shut down yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins to drain: requests are still served, each answer closes its connection.
    pub fn drain(&self) {
        self.tell(&self.0.draining);
    }

    /// Has draining begun?
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(SeqCst)
    }

    /// Waits until draining begins.
    pub async fn draining(&self) {
        self.until(&self.0.draining).await;
    }

    /// Is the grace over?
    pub fn is_over(&self) -> bool {
        self.0.over.load(SeqCst)
    }

    /// Waits until the grace is over: whoever still works on an answer should now answer 503 at once.
    pub async fn over(&self) {
        self.until(&self.0.over).await;
    }

    /// Ends the grace at once: what is under way is cut.
    pub fn cut(&self) {
        self.drain();
        self.end_grace();
    }

    pub(super) fn end_grace(&self) {
        self.tell(&self.0.over);
    }

    fn tell(&self, moment: &AtomicBool) {
        moment.store(true, SeqCst);
        self.0.changed.notify_waiters();
    }

    async fn until(&self, moment: &AtomicBool) {
        loop {
            let mut changed = pin!(self.0.changed.notified());
            // Registered before the flag is read, else a change between the two would be missed.
            changed.as_mut().enable();
            if moment.load(SeqCst) {
                return;
            }
            changed.await;
        }
    }
}
