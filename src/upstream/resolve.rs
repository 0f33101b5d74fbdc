//! Host names to addresses, with the last good answer kept for when DNS is gone.

use crate::event::{Clock, Monotonic};
use futures_util::future::{BoxFuture, FutureExt};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long a name whose last answer is known is asked for before that answer serves again.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a failed question is not repeated while a last answer serves.
const BACK_OFF: Duration = Duration::from_secs(5);

type Lookup = dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

pub(super) struct Resolver {
    lookup: Box<Lookup>,
    patience: Duration,
    // Bounded by the destinations of the configuration, the only names that are ever asked for.
    last: Mutex<HashMap<Name, Answer>>,
    clock: Arc<dyn Clock>,
}

struct Answer {
    addresses: Vec<SocketAddr>,
    failed_at: Option<Monotonic>,
    /// Somebody is asking: whoever comes now takes the last answer, so that a burst of connections is one question, and
    /// a name server that hangs does not tie up a thread for each of them.
    asked: bool,
}

/// A question about a known name. However it ends, the next one may be asked.
struct Question<'a> {
    last: &'a Mutex<HashMap<Name, Answer>>,
    name: &'a Name,
}

type Name = (String, u16);

/// What is known of a name.
enum Known {
    Nothing,
    /// It is asked for again, and these serve if that fails.
    Old,
    /// These serve as they are.
    Good(Vec<SocketAddr>),
}

impl Resolver {
    /// Asks the system's resolver, as `/etc/hosts` and `/etc/resolv.conf` say.
    pub(super) fn system(clock: Arc<dyn Clock>) -> Self {
        Self::with(
            clock,
            PATIENCE,
            Box::new(|host, port| async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }.boxed()),
        )
    }

    fn with(clock: Arc<dyn Clock>, patience: Duration, lookup: Box<Lookup>) -> Self {
        Self {
            lookup,
            patience,
            last: Mutex::default(),
            clock,
        }
    }

    /// The addresses of a host, never an empty list.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let name = (host.to_owned(), port);
        let question = || (self.lookup)(name.0.clone(), port);
        let answer = match self.known(&name) {
            Known::Good(addresses) => return Ok(addresses),
            Known::Nothing => question().await,
            Known::Old => {
                let _asking = Question {
                    last: &self.last,
                    name: &name,
                };
                let timed = tokio::time::timeout(self.patience, question()).await;
                timed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            }
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(addresses) if !addresses.is_empty() => {
                let answer = Answer {
                    addresses: addresses.clone(),
                    failed_at: None,
                    asked: false,
                };
                last.insert(name, answer);
                Ok(addresses)
            }
            failed => match last.get_mut(&name) {
                Some(good) => {
                    good.failed_at = Some(self.clock.monotonic());
                    Ok(good.addresses.clone())
                }
                None => Err(failed.err().unwrap_or_else(|| io::ErrorKind::NotFound.into())),
            },
        }
    }

    /// The last good answer, if DNS failed so lately that it is not asked again, or if it is being asked.
    fn known(&self, name: &Name) -> Known {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(answer) = last.get_mut(name) else {
            return Known::Nothing;
        };
        let now = self.clock.monotonic();
        let rests = answer.failed_at.is_some_and(|at| now.since(at) < BACK_OFF);
        if rests || answer.asked {
            return Known::Good(answer.addresses.clone());
        }
        answer.asked = true;
        Known::Old
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = last.get_mut(self.name) {
            answer.asked = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{TestClock, Timestamp};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn script(answers: Vec<io::Result<Vec<SocketAddr>>>) -> (Resolver, Arc<TestClock>, Arc<AtomicUsize>) {
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(0)));
        let asked = Arc::new(AtomicUsize::new(0));
        let answers = Mutex::new(answers.into_iter());
        let counter = asked.clone();
        let lookup = move |_: String, _: u16| {
            counter.fetch_add(1, Ordering::SeqCst);
            let answer = answers.lock().expect("the script").next().expect("one more question");
            async move { answer }.boxed()
        };
        (Resolver::with(clock.clone(), PATIENCE, Box::new(lookup)), clock, asked)
    }

    fn gone() -> io::Result<Vec<SocketAddr>> {
        Err(io::Error::other("no name server"))
    }

    #[tokio::test]
    async fn the_last_good_addresses_serve_while_dns_is_gone() {
        let (old, new) = ("10.0.0.1:80".parse().expect("old"), "10.0.0.2:80".parse().expect("new"));
        let (resolver, clock, asked) = script(vec![Ok(vec![old]), gone(), Ok(vec![]), Ok(vec![new])]);
        assert_eq!(resolver.addresses("app", 80).await.expect("asked"), [old]);
        assert_eq!(resolver.addresses("app", 80).await.expect("kept"), [old]);
        assert_eq!(resolver.addresses("app", 80).await.expect("not asked again yet"), [old]);
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        clock.advance(BACK_OFF);
        assert_eq!(
            resolver.addresses("app", 80).await.expect("no address is no answer"),
            [old]
        );
        clock.advance(BACK_OFF);
        assert_eq!(resolver.addresses("app", 80).await.expect("back"), [new]);
    }

    #[tokio::test]
    async fn a_lookup_that_hangs_does_not_hold_up_a_known_name() {
        let known = "10.0.0.1:80".parse().expect("an address");
        let asked = AtomicUsize::new(0);
        let lookup = move |_: String, _: u16| match asked.fetch_add(1, Ordering::SeqCst) {
            0 => std::future::ready(Ok(vec![known])).boxed(),
            _ => std::future::pending().boxed(),
        };
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(0)));
        let resolver = Resolver::with(clock, Duration::from_millis(10), Box::new(lookup));
        assert_eq!(resolver.addresses("app", 80).await.expect("asked"), [known]);
        assert_eq!(resolver.addresses("app", 80).await.expect("kept"), [known]);
    }

    #[tokio::test]
    async fn while_one_asks_the_others_take_the_last_answer() {
        let known: SocketAddr = "10.0.0.1:80".parse().expect("an address");
        let (answer, asked) = (tokio::sync::watch::channel(false).0, Arc::new(AtomicUsize::new(0)));
        let (gate, counter) = (answer.subscribe(), asked.clone());
        let lookup = move |_: String, _: u16| {
            let (mut gate, number) = (gate.clone(), counter.fetch_add(1, Ordering::SeqCst));
            async move {
                if number > 0 {
                    let _open = gate.wait_for(|open| *open).await;
                }
                Ok(vec![known])
            }
            .boxed()
        };
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(0)));
        let resolver = Resolver::with(clock, Duration::from_mins(1), Box::new(lookup));
        let ask = || resolver.addresses("app", 80);
        assert_eq!(ask().await.expect("asked"), [known]);
        // One that asks and gives up leaves the question to the next.
        assert!(ask().now_or_never().is_none());
        let mut asking = Box::pin(ask());
        assert!(asking.as_mut().now_or_never().is_none());
        for _ in 0..100 {
            assert_eq!(ask().now_or_never().expect("at once").expect("kept"), [known]);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        answer.send_replace(true);
        assert_eq!(asking.await.expect("asked"), [known]);
        ask().await.expect("asked");
        assert_eq!(asked.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn a_name_that_never_had_an_address_is_an_error() {
        let (resolver, _, _) = script(vec![gone(), Ok(vec![])]);
        assert!(resolver.addresses("app", 80).await.is_err());
        assert!(resolver.addresses("app", 80).await.is_err());
    }

    #[tokio::test]
    async fn an_address_needs_no_lookup() {
        let (resolver, _, asked) = script(vec![]);
        assert_eq!(
            resolver.addresses("::1", 80).await.expect("itself"),
            ["[::1]:80".parse().expect("an address")]
        );
        assert_eq!(asked.load(Ordering::SeqCst), 0);
    }
}
