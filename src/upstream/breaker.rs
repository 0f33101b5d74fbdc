//! A destination that is down is left alone for a moment: those who come again by themselves are told to, at once.
//!
//! A breaker can make things worse: whoever is refused while it is open might have been delivered. So it opens late
//! ([`FAILURES`] without a success between them, which went on for as long as an app that restarts is waited for), stays
//! open for a moment ([`FIRST_PAUSE`] to [`LONGEST_PAUSE`]), and is asked only where a refusal is no loss. What was
//! answered, whatever the status, is no failure: the app is there.

use crate::event::Monotonic;
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// So many failures in a row open it.
const FAILURES: u32 = 5;
/// If they lasted at least so long: a whole pool of connections that break in one moment is a restart.
const LEAST: Duration = Duration::from_secs(1);
/// How long it stays open at first; twice as long each time that the delivery which is let through then fails too.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Whether a destination is being left alone; one for all workers.
pub struct Breaker {
    /// Nothing has failed since the last success: no lock is needed to know what to do.
    calm: AtomicBool,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
        since: Monotonic,
    },
    Open {
        until: Monotonic,
        pause: Duration,
    },
    /// One delivery was let through.
    Trying {
        pause: Duration,
    },
}

/// What a delivery's end made of the breaker, to be told to operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It opened, for so long.
    Opened(Duration),
    /// It closed.
    Closed,
}

/// A delivery that goes out. Dropped without a word of how it ended, it proves nothing.
#[must_use = "the breaker learns from it how the delivery ended"]
pub struct Pass<'a> {
    breaker: &'a Breaker,
    trying: bool,
}

impl Breaker {
    /// Closed.
    pub fn new() -> Self {
        Self {
            calm: AtomicBool::new(true),
            state: Mutex::new(State::CALM),
        }
    }

    /// May a delivery go out? If not: how long until it is worth asking again.
    pub fn ask(&self, now: Monotonic) -> Result<Pass<'_>, Duration> {
        if self.calm.load(Ordering::Relaxed) {
            return Ok(self.beside());
        }
        let mut state = self.lock();
        match *state {
            State::Closed { .. } => Ok(self.beside()),
            State::Trying { .. } => Err(FIRST_PAUSE),
            State::Open { until, .. } if now < until => Err(until.since(now)),
            State::Open { pause, .. } => {
                *state = State::Trying { pause };
                Ok(Pass {
                    breaker: self,
                    trying: true,
                })
            }
        }
    }

    /// For a delivery that goes out whatever the breaker says, because a refusal would be its loss.
    pub fn beside(&self) -> Pass<'_> {
        Pass {
            breaker: self,
            trying: false,
        }
    }

    /// Is it open, and for how long still? An upper bound of a second while a delivery is being tried.
    pub fn open_for(&self, now: Monotonic) -> Option<Duration> {
        if self.calm.load(Ordering::Relaxed) {
            return None;
        }
        match *self.lock() {
            State::Closed { .. } => None,
            State::Trying { .. } => Some(FIRST_PAUSE),
            State::Open { until, .. } => Some(until.since(now)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    const CALM: Self = Self::Closed {
        failures: 0,
        since: Monotonic::from_start(Duration::ZERO),
    };
}

impl Pass<'_> {
    /// The destination answered: it is there.
    pub fn succeeded(mut self) -> Option<Change> {
        self.trying = false;
        if self.breaker.calm.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.breaker.lock();
        let was = std::mem::replace(&mut *state, State::CALM);
        self.breaker.calm.store(true, Ordering::Relaxed);
        (!matches!(was, State::Closed { .. })).then_some(Change::Closed)
    }

    /// It did not answer. `patience`: how long it is waited for when it refuses connections.
    pub fn failed(mut self, now: Monotonic, patience: Duration) -> Option<Change> {
        let trying = std::mem::take(&mut self.trying);
        let mut state = self.breaker.lock();
        let pause = match *state {
            State::Closed { failures, since } => {
                let since = if failures == 0 { now } else { since };
                let failures = failures.saturating_add(1);
                *state = State::Closed { failures, since };
                self.breaker.calm.store(false, Ordering::Relaxed);
                if failures < FAILURES || now.since(since) < patience.max(LEAST) {
                    return None;
                }
                FIRST_PAUSE
            }
            State::Trying { pause } if trying => (pause * 2).min(LONGEST_PAUSE),
            // It began before the breaker opened, or went out beside it: nothing new.
            State::Trying { .. } | State::Open { .. } => return None,
        };
        let until = now.plus(pause);
        *state = State::Open { until, pause };
        Some(Change::Opened(pause))
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.trying {
            // Cut off: the next one is let through in its place.
            let mut state = self.breaker.lock();
            if let State::Trying { pause } = *state {
                let until = Monotonic::default();
                *state = State::Open { until, pause };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(millis))
    }

    fn fail(breaker: &Breaker, millis: u64, patience: Duration) -> Option<Change> {
        breaker.ask(at(millis)).expect("closed").failed(at(millis), patience)
    }

    /// Opened at two seconds, until three.
    fn open() -> Breaker {
        let breaker = Breaker::new();
        for n in 0..4 {
            assert_eq!(fail(&breaker, 500 * n, NONE), None);
        }
        assert_eq!(fail(&breaker, 2000, NONE), Some(Change::Opened(FIRST_PAUSE)));
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_one_success_between_them_does_not() {
        let breaker = open();
        assert_eq!(breaker.ask(at(2400)).err(), Some(Duration::from_millis(600)));
        assert_eq!(breaker.open_for(at(2400)), Some(Duration::from_millis(600)));
        let breaker = Breaker::new();
        for n in 0..40 {
            assert_eq!(fail(&breaker, 500 * n, NONE), None);
            if n % 4 == 3 {
                assert_eq!(breaker.beside().succeeded(), None);
            }
        }
        assert_eq!(breaker.open_for(at(60_000)), None);
    }

    #[test]
    fn a_blip_does_not_open_it() {
        let breaker = Breaker::new();
        for _ in 0..1000 {
            assert_eq!(fail(&breaker, 7, NONE), None);
        }
        // Nor does a restart that is waited for.
        assert_eq!(fail(&breaker, 3006, Duration::from_secs(3)), None);
        assert_eq!(
            fail(&breaker, 3007, Duration::from_secs(3)),
            Some(Change::Opened(FIRST_PAUSE))
        );
    }

    #[test]
    fn one_delivery_is_let_through_and_says_how_it_goes_on() {
        let breaker = open();
        let mut now = 3000;
        for pause in [2, 4, 8, 10, 10] {
            let probe = breaker.ask(at(now)).expect("one is let through");
            assert_eq!(breaker.ask(at(now)).err(), Some(FIRST_PAUSE), "and no other");
            let pause = Duration::from_secs(pause);
            assert_eq!(probe.failed(at(now), NONE), Some(Change::Opened(pause)));
            assert!(breaker.ask(at(now + 999)).is_err());
            now += u64::try_from(pause.as_millis()).expect("small");
        }
        let probe = breaker.ask(at(now)).expect("one is let through");
        assert_eq!(probe.succeeded(), Some(Change::Closed));
        assert_eq!(breaker.open_for(at(now)), None);
        assert_eq!(fail(&breaker, now, NONE), None, "the count begins anew");
    }

    #[test]
    fn what_went_out_before_or_beside_it_only_closes_it() {
        let breaker = open();
        drop(breaker.beside());
        assert_eq!(breaker.beside().failed(at(2500), NONE), None);
        assert_eq!(breaker.open_for(at(2500)), Some(Duration::from_millis(500)));
        assert_eq!(breaker.beside().succeeded(), Some(Change::Closed));
        assert!(breaker.ask(at(2500)).is_ok());
    }

    #[test]
    fn a_probe_that_is_cut_off_leaves_the_next_one_in_its_place() {
        let breaker = open();
        drop(breaker.ask(at(3000)));
        let probe = breaker.ask(at(3000)).expect("one is let through");
        assert_eq!(probe.failed(at(3000), NONE), Some(Change::Opened(FIRST_PAUSE * 2)));
        drop(breaker.beside());
        assert!(breaker.ask(at(3001)).is_err());
    }
}
