//! What is fetched, for whom, and how often: no socket here, the server is a closure.

use super::*;
use crate::event::{TestClock, Timestamp};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, oneshot};

const A: &str = "https://keys.example/a";

/// A key server as the cache sees it.
struct Server {
    clock: Arc<TestClock>,
    kept: Arc<Fetched<u32>>,
    asked: Arc<AtomicUsize>,
    tasks: TaskTracker,
    spent: AtomicUsize,
    allowance: usize,
    known: bool,
}

impl Server {
    fn new() -> Self {
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(0)));
        Self {
            kept: Arc::new(Fetched::new(clock.clone())),
            clock,
            asked: Arc::default(),
            tasks: TaskTracker::new(),
            spent: AtomicUsize::new(0),
            allowance: usize::MAX,
            known: false,
        }
    }

    /// Wants an answer of at least `least` from `url`, where the server would say `says`.
    async fn take(&self, url: &str, least: u32, says: Result<u32, Missing>) -> Result<u32, Missing> {
        self.take_when(url, least, std::future::ready(says)).await
    }

    async fn take_when<F>(&self, url: &str, least: u32, says: F) -> Result<u32, Missing>
    where
        F: Future<Output = Result<u32, Missing>> + Send + 'static,
    {
        let spend = || self.spent.fetch_add(1, Ordering::Relaxed) < self.allowance;
        let wish = Wish {
            url,
            within: &|answer| *answer >= least,
            known: &|| self.known,
            spend: &spend,
        };
        let asked = Arc::clone(&self.asked);
        let landed = self.kept.take(wish, &self.tasks, || async move {
            asked.fetch_add(1, Ordering::Relaxed);
            says.await.map(Arc::new)
        });
        landed.await.map(|answer| *answer)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn advance(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }
}

fn out() -> Result<u32, Missing> {
    Err(Missing::Failed("out".to_owned()))
}

#[tokio::test]
async fn one_fetch_serves_all_who_come_while_it_is_under_way_and_after() {
    let server = Arc::new(Server::new());
    let (land, landing) = oneshot::channel();
    let first = {
        let server = server.clone();
        server
            .tasks
            .clone()
            .spawn(async move { server.take_when(A, 0, async { landing.await.expect("sent") }).await })
    };
    let mut others = Vec::new();
    for _ in 0..50 {
        let server = server.clone();
        others.push(
            server
                .tasks
                .clone()
                .spawn(async move { server.take(A, 0, out()).await }),
        );
    }
    tokio::task::yield_now().await;
    // Whoever began it goes; the fetch goes on for the others.
    first.abort();
    land.send(Ok(7)).expect("somebody waits");
    for other in others {
        assert_eq!(other.await.expect("no panic"), Ok(7));
    }
    server.advance(60);
    assert_eq!(server.take(A, 0, out()).await, Ok(7));
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn what_is_old_is_renewed_and_serves_for_a_day_where_it_cannot_be() {
    let server = Server::new();
    assert_eq!(server.take(A, 0, Ok(1)).await, Ok(1));
    server.advance(FRESH.as_secs());
    assert_eq!(server.take(A, 0, out()).await, Ok(1), "it serves on");
    assert_eq!(server.take(A, 0, out()).await, Ok(1), "and is not asked again at once");
    assert_eq!(server.asked(), 2);
    server.advance(PAUSE.as_secs());
    assert_eq!(server.take(A, 0, Ok(2)).await, Ok(2));
    server.advance(STALE.as_secs() - 1);
    assert_eq!(server.take(A, 0, out()).await, Ok(2));
    server.advance(PAUSE.as_secs());
    assert_eq!(server.take(A, 0, out()).await, out(), "a day is over");
}

#[tokio::test]
async fn nobody_waits_for_a_renewal_in_time() {
    let server = Server::new();
    assert_eq!(server.take(A, 0, Ok(1)).await, Ok(1));
    server.advance(EARLY.as_secs());
    let (land, landing) = oneshot::channel();
    assert_eq!(
        server.take_when(A, 0, async { landing.await.expect("sent") }).await,
        Ok(1)
    );
    assert_eq!(server.take(A, 0, out()).await, Ok(1), "one flight");
    land.send(Ok(2)).expect("it is under way");
    while server.take(A, 0, out()).await != Ok(2) {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.asked(), 2);
    server.advance(FRESH.as_secs() - 1);
    assert_eq!(server.take(A, 0, out()).await, Ok(2));
}

#[tokio::test]
async fn a_failure_is_told_for_a_moment_without_asking() {
    let server = Server::new();
    let absent = || Err(Missing::Absent("nothing".to_owned()));
    assert_eq!(server.take(A, 0, absent()).await, absent());
    assert_eq!(server.take(A, 0, Ok(1)).await, absent());
    assert_eq!(server.asked(), 1);
    server.advance(PAUSE.as_secs());
    assert_eq!(server.take(A, 0, Ok(1)).await, Ok(1));
}

#[tokio::test]
async fn what_is_not_in_the_answer_is_asked_for_once_in_a_while() {
    let server = Server::new();
    assert_eq!(server.take(A, 0, Ok(1)).await, Ok(1));
    for _ in 0..100 {
        assert_eq!(
            server.take(A, 2, Ok(2)).await,
            Ok(1),
            "asked moments ago: what it said stands"
        );
    }
    assert_eq!(server.asked(), 1);
    server.advance(PAUSE.as_secs());
    assert_eq!(server.take(A, 2, Ok(2)).await, Ok(2), "the keys were rotated");
    server.advance(PAUSE.as_secs());
    assert_eq!(
        server.take(A, 3, out()).await,
        out(),
        "nobody knows whether there is one"
    );
    assert_eq!(server.take(A, 2, out()).await, Ok(2), "the others feel nothing");
    assert_eq!(server.take(A, 3, Ok(3)).await, out());
    assert_eq!(server.asked(), 3);
}

#[tokio::test]
async fn strangers_spend_and_what_proved_something_does_not() {
    let mut server = Server::new();
    server.allowance = 2;
    assert_eq!(server.take(A, 0, Ok(1)).await, Ok(1));
    server.kept.proved(A);
    assert_eq!(server.take("https://keys.example/x", 0, out()).await, out());
    for number in 0..100 {
        let url = format!("https://keys.example/{number}");
        assert_eq!(server.take(&url, 0, Ok(1)).await, Err(Missing::Spent));
    }
    assert_eq!(server.asked(), 2);
    server.advance(FRESH.as_secs());
    assert_eq!(server.take(A, 0, Ok(2)).await, Ok(2));
    assert_eq!(
        server.take("https://keys.example/x", 0, Ok(1)).await,
        Err(Missing::Spent)
    );
}

#[tokio::test]
async fn a_stranger_never_takes_the_place_of_what_proved_something() {
    let server = Server::new();
    assert_eq!(server.take(A, 0, Ok(1)).await, Ok(1));
    server.kept.proved(A);
    for number in 0..10 * MAX_URLS {
        server.clock.advance(Duration::from_millis(1));
        let url = format!("https://keys.example/{number}");
        assert_eq!(server.take(&url, 0, Ok(9)).await, Ok(9));
        assert!(server.kept.entries().len() <= MAX_URLS);
    }
    let asked = server.asked();
    assert_eq!(server.take(A, 0, out()).await, Ok(1));
    assert_eq!(server.asked(), asked, "it is still there");
    server.advance(STALE.as_secs());
    for number in 0..MAX_URLS {
        assert_eq!(
            server.take(&format!("https://other.example/{number}"), 0, Ok(9)).await,
            Ok(9)
        );
    }
    assert!(!server.kept.entries().contains_key(A), "what serves no more makes room");
}

#[tokio::test]
async fn where_all_places_are_under_way_or_proven_nothing_more_is_asked() {
    let server = Arc::new(Server::new());
    let gate = Arc::new(Semaphore::new(0));
    for number in 0..MAX_URLS {
        let (server, gate) = (server.clone(), gate.clone());
        server.tasks.clone().spawn(async move {
            let url = format!("https://keys.example/{number}");
            let says = async move { gate.acquire().await.map(|_| 1).map_err(|_| Missing::Spent) };
            server.take_when(&url, 0, says).await
        });
    }
    while server.asked() < MAX_URLS {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.take(A, 0, Ok(1)).await, Err(Missing::Spent));
    gate.add_permits(MAX_URLS);
    while server.take(A, 0, Ok(1)).await != Ok(1) {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_runtime_that_ends_cuts_its_fetch_short_and_the_next_one_asks_again() {
    let server = Arc::new(Server::new());
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
    };
    let (first, second) = (runtime(), runtime());
    let never = std::future::pending();
    let hanging = {
        let server = server.clone();
        first.spawn(async move { server.take_when(A, 0, never).await })
    };
    first.block_on(async {
        while server.asked() == 0 {
            tokio::task::yield_now().await;
        }
    });
    drop(first);
    assert!(second.block_on(hanging).is_err(), "it went with its runtime");
    assert_eq!(second.block_on(server.take(A, 0, Ok(1))), Ok(1));
}
