//! Idle connections of one worker, by host and port; the one used last is used first.

use super::DestinationUrl;
use crate::event::{Clock, Monotonic, body::FramesBody};
use hyper::client::conn::http1::SendRequest;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Bounds of a worker's idle connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// How long an idle connection is kept. Below the 5 s after which Node, uvicorn and Apache close theirs: a request
    /// that meets a closing connection after its first byte went out is lost.
    pub idle_timeout: Duration,
    /// How many idle connections are kept for each host and port.
    pub max_idle: usize,
}

impl Default for PoolSpec {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(4),
            max_idle: 128,
        }
    }
}

pub(super) struct Pool {
    spec: PoolSpec,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    idle: HashMap<String, HashMap<u16, Vec<Idle>>>,
    closed: bool,
    swept: bool,
}

struct Idle {
    sender: SendRequest<FramesBody>,
    since: Monotonic,
}

impl Pool {
    pub(super) fn new(spec: PoolSpec, clock: Arc<dyn Clock>) -> Self {
        Self {
            spec,
            clock,
            inner: Mutex::default(),
        }
    }

    /// The connection used last that is ready for a request, and how long it was idle.
    pub(super) fn take(&self, url: &DestinationUrl) -> Option<(SendRequest<FramesBody>, Duration)> {
        let now = self.clock.monotonic();
        let mut inner = self.lock();
        let idle = inner.idle.get_mut(url.host.as_str())?.get_mut(&url.port)?;
        while let Some(at) = idle.iter().rposition(|one| !one.is_busy()) {
            let one = idle.remove(at);
            if one.is_usable(now, self.spec.idle_timeout) {
                return Some((one.sender, now.since(one.since)));
            }
        }
        None
    }

    /// Keeps a connection whose answer was read to its end. True if the pool asks for a sweeper.
    #[must_use]
    pub(super) fn put(&self, url: &DestinationUrl, sender: SendRequest<FramesBody>) -> bool {
        let since = self.clock.monotonic();
        let mut inner = self.lock();
        if inner.closed || sender.is_closed() {
            return false;
        }
        if !inner.idle.contains_key(url.host.as_str()) {
            inner.idle.insert(url.host.clone(), HashMap::new());
        }
        let ports = inner.idle.get_mut(url.host.as_str()).expect("inserted above");
        let idle = ports.entry(url.port).or_default();
        if idle.len() >= self.spec.max_idle {
            return false;
        }
        idle.push(Idle { sender, since });
        !std::mem::replace(&mut inner.swept, true)
    }

    /// Closes what was idle for too long. False if nothing is left: the sweeper may go.
    pub(super) fn sweep(&self) -> bool {
        let now = self.clock.monotonic();
        let mut inner = self.lock();
        for ports in inner.idle.values_mut() {
            for idle in ports.values_mut() {
                idle.retain(|one| one.is_usable(now, self.spec.idle_timeout));
            }
            ports.retain(|_, idle| !idle.is_empty());
        }
        inner.idle.retain(|_, ports| !ports.is_empty());
        inner.swept = !inner.idle.is_empty();
        inner.swept
    }

    /// Closes everything, and keeps nothing from now on.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.idle.clear();
    }

    pub(super) fn idle_timeout(&self) -> Duration {
        self.spec.idle_timeout
    }

    /// How many connections are idle.
    pub(super) fn len(&self) -> usize {
        let inner = self.lock();
        inner.idle.values().flat_map(HashMap::values).map(Vec::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    /// The answer is read, but the request is not written yet, or the driver was not run since.
    fn is_busy(&self) -> bool {
        !self.sender.is_ready() && !self.sender.is_closed()
    }

    fn is_usable(&self, now: Monotonic, timeout: Duration) -> bool {
        !self.sender.is_closed() && now.since(self.since) < timeout
    }
}
