//! Several real servers that belong together: a master with a replica and three sentinels, or a Cluster of three masters.

#![allow(dead_code, reason = "every test binary uses the part that it needs")]

use crate::redis_server::{RedisServer, free_port};
use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// Servers that wait for each other get this long, each time.
const TRIES: usize = 2000;
const PAUSE: Duration = Duration::from_millis(10);

/// One sentinel.
pub struct Sentinel {
    child: Child,
    pub port: u16,
    directory: PathBuf,
}

/// A master, its replica and three sentinels, who call it `mymaster` and take it for down after a second.
pub struct Watched {
    pub master: RedisServer,
    pub replica: RedisServer,
    pub sentinels: Vec<Sentinel>,
}

/// Three masters with a third of the slots each, and no replicas.
pub struct Cluster {
    pub nodes: Vec<RedisServer>,
}

impl Watched {
    /// Returns when all know each other.
    pub fn start() -> Self {
        let master = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]);
        let of = master.port().to_string();
        let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &of]);
        until("the replica follows", || {
            replica
                .query::<String>(&["INFO", "replication"])
                .contains("master_link_status:up")
        });
        let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::start(master.port())).collect();
        for sentinel in &sentinels {
            until("the sentinels know each other", || {
                let known: Vec<String> = sentinel.query(&["SENTINEL", "MASTER", "mymaster"]);
                let fact = |name: &str, value: &str| known.chunks(2).any(|pair| pair[0] == name && pair[1] == value);
                fact("num-other-sentinels", "2") && fact("num-slaves", "1")
            });
        }
        Self {
            master,
            replica,
            sentinels,
        }
    }

    /// How many sentinels name this port.
    pub fn votes(&self, port: u16) -> usize {
        self.ports()
            .into_iter()
            .filter(|sentinel| named(*sentinel) == port)
            .count()
    }

    /// The sentinels.
    pub fn ports(&self) -> Vec<u16> {
        self.sentinels.iter().map(|sentinel| sentinel.port).collect()
    }
}

/// The port that a sentinel names.
pub fn named(sentinel: u16) -> u16 {
    let (_, named): (String, u16) = query(sentinel, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"]);
    named
}

impl Sentinel {
    fn start(master: u16) -> Self {
        let port = free_port();
        let directory = std::env::temp_dir().join(format!("hookward-sentinel-{}-{port}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory for the sentinel can be made");
        let file = directory.join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nlogfile \"\"\n\
             sentinel monitor mymaster 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds mymaster 1000\n\
             sentinel failover-timeout mymaster 3000\n",
            directory.display()
        );
        fs::write(&file, text).expect("its configuration can be written");
        let child = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server cannot be run ({error}): apt-get install redis-server"));
        let sentinel = Self { child, port, directory };
        until("the sentinel listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        sentinel
    }

    /// One command over a connection of its own.
    pub fn query<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        query(self.port, command)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("the sentinel can be killed");
        self.child.wait().expect("the sentinel can be awaited");
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _already_dead = self.child.kill();
        let _already_reaped = self.child.wait();
        let _already_removed = fs::remove_dir_all(&self.directory);
    }
}

impl Cluster {
    /// Returns when every node takes the Cluster for well. `options` are for every node.
    pub fn start(options: &[&str]) -> Self {
        let nodes: Vec<(RedisServer, u16)> = (0..3)
            .map(|_| {
                let bus = free_port();
                let port = bus.to_string();
                let mut all = vec!["--cluster-enabled", "yes", "--cluster-node-timeout", "1500"];
                all.extend(["--cluster-port", &port]);
                all.extend(options);
                (RedisServer::start_with(&all), bus)
            })
            .collect();
        let (first, _) = &nodes[0];
        for (epoch, (node, _)) in ["1", "2", "3"].into_iter().zip(&nodes) {
            node.query::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", epoch]);
        }
        for (node, bus) in &nodes[1..] {
            let (port, bus) = (node.port().to_string(), bus.to_string());
            first.query::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        for (index, (node, _)) in nodes.iter().enumerate() {
            let share = 16_384 / 3;
            let last = if index == 2 { 16_383 } else { share * (index + 1) - 1 };
            let (from, to) = ((share * index).to_string(), last.to_string());
            node.query::<()>(&["CLUSTER", "ADDSLOTSRANGE", &from, &to]);
        }
        let cluster = Self {
            nodes: nodes.into_iter().map(|(node, _)| node).collect(),
        };
        cluster.is_well();
        cluster
    }

    /// Waits until every node takes the Cluster for well.
    pub fn is_well(&self) {
        for node in &self.nodes {
            until("the Cluster is well", || {
                let info: String = node.query(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            });
        }
    }

    /// The node that serves a slot, by its own word.
    pub fn owner(&self, slot: u16) -> usize {
        let serves = |node: &RedisServer| {
            let slots: Vec<(u16, u16, redis::Value)> = node.query(&["CLUSTER", "SLOTS"]);
            let id: String = node.query(&["CLUSTER", "MYID"]);
            slots.iter().any(|(first, last, master)| {
                let named = format!("{master:?}").contains(&id);
                (*first..=*last).contains(&slot) && named
            })
        };
        self.nodes.iter().position(serves).expect("somebody serves it")
    }

    /// Moves a slot with all its keys, as `redis-cli --cluster reshard` does; `halfway` runs while some keys are here and
    /// some there.
    pub async fn move_slot(&self, slot: u16, to: usize, mut halfway: impl AsyncFnMut()) {
        let from = self.owner(slot);
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        let (source_id, target_id): (String, String) =
            (source.query(&["CLUSTER", "MYID"]), target.query(&["CLUSTER", "MYID"]));
        let number = slot.to_string();
        target.query::<()>(&["CLUSTER", "SETSLOT", &number, "IMPORTING", &source_id]);
        source.query::<()>(&["CLUSTER", "SETSLOT", &number, "MIGRATING", &target_id]);
        let port = target.port().to_string();
        loop {
            let keys: Vec<String> = source.query(&["CLUSTER", "GETKEYSINSLOT", &number, "1"]);
            let Some(key) = keys.first() else { break };
            source.query::<()>(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
            halfway().await;
        }
        halfway().await;
        for node in [target, source].into_iter().chain(&self.nodes) {
            node.query::<()>(&["CLUSTER", "SETSLOT", &number, "NODE", &target_id]);
        }
    }
}

/// The slot of a record `hw:{…}`, by the definition: what is between the braces, CRC-16/XMODEM.
pub fn slot(record: &str) -> u16 {
    let tag = record.split(['{', '}']).nth(1).expect("a record has a tag");
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
        })
    });
    crc % 16_384
}

/// The node to which [`Cluster::start`] gave a slot.
pub fn share(slot: u16) -> usize {
    usize::from(slot / (16_384 / 3)).min(2)
}

/// Blocks until it holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..TRIES {
        if holds() {
            return;
        }
        thread::sleep(PAUSE);
    }
    panic!("it never came to this: {what}");
}

fn query<T: redis::FromRedisValue>(port: u16, command: &[&str]) -> T {
    let mut connection = redis::Client::open(format!("redis://127.0.0.1:{port}/"))
        .and_then(|client| client.get_connection())
        .expect("the server takes a connection");
    let (verb, args) = command.split_first().expect("a command has a verb");
    let result = redis::cmd(verb).arg(args).query(&mut connection);
    result.unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
