//! The PROXY protocol end to end: whom the app, the log and `allow_from` take for the client.

use super::support::{
    Answer, App, Authority, Folder, Process, Request, Sidecar, process::config, secure::NAME, signed::push, wait_until,
    wire::Connection,
};
use std::{
    fmt::Write as _,
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

/// GitHub for clients of 192.0.2.0/24, behind a load balancer at `trust`.
fn behind(app: &App, trust: &str) -> Sidecar {
    Sidecar::before(
        app,
        &format!(
            "
listen: {{address: \"127.0.0.1:0\", proxy_protocol: true}}
client_ip: {{trust: [{trust}]}}
sources:
  github:
    provider: github
    path: /github
    secrets: [{{env: SECRET}}]
    allow_from: [192.0.2.0/24, 127.0.0.0/8]
"
        ),
    )
}

fn send(sidecar: &Sidecar, header: &[u8], request: &Request) -> Option<Answer> {
    let mut connection = Connection::open(sidecar.addresses.webhooks);
    connection.write(&[header, &request.head(), &request.body].concat());
    connection.answer()
}

fn v2(command: u8, client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend_from_slice(&[command, 0x11, 0, 12]);
    header.extend_from_slice(&client);
    header.extend_from_slice(&[198, 51, 100, 1, 0x10, 0xe1, 0x01, 0xbb]);
    header
}

#[test]
fn the_address_of_a_proxy_header_is_the_peer() {
    let app = App::start();
    let sidecar = behind(&app, "127.0.0.1/32, 192.0.2.99/32");
    let forwarded = |n: usize| push(n).header("X-Forwarded-For", "192.0.2.50");
    for (n, (header, says)) in [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 4321 443\r\n".to_vec(), "192.0.2.7"),
        (v2(0x21, [192, 0, 2, 8]), "192.0.2.8"),
        // The one that is named is a trusted hop itself, so its header counts, and goes on.
        (v2(0x21, [192, 0, 2, 99]), "192.0.2.50, 192.0.2.99"),
        // The load balancer for itself: a trusted peer too.
        (v2(0x20, [192, 0, 2, 8]), "192.0.2.50, 127.0.0.1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "192.0.2.50, 127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = send(&sidecar, &header, &forwarded(n)).expect("an answer");
        assert_eq!((answer.status, answer.outcome()), (200, "delivered"), "{says}");
        assert_eq!(app.seen()[n].header("x-forwarded-for"), Some(says));
    }
    // `allow_from` judges the client that the header names.
    let answer = send(&sidecar, &v2(0x21, [203, 0, 113, 7]), &forwarded(9)).expect("an answer");
    assert_eq!((answer.status, answer.outcome()), (403, "client_denied"));
    assert!(sidecar.logged().contains("\"client\":\"203.0.113.7\""));
    assert_eq!(app.seen().len(), 5);
}

#[test]
fn a_trusted_peer_without_a_header_is_closed_and_said_once() {
    let app = App::start();
    let sidecar = behind(&app, "127.0.0.1/32");
    for _ in 0..3 {
        assert!(send(&sidecar, b"", &push(1)).is_none());
        assert!(send(&sidecar, b"PROXY TCP4 nobody\r\n", &push(1)).is_none());
    }
    wait_until("it is said", || {
        sidecar.logged().contains("connection ended before HTTP")
    });
    let logged = sidecar.logged();
    assert!(
        logged.matches("connection ended before HTTP").count() <= 2,
        "one a worker: {logged}"
    );
    assert!(app.seen().is_empty());
    assert!(
        sidecar.counted("", "malformed").abs() < f64::EPSILON,
        "there was no request"
    );
}

#[test]
fn an_untrusted_peer_is_served_as_itself_and_its_header_is_no_http() {
    let app = App::start();
    let sidecar = behind(&app, "10.9.8.7/32");
    let answer = send(&sidecar, b"", &push(1)).expect("an answer");
    assert_eq!(answer.outcome(), "delivered");
    assert_eq!(app.seen()[0].header("x-forwarded-for"), Some("127.0.0.1"));
    for header in [
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4321 443\r\n".to_vec(),
        v2(0x21, [192, 0, 2, 8]),
    ] {
        let mut connection = Connection::open(sidecar.addresses.webhooks);
        connection.write(&[&header[..], &push(2).head(), &push(2).body].concat());
        let answer = connection.answer().expect("an answer");
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")));
        assert!(connection.is_closed());
    }
    assert_eq!(app.seen().len(), 1);
    assert!((sidecar.counted("", "malformed") - 2.0).abs() < f64::EPSILON);
}

#[test]
fn a_header_where_none_is_asked_for_is_no_http_either() {
    let app = App::start();
    let sidecar = Sidecar::before(&app, super::support::signed::GITHUB);
    for header in [
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4321 443\r\n".to_vec(),
        v2(0x21, [192, 0, 2, 8]),
    ] {
        let answer = send(&sidecar, &header, &push(1)).expect("an answer");
        assert_eq!(answer.status, 400);
    }
    assert!(app.seen().is_empty());
}

/// A real haproxy in front; it is killed when this is dropped.
struct Haproxy(std::process::Child);

impl Haproxy {
    /// Listens at these ports, each with what it adds on the way to `to`.
    fn start(folder: &Folder, to: std::net::SocketAddr, ways: &[(u16, &str)]) -> Self {
        let mut file =
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n".to_owned();
        for (port, adds) in ways {
            writeln!(
                file,
                "listen p{port}\n  bind 127.0.0.1:{port}\n  server hookward {to} {adds}"
            )
            .expect("text");
        }
        let path = folder.write("haproxy.cfg", &file);
        let sbin = Path::new("/usr/sbin/haproxy");
        let program = if sbin.exists() { sbin } else { Path::new("haproxy") };
        let child = Command::new(program)
            .args(["-db", "-f"])
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy is installed");
        let haproxy = Self(child);
        for (port, _) in ways {
            wait_until("haproxy listens", || TcpStream::connect(("127.0.0.1", *port)).is_ok());
        }
        haproxy
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _already_dead = self.0.kill();
        let _already_reaped = self.0.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// An event sent from an address of the loopback network that is not the load balancer's.
fn curl(port: u16, n: usize) -> String {
    let request = push(n);
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--interface",
        "127.0.0.5",
    ])
    .args(["--write-out", "%{http_code}", "--output", "/dev/null"])
    .args(["--data-binary", std::str::from_utf8(&request.body).expect("text")]);
    for (name, value) in request.headers.iter().filter(|(name, _)| name.starts_with("X-")) {
        curl.args(["-H", &format!("{name}: {value}")]);
    }
    curl.args(["-H", "Content-Type: application/json"])
        .arg(format!("http://127.0.0.1:{port}/github"));
    let output = curl.output().expect("curl");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn haproxy_is_understood_in_both_versions_and_before_tls() {
    let (app, folder, authority) = (App::start(), Folder::new(), Authority::new("ours"));
    let issued = authority.issue(NAME);
    folder.write("tls.crt", &issued.cert);
    folder.write("tls.key", &issued.key);
    let yaml = |listen: &str| {
        let listen = format!("listen: {{address: \"127.0.0.1:0\", proxy_protocol: true{listen}}}\n");
        let yaml = config(&app).replace("listen: 127.0.0.1:0\n", &listen);
        yaml + "client_ip: {trust: [127.0.0.1/32]}\n"
    };
    let plain = Process::run(&folder.write("plain.yaml", &yaml("")));
    let secured = Process::run(&folder.write("tls.yaml", &yaml(", tls: {cert: tls.crt, key: tls.key}")));
    for (n, (to, adds, proto)) in [
        (plain.webhooks, "send-proxy", "http"),
        (plain.webhooks, "send-proxy-v2", "http"),
        (
            plain.webhooks,
            "send-proxy-v2 proxy-v2-options unique-id,crc32c",
            "http",
        ),
        (secured.webhooks, "send-proxy ssl verify none", "https"),
        (secured.webhooks, "send-proxy-v2 ssl verify none alpn http/1.1", "https"),
    ]
    .into_iter()
    .enumerate()
    {
        let port = free_port();
        let _haproxy = Haproxy::start(&folder, to, &[(port, adds)]);
        assert_eq!(curl(port, n), "200", "{adds}");
        let seen = &app.seen()[n];
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.5"), "{adds}");
        assert_eq!(seen.header("x-forwarded-proto"), Some(proto), "{adds}");
    }
}
