//! A canary in every secret, token, signature and body of a full run at the finest log level: none of them is found in
//! anything that the sidecar says.

use super::{
    redis::RedisServer,
    support::{
        App, Request,
        app::Script,
        process::{Folder, PORTS, hookward, text},
        signed::hmac_sha256,
        wait_until,
        wire::Answer,
    },
};
use data_encoding::HEXLOWER;
use std::{
    fmt::Write,
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

const SECRET: &str = "CANARY-secret-of-github";
const OLD_SECRET: &str = "CANARY-secret-of-before";
const TOKEN: &str = "CANARY-token-of-cron";
const QUERY_TOKEN: &str = "CANARY-token-in-a-query";
const VERIFY_TOKEN: &str = "CANARY-verify-token";
const SIGN: &str = "CANARY-our-own-signing-key";
const REDIS: &str = "CANARY-redis-password";
const INLINE: &str = "CANARY-inline-in-a-bad-file";
const BODY: &str = "CANARY-body";
/// What all of the above begin with, and as hex and base64 would show it.
const MARKS: [&str; 3] = ["CANARY", "43414e415259", "Q0FOQVJZ"];

/// A sidecar whose words go into files.
struct Speaker {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Speaker {
    fn run(config: &PathBuf, folder: &Folder) -> Self {
        let (out, err) = (folder.0.join("out"), folder.0.join("err"));
        let child = Command::new(env!("CARGO_BIN_EXE_hookward"))
            .args(["run", "--log", "json", "--log-level", "trace", "-c"])
            .arg(config)
            .env("SECRET", SECRET)
            .env("OLD_SECRET", OLD_SECRET)
            .env("TOKEN", TOKEN)
            .env("QUERY_TOKEN", QUERY_TOKEN)
            .env("VERIFY_TOKEN", VERIFY_TOKEN)
            .env("SIGN", SIGN)
            .env("REDIS", REDIS)
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(File::create(&out).expect("the folder is ours"))
            .stderr(File::create(&err).expect("the folder is ours"))
            .spawn()
            .expect("the binary can be run");
        Self { child, out, err }
    }

    fn said(&self) -> String {
        [&self.out, &self.err]
            .map(|file| text(&fs::read(file).expect("it was made")))
            .concat()
    }

    fn addresses(&self) -> [SocketAddr; 3] {
        wait_until("it listens", || self.said().contains("listening"));
        let said = self.said();
        let line = said
            .lines()
            .find(|line| line.contains("\"listening\""))
            .expect("its line");
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        ["webhooks", "health", "admin"].map(|key| line[key].as_str().expect("an address").parse().expect("an address"))
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill can be run").success());
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Everything that was said to anybody.
#[derive(Default)]
struct Heard(Vec<(String, String)>);

impl Heard {
    fn hear(&mut self, who: &str, what: String) {
        self.0.push((who.to_owned(), what));
    }

    fn answer(&mut self, request: &str, answer: &Answer) -> String {
        let mut headers = String::new();
        for (name, value) in &answer.headers {
            writeln!(headers, "{name}: {value}").expect("a String takes everything");
        }
        self.hear(request, headers + &text(&answer.body));
        answer.outcome().to_owned()
    }

    /// Who said a word that holds a mark, as it stands or in another case.
    fn leaks(&self, marks: &[String]) -> Vec<String> {
        let mut leaks = Vec::new();
        for (who, what) in &self.0 {
            let lower = what.to_lowercase();
            for mark in marks {
                if let Some(at) = lower.find(&mark.to_lowercase()) {
                    let from = what.floor_char_boundary(at.saturating_sub(80));
                    let to = what.ceil_char_boundary((at + 80).min(what.len()));
                    leaks.push(format!("{who}: …{}…", &what[from..to]));
                }
            }
        }
        leaks
    }
}

fn github(delivery: &str, body: &str) -> (Request, String) {
    let mac = HEXLOWER.encode(&hmac_sha256(SECRET.as_bytes(), &[body.as_bytes()]));
    let request = Request::post("/github", body.as_bytes())
        .header("Content-Type", "application/json")
        .header("X-GitHub-Event", "push")
        .header("X-GitHub-Delivery", delivery)
        .header("X-Hub-Signature-256", format!("sha256={mac}"));
    (request, mac)
}

fn stripe(at: i64, body: &str) -> (Request, String) {
    let mac = HEXLOWER.encode(&hmac_sha256(SECRET.as_bytes(), &[format!("{at}.{body}").as_bytes()]));
    let request = Request::post("/stripe", body.as_bytes()).header("Stripe-Signature", format!("t={at},v1={mac}"));
    (request, mac)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one run from start to end")]
fn no_secret_signature_token_or_body_is_said_to_anybody() {
    let (app, folder) = (App::start(), Folder::new());
    let mut redis = RedisServer::start_with(&["--requirepass", REDIS]);
    let yaml = format!(
        r#"{PORTS}upstream: {{url: "{app}", sign: {{secret: {{env: SIGN}}}}}}
redis: {{url: "redis://127.0.0.1:{port}/0", password: {{env: REDIS}}, namespace: test}}
limits: {{failed_verifications: {{rate: 1/m, burst: 3}}}}
client_ip: {{trust: []}}
sources:
  github: {{provider: github, path: /github, secrets: [{{env: SECRET}}, {{env: OLD_SECRET}}]}}
  stripe: {{provider: stripe, path: /stripe, secrets: [{{env: SECRET}}]}}
  slack: {{provider: slack, path: /slack, secrets: [{{env: SECRET}}]}}
  cron: {{provider: token, path: /cron, secrets: [{{env: TOKEN}}]}}
  query: {{provider: token, path: /query, secrets: [{{env: QUERY_TOKEN}}], settings: {{query: token}}}}
  meta:
    provider: meta
    path: /meta
    secrets: [{{env: SECRET}}]
    settings: {{verify_token: {{env: VERIFY_TOKEN}}}}
"#,
        app = app.url(),
        port = redis.port(),
    );
    let config = folder.write("hookward.yaml", &yaml);
    let speaker = Speaker::run(&config, &folder);
    let [webhooks, health, admin] = speaker.addresses();
    let mut heard = Heard::default();
    let mut outcomes = Vec::new();
    let mut macs = Vec::new();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let now = i64::try_from(now).expect("before the year 292e9");
    let mut say = |heard: &mut Heard, what: &str, request: &Request| {
        outcomes.push(heard.answer(what, &request.send(webhooks)));
    };

    let good = format!("{{\"id\":\"evt_1\",\"type\":\"{BODY}.paid\",\"note\":\"{BODY}\"}}");
    let push = format!("{{\"note\":\"{BODY}\"}}");
    let (delivered, mac) = github("d-1", &push);
    macs.push(mac);
    say(&mut heard, "delivered", &delivered);
    say(&mut heard, "duplicate", &delivered);
    say(&mut heard, "conflict", &github("d-2", &push).0);
    let (fresh, mac) = stripe(now, &format!("{{\"id\":\"evt_2\",\"note\":\"{BODY}\"}}"));
    macs.push(mac);
    say(&mut heard, "delivered", &fresh);
    say(&mut heard, "replayed", &fresh);
    let (stale, mac) = stripe(now - 4000, &good);
    macs.push(mac);
    say(&mut heard, "stale", &stale);
    say(
        &mut heard,
        "delivered",
        &Request::post("/cron", BODY).header("Authorization", format!("Bearer {TOKEN}")),
    );
    say(
        &mut heard,
        "delivered",
        &Request::post(&format!("/query?token={QUERY_TOKEN}"), BODY),
    );
    say(
        &mut heard,
        "unverified",
        &Request::post(&format!("/query?token={QUERY_TOKEN}x"), BODY),
    );
    let challenge = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token";
    say(
        &mut heard,
        "challenge",
        &Request::get(&format!("/meta?{challenge}={VERIFY_TOKEN}")),
    );
    say(
        &mut heard,
        "unverified",
        &Request::get(&format!("/meta?{challenge}={VERIFY_TOKEN}x")),
    );
    say(&mut heard, "malformed", &delivered.clone().header("Host", BODY));
    say(&mut heard, "no_source", &Request::post("/elsewhere", BODY));
    app.script([Script::status(500)]);
    say(&mut heard, "upstream_failed", &github("d-3", &format!("{BODY} 3")).0);
    // Redis goes away and takes its password along.
    redis.kill();
    say(&mut heard, "delivered", &github("d-4", &format!("{BODY} 4")).0);
    for n in 0..5 {
        let (wrong, mac) = stripe(now, &format!("{BODY} {n}"));
        macs.push(mac);
        let forged = wrong.replace("Stripe-Signature", format!("t={now},v1={}", "ab".repeat(32)));
        heard.answer("forged", &forged.send(webhooks));
    }
    let expected = [
        "delivered",
        "duplicate",
        "conflict",
        "delivered",
        "replayed",
        "stale",
        "delivered",
        "delivered",
        "unverified",
        "challenge",
        "unverified",
        "malformed",
        "no_source",
        "upstream_failed",
        "delivered",
    ];
    assert_eq!(outcomes, expected);

    // What operators see, and what they order.
    for (address, target) in [
        (health, "/metrics"),
        (health, "/readyz?format=json"),
        (admin, "/"),
        (admin, "/api/v1/status"),
        (admin, "/api/v1/sources"),
        (admin, "/api/v1/destinations"),
        (admin, "/api/v1/deliveries"),
        (admin, "/api/v1/deliveries?refused=true"),
    ] {
        let answer = Request::get(target).replace("Host", "127.0.0.1").send(address);
        assert_eq!(answer.status, 200, "{target}");
        heard.hear(target, text(&answer.body));
    }
    for (target, body) in [
        ("/api/v1/sources/github/send", "{}"),
        ("/api/v1/sources/github/send", r#"{"bad":"signature"}"#),
        ("/api/v1/sources/cron/send", "{}"),
        ("/api/v1/sources/query/send", "{}"),
        ("/api/v1/sources/github/forget", r#"{"delivery":"nothing"}"#),
    ] {
        let order = Request::post(target, body)
            .replace("Host", "127.0.0.1")
            .header("Content-Type", "application/json")
            .header("Hookward-Admin", "1");
        heard.hear(target, text(&order.send(admin).body));
    }

    // A file that is wrong in the very line of a secret, and one that is right again.
    folder.write(
        "hookward.yaml",
        &format!("{yaml}  bad: {{provider: stripe, secrets: [{{value: {INLINE}, oops: 1}}]}}\n"),
    );
    speaker.signal("-HUP");
    wait_until("the reload failed", || speaker.said().contains("reload failed"));
    folder.write("hookward.yaml", &yaml);
    speaker.signal("-HUP");
    wait_until("the reload succeeded", || {
        speaker.said().contains("configuration reloaded")
    });
    speaker.signal("-TERM");
    heard.hear("log", speaker.said());

    // The verbs, which know the secrets too.
    let path = config.display().to_string();
    for verb in [
        &["check", "--offline", "-c", &path][..],
        &["providers", "github"],
        &["schema"],
    ] {
        let output = hookward(verb);
        heard.hear(verb[0], text(&output.stdout) + &text(&output.stderr));
    }

    let marks: Vec<String> = MARKS
        .iter()
        .map(|mark| (*mark).to_owned())
        .chain(macs)
        .chain(["abababab".to_owned()])
        .collect();
    assert!(speaker.said().lines().count() > 20, "the log was not written");
    let leaks = heard.leaks(&marks);
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    // The net would have caught one.
    heard.hear("a leak", format!("secret={SECRET}"));
    assert_eq!(heard.leaks(&marks).len(), 1);
}
