//! Redis and the way to it: emptied, parted, slow, reset; and a sidecar that is killed at the worst moment.

use crate::{
    cutting_proxy::CuttingProxy,
    redis::RedisServer,
    support::{
        App, Folder, PORTS, Process, Request, Script, Sidecar,
        signed::{self, GITHUB, push},
        wait_until,
        wire::Connection,
    },
};
use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
    time::{Duration, Instant},
};

/// 150 ms is promised; the rest is for a machine that also compiles.
const DECISION: Duration = Duration::from_millis(600);

fn sidecar(app: &App, redis: &str) -> Sidecar {
    Sidecar::start(&format!(
        "redis: {{url: \"{redis}\", namespace: test}}\nupstream: {}\n{GITHUB}",
        app.url()
    ))
}

fn is_up(sidecar: &Sidecar) -> bool {
    sidecar.metric("hookward_ledger_up") > 0.5
}

/// Sends until the matter is closed, as a sender with patience does.
fn insist(request: &Request, to: SocketAddr) -> String {
    loop {
        let answer = request.send(to);
        match (answer.status, answer.outcome()) {
            (200, outcome) => return outcome.to_owned(),
            (503, "in_flight" | "ledger_unavailable") => std::thread::yield_now(),
            (status, outcome) => panic!("{status} {outcome}"),
        }
    }
}

/// Several senders with their own events, each sent twice, while `disturb` does its worst; then how often each reached
/// the app beyond once, in sum.
fn load(app: &App, to: SocketAddr, senders: usize, each: usize, disturb: impl FnOnce(&AtomicBool)) -> usize {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let at_work: Vec<_> = (0..senders)
            .map(|sender| {
                scope.spawn(move || {
                    for n in 0..each {
                        let request = push(sender * each + n);
                        insist(&request, to);
                        insist(&request, to);
                    }
                })
            })
            .collect();
        let watcher = scope.spawn(|| {
            let results: Vec<_> = at_work.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            over.store(true, SeqCst);
            assert!(results.iter().all(Result::is_ok), "a sender was told something wrong");
        });
        disturb(&over);
        watcher.join().expect("no sender was told something wrong");
    });
    let mut bodies: Vec<Vec<u8>> = app.seen().into_iter().map(|seen| seen.body).collect();
    let effects = bodies.len();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), senders * each, "lost");
    effects - bodies.len()
}

#[test]
fn flushall_under_load_loses_nothing() {
    let (app, redis) = (App::start(), RedisServer::start());
    let sidecar = sidecar(&app, &redis.url());
    let flushes = AtomicU64::new(0);
    let again = load(&app, sidecar.addresses.webhooks, 4, 60, |over| {
        while !over.load(SeqCst) {
            redis.query::<()>(&["FLUSHALL"]);
            flushes.fetch_add(1, SeqCst);
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let flushes = flushes.into_inner();
    println!("{again} delivered again, {flushes} flushes");
    assert!(flushes > 2, "it was not flushed under load");
    // At each flush each sender has at most one event between its two attempts.
    assert!(again as u64 <= flushes * 4, "{again} > {flushes} x 4");
}

#[test]
fn a_partition_is_a_hang() {
    let (app, redis) = (App::start(), RedisServer::start());
    let proxy = CuttingProxy::start(redis.port());
    let (here, there) = (sidecar(&app, &proxy.url()), sidecar(&app, &redis.url()));
    assert_eq!(here.send(&push(0)).outcome(), "delivered");
    proxy.partition(true);
    for n in 1..6 {
        let begun = Instant::now();
        assert_eq!(here.send(&push(n)).outcome(), "delivered");
        assert!(begun.elapsed() < DECISION, "{:?}", begun.elapsed());
        assert_eq!(here.send(&push(n)).outcome(), "duplicate");
    }
    wait_until("it is known to be out", || !is_up(&here));
    assert!(is_up(&there), "the other side of the partition is well");
    proxy.partition(false);
    wait_until("it is known to be back", || is_up(&here));
    wait_until("what was done alone is written back", || {
        here.metric("hookward_ledger_entries") < 0.5
    });
    for n in 0..6 {
        assert_eq!(insist(&push(n), there.addresses.webhooks), "duplicate", "{n}");
    }
    assert_eq!(app.seen().len(), 6);
}

#[test]
fn a_bad_link_gives_no_wrong_answer() {
    let (app, redis) = (App::start(), RedisServer::start());
    let proxy = CuttingProxy::start(redis.port());
    let (here, there) = (sidecar(&app, &proxy.url()), sidecar(&app, &redis.url()));
    let mut seed = 0x5eed_u64;
    let mut bad_moments = 0_usize;
    let again = load(&app, here.addresses.webhooks, 4, 40, |over| {
        while !over.load(SeqCst) {
            // xorshift64: the same link for everybody who runs this.
            for shift in [13, -7, 17_i32] {
                seed ^= if shift > 0 { seed << shift } else { seed >> -shift };
            }
            bad_moments += 1;
            match seed % 4 {
                0 => proxy.reset(),
                1 => proxy.mute.store(true, SeqCst),
                2 => proxy.deaf.store(true, SeqCst),
                _ => proxy.delay_ms.store(seed % 7, SeqCst),
            }
            std::thread::sleep(Duration::from_millis(seed % 150));
            proxy.partition(false);
            proxy.delay_ms.store(0, SeqCst);
            proxy.piece.store((seed % 3) as usize, SeqCst);
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    println!("{again} delivered again in {bad_moments} bad moments");
    assert!(bad_moments > 2, "the link was good");
    assert!(again <= bad_moments * 4, "{again}");
    wait_until("it is known to be back", || is_up(&here));
    wait_until("what was done alone is written back", || {
        here.metric("hookward_ledger_entries") < 0.5
    });
    for n in 0..160 {
        assert_eq!(insist(&push(n), there.addresses.webhooks), "duplicate", "{n}");
    }
}

/// Two processes on one Redis, the first of them behind a link that can be cut.
struct Pair {
    redis: RedisServer,
    proxy: CuttingProxy,
    first: Process,
    second: Process,
    _folder: Folder,
}

impl Pair {
    fn before(app: SocketAddr, timeout: &str) -> Self {
        let (redis, folder) = (RedisServer::start(), Folder::new());
        let proxy = CuttingProxy::start(redis.port());
        // Redis has all the time that a test may need to see what is under way.
        let yaml = |url: &str| {
            format!(
                "{PORTS}redis: {{url: \"{url}\", namespace: test, timeout: 5s}}\nupstream: {{url: \"http://{app}\", timeout: {timeout}, connect_wait: {timeout}}}\n{GITHUB}"
            )
        };
        let first = Process::run(&folder.write("first.yaml", &yaml(&proxy.url())));
        let second = Process::run(&folder.write("second.yaml", &yaml(&redis.url())));
        Self {
            redis,
            proxy,
            first,
            second,
            _folder: folder,
        }
    }

    /// The one record that there is.
    fn record(&self) -> Option<String> {
        let keys: Vec<String> = self.redis.query(&["KEYS", "hw:*"]);
        assert!(keys.len() < 2, "{keys:?}");
        keys.into_iter().next()
    }

    fn state(&self) -> Option<String> {
        self.redis.part(&self.record()?, 0)
    }

    /// Sends to the first without waiting for an answer.
    fn begin(&self, request: &Request) -> Connection {
        let mut connection = Connection::open(self.first.webhooks);
        connection.write(&request.head());
        connection.write(&request.body);
        connection
    }

    /// The dead one's lease holds, runs out (Redis's clock cannot be set, so the lease is), and the second one delivers.
    fn retry(&self, request: &Request) {
        let record = self.record().expect("the claim is there");
        let until = self.redis.part(&record, 3).expect("it is held until then");
        let until: u128 = until.parse().expect("a time");
        let now = std::time::UNIX_EPOCH.elapsed().expect("it is past 1970").as_millis();
        assert!(until > now, "the lease was over already");
        self.redis.set_part(&record, 3, "1");
        let answer = request.send(self.second.webhooks);
        assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
        assert_eq!(request.send(self.second.webhooks).outcome(), "duplicate");
    }
}

/// An address where nobody listens yet.
fn vacant() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound")
}

#[test]
fn killed_between_claim_and_forward_the_retry_is_delivered_once() {
    let address = vacant();
    let mut pair = Pair::before(address, "20s");
    let request = signed::github("/github", "d-1", b"{}");
    let mut sender = pair.begin(&request);
    wait_until("it is claimed", || pair.state().as_deref() == Some("P"));
    pair.first.kill();
    assert!(sender.answer().is_none());
    let app = App::start_at(address);
    pair.retry(&request);
    let seen = app.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("hookward-attempt"), Some("2"));
}

#[test]
fn killed_between_success_and_settlement_there_is_one_duplicate_that_says_so() {
    let app = App::start();
    let mut pair = Pair::before(app.address, "5s");
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    let request = signed::github("/github", "d-1", b"{}");
    let mut sender = pair.begin(&request);
    app.wait_for(1);
    pair.proxy.deaf.store(true, SeqCst);
    open.send_replace(true);
    // Only a settlement holds a delivered record.
    wait_until("it wants to settle", || pair.proxy.holds(b"\r\nD 1"));
    pair.first.kill();
    assert!(sender.answer().is_none());
    assert_eq!(pair.state().as_deref(), Some("P"));
    pair.retry(&request);
    let seen = app.seen();
    assert_eq!(seen.len(), 2);
    let attempts: Vec<_> = seen.iter().map(|seen| seen.header("hookward-attempt")).collect();
    assert_eq!(attempts, [Some("1"), Some("2")]);
    let ids: Vec<_> = seen.iter().map(|seen| seen.header("hookward-delivery")).collect();
    assert!(ids[0].is_some() && ids[0] == ids[1], "{ids:?}");
}

#[test]
fn killed_between_settlement_and_answer_the_app_is_left_alone() {
    let app = App::start();
    let mut pair = Pair::before(app.address, "5s");
    // Redis knows the scripts: it need not say that it does not.
    assert_eq!(push(0).send(pair.first.webhooks).outcome(), "delivered");
    pair.redis.query::<()>(&["FLUSHALL"]);
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([Script::status(200).behind(&open)]);
    let request = signed::github("/github", "d-1", b"{}");
    let mut sender = pair.begin(&request);
    app.wait_for(2);
    pair.proxy.mute.store(true, SeqCst);
    open.send_replace(true);
    wait_until("it is settled", || pair.state().as_deref() == Some("D"));
    pair.first.kill();
    assert!(sender.answer().is_none());
    let answer = request.send(pair.second.webhooks);
    assert_eq!((answer.status, answer.outcome()), (200, "duplicate"));
    assert_eq!(app.seen().len(), 2);
}

#[test]
fn a_replica_that_wakes_up_after_its_lease_starts_no_forward() {
    let address = vacant();
    let pair = Pair::before(address, "1s");
    let request = signed::github("/github", "d-1", b"{}");
    let mut sender = pair.begin(&request);
    wait_until("it is claimed", || pair.state().as_deref() == Some("P"));
    pair.first.signal("-STOP");
    let stopped = Instant::now();
    let app = App::start_at(address);
    pair.retry(&request);
    // Its own time for this attempt is over too: the app's second, and the ledger's five, and one.
    let lease = Duration::from_secs(1 + 5 + 1);
    wait_until("its lease is over by its own clock", || stopped.elapsed() > lease);
    pair.first.signal("-CONT");
    let answer = sender.answer().expect("it lives");
    assert!(
        [502, 503, 504].contains(&answer.status),
        "{} {}",
        answer.status,
        answer.outcome()
    );
    assert_eq!(app.seen().len(), 1);
    assert_eq!(request.send(pair.first.webhooks).outcome(), "duplicate");
    assert!(pair.proxy.connections.load(Relaxed) > 0);
}
