//! The sidecars under test, in this process, on a clock that the run holds, and keep-alive connections to them.

use super::{
    app::{App, LABEL, Label},
    catalog::{Letter, Sender},
    redis::RedisServer,
};
use bytes::Bytes;
use hookward::{
    boot::{self, Options},
    config::{self, Machine},
    event::{TestClock, Timestamp},
    telemetry::{Format, Level, Log, Metrics},
    upstream::Fetcher,
};
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::{
    cell::RefCell,
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpStream, task::JoinHandle};

/// When the runs begin, Unix seconds.
pub const NOW: i64 = 1_760_000_000;
/// The destination's timeout. Only a stalled app takes as long, so that the machine's load causes none.
const TIMEOUT: &str = "1500ms";

/// Sidecars before one app.
pub struct Stage {
    pub app: App,
    pub clock: Arc<TestClock>,
    sidecars: Vec<Running>,
    _redis: Option<RedisServer>,
}

struct Running {
    address: SocketAddr,
    idle: RefCell<Vec<SendRequest<Full<Bytes>>>>,
    sidecar: Option<boot::Sidecar>,
    _log: Log,
    folder: PathBuf,
}

/// The sender's side of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub status: u16,
    /// `Hookward-Outcome`; `hung_up` where the sender did not wait.
    pub outcome: String,
}

impl Stage {
    /// One sidecar with a ledger of its own, or, with `redis`, two that share one.
    pub fn start(senders: &[Sender], redis: bool) -> Self {
        let app = App::start();
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(NOW)));
        let redis = redis.then(RedisServer::start);
        let count = if redis.is_some() { 2 } else { 1 };
        let sidecars = (0..count)
            .map(|number| Running::start(number, senders, &app, &clock, redis.as_ref()))
            .collect();
        Self {
            app,
            clock,
            sidecars,
            _redis: redis,
        }
    }

    /// Sends one request to the sidecar of this number, from this client.
    pub async fn send(&self, number: usize, letter: &Letter, label: &Label, client: IpAddr) -> Answered {
        let sidecar = &self.sidecars[number % self.sidecars.len()];
        let request = request(letter, label, client);
        let mut error = None;
        for number in 0..8 {
            // The sidecar may have closed the idle ones: the last tries are made on new ones.
            let idle = sidecar.idle.borrow_mut().pop().filter(|_| number < 4);
            let mut connection = match idle {
                Some(connection) => connection,
                None => sidecar.connect().await.0,
            };
            if connection.ready().await.is_err() {
                continue;
            }
            // A connection that closed while it was idle has not taken the request.
            let response = match connection.send_request(request.clone()).await {
                Ok(response) => response,
                Err(failed) => {
                    error = Some(failed);
                    continue;
                }
            };
            let answered = Answered {
                status: response.status().as_u16(),
                outcome: response
                    .headers()
                    .get("hookward-outcome")
                    .map(|outcome| String::from_utf8_lossy(outcome.as_bytes()).into_owned())
                    .unwrap_or_default(),
            };
            if response.into_body().collect().await.is_ok() {
                sidecar.idle.borrow_mut().push(connection);
            }
            return answered;
        }
        panic!("{}: no answer: {error:?}", letter.target);
    }

    /// Sends one request and hangs up after `wait`.
    pub async fn hang_up(
        &self,
        number: usize,
        letter: &Letter,
        label: &Label,
        client: IpAddr,
        wait: Duration,
    ) -> Answered {
        let sidecar = &self.sidecars[number % self.sidecars.len()];
        let (mut connection, task) = sidecar.connect().await;
        let sent = connection.send_request(request(letter, label, client));
        let _gone = tokio::time::timeout(wait, sent).await;
        task.abort();
        Answered {
            status: 0,
            outcome: "hung_up".to_owned(),
        }
    }

    /// Ends the sidecars when every delivery that outlived its sender has ended.
    pub fn stop(mut self) -> App {
        for running in &mut self.sidecars {
            running.idle.borrow_mut().clear();
            let sidecar = running.sidecar.take().expect("it runs");
            sidecar.drain();
            sidecar.wait();
        }
        self.app
    }
}

fn request(letter: &Letter, label: &Label, client: IpAddr) -> Request<Full<Bytes>> {
    let mut request = Request::post(&letter.target)
        .header(header::HOST, "hooks.example.test")
        .header("x-forwarded-for", client.to_string())
        .header(LABEL, label.write());
    for (name, value) in &letter.headers {
        request = request.header(name, &value[..]);
    }
    request.body(Full::new(letter.body.clone())).expect("a request")
}

impl Running {
    fn start(number: u32, senders: &[Sender], app: &App, clock: &Arc<TestClock>, redis: Option<&RedisServer>) -> Self {
        let folder = format!(
            "hookward-honest-{}-{}",
            std::process::id(),
            u32::from(app.address.port()) * 2 + number
        );
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).expect("a folder for the configuration");
        let mut yaml = format!(
            "version: 1\nlisten: 127.0.0.1:0\nhealth: 127.0.0.1:0\nadmin: 127.0.0.1:0\n\
             upstream: {{url: \"http://{}\", timeout: {TIMEOUT}}}\nclient_ip: {{trust: [127.0.0.0/8]}}\n\
             limits: {{workers: 2, ledger_entries: 1000000}}\ndefaults: {{rate_limit: off}}\n",
            app.address
        );
        if let Some(redis) = redis {
            let url = redis.url();
            writeln!(yaml, "redis: {{url: \"{url}\", namespace: test, timeout: 2s}}").expect("a string");
        }
        yaml.push_str("sources:\n");
        yaml.extend(senders.iter().map(Sender::yaml));
        let path = folder.join("hookward.yaml");
        std::fs::write(&path, yaml).expect("the folder is ours");
        let loaded = config::load(&path, &Machine).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        let metrics = Arc::new(Metrics::new("test"));
        let dropped = metrics.log_dropped.clone();
        let log = Log::start(
            Format::Json,
            Level::Error,
            Box::new(std::io::stderr()),
            clock.clone(),
            dropped,
        )
        .expect("a thread");
        let options = Options {
            clock: clock.clone(),
            log: log.clone(),
            metrics,
            reload: None,
            fetcher: Fetcher::system(),
            signals: false,
        };
        let sidecar = boot::Sidecar::start(loaded.settings, options).unwrap_or_else(|error| panic!("{error}"));
        Self {
            address: sidecar.addresses().webhooks,
            idle: RefCell::default(),
            sidecar: Some(sidecar),
            _log: log,
            folder,
        }
    }

    async fn connect(&self) -> (SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>) {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        let _fast = stream.set_nodelay(true);
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        (sender, tokio::task::spawn_local(connection))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(sidecar) = self.sidecar.take() {
            sidecar.abort();
        }
        let _left = std::fs::remove_dir_all(&self.folder);
    }
}
