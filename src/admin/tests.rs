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

#[test]
fn a_foreign_host_or_origin_is_refused() {
    run(async {
        let admin = start(Some(Access::Loopback), Bounds::default()).await;
        let status = async |host: &str, more: &str| {
            let request = format!("GET /api/v1/status HTTP/1.1\r\n{host}Connection: close\r\n{more}\r\n");
            split(&admin.raw(&request).await).0
        };
        for host in [
            "localhost:9482",
            "LOCALHOST",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]:9482",
            "[::1]",
        ] {
            let origin = format!("Origin: http://{host}\r\n");
            assert_eq!(status(&format!("Host: {host}\r\n"), "").await, 200, "{host}");
            assert_eq!(status(&format!("Host: {host}\r\n"), &origin).await, 200, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "u@localhost",
            "",
        ] {
            assert_eq!(status(&format!("Host: {host}\r\n"), "").await, 421, "{host}");
        }
        assert_eq!(status("", "").await, 421);
        assert_eq!(status("Host: localhost\r\nHost: localhost\r\n", "").await, 421);
        for more in [
            "Origin: http://evil.example\r\n",
            "Origin: null\r\n",
            "Origin: http://localhost:3000\r\n",
            "Origin: http://localhost\r\nOrigin: http://localhost\r\n",
            "Sec-Fetch-Site: cross-site\r\n",
            "Sec-Fetch-Site: same-site\r\n",
        ] {
            assert_eq!(status("Host: localhost\r\n", more).await, 403, "{more}");
        }
        let absolute = "GET http://evil.example/api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        assert_eq!(split(&admin.raw(absolute).await).0, 421);
    });
}

#[test]
fn a_change_needs_both_headers_and_the_method() {
    run(async {
        let admin = start(Some(Access::Loopback), Bounds::default()).await;
        for (headers, expected) in [
            ("", 415),
            ("Hookward-Admin: 1\r\n", 415),
            ("Content-Type: text/plain\r\nHookward-Admin: 1\r\n", 415),
            (
                "Content-Type: application/x-www-form-urlencoded\r\nHookward-Admin: 1\r\n",
                415,
            ),
            ("Content-Type: application/json\r\n", 403),
            ("Content-Type: application/json\r\nHookward-Admin: 0\r\n", 403),
        ] {
            assert_eq!(admin.post("/api/v1/drain", headers, "").await.0, expected, "{headers}");
        }
        assert_eq!(admin.get("/api/v1/drain", CHANGE).await.0, 405);
        assert_eq!(admin.post("/api/v1/status", CHANGE, "{}").await.0, 405);
        assert_eq!(admin.sidecar.drained.load(Ordering::SeqCst), 0);
        let (status, body) = admin.post("/api/v1/drain", CHANGE, "").await;
        assert_eq!((status, &json(&body)["draining"]), (202, &Value::Bool(true)));
        assert_eq!(admin.sidecar.drained.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn forget_tells_what_became_of_it() {
    run(async {
        let admin = start(Some(Access::Loopback), Bounds::default()).await;
        for (source, body, expected) in [
            ("stripe", r#"{"delivery": "evt_1"}"#, 200),
            ("stripe", r#"{"delivery": "evt_busy"}"#, 409),
            ("stripe", r#"{"delivery": "evt_down"}"#, 503),
            ("stripe", r#"{"delivery": "evt_2"}"#, 404),
            ("cron", r#"{"delivery": "evt_1"}"#, 409),
            ("nobody", r#"{"delivery": "evt_1"}"#, 404),
            ("No%20Name", r#"{"delivery": "evt_1"}"#, 404),
            ("stripe", r#"{"since": "10m"}"#, 200),
            ("stripe", r#"{"since": "10m", "event": "push"}"#, 503),
            ("cron", r#"{"since": "10m"}"#, 409),
            ("nobody", r#"{"since": "10m"}"#, 404),
            ("stripe", r#"{"since": "10"}"#, 400),
            ("stripe", r#"{"since": "0s"}"#, 400),
            ("stripe", r#"{"since": "-10m"}"#, 400),
            ("stripe", r#"{"since": 600}"#, 400),
            ("stripe", r#"{"since": "10m", "delivery": "evt_1"}"#, 400),
            ("stripe", r#"{"event": "push", "delivery": "evt_1"}"#, 400),
            ("stripe", r#"{"event": "push"}"#, 400),
            ("stripe", "{}", 400),
            ("stripe", "", 400),
            ("stripe", "[]", 400),
            ("stripe", r#"{"delivery": 1}"#, 400),
            ("stripe", r#"{"delivery": "evt_1", "since": "1h"}"#, 400),
        ] {
            let (status, answer) = admin
                .post(&format!("/api/v1/sources/{source}/forget"), CHANGE, body)
                .await;
            assert_eq!(status, expected, "{source} {body}: {answer}");
            json(&answer);
        }
        let body = r#"{"since": "1m 30s", "event": "invoice.*"}"#;
        let (status, answer) = admin.post("/api/v1/sources/stripe/forget", CHANGE, body).await;
        let document = json(&answer);
        assert_eq!(
            (
                status,
                &document["forgotten"],
                &document["complete"],
                &document["event"]
            ),
            (200, &90.into(), &false.into(), &"invoice.*".into())
        );
    });
}

#[test]
fn bodies_and_heads_are_bounded() {
    run(async {
        let bounds = Bounds {
            body: Duration::from_millis(100),
            head: Duration::from_millis(200),
            ..Bounds::default()
        };
        let admin = start(Some(Access::Loopback), bounds).await;
        let target = "/api/v1/sources/stripe/forget";
        let long = format!("{{\"delivery\": \"{}\"}}", "x".repeat(64 * 1024));
        assert_eq!(admin.post(target, CHANGE, &long).await.0, 413);
        let chunked = format!("{CHANGE}Transfer-Encoding: chunked\r\n");
        let head = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{chunked}\r\n");
        let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000)).repeat(3);
        assert_eq!(split(&admin.raw(&format!("{head}{chunk}0\r\n\r\n")).await).0, 413);
        let unfinished = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n{CHANGE}\r\n{{");
        assert_eq!(split(&admin.raw(&unfinished).await).0, 408);
        // The rest of this head never comes, so the connection must be closed by the listener.
        let closed = admin.raw("GET / HTTP/1.1\r\nHost: local").await;
        assert!(closed.is_empty() || closed.starts_with("HTTP/1.1 408"), "{closed}");
        let fat = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
            "x".repeat(64 * 1024)
        );
        assert!(admin.raw(&fat).await.starts_with("HTTP/1.1 431"));
    });
}

#[test]
fn a_connection_above_the_bound_is_closed_and_room_is_made_again() {
    run(async {
        let bounds = Bounds {
            connections: 1,
            ..Bounds::default()
        };
        let health = start(None, bounds).await;
        let mut first = TcpStream::connect(health.address).await.expect("listening");
        let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
        first.write_all(request).await.expect("sent");
        let mut begun = [0; 12];
        first.read_exact(&mut begun).await.expect("an answer");
        assert_eq!(&begun, b"HTTP/1.1 200");
        assert_eq!(health.raw("GET /livez HTTP/1.1\r\n\r\n").await, "");
        drop(first);
        // The listener hears of the close some time after we did.
        while health
            .raw("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .is_empty()
        {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_connection_has_an_end_whatever_the_client_does() {
    run(async {
        let bounds = Bounds {
            connection: Duration::from_millis(150),
            ..Bounds::default()
        };
        let health = start(None, bounds).await;
        // Ends without a byte; a listener that waited for a head would outlast this test's own time.
        assert_eq!(health.raw("").await, "");
        let mut busy = TcpStream::connect(health.address).await.expect("listening");
        let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
        while busy.write_all(request).await.is_ok() {
            let mut answer = [0; 1024];
            if !busy.read(&mut answer).await.is_ok_and(|read| read > 0) {
                return;
            }
        }
    });
}

#[test]
fn a_token_is_needed_where_one_is_configured() {
    run(async {
        let token = Access::Token(Secret::new(b"correct horse battery".to_vec()));
        let admin = start(Some(token), Bounds::default()).await;
        for (headers, expected) in [
            ("", 401),
            ("Authorization: Bearer correct horse batter\r\n", 401),
            ("Authorization: Bearer correct horse battery2\r\n", 401),
            ("Authorization: Basic correct horse battery\r\n", 401),
            // What a browser makes of a name and a password: the token is the password.
            ("Authorization: Basic bWU6Y29ycmVjdCBob3JzZSBiYXR0ZXI=\r\n", 401),
            ("Authorization: Basic Y29ycmVjdCBob3JzZSBiYXR0ZXJ5\r\n", 401),
            ("Authorization: Basic bWU6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5\r\n", 200),
            (
                "Authorization: Bearer correct horse battery\r\nAuthorization: Bearer correct horse battery\r\n",
                401,
            ),
            ("Authorization: Bearer correct horse battery\r\n", 200),
            ("authorization: bearer correct horse battery\r\n", 200),
        ] {
            assert_eq!(admin.get("/api/v1/status", headers).await.0, expected, "{headers}");
        }
    });
}

#[test]
fn a_reader_of_tail_outlives_the_usual_life_of_a_connection() {
    run(async {
        let life = Duration::from_secs(1);
        let bounds = Bounds {
            connection: life,
            ..Bounds::default()
        };
        let admin = start(Some(Access::Loopback), bounds).await;
        let mut stream = TcpStream::connect(admin.address).await.expect("listening");
        let request = b"GET /api/v1/tail HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request).await.expect("sent");
        let clock = crate::event::SystemClock::new();
        let begun = clock.monotonic();
        let mut buffer = [0; 4096];
        while clock.monotonic().since(begun) < life * 3 {
            let kept = br#"{"source":"stripe"}"#;
            admin.sidecar.recent.push(crate::telemetry::Shelf::Deliveries, kept);
            assert_ne!(stream.read(&mut buffer).await.expect("it goes on"), 0);
        }
        admin.stop.cancel();
        admin.task.await.expect("no panic");
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    });
}

#[test]
fn orders_reach_the_sidecar_and_their_bodies_are_judged() {
    run(async {
        let admin = start(Some(Access::Loopback), Bounds::default()).await;
        let headers = "Content-Type: application/json\r\nHookward-Admin: 1\r\n";
        for (path, body, status, part) in [
            ("reload", "", 422, "line 7"),
            ("log-level", r#"{"level":"debug"}"#, 200, "debug"),
            ("log-level", "{}", 400, "level"),
            (
                "sources/stripe/send",
                r#"{"event":"invoice.paid"}"#,
                200,
                "invoice.paid",
            ),
            (
                "sources/stripe/send",
                r#"{"bad":"replay"}"#,
                409,
                "nothing was sent: no ledger",
            ),
            ("sources/stripe/send", r#"{"bad":"luck"}"#, 400, "no such"),
            (
                "sources/stripe/send",
                r#"{"to":"http://192.0.2.1"}"#,
                400,
                "unknown field",
            ),
            ("sources/other/send", "{}", 404, "no source"),
            ("sources/asana/enroll", r#"{"for":60}"#, 200, "60"),
            ("sources/asana/enroll", r#"{"ticket":"t","close":true}"#, 200, "true"),
            ("sources/asana/enroll", r#"{"for":0}"#, 400, "1 s to 1 h"),
            ("sources/asana/enroll", r#"{"for":3601}"#, 400, "1 s to 1 h"),
            ("sources/asana/enroll", "{}", 400, "either"),
            ("sources/stripe/enroll", r#"{"for":60}"#, 409, "hands out no secret"),
            ("sources/UPPER/enroll", r#"{"for":60}"#, 404, "no source"),
        ] {
            let (code, text) = admin.post(&format!("/api/v1/{path}"), headers, body).await;
            assert_eq!(code, status, "{path} {body}: {text}");
            assert!(text.contains(part), "{path} {body}: {text}");
        }
        assert_eq!(*admin.sidecar.level.lock().expect("no panic"), Some(Level::Debug));
    });
}

#[test]
fn a_stopped_listener_closes_its_idle_connections_and_ends() {
    run(async {
        let health = start(None, Bounds::default()).await;
        let mut idle = TcpStream::connect(health.address).await.expect("listening");
        idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .expect("sent");
        let mut begun = [0; 12];
        idle.read_exact(&mut begun).await.expect("an answer");
        health.stop.cancel();
        health.task.await.expect("no panic");
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await.expect("closed in order");
        assert!(TcpStream::connect(health.address).await.is_err());
    });
}
