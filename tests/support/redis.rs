//! A real `redis-server` of one test: its own port and directory, gone when it is dropped.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

/// A running (or stopped, or killed) server.
pub struct RedisServer {
    child: Child,
    port: u16,
    directory: PathBuf,
    options: Vec<String>,
}

#[allow(dead_code, reason = "every test binary uses the part that it needs")]
impl RedisServer {
    /// An empty server on a free port, ready to serve; nothing is written to disk.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further options, such as `["--appendonly", "yes"]`.
    pub fn start_with(options: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("hookward-redis-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory for redis-server can be made");
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        // Somebody else may take the port between the question and the start.
        for _ in 0..10 {
            let port = free_port();
            if let Some(child) = launch(port, &directory, &options) {
                return Self {
                    child,
                    port,
                    directory,
                    options,
                };
            }
        }
        panic!("redis-server did not start on any of ten free ports");
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://…` for a configuration.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Where it keeps its files.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server can be awaited");
    }

    /// SIGSTOP: it accepts connections (the kernel does) and answers nothing.
    pub fn stop(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub fn cont(&self) {
        self.signal("-CONT");
    }

    /// Starts it again on the same port after [`Self::kill`]; returns when it serves.
    pub fn restart(&mut self) {
        self.child = launch(self.port, &self.directory, &self.options).expect("its own port is still free");
    }

    /// One command over a connection of its own.
    pub fn query<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut connection = redis::Client::open(self.url())
            .and_then(|client| client.get_connection())
            .expect("the server takes a connection");
        let (verb, args) = command.split_first().expect("a command has a verb");
        let result = redis::cmd(verb).arg(args).query(&mut connection);
        result.unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// A part of a record's text, counted from 0 (`src/replay/claim.lua` says which is which); `None`: no such record.
    pub fn part(&self, record: &str, nth: usize) -> Option<String> {
        let text: Option<Vec<u8>> = self.query(&["GET", record]);
        let part = text?.split(|&byte| byte == b' ').nth(nth)?.to_vec();
        String::from_utf8(part).ok()
    }

    /// Writes another value into a part of a record.
    pub fn set_part(&self, record: &str, nth: usize, value: &str) {
        let text: Vec<u8> = self.query(&["GET", record]);
        let mut parts: Vec<&[u8]> = text.split(|&byte| byte == b' ').collect();
        parts[nth] = value.as_bytes();
        let mut connection = redis::Client::open(self.url())
            .and_then(|client| client.get_connection())
            .expect("the server takes a connection");
        let set = redis::cmd("SET")
            .arg(record)
            .arg(parts.join(&b' '))
            .arg("KEEPTTL")
            .exec(&mut connection);
        set.expect("it is written");
    }

    /// Is a destination noted in a record of a delivery that is not delivered yet?
    pub fn has_had_it(&self, record: &str, destination: &str) -> bool {
        let text: Option<Vec<u8>> = self.query(&["GET", record]);
        let text = text.unwrap_or_default();
        let mut parts = text.split(|&byte| byte == b' ');
        parts.next() != Some(b"D") && parts.skip(4).any(|name| name == destination.as_bytes())
    }

    /// `CONFIG SET`.
    pub fn configure(&self, key: &str, value: &str) {
        self.query::<()>(&["CONFIG", "SET", key, value]);
    }

    /// Makes a snapshot fail, as a full disk does: from then on writes are refused with `MISCONF`.
    pub fn break_saving(&self) {
        // A directory where the snapshot is to be renamed to.
        fs::create_dir_all(self.directory.join("dump.rdb/inside")).expect("a directory can be made");
        self.configure("save", "3600 1");
        self.query::<String>(&["BGSAVE"]);
        while self
            .query::<String>(&["INFO", "persistence"])
            .contains("rdb_bgsave_in_progress:1")
        {
            thread::yield_now();
        }
        let info: String = self.query(&["INFO", "persistence"]);
        assert!(info.contains("rdb_last_bgsave_status:err"), "{info}");
    }

    /// Undoes [`Self::break_saving`].
    pub fn mend_saving(&self) {
        self.configure("save", "");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill can be run").success(), "kill {signal} failed");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Neither may hide the failure of a test that is being unwound. SIGKILL ends a stopped process too.
        let _already_dead = self.child.kill();
        let _already_reaped = self.child.wait();
        let _already_removed = fs::remove_dir_all(&self.directory);
    }
}

/// Somebody else may take it before you do.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// `None` if it ended before it was ready (its port was taken).
fn launch(port: u16, directory: &PathBuf, options: &[String]) -> Option<Child> {
    let mut child = Command::new("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--logfile",
            "",
        ])
        .args(["--loglevel", "notice", "--enable-debug-command", "yes"])
        .arg("--dir")
        .arg(directory)
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("redis-server cannot be run ({error}): apt-get install redis-server"));
    let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
    let ready = lines
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.contains("Ready to accept connections"));
    if !ready {
        child.wait().expect("the server can be awaited");
        return None;
    }
    // A full pipe would stop the server.
    thread::spawn(move || lines.for_each(drop));
    Some(child)
}
