//! A sidecar in this process, on ports of its own, with a clock that the test holds.

use super::{Answer, App, Request};
use hookward::{
    boot::{self, Addresses},
    config::{self, Environment, Machine},
    event::{Clock, TestClock, Timestamp},
    telemetry::{Format, Level, Log, Metrics},
    upstream::Fetcher,
};
use std::{
    ffi::OsString,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// When the tests happen, Unix seconds.
pub const NOW: i64 = 1_760_000_000;

/// A running sidecar.
pub struct Sidecar {
    pub addresses: Addresses,
    pub clock: Arc<TestClock>,
    running: Option<boot::Sidecar>,
    log: Log,
    lines: Captured,
    folder: PathBuf,
}

/// Secrets come from here, and from nowhere else.
struct Secrets;

impl Environment for Secrets {
    fn variable(&self, name: &str) -> Option<OsString> {
        match name {
            "SECRET" => Some(super::signed::SECRET.into()),
            "WHSEC" => Some(super::signed::standard_secret().into()),
            "TOKEN" => Some(super::signed::TOKEN.into()),
            _ => None,
        }
    }

    fn read(&self, path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
        Machine.read(path, limit)
    }

    fn cpus(&self) -> NonZeroUsize {
        Machine.cpus()
    }
}

/// What the sidecar logged.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sidecar {
    /// Runs `yaml` (without `version`, addresses and `upstream`) in front of `app`, with two workers.
    pub fn before(app: &App, yaml: &str) -> Self {
        Self::start(&format!("upstream: {}\n{yaml}", app.url()))
    }

    /// Runs `yaml` (without `version` and addresses), with two workers.
    pub fn start(yaml: &str) -> Self {
        Self::start_at(yaml, Arc::new(TestClock::at(Timestamp::from_secs(NOW))))
    }

    /// The same on a clock that several sidecars may share.
    pub fn start_at(yaml: &str, clock: Arc<TestClock>) -> Self {
        Self::start_with(yaml, clock, Fetcher::system())
    }

    /// The same before `app`, with a way to key servers of the test's own.
    pub fn fetching(app: &App, yaml: &str, fetcher: Fetcher) -> Self {
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(NOW)));
        Self::start_with(&format!("upstream: {}\n{yaml}", app.url()), clock, fetcher)
    }

    fn start_with(yaml: &str, clock: Arc<TestClock>, fetcher: Fetcher) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("hookward-it-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the configuration");
        let mut text = "version: 1\n".to_owned();
        for default in [
            "listen: 127.0.0.1:0\n",
            "health: 127.0.0.1:0\n",
            "admin: 127.0.0.1:0\n",
            "limits: {workers: 2}\n",
        ] {
            let key = &default[..=default.find(':').expect("a key")];
            if !yaml.lines().any(|line| line.starts_with(key)) {
                text.push_str(default);
            }
        }
        text.push_str(yaml);
        let path = folder.join("hookward.yaml");
        std::fs::write(&path, text).expect("the folder is ours");
        let loaded = config::load(&path, &Secrets).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        let lines = Captured::default();
        let metrics = Arc::new(Metrics::new("test"));
        let (sink, dropped) = (Box::new(lines.clone()), metrics.log_dropped.clone());
        let log = Log::start(Format::Json, Level::Info, sink, clock.clone(), dropped).expect("a thread");
        let options = boot::Options {
            clock: clock.clone(),
            log: log.clone(),
            metrics,
            reload: None,
            fetcher,
            signals: false,
        };
        let running = boot::Sidecar::start(loaded.settings, options).unwrap_or_else(|error| panic!("{error}"));
        Self {
            addresses: running.addresses(),
            clock,
            running: Some(running),
            log,
            lines,
            folder,
        }
    }

    /// Sends one request on a connection of its own.
    pub fn send(&self, request: &Request) -> Answer {
        request.send(self.addresses.webhooks)
    }

    /// Moves time on.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Unix seconds by the sidecar's clock.
    pub fn now(&self) -> i64 {
        self.clock.wall().as_secs()
    }

    /// A metric's value; 0 where it does not stand.
    pub fn metric(&self, series: &str) -> f64 {
        super::metric(self.addresses.health, series)
    }

    /// How many requests ended so.
    pub fn counted(&self, source: &str, outcome: &str) -> f64 {
        self.metric(&format!(
            "hookward_requests_total{{source=\"{source}\",outcome=\"{outcome}\"}}"
        ))
    }

    /// Begins to drain, as SIGTERM does.
    pub fn drain(&self) {
        self.running.as_ref().expect("it runs").drain();
    }

    /// Everything logged so far.
    pub fn logged(&self) -> String {
        self.log.flush();
        String::from_utf8(self.lines.0.lock().expect("no panic").clone()).expect("text")
    }

    /// Asks it to drain, and waits until it has ended.
    pub fn stop(mut self) -> boot::Drained {
        let running = self.running.take().expect("it stops once");
        running.drain();
        running.wait()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
        let _left = std::fs::remove_dir_all(&self.folder);
    }
}
