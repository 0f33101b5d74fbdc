//! Idle connections of one worker, by host and port, and by destination where TLS tells them apart; the one used last is
//! used first.

use super::{DestinationSpec, Secure};
use crate::event::{Clock, DestinationName, Monotonic, body::FramesBody};
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
    plain: HashMap<String, HashMap<u16, Vec<Idle>>>,
    secure: HashMap<DestinationName, Proven>,
    closed: bool,
    swept: bool,
}

/// Connections on which a destination has proven its name, by the settings of one reload.
struct Proven {
    by: u64,
    idle: Vec<Idle>,
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
    pub(super) fn take(&self, to: &DestinationSpec) -> Option<(SendRequest<FramesBody>, Duration)> {
        let now = self.clock.monotonic();
        let mut inner = self.lock();
        let idle = match &to.tls {
            None => inner.plain.get_mut(to.url.host.as_str())?.get_mut(&to.url.port)?,
            Some(tls) => inner.proven(&to.name, tls)?,
        };
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
    pub(super) fn put(&self, to: &DestinationSpec, sender: SendRequest<FramesBody>) -> bool {
        let since = self.clock.monotonic();
        let mut inner = self.lock();
        if inner.closed || sender.is_closed() {
            return false;
        }
        let idle = match &to.tls {
            None => inner.plain_of(&to.url.host, to.url.port),
            Some(tls) => match inner.proven_of(&to.name, tls) {
                Some(idle) => idle,
                None => return false,
            },
        };
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
        let sweep = |idle: &mut Vec<Idle>| {
            idle.retain(|one| one.is_usable(now, self.spec.idle_timeout));
            !idle.is_empty()
        };
        for ports in inner.plain.values_mut() {
            ports.retain(|_, idle| sweep(idle));
        }
        inner.plain.retain(|_, ports| !ports.is_empty());
        inner.secure.retain(|_, proven| sweep(&mut proven.idle));
        inner.swept = !inner.plain.is_empty() || !inner.secure.is_empty();
        inner.swept
    }

    /// Closes everything, and keeps nothing from now on.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.plain.clear();
        inner.secure.clear();
    }

    pub(super) fn idle_timeout(&self) -> Duration {
        self.spec.idle_timeout
    }

    /// How many connections are idle.
    pub(super) fn len(&self) -> usize {
        let inner = self.lock();
        let plain = inner.plain.values().flat_map(HashMap::values);
        let proven = inner.secure.values().map(|proven| &proven.idle);
        plain.chain(proven).map(Vec::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn plain_of(&mut self, host: &str, port: u16) -> &mut Vec<Idle> {
        if !self.plain.contains_key(host) {
            self.plain.insert(host.to_owned(), HashMap::new());
        }
        let ports = self.plain.get_mut(host).expect("inserted above");
        ports.entry(port).or_default()
    }

    /// What newer settings meet of older ones is closed: it was proven by authorities that may be believed no more. What
    /// older settings ask for, in a request that began before the reload, is a new connection.
    fn proven(&mut self, name: &DestinationName, tls: &Secure) -> Option<&mut Vec<Idle>> {
        let proven = self.secure.get_mut(name)?;
        if proven.by < tls.id() {
            proven.by = tls.id();
            proven.idle.clear();
        }
        (proven.by == tls.id()).then_some(&mut proven.idle)
    }

    fn proven_of(&mut self, name: &DestinationName, tls: &Secure) -> Option<&mut Vec<Idle>> {
        if !self.secure.contains_key(name) {
            let (by, idle) = (tls.id(), Vec::new());
            self.secure.insert(name.clone(), Proven { by, idle });
        }
        self.proven(name, tls)
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
