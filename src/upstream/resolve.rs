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
    last: Mutex<HashMap<(String, u16), Answer>>,
    clock: Arc<dyn Clock>,
}

struct Answer {
    addresses: Vec<SocketAddr>,
    failed_at: Option<Monotonic>,
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
        let known = self.known(&name);
        if let Some((addresses, true)) = known {
            return Ok(addresses);
        }
        let question = (self.lookup)(name.0.clone(), port);
        let answer = match known {
            None => question.await,
            Some(_) => tokio::time::timeout(self.patience, question)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(addresses) if !addresses.is_empty() => {
                let answer = Answer {
                    addresses: addresses.clone(),
                    failed_at: None,
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

    /// The last good answer, and whether DNS failed so lately that it is not asked again.
    fn known(&self, name: &(String, u16)) -> Option<(Vec<SocketAddr>, bool)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = last.get(name)?;
        let now = self.clock.monotonic();
        let rests = answer.failed_at.is_some_and(|at| now.since(at) < BACK_OFF);
        Some((answer.addresses.clone(), rests))
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
