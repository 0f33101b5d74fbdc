//! The real binary as a process of its own: signals, exit codes, and what it prints.

use super::{App, PATIENCE, Request, signed::GITHUB, wait_until};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// A folder of a test's own, gone when it is dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hookward-process-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// Writes a file as a careful operator does: whole, or not at all.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let (path, fresh) = (self.0.join(name), self.0.join(format!("{name}.new")));
        fs::write(&fresh, text).expect("the folder is ours");
        fs::rename(&fresh, &path).expect("the folder is ours");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left = fs::remove_dir_all(&self.0);
    }
}

/// A `hookward run`.
pub struct Process {
    child: Child,
    pub lines: Arc<Mutex<Vec<Value>>>,
    pub webhooks: SocketAddr,
    pub health: SocketAddr,
    pub admin: SocketAddr,
    /// From the start of the process to its line `listening`.
    pub started_in: Duration,
}

/// Ports of its own choice, and two workers.
pub const PORTS: &str = "version: 1\nlisten: 127.0.0.1:0\nhealth: 127.0.0.1:0\nadmin: 127.0.0.1:0\n";

/// GitHub in front of `app`.
pub fn config(app: &App) -> String {
    format!("{PORTS}upstream: {}\n{GITHUB}", app.url())
}

/// What a process printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a verb to its end. Secrets are in `SECRET`, `WHSEC` and `TOKEN`; nothing of the test's own settings leaks in.
pub fn hookward(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the binary can be run")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
    command
        .args(arguments)
        .env_remove("HOOKWARD_CONFIG")
        .env_remove("HOOKWARD_LOG")
        .env_remove("HOOKWARD_LOG_LEVEL")
        .env("SECRET", super::signed::SECRET)
        .env("WHSEC", super::signed::standard_secret())
        .env("TOKEN", super::signed::TOKEN)
        .stdin(Stdio::null());
    command
}

impl Process {
    /// Starts it and waits until it listens.
    pub fn run(config: &Path) -> Self {
        Self::start(
            command(&["run", "-c", &config.display().to_string(), "--log", "json"]),
            true,
        )
    }

    /// The same with at most so many open files.
    pub fn run_with_files(config: &Path, most: u32) -> Self {
        let mut shell = command(&[]);
        let script = format!("ulimit -n {most}; exec \"$0\" run -c \"$1\" --log json");
        let binary = shell.get_program().to_owned();
        let variables: Vec<_> = shell
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        shell = Command::new("sh");
        shell
            .args(["-c", &script])
            .arg(binary)
            .arg(config)
            .envs(variables)
            .stdin(Stdio::null());
        Self::start(shell, true)
    }

    /// The same, and nobody reads what it logs after its start.
    pub fn run_unread(config: &Path) -> Self {
        Self::start(
            command(&["run", "-c", &config.display().to_string(), "--log", "json"]),
            false,
        )
    }

    fn start(mut command: Command, read: bool) -> Self {
        let begun = Instant::now();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be run");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let lines: Arc<Mutex<Vec<Value>>> = Arc::default();
        let listening = loop {
            let Some(line) = stdout.next() else {
                let mut said = String::new();
                let mut stderr = child.stderr.take().expect("it is piped");
                stderr.read_to_string(&mut said).expect("text");
                panic!("it ended before it listened: {said}");
            };
            let line: Value = serde_json::from_str(&line.expect("text")).expect("each line is JSON");
            lines.lock().expect("no panic").push(line.clone());
            if line["msg"] == "listening" {
                break line;
            }
        };
        let started_in = begun.elapsed();
        let address = |key: &str| {
            let text = listening[key].as_str().unwrap_or_else(|| panic!("{listening}"));
            text.parse().expect("an address")
        };
        let (webhooks, health, admin) = (address("webhooks"), address("health"), address("admin"));
        let kept = lines.clone();
        if !read {
            drop(stdout);
            return Self {
                child,
                lines,
                webhooks,
                health,
                admin,
                started_in,
            };
        }
        std::thread::spawn(move || {
            for line in stdout.map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                kept.lock().expect("no panic").push(line);
            }
        });
        Self {
            child,
            lines,
            webhooks,
            health,
            admin,
            started_in,
        }
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill can be run").success(), "kill {signal} failed");
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be awaited");
    }

    /// Waits for its end and gives the exit code.
    pub fn exit(&mut self) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be awaited") {
                return status.code().unwrap_or_else(|| panic!("it was killed: {status}"));
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it can be awaited").is_none()
    }

    /// Every line with this message so far.
    pub fn logged(&self, msg: &str) -> Vec<Value> {
        let lines = self.lines.lock().expect("no panic");
        lines.iter().filter(|line| line["msg"] == msg).cloned().collect()
    }

    /// Waits for a line.
    pub fn wait_for_log(&self, msg: &str) -> Value {
        wait_until(msg, || !self.logged(msg).is_empty());
        self.logged(msg).remove(0)
    }

    pub fn metric(&self, series: &str) -> f64 {
        super::metric(self.health, series)
    }

    /// Status of a probe; `None` where nobody answers.
    pub fn probe(&self, path: &str) -> Option<u16> {
        Request::get(path).try_send(self.health).map(|answer| answer.status)
    }

    /// Resident memory in KiB, as the kernel counts it.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.expect("VmRSS").trim().trim_end_matches(" kB");
        number.parse().expect("a number")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _already_dead = self.child.kill();
        let _already_reaped = self.child.wait();
    }
}
