//! The one thread that writes the log: lines wait in a bounded buffer, and whoever adds one never waits.

use crate::{
    event::{Clock, Timestamp},
    telemetry::metrics::Counter,
};
use std::{
    io::Write,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

/// Bytes that may wait. A line has some 400, so this is a second of 2,500 requests while the reader is stuck.
const CAPACITY: usize = 1 << 20;

/// How long the first line of a batch waits for others: one write call for a batch instead of one for each line.
const BATCH: Duration = Duration::from_millis(20);

/// Formats the line that says how many lines were lost.
pub(super) type SayLost = Box<dyn Fn(u64, &mut Vec<u8>, Timestamp) + Send>;

/// A bounded buffer and the thread that empties it. Dropping it writes what is left and ends the thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    // Wakes the thread: there is something to do.
    work: Condvar,
    // Wakes those who flush: something was written.
    written: Condvar,
    dropped: Counter,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    // Lines that did not fit since the last batch.
    lost: u64,
    // Batches taken and batches written; equal while the thread has nothing in hand.
    taken: u64,
    done: u64,
    // Write at once instead of waiting for more.
    hurry: bool,
    closed: bool,
}

impl Writer {
    /// Starts the thread.
    pub fn start(
        sink: Box<dyn Write + Send>,
        dropped: Counter,
        clock: Arc<dyn Clock>,
        say_lost: SayLost,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            written: Condvar::new(),
            dropped,
        });
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_batches(&theirs, sink, &*clock, &say_lost))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Adds a line, or drops and counts it if the buffer is full.
    pub fn append(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        let before = state.waiting.len();
        if before + line.len() > CAPACITY {
            state.lost += 1;
            drop(state);
            self.shared.dropped.inc();
            return;
        }
        state.waiting.extend_from_slice(line);
        // The thread is woken by the first line of a batch, and when waiting any longer would cost lines.
        let half = CAPACITY / 2;
        let crossed = before < half && state.waiting.len() >= half;
        state.hurry |= crossed;
        drop(state);
        if before == 0 || crossed {
            self.shared.work.notify_one();
        }
    }

    /// Waits until all that was added before is written, but no longer than `at_most`.
    pub fn flush(&self, at_most: Duration) {
        let mut state = self.shared.lock();
        if state.waiting.is_empty() && state.taken == state.done {
            return;
        }
        let upto = state.taken + u64::from(!state.waiting.is_empty());
        state.hurry = true;
        self.shared.work.notify_one();
        // Neither outcome needs handling: a writer that is stuck must not keep the process from ending.
        let waited = self
            .shared
            .written
            .wait_timeout_while(state, at_most, |state| state.done < upto);
        drop(waited);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flush(Duration::from_secs(2));
        let mut state = self.shared.lock();
        state.closed = true;
        // Still in a write that nobody reads: the thread ends with the process.
        let stuck = state.taken != state.done;
        drop(state);
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take()
            && !stuck
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic of that thread has been reported by itself; there is nobody left to tell.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is a buffer and counters: whatever panicked in between, they are still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a batch and swaps it into `batch`; `None` when the log is closed and empty.
    fn next(&self, batch: &mut Vec<u8>) -> Option<u64> {
        let state = self.lock();
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let state = self
            .work
            .wait_while(state, idle)
            .unwrap_or_else(PoisonError::into_inner);
        let patient = |state: &mut State| !state.hurry && !state.closed;
        let (mut state, _) = self
            .work
            .wait_timeout_while(state, BATCH, patient)
            .unwrap_or_else(PoisonError::into_inner);
        if state.waiting.is_empty() {
            return None;
        }
        batch.clear();
        std::mem::swap(batch, &mut state.waiting);
        state.hurry = false;
        state.taken += 1;
        Some(std::mem::take(&mut state.lost))
    }
}

fn write_batches(shared: &Shared, mut sink: Box<dyn Write + Send>, clock: &dyn Clock, say_lost: &SayLost) {
    let mut batch = Vec::new();
    while let Some(lost) = shared.next(&mut batch) {
        if lost > 0 {
            say_lost(lost, &mut batch, clock.wall());
        }
        // A closed pipe or a full disk must not stop deliveries; the lines are gone and counted.
        if sink.write_all(&batch).and_then(|()| sink.flush()).is_err() {
            let lines = batch.split_inclusive(|byte| *byte == b'\n').count();
            shared.dropped.inc_by(lines as u64);
        }
        let mut state = shared.lock();
        state.done = state.taken;
        drop(state);
        shared.written.notify_all();
    }
}
