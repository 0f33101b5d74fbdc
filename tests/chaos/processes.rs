//! Processes that can be killed, frozen and started again.

use std::{
    fs::{File, OpenOptions},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// A server of this run, alive or not.
pub struct Process {
    pub name: String,
    pub port: u16,
    program: PathBuf,
    arguments: Vec<String>,
    /// Where its output goes; `None`: its stdout is a pipe of ours.
    log: Option<PathBuf>,
    child: Option<Child>,
}

/// A start takes milliseconds; a busy machine makes seconds of them.
const PATIENCE: Duration = Duration::from_secs(20);

impl Process {
    pub fn new(
        name: &str,
        port: u16,
        program: impl Into<PathBuf>,
        arguments: Vec<String>,
        log: Option<PathBuf>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            port,
            program: program.into(),
            arguments,
            log,
            child: None,
        }
    }

    /// Starts it and waits until it takes connections. Its pipes are the caller's if it has no log.
    pub fn start(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_remove("HOOKWARD_CONFIG");
        if let Some(log) = &self.log {
            let file = append(log);
            let errors = file.try_clone().expect("a file can be shared");
            command.stdin(Stdio::null()).stdout(file).stderr(errors);
        } else {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        }
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be run: {error}", self.name));
        let pipes = child.stdin.take().zip(child.stdout.take());
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = child.try_wait().expect("it can be awaited") {
                panic!("{} ended before it served: {status}", self.name);
            }
            assert!(begun.elapsed() < PATIENCE, "{} does not serve", self.name);
            std::thread::sleep(Duration::from_millis(2));
        }
        self.child = Some(child);
        pipes
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _already_dead = child.kill();
            child.wait().expect("it can be awaited");
        }
    }

    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// It ended though nobody killed it.
    pub fn has_fallen(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.try_wait().expect("it can be awaited").is_some())
    }

    fn signal(&self, signal: &str) {
        if let Some(child) = &self.child {
            let status = Command::new("kill").args([signal, &child.id().to_string()]).status();
            assert!(
                status.expect("kill can be run").success(),
                "kill {signal} {}",
                self.name
            );
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL ends a frozen process too.
        self.kill();
    }
}

fn append(path: &PathBuf) -> File {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Ports of this run, outside the range from which the kernel takes those of outgoing connections: a process that is
/// killed finds its own free again.
pub struct Ports(u16);

impl Ports {
    pub fn new() -> Self {
        let offset = std::process::id() % 10_000;
        Self(20_000 + u16::try_from(offset).expect("below 10,000"))
    }

    pub fn take(&mut self) -> u16 {
        loop {
            self.0 += 1;
            assert!(self.0 < 32_000, "no free port");
            if TcpListener::bind(("127.0.0.1", self.0)).is_ok() {
                return self.0;
            }
        }
    }
}
