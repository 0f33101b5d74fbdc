//! What was fetched for a source, by URL: asked for once for all who wait, kept, and never asked for without end.

use crate::event::{Clock, Monotonic};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// URLs that are remembered at once.
const MAX_URLS: usize = 32;
/// How long an answer is good without asking again.
const FRESH: Duration = Duration::from_hours(1);
/// From when on it is asked for again without anybody waiting.
const EARLY: Duration = Duration::from_mins(45);
/// How long an answer that cannot be renewed serves on.
const STALE: Duration = Duration::from_hours(24);
/// How long a URL is not asked again, whatever it said: also where a request wants what is not in the answer.
const PAUSE: Duration = Duration::from_secs(10);

/// Answers for one source. `T` is what was read from one.
pub struct Fetched<T> {
    clock: Arc<dyn Clock>,
    entries: Mutex<HashMap<String, Entry<T>>>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The server says that nothing stands there.
    #[error("{0}")]
    Absent(String),
    /// The server cannot be asked now, or gave what cannot be used; the reason is for operators.
    #[error("{0}")]
    Failed(String),
    /// The server answered, but not with what was asked for; the reason is for operators.
    #[error("{0}")]
    Unusable(String),
    /// So much was asked for lately that nothing more is.
    #[error("too many fetches lately")]
    Spent,
}

/// What a request wants, and what it may cost.
pub struct Wish<'a, T> {
    /// From where.
    pub url: &'a str,
    /// Is what it wants in this answer?
    pub within: &'a (dyn Fn(&T) -> bool + Sync),
    /// It proved something in an earlier process: it spends nothing, and finds room however many are asked for.
    pub known: &'a (dyn Fn() -> bool + Sync),
    /// Spends a fetch from a URL that has not proven anything yet; `false`: there is none left.
    pub spend: &'a (dyn Fn() -> bool + Sync),
}

type Landed<T> = Result<Arc<T>, Missing>;
type Flight<T> = watch::Receiver<Option<Landed<T>>>;
type Pilot<T> = watch::Sender<Option<Landed<T>>>;

struct Entry<T> {
    good: Option<(Arc<T>, Monotonic)>,
    missing: Option<Missing>,
    /// When it was last asked for.
    asked: Monotonic,
    /// The one fetch that is under way; over when its other half is gone.
    flight: Option<Flight<T>>,
    /// It proved something: what a stranger asks for never takes its place.
    proven: bool,
}

/// What is known of a URL.
enum State<T> {
    Settled(Landed<T>),
    /// Somebody asks; this serves if nothing better comes.
    Flying(Flight<T>, Option<Arc<T>>),
    /// It must be asked for; this serves if nothing better comes.
    Due(Option<Arc<T>>),
    /// This is good, and about to be old.
    Early(Arc<T>),
}

/// What is to be done.
enum Step<T> {
    Take(Landed<T>),
    Wait(Flight<T>, Option<Arc<T>>),
    Ask(Pilot<T>, Flight<T>, Option<Arc<T>>),
    Renew(Pilot<T>, Arc<T>),
}

impl<T: Send + Sync + 'static> Fetched<T> {
    /// Knows nothing yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            entries: Mutex::default(),
        }
    }

    /// The answer at a URL: the one that is kept, or what `fetch` brings. One fetch serves all who want the same; it goes on
    /// when whoever asked is gone. What is old serves for a day where it cannot be renewed.
    pub async fn take<F>(
        self: &Arc<Self>,
        wish: Wish<'_, T>,
        tasks: &TaskTracker,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<T>, Missing>
    where
        F: Future<Output = Result<Arc<T>, Missing>> + Send + 'static,
    {
        let (mut flight, serves) = match self.step(&wish) {
            Step::Take(landed) => return landed,
            Step::Wait(flight, serves) => (flight, serves),
            Step::Ask(pilot, flight, serves) => {
                self.ask(wish.url, pilot, tasks, fetch());
                (flight, serves)
            }
            Step::Renew(pilot, answer) => {
                self.ask(wish.url, pilot, tasks, fetch());
                return Ok(answer);
            }
        };
        let landed = match flight.wait_for(Option::is_some).await {
            Ok(landed) => landed.clone(),
            Err(_) => None,
        };
        landed
            .unwrap_or_else(|| Err(cut_short()))
            .or_else(|missing| serves.ok_or(missing))
    }

    /// Notes that the answer at this URL proved something; true if it had not before.
    pub fn proved(&self, url: &str) -> bool {
        let mut entries = self.entries();
        entries
            .get_mut(url)
            .is_some_and(|entry| !std::mem::replace(&mut entry.proven, true))
    }

    fn ask<F>(self: &Arc<Self>, url: &str, pilot: Pilot<T>, tasks: &TaskTracker, fetch: F)
    where
        F: Future<Output = Landed<T>> + Send + 'static,
    {
        let (fetched, url) = (Arc::clone(self), url.to_owned());
        tasks.spawn(async move {
            let landed = fetch.await;
            fetched.land(&url, &landed);
            pilot.send_replace(Some(landed));
        });
    }

    fn land(&self, url: &str, landed: &Landed<T>) {
        let now = self.clock.monotonic();
        if let Some(entry) = self.entries().get_mut(url) {
            entry.flight = None;
            entry.missing = landed.as_ref().err().cloned();
            if let Ok(answer) = landed {
                entry.good = Some((Arc::clone(answer), now));
            }
        }
    }

    fn step(&self, wish: &Wish<'_, T>) -> Step<T> {
        let now = self.clock.monotonic();
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(wish.url) else {
            // Known URLs are bounded by themselves.
            let allowed = (wish.known)() || (wish.spend)() && make_room(&mut entries, now);
            if !allowed {
                return Step::Take(Err(Missing::Spent));
            }
            let (pilot, flight) = watch::channel(None);
            let entry = Entry {
                good: None,
                missing: None,
                asked: now,
                flight: Some(flight.clone()),
                proven: false,
            };
            entries.insert(wish.url.to_owned(), entry);
            return Step::Ask(pilot, flight, None);
        };
        let serves = match entry.state(wish.within, now) {
            State::Settled(landed) => return Step::Take(landed),
            State::Flying(flight, serves) => return Step::Wait(flight, serves),
            State::Due(serves) if entry.may_ask(wish) => serves,
            State::Due(serves) => return Step::Take(serves.ok_or(Missing::Spent)),
            State::Early(answer) if entry.may_ask(wish) => return Step::Renew(entry.take_off(now).0, answer),
            State::Early(answer) => return Step::Take(Ok(answer)),
        };
        let (pilot, flight) = entry.take_off(now);
        Step::Ask(pilot, flight, serves)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry<T>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Entry<T> {
    fn state(&self, within: &dyn Fn(&T) -> bool, now: Monotonic) -> State<T> {
        let age = self.good.as_ref().map(|(_, at)| now.since(*at));
        let good = self.good.as_ref().map(|(answer, _)| answer);
        let serves = good
            .filter(|answer| age.is_some_and(|age| age < STALE) && within(answer))
            .cloned();
        let known = self.good.is_some() || self.missing.is_some();
        let resting = known && now.since(self.asked) < PAUSE;
        let flight = self.flight.as_ref().filter(|_| self.is_flying());
        if let Some(answer) = serves.as_ref().filter(|_| age.is_some_and(|age| age < FRESH)) {
            let early = age.is_some_and(|age| age >= EARLY) && flight.is_none() && !resting;
            return if early {
                State::Early(answer.clone())
            } else {
                State::Settled(Ok(answer.clone()))
            };
        }
        match (flight, serves, &self.missing, good) {
            (Some(flight), serves, ..) => State::Flying(flight.clone(), serves),
            // What it said a moment ago stands, also that it has not what is wanted.
            (None, Some(answer), ..) if resting => State::Settled(Ok(answer)),
            (None, None, Some(missing), _) if resting => State::Settled(Err(missing.clone())),
            (None, None, None, Some(answer)) if resting => State::Settled(Ok(answer.clone())),
            (None, serves, ..) => State::Due(serves),
        }
    }

    fn may_ask(&self, wish: &Wish<'_, T>) -> bool {
        self.proven || (wish.known)() || (wish.spend)()
    }

    fn take_off(&mut self, now: Monotonic) -> (Pilot<T>, Flight<T>) {
        let (pilot, flight) = watch::channel(None);
        self.asked = now;
        self.flight = Some(flight.clone());
        (pilot, flight)
    }

    fn is_flying(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.has_changed().is_ok())
    }

    /// May another URL take its place? Never if it proved something, as long as that serves.
    fn may_go(&self, now: Monotonic) -> bool {
        let serves = self.good.as_ref().is_some_and(|(_, at)| now.since(*at) < STALE);
        !(self.is_flying() || self.proven && serves)
    }
}

/// Makes room for one more; the one that was asked for longest ago goes.
fn make_room<T>(entries: &mut HashMap<String, Entry<T>>, now: Monotonic) -> bool {
    if entries.len() < MAX_URLS {
        return true;
    }
    let may_go = entries.iter().filter(|(_, entry)| entry.may_go(now));
    let oldest = may_go.min_by_key(|(_, entry)| entry.asked.since_start());
    match oldest.map(|(url, _)| url.clone()) {
        Some(url) => entries.remove(&url).is_some(),
        None => false,
    }
}

fn cut_short() -> Missing {
    Missing::Failed("the fetch was cut short".to_owned())
}

#[cfg(test)]
mod tests;
