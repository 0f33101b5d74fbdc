//! Connection deadlines of one worker (head, idle, stalled write, parting), kept by one coarse tick instead of a timer each.
//!
//! hyper's own header timeout also runs on idle connections, and it has no write timeout at all. A connection only notes
//! in its [`Watch`] which phase it is in and since which tick: a few relaxed stores a request, no clock read, no timer.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::Notify;

use super::{
    Timeouts,
    occupancy::{Head, Occupancy},
    watch::{Order, Phase, Watch},
};

/// The watches of one worker's connections and the tick that runs over them.
pub(super) struct Deadlines {
    now: AtomicU32,
    every: Duration,
    head: u32,
    idle: u32,
    write: u32,
    parting: u32,
    /// A connection that idled or began a head at least this long ago may be closed to make room; one that idles gives
    /// back what only requests need.
    evictable: u32,
    closing: AtomicBool,
    /// The tick in which there was nobody to be closed to make room.
    pressed: AtomicU32,
    occupancy: Arc<Occupancy>,
    watches: Mutex<Watches>,
    occupied: Notify,
}

#[derive(Default)]
struct Watches {
    next: u64,
    open: HashMap<u64, Arc<Watch>>,
}

/// Keeps a connection watched; the watch ends when this is dropped.
pub(super) struct Watched {
    watch: Arc<Watch>,
    id: u64,
    deadlines: Arc<Deadlines>,
}

/// How many connections are in which phase: what a test waits for instead of sleeping.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) greeting: usize,
    pub(super) idle: usize,
    pub(super) head: usize,
    pub(super) busy: usize,
    pub(super) parting: usize,
    pub(super) stalled: usize,
}

impl Deadlines {
    pub(super) fn new(timeouts: &Timeouts, occupancy: Arc<Occupancy>) -> Arc<Self> {
        // A twentieth of the shortest deadline that a person sets: late by 5 % at most, and four wake-ups a second.
        let shortest = timeouts.head.min(timeouts.idle).min(timeouts.write);
        let every = (shortest / 20).clamp(Duration::from_millis(5), Duration::from_millis(250));
        let ticks = |time: Duration| u32::try_from(time.as_nanos().div_ceil(every.as_nanos())).unwrap_or(u32::MAX / 2);
        Arc::new(Self {
            now: AtomicU32::new(0),
            every,
            head: ticks(timeouts.head),
            idle: ticks(timeouts.idle),
            write: ticks(timeouts.write),
            parting: ticks(timeouts.parting),
            evictable: ticks(Duration::from_secs(1)),
            closing: AtomicBool::new(false),
            pressed: AtomicU32::new(u32::MAX),
            occupancy,
            watches: Mutex::default(),
            occupied: Notify::new(),
        })
    }

    /// Watches a new connection, idle as of now: one that never sends a byte is an idle one.
    pub(super) fn watch(self: &Arc<Self>) -> Watched {
        let watch = Arc::new(Watch::new(self.now()));
        let id = {
            let mut watches = self.watches();
            let id = watches.next;
            watches.next += 1;
            watches.open.insert(id, Arc::clone(&watch));
            id
        };
        self.occupied.notify_one();
        Watched {
            watch,
            id,
            deadlines: Arc::clone(self),
        }
    }

    /// Ticks for as long as there is anything to watch: a worker without connections never wakes up.
    pub(super) async fn run(&self) -> Infallible {
        loop {
            if self.watches().open.is_empty() {
                self.occupied.notified().await;
            }
            tokio::time::sleep(self.every).await;
            self.tick();
        }
    }

    /// One tick: every connection that is over one of its deadlines gets its order.
    pub(super) fn tick(&self) {
        self.look(self.now.fetch_add(1, Relaxed).wrapping_add(1));
    }

    /// From now on an idle connection is closed, also one that becomes idle later; each only after a whole tick, because
    /// the request of a connection that was just accepted may lie unread in its socket.
    pub(super) fn close_idle(&self) {
        self.closing.store(true, Relaxed);
        self.look(self.now());
    }

    /// Ends every connection as it stands.
    pub(super) fn cut(&self) {
        for watch in self.watches().open.values() {
            watch.order(Order::Cut);
        }
    }

    /// How many idle connections could rest.
    #[cfg(test)]
    pub(super) fn working(&self) -> usize {
        self.watches().open.values().filter(|watch| watch.could_rest()).count()
    }

    /// How many connections are in which phase.
    #[cfg(test)]
    pub(super) fn census(&self) -> Census {
        let mut census = Census::default();
        for watch in self.watches().open.values() {
            match watch.phase() {
                Phase::Greeting => census.greeting += 1,
                Phase::Idle => census.idle += 1,
                Phase::Head => census.head += 1,
                Phase::Busy => census.busy += 1,
                Phase::Parting => census.parting += 1,
            }
            census.stalled += usize::from(watch.stalled_since().is_some() || watch.held_since().is_some());
        }
        census
    }

    /// The current tick.
    pub(super) fn now(&self) -> u32 {
        self.now.load(Relaxed)
    }

    /// Must an idle connection give back at once what it does not need?
    pub(super) fn is_tight(&self) -> bool {
        self.occupancy.is_tight()
    }

    /// Makes room at once for a connection that was accepted and finds no place.
    pub(super) fn press(&self) {
        self.press_some(|_| true);
    }

    /// The same for one that is about to speak HTTP/2.
    pub(super) fn press_http2(&self) {
        self.press_some(Watch::is_http2);
    }

    /// Bytes of heads that are not whole yet, to be counted.
    pub(super) fn head(&self) -> Head {
        Head::new(&self.occupancy)
    }

    /// Makes room for a head that has grown, if heads take too much in all.
    pub(super) fn press_heads(&self) {
        if self.occupancy.is_full_of_heads() {
            self.press_some(|watch| watch.phase() == Phase::Head);
        }
    }

    /// Who was looked for in vain is not looked for again before the next tick.
    fn press_some(&self, of_these: impl Fn(&Watch) -> bool) {
        let now = self.now();
        if self.pressed.load(Relaxed) != now && self.make_room(&self.watches(), now, of_these) == 0 {
            self.pressed.store(now, Relaxed);
        }
    }

    fn look(&self, now: u32) {
        let closing = self.closing.load(Relaxed);
        let watches = self.watches();
        for watch in watches.open.values() {
            if let Some(order) = self.due(watch, now, closing) {
                watch.order(order);
            }
        }
        if self.occupancy.is_pressed() {
            let _found = self.make_room(&watches, now, |_| true);
        }
        if self.occupancy.is_pressed_by_http2() {
            let _found = self.make_room(&watches, now, Watch::is_http2);
        }
    }

    fn due(&self, watch: &Watch, now: u32, closing: bool) -> Option<Order> {
        // A phase began somewhere within its first tick, which therefore does not count: never early, late by a tick.
        let over = |since: u32, ticks: u32| now.wrapping_sub(since) > ticks;
        let stands = |since: Option<u32>| since.is_some_and(|since| over(since, self.write));
        if stands(watch.stalled_since()) || stands(watch.held_since()) {
            return Some(Order::WriteTimeout);
        }
        match watch.phase() {
            // Whoever has not even shaken hands after the quiet second does not send a request.
            Phase::Greeting if closing => over(watch.since(), self.evictable).then_some(Order::GreetingTimeout),
            Phase::Greeting => over(watch.since(), self.head).then_some(Order::GreetingTimeout),
            Phase::Idle if closing => over(watch.since(), 1).then_some(Order::Close),
            Phase::Idle if over(watch.since(), self.idle) => Some(Order::IdleTimeout),
            Phase::Idle => (watch.could_rest() && over(watch.since(), self.evictable)).then_some(Order::Rest),
            Phase::Head => over(watch.since(), self.head).then_some(Order::HeaderTimeout),
            // The body and the answer are the app's to bound.
            Phase::Busy => None,
            Phase::Parting => over(watch.since(), self.parting).then_some(Order::PartingTimeout),
        }
    }

    /// Closes the sixteenth of these connections that has been idle, or at a greeting or a head, for the longest time, when
    /// others wait for a place: without this, whoever holds all places with silent or slow connections locks every sender
    /// out for the whole timeout. How many are closed.
    fn make_room(&self, watches: &Watches, now: u32, of_these: impl Fn(&Watch) -> bool) -> usize {
        let these = || watches.open.values().filter(|watch| of_these(watch));
        let mut unused: Vec<(u32, &Arc<Watch>)> = these()
            .filter(|watch| matches!(watch.phase(), Phase::Idle | Phase::Greeting | Phase::Head))
            .map(|watch| (now.wrapping_sub(watch.since()), watch))
            .filter(|(ticks, _)| *ticks > self.evictable)
            .collect();
        unused.sort_unstable_by_key(|(ticks, _)| std::cmp::Reverse(*ticks));
        unused.truncate(these().count().div_ceil(16));
        for (_, watch) in &unused {
            watch.order(Order::Evicted);
        }
        unused.len()
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::ops::Deref for Watched {
    type Target = Arc<Watch>;

    fn deref(&self) -> &Arc<Watch> {
        &self.watch
    }
}

impl Watched {
    /// The tick that this connection's phases are measured by.
    pub(super) fn deadlines(&self) -> &Arc<Deadlines> {
        &self.deadlines
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.deadlines.watches().open.remove(&self.id);
    }
}
