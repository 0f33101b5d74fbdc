//! Both listeners over real sockets, spoken to in raw HTTP so that no client library tidies up a hostile request.

use super::*;
use crate::event::{Clock, Secret};
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

mod connections;
mod orders;

#[derive(Default)]
struct Sidecar {
    draining: AtomicBool,
    drained: AtomicUsize,
    recent: Recent,
    level: std::sync::Mutex<Option<Level>>,
}

impl Control for Sidecar {
    fn liveness(&self) -> Vec<Check> {
        vec![Check::new("workers", true, "2 of 2")]
    }

    fn readiness(&self) -> Vec<Check> {
        let draining = self.draining.load(Ordering::SeqCst);
        vec![
            Check::new("config", true, ""),
            Check::new("draining", !draining, if draining { "since SIGTERM" } else { "no" }),
        ]
    }

    fn startup(&self) -> Vec<Check> {
        vec![Check::new("listener", true, "0.0.0.0:9480")]
    }

    fn metrics(&self, format: Exposition) -> String {
        format!("{format:?}")
    }

    fn status(&self) -> Value {
        serde_json::json!({ "version": "1.2.3" })
    }

    fn sources(&self) -> Value {
        serde_json::json!([{ "name": "stripe" }])
    }

    fn destinations(&self) -> Value {
        serde_json::json!([{ "name": "billing" }])
    }

    fn recent(&self) -> &Recent {
        &self.recent
    }

    fn reload(&self) -> BoxFuture<'_, Reloaded> {
        Box::pin(std::future::ready(Reloaded::Failed("line 7".to_owned())))
    }

    fn set_log_level(&self, level: Level) {
        *self.level.lock().expect("nobody panicked") = Some(level);
    }

    fn send<'a>(&'a self, source: &'a SourceName, wish: SampleWish) -> BoxFuture<'a, Sampled> {
        let sampled = match (source.as_str(), wish.bad.as_deref()) {
            ("stripe", None) => Sampled::Answered(serde_json::json!({ "outcome": "delivered", "event": wish.event })),
            ("stripe", Some("replay")) => Sampled::Impossible("no ledger".to_owned()),
            ("stripe", Some(_)) => Sampled::Wrong("no such".to_owned()),
            _ => Sampled::NoSource,
        };
        Box::pin(std::future::ready(sampled))
    }

    fn enroll(&self, source: &SourceName, wish: EnrolmentWish) -> Enrolled {
        match (source.as_str(), wish) {
            ("asana", EnrolmentWish::Open(span)) => Enrolled::Answered(serde_json::json!({ "for": span.as_secs() })),
            ("asana", EnrolmentWish::Ask { close, .. }) => Enrolled::Answered(serde_json::json!({ "close": close })),
            ("stripe", _) => Enrolled::Refused("hands out no secret".to_owned()),
            _ => Enrolled::NoSource,
        }
    }

    fn forget<'a>(&'a self, source: &'a SourceName, delivery: &'a str) -> BoxFuture<'a, Forgotten> {
        let forgotten = match (source.as_str(), delivery) {
            ("stripe", "evt_1") => Forgotten::Deliverable,
            ("stripe", "evt_busy") => Forgotten::InFlight,
            ("stripe", "evt_down") => Forgotten::Unavailable("timeout".to_owned()),
            ("stripe", _) => Forgotten::Unknown,
            ("cron", _) => Forgotten::NoLedger,
            _ => Forgotten::NoSource,
        };
        Box::pin(std::future::ready(forgotten))
    }

    fn forget_since<'a>(
        &'a self,
        source: &'a SourceName,
        within: Duration,
        event: Option<Glob>,
    ) -> BoxFuture<'a, Result<Recalled, Forgotten>> {
        let recalled = match (source.as_str(), event.as_ref().map(Glob::as_str)) {
            ("stripe", Some("invoice.*")) => Ok(Recalled {
                deliverable: within.as_secs(),
                complete: false,
            }),
            ("stripe", None) => Ok(Recalled {
                deliverable: 7,
                complete: true,
            }),
            ("stripe", Some(_)) => Err(Forgotten::Unavailable("timeout".to_owned())),
            ("cron", _) => Err(Forgotten::NoLedger),
            _ => Err(Forgotten::NoSource),
        };
        Box::pin(std::future::ready(recalled))
    }

    fn drain(&self) {
        self.drained.fetch_add(1, Ordering::SeqCst);
    }
}

struct Running {
    address: SocketAddr,
    sidecar: Arc<Sidecar>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Starts a listener on a free loopback port; `None` is the health listener.
async fn start(access: Option<Access>, bounds: Bounds) -> Running {
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("bound");
    let (sidecar, stop) = (Arc::new(Sidecar::default()), CancellationToken::new());
    let (control, token) = (sidecar.clone(), stop.clone());
    let served: BoxFuture<'static, ()> = match access {
        Some(access) => Box::pin(serve_admin(socket, control, access, bounds, token)),
        None => Box::pin(serve_health(socket, control, bounds, token)),
    };
    #[expect(clippy::disallowed_methods, reason = "the test awaits this task itself")]
    let task = tokio::spawn(served);
    Running {
        address,
        sidecar,
        stop,
        task,
    }
}

impl Running {
    /// Sends these bytes and reads until the connection is closed.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("listening");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        // A connection that is reset after its answer still gave that answer.
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8(answer).expect("text")
    }

    async fn get(&self, target: &str, headers: &str) -> (u16, String) {
        let answer = self
            .raw(&format!(
                "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
            ))
            .await;
        split(&answer)
    }

    async fn post(&self, target: &str, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let head =
            format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n");
        split(&self.raw(&format!("{head}{headers}\r\n{body}")).await)
    }
}

const CHANGE: &str = "Content-Type: application/json\r\nHookward-Admin: 1\r\n";

fn split(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    (head[9..12].parse().expect("a status"), body.to_owned())
}

fn json(body: &str) -> Value {
    let value: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(value["schema_version"], 1);
    value
}

fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let test = async { tokio::time::timeout(Duration::from_secs(20), test).await };
    runtime.block_on(test).expect("the test ends in time");
}

#[test]
fn probes_say_one_check_a_line() {
    run(async {
        let health = start(None, Bounds::default()).await;
        assert_eq!(
            health.get("/livez", "").await,
            (200, "ok     workers: 2 of 2\n".to_owned())
        );
        assert_eq!(
            health.get("/startupz", "").await,
            (200, "ok     listener: 0.0.0.0:9480\n".to_owned())
        );
        assert_eq!(
            health.get("/readyz", "").await,
            (200, "ok     config\nok     draining: no\n".to_owned())
        );
        health.sidecar.draining.store(true, Ordering::SeqCst);
        let (status, body) = health.get("/readyz?verbose&format=json", "").await;
        let body = json(&body);
        assert_eq!((status, &body["status"]), (503, &Value::from("failed")));
        let draining = serde_json::json!({ "name": "draining", "ok": false, "detail": "since SIGTERM" });
        assert_eq!(body["checks"][1], draining);
        assert_eq!(health.get("/livez", "").await.0, 200);
    });
}

#[test]
fn metrics_come_in_the_format_that_was_asked_for() {
    run(async {
        let health = start(None, Bounds::default()).await;
        assert_eq!(health.get("/metrics", "").await, (200, "Prometheus".to_owned()));
        let accept = "Accept: application/openmetrics-text; version=1.0.0\r\n";
        assert_eq!(health.get("/metrics", accept).await, (200, "OpenMetrics".to_owned()));
        let answer = health.raw("GET /metrics HTTP/1.0\r\n\r\n").await;
        assert!(
            answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
            "{answer}"
        );
    });
}

#[test]
fn the_health_listener_only_reads() {
    run(async {
        let health = start(None, Bounds::default()).await;
        assert_eq!(health.post("/readyz", CHANGE, "{}").await.0, 405);
        for path in ["/", "/api/v1/status", "/api/v1/drain", "/readyz/", "/webhooks/stripe"] {
            assert_eq!(health.get(path, "").await.0, 404, "{path}");
        }
        assert_eq!(health.post("/api/v1/drain", CHANGE, "{}").await.0, 404);
        assert_eq!(health.sidecar.drained.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn the_admin_listener_shows_page_status_and_sources() {
    run(async {
        let admin = start(Some(Access::Loopback), Bounds::default()).await;
        let (status, page) = admin.get("/", "").await;
        assert!(status == 200 && page.contains("/api/v1/status"));
        assert_eq!(json(&admin.get("/api/v1/status", "").await.1)["version"], "1.2.3");
        assert_eq!(
            json(&admin.get("/api/v1/sources", "").await.1)["sources"][0]["name"],
            "stripe"
        );
        for path in [
            "/metrics",
            "/api/v1/",
            "/api/v1/nothing",
            "/api/v1/sources/stripe",
            "//",
        ] {
            assert_eq!(admin.get(path, "").await.0, 404, "{path}");
        }
        let head = admin
            .raw("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await;
        for header in [
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "content-security-policy: ",
        ] {
            assert!(head.contains(header), "{header}");
        }
    });
}
