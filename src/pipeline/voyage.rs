//! The part of the journey that outlives its sender: polled by the sender's connection for as long as there is one, and by
//! a task of its own from then on.
//!
//! A task from the start would cost every request an allocation, a turn of the scheduler and a wake-up more, for the sake
//! of the few whose sender hangs up.

use futures_util::FutureExt;
use std::{
    any::Any,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::runtime::Handle;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// Yields what the future does, or its panic. Dropped before that, it goes on in a task of `tracker`.
pub(super) struct Voyage<'a, T: Send + 'static> {
    future: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    tracker: &'a TaskTracker,
    /// Whoever awaits the tracker awaits this too.
    _tracked: TaskTrackerToken,
}

impl<'a, T: Send + 'static> Voyage<'a, T> {
    pub(super) fn begin(future: impl Future<Output = T> + Send + 'static, tracker: &'a TaskTracker) -> Self {
        Self {
            future: Some(Box::pin(future)),
            tracker,
            _tracked: tracker.token(),
        }
    }
}

impl<T: Send + 'static> Future for Voyage<'_, T> {
    type Output = Result<T, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.future.as_mut().expect("it is not polled after its end");
        // Whatever it panicked in is dropped with it.
        let polled = AssertUnwindSafe(future.as_mut()).catch_unwind().poll_unpin(cx);
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Voyage<'_, T> {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and nothing goes on.
        if let (Some(future), Ok(runtime)) = (self.future.take(), Handle::try_current()) {
            self.tracker.spawn_on(future, &runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn it_goes_on_without_whoever_polled_it() {
        let tracker = TaskTracker::new();
        let (go_on, wait) = oneshot::channel::<()>();
        let done = Arc::new(AtomicBool::new(false));
        let arrived = Arc::clone(&done);
        let mut voyage = Voyage::begin(
            async move {
                wait.await.expect("it is told");
                arrived.store(true, Ordering::Relaxed);
            },
            &tracker,
        );
        assert!(futures_util::poll!(&mut voyage).is_pending());
        tracker.close();
        assert!(
            futures_util::poll!(std::pin::pin!(tracker.wait())).is_pending(),
            "it is waited for"
        );
        drop(voyage);
        go_on.send(()).expect("it listens");
        tracker.wait().await;
        assert!(done.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_panic_ends_it_and_nothing_else() {
        let tracker = TaskTracker::new();
        let voyage = Voyage::<()>::begin(async { panic!("a bug") }, &tracker);
        assert!(voyage.await.is_err());
        tracker.close();
        tracker.wait().await;
    }
}
