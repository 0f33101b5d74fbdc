//! What a person tries before it is real, and watches afterwards: `send`, `tail`, `enroll`, and the API behind them.

use super::support::{
    Answer, App, Folder, PATIENCE, Process, Request, Script, Sidecar, hookward,
    process::{PORTS, text},
    signed, wait_until,
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

/// A running sidecar with the file that finds it.
struct Trial {
    process: Process,
    folder: Folder,
    file: String,
}

impl Trial {
    fn new(app: &App, sources: &str) -> Self {
        let folder = Folder::new();
        let yaml = format!("{PORTS}upstream: {}\n{sources}", app.url());
        let process = Process::run(&folder.write("hookward.yaml", &yaml));
        // What an operator's file would say, now that the ports are known.
        let yaml = yaml
            .replace("listen: 127.0.0.1:0", &format!("listen: {}", process.webhooks))
            .replace("admin: 127.0.0.1:0", &format!("admin: {}", process.admin));
        let file = folder.write("client.yaml", &yaml).display().to_string();
        Self { process, folder, file }
    }

    fn run(&self, args: &[&str]) -> (i32, String) {
        let output = hookward(&[args, &["-c", &self.file]].concat());
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        (output.status.code().expect("an exit code"), said)
    }

    fn json(&self, args: &[&str]) -> (i32, Value) {
        let output = hookward(&[args, &["-c", &self.file, "-o", "json"]].concat());
        let value: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)));
        assert_eq!(value["schema_version"], 1);
        (output.status.code().expect("an exit code"), value)
    }

    fn start(&self, args: &[&str]) -> Said {
        Said::of(&[args, &["-c", &self.file]].concat())
    }
}

/// A verb that goes on, and what it has said so far.
struct Said {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Said {
    fn of(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hookward"))
            .args(args)
            .env_remove("HOOKWARD_CONFIG")
            .env("SECRET", signed::SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be run");
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("piped")),
            Box::new(child.stderr.take().expect("piped")),
        ];
        for stream in streams {
            let lines = lines.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    lines.lock().expect("no panic").push(line);
                }
            });
        }
        Self { child, lines }
    }

    fn text(&self) -> String {
        self.lines.lock().expect("no panic").join("\n")
    }

    fn wait_for(&self, part: &str) {
        wait_until(part, || self.text().contains(part));
    }

    fn exit(&mut self) -> i32 {
        wait_until("its end", || self.child.try_wait().expect("ours").is_some());
        let status = self.child.wait().expect("ours");
        status.code().expect("no signal ended it")
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn look(admin: SocketAddr, path: &str) -> Answer {
    Request::get(path).replace("Host", "localhost").send(admin)
}

/// A reader of the raw stream, and how its answer begins.
fn reading(admin: SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(admin).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
    let request = b"GET /api/v1/tail HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).expect("it reads");
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("an answer");
    (stream, text(&status))
}

fn order(admin: SocketAddr, path: &str, body: &str) -> Answer {
    Request::post(path, body)
        .replace("Host", "localhost")
        .header("Hookward-Admin", "1")
        .replace("Content-Type", "application/json")
        .send(admin)
}

const SOURCES: &str = "\
sources:
  stripe: {provider: stripe, path: /in/stripe, secrets: [{env: SECRET}], events: [\"charge.*\"]}
  github: {provider: github, path: \"/in/github/*\", secrets: [{env: SECRET}]}
  shopify: {provider: shopify, path: /in/shopify, secrets: [{env: SECRET}]}
  slack: {provider: slack, path: /in/slack, secrets: [{env: SECRET}]}
  standard: {provider: standard-webhooks, path: /in/standard, secrets: [{env: WHSEC}]}
  linear: {provider: linear, path: /in/linear, secrets: [{env: SECRET}]}
  twilio: {provider: twilio, path: /in/twilio, public_url: \"https://hooks.example.com\", secrets: [{env: SECRET}]}
  zendesk: {provider: zendesk, path: /in/zendesk, secrets: [{env: SECRET}]}
  cron: {provider: token, path: /in/cron, secrets: [{env: TOKEN}]}
  query: {provider: token, path: /in/query, settings: {query: key}, secrets: [{env: TOKEN}]}
  adyen: {provider: adyen-payments, path: /in/adyen, secrets: [{value: 00112233445566778899aabbccddeeff}]}
  mailgun: {provider: mailgun, path: /in/mailgun, secrets: [{env: SECRET}]}
  figma: {provider: figma, path: /in/figma, secrets: [{env: SECRET}]}
  azure: {provider: azure-eventgrid, path: /in/azure, secrets: [{env: TOKEN}]}
  open: {provider: none, path: /in/open, allow_unverified: true}
";

#[test]
fn a_sample_of_every_kind_is_delivered_again_and_again() {
    let app = App::start();
    let trial = Trial::new(&app, SOURCES);
    let names = [
        "stripe", "github", "shopify", "slack", "standard", "linear", "twilio", "zendesk", "cron", "query", "adyen",
        "mailgun", "figma", "azure", "open",
    ];
    for (n, name) in names.into_iter().enumerate() {
        for time in 0..2 {
            let (code, sent) = trial.json(&["send", name]);
            assert_eq!((code, &sent["outcome"]), (0, &"delivered".into()), "{name}: {sent}");
            assert_eq!(sent["as_expected"], true);
            // Told by the admin listener: the app's own answer does not bear it.
            assert!(sent["request_id"].is_string(), "{name}: {sent}");
            assert_eq!(sent["destinations"][0]["name"], "upstream", "{sent}");
            assert_eq!(app.seen().len(), 2 * n + time + 1, "{name}");
        }
    }
    let seen = app.seen();
    // The first sample that the source selects.
    assert_eq!(seen[0].header("hookward-event"), Some("charge.refunded"));
    assert_eq!(seen[2].header("hookward-event"), Some("push"));
    assert_eq!(seen[2].header("x-github-event"), Some("push"));
    assert!(seen[18].target.starts_with("/in/query"), "{}", seen[18].target);
    let (_, said) = trial.run(&["send", "query"]);
    assert!(!said.contains(signed::TOKEN), "{said}");
}

#[test]
fn events_and_bodies_of_ones_own_are_sent_and_judged() {
    let app = App::start();
    let trial = Trial::new(&app, SOURCES);
    let (code, sent) = trial.json(&["send", "stripe", "invoice.paid"]);
    assert_eq!(
        (code, &sent["outcome"], &sent["expected"][0]),
        (0, &"filtered".into(), &"filtered".into())
    );
    // No sample of the preset: made up, and read by the preset all the same.
    let (code, sent) = trial.json(&["send", "github", "issues.opened"]);
    assert_eq!((code, &sent["sample"]), (0, &"made_up".into()), "{sent}");
    assert_eq!(app.seen()[0].header("hookward-event"), Some("issues.opened"));
    let body = trial
        .folder
        .write("body", "{\"id\":\"evt_1\",\"type\":\"charge.captured\"}");
    let body = body.display().to_string();
    let (code, said) = trial.run(&["send", "stripe", "--data", &body]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("delivered") && said.contains("as intended"), "{said}");
    assert_eq!(app.seen()[1].body, b"{\"id\":\"evt_1\",\"type\":\"charge.captured\"}");
    // The very same event again is another outcome than a good one has.
    let (code, said) = trial.run(&["send", "stripe", "--data", &body]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("reason    delivered before") && said.contains("not as intended"),
        "{said}"
    );
    // An app that says no: the reason is the admin listener's.
    app.script([Script::status(503)]);
    let (code, sent) = trial.json(&["send", "github"]);
    assert_eq!(
        (code, &sent["status"], &sent["outcome"]),
        (1, &503.into(), &"upstream_failed".into())
    );
    assert_eq!(sent["reason"], "upstream answered 503");
}

#[test]
fn what_is_wrong_on_purpose_is_refused_as_intended() {
    let app = App::start();
    let trial = Trial::new(&app, SOURCES);
    let refused = [
        ("stripe", "signature", "unverified"),
        ("stripe", "timestamp", "stale"),
        ("stripe", "body", "unverified"),
        ("stripe", "replay", "replayed"),
        ("github", "signature", "unverified"),
        ("github", "body", "unverified"),
        ("github", "replay", "duplicate"),
        ("linear", "timestamp", "stale"),
        ("standard", "timestamp", "stale"),
        ("twilio", "body", "unverified"),
        ("cron", "signature", "unverified"),
        ("query", "signature", "unverified"),
        ("adyen", "signature", "unverified"),
        ("mailgun", "signature", "unverified"),
        ("mailgun", "timestamp", "stale"),
        ("figma", "signature", "unverified"),
        ("azure", "signature", "unverified"),
    ];
    let mut delivered = 0;
    for (name, bad, outcome) in refused {
        let (code, sent) = trial.json(&["send", name, "--bad", bad]);
        assert_eq!((code, &sent["outcome"]), (0, &outcome.into()), "{name} {bad}: {sent}");
        assert_eq!((&sent["bad"], &sent["as_expected"]), (&bad.into(), &true.into()));
        delivered += usize::from(bad == "replay");
        assert_eq!(app.seen().len(), delivered, "{name} {bad}");
    }
    // Nothing is there that could be wrong: nothing is sent, and it is said why.
    for (name, bad, why) in [
        ("open", "signature", "verifies nothing"),
        ("cron", "body", "does not cover the body"),
        ("github", "timestamp", "signs no time"),
        ("cron", "replay", "no replay ledger"),
    ] {
        let (code, said) = trial.run(&["send", name, "--bad", bad]);
        assert_eq!(code, 1, "{name} {bad}: {said}");
        assert!(said.contains(why), "{name} {bad}: {said}");
    }
    assert_eq!(app.seen().len(), delivered);
}

#[test]
fn send_says_what_stands_in_its_way() {
    let app = App::start();
    let mut trial = Trial::new(&app, SOURCES);
    let (code, said) = trial.run(&["send", "strpe"]);
    assert_eq!(code, 2);
    assert!(said.contains("did you mean `stripe`?"), "{said}");
    let to = format!("http://{}", trial.process.webhooks);
    assert_eq!(trial.run(&["send", "github", "--to", &to]).0, 0);
    assert_eq!(
        trial
            .run(&["send", "github", "--to", &format!("{to}/in/github/other")])
            .0,
        0
    );
    let (code, said) = trial.run(&["send", "github", "--to", &format!("{to}/elsewhere")]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("404 no_source"), "{said}");
    assert_eq!(trial.run(&["send", "github", "--to", "ftp://nowhere"]).0, 2);
    let key = "sources:\n  discord: {provider: discord, path: /in/discord, secrets: [{value: \
               0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}]}\n";
    let file = trial
        .folder
        .write("discord.yaml", &format!("version: 1\nupstream: {}\n{key}", app.url()));
    let output = hookward(&["send", "discord", "-c", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("private key"), "{}", text(&output.stderr));
    trial.process.kill();
    let (code, said) = trial.run(&["send", "github"]);
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("nobody answers"), "{said}");
}

#[test]
fn the_api_lists_what_came_and_a_flood_of_refused_ones_hides_no_delivery() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "sources:\n  hook: {provider: github, path: /hook, secrets: [{env: SECRET}]}\n",
    );
    let admin = sidecar.addresses.admin;
    assert_eq!(
        sidecar.send(&signed::github("/hook", "d-1", b"{}")).outcome(),
        "delivered"
    );
    let secret_ish = "a-path-nobody-knows";
    for _ in 0..250 {
        assert_eq!(
            sidecar.send(&Request::post(&format!("/{secret_ish}"), "{}")).outcome(),
            "no_source"
        );
    }
    let forged =
        signed::github("/hook", "d-2", b"{}").replace("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)));
    assert_eq!(sidecar.send(&forged).outcome(), "unverified");

    let all = look(admin, "/api/v1/deliveries").json();
    assert_eq!(all["schema_version"], 1);
    let list = all["deliveries"].as_array().expect("a list");
    assert_eq!(list[0]["outcome"], "unverified");
    assert!(
        list[0]["reason"].as_str().expect("a reason").contains("signature"),
        "{}",
        list[0]
    );
    let delivered: Vec<&Value> = list.iter().filter(|line| line["outcome"] == "delivered").collect();
    assert_eq!(delivered.len(), 1);
    let one = delivered[0];
    for key in [
        "ts",
        "request_id",
        "trace_id",
        "source",
        "event",
        "delivery",
        "attempt",
        "status",
        "client",
        "bytes",
        "duration_ms",
    ] {
        assert!(!one[key].is_null(), "{key}: {one}");
    }
    assert_eq!(one["destinations"][0]["result"], "delivered");
    let delivery = app.seen()[0]
        .header("hookward-delivery")
        .expect("it has one")
        .to_owned();
    for id in [&delivery, one["request_id"].as_str().expect("text")] {
        let found = look(admin, &format!("/api/v1/deliveries/{id}")).json();
        assert_eq!(found["attempts"].as_array().map(Vec::len), Some(1), "{found}");
        assert_eq!(found["attempts"][0], *one);
    }
    assert_eq!(look(admin, "/api/v1/deliveries/unknown").status, 404);
    let filtered = look(admin, "/api/v1/deliveries?source=hook&refused=true").json();
    assert_eq!(filtered["deliveries"].as_array().map(Vec::len), Some(1));
    assert_eq!(look(admin, "/api/v1/deliveries?sorce=hook").status, 400);
    assert!(!all.to_string().contains(&"0".repeat(64)), "no signature is kept");

    let destinations = look(admin, "/api/v1/destinations").json();
    assert_eq!(destinations["destinations"][0]["results"]["delivered"], 1);
    let sources = look(admin, "/api/v1/sources").json();
    assert_eq!(sources["sources"][0]["requests"]["unverified"], 1);
    let status = look(admin, "/api/v1/status").json();
    assert_eq!(status["log_level"], "info");
}

#[test]
fn the_api_takes_orders_of_its_own_page_only() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "sources:\n  hook: {provider: github, path: /hook, secrets: [{env: SECRET}]}\n",
    );
    let admin = sidecar.addresses.admin;
    let sent = order(admin, "/api/v1/sources/hook/send", "{}").json();
    assert_eq!(
        (&sent["outcome"], &sent["as_expected"]),
        (&"delivered".into(), &true.into()),
        "{sent}"
    );
    let sent = order(
        admin,
        "/api/v1/sources/hook/send",
        r#"{"event":"ping","bad":"signature"}"#,
    )
    .json();
    assert_eq!(
        (&sent["outcome"], &sent["as_expected"]),
        (&"unverified".into(), &true.into())
    );
    assert!(
        sent["reason"]
            .as_str()
            .expect("told to operators")
            .contains("signature")
    );
    for (path, body, status) in [
        ("/api/v1/sources/nobody/send", "{}", 404),
        ("/api/v1/sources/hook/send", r#"{"bad":"luck"}"#, 400),
        ("/api/v1/sources/hook/send", r#"{"to":"http://127.0.0.1:1"}"#, 400),
        ("/api/v1/sources/hook/send", r#"{"bad":"timestamp"}"#, 409),
        ("/api/v1/sources/hook/enroll", r#"{"for":5}"#, 409),
        ("/api/v1/log-level", r#"{"level":"loud"}"#, 400),
        ("/api/v1/log-level", r#"{"level":"error"}"#, 200),
    ] {
        let answer = order(admin, path, body);
        assert_eq!(answer.status, status, "{path} {body}: {}", text(&answer.body));
    }
    assert_eq!(look(admin, "/api/v1/status").json()["log_level"], "error");
    for path in ["/api/v1/reload", "/api/v1/log-level", "/api/v1/sources/hook/send"] {
        let bare = Request::post(path, "{}")
            .replace("Host", "localhost")
            .replace("Content-Type", "application/json");
        assert_eq!(bare.send(admin).status, 403, "{path}");
        assert_eq!(look(admin, path).status, 405, "{path}");
    }
}

#[test]
fn the_page_allows_nothing_but_its_own_script() {
    let app = App::start();
    let sidecar = Sidecar::before(
        &app,
        "sources:\n  open: {provider: none, path: /open, allow_unverified: true}\n",
    );
    let answer = look(sidecar.addresses.admin, "/");
    assert_eq!(answer.status, 200);
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(text(&answer.body).contains("Send a sample"));
}

#[test]
fn tail_shows_requests_as_they_end_and_sixteen_may_read() {
    let app = App::start();
    let trial = Trial::new(&app, SOURCES);
    let admin = trial.process.admin;
    for wrong in ["--source=strip", "--outcome=unverfied", "-n=5001", "--event="] {
        let (code, said) = trial.run(&["tail", wrong]);
        assert_eq!(code, 2, "{wrong}: {said}");
    }
    for wrong in ["source=strip", "outcome=unverfied", "refused=x", "trace_id=1"] {
        for list in ["deliveries", "tail"] {
            assert_eq!(look(admin, &format!("/api/v1/{list}?{wrong}")).status, 400, "{wrong}");
        }
    }
    let mut json = trial.start(&["tail", "-o", "json"]);
    let words = trial.start(&["tail", "--source", "github"]);
    // Both are there once a request that was sent after their start is seen.
    wait_until("both read", || {
        assert_eq!(trial.run(&["send", "github"]).0, 0);
        json.text().contains("\"outcome\":\"delivered\"") && words.text().contains("delivered")
    });
    assert_eq!(trial.run(&["send", "stripe", "--bad", "signature"]).0, 0);
    json.wait_for("\"outcome\":\"unverified\"");
    for line in json.text().lines() {
        let line: Value = serde_json::from_str(line).expect("one object a line");
        assert_eq!(line["schema_version"], 1);
    }
    words.wait_for("-> upstream delivered 200");
    assert!(!words.text().contains("stripe"), "{}", words.text());
    // What has ended is shown first, the newest last.
    assert_eq!(trial.run(&["send", "github"]).0, 0);
    let one = look(admin, "/api/v1/deliveries?limit=1").json();
    assert_eq!(one["deliveries"].as_array().map(Vec::len), Some(1), "{one}");
    let past = trial.start(&["tail", "-n", "1", "--refused", "--outcome", "unverified"]);
    past.wait_for("unverified");
    assert!(!past.text().contains("delivered"), "{}", past.text());
    drop(past);

    let mut readers = Vec::new();
    for _ in 0..14 {
        let (reader, status) = reading(admin);
        assert_eq!(status, "HTTP/1.1 200");
        readers.push(reader);
    }
    assert_eq!(reading(admin).1, "HTTP/1.1 503");
    drop(readers);
    wait_until("places are given back", || reading(admin).1 == "HTTP/1.1 200");
    trial.process.signal("-TERM");
    assert_eq!(json.exit(), 0);
    let (code, said) = trial.run(&["tail"]);
    assert_eq!(code, 69, "{said}");
}

#[test]
fn a_reload_is_ordered_and_tells_what_is_wrong() {
    let app = App::start();
    let trial = Trial::new(&app, SOURCES);
    let admin = trial.process.admin;
    let good = order(admin, "/api/v1/reload", "{}");
    assert_eq!((good.status, &good.json()["reloaded"]), (200, &true.into()));
    trial.folder.write("hookward.yaml", "version: 1\nsources: {}\n");
    let bad = order(admin, "/api/v1/reload", "");
    assert_eq!(bad.status, 422);
    assert!(
        bad.json()["error"]
            .as_str()
            .expect("text")
            .contains("the old configuration stays"),
        "{}",
        bad.json()
    );
    let status = look(admin, "/api/v1/status").json();
    assert!(status["reload"]["error"].is_string(), "{status}");
    assert_eq!(trial.run(&["send", "github"]).0, 0);
}

const ENROLLING: &str = "\
sources:
  asana: {provider: asana, path: /in/asana, secrets: [{file: asana-secret}], on_missing_secret: unavailable}
  notion: {provider: notion, path: /in/notion, secrets: [{env: SECRET}]}
";

fn asana(secret: &str) -> Request {
    Request::post("/in/asana", "").header("X-Hook-Secret", secret)
}

#[test]
fn a_secret_is_handed_out_within_the_window_and_printed_once() {
    let app = App::start();
    let trial = Trial::new(&app, ENROLLING);
    let webhooks = trial.process.webhooks;
    // Outside of a window: the source waits for its secret, or wants a signature.
    assert_eq!(asana("a phrase of asana").send(webhooks).status, 503);
    let notion = Request::post("/in/notion", r#"{"verification_token":"a phrase of notion"}"#);
    assert_eq!(notion.send(webhooks).status, 401);

    let mut enroll = trial.start(&["enroll", "asana", "--for", "3s"]);
    enroll.wait_for("is open for 3 s");
    let answer = asana("a phrase of asana").send(webhooks);
    assert_eq!((answer.status, answer.outcome()), (200, "challenge"));
    assert_eq!(answer.header("x-hook-secret"), Some("a phrase of asana"));
    enroll.wait_for("a handshake came from 127.0.0.1");
    assert!(!enroll.text().contains("a phrase of asana"), "it may still be void");
    assert_eq!(enroll.exit(), 0);
    enroll.wait_for("kept nowhere");
    assert_eq!(enroll.text().matches("a phrase of asana").count(), 1);
    // printf 'a phrase of asana' | sha256sum
    assert!(
        enroll.text().contains("fingerprint  643d1e095bcd1e95"),
        "{}",
        enroll.text()
    );
    assert_eq!(asana("a phrase of asana").send(webhooks).status, 503);
    let logged = trial.process.logged("request");
    assert!(!logged.iter().any(|line| line.to_string().contains("a phrase of asana")));

    let mut enroll = trial.start(&["enroll", "notion", "--for", "2s"]);
    enroll.wait_for("is open");
    assert_eq!(notion.send(webhooks).status, 200);
    assert_eq!(enroll.exit(), 0);
    enroll.wait_for("secret       a phrase of notion");
    assert!(app.seen().is_empty());
}

#[test]
fn a_second_handshake_makes_both_void() {
    let app = App::start();
    let trial = Trial::new(&app, ENROLLING);
    let webhooks = trial.process.webhooks;
    let mut enroll = trial.start(&["enroll", "asana", "--for", "1m"]);
    enroll.wait_for("is open");
    let (code, said) = trial.run(&["enroll", "asana"]);
    assert_eq!(code, 1);
    assert!(said.contains("open already"), "{said}");
    assert_eq!(asana("the first phrase").send(webhooks).status, 200);
    assert_eq!(asana("the second phrase").send(webhooks).status, 401);
    assert_eq!(enroll.exit(), 1);
    enroll.wait_for("both are void");
    assert!(!enroll.text().contains("phrase"), "{}", enroll.text());

    let mut nobody = trial.start(&["enroll", "asana", "--for", "1s"]);
    assert_eq!(nobody.exit(), 1);
    nobody.wait_for("no handshake came");
    let (code, said) = trial.run(&["enroll", "asana", "--for", "2h"]);
    assert_eq!(code, 2, "{said}");
    let (code, said) = trial.run(&["enroll", "stripe"]);
    assert_eq!(code, 1, "{said}");
}
