//! Enrolment windows: the short times in which an operator expects one handshake that hands a secret out.
//!
//! Nothing proves who sends such a handshake. So one window takes one secret, a second handshake makes both void, and the
//! secret is given to the operator when the window is over: until then it may still turn out to be void.

use crate::event::{Monotonic, Secret, SourceName};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use subtle::ConstantTimeEq;

/// How long a secret that nobody asks for is kept after its window.
const KEPT: Duration = Duration::from_mins(1);

/// All windows of the process. Not part of the configuration, so that a reload does not touch them.
#[derive(Default)]
pub struct Enrolments {
    // So that a request that has nothing to do with all this takes no lock.
    count: AtomicUsize,
    windows: Mutex<HashMap<SourceName, Window>>,
}

struct Window {
    ticket: String,
    until: Monotonic,
    came: Came,
}

enum Came {
    Nothing,
    One(Secret, IpAddr),
    Several,
}

/// How a window is.
pub enum Progress {
    /// Open; a handshake may have come already, from this client.
    Open {
        /// Time left.
        left: Duration,
        /// Who sent it.
        client: Option<IpAddr>,
    },
    /// A second handshake came: both are void.
    Void,
    /// It is over and nobody came.
    Nothing,
    /// It is over and one came; its secret is given once.
    Enrolled {
        /// The secret.
        secret: Secret,
        /// Who sent it.
        client: IpAddr,
    },
}

impl Enrolments {
    /// Opens a window, unless one is open for this source; `ticket` is what one asks after it with.
    pub fn open(&self, source: &SourceName, ticket: String, span: Duration, now: Monotonic) -> Result<(), Duration> {
        let mut windows = self.windows(now);
        if let Some(open) = windows.get(source)
            && open.until > now
        {
            return Err(open.until.since(now));
        }
        let window = Window {
            ticket,
            until: now.plus(span),
            came: Came::Nothing,
        };
        windows.insert(source.clone(), window);
        self.count.store(windows.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Is a handshake of this source expected now?
    pub fn expects(&self, source: &SourceName, now: Monotonic) -> bool {
        if self.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let windows = self.windows(now);
        windows
            .get(source)
            .is_some_and(|window| window.until > now && !matches!(window.came, Came::Several))
    }

    /// Takes a secret. `false`: it is not the first one of its window, or none is open; it must be refused.
    pub fn arrive(&self, source: &SourceName, secret: Secret, client: IpAddr, now: Monotonic) -> bool {
        let mut windows = self.windows(now);
        let Some(window) = windows.get_mut(source).filter(|window| window.until > now) else {
            return false;
        };
        let first = matches!(window.came, Came::Nothing);
        window.came = if first {
            Came::One(secret, client)
        } else {
            Came::Several
        };
        first
    }

    /// How the window of this ticket is; `close` ends it now. What a window that is over has to tell, it tells once.
    pub fn ask(&self, source: &SourceName, ticket: &str, close: bool, now: Monotonic) -> Option<Progress> {
        let mut windows = self.windows(now);
        let window = windows
            .get(source)
            .filter(|window| bool::from(window.ticket.as_bytes().ct_eq(ticket.as_bytes())))?;
        if window.until > now && !close && !matches!(window.came, Came::Several) {
            let client = match &window.came {
                Came::One(_, client) => Some(*client),
                Came::Nothing | Came::Several => None,
            };
            return Some(Progress::Open {
                left: window.until.since(now),
                client,
            });
        }
        let window = windows.remove(source)?;
        self.count.store(windows.len(), Ordering::Relaxed);
        Some(match window.came {
            Came::Nothing => Progress::Nothing,
            Came::One(secret, client) => Progress::Enrolled { secret, client },
            Came::Several => Progress::Void,
        })
    }

    /// What nobody asked for in time is forgotten.
    fn windows(&self, now: Monotonic) -> MutexGuard<'_, HashMap<SourceName, Window>> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.retain(|_, window| window.until.plus(KEPT) > now);
        self.count.store(windows.len(), Ordering::Relaxed);
        windows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_mins(1);

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(seconds))
    }

    fn asana() -> SourceName {
        SourceName::parse("asana").expect("a name")
    }

    fn opened() -> Enrolments {
        let enrolments = Enrolments::default();
        assert!(!enrolments.expects(&asana(), at(0)));
        enrolments
            .open(&asana(), "ticket".to_owned(), SPAN, at(0))
            .expect("none is open");
        enrolments
    }

    fn arrive(enrolments: &Enrolments, secret: &str, seconds: u64) -> bool {
        let client = IpAddr::from([192, 0, 2, 7]);
        enrolments.arrive(&asana(), Secret::new(secret.into()), client, at(seconds))
    }

    #[test]
    fn one_handshake_gives_one_secret_once_when_the_window_is_over() {
        let enrolments = opened();
        assert!(enrolments.expects(&asana(), at(1)));
        assert!(arrive(&enrolments, "first", 1));
        let ask = |seconds| enrolments.ask(&asana(), "ticket", false, at(seconds));
        assert!(matches!(ask(2), Some(Progress::Open { client: Some(_), left }) if left == Duration::from_secs(58)));
        assert!(enrolments.ask(&asana(), "tickex", true, at(2)).is_none());
        assert!(matches!(ask(60), Some(Progress::Enrolled { secret, .. }) if secret.expose() == b"first"));
        assert!(ask(60).is_none());
        assert!(!enrolments.expects(&asana(), at(60)));
    }

    #[test]
    fn a_second_handshake_makes_both_void_and_a_late_one_is_refused() {
        let enrolments = opened();
        assert!(arrive(&enrolments, "first", 1));
        assert!(!arrive(&enrolments, "second", 2));
        assert!(
            !enrolments.expects(&asana(), at(3)),
            "a third is a request like any other"
        );
        assert!(matches!(
            enrolments.ask(&asana(), "ticket", false, at(3)),
            Some(Progress::Void)
        ));

        let enrolments = opened();
        assert!(!arrive(&enrolments, "late", 60));
        assert!(matches!(
            enrolments.ask(&asana(), "ticket", false, at(61)),
            Some(Progress::Nothing)
        ));
    }

    #[test]
    fn one_window_a_source_and_what_nobody_asks_for_is_forgotten() {
        let enrolments = opened();
        let again = enrolments.open(&asana(), "other".to_owned(), SPAN, at(10));
        assert_eq!(again, Err(Duration::from_secs(50)));
        assert!(arrive(&enrolments, "first", 1));
        assert!(enrolments.ask(&asana(), "ticket", false, at(121)).is_none());
        assert!(enrolments.open(&asana(), "other".to_owned(), SPAN, at(122)).is_ok());
    }

    #[test]
    #[ignore = "a measurement; tests/timing/run"]
    fn tickets_are_compared_in_constant_time() {
        let right = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let (enrolments, asana) = (Enrolments::default(), asana());
        enrolments
            .open(&asana, right.to_owned(), SPAN, at(0))
            .expect("none is open");
        let judge = |guess: &String| enrolments.ask(&asana, guess, false, at(1)).is_some();
        crate::event::timing::holds("Enrolments::ask", right, |guess| guess, judge);
    }
}
