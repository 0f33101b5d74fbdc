//! TLS that ends at the sidecar: HTTP/1.1 and HTTP/2, client certificates, rotation without a gap.

use super::support::{
    App, Authority, Folder, Issued, PORTS, Process, Request, Sidecar,
    process::{config, hookward, text},
    secure::{self, NAME},
    signed::{GITHUB, push},
    wait_until,
    wire::Connection,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{io::Write, process::Stdio};

fn write(folder: &Folder, issued: &Issued) {
    folder.write("tls.key", &issued.key);
    folder.write("tls.crt", &issued.cert);
}

/// GitHub in front of `app`, with TLS.
fn yaml(app: &App, more: &str) -> String {
    let listen = format!("listen: {{address: \"127.0.0.1:0\", tls: {{cert: tls.crt, key: tls.key{more}}}}}\n");
    config(app).replace("listen: 127.0.0.1:0\n", &listen)
}

#[test]
fn webhooks_come_over_tls_as_without_it() {
    let (app, folder, authority) = (App::start(), Folder::new(), Authority::new("ours"));
    write(&folder, &authority.issue(NAME));
    let process = Process::run(&folder.write("hookward.yaml", &yaml(&app, "")));
    for (n, alpn) in [&[][..], &[&b"http/1.1"[..]], &[b"h3", b"http/1.1"]]
        .into_iter()
        .enumerate()
    {
        let (mut connection, _) = secure::connect(process.webhooks, &authority.client(alpn, None)).expect("TLS");
        let answer = connection.exchange(&push(n)).expect("an answer");
        assert_eq!((answer.status, answer.outcome()), (200, "delivered"));
        assert_eq!(answer.body, b"from the app");
        let forged = push(n).replace("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)));
        let answer = connection.exchange(&forged).expect("kept alive");
        assert_eq!((answer.status, answer.outcome()), (401, "unverified"));
    }
    let seen = app.seen();
    assert_eq!(seen.len(), 3);
    for recorded in &seen {
        assert_eq!(recorded.header("x-forwarded-proto"), Some("https"));
        assert_eq!(recorded.header("x-forwarded-for"), Some("127.0.0.1"));
    }
    // A client that knows nothing of what it talks to.
    assert!(Request::post("/github", "x").try_send(process.webhooks).is_none());
    assert!((process.metric("hookward_requests_total{source=\"\",outcome=\"malformed\"}")).abs() < f64::EPSILON);
}

#[test]
fn http_2_is_chosen_by_alpn() {
    let (app, folder, authority) = (App::start(), Folder::new(), Authority::new("ours"));
    write(&folder, &authority.issue(NAME));
    let process = Process::run(&folder.write("hookward.yaml", &yaml(&app, "")));
    let config = authority.client(&[b"h2", b"http/1.1"], None);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(process.webhooks)
            .await
            .expect("it listens");
        let name = NAME.try_into().expect("a name");
        let stream = tokio_rustls::TlsConnector::from(config)
            .connect(name, stream)
            .await
            .expect("TLS");
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("HTTP/2");
        let driver = tokio::spawn(connection);
        let signed = push(1);
        let mut request = http::Request::post(format!("https://{NAME}/github"));
        for (name, value) in signed.headers.iter().filter(|(name, _)| name.starts_with("X-")) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(signed.body))).expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["hookward-outcome"], "delivered");
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(&body[..], b"from the app");
        drop(sender);
        driver.await.expect("no panic").expect("an end in order");
    });
    assert_eq!(app.seen()[0].header("x-forwarded-proto"), Some("https"));
}

#[test]
fn other_clients_agree_on_what_they_agree_on() {
    let (app, folder, authority) = (App::start(), Folder::new(), Authority::new("ours"));
    write(&folder, &authority.issue(NAME));
    let ca = folder.write("ca.crt", &authority.pem());
    let process = Process::run(&folder.write("hookward.yaml", &yaml(&app, "")));
    let to = process.webhooks;
    for (flags, version) in [
        (&["--http2"][..], "2"),
        (&["--http1.1"], "1.1"),
        (&["--no-alpn"], "1.1"),
        (&["--tls-max", "1.2", "--http2"], "2"),
    ] {
        let request = push(version.len());
        let mut curl = std::process::Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--write-out",
            " %{http_version}",
        ])
        .args(["--cacert", &ca.display().to_string()])
        .args(["--resolve", &format!("{NAME}:{}:127.0.0.1", to.port())])
        .args(flags);
        for (name, value) in request.headers.iter().filter(|(name, _)| name.starts_with("X-")) {
            curl.args(["-H", &format!("{name}: {value}")]);
        }
        curl.args(["-H", "Content-Type: application/json", "--data-binary", "@-"])
            .arg(format!("https://{NAME}:{}/github", to.port()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = curl.spawn().expect("curl");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(&request.body).expect("curl reads");
        drop(stdin);
        let output = child.wait_with_output().expect("curl ends");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{flags:?}: {complained}");
        assert!(said.ends_with(&format!(" {version}")), "{flags:?}: {said}");
    }
    // Older than TLS 1.2 is refused.
    let mut openssl = std::process::Command::new("openssl");
    openssl
        .args([
            "s_client",
            "-connect",
            &to.to_string(),
            "-tls1_1",
            "-cipher",
            "ALL:@SECLEVEL=0",
        ])
        .stdin(Stdio::null());
    assert!(!openssl.output().expect("openssl").status.success());
    assert!(!app.seen().is_empty());
}

#[test]
fn senders_without_a_certificate_of_the_client_ca_get_nowhere() {
    let (app, folder) = (App::start(), Folder::new());
    let (authority, clients) = (Authority::new("ours"), Authority::new("ours"));
    write(&folder, &authority.issue(NAME));
    folder.write("clients.crt", &clients.pem());
    let process = Process::run(&folder.write("hookward.yaml", &yaml(&app, ", client_ca: clients.crt")));
    let known = clients.issue("sender.example");
    let (mut connection, _) = secure::connect(process.webhooks, &authority.client(&[], Some(&known))).expect("TLS");
    assert_eq!(connection.exchange(&push(1)).expect("an answer").outcome(), "delivered");
    let unknown = authority.issue("sender.example");
    for identity in [None, Some(&unknown)] {
        // With TLS 1.3 a client is done before it hears that it is not wanted.
        let answer = secure::connect(process.webhooks, &authority.client(&[], identity))
            .ok()
            .and_then(|(mut connection, _)| connection.exchange(&push(2)));
        assert!(answer.is_none(), "{answer:?}");
    }
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn a_rotated_certificate_holds_for_new_connections_and_old_ones_go_on() {
    let (app, folder, authority) = (App::start(), Folder::new(), Authority::new("ours"));
    let (old, new) = (authority.issue(NAME), authority.issue(NAME));
    write(&folder, &old);
    let process = Process::run(&folder.write("hookward.yaml", &yaml(&app, "")));
    let config = authority.client(&[], None);
    let shown = || -> Option<(Connection, Vec<u8>)> { secure::connect(process.webhooks, &config).ok() };
    let (mut before, first) = shown().expect("TLS");
    assert_eq!(first, secure::der(&old.cert));
    assert_eq!(before.exchange(&push(1)).expect("an answer").outcome(), "delivered");
    // The key of another certificate: a rotation that is half done. What was there stays.
    folder.write("tls.key", &new.key);
    process.wait_for_log("reload failed; the old configuration stays in force");
    wait_until("the gauge tells it", || {
        process.metric("hookward_config_reload_success").abs() < f64::EPSILON
    });
    let (mut between, second) = shown().expect("TLS");
    assert_eq!(second, secure::der(&old.cert));
    assert_eq!(between.exchange(&push(2)).expect("an answer").outcome(), "delivered");
    folder.write("tls.crt", &new.cert);
    process.wait_for_log("configuration reloaded");
    let (mut after, third) = shown().expect("TLS");
    assert_eq!(third, secure::der(&new.cert));
    for (n, connection) in [&mut before, &mut between, &mut after].into_iter().enumerate() {
        let answer = connection.exchange(&push(10 + n)).expect("an answer");
        assert_eq!(answer.outcome(), "delivered");
    }
    assert!((process.metric("hookward_config_reload_success") - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_drain_over_tls_cuts_nothing() {
    let (app, folder, authority) = (App::start(), Folder::new(), Authority::new("ours"));
    write(&folder, &authority.issue(NAME));
    let mut process = Process::run(&folder.write("hookward.yaml", &yaml(&app, "")));
    let config = authority.client(&[], None);
    let (mut idle, _) = secure::connect(process.webhooks, &config).expect("TLS");
    let (mut busy, _) = secure::connect(process.webhooks, &config).expect("TLS");
    let (open, _) = tokio::sync::watch::channel(false);
    app.script([super::support::Script::status(200).behind(&open)]);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| busy.exchange(&push(1)));
        app.wait_for(1);
        process.signal("-TERM");
        process.wait_for_log("draining");
        let answer = idle.exchange(&push(2)).expect("still served");
        assert_eq!(answer.outcome(), "delivered");
        assert_eq!(answer.header("connection"), Some("close"));
        open.send_replace(true);
        assert_eq!(
            held.join().expect("no panic").expect("an answer").outcome(),
            "delivered"
        );
    });
    assert_eq!(process.exit(), 0);
}

#[test]
fn certificates_that_cannot_be_are_refused_at_the_start() {
    let (folder, authority) = (Folder::new(), Authority::new("ours"));
    let (one, other) = (authority.issue(NAME), authority.issue(NAME));
    folder.write("tls.crt", &one.cert);
    folder.write("tls.key", &other.key);
    let rest = format!("upstream: http://127.0.0.1:1\n{GITHUB}");
    let file = |tls: &str| {
        let listen = format!("listen: {{address: \"127.0.0.1:0\", tls: {tls}}}\n");
        let yaml = PORTS.replace("listen: 127.0.0.1:0\n", &listen) + &rest;
        folder.write("hookward.yaml", &yaml).display().to_string()
    };
    for (tls, says, code) in [
        ("{cert: tls.crt, key: tls.key}", "the key does not belong", 78),
        ("{cert: tls.key, key: tls.key}", "no certificate", 78),
        ("{cert: tls.crt}", "key", 78),
        ("{cert: nowhere.crt, key: tls.key}", "nowhere.crt", 77),
    ] {
        let output = super::support::hookward(&["check", "--offline", "-c", &file(tls)]);
        let said = super::support::process::text(&output.stdout) + &super::support::process::text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{tls}: {said}");
        assert!(said.contains(says), "{tls}: {said}");
        assert!(!said.contains("BEGIN"), "nothing of a key is shown: {said}");
    }
}

/// `send` speaks as this sidecar listens: over TLS with whatever certificate it has, behind a PROXY header where it wants one.
#[test]
fn send_reaches_a_port_with_tls_and_proxy_headers() {
    let (app, folder, authority) = (App::start(), Folder::new(), Authority::new("ours"));
    write(&folder, &authority.issue(NAME));
    let plain = yaml(&app, "");
    let proxied = plain.replace("}}\n", "}, proxy_protocol: true}\nclient_ip: {trust: [127.0.0.0/8]}\n");
    assert_ne!(plain, proxied);
    for yaml in [plain, proxied] {
        let process = Process::run(&folder.write("hookward.yaml", &yaml));
        // What an operator's file would say, now that the ports are known.
        let known = yaml
            .replace(
                "address: \"127.0.0.1:0\"",
                &format!("address: \"{}\"", process.webhooks),
            )
            .replace("admin: 127.0.0.1:0", &format!("admin: {}", process.admin));
        let file = folder.write("client.yaml", &known).display().to_string();
        for bad in [&[][..], &["--bad", "signature"]] {
            let output = hookward(&[&["send", "github", "-c", &file], bad].concat());
            let said = text(&output.stdout) + &text(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{yaml}{bad:?}: {said}");
        }
    }
    assert_eq!(app.seen().len(), 2);
}

/// Another server in the sidecar's place is not taken for it.
#[test]
fn send_believes_its_own_certificate_only() {
    let (app, folder, authority) = (App::start(), Folder::new(), Authority::new("ours"));
    write(&folder, &authority.issue(NAME));
    let process = Process::run(&folder.write("hookward.yaml", &yaml(&app, "")));
    let other = Folder::new();
    write(&other, &authority.issue(NAME));
    let known = yaml(&app, "").replace("127.0.0.1:0\", tls", &format!("{}\", tls", process.webhooks));
    let file = other.write("client.yaml", &known).display().to_string();
    let output = hookward(&["send", "github", "-c", &file]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("certificate") && app.seen().is_empty(), "{said}");
}

#[test]
fn failed_handshakes_are_counted_by_cause_and_summed_up_once_a_minute() {
    let (app, folder) = (App::start(), Folder::new());
    let (authority, clients) = (Authority::new("ours"), Authority::new("theirs"));
    write(&folder, &authority.issue(NAME));
    folder.write("clients.crt", &clients.pem());
    let at = folder.0.display();
    let listen = format!(
        "listen: {{address: \"127.0.0.1:0\", tls: {{cert: {at}/tls.crt, key: {at}/tls.key, client_ca: {at}/clients.crt}}}}"
    );
    let sidecar = Sidecar::before(&app, &format!("{listen}\n{GITHUB}"));
    let to = sidecar.addresses.webhooks;
    let count = |cause: &str| sidecar.metric(&format!("hookward_tls_handshake_failures_total{{cause=\"{cause}\"}}"));
    let metrics = String::from_utf8(Request::get("/metrics").send(sidecar.addresses.health).body).expect("text");
    let causes = [
        "not_tls",
        "incompatible",
        "client_certificate",
        "alert",
        "timeout",
        "disconnected",
        "other",
    ];
    for cause in causes {
        let zero = format!("hookward_tls_handshake_failures_total{{cause=\"{cause}\"}} 0");
        assert!(metrics.lines().any(|line| line == zero), "{zero}");
    }
    let summaries = || {
        let logged = sidecar.logged();
        let lines = logged.lines().filter(|line| line.contains("TLS handshakes failed"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    // A probe that says nothing is no handshake.
    drop(Connection::open(to));
    assert!(Request::post("/github", "x").try_send(to).is_none());
    wait_until("the first failure is logged at once", || summaries().len() == 1);
    let first: serde_json::Value = serde_json::from_str(&summaries()[0]).expect("JSON");
    assert_eq!((&first["level"], &first["not_tls"]), (&"warn".into(), &"1".into()));

    // One that does not trust us, two without a certificate, one that leaves behind the first bytes of its hello.
    assert!(secure::connect(to, &Authority::new("other").client(&[], None)).is_err());
    for _ in 0..2 {
        let gone = secure::connect(to, &authority.client(&[], None)).ok();
        assert!(
            gone.and_then(|(mut connection, _)| connection.exchange(&push(1)))
                .is_none()
        );
    }
    let mut leaving = Connection::open(to);
    leaving.write(b"\x16\x03\x01\x02");
    drop(leaving);
    wait_until("all are counted", || {
        [
            ("not_tls", 1.0),
            ("alert", 1.0),
            ("client_certificate", 2.0),
            ("disconnected", 1.0),
        ]
        .iter()
        .all(|(cause, wanted)| (count(cause) - wanted).abs() < f64::EPSILON)
    });
    // Nothing is said of them before a minute has passed.
    sidecar.advance(std::time::Duration::from_secs(59));
    std::thread::sleep(std::time::Duration::from_millis(1300));
    assert_eq!(summaries().len(), 1);
    sidecar.advance(std::time::Duration::from_secs(1));
    wait_until("a minute later they are", || summaries().len() == 2);
    let second: serde_json::Value = serde_json::from_str(&summaries()[1]).expect("JSON");
    let said = causes.map(|cause| second[cause].as_str().unwrap_or("").to_owned());
    assert_eq!(said, ["", "", "2", "1", "", "1", ""]);
    sidecar.advance(std::time::Duration::from_mins(2));
    std::thread::sleep(std::time::Duration::from_millis(1300));
    assert_eq!(summaries().len(), 2, "nothing failed since");
}
