//! A worker's connection to one server: made when it is needed, given up when it fails, made again by the next call.
//!
//! A client's managed connection awaits its reconnects outside any deadline and never reconnects after a timeout; a plain
//! one with this supervision does what an outage needs.

use super::{
    door::{Door, Endpoint, Leash, Opened, Role},
    pipe::Pipe,
    sentinel::Sentinels,
};
use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};
use tokio_util::task::TaskTracker;

/// New credentials that the server does not take yet are tried again this often; until then the old connection serves.
const RENEW: Duration = Duration::from_secs(1);
/// The sentinels are asked this often whether the master is still the master: one that was hung and comes back believes
/// so for a while, and no error tells.
const WATCH: Duration = Duration::from_millis(500);

/// A connection to one server that something was sent on. Its clones keep it open.
#[derive(Clone)]
pub struct Line {
    pub(super) pipe: Pipe,
    wire: Arc<Wire>,
}

struct Wire {
    number: u64,
    age: u64,
    _driver: Leash,
    /// Calls under way may still end; no other call begins on it.
    given_up: AtomicBool,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({})", self.wire.number)
    }
}

impl Line {
    fn new(opened: Opened) -> Self {
        Self {
            pipe: opened.pipe,
            wire: Arc::new(Wire {
                number: opened.number,
                age: opened.age,
                _driver: opened.driver,
                given_up: AtomicBool::new(false),
            }),
        }
    }

    /// The next call gets another connection; calls under way on this one go on.
    pub(super) fn hang_up(&self) {
        self.wire.hang_up();
    }

    fn is_usable(&self) -> bool {
        !self.wire.given_up.load(Ordering::Acquire) && !self.pipe.is_over()
    }
}

impl Wire {
    fn hang_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }
}

/// Who is at the other end.
#[derive(Clone)]
pub(super) enum Goal {
    /// Always the same.
    Fixed(Endpoint, Role),
    /// Whom the sentinels name.
    Master(Arc<Sentinels>),
}

pub(super) struct Lines {
    goal: Goal,
    door: Arc<Door>,
    slot: Mutex<Slot>,
    /// A connection attempt has ended.
    ended: Notify,
    tasks: TaskTracker,
}

enum Slot {
    /// Nobody connects; why the last attempt failed.
    Idle(String),
    Connecting,
    /// `renewing`: somebody is replacing it by one with newer credentials.
    Up {
        line: Line,
        renewing: bool,
    },
}

impl Lines {
    /// Not connected yet.
    pub(super) fn new(goal: Goal, door: Arc<Door>) -> Self {
        Self {
            goal,
            door,
            slot: Mutex::new(Slot::Idle(String::new())),
            ended: Notify::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// To the same server, not connected.
    pub(super) fn another(&self) -> Self {
        let goal = match &self.goal {
            Goal::Fixed(endpoint, role) => Goal::Fixed(endpoint.clone(), *role),
            Goal::Master(sentinels) => Goal::Master(Arc::new(sentinels.another())),
        };
        Self::new(goal, Arc::clone(&self.door))
    }

    /// The connection, or why there is none. Cancelling the wait does not cancel the attempt.
    pub(super) async fn line(self: &Arc<Self>) -> Result<Line, String> {
        let ended = self.ended.notified();
        {
            let mut slot = self.slot();
            match &mut *slot {
                Slot::Up { line, renewing } if line.is_usable() => {
                    if line.wire.age != self.door.age() && !*renewing {
                        *renewing = true;
                        let lines = Arc::clone(self);
                        let old = Arc::downgrade(&line.wire);
                        self.tasks.spawn(async move { lines.renew(old).await });
                    }
                    return Ok(line.clone());
                }
                Slot::Connecting => {}
                Slot::Up { .. } | Slot::Idle(_) => {
                    *slot = Slot::Connecting;
                    let lines = Arc::clone(self);
                    self.tasks.spawn(async move { lines.connect().await });
                }
            }
        }
        ended.await;
        match &*self.slot() {
            Slot::Up { line, .. } => Ok(line.clone()),
            Slot::Idle(reason) => Err(reason.clone()),
            Slot::Connecting => Err("the connection broke at once".to_owned()),
        }
    }

    async fn connect(&self) {
        let opened = self.open(false).await;
        *self.slot() = match opened {
            Ok(line) => Slot::Up { line, renewing: false },
            Err(error) => Slot::Idle(error),
        };
        self.ended.notify_waiters();
    }

    /// Replaces a connection whose credentials are old, once the server takes the new ones.
    async fn renew(&self, old: Weak<Wire>) {
        loop {
            let opened = self.open(true).await;
            if !self.renewed(&old, opened) {
                return;
            }
            sleep(RENEW).await;
        }
    }

    /// Is it to be tried again?
    fn renewed(&self, old: &Weak<Wire>, opened: Result<Line, String>) -> bool {
        let mut slot = self.slot();
        let Slot::Up { line, renewing } = &mut *slot else {
            return false;
        };
        if old.as_ptr() != Arc::as_ptr(&line.wire) {
            return false;
        }
        match opened {
            Ok(new) => {
                *line = new;
                *renewing = false;
                false
            }
            Err(reason) => {
                tracing::warn!(%reason, "Redis does not take the new credentials; the old connection serves on");
                true
            }
        }
    }

    /// `strict`: with the newest credentials or not at all.
    async fn open(&self, strict: bool) -> Result<Line, String> {
        match &self.goal {
            Goal::Fixed(endpoint, role) => {
                let opened = self.door.open(endpoint, *role, &self.tasks, strict).await?;
                Ok(Line::new(opened))
            }
            Goal::Master(sentinels) => {
                let (opened, master) = sentinels.open_master(&self.door, &self.tasks, strict).await?;
                let line = Line::new(opened);
                let (sentinels, wire) = (Arc::clone(sentinels), Arc::downgrade(&line.wire));
                self.tasks.spawn(async move {
                    loop {
                        sleep(WATCH).await;
                        let Some(wire) = wire.upgrade().filter(|wire| !wire.given_up.load(Ordering::Acquire)) else {
                            return;
                        };
                        // Who cannot be asked says nothing: a master that works is not left for that.
                        if sentinels.master().await.is_ok_and(|named| named != master) {
                            tracing::info!(%master, "Sentinel names another master");
                            wire.hang_up();
                        }
                    }
                });
                Ok(line)
            }
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
