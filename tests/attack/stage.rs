//! The sidecar as its own process, the app behind it, and what the kernel says of the sidecar's memory.

use crate::{letters, wire::Wire};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::net::TcpSocket;

/// A start takes milliseconds; a busy machine makes seconds of them.
const PATIENCE: Duration = Duration::from_secs(20);

/// `limits.buffered_bytes` of the sidecar.
pub const BUFFERED_BYTES: u64 = 64 << 20;

/// Dies with the run.
pub struct Stage {
    child: Child,
    folder: PathBuf,
    /// Where it takes webhooks.
    pub port: u16,
    health: u16,
}

/// What the kernel says of the sidecar, in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    pub now: u64,
    pub peak: u64,
}

impl Stage {
    /// Starts app and sidecar, with the built-in limits.
    pub fn set(sidecar: &Path) -> Self {
        let folder = std::env::temp_dir().join(format!("hookward-attack-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the run can be made");
        let app = app();
        let [port, health, admin] = [(); 3].map(|()| free_port());
        let config = folder.join("hookward.yaml");
        let text = format!(
            "version: 1\nlisten: 127.0.0.1:{port}\nhealth: 127.0.0.1:{health}\nadmin: 127.0.0.1:{admin}\n\
             upstream: http://{app}\nclient_ip: {{trust: [127.0.0.0/8]}}\nlimits: {{buffered_bytes: {BUFFERED_BYTES}B}}\n{}",
            letters::sources()
        );
        fs::write(&config, text).expect("the folder is ours");
        let child = Command::new(sidecar)
            .args(["run", "-c"])
            .arg(&config)
            .args(["--log", "json"])
            .env_remove("HOOKWARD_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("stderr")).expect("the folder is ours"))
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", sidecar.display()));
        let mut stage = Self {
            child,
            folder,
            port,
            health,
        };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let waits = !stage.has_fallen() && begun.elapsed() < PATIENCE;
            assert!(waits, "the sidecar does not serve: {}", stage.complaints());
            std::thread::sleep(Duration::from_millis(5));
        }
        stage
    }

    pub fn memory(&self) -> Memory {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        Memory {
            now: field("VmRSS:"),
            peak: field("VmHWM:"),
        }
    }

    /// The sidecar's own figures, as it exposes them.
    pub fn metrics(&self) -> String {
        let asked = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.health))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            std::io::Result::Ok(text)
        };
        asked().unwrap_or_default()
    }

    /// One figure without labels; 0 if it is not there.
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    }

    /// It ended though nobody ended it.
    pub fn has_fallen(&mut self) -> bool {
        self.child.try_wait().expect("it can be awaited").is_some()
    }

    /// A file of this run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What it wrote to stderr: nothing, if all is well.
    pub fn complaints(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _already_dead = self.child.kill();
        let _status = self.child.wait();
        let _left = fs::remove_dir_all(&self.folder);
    }
}

/// A runtime of the calling thread.
pub fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// A connection from one of 250 addresses of this machine: one alone has too few ports for what comes and goes here.
pub async fn connect(port: u16, from: usize) -> std::io::Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(from % 250 + 2).expect("below 252");
    socket.bind(SocketAddr::from(([127, 0, 3, last], 0)))?;
    socket.connect(([127, 0, 0, 1], port).into()).await
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("it is bound").port()
}

/// An app that answers 200 to everything, after `X-Slow` seconds where a request says so.
fn app() -> SocketAddr {
    let (told, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let work = async {
            let listener = crate::wire::listen(0).expect("a port");
            told.send(listener.local_addr().expect("it is bound"))
                .expect("it is awaited");
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                tokio::spawn(async move {
                    let mut wire = Wire::new(stream);
                    while let Ok(Some(request)) = wire.next().await {
                        let slow = request.header("x-slow").and_then(|seconds| seconds.parse().ok());
                        if let Some(seconds) = slow {
                            tokio::time::sleep(Duration::from_secs(seconds)).await;
                        }
                        if wire
                            .write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                            .await
                            .is_err()
                        {
                            break;
                        }
                    }
                });
            }
        };
        runtime().block_on(work)
    });
    address.recv().expect("the app listens")
}
