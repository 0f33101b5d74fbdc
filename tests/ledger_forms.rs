//! Redis in every form that people run it, each a real one: TLS, a Unix socket, ACL users whose password changes, Sentinel
//! with failovers, a Cluster whose slots move and whose nodes die.

#![allow(
    clippy::disallowed_methods,
    reason = "tests read the clock and spawn what they await or abort"
)]

#[path = "support/authority.rs"]
#[allow(dead_code, reason = "here Redis is the server, and the client is what is tested")]
mod authority;
#[path = "support/contract.rs"]
mod contract;
#[path = "support/redis_group.rs"]
mod redis_group;
#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/sidecar.rs"]
mod sidecar;

use authority::{Authority, Issued};
use contract::Stage;
use hookward::{
    event::{Secret, SystemClock},
    replay::{Ask, Decision, OnOutage, RedisLedger, Settled},
    store::{Access, Breaker, Facts, Login, Place, Server, Store, Target},
    tls::{Certificates, ClientTls, Identity},
};
use redis_group::{Cluster, Watched, named, share, slot, until};
use redis_server::{RedisServer, free_port};
use sidecar::{DECISION, Sidecar, a, again, ask, granted, timed, wait_until};
use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

struct OnRedis(RedisLedger);

impl Stage for OnRedis {
    type Ledger = RedisLedger;

    fn ledger(&self) -> &RedisLedger {
        &self.0
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// The contract is not about time limits, and the machine that runs it may be busy.
async fn passes_the_contract(target: &Target) {
    let target = Target {
        timeout: Duration::from_secs(5),
        ..target.clone()
    };
    let store = Store::new(&target, Arc::new(Breaker::new())).expect("a target");
    let (owed, _) = tokio::sync::mpsc::channel(1);
    let stage = OnRedis(RedisLedger::new(store, Arc::new(SystemClock::new()), owed));
    assert!(contract::run(&stage).await > 20);
}

async fn refusal(target: &Target) -> String {
    let patient = Target {
        timeout: Duration::from_secs(5),
        ..target.clone()
    };
    let answer = Sidecar::with(&patient).doors[0].claim(ask(), OnOutage::Reject).await;
    answer.err().expect("a refusal").reason
}

fn login(username: Option<&str>, password: &str) -> Login {
    Login {
        username: username.map(str::to_owned),
        password: Some(Secret::new(password.as_bytes().to_vec())),
    }
}

fn servers(ports: impl IntoIterator<Item = u16>) -> Vec<Server> {
    ports.into_iter().map(|port| Server::new("127.0.0.1", port)).collect()
}

/// A server on 127.0.0.1 and a client that one authority vouches for.
struct Vouched {
    authority: Authority,
    client: Issued,
    directory: PathBuf,
}

impl Vouched {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let authority = Authority::new("the authority");
        Self {
            client: authority.issue("hookward"),
            authority,
            directory: std::env::temp_dir().join(format!("hookward-tls-{}-{number}", std::process::id())),
        }
    }

    /// The files of the server: `ca.pem`, `server.pem`, `server.key`.
    fn write(&self) -> PathBuf {
        fs::create_dir_all(&self.directory).expect("a directory can be made");
        let server = self.authority.issue("127.0.0.1");
        for (name, text) in [
            ("ca.pem", self.authority.pem()),
            ("server.pem", server.cert),
            ("server.key", server.key),
        ] {
            fs::write(self.directory.join(name), text).expect("a file can be written");
        }
        self.directory.clone()
    }

    /// Believes the authority, and shows its certificate.
    fn client(&self) -> ClientTls {
        let read = |pem: &str| Certificates::parse(pem.as_bytes()).expect("certificates");
        let key = Secret::new(self.client.key.clone().into_bytes());
        ClientTls {
            roots: Some(read(&self.authority.pem())),
            identity: Some(Identity::new(read(&self.client.cert), key).expect("they belong together")),
            server_name: None,
        }
    }
}

impl Drop for Vouched {
    fn drop(&mut self) {
        let _already_removed = fs::remove_dir_all(&self.directory);
    }
}

fn a_secure_server(vouched: &Vouched) -> (RedisServer, u16) {
    let directory = vouched.write();
    let file = |name: &str| directory.join(name).display().to_string();
    let port = free_port();
    let server = RedisServer::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-ca-cert-file",
        &file("ca.pem"),
        "--tls-cert-file",
        &file("server.pem"),
        "--tls-key-file",
        &file("server.key"),
        "--tls-auth-clients",
        "yes",
    ]);
    (server, port)
}

#[tokio::test]
async fn over_tls_with_a_client_certificate() {
    let vouched = Vouched::new();
    let (server, port) = a_secure_server(&vouched);
    let with = |tls: ClientTls| Target {
        access: Access {
            tls: Some(tls),
            ..Access::default()
        },
        ..Target::server("127.0.0.1", port)
    };
    let right = vouched.client();
    passes_the_contract(&with(right.clone())).await;
    let stranger = Vouched::new();
    let reason = refusal(&with(ClientTls {
        roots: stranger.client().roots,
        ..right.clone()
    }))
    .await;
    assert!(reason.contains("certificate"), "{reason}");
    for identity in [None, stranger.client().identity] {
        let wrong = with(ClientTls {
            identity,
            ..right.clone()
        });
        let reason = refusal(&wrong).await;
        assert!(reason.contains("alert"), "{reason}");
    }
    // A name that the certificate is not for.
    let elsewhere = Target {
        place: Place::Server(Server::new("localhost", port)),
        ..with(right)
    };
    let reason = refusal(&elsewhere).await;
    assert!(reason.contains("certificate"), "{reason}");
    drop(server);
}

#[tokio::test]
async fn a_certificate_that_was_replaced_is_shown_by_the_next_connection() {
    let (old, new) = (Vouched::new(), Vouched::new());
    let (server, port) = a_secure_server(&old);
    let access = |tls: ClientTls| Access {
        tls: Some(tls),
        ..Access::default()
    };
    let sidecar = Sidecar::with(&Target {
        access: access(old.client()),
        timeout: Duration::from_secs(5),
        ..Target::server("127.0.0.1", port)
    });
    assert!(!sidecar.granted(&ask()).await.is_local());
    // All of it at once: authority, server and client.
    let directory = new.write();
    let file = |name: &str| directory.join(name).display().to_string();
    server.query::<()>(&[
        "CONFIG",
        "SET",
        "tls-ca-cert-file",
        &file("ca.pem"),
        "tls-cert-file",
        &file("server.pem"),
        "tls-key-file",
        &file("server.key"),
    ]);
    let store = sidecar.replays.store().expect("it is on Redis");
    store.replace_access(&access(new.client())).expect("they are fine");
    server.query::<()>(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert!(!sidecar.granted(&ask()).await.is_local());
}

#[tokio::test]
async fn over_a_unix_socket() {
    let directory = std::env::temp_dir().join(format!("hookward-socket-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory can be made");
    let path = directory.join("redis.sock");
    let server = RedisServer::start_with(&["--unixsocket", &path.display().to_string()]);
    let target = Target {
        database: 4,
        ..Target::at(Place::Unix(path))
    };
    passes_the_contract(&target).await;
    assert!(server.query::<String>(&["INFO", "keyspace"]).contains("db4:"));
    drop(server);
    fs::remove_dir_all(&directory).expect("it can be removed");
}

#[tokio::test]
async fn a_password_that_changes_is_taken_without_a_gap() {
    let server = RedisServer::start();
    // What README asks for.
    let rights = [
        "on",
        "~hw:*",
        "+@read",
        "+@write",
        "+@scripting",
        "+@connection",
        "+time",
    ];
    let set = |rules: &[&str]| {
        let mut command = vec!["ACL", "SETUSER", "hookward"];
        command.extend(rules);
        server.query::<()>(&command);
    };
    set(&rights);
    set(&[">first"]);
    let access = |password: &str| Access {
        login: login(Some("hookward"), password),
        ..Access::default()
    };
    let target = Target {
        access: access("first"),
        ..Target::server("127.0.0.1", server.port())
    };
    passes_the_contract(&target).await;
    let sidecar = Sidecar::with(&Target {
        timeout: Duration::from_secs(5),
        ..target
    });
    let works = async || {
        let claim = sidecar.granted(&ask()).await;
        assert!(!claim.is_local(), "an outage");
        claim.release().await;
    };
    works().await;
    let users = || {
        let list: String = server.query(&["CLIENT", "LIST"]);
        let ids = list.lines().filter(|line| line.contains("user=hookward"));
        let id = |line: &str| line.split(' ').next().map(str::to_owned).expect("an id");
        ids.map(id).collect::<Vec<String>>()
    };
    let before = users();
    let store = sidecar.replays.store().expect("it is on Redis");
    // We learn of the new one first: the old connections serve on.
    store.replace_access(&access("second")).expect("it is text");
    for _ in 0..20 {
        works().await;
    }
    assert!(
        before.iter().all(|id| users().contains(id)),
        "no connection is given up for nothing"
    );
    set(&["resetpass", ">second"]);
    wait_until("new connections have taken their place", async || {
        works().await;
        let now = users();
        !now.is_empty() && before.iter().all(|id| !now.contains(id))
    })
    .await;
    // The server first: connections that stand are not asked again.
    set(&["resetpass", ">third"]);
    works().await;
    store.replace_access(&access("third")).expect("it is text");
    server.query::<i64>(&["CLIENT", "KILL", "USER", "hookward"]);
    works().await;
    assert!(sidecar.replays.up());
}

fn sentinels(watched: &Watched) -> Target {
    Target::at(Place::Sentinel {
        master: "mymaster".to_owned(),
        sentinels: servers(watched.sentinels.iter().map(|sentinel| sentinel.port)),
    })
}

/// Claims until one is granted by Redis; says how long that took.
async fn back_on_redis(sidecar: &Sidecar, since: Instant) -> Duration {
    wait_until("claims are on Redis again", async || {
        let claim = sidecar.granted(&ask()).await;
        let back = !claim.is_local();
        claim.release().await;
        back
    })
    .await;
    since.elapsed()
}

/// From the death of the master to claims on the new one, with `down-after-milliseconds` of 1000. Where the machine is
/// busy the sentinels may need longer; then it is what we add to that.
const FAILOVER: Duration = Duration::from_secs(4);
const OURS: Duration = Duration::from_secs(1);

/// Notes when a majority of the sentinels named another master.
fn majority(watched: &Watched) -> std::thread::JoinHandle<Instant> {
    let (sentinels, old) = (watched.ports(), watched.master.port());
    std::thread::spawn(move || {
        until("a majority names another", || {
            sentinels.iter().filter(|port| named(**port) != old).count() >= 2
        });
        Instant::now()
    })
}

async fn fails_over(sidecar: &Sidecar, since: Instant, named: std::thread::JoinHandle<Instant>) {
    let took = back_on_redis(sidecar, since).await;
    let back = since + took;
    let named = named.join().expect("it came to that");
    let ours = back.saturating_duration_since(named);
    eprintln!("failover: {took:?}, {ours:?} of it after a majority of the sentinels knew");
    assert!(took <= FAILOVER || ours <= OURS, "{took:?}, {ours:?}");
}

#[tokio::test]
async fn sentinel_names_the_master_and_the_next_one_when_it_dies() {
    let mut watched = Watched::start();
    let target = sentinels(&watched);
    passes_the_contract(&target).await;
    let nobody = Target::at(Place::Sentinel {
        master: "another".to_owned(),
        sentinels: servers([watched.sentinels[0].port]),
    });
    let reason = refusal(&nobody).await;
    assert!(reason.contains("knows no master"), "{reason}");

    let facts = Facts::ask(&target, &SystemClock::new()).await.expect("a master");
    let master = format!("127.0.0.1:{}", watched.master.port());
    assert!(
        facts.sentinels.iter().all(|(_, told)| told.as_ref() == Ok(&master)),
        "{:?}",
        facts.sentinels
    );
    assert_eq!(
        (facts.replicas, facts.min_replicas, facts.is_replica),
        (Some(1), Some(0), false)
    );

    let sidecar = Sidecar::with(&target);
    let delivered = ask();
    assert_eq!(
        sidecar.granted(&delivered).await.settle(&a(), &a()).await,
        Settled::Done
    );
    assert_eq!(watched.master.query::<i64>(&["WAIT", "1", "1000"]), 1);
    // One that is away changes nothing.
    watched.sentinels[2].kill();
    watched.sentinels.truncate(2);
    let named = majority(&watched);
    watched.master.kill();
    let died = Instant::now();
    let (claim, took) = timed(sidecar.granted(&ask())).await;
    assert!(claim.is_local() && took <= DECISION, "{took:?}");
    claim.release().await;
    fails_over(&sidecar, died, named).await;
    assert!(sidecar.is_done(&delivered).await, "the replica had it");
}

#[tokio::test]
async fn a_master_that_hung_and_comes_back_is_not_believed() {
    let watched = Watched::start();
    let sidecar = Sidecar::with(&sentinels(&watched));
    // Both workers have a connection to the old one; the second is used again only after the failover.
    for door in &sidecar.doors {
        let claim = granted(door.claim(ask(), OnOutage::Reject).await.expect("a decision"));
        claim.release().await;
    }
    let named = majority(&watched);
    watched.master.stop();
    fails_over(&sidecar, Instant::now(), named).await;
    let old = watched.master.port();
    wait_until("all sentinels name the new one", async || watched.votes(old) == 0).await;
    // What a worker's connection is watched by has looked by then.
    tokio::time::sleep(Duration::from_millis(800)).await;
    watched.master.cont();
    let role: Vec<redis::Value> = watched.master.query(&["ROLE"]);
    eprintln!("the old master says {:?}", role.first());
    for door in &sidecar.doors {
        for _ in 0..50 {
            let ask = ask();
            let claim = granted(door.claim(ask.clone(), OnOutage::Reject).await.expect("a decision"));
            assert!(
                watched.replica.query::<bool>(&["EXISTS", &record(&ask)]),
                "it is on the new master"
            );
            claim.release().await;
        }
    }
}

fn seeds(cluster: &Cluster) -> Target {
    Target::at(Place::Cluster(servers(
        cluster.nodes[..2].iter().map(RedisServer::port),
    )))
}

fn record(ask: &Ask) -> String {
    format!("hw:{{acme/{}}}", ask.key.to_text())
}

#[tokio::test]
async fn a_cluster_is_used_in_all_its_slots() {
    let cluster = Cluster::start(&[]);
    let target = seeds(&cluster);
    for key in ["hw:{a}", "hw:{123456789}"] {
        assert_eq!(cluster.nodes[0].query::<u16>(&["CLUSTER", "KEYSLOT", key]), slot(key));
    }
    passes_the_contract(&target).await;
    let sidecar = Sidecar::with(&target);
    for _ in 0..200 {
        let claim = sidecar.granted(&ask()).await;
        assert!(!claim.is_local());
        assert_eq!(claim.settle(&a(), &a()).await, Settled::Done);
    }
    for node in &cluster.nodes {
        assert!(node.query::<i64>(&["DBSIZE"]) > 30, "each has its share");
        let info: String = node.query(&["INFO", "errorstats"]);
        assert!(!info.contains("MOVED"), "our slots are Redis's: {info}");
    }
    let mut scan = sidecar.replays.store().expect("it is on Redis").scan("hw:");
    let mut names = std::collections::HashSet::new();
    while let Some(page) = scan.page().await.expect("every node answers") {
        names.extend(page);
    }
    let kept: i64 = cluster.nodes.iter().map(|node| node.query::<i64>(&["DBSIZE"])).sum();
    assert_eq!(i64::try_from(names.len()), Ok(kept), "a walk goes over every node");
    let facts = Facts::ask(&target, &SystemClock::new()).await.expect("a Cluster");
    let health = facts.cluster.expect("it is one");
    assert_eq!(
        (health.state.as_deref(), health.served, health.nodes.len()),
        (Some("ok"), 16_384, 3)
    );
    assert!(health.nodes.iter().all(|(_, facts)| facts.is_ok()));
}

#[tokio::test]
async fn a_slot_that_moves_under_claims_gives_no_wrong_answer() {
    let cluster = Cluster::start(&[]);
    let sidecar = Sidecar::with(&Target {
        timeout: Duration::from_secs(5),
        ..seeds(&cluster)
    });
    // A delivered one and one under way, in the same slot, with their records on both sides for a while.
    let delivered = ask();
    let moving = slot(&record(&delivered));
    let alike = || {
        std::iter::repeat_with(ask)
            .find(|ask| slot(&record(ask)) == moving)
            .expect("endless")
    };
    assert_eq!(
        sidecar.granted(&delivered).await.settle(&a(), &a()).await,
        Settled::Done
    );
    let held = alike();
    let claim = sidecar.granted(&held).await;
    let to = (cluster.owner(moving) + 1) % 3;
    let mut fresh = Vec::new();
    let halfway = async || {
        assert!(sidecar.is_done(&delivered).await);
        let busy = sidecar.claim(&again(&held), OnOutage::Reject).await;
        assert!(matches!(busy, Decision::Busy { .. }));
        if fresh.is_empty() {
            let new = alike();
            let claim = sidecar.granted(&new).await;
            fresh.push((new, claim));
        }
        for (new, _) in &fresh {
            let busy = sidecar.claim(&again(new), OnOutage::Reject).await;
            assert!(matches!(busy, Decision::Busy { .. }));
        }
    };
    cluster.move_slot(moving, to, halfway).await;
    assert_eq!(claim.settle(&a(), &a()).await, Settled::Done);
    for (new, claim) in fresh {
        assert!(!claim.is_local());
        assert_eq!(claim.settle(&a(), &a()).await, Settled::Done);
        assert!(sidecar.is_done(&new).await);
    }
    assert!(sidecar.is_done(&delivered).await && sidecar.is_done(&held).await);
    let moved = cluster.nodes[to].query::<bool>(&["EXISTS", &record(&held)]);
    assert!(moved && sidecar.replays.entries() == 0);
}

#[tokio::test]
async fn a_node_that_dies_is_an_outage_for_its_slots_only() {
    let mut cluster = Cluster::start(&[
        "--cluster-require-full-coverage",
        "no",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
    ]);
    let sidecar = Sidecar::with(&seeds(&cluster));
    let ours = |node: usize| {
        std::iter::repeat_with(ask)
            .find(|ask| share(slot(&record(ask))) == node)
            .expect("endless")
    };
    // Not the node that the heartbeat happens to ask.
    let lost = (share(slot("hw:{probe}")) + 1) % 3;
    let kept = (lost + 1) % 3;
    let delivered = ours(lost);
    assert_eq!(
        sidecar.granted(&delivered).await.settle(&a(), &a()).await,
        Settled::Done
    );
    let theirs: Vec<Ask> = (0..12).map(|_| ours(lost)).collect();
    let well: Vec<Ask> = (0..12).map(|_| ours(kept)).collect();
    cluster.nodes[lost].kill();
    for ask in &theirs {
        let (claim, took) = timed(sidecar.granted(ask)).await;
        assert!(claim.is_local() && took <= DECISION, "{took:?}");
        assert_eq!(claim.settle(&a(), &a()).await, Settled::Done);
    }
    assert!(sidecar.replays.up(), "the others are there");
    for (ask, other) in well.iter().zip(&theirs) {
        let claim = sidecar.granted(ask).await;
        assert!(!claim.is_local(), "this one's node is there");
        assert_eq!(claim.settle(&a(), &a()).await, Settled::Done);
        // One is told of what only this process knows, the other of what Redis knows; no flapping in between.
        let copy = sidecar.claim(&again(other), OnOutage::Local).await;
        assert!(matches!(copy, Decision::Done(_)));
    }
    let mut quickest = DECISION;
    for _ in 0..20 {
        let refused = sidecar.doors[1].claim(ours(lost), OnOutage::Reject);
        let (refused, took) = timed(refused).await;
        assert!(refused.is_err(), "its node is not there to be asked");
        quickest = quickest.min(took);
    }
    assert!(quickest < Duration::from_millis(1), "{quickest:?}");
    cluster.nodes[lost].restart();
    wait_until("the node is asked again, and told", async || {
        sidecar.replays.up() && sidecar.replays.entries() == 0
    })
    .await;
    // One that remembers nothing itself.
    let other = Sidecar::with(&seeds(&cluster));
    wait_until("its records are there", async || {
        let answer = other.doors[0].claim(again(&delivered), OnOutage::Reject).await;
        matches!(answer, Ok(Decision::Done(_)))
    })
    .await;
    for ask in theirs.iter().chain(&well) {
        assert!(other.is_done(ask).await);
    }
}

#[tokio::test]
async fn a_cluster_that_says_it_is_down_is_out_as_a_whole_and_comes_back() {
    let mut cluster = Cluster::start(&[]);
    let sidecar = Sidecar::with(&seeds(&cluster));
    sidecar.granted(&ask()).await.release().await;
    cluster.nodes[2].kill();
    wait_until("the whole Cluster is out", async || {
        let (claim, took) = timed(sidecar.granted(&ask())).await;
        assert!(took <= DECISION, "{took:?}");
        claim.release().await;
        !sidecar.replays.up()
    })
    .await;
    cluster.nodes[2].restart();
    cluster.is_well();
    let took = sidecar.recovered().await;
    assert!(took <= Duration::from_secs(1), "{took:?}");
    wait_until("every slot is served", async || {
        for _ in 0..30 {
            let claim = sidecar.granted(&ask()).await;
            let local = claim.is_local();
            claim.release().await;
            if local {
                return false;
            }
        }
        true
    })
    .await;
}
