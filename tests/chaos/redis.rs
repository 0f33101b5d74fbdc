//! The Redis of a run: one server, or a master with two replicas and three sentinels; every way to it is a [`Link`].

use crate::{
    processes::{Ports, Process},
    proxy::{self, Link},
};
use std::{
    fs,
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    Standalone,
    Sentinel,
}

/// Servers and links.
pub struct Redis {
    pub form: Form,
    /// One, or three of which Sentinel says which is the master.
    pub nodes: Vec<Mutex<Process>>,
    pub sentinels: Vec<Mutex<Process>>,
    /// Standalone: one a sidecar. Sentinel: one a node, which that node bears as its address.
    pub links: Vec<Arc<Link>>,
    node_ports: Vec<u16>,
    sentinel_ports: Vec<u16>,
}

/// What Sentinel calls the master.
const NAME: &str = "chaos";
const PATIENCE: Duration = Duration::from_secs(30);

impl Redis {
    pub fn start((form, lasting): (Form, bool), sidecars: usize, folder: &Path, ports: &mut Ports) -> Self {
        let nodes = if form == Form::Sentinel { 3 } else { 1 };
        let sentinels = if form == Form::Sentinel { 3 } else { 0 };
        let node_ports: Vec<u16> = (0..nodes).map(|_| ports.take()).collect();
        let sentinel_ports: Vec<u16> = (0..sentinels).map(|_| ports.take()).collect();
        let links: Vec<_> = match form {
            Form::Standalone => (0..sidecars).map(|_| Link::new(ports.take(), node_ports[0])).collect(),
            Form::Sentinel => node_ports.iter().map(|port| Link::new(ports.take(), *port)).collect(),
        };
        proxy::serve(links.clone());
        let configure = |name: &str, text: String| {
            let home = folder.join(name);
            fs::create_dir_all(&home).expect("the folder is ours");
            let file = home.join("redis.conf");
            fs::write(
                &file,
                format!("bind 127.0.0.1\nprotected-mode no\ndir {}\n{text}", home.display()),
            )
            .expect("the folder is ours");
            file.display().to_string()
        };
        let log = |name: &str| Some(folder.join(format!("{name}.log")));
        let nodes = (0..nodes).map(|node| {
            let name = format!("redis-{node}");
            // Its records survive its own death, not that of the machine.
            let append = if lasting { "yes" } else { "no" };
            let mut text = format!(
                "port {}\nsave \"\"\nappendonly {append}\nappendfsync no\n",
                node_ports[node]
            );
            if form == Form::Sentinel {
                text.push_str(&as_one_of_many(links[node].port));
                let master = format!("replicaof 127.0.0.1 {}\n", links[0].port);
                text.push_str(if node > 0 { &master } else { "" });
            }
            let mut process = Process::new(
                &name,
                node_ports[node],
                "redis-server",
                vec![configure(&name, text)],
                log(&name),
            );
            process.start();
            Mutex::new(process)
        });
        let nodes: Vec<_> = nodes.collect();
        let sentinels = (0..sentinels).map(|sentinel| {
            let (name, port) = (format!("sentinel-{sentinel}"), sentinel_ports[sentinel]);
            let text = format!(
                "port {port}\nsentinel monitor {NAME} 127.0.0.1 {} 2\nsentinel down-after-milliseconds {NAME} 1000\n\
                 sentinel failover-timeout {NAME} 5000\nsentinel parallel-syncs {NAME} 2\n",
                links[0].port
            );
            let arguments = vec![configure(&name, text), "--sentinel".to_owned()];
            let mut process = Process::new(&name, port, "redis-server", arguments, log(&name));
            process.start();
            Mutex::new(process)
        });
        let redis = Self {
            form,
            nodes,
            sentinels: sentinels.collect(),
            links,
            node_ports,
            sentinel_ports,
        };
        redis.wait_until_whole();
        redis
    }

    /// `redis` of a sidecar's configuration.
    pub fn settings(&self, sidecar: usize) -> String {
        let place = match self.form {
            Form::Standalone => format!("url: \"redis://127.0.0.1:{}/0\"", self.links[sidecar].port),
            Form::Sentinel => {
                let urls = self
                    .sentinel_ports
                    .iter()
                    .map(|port| format!("\"redis://127.0.0.1:{port}\""));
                format!(
                    "sentinel: {{master: {NAME}, urls: [{}]}}",
                    urls.collect::<Vec<_>>().join(", ")
                )
            }
        };
        format!("redis: {{{place}, namespace: chaos, timeout: 100ms, on_outage: local}}\n")
    }

    /// The node that takes writes, as most of those who know say.
    pub fn master(&self) -> usize {
        for sentinel in &self.sentinel_ports {
            let Ok(answer) = say(*sentinel, &format!("SENTINEL get-master-addr-by-name {NAME}")) else {
                continue;
            };
            let port = answer.lines().rev().find_map(|line| line.trim().parse().ok());
            if let Some(node) = self.links.iter().position(|link| Some(link.port) == port) {
                return node;
            }
        }
        0
    }

    /// One command to a node.
    pub fn say(&self, node: usize, command: &str) -> io::Result<String> {
        say(self.node_ports[node], command)
    }

    /// Asks the sentinels for another master.
    pub fn fail_over(&self) {
        // The one that is asked may be dead just now.
        let _asked = self
            .sentinel_ports
            .iter()
            .any(|port| say(*port, &format!("SENTINEL FAILOVER {NAME}")).is_ok_and(|answer| answer.starts_with("+OK")));
    }

    /// Until a node serves; false if it takes too long.
    pub fn wait_until_served(&self, node: usize) -> bool {
        until(|| self.say(node, "PING").is_ok_and(|answer| answer.starts_with("+PONG")))
    }

    /// Until Sentinel names another master than `old`, and that takes itself for one; false if it does not come to that.
    pub fn wait_until_replaced(&self, old: usize) -> bool {
        until(|| {
            let node = self.master();
            node != old
                && self
                    .say(node, "INFO replication")
                    .is_ok_and(|info| info.contains("role:master"))
        })
    }

    /// Until all replicas follow and all sentinels know of each other.
    fn wait_until_whole(&self) {
        let followed = || {
            self.say(0, "INFO replication")
                .is_ok_and(|info| info.matches("state=online").count() == 2)
        };
        let agreed = |port: &u16| {
            let masters = say(*port, &format!("SENTINEL MASTER {NAME}")).unwrap_or_default();
            let after = |key: &str| {
                masters
                    .lines()
                    .skip_while(|line| line.trim() != key)
                    .nth(2)
                    .map(str::trim)
            };
            after("num-slaves") == Some("2") && after("num-other-sentinels") == Some("2")
        };
        let whole = match self.form {
            Form::Standalone => self.wait_until_served(0),
            Form::Sentinel => until(|| followed() && self.sentinel_ports.iter().all(agreed)),
        };
        assert!(whole, "Redis does not come up; see its logs");
    }
}

fn as_one_of_many(link: u16) -> String {
    format!(
        "replica-announce-ip 127.0.0.1\nreplica-announce-port {link}\nrepl-diskless-sync-delay 0\n\
         min-replicas-to-write 1\nmin-replicas-max-lag 10\n"
    )
}

fn until(mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// An inline command over a connection of its own; the answer as it comes.
fn say(port: u16, command: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    // It answers, and finds that there is nothing more to come. (A sentinel knows no QUIT.)
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
