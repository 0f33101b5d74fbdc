//! The resources that the answers of one connection hold until they are with the kernel: mostly none.

use super::UntilTaken;
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// The resources of answers that are not with the kernel yet.
#[derive(Default)]
pub(super) struct Kept {
    /// Is there anything? Read on every flush, so that the lock is not.
    any: AtomicBool,
    all: Mutex<Vec<UntilTaken>>,
}

impl Kept {
    /// Keeps it until [`Self::clear`], or the end of the connection.
    pub(super) fn put(&self, kept: UntilTaken) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        self.any.store(true, Relaxed);
    }

    /// Gives back what is kept.
    pub(super) fn clear(&self) {
        if self.any.swap(false, Relaxed) {
            self.all.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}
